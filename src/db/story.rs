//! A story on its way through a write transaction: the engine runs it without knowing what it answers, whoever made
//! it finds the answer once the transaction has ended.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Error, Tx, not_run};

/// A story that waits for its transaction, whatever it answers.
pub(super) trait Waiting: Send {
    /// Runs it. False: it failed, what it did must be taken back.
    fn tell(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Forgets what was told; false where it cannot be told another time.
    fn again(&mut self) -> bool;
    /// The transaction has ended; an error took every story with it.
    fn end(&mut self, error: Option<Error>);
}

/// Where a story's answer appears once its transaction has ended.
pub(super) struct Answer<T, E>(Arc<Mutex<Option<std::result::Result<T, E>>>>);

impl<T, E> Answer<T, E> {
    /// Whether the story's transaction has ended.
    pub fn is_there(&self) -> bool {
        self.0.lock().is_some()
    }

    pub fn take(&self) -> Option<std::result::Result<T, E>> {
        self.0.lock().take()
    }
}

struct Story<T, E, F> {
    story: Option<F>,
    /// How another one of it is made, to be told again.
    another: Option<fn(&F) -> F>,
    told: Option<std::result::Result<T, E>>,
    answer: Answer<T, E>,
}

/// Lets a story wait, and says where its answer will be.
pub(super) fn waiting<T, E, F>(story: F, another: Option<fn(&F) -> F>) -> (Box<dyn Waiting>, Answer<T, E>)
where
    F: FnOnce(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let answer = Answer(Arc::default());
    let waiting = Story { story: Some(story), another, told: None, answer: Answer(answer.0.clone()) };
    (Box::new(waiting), answer)
}

impl<T, E, F> Waiting for Story<T, E, F>
where
    F: FnOnce(&mut Tx<'_>) -> std::result::Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn tell(&mut self, tx: &mut Tx<'_>) -> bool {
        let story = match (&self.story, self.another) {
            (Some(story), Some(another)) => another(story),
            _ => match self.story.take() {
                Some(story) => story,
                None => return false,
            },
        };
        // A panic is its own caller's trouble, not that of those who share the transaction.
        let told = catch_unwind(AssertUnwindSafe(|| story(tx)));
        let told = told.unwrap_or_else(|_| Err(Error::Engine("a database call panicked".into()).into()));
        self.told.insert(told).is_ok()
    }

    fn again(&mut self) -> bool {
        let can = self.story.is_some();
        if can {
            self.told = None;
        }
        can
    }

    fn end(&mut self, error: Option<Error>) {
        let answer = match (self.told.take(), error) {
            (Some(Ok(_)) | None, Some(error)) => Err(error.into()),
            (Some(told), _) => told,
            (None, None) => Err(not_run().into()),
        };
        *self.answer.0.lock() = Some(answer);
    }
}
