//! A worker without the database and the store: it has the hub's address, a worker's token and a folder, and asks everything over HTTP.
//!
//! ```text
//! FOLDER/cache/   what jobs have read, by sha256: a base is fetched once for all jobs that start from it
//! ```
//!
//! Bytes are proved when they arrive, and what a job reads is linked into its own folder: the cache may be emptied beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;

use super::office::{Beat, Claim, Given, Office, Task};
use super::{Error, Result};
use crate::cache::{Cache, Choice};
use crate::client::{self, Address, Client, Folder, Held, JobInput, LocalFile, named};
use crate::domain::digest::Digest;
use crate::domain::id::JobId;
use crate::domain::job::{Death, JobState, Lease, Wanted};
use crate::domain::job_event::Event;
use crate::domain::manifest::Manifest;
use crate::domain::path::RepoPath;
use crate::domain::time::Timestamp;
use crate::domain::work::Work;
use crate::service::jobs::result::Left;
use crate::wire::files::File;
use crate::wire::worker::{Machine, WorkerClaim, WorkerDeath, WorkerEnd, WorkerNews, WorkerResult};

/// How long a patient claim waits at the hub.
const WAIT_SECONDS: u64 = 5;
/// A finished result is offered to a hub that does not answer so often, so long apart.
const OFFERS: u32 = 60;
const OFFER_AGAIN: Duration = Duration::from_secs(10);
/// Below which what is published lies while it is sent, and what is kept.
const PUBLISHED: &str = "published/";
const KEPT: &str = "kept/";

/// Where the hub is, and who asks there.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    /// The hub's address.
    pub hub: String,
    /// A worker's token.
    pub token: String,
    /// Send the token over plain http to another machine.
    pub insecure: bool,
    /// What the machine is, for the job's log.
    pub memory_bytes: u64,
    pub threads: usize,
    pub device: String,
}

pub(super) struct Remote {
    client: Client,
    cache: Cache,
    /// Room for what is fetched.
    cache_bytes: u64,
    /// The beginning of the names it claims by.
    name: String,
    claims: AtomicU64,
    machine: Machine,
}

impl Remote {
    pub fn new(at: &Elsewhere, folder: &Path, cache_bytes: u64, name: &str) -> Result<Remote> {
        let refused = |e: client::Error| Error::Refused(format!("{e}; {}", e.hint()));
        let options = client::Options { token: Some(at.token.clone()), insecure: at.insecure, sink: None };
        let client = Client::new(Address::parse(&at.hub).map_err(refused)?, options).map_err(refused)?;
        let cache = Cache::open(folder.join("cache")).map_err(client::Error::from)?;
        let (cpus, release) = (u32::try_from(at.threads).unwrap_or(u32::MAX), env!("CARGO_PKG_VERSION").to_owned());
        let machine = Machine { cpus, memory_bytes: at.memory_bytes, device: at.device.clone(), release };
        Ok(Remote { client, cache, cache_bytes, name: name.to_owned(), claims: AtomicU64::new(0), machine })
    }

    fn of(&self, lease: &Lease) -> Client {
        self.client.holding(Held { job: lease.job.to_string(), lease: lease.number, worker: lease.worker.clone() })
    }

    /// Fetches files and links them into a folder, each by its path.
    async fn fetch(&self, client: &Client, files: &[File], at: &[&str], folder: &Path) -> Result<Vec<(String, PathBuf)>> {
        let wanted = files.iter().map(|file| input(file, at)).collect::<Result<Vec<_>>>()?;
        client.fetch_inputs(&self.cache, &wanted).await?;
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let mut linked = Vec::with_capacity(wanted.len());
        for (file, wanted) in files.iter().zip(&wanted) {
            let to = folder.join(wanted.digest.to_hex());
            if !to.exists() {
                link(&self.cache.blob_path(&wanted.digest), &to)?;
            }
            linked.push((file.path.clone(), to));
        }
        Ok(linked)
    }

    /// Empties the cache once it is too large; what it holds is needed by no job that runs.
    fn keep_within(&self) {
        let bytes = self.cache.usage().map_or(0, |(blobs, partial)| blobs.bytes + partial.bytes);
        if bytes > self.cache_bytes {
            let choice = Choice { versions: &|_| false, fresh: false, now: Timestamp::from_unix_ms(i64::MAX / 2) };
            if let Err(error) = self.cache.prune(&choice, false) {
                tracing::warn!(%error, "the cache of inputs was not emptied");
            }
        }
    }
}

