//! The confined process that does a job's work (`work`): it has the files of one job and a folder, and nothing else; see [`crate::confine`]. It tells what
//! happens line by line and hears after each whether to go on.

use std::io;

use super::order::{Order, Reply, Said, Why};
use super::{Result, work};
use crate::confine::{self, last_word, speech::Speech};
use crate::domain::job_event;
use crate::train::{Control, Event, backend};

/// Standard error, which the worker listens to.
const LAST_WORDS: i32 = 2;

/// Works as the order on standard input says. To be called before there is a second thread.
///
/// # Errors
/// The worker is gone, or this process could not be confined as asked.
pub fn train() -> io::Result<()> {
    let mut speech = Speech::default();
    let order: Order = speech.hear()?;
    let held = confine::restrict(&order.grant)?;
    last_word::register(LAST_WORDS);
    say(&mut speech, &Said::Ready(held))?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(order.threads).build_global();
    pool.map_err(io::Error::other)?;
    if let Ok(choice) = order.backend.parse() {
        backend::choose(choice);
    }
    let last = match follow(&order, &mut speech) {
        Ok(headline) => Said::Done(headline),
        Err(error) => Said::Failed { why: Why::of(&error), message: error.to_string() },
    };
    say(&mut speech, &last).map(drop)
}

fn say(speech: &mut Speech, said: &Said) -> io::Result<Reply> {
    speech.say(said)?;
    speech.hear()
}

/// Does the work; its headline.
fn follow(order: &Order, speech: &mut Speech) -> Result<serde_json::Value> {
    // A worker that is gone takes this process with it; until the kernel does, there is nothing to go on for.
    let mut sink = |event: Event| match say(speech, &as_said(event)) {
        Ok(Reply::GoOn) => Control::Continue,
        Ok(Reply::Stop) | Err(_) => Control::Stop,
    };
    work::of(&order.work).run(order, &mut sink)
}

fn as_said(event: Event) -> Said {
    let news = match event {
        Event::Log { level, message } => job_event::Event::Log { level, message },
        Event::Progress(progress) => job_event::Event::Progress(progress),
        Event::Epoch(numbers) => job_event::Event::Epoch(numbers),
        Event::Checkpoint { .. } => return Said::Checkpoint,
    };
    Said::Event { kind: news.kind().to_owned(), body: news.body() }
}
