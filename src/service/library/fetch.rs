//! Fetching an entry when somebody asks: one fetch however many ask, which goes on when they have gone, and tells how far it is.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::super::work::{Whose, Work};
use super::super::{Error, Problem, Result, Service, access};
use super::{EntryDetail, Upstream, detail, see_entry};
use crate::catalog::library;
use crate::domain::id::RepoKey;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::time::Timestamp;
use crate::domain::user::Actor;
use crate::import::mirror;

/// How long one question waits; whoever asks again goes on waiting.
const PATIENCE: Duration = Duration::from_secs(1);
/// Fetches at once, and those of one caller. All strangers together are one.
const AT_ONCE: usize = 4;
const OF_ONE: usize = 2;
/// How long a failure is told again rather than the upstream asked.
const REMEMBERED_MS: i64 = 10_000;

/// Where entries are fetched from, and what is under way. Cheap to clone.
#[derive(Clone)]
pub struct Source {
    /// `None`: from nowhere.
    pub(super) upstream: Option<mirror::Upstream>,
    /// For what has not arrived entirely.
    pub(super) folder: PathBuf,
    attempts: Arc<Mutex<HashMap<RepoKey, Attempt>>>,
    turns: Work,
    count: Arc<AtomicU64>,
}

/// One fetch, under way or over.
#[derive(Clone)]
struct Attempt {
    number: u64,
    begun: Timestamp,
    meter: Arc<Meter>,
    outcome: watch::Receiver<Option<Outcome>>,
}

/// How far a fetch is.
#[derive(Debug, Default)]
pub(super) struct Meter {
    files: AtomicU64,
    bytes: AtomicU64,
    done: AtomicU64,
    /// Why it stands still, if it does.
    trouble: Mutex<String>,
}

/// How a fetch ended.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    Here { warnings: Vec<String> },
    Failed(Problem),
}

/// What somebody asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// The fetch this is a question about, by the number an earlier answer gave.
    pub attempt: Option<u64>,
    /// Also where its files are here: for what the upstream has now. For administrators.
    pub anew: bool,
}

/// What a question is answered.
#[derive(Debug, Clone)]
pub struct Fetching {
    pub entry: EntryDetail,
    /// Under way, unless it is here or failed.
    pub attempt: Option<u64>,
    pub files: u64,
    pub bytes: u64,
    pub done_bytes: u64,
    pub trouble: String,
    pub here: bool,
    pub warnings: Vec<String>,
    pub failed: Option<Problem>,
}

impl Meter {
    pub fn tell(self: &Arc<Self>) -> mirror::Tell {
        let meter = self.clone();
        Arc::new(move |event| match event {
            mirror::Event::Begin { files, bytes } => {
                meter.files.store(files, Ordering::Relaxed);
                meter.bytes.store(bytes, Ordering::Relaxed);
            }
            mirror::Event::Advance(bytes) => {
                meter.done.fetch_add(bytes, Ordering::Relaxed);
                meter.trouble.lock().clear();
            }
            mirror::Event::Retreat(bytes) => {
                meter.done.fetch_sub(bytes, Ordering::Relaxed);
            }
            mirror::Event::Repeat { reason, .. } => *meter.trouble.lock() = reason,
        })
    }
}

impl Source {
    /// Connects to nothing yet.
    pub fn open(from: &Upstream) -> Result<Source> {
        let upstream = match from.address.as_str() {
            "" => None,
            address => {
                let opened = mirror::Upstream::new(address, from.token.as_deref(), &from.proxies);
                let opened = opened.map_err(|e| Error::invalid("bad_upstream", format!("library_upstream: {e}"), e.hint()))?;
                Some(opened.within(from.patience))
            }
        };
        let turns = Work::shared(AT_ONCE, OF_ONE);
        Ok(Source { upstream, folder: from.folder.clone(), attempts: Arc::default(), turns, count: Arc::default() })
    }
}

impl Service {
    /// The same service, with a library whose entries come from there.
    pub fn with_library(self, library: Option<Source>) -> Service {
        Service { library, ..self }
    }

    /// Fetches an entry if its files are not here, and answers within a second how that goes. Whoever may see it may ask.
    pub async fn fetch_entry(&self, actor: &Actor, kind: RepoKind, id: &RepoId, asked: Asked) -> Result<Fetching> {
        if asked.anew {
            access::admin_site(actor)?;
        }
        let found = self.see_listed(actor, kind, id).await?;
        let id = found.repo.id.clone();
        let not_there = || Error::not_found("no_library", "this hub has no library", "its administrator turned it off ('library')");
        let source = self.library.clone().ok_or_else(not_there)?;
        if found.version.is_some() && !asked.anew && asked.attempt.is_none() {
            return Ok(Fetching::here(found, Vec::new()));
        }
        let mut attempt = self.join_fetch(&source, whose(actor), &found, asked);
        match within_patience(&mut attempt.outcome).await {
            Some(Outcome::Here { warnings }) => Ok(Fetching::here(self.see_listed(actor, kind, &id).await?, warnings)),
            Some(Outcome::Failed(problem)) => Ok(Fetching { failed: Some(problem), ..attempt.running(found) }),
            None => Ok(attempt.running(found)),
        }
    }

