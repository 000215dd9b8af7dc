//! The line before a loaded model. Whoever asks puts items into it; while the model is busy with a batch, those of other
//! requests gather for the next one. Requests take turns item by item, so that a single image waits for one batch and not for
//! the thousand of somebody else.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};

use crate::data::video;
use crate::domain::answers::Content;
use crate::train::{self, Predictor};

/// Batches of one model under way at a time on a card: the items of the second are read while the first is worked on.
const BATCHES: usize = 2;

/// What is asked about an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Its pooled features.
    Features,
    /// The same of a text with one of the config's prompts, by its place.
    Prompted { prompt: usize },
    /// What the head says; of classes the so many likeliest.
    Answer { top: usize },
    /// The same of a text with one of the config's prompts, by its place.
    PromptedAnswer { top: usize, prompt: usize },
}

/// An item that came with a question, or a piece of one. Pieces share its bytes until they are worked on.
#[derive(Debug, Clone)]
pub struct Sent {
    whole: Bytes,
    /// From and to, in seconds.
    piece: Option<(f64, f64)>,
}

impl Sent {
    /// What of it lies between these seconds.
    pub fn piece(&self, from: f64, to: f64) -> Sent {
        Sent { whole: self.whole.clone(), piece: Some((from, to)) }
    }

    /// The bytes that came.
    pub fn whole(&self) -> &Bytes {
        &self.whole
    }

    /// The item as a model takes it.
    pub fn into_item(self) -> Bytes {
        match self.piece {
            Some((from, to)) => video::piece(from, to, &self.whole).into(),
            None => self.whole,
        }
    }
}

impl From<Bytes> for Sent {
    fn from(whole: Bytes) -> Sent {
        Sent { whole, piece: None }
    }
}

/// Bytes that items take while they wait: those that pieces share count once.
pub(super) fn bytes_of(items: &[Sent]) -> usize {
    let mut last = std::ptr::null();
    items.iter().filter(|sent| std::mem::replace(&mut last, sent.whole.as_ptr()) != sent.whole.as_ptr()).map(|sent| sent.whole.len()).sum()
}

/// What became of an item, by its place in the request.
pub(super) type Reply = (usize, train::Result<Content>);

pub(super) struct Line {
    pub model: Arc<Predictor>,
    /// Shared by all models.
    turns: Arc<Semaphore>,
    /// Batches under way at a time.
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    requests: VecDeque<Request>,
    running: usize,
}

struct Request {
    question: Question,
    items: VecDeque<(usize, Sent)>,
    replies: mpsc::UnboundedSender<Reply>,
}

/// Items of several requests with the same question.
#[derive(Default)]
struct Batch {
    items: Vec<Sent>,
    asked: Vec<(usize, mpsc::UnboundedSender<Reply>)>,
}

impl Line {
    /// `at_once`: as many turns as there are.
    pub fn new(model: Predictor, turns: Arc<Semaphore>, at_once: usize) -> Line {
        Line { model: Arc::new(model), turns, most: at_once.max(BATCHES), state: Mutex::default() }
    }

    /// A reply for each item, in any order; who drops the receiver is not worked for any more.
    pub fn ask(self: &Arc<Line>, question: Question, items: Vec<Sent>) -> mpsc::UnboundedReceiver<Reply> {
        let (replies, received) = mpsc::unbounded_channel();
        let starts = {
            let mut state = self.state.lock();
            state.requests.push_back(Request { question, items: items.into_iter().enumerate().collect(), replies });
            let wanted = self.most.min(state.running + state.waiting());
            let starts = wanted.saturating_sub(state.running);
            state.running += starts;
            starts
        };
        for _ in 0..starts {
            let line = self.clone();
            tokio::spawn(async move { line.work().await });
        }
        received
    }

    /// Batch after batch, until nobody waits.
    async fn work(self: Arc<Line>) {
        loop {
            // What is worked on is chosen when there is a place to do it: until then items gather.
            let turn = self.turns.clone().acquire_owned().await;
            let next = {
                let mut state = self.state.lock();
                let next = state.take(self.model.turn_items()).filter(|_| turn.is_ok());
                state.running -= usize::from(next.is_none());
                next
            };
            let Some((question, batch)) = next else { return };
            let model = self.model.clone();
            let done = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                answer(&model, question, batch);
            });
            if done.await.is_err() {
                tracing::error!("a batch of predictions was stopped");
            }
        }
    }
}