#[async_trait]
impl Office for Remote {
    async fn claim(&self, wanted: &Wanted, patient: bool) -> Result<Claim> {
        // A claim whose answer was lost is made again by the same name; one that gave a job is the last of its name.
        let worker = format!("{}.{}", self.name, self.claims.load(Ordering::Relaxed));
        let (job, after) = match wanted {
            Wanted::Any => (None, None),
            Wanted::This(job) => (Some(job.to_string()), None),
            Wanted::After(job) => (None, Some(job.to_string())),
        };
        let wait_seconds = if patient { WAIT_SECONDS } else { 0 };
        let claim = WorkerClaim { worker: worker.clone(), job, after, wait_seconds, machine: self.machine.clone() };
        let taken = match self.client.claim_job(&claim).await {
            Ok(Some(taken)) => taken,
            Ok(None) => return Ok(Claim::None),
            Err(error) => {
                return match error.code() {
                    "job_not_ready" => Ok(Claim::NotReady(error.to_string())),
                    "job_succeeded" => Ok(Claim::Ended(JobState::Succeeded)),
                    "job_failed" => Ok(Claim::Ended(JobState::Failed)),
                    "job_cancelled" => Ok(Claim::Ended(JobState::Cancelled)),
                    _ => Err(error.into()),
                };
            }
        };
        self.claims.fetch_add(1, Ordering::Relaxed);
        let strange = |what: String| Error::Later(format!("the hub gave a job that this release does not understand: {what}"));
        let job = JobId::parse(&taken.job).map_err(|e| strange(e.to_string()))?;
        let lease = Lease { job, number: taken.lease, worker, until: Timestamp::from_unix_ms(0) };
        if !plain(&taken.owner) {
            return Err(strange("whose it is".into()));
        }
        match Work::read(&taken.kind, &taken.spec.to_string()) {
            Ok(work) => Ok(Claim::Job(Box::new(Task { lease, attempt: taken.attempt, owner: taken.owner, work, limits: taken.limits }))),
            Err(problem) => {
                let error = strange(problem);
                self.end(&lease, &error).await?;
                Err(error)
            }
        }
    }

    async fn bury(&self, worker: &str, how: Death) -> Result<usize> {
        let (signal, status) = match how {
            Death::Signal(signal) => (Some(signal), None),
            Death::Exit(status) => (None, Some(status)),
            Death::OutOfMemory | Death::Unknown => (None, None),
        };
        let death = WorkerDeath { worker: worker.to_owned(), out_of_memory: how == Death::OutOfMemory, signal, status };
        self.client.bury_worker(&death).await?;
        Ok(0)
    }

    async fn bring(&self, task: &Task, folder: &Path) -> Result<Given> {
        self.keep_within();
        let client = self.of(&task.lease);
        let materials = client.job_materials().await?;
        let place = folder.join("inputs");
        let mut inputs = Vec::new();
        for read in materials.inputs {
            let files = match self.fetch(&client, &read.files, &["inputs", &read.role, "files"], &place).await {
                Ok(files) => files,
                Err(Error::Never(why)) if read.spare => {
                    tracing::warn!(job = %task.lease.job, role = read.role, why, "the job goes on without an input");
                    Vec::new()
                }
                Err(error) => return Err(error),
            };
            inputs.push((read.role, files));
        }
        let sent = self.fetch(&client, &materials.given, &["given"], &place).await?;
        let resume = match &materials.checkpoint {
            Some(file) => self.fetch(&client, &[File { path: String::new(), ..file.clone() }], &["checkpoint"], &place).await?.pop(),
            None => None,
        };
        Ok(Given { inputs, sent, notes: materials.notes, resume: resume.map(|(_, file)| file) })
    }

    async fn beat(&self, lease: &Lease, news: &[(u64, Event)]) -> Result<Beat> {
        let told = |(number, event): &(u64, Event)| WorkerNews { number: *number, kind: event.kind().to_owned(), body: event.body() };
        match self.of(lease).beat(news.iter().map(told).collect()).await?.say.as_str() {
            "cancel" => Ok(Beat::Cancel),
            "pause" => Ok(Beat::Pause),
            _ => Ok(Beat::GoOn),
        }
    }

    async fn keep(&self, lease: &Lease, path: &Path) -> Result<()> {
        Ok(self.of(lease).keep_checkpoint(path).await?)
    }

