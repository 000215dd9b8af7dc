//! Pull-through: a repo that is asked for and absent is fetched from another hub, proved, published here, and served
//! like any other. Which hub, and whose repos of it, only the configuration says.
//!
//! It never writes where somebody lives: the namespaces of this hub's own people and organisations are theirs, and
//! a repo that was deleted here stays so. What the other hub shows to the configured token only is private here.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;

use super::super::{Error, Result, Service};
use super::publish_folder::FolderCommit;
use super::scan;
use crate::catalog::{former_names, repos, users, versions};
use crate::domain::name::{Name, RepoId, RepoKind};
use crate::domain::time::Timestamp;
use crate::domain::user::Actor;
use crate::import::mirror::{self, Snapshot, Tell, Upstream};

/// How long a request waits for a fetch; whoever asks again joins it.
const PATIENCE: Duration = Duration::from_secs(25);
/// Fetches at once; others wait their turn.
const AT_ONCE: usize = 3;
/// How long an answer counts that brought no repo: strangers must not make us ask the other hub all day.
const REMEMBERED_MS: i64 = 60_000;
/// Answers remembered; more are not, and asked again.
const MOST_REMEMBERED: usize = 10_000;
/// Half-fetched repos nobody asked for any more.
const ABANDONED_AFTER: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Another hub whose repos appear here when they are asked for.
#[derive(Clone)]
pub struct Mirroring {
    upstream: Upstream,
    /// Folded; `None` for all.
    namespaces: Option<Vec<String>>,
    /// For what is being fetched.
    folder: PathBuf,
    fetches: Arc<Mutex<HashMap<(RepoKind, String), Fetch>>>,
    turns: Arc<Semaphore>,
}

/// A fetch under way, or one that brought nothing.
#[derive(Clone)]
struct Fetch {
    begun: Timestamp,
    outcome: watch::Receiver<Option<Outcome>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Here,
    Absent,
    Failed(String),
}

