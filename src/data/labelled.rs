//! What the readers of a layout hand each other: entries with their splits and the text of their targets.

use std::collections::BTreeMap;

use crate::domain::task::Task;

/// What a sample is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Split {
    Train,
    Val,
    Test,
}

impl Split {
    pub const ALL: [Split; 3] = [Split::Train, Split::Val, Split::Test];

    /// Understands the names people give their folders.
    pub fn parse(text: &str) -> Option<Split> {
        match text.to_ascii_lowercase().as_str() {
            "train" | "training" => Some(Split::Train),
            "val" | "valid" | "validation" => Some(Split::Val),
            "test" | "testing" => Some(Split::Test),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Val => "val",
            Split::Test => "test",
        }
    }
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which entry of the listing is what, its target as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    pub entry: usize,
    pub split: Split,
    pub text: String,
}

/// What the layout of a data set says.
#[derive(Debug, Default)]
pub struct Layout {
    pub samples: Vec<Labelled>,
    /// What the targets are for.
    pub task: Task,
    pub warnings: Vec<String>,
}

/// The entries that may count, by their path below the wrapping folder.
pub(super) type Kept<'a> = BTreeMap<&'a str, usize>;

pub(super) fn warn_left_out(paths: &[&str], why: &str, warnings: &mut Vec<String>) {
    if !paths.is_empty() {
        let first = paths.iter().take(5).map(|p| format!("`{p}`")).collect::<Vec<_>>().join(", ");
        let more = if paths.len() > 5 { ", ..." } else { "" };
        warnings.push(format!("{} files were left out, {why}: {first}{more}", paths.len()));
    }
}