impl State {
    /// Items that nobody works on yet.
    fn waiting(&self) -> usize {
        self.requests.iter().map(|request| request.items.len()).sum()
    }

    /// The next batch: of the first request and all others that ask the same, an item each in turn.
    fn take(&mut self, most: usize) -> Option<(Question, Batch)> {
        self.requests.retain(|request| !request.items.is_empty() && !request.replies.is_closed());
        let question = self.requests.front()?.question;
        let mut batch = Batch::default();
        while batch.items.len() < most {
            let before = batch.items.len();
            for request in self.requests.iter_mut().filter(|request| request.question == question) {
                if batch.items.len() < most
                    && let Some((at, item)) = request.items.pop_front()
                {
                    batch.items.push(item);
                    batch.asked.push((at, request.replies.clone()));
                }
            }
            if batch.items.len() == before {
                break;
            }
        }
        // Another question comes first next time.
        self.requests.rotate_left(1);
        Some((question, batch))
    }
}

/// Works on a batch; who has gone does not hear of it.
fn answer(model: &Predictor, question: Question, batch: Batch) {
    let items: Vec<Bytes> = batch.items.into_iter().map(Sent::into_item).collect();
    let answers: train::Result<Vec<train::Result<Content>>> = match question {
        Question::Features => model.features_batch(&items),
        Question::Prompted { prompt } => model.features_prompted(&items, prompt),
        Question::Answer { top } => {
            model.predict_batch(&items, top).map(|rows| rows.into_iter().map(|row| row.map(Content::Answer)).collect())
        }
        Question::PromptedAnswer { top, prompt } => {
            let said = model.predict_prompted(&items, top, prompt);
            said.map(|rows| rows.into_iter().map(|row| row.map(Content::Answer)).collect())
        }
    };
    match answers {
        Ok(answers) => batch.asked.into_iter().zip(answers).for_each(|((at, replies), answer)| drop(replies.send((at, answer)))),
        Err(error) => {
            let why = error.to_string();
            let failed = || Err(train::Error::Unsupported(why.clone()));
            batch.asked.into_iter().for_each(|(at, replies)| drop(replies.send((at, failed()))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(state: &mut State, question: Question, name: u8, count: usize) -> mpsc::UnboundedReceiver<Reply> {
        let (replies, received) = mpsc::unbounded_channel();
        let items = (0..count).map(|at| (at, Bytes::from(vec![name]).into())).collect();
        state.requests.push_back(Request { question, items, replies });
        received
    }

    fn names(batch: Option<(Question, Batch)>) -> Option<String> {
        batch.map(|(_, batch)| batch.items.iter().map(|item| char::from(item.whole()[0])).collect())
    }

    #[test]
    fn requests_share_batches_item_by_item() {
        let mut state = State::default();
        let _a = request(&mut state, Question::Features, b'a', 9);
        let b = request(&mut state, Question::Answer { top: 1 }, b'b', 1);
        let _c = request(&mut state, Question::Features, b'c', 2);
        let gone = request(&mut state, Question::Features, b'd', 100);
        drop(gone);
        assert_eq!(names(state.take(6)).as_deref(), Some("acacaa"), "one with many takes turns with one that has few");
        assert_eq!(names(state.take(6)).as_deref(), Some("b"), "another question is not kept waiting");
        assert_eq!(names(state.take(6)).as_deref(), Some("aaaaa"));
        assert_eq!(names(state.take(6)), None);
        drop(b);
    }

    #[test]
    fn pieces_share_the_bytes_of_their_item() {
        let film = Sent::from(Bytes::from_static(b"film"));
        let all = [film.piece(0.0, 2.0), film.piece(2.0, 3.0), Bytes::from_static(b"other").into()];
        assert_eq!(bytes_of(&all), 9);
        assert_eq!(all[1].clone().into_item(), video::piece(2.0, 3.0, b"film"));
        assert_eq!(film.into_item(), Bytes::from_static(b"film"));
    }
}
