//! Group commit: stories that wait for the writer at the same time share one transaction, and so one trip to the
//! disk. Each runs as if it were alone after those before it: one that fails takes back only what it did itself.
//! Nobody hears of success before the common commit is on the disk.

use std::collections::VecDeque;

use parking_lot::{Mutex, MutexGuard};

use super::story::Waiting;

/// Most stories of one commit: the first must not wait for ever for its answer.
const MOST: usize = 64;

/// Stories nobody has run yet, in the order they came.
#[derive(Default)]
pub(super) struct Queue(Mutex<VecDeque<Box<dyn Waiting>>>);

impl Queue {
    pub fn push(&self, story: Box<dyn Waiting>) {
        self.lock().push_back(story);
    }

    /// The stories of the next commit.
    pub fn next(&self) -> Vec<Box<dyn Waiting>> {
        let mut queue = self.lock();
        let count = queue.len().min(MOST);
        queue.drain(..count).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Box<dyn Waiting>>> {
        self.0.lock()
    }
}
