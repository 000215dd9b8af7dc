//! The room for heavy work: what a request costs beyond some milliseconds of a processor is done in here, a few things at a
//! time, in turns. Callers take turns with each other, not requests: whoever asks for a hundred things waits for a hundred, and
//! everybody else for one.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{Error, Result};
use crate::domain::id::AccountId;
use crate::domain::user::Actor;

/// Requests of one caller that wait for a turn.
const MOST_WAITING: usize = 64;
/// Of all callers.
const MOST_WAITING_IN_ALL: usize = 4_096;
/// Seconds after which a caller who was sent away may come again.
pub const COME_AGAIN_SECONDS: u64 = 2;

/// Whose turn it is: all tokens of an account are one caller, and so are strangers behind one address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Whose {
    Account(AccountId),
    Network(IpAddr),
    /// The hub's own.
    House,
}

impl Whose {
    /// Of a caller who is somebody.
    pub fn of(actor: &Actor) -> Whose {
        actor.account().map_or(Whose::House, |account| Whose::Account(account.clone()))
    }
}

/// The room; clones are doors to the same one.
#[derive(Clone)]
pub struct Work(Arc<Room>);

struct Room {
    at_once: usize,
    /// Of one caller: the last place is always another's.
    of_one: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: HashMap<Whose, usize>,
    waiting: HashMap<Whose, VecDeque<oneshot::Sender<Turn>>>,
    /// Callers who wait, in the order in which their turn comes.
    order: VecDeque<Whose>,
    count: usize,
    done: u64,
}

tokio::task_local! {
    /// Set while this task has a turn.
    static IN_TURN: ();
}

/// The right to work; the next caller's turn begins when it is dropped.
pub struct Turn {
    room: Arc<Room>,
    whose: Whose,
    /// Of a task that has a turn already; nothing ends with it.
    inside: bool,
}

impl Turn {
    /// Does work in this turn. Whatever asks for a turn on the way has this one: nobody waits for a turn that ends only after his own.
    pub async fn during<F: Future>(self, work: F) -> F::Output {
        let done = IN_TURN.scope((), work).await;
        drop(self);
        done
    }
}

/// Whether this task has a turn.
pub fn has_turn() -> bool {
    IN_TURN.try_with(|()| ()).is_ok()
}

/// Goes on elsewhere with what may have had a turn: it has it there, too, and does not wait for another of its own.
pub async fn keeping<F: Future>(has_turn: bool, story: impl FnOnce() -> F) -> F::Output {
    if has_turn { IN_TURN.scope((), async { story().await }).await } else { story().await }
}

/// What goes on in the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busyness {
    pub running: usize,
    pub waiting: usize,
    /// Turns that have ended.
    pub done: u64,
}

impl Work {
    /// A room with so many places, two at least.
    pub fn new(at_once: usize) -> Work {
        let at_once = at_once.max(2);
        Work::shared(at_once, at_once - 1)
    }

    /// A room of which one caller has so many places at most.
    pub fn shared(at_once: usize, of_one: usize) -> Work {
        Work(Arc::new(Room { at_once, of_one, state: Mutex::default() }))
    }

    /// Waits for a turn. [`Error::Busy`] where too much of the same caller waits already.
    pub async fn turn(&self, whose: &Whose) -> Result<Turn> {
        let most = if *whose == Whose::House { MOST_WAITING_IN_ALL } else { MOST_WAITING };
        self.queue(whose, most).await
    }

    /// The same in the middle of an answer, which can no longer be refused: such answers are as many as connections.
    pub async fn next_turn(&self, whose: &Whose) -> Result<Turn> {
        self.queue(whose, usize::MAX).await
    }

    /// Does work on a thread of its own, in its caller's turn. Work whose caller has gone keeps its turn until it ends.
    pub async fn run<T: Send + 'static>(&self, whose: &Whose, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let turn = self.turn(whose).await?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|e| Error::Internal(format!("work was stopped: {e}")))
    }

    pub fn busyness(&self) -> Busyness {
        let state = self.0.state.lock();
        Busyness { running: state.running.values().sum(), waiting: state.count, done: state.done }
    }

    async fn queue(&self, whose: &Whose, most: usize) -> Result<Turn> {
        if has_turn() {
            return Ok(Turn { room: self.0.clone(), whose: whose.clone(), inside: true });
        }
        let waiting = {
            let mut state = self.0.state.lock();
            let ahead = state.waiting.get(whose).map_or(0, VecDeque::len);
            if ahead == 0 && state.has_room(&self.0, whose) {
                return Ok(state.begin(&self.0, whose.clone()));
            }
            if ahead >= most || (state.count >= MOST_WAITING_IN_ALL && most != usize::MAX) {
                let hint = format!("wait {COME_AGAIN_SECONDS} seconds and ask again; ask for fewer things at once");
                return Err(Error::busy("too_much_work", "too many of your requests wait for their turn", hint));
            }
            let (begins, waiting) = oneshot::channel();
            state.waiting.entry(whose.clone()).or_default().push_back(begins);
            if ahead == 0 {
                state.order.push_back(whose.clone());
            }
            state.count += 1;
            waiting
        };
        waiting.await.map_err(|_| Error::Internal("the room for work was closed".into()))
    }
}

