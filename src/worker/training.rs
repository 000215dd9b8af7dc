//! A job's work as its worker sees it: a confined process that is given its files, listened to with care, and ended. It writes what it
//! likes into its folder and says what it likes; what is taken from there is looked at first.

use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::gate::Gate;
use super::heartbeat::Heartbeat;
use super::keeper::Keeper;
use super::order::{LONGEST, NOT_PUBLISHED, Order, Reply, Said};
use super::work::{self, Leaves};
use super::{Error, Result};
use crate::confine::child::{self, Child, End, Program};
use crate::domain::job::Death;
use crate::domain::job_event::{Event, Level, short};
use crate::service::jobs::result::Left;
use crate::train::{Control, checkpoint};

/// A training speaks four times a second; the longest single step of one, on a slow machine, takes minutes.
const PATIENCE: Duration = Duration::from_secs(3_600);
/// Once it was told to stop, or said its last word.
const TO_END: Duration = Duration::from_secs(30);
/// Between two looks whether a silent training is still wanted.
const LOOK: Duration = Duration::from_secs(1);
/// How long one that must not go on may be silent.
const TO_STOP: Duration = Duration::from_secs(60);
/// What a job's log takes of one attempt.
const MOST_LINES: usize = 2_000;
/// Of a headline.
const LONGEST_HEADLINE: usize = 64 << 10;
/// One attempt at a training.
pub(super) struct Run<'a> {
    pub program: &'a Program,
    pub order: &'a Order,
    pub gate: &'a mut Gate,
    pub keeper: &'a mut Keeper,
    pub heartbeat: &'a Heartbeat,
}

impl Run<'_> {
    /// Runs it to its end: what it has left. On a thread that may block.
    pub fn finish(&mut self) -> Result<Left> {
        let temporary = self.order.scratch.join("tmp");
        std::fs::create_dir_all(&temporary).map_err(Error::io(&temporary))?;
        let started = Child::start(self.program, "train", &temporary);
        let mut child = started.map_err(|e| Error::Later(format!("a process for the training cannot be started: {e}")))?;
        match self.listen(&mut child) {
            Ok(told) => {
                // It has nothing to say any more, and must not write into the result while that is read.
                child.end(TO_END).map_err(|e| Error::Later(format!("the training did not end: {e}")))?;
                self.look_at(told?)
            }
            Err(child::Error::Ended) => {
                let end = child.end(TO_END).map_err(|e| Error::Later(format!("the training ended: {e}")))?;
                tracing::warn!(status = %end.status, words = end.words, "a training died");
                Err(Error::Later(death(&end).to_string()))
            }
            Err(unheard) => Err(self.heartbeat.verdict().unwrap_or_else(|| Error::Later(format!("the training was ended: {unheard}")))),
        }
    }

    fn look_at(&self, headline: Value) -> Result<Left> {
        let kind = work::of(&self.order.work);
        let refused = headline.get(NOT_PUBLISHED).and_then(Value::as_str).map(short);
        let published = if refused.is_some() { Vec::new() } else { kind.publishes(self.order) };
        let publish = match published.is_empty() {
            true => None,
            false => Some(verify(&self.order.result, &published)?),
        };
        Ok(Left { publish, refused, files: verify(&self.order.files, &kind.leaves(self.order))?, headline })
    }

    /// Takes what it says until it says its last word. The outer error: it is not to be listened to any more.
    fn listen(&mut self, child: &mut Child) -> std::result::Result<Result<Value>, child::Error> {
        child.tell(self.order, PATIENCE)?;
        let mut lines = 0;
        loop {
            let line = self.next_line(child)?;
            let Ok(said) = serde_json::from_slice::<Said>(&line) else {
                return Ok(Err(Error::Never("the training spoke in a way that is not known here: please report it".into())));
            };
            let control = match said {
                Said::Ready(held) => {
                    tracing::info!(process = child.id(), held = %held, "a training begins in a process of its own");
                    Control::Continue
                }
                Said::Event { kind, body } => match Event::told(&kind, body) {
                    Some(Event::Log { .. }) if lines >= MOST_LINES => self.heartbeat.control(),
                    Some(event) => {
                        lines += usize::from(matches!(event, Event::Log { .. }));
                        self.gate.pass(event, self.heartbeat)
                    }
                    None => self.heartbeat.control(),
                },
                Said::Checkpoint => {
                    self.keep();
                    self.heartbeat.control()
                }
                Said::Done(headline) => {
                    child.tell(&Reply::GoOn, TO_END)?;
                    return Ok(sound(headline));
                }
                Said::Failed { why, message } => {
                    child.tell(&Reply::Stop, TO_END)?;
                    return Ok(Err(why.error(short(&message))));
                }
            };
            child.tell(if control == Control::Continue { &Reply::GoOn } else { &Reply::Stop }, TO_END)?;
        }
    }

    /// Waits for a line, as long as the job is wanted and a little longer.
    fn next_line(&self, child: &mut Child) -> std::result::Result<Vec<u8>, child::Error> {
        let (mut silent, mut unwanted) = (Duration::ZERO, Duration::ZERO);
        loop {
            match child.hear(LONGEST, LOOK) {
                Err(child::Error::Silent(_)) if silent < PATIENCE && unwanted < TO_STOP => {
                    silent += LOOK;
                    if self.heartbeat.control() == Control::Stop {
                        unwanted += LOOK;
                    }
                }
                other => return other,
            }
        }
    }

    /// Stores the checkpoint, by the very file that was looked at.
    fn keep(&mut self) {
        let path = self.order.scratch.join(checkpoint::FILE_NAME);
        match plain(&path, u64::MAX) {
            Ok(file) => self.keeper.keep(&PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())), self.heartbeat),
            Err(why) => drop(self.heartbeat.note(Event::log(Level::Warn, format!("a checkpoint was not stored: {why}")))),
        }
    }
}