impl Mirroring {
    /// The hub at an address, as whom a token says. `namespaces`: `*` for all, or names.
    pub fn new(address: &str, token: Option<&str>, namespaces: &[String], folder: PathBuf) -> Result<Mirroring> {
        let upstream = Upstream::new(address, token).map_err(|e| Error::invalid("bad_upstream", e.to_string(), e.hint()))?;
        let all = namespaces.iter().any(|name| name == "*");
        let named = namespaces.iter().filter_map(|name| Name::parse(name).ok()).map(|name| name.folded());
        Ok(Mirroring {
            upstream,
            namespaces: (!all).then(|| named.collect()),
            folder,
            fetches: Arc::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    fn allows(&self, namespace: &Name) -> bool {
        self.namespaces.as_ref().is_none_or(|names| names.contains(&namespace.folded()))
    }
}

impl Service {
    /// The same service, with another hub behind it.
    pub fn mirroring(self, mirroring: Option<Mirroring>) -> Service {
        Service { mirroring, ..self }
    }

    pub fn has_upstream(&self) -> bool {
        self.mirroring.is_some()
    }

    /// Fetches a repo that is absent here, if that is wanted; whoever may see it then, the next look decides.
    /// [`Error::Busy`] while it takes long, or where nobody can say whether there is one.
    pub async fn fetch_absent(&self, kind: RepoKind, id: &RepoId) -> Result<()> {
        let Some(mirroring) = self.mirroring.as_ref().filter(|mirroring| mirroring.allows(id.namespace())) else { return Ok(()) };
        let asked = id.clone();
        let ours = self.db.read(move |tx| {
            let known = match repos::find(tx, kind, &asked)? {
                // An empty one is what a fetch leaves that ended between two steps.
                Some(repo) => versions::find_head(tx, &repo.key)?.is_some(),
                None => repos::is_buried(tx, kind, &asked)? || former_names::find(tx, kind, &asked)?.is_some(),
            };
            // `library` is everybody's, and may come from there.
            let lived_in = users::find(tx, asked.namespace())?.is_some();
            Ok::<_, Error>(known || lived_in)
        });
        if ours.await? {
            return Ok(());
        }
        let mut outcome = self.join(mirroring, kind, id);
        match tokio::time::timeout(PATIENCE, outcome.wait_for(Option::is_some)).await.map(|seen| seen.map(|outcome| outcome.clone())) {
            Ok(Ok(Some(Outcome::Failed(problem)))) => {
                let message = format!("'{id}' is not here, and the hub behind this one cannot say whether it has it: {problem}");
                Err(Error::busy("upstream_unavailable", message, "try again in a minute"))
            }
            Ok(_) => Ok(()),
            Err(_) => {
                let message = format!("'{id}' is being fetched from the hub behind this one");
                Err(Error::busy("mirroring", message, "ask again in a moment; it goes on meanwhile"))
            }
        }
    }

    /// The one fetch of a repo, begun now or before.
    fn join(&self, mirroring: &Mirroring, kind: RepoKind, id: &RepoId) -> watch::Receiver<Option<Outcome>> {
        let (key, now) = ((kind, id.folded()), self.now());
        let mut fetches = mirroring.fetches.lock();
        let counts = |fetch: &Fetch| fetch.outcome.borrow().is_none() || now.unix_ms() - fetch.begun.unix_ms() < REMEMBERED_MS;
        if let Some(fetch) = fetches.get(&key).filter(|fetch| counts(fetch)) {
            return fetch.outcome.clone();
        }
        if fetches.len() >= MOST_REMEMBERED {
            fetches.retain(|_, fetch| fetch.outcome.borrow().is_none());
        }
        let (said, outcome) = watch::channel(None);
        fetches.insert(key.clone(), Fetch { begun: now, outcome: outcome.clone() });
        let (service, mirroring, id) = (self.clone(), mirroring.clone(), id.clone());
        // A task of its own: it goes on when whoever asked has gone.
        tokio::spawn(async move {
            let fetched = service.fetch_and_publish(mirroring.clone(), kind, id).await;
            if fetched == Outcome::Here {
                // From now on the catalog answers.
                mirroring.fetches.lock().remove(&key);
            }
            // Nobody may be waiting any more.
            let _ = said.send(Some(fetched));
        });
        outcome
    }

    async fn fetch_and_publish(self, mirroring: Mirroring, kind: RepoKind, id: RepoId) -> Outcome {
        let Ok(_turn) = mirroring.turns.clone().acquire_owned().await else { return Outcome::Absent };
        let problem = match self.mirror(mirroring.clone(), kind, id.clone()).await {
            Ok(()) => return Outcome::Here,
            Err(Failure::Upstream(mirror::Error::NotFound { .. } | mirror::Error::Refused { .. })) => return Outcome::Absent,
            // Another node was quicker.
            Err(Failure::Ours(Error::Conflict(_))) => return Outcome::Here,
            Err(Failure::Upstream(error)) => error.to_string(),
            Err(Failure::Ours(error)) => error.to_string(),
        };
        tracing::warn!(%kind, %id, upstream = mirroring.upstream.address(), problem, "a repo was not mirrored");
        Outcome::Failed("see its log".to_owned())
    }

    async fn mirror(&self, mirroring: Mirroring, kind: RepoKind, id: RepoId) -> std::result::Result<(), Failure> {
        let (upstream, tell): (Upstream, Tell) = (mirroring.upstream.clone(), Arc::new(|_| ()));
        let mut snapshot = upstream.snapshot(kind, &id.to_string(), "main", &tell).await?;
        let left_out = self.keep_publishable(&mut snapshot)?;
        let place = mirroring.folder.join(format!("{kind}-{}-{}", id.folded().replace('/', "--"), snapshot.commit));
        let folder = mirroring.folder.clone();
        // Whether it goes well matters to nobody now.
        let _ = spawn_blocking(move || remove_abandoned(&folder)).await;
        let files = place.join("files");
        upstream.fetch(&snapshot, &files, &place.join("parts"), &tell).await?;
        let mut message = format!("Mirror of {} at {} ({})", id, upstream.address(), snapshot.commit);
        if left_out > 0 {
            message.push_str(&format!("\n\n{left_out} files are not taken: loading them can run code."));
        }
        let commit = FolderCommit { message, private: snapshot.private, ..FolderCommit::default() };
        let published = self.publish_folder(&Actor::System, kind, &id, &files, commit).await;
        // What cannot be published now never can; what can is safe.
        let _ = tokio::fs::remove_dir_all(&place).await;
        tracing::info!(%kind, %id, commit = snapshot.commit, bytes = snapshot.total_bytes(), "mirrored a repo");
        Ok(published.map(drop)?)
    }

    /// Leaves out what this server's policy refuses. How many files that are.
    fn keep_publishable(&self, snapshot: &mut Snapshot) -> std::result::Result<usize, Failure> {
        let before = snapshot.files.len();
        if !self.policy.allow_pickle {
            snapshot.retain(|file| scan::refuse_code(&file.path, b"").is_ok());
        }
        let most = self.policy.max_file_bytes;
        match snapshot.files.iter().find(|file| file.size_bytes > most) {
            Some(file) => {
                Err(mirror::Error::TooLarge(format!("'{}' has {} bytes, and {most} are allowed", file.path, file.size_bytes)).into())
            }
            None => Ok(before - snapshot.files.len()),
        }
    }
}

/// Whose fault it is.
enum Failure {
    Upstream(mirror::Error),
    Ours(Error),
}

impl From<mirror::Error> for Failure {
    fn from(error: mirror::Error) -> Failure {
        Failure::Upstream(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Ours(error)
    }
}

/// What cannot be looked at or removed is looked at again by the next fetch.
fn remove_abandoned(folder: &Path) {
    let old = |at: SystemTime| SystemTime::now().duration_since(at).is_ok_and(|age| age > ABANDONED_AFTER);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.metadata().and_then(|found| found.modified()).is_ok_and(old) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