impl State {
    fn has_room(&self, room: &Room, whose: &Whose) -> bool {
        let all: usize = self.running.values().sum();
        all < room.at_once && self.running.get(whose).is_none_or(|own| *own < room.of_one)
    }

    fn begin(&mut self, room: &Arc<Room>, whose: Whose) -> Turn {
        *self.running.entry(whose.clone()).or_default() += 1;
        Turn { room: room.clone(), whose, inside: false }
    }

    /// The next caller who may begin. Those who have gone meanwhile are passed over by whoever hands out the turn.
    fn next(&mut self, room: &Arc<Room>) -> Option<(oneshot::Sender<Turn>, Turn)> {
        let at = self.order.iter().position(|whose| self.has_room(room, whose))?;
        let whose = self.order.remove(at)?;
        let line = self.waiting.get_mut(&whose)?;
        let begins = line.pop_front()?;
        self.count -= 1;
        if line.is_empty() {
            self.waiting.remove(&whose);
        } else {
            self.order.push_back(whose.clone());
        }
        Some((begins, self.begin(room, whose)))
    }

    fn end(&mut self, whose: &Whose) {
        self.done += 1;
        if let Some(running) = self.running.get_mut(whose) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(whose);
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.inside {
            return;
        }
        self.room.state.lock().end(&self.whose);
        loop {
            let next = self.room.state.lock().next(&self.room);
            let Some((begins, turn)) = next else { return };
            // One that nobody waits for any more comes back, and the turn after it is given out by its own end.
            if begins.send(turn).is_ok() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn stranger(number: u32) -> Whose {
        Whose::Network(IpAddr::V4(Ipv4Addr::from(number)))
    }

    /// Lets all that can go on go on.
    async fn settle() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_has_a_turn_does_not_wait_for_another_of_his_own() {
        let work = Work::new(2);
        let turn = work.turn(&stranger(1)).await.unwrap();
        let inner = turn.during(async { (work.run(&stranger(1), || 7).await.unwrap(), work.busyness().running) }).await;
        assert_eq!(inner, (7, 1));
        let turn = work.turn(&stranger(1)).await.unwrap();
        let elsewhere = async |had| {
            let work = work.clone();
            tokio::spawn(keeping(had, move || async move { work.run(&stranger(1), || 7).await.unwrap() })).await.unwrap()
        };
        assert_eq!(turn.during(async { elsewhere(has_turn()).await }).await, 7);
        assert_eq!(work.busyness(), Busyness { running: 0, waiting: 0, done: 2 });
    }

    #[tokio::test]
    async fn another_caller_is_served_before_the_rest_of_a_queue() {
        let work = Work::new(2);
        let held = work.turn(&stranger(1)).await.unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let ask = |whose: u32| {
            let (work, told) = (work.clone(), told.clone());
            tokio::spawn(async move {
                let turn = work.turn(&stranger(whose)).await.unwrap();
                told.lock().push(whose);
                drop(turn);
            })
        };
        let queued: Vec<_> = (0..10).map(|_| ask(1)).collect();
        settle().await;
        assert_eq!((work.busyness().waiting, told.lock().len()), (10, 0), "one caller has not all places");
        ask(2).await.unwrap();
        assert_eq!(*told.lock(), [2], "there is always a place for another");
        let second = work.turn(&stranger(3)).await.unwrap();
        let late = ask(2);
        settle().await;
        drop(second);
        late.await.unwrap();
        assert_eq!(*told.lock(), [2, 2]);
        drop(held);
        for one in queued {
            one.await.unwrap();
        }
        assert_eq!(work.busyness(), Busyness { running: 0, waiting: 0, done: 14 });
    }

    #[tokio::test]
    async fn a_queue_is_bounded_and_those_who_have_gone_leave_no_gap() {
        let work = Work::new(2);
        let held = work.turn(&stranger(1)).await.unwrap();
        let waiting: Vec<_> = (0..MOST_WAITING)
            .map(|_| {
                let work = work.clone();
                tokio::spawn(async move { work.turn(&stranger(1)).await.map(drop) })
            })
            .collect();
        settle().await;
        let refused = work.turn(&stranger(1)).await.map(drop).unwrap_err();
        assert!(matches!(refused, Error::Busy(problem) if problem.code == "too_much_work"));
        assert!(work.turn(&stranger(2)).await.is_ok());
        waiting[..MOST_WAITING - 1].iter().for_each(tokio::task::JoinHandle::abort);
        settle().await;
        drop(held);
        let last = waiting.into_iter().next_back().unwrap();
        last.await.unwrap().unwrap();
        assert_eq!((work.busyness().running, work.busyness().waiting), (0, 0));
        assert_eq!(work.run(&Whose::House, || 7).await.unwrap(), 7);
    }
}
