//! Words that stories tell at their commit to all processes on a database server. A word may be lost, while nobody listens or the line is
//! down, and so it only spares waiting: whoever waits for one looks by himself now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::broadcast::{Receiver, Sender, channel, error::RecvError};

/// Words that a slow listener may be behind; beyond, it is woken for nothing.
const KEPT: usize = 1024;

/// Where the one listener of a process says what it hears.
#[derive(Clone)]
pub(super) struct Teller {
    words: Sender<Arc<str>>,
    is_live: Arc<AtomicBool>,
}

impl Teller {
    pub fn new() -> Teller {
        Teller { words: channel(KEPT).0, is_live: Arc::default() }
    }

    pub fn tell(&self, word: &str) {
        // Nobody may be waiting.
        let _ = self.words.send(word.into());
    }

    /// Says whether words arrive.
    pub fn set_live(&self, is_live: bool) {
        self.is_live.store(is_live, Ordering::Relaxed);
    }

    pub fn listen(&self) -> News {
        News { words: self.words.subscribe(), is_live: self.is_live.clone() }
    }
}

/// The words that are told from now on.
pub struct News {
    words: Receiver<Arc<str>>,
    is_live: Arc<AtomicBool>,
}

impl News {
    /// Do words arrive at present?
    pub fn is_live(&self) -> bool {
        self.is_live.load(Ordering::Relaxed)
    }

    /// Returns once the word was told since the last call, or others were missed.
    pub async fn wait_for(&mut self, word: &str) {
        loop {
            match self.words.recv().await {
                Ok(told) if &*told == word => return,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return,
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_word_wakes_those_who_wait_for_it_and_a_flood_wakes_all() {
        let teller = Teller::new();
        let (mut news, mut other) = (teller.listen(), teller.listen());
        assert!(!news.is_live());
        teller.set_live(true);
        teller.tell("b");
        teller.tell("a");
        news.wait_for("a").await;
        assert!(
            news.is_live() && tokio::time::timeout(Duration::from_millis(20), news.wait_for("a")).await.is_err(),
            "each word wakes once"
        );
        (0..=KEPT).for_each(|_| teller.tell("c"));
        other.wait_for("never told").await;
    }
}
