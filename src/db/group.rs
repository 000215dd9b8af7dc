//! Group commit: stories that wait for the writer at the same time share one transaction, and so one trip to the
//! disk. Each runs as if it were alone after those before it: one that fails takes back only what it did itself.
//! Nobody hears of success before the common commit is on the disk.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Error, Tx};

/// Most stories of one commit: the first must not wait for ever for its answer.
const MOST: usize = 64;

/// A story in the queue, whatever it answers.
pub(super) trait Waiting: Send {
    /// Runs it. False: it failed, what it did must be taken back.
    fn tell(&mut self, tx: &mut Tx<'_>) -> bool;
    /// The transaction has ended; an error took every story with it.
    fn end(&mut self, error: Option<Error>);
}

/// Stories nobody has run yet, in the order they came.
#[derive(Default)]
pub(super) struct Queue(Mutex<VecDeque<Box<dyn Waiting>>>);

impl Queue {
    /// Adds a story; its answer appears in what this returns.
    pub fn push<T, E, F>(&self, story: F) -> Answer<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let answer = Answer(Arc::default());
        let waiting = Story { story: Some(story), told: None, answer: Answer(answer.0.clone()) };
        self.0.lock().push_back(Box::new(waiting));
        answer
    }

    /// The stories of the next commit.
    pub fn next(&self) -> Vec<Box<dyn Waiting>> {
        let mut queue = self.0.lock();
        let count = queue.len().min(MOST);
        queue.drain(..count).collect()
    }
}

/// Where a story's answer appears once its transaction has ended.
pub(super) struct Answer<T, E>(Arc<Mutex<Option<std::result::Result<T, E>>>>);

impl<T, E> Answer<T, E> {
    pub fn take(&self) -> Option<std::result::Result<T, E>> {
        self.0.lock().take()
    }
}

struct Story<T, E, F> {
    story: Option<F>,
    told: Option<std::result::Result<T, E>>,
    answer: Answer<T, E>,
}

impl<T, E, F> Waiting for Story<T, E, F>
where
    F: FnOnce(&mut Tx<'_>) -> std::result::Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn tell(&mut self, tx: &mut Tx<'_>) -> bool {
        let Some(story) = self.story.take() else { return false };
        // A panic is its own caller's trouble, not that of those who share the transaction.
        let told = catch_unwind(AssertUnwindSafe(|| story(tx)));
        let told = told.unwrap_or_else(|_| Err(Error::Engine("a database call panicked".into()).into()));
        self.told.insert(told).is_ok()
    }

    fn end(&mut self, error: Option<Error>) {
        let answer = match (self.told.take(), error) {
            (Some(Ok(_)) | None, Some(error)) => Err(error.into()),
            (Some(told), _) => told,
            (None, None) => Err(Error::Engine("a story was not run".into()).into()),
        };
        *self.answer.0.lock() = Some(answer);
    }
}