    /// How the last fetch of an entry went on this server, if there was one that did not end well.
    pub fn last_attempt(&self, entry: &EntryDetail) -> Option<Fetching> {
        let source = self.library.as_ref()?;
        let attempt = source.attempts.lock().get(&entry.repo.key)?.clone();
        let outcome = attempt.outcome.borrow().clone();
        match outcome {
            Some(Outcome::Here { .. }) => None,
            Some(Outcome::Failed(problem)) => Some(Fetching { failed: Some(problem), ..attempt.running(entry.clone()) }),
            None => Some(attempt.running(entry.clone())),
        }
    }

    /// The entry of a name or an alias.
    async fn see_listed(&self, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<EntryDetail> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let repo = see_entry(tx, &actor, kind, &id)?;
                let found = match library::find(tx, &repo.key)? {
                    Some(listed) => detail(tx, repo, listed)?,
                    None => None,
                };
                let hint = "'hub library list' lists its entries";
                found.ok_or_else(|| Error::not_found("not_in_library", format!("'{id}' is no entry of the library"), hint))
            })
            .await
    }

    /// The one fetch of an entry, begun now or before.
    fn join_fetch(&self, source: &Source, whose: Whose, found: &EntryDetail, asked: Asked) -> Attempt {
        let (key, now) = (found.repo.key.clone(), self.now());
        let mut attempts = source.attempts.lock();
        let counts = |attempt: &Attempt| match &*attempt.outcome.borrow() {
            None => true,
            // Whoever waited for it hears how it ended.
            Some(_) if asked.attempt == Some(attempt.number) => true,
            Some(Outcome::Failed(_)) => !asked.anew && now.unix_ms() - attempt.begun.unix_ms() < REMEMBERED_MS,
            Some(Outcome::Here { .. }) => false,
        };
        if let Some(attempt) = attempts.get(&key).filter(|attempt| counts(attempt)) {
            return attempt.clone();
        }
        let (said, outcome) = watch::channel(None);
        let number = source.count.fetch_add(1, Ordering::Relaxed) + 1;
        let attempt = Attempt { number, begun: now, meter: Arc::default(), outcome };
        attempts.insert(key, attempt.clone());
        let (service, source, found, meter) = (self.clone(), source.clone(), found.clone(), attempt.meter.clone());
        // A task of its own: it goes on when whoever asked has gone.
        tokio::spawn(async move {
            let outcome = match source.turns.turn(&whose).await {
                Ok(_turn) => service.take_entry(&source, &found, &meter).await,
                Err(error) => Outcome::Failed(problem_of(error)),
            };
            // Nobody may be waiting any more.
            let _ = said.send(Some(outcome));
        });
        attempt
    }
}

impl Attempt {
    fn running(&self, entry: EntryDetail) -> Fetching {
        let meter = &self.meter;
        Fetching {
            entry,
            attempt: Some(self.number),
            files: meter.files.load(Ordering::Relaxed),
            bytes: meter.bytes.load(Ordering::Relaxed),
            done_bytes: meter.done.load(Ordering::Relaxed),
            trouble: meter.trouble.lock().clone(),
            here: false,
            warnings: Vec::new(),
            failed: None,
        }
    }
}

impl Fetching {
    fn here(entry: EntryDetail, warnings: Vec<String>) -> Fetching {
        let (attempt, trouble, failed) = (None, String::new(), None);
        Fetching { entry, attempt, files: 0, bytes: 0, done_bytes: 0, trouble, here: true, warnings, failed }
    }
}

/// How it ended, if it does so soon.
async fn within_patience(outcome: &mut watch::Receiver<Option<Outcome>>) -> Option<Outcome> {
    match tokio::time::timeout(PATIENCE, outcome.wait_for(Option::is_some)).await {
        Ok(Ok(seen)) => seen.clone(),
        Ok(Err(_)) => Some(Outcome::Failed(ended())),
        Err(_) => None,
    }
}

fn ended() -> Problem {
    let message = "the fetch ended before it was done".to_owned();
    Problem { code: "library_stopped", message, hint: "ask again; what has arrived is kept".into(), moved_to: None }
}

/// What an error of ours says; of an internal one only that there was one.
pub(super) fn problem_of(error: Error) -> Problem {
    match error {
        Error::NotFound(problem)
        | Error::Unauthorized(problem)
        | Error::Forbidden(problem)
        | Error::Conflict(problem)
        | Error::Invalid(problem)
        | Error::TooLarge(problem)
        | Error::Busy(problem)
        | Error::Corrupt(problem) => problem,
        Error::Internal(problem) => {
            tracing::error!(problem, "an entry of the library was not kept");
            let message = "what came could not be kept".to_owned();
            Problem { code: "library_failed", message, hint: "the server's log says more".into(), moved_to: None }
        }
    }
}

/// Strangers are one caller here, however many addresses they have.
fn whose(actor: &Actor) -> Whose {
    match actor {
        Actor::Anonymous => Whose::Network(Ipv4Addr::UNSPECIFIED.into()),
        other => Whose::of(other),
    }
}
