//! The least speed of a transfer: one that drips would hold its place for as long as it likes.

use std::time::Duration;

use tokio::time::{Instant, timeout};

/// Less than this in a transfer's patience is none.
const LEAST_BYTES: u64 = 64 << 10;

/// Counts what moves; only the time spent waiting for the other side counts.
pub(super) struct Pace {
    patience: Duration,
    waited: Duration,
    moved: u64,
}

impl Pace {
    pub fn new(patience: Duration) -> Pace {
        Pace { patience, waited: Duration::ZERO, moved: 0 }
    }

    /// Waits for the next piece; none where too little moved for too long.
    pub async fn next<T>(&mut self, piece: impl Future<Output = T>, size: impl FnOnce(&T) -> usize) -> Option<T> {
        let asked = Instant::now();
        let piece = timeout(self.patience.saturating_sub(self.waited), piece).await.ok()?;
        self.waited += asked.elapsed();
        self.moved += size(&piece) as u64;
        if self.moved >= LEAST_BYTES {
            (self.moved, self.waited) = (0, Duration::ZERO);
        }
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_drips_is_given_up_and_what_moves_is_not() {
        let piece = |milliseconds| async move { tokio::time::sleep(Duration::from_millis(milliseconds)).await };
        let mut pace = Pace::new(Duration::from_secs(20));
        for _ in 0..100 {
            assert!(pace.next(piece(1), |()| LEAST_BYTES as usize).await.is_some());
        }
        assert_eq!((pace.moved, pace.waited), (0, Duration::ZERO), "what moved is forgiven");
        let (mut pace, mut pieces) = (Pace::new(Duration::from_millis(200)), 0);
        while pace.next(piece(10), |()| 100).await.is_some() {
            pieces += 1;
        }
        assert!((1..=20).contains(&pieces), "{pieces}");
        assert!(pace.next(std::future::pending::<()>(), |()| 1).await.is_none(), "and what says nothing at all");
    }
}
