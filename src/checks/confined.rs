//! The server's side of a check in a confined process: what it is given, how long it is listened to, and what its end means.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::order::{LONGEST, LONGEST_PICTURE, LONGEST_REPORT, MOST_READ, Order, Said, Sent, ToScan, Work};
use super::{Error, NotMade, Refused, Scanned, Small, ToImport, ToShow};
use crate::confine::child::{self, Child, Program};
use crate::confine::{Choice, Grant};
use crate::data::video::needed_for as films;
use crate::domain::data_limits::DataLimits;
use crate::domain::dataset_report::{DatasetReport, Preview};
use crate::import::scan::Findings;

/// What any check may take, and how fast the slowest reads beyond that.
const PATIENCE: Duration = Duration::from_secs(600);
const SLOWEST_BYTES_PER_SECOND: u64 = 1 << 20;
/// What the pictures of a page may take; who waits for one waits for less.
const TO_SHOW: Duration = Duration::from_secs(120);
/// Once it has said its last word.
const TO_END: Duration = Duration::from_secs(10);
/// Words about a file.
const LONGEST_WORDS: usize = 1_000;

/// Starts such processes.
pub struct Confined {
    pub program: Program,
    pub choice: Choice,
    /// The data directory, which none of them sees.
    pub data: PathBuf,
    /// What one of them may allocate.
    pub memory_bytes: u64,
}

impl Confined {
    pub(super) fn dataset(&self, files: Vec<(String, PathBuf)>, limits: &DataLimits) -> Result<Result<DatasetReport, Refused>, Error> {
        let read: Vec<PathBuf> = files.iter().map(|(_, path)| path.clone()).collect();
        let sizes = read.iter().filter_map(|path| std::fs::metadata(path).ok()).map(|about| about.len());
        let patience = patience(sizes.sum());
        self.run(read, Work::Dataset { files, limits: *limits }, patience, |check| match check.hear(LONGEST_REPORT)? {
            Said::Checked(answer) => Ok((*answer).map(sound)),
            _ => Err(Heard::Nonsense),
        })
    }

    pub(super) fn scan(&self, files: &[Scanned]) -> Result<Vec<Findings>, Error> {
        let to_scan = |file: &Scanned| ToScan { size: file.bytes.size(), path: file.path.clone(), block: file.bytes.block_bytes() };
        let work = files.iter().map(to_scan).collect();
        let read = files.iter().filter_map(|file| file.path.clone()).collect();
        let patience = patience(files.iter().map(|file| file.bytes.size()).sum());
        self.run(read, Work::Scan(work), patience, |check| {
            let mut found = Vec::with_capacity(files.len());
            loop {
                match check.hear(LONGEST)? {
                    Said::Read { file, offset, most } => check.send_of(files, file, offset, most)?,
                    Said::Found(findings) if found.len() < files.len() => found.push(bounded(findings)),
                    Said::Unread { file, problem } => {
                        let name = files.get(file).map_or("a file", |file| file.name.as_str());
                        return Err(Heard::Unread(std::io::Error::other(format!("'{name}': {}", short(&problem)))));
                    }
                    Said::Done if found.len() == files.len() => return Ok(found),
                    _ => return Err(Heard::Nonsense),
                }
            }
        })
    }

    /// Which form the weights had; the model folder is made.
    pub(super) fn import(&self, what: &ToImport) -> Result<Result<String, NotMade>, Error> {
        let parent = what.out.parent().ok_or_else(|| Error::NotStarted(std::io::ErrorKind::InvalidInput.into()))?;
        std::fs::create_dir_all(parent).map_err(Error::NotStarted)?;
        // As rules on paths have them, and a process that stands elsewhere.
        let (source, parent) = (real(&what.source)?, real(parent)?);
        let out = parent.join(what.out.file_name().unwrap_or_default());
        let patience = patience(size_of(&source));
        let work = Work::Import(ToImport { source: source.clone(), out, ..what.clone() });
        self.run(vec![source], work, patience, |check| match check.hear(LONGEST)? {
            Said::Imported(Ok(form)) => Ok(Ok(short(&form))),
            Said::Imported(Err(why)) => Ok(Err(NotMade { problem: short(&why.problem), ..why })),
            _ => Err(Heard::Nonsense),
        })
    }

    pub(super) fn pictures(&self, what: ToShow, told: &mut dyn FnMut(usize, Option<Small>)) -> Result<(), Error> {
        let (read, count) = (what.files.iter().map(|(_, path)| path.clone()).collect(), what.paths.len());
        self.run(read, Work::Pictures(what), TO_SHOW, |check| {
            loop {
                match check.hear(LONGEST_PICTURE)? {
                    Said::Picture { at, picture } if at < count => told(at, picture.and_then(Small::read)),
                    Said::Done => return Ok(()),
                    _ => return Err(Heard::Nonsense),
                }
            }
        })
    }

