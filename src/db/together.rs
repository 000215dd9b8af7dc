//! Where calls of the database run: each on a thread for what blocks, or, of a whole story of many calls, all on one such thread, one after the
//! other. A call of an embedded database takes microseconds, which is less than handing it to another thread and waiting for that one to wake.

use std::sync::LazyLock;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::Error;

/// Stories at once that have a thread of their own. It is far below the threads there are for what blocks, so that what a story hands to
/// another thread finds one.
const AT_ONCE: usize = 32;

static THREADS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(AT_ONCE));

tokio::task_local! {
    /// Set while this task is on a thread that may be blocked.
    static MAY_BLOCK: ();
}

/// Tells a story on one thread; where all such threads are taken, or it is on one already, as any other.
pub(super) async fn tell<T, F, S>(story: S) -> Result<T, Error>
where
    T: Send + 'static,
    F: Future<Output = T>,
    S: FnOnce() -> F + Send + 'static,
{
    let Some(thread) = THREADS.try_acquire().ok().filter(|_| !may_block()) else { return Ok(story().await) };
    let handle = Handle::current();
    let told = spawn_blocking(move || {
        let _thread = thread;
        handle.block_on(MAY_BLOCK.scope((), async { story().await }))
    });
    told.await.map_err(|stopped| Error::Engine(format!("a story was stopped: {stopped}")))
}

fn may_block() -> bool {
    MAY_BLOCK.try_with(|()| ()).is_ok()
}

/// Moves `work` off the async threads.
pub(super) async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    if may_block() {
        return work();
    }
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(stopped) => Err(Error::Engine(format!("a database call was stopped: {stopped}")).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;

    use super::*;

    async fn where_it_runs() -> ThreadId {
        blocking(|| Ok::<_, Error>(std::thread::current().id())).await.unwrap()
    }

    #[tokio::test]
    async fn a_story_stays_on_one_thread_that_is_no_async_one() {
        let (first, second, inner) = tell(|| async {
            let inner = tell(|| async { where_it_runs().await }).await.unwrap();
            (where_it_runs().await, where_it_runs().await, inner)
        })
        .await
        .unwrap();
        assert_eq!((first, first), (second, inner));
        assert_ne!(first, std::thread::current().id());
        assert_ne!(where_it_runs().await, std::thread::current().id());
    }

    #[tokio::test]
    async fn more_stories_than_threads_are_told_all_the_same() {
        let (sender, receiver) = tokio::sync::watch::channel(false);
        let story = || {
            let mut open = receiver.clone();
            tell(move || async move {
                open.wait_for(|open| *open).await.unwrap();
                where_it_runs().await
            })
        };
        let stories: Vec<_> = (0..2 * AT_ONCE).map(|_| tokio::spawn(story())).collect();
        tokio::task::yield_now().await;
        sender.send(true).unwrap();
        for told in stories {
            told.await.unwrap().unwrap();
        }
    }
}
