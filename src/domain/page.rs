//! Pages of long lists: a limit, an opaque cursor, and the cursor of the next page.

/// A page asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// 1 to 100.
    pub limit: usize,
    /// As the last page gave it; opaque to callers.
    pub cursor: Option<String>,
}

impl PageRequest {
    pub const DEFAULT_LIMIT: usize = 20;
    pub const MAX_LIMIT: usize = 100;

    /// Clamps the limit to 1..=100.
    pub fn new(limit: Option<u64>, cursor: Option<String>) -> PageRequest {
        let limit = limit.unwrap_or(Self::DEFAULT_LIMIT as u64).clamp(1, Self::MAX_LIMIT as u64) as usize;
        PageRequest { limit, cursor: cursor.filter(|c| !c.is_empty()) }
    }
}

impl Default for PageRequest {
    fn default() -> Self {
        PageRequest::new(None, None)
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Absent on the last page.
    pub next: Option<String>,
}

impl<T> Page<T> {
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next: self.next }
    }
}