    /// Starts a process, gives it its order, and hears what `listen` takes for an answer.
    fn run<T>(
        &self,
        read: Vec<PathBuf>,
        work: Work,
        patience: Duration,
        listen: impl FnOnce(&mut Check) -> Result<T, Heard>,
    ) -> Result<T, Error> {
        let folder = tempfile::tempdir().map_err(Error::NotStarted)?;
        let own = std::fs::canonicalize(folder.path()).map_err(Error::NotStarted)?;
        let (memory_bytes, choice, parent) = (self.memory_bytes, self.choice, std::process::id());
        let made = if let Work::Import(what) = &work { what.out.parent() } else { None };
        let write = std::iter::once(own.clone()).chain(made.map(PathBuf::from)).collect();
        let programs =
            if let Work::Dataset { files, .. } = &work { films(files.iter().map(|(path, _)| path.as_str())) } else { Vec::new() };
        let grant = Grant { read, write, never: self.data.clone(), programs, card: false, memory_bytes, parent, choice };
        // People see it in their list of processes.
        let part = match &work {
            Work::Dataset { .. } => "check",
            Work::Scan(_) => "scan",
            Work::Import(_) => "import",
            Work::Pictures(_) => "check",
        };
        let child = Child::start(&self.program, part, &own).map_err(Error::NotStarted)?;
        let mut check = Check { child, until: Instant::now() + patience };
        let told = check.child.tell(&Order { grant, work }, patience).map_err(Heard::Child);
        let heard = told.and_then(|()| listen(&mut check));
        match heard {
            Ok(answer) => {
                check.child.end(TO_END).map_err(|e| Error::Ended(e.to_string()))?;
                Ok(answer)
            }
            Err(Heard::Unread(error)) => Err(Error::Unread(error)),
            Err(Heard::Nonsense) => Err(Error::Ended("the process that made it spoke in a way that is not known".into())),
            Err(Heard::Child(child::Error::Ended)) => Err(Error::Ended(how_it_ended(check.child))),
            Err(Heard::Child(child::Error::Silent(_))) => Err(Error::Ended(format!("it took longer than {} s", patience.as_secs()))),
            Err(Heard::Child(other)) => Err(Error::Ended(format!("of the process that made it: {other}"))),
        }
    }
}

/// Why there was no answer.
enum Heard {
    Child(child::Error),
    Unread(std::io::Error),
    Nonsense,
}

impl From<child::Error> for Heard {
    fn from(error: child::Error) -> Heard {
        Heard::Child(error)
    }
}

/// A check under way.
struct Check {
    child: Child,
    until: Instant,
}

impl Check {
    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    fn hear(&mut self, most: usize) -> Result<Said, Heard> {
        let line = self.child.hear(most, self.left())?;
        serde_json::from_slice(&line).map_err(|_| Heard::Nonsense)
    }

    /// Answers a read of one of these files.
    fn send_of(&mut self, files: &[Scanned], file: usize, offset: u64, most: usize) -> Result<(), Heard> {
        let Some(file) = files.get(file) else { return Err(Heard::Nonsense) };
        match file.bytes.read_at(offset, most.min(MOST_READ)) {
            Ok(bytes) => {
                self.child.tell(&Sent(Some(bytes.len())), self.left())?;
                Ok(self.child.send(&bytes, self.left())?)
            }
            Err(error) => Err(Heard::Unread(error)),
        }
    }
}

fn real(path: &Path) -> Result<PathBuf, Error> {
    std::fs::canonicalize(path).map_err(Error::NotStarted)
}

/// Of a file, or of those in a folder.
fn size_of(source: &Path) -> u64 {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |about| about.len());
    match std::fs::read_dir(source) {
        Ok(entries) => entries.flatten().map(|entry| size(&entry.path())).sum(),
        Err(_) => size(source),
    }
}

fn patience(bytes: u64) -> Duration {
    PATIENCE + Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND)
}

fn how_it_ended(child: Child) -> String {
    match child.end(TO_END) {
        Err(error) => error.to_string(),
        Ok(end) => {
            tracing::warn!(status = %end.status, words = end.words, "a check died");
            match (end.out_of_memory, end.status.signal()) {
                (true, _) => "it ran out of memory".into(),
                (_, Some(signal)) => format!("it was ended by signal {signal}"),
                _ => "it crashed, and the server's log says where".into(),
            }
        }
    }
}

/// A report of a process that may have lied: its pictures and texts go into pages.
fn sound(mut report: DatasetReport) -> DatasetReport {
    let letters = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
    let is_shown =
        |preview: &Preview| matches!(preview.media_type.as_str(), "image/png" | "image/jpeg" | "text/plain") && letters(&preview.base64);
    report.previews.retain(is_shown);
    report
}

fn bounded(found: Findings) -> Findings {
    let words = |why: Option<String>| why.map(|why| short(&why));
    let Findings { pickle, unsafe_because, ambiguous_because, unscanned } = found;
    Findings { pickle, unsafe_because: words(unsafe_because), ambiguous_because: words(ambiguous_because), unscanned: words(unscanned) }
}

fn short(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_WORDS).collect()
}

#[cfg(test)]
#[path = "confined_tests.rs"]
mod tests;