    async fn complete(&self, task: &Task, left: Left) -> Result<Option<u32>> {
        let (client, left) = (self.of(&task.lease), Arc::new(left));
        let mut offers = 1;
        loop {
            // On a thread that may block: files are read and hashed on the way.
            let (handle, client, what) = (Handle::current(), client.clone(), left.clone());
            let offered = tokio::task::spawn_blocking(move || handle.block_on(offer(&client, &what))).await;
            match offered.map_err(|e| Error::Later(format!("handing in the result was stopped: {e}")))? {
                // The work is done: a hub that is away for a while does not cost it.
                Err(Error::Busy(why)) if offers < OFFERS => {
                    tracing::warn!(job = %task.lease.job, why, "the result could not be handed in yet");
                    offers += 1;
                    tokio::time::sleep(OFFER_AGAIN).await;
                }
                done => return done,
            }
        }
    }

    async fn end(&self, lease: &Lease, why: &Error) -> Result<()> {
        let how = match why {
            Error::Lost => return Ok(()),
            Error::Cancelled => "cancelled",
            Error::Stopping => "released",
            Error::Never(_) | Error::Checkpoint(_) => "failed",
            Error::Later(_) | Error::Busy(_) | Error::Refused(_) | Error::Io { .. } => "retry",
        };
        Ok(self.of(lease).end_job(&WorkerEnd { how: how.into(), why: why.to_string() }).await?)
    }
}

/// Sends a result and ends the job with it.
async fn offer(client: &Client, left: &Left) -> Result<Option<u32>> {
    let mut files = Vec::new();
    let published = left.publish.iter().flatten().map(|file| (PUBLISHED, file));
    for (folder, (name, source)) in published.chain(left.files.iter().map(|file| (KEPT, file))) {
        let path = RepoPath::parse(&format!("{folder}{name}")).map_err(|e| Error::Never(format!("a file of the result: {e}")))?;
        let size_bytes = std::fs::metadata(source).map_err(Error::io(source))?.len();
        files.push(LocalFile { path, source: source.clone(), size_bytes });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let sent = client.send_result(&Folder { files, ignored: Vec::new() }).await?;
    let result = WorkerResult {
        published: left.publish.as_ref().map(|_| below(&sent, PUBLISHED)),
        refused: left.refused.clone(),
        kept: below(&sent, KEPT),
        headline: left.headline.clone(),
    };
    Ok(client.complete_job(&result).await?.version)
}

/// What this machine is called, as names of workers may be.
pub(super) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain: String = name.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(40).collect();
    if plain.is_empty() { "machine".into() } else { plain }
}

fn input(file: &File, at: &[&str]) -> Result<JobInput> {
    let digest = Digest::parse(&file.sha256).map_err(|e| Error::Never(format!("the hub names a file's sha256 oddly: {e}")))?;
    let path = file.path.split('/').filter(|part| !part.is_empty());
    let at = at.iter().copied().chain(path).map(str::to_owned).collect();
    Ok(JobInput { at, digest, size_bytes: file.size_bytes })
}

/// The same bytes by another name; a copy where the file system has no links.
fn link(from: &Path, to: &Path) -> Result<()> {
    if std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    match std::fs::copy(from, to) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::Later("an input was removed from the cache".into())),
        Err(error) => Err(Error::io(to)(error)),
    }
}

/// It becomes a folder's name.
fn plain(owner: &str) -> bool {
    !owner.is_empty() && owner.len() <= 64 && owner.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn below(sent: &Manifest, folder: &str) -> Vec<File> {
    let inside = |path: &str| path.strip_prefix(folder).map(str::to_owned);
    sent.entries().iter().filter_map(|entry| Some(named(&inside(entry.path.as_str())?, &entry.digest, entry.size_bytes))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hub_names_becomes_no_path_of_this_machine() {
        for owner in ["", "..", "a/b", "/etc", &"x".repeat(65)] {
            assert!(!plain(owner), "{owner:?}");
        }
        assert!(plain("01jx0v4e6s5dq9z3hr5q8n2b7c"));
        let file = |path: &str, sha256: &str| File { path: path.into(), size_bytes: 1, sha256: sha256.into(), mark: None };
        assert!(input(&file("a", "../../x"), &["given"]).is_err());
        let at = input(&file("a/../b", &"ab".repeat(32)), &["inputs", "base", "files"]).unwrap().at;
        assert_eq!(at, ["inputs", "base", "files", "a", "..", "b"], "an address of the hub, and of nothing here");
    }
}