/// A headline is an object of numbers and words, and no large one.
fn sound(headline: Value) -> Result<Value> {
    let bounded = headline.is_object() && headline.to_string().len() <= LONGEST_HEADLINE;
    if bounded { Ok(headline) } else { Err(Error::Never("the training gave no headline of its result: please report it".into())) }
}

/// Opens a file that is one: no link, no second name of another file, not too large.
fn plain(path: &Path, largest: u64) -> std::result::Result<std::fs::File, String> {
    let shown = path.file_name().unwrap_or_default().to_string_lossy();
    let open = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
    let file = open.map_err(|e| format!("'{shown}' cannot be read: {e}"))?;
    let about = file.metadata().map_err(|e| format!("'{shown}' cannot be read: {e}"))?;
    if !about.is_file() || about.nlink() != 1 {
        return Err(format!("'{shown}' is not a plain file"));
    }
    if about.len() > largest {
        return Err(format!("'{shown}' has {} bytes, more than a result has", about.len()));
    }
    Ok(file)
}

/// A folder holds what the work may leave there, all it must, and nothing else; its files, by name.
fn verify(folder: &Path, may: &[Leaves]) -> Result<Vec<(String, PathBuf)>> {
    let odd = |why: String| Error::Never(format!("the result is not taken: {why}"));
    let about = std::fs::symlink_metadata(folder).map_err(Error::io(folder))?;
    if !about.is_dir() {
        return Err(odd("it is no folder".into()));
    }
    let mut found = Vec::new();
    for name in names(folder, may)? {
        let known = may.iter().find(|known| name == known.name);
        let known = known.ok_or_else(|| odd(format!("'{}' is no part of one", short(&name))))?;
        found.push((known.name.clone(), folder.join(&known.name)));
    }
    found.sort();
    for file in may {
        if file.always || found.iter().any(|(name, _)| *name == file.name) {
            plain(&folder.join(&file.name), file.largest_bytes).map_err(odd)?;
        }
    }
    Ok(found)
}

/// What lies in a folder, and in folders of it that are no file's name; one level of them.
fn names(folder: &Path, may: &[Leaves]) -> Result<Vec<String>> {
    let listed = |folder: &Path| -> Result<Vec<String>> {
        let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
        // A name that is not UTF-8 is changed here, and so no file's that may be there.
        let name =
            |entry: std::io::Result<std::fs::DirEntry>| Ok(entry.map_err(Error::io(folder))?.file_name().to_string_lossy().into_owned());
        entries.map(name).collect()
    };
    let mut all = Vec::new();
    for name in listed(folder)? {
        let path = folder.join(&name);
        let is_folder = std::fs::symlink_metadata(&path).is_ok_and(|about| about.is_dir());
        match is_folder && may.iter().all(|known| known.name != name) {
            true => match listed(&path)?.as_slice() {
                [] => all.push(name),
                inner => all.extend(inner.iter().map(|inner| format!("{name}/{inner}"))),
            },
            false => all.push(name),
        }
    }
    Ok(all)
}

fn death(end: &End) -> Death {
    match (end.out_of_memory, end.status.signal(), end.status.code()) {
        (true, ..) => Death::OutOfMemory,
        (_, Some(signal), _) => Death::Signal(signal),
        (_, None, Some(status)) => Death::Exit(status),
        _ => Death::Unknown,
    }
}

#[cfg(test)]
#[path = "training_tests.rs"]
mod tests;
