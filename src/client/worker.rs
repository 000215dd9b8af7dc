//! The calls of a worker elsewhere: claims, news, what a job reads and leaves. All about a job name its lease; what is asked twice is
//! done once.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderName;
use reqwest::{Method, Url};

use super::download::{Downloads, Want, blocking};
use super::error::at;
use super::hashing::hash_files;
use super::parts::{FileRun, Shown};
use super::retry::Repeat;
use super::send::Call;
use super::{Client, Folder, Result};
use crate::cache::Cache;
use crate::domain::digest::Digest;
use crate::domain::manifest::Manifest;
use crate::wire::files::File;
use crate::wire::worker::{
    EngineNote, EngineQueue, WorkerBeat, WorkerClaim, WorkerDeath, WorkerEnd, WorkerEnded, WorkerHeard, WorkerJob, WorkerMaterials,
    WorkerNews, WorkerResult,
};

/// The header that names a lease.
pub(super) const HUB_LEASE: HeaderName = HeaderName::from_static("hub-lease");
/// A sign of life that takes longer is given up, and its news goes with the next one.
const BEAT_PATIENCE: Duration = Duration::from_secs(8);
/// The server publishes: it reads and hashes all of a result.
const RESULT_PATIENCE: Duration = Duration::from_secs(60 * 60);
/// Beside the time a claim is to wait.
const CLAIM_PATIENCE: Duration = Duration::from_secs(30);

/// A job that is held: where everything about it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub job: String,
    /// The number of the lease.
    pub lease: u64,
    /// The name it was claimed by.
    pub worker: String,
}

impl Held {
    pub(super) fn header(&self) -> String {
        format!("{} {}", self.lease, self.worker)
    }
}

/// A file a job reads, where it is asked for below the job's address.
#[derive(Debug, Clone)]
pub struct JobInput {
    pub at: Vec<String>,
    pub digest: Digest,
    pub size_bytes: u64,
}

impl Client {
    /// The same, speaking for a job that is held: what it sends is part of the job's result.
    pub fn holding(&self, held: Held) -> Client {
        Client { held: Some(Arc::new(held)), ..self.clone() }
    }

    /// Where bytes are sent to: the account's own place, or the held job's.
    pub(super) fn bytes_at(&self, parts: &[&str]) -> Url {
        match &self.held {
            None => self.address.api(parts),
            Some(_) => self.at_job(parts),
        }
    }

    fn at_job(&self, parts: &[&str]) -> Url {
        let job = self.held.as_ref().map_or("", |held| held.job.as_str());
        let all: Vec<&str> = ["worker", "jobs", job].into_iter().chain(parts.iter().copied()).collect();
        self.address.api(&all)
    }

    /// A job, or `None` while none is ready. The same claim again gives the same job.
    pub async fn claim_job(&self, claim: &WorkerClaim) -> Result<Option<WorkerJob>> {
        let call = Call::with(Method::POST, self.address.api(&["worker", "claims"]), Repeat::Always, claim)?;
        let response = self.send(call.patient(CLAIM_PATIENCE + Duration::from_secs(claim.wait_seconds))).await?;
        if response.status().as_u16() == 204 { Ok(None) } else { self.read(response).await.map(Some) }
    }

    pub async fn bury_worker(&self, death: &WorkerDeath) -> Result<()> {
        self.done(Call::with(Method::POST, self.address.api(&["worker", "deaths"]), Repeat::Always, death)?).await
    }

    /// A sign of life of the held job. One try: the next one comes in a second.
    pub async fn beat(&self, news: Vec<WorkerNews>) -> Result<WorkerHeard> {
        let call = Call::with(Method::POST, self.at_job(&["beat"]), Repeat::IfRefused, &WorkerBeat { news })?.patient(BEAT_PATIENCE);
        match self.send_once(&call).await {
            Ok(response) if response.status().is_success() => self.read(response).await,
            Ok(response) => Err(super::send::answer_error(response).await),
            Err(failure) => Err(self.unreachable(failure.reason)),
        }
    }

    pub async fn job_materials(&self) -> Result<WorkerMaterials> {
        self.json(Call::get(self.at_job(&["materials"])).patient(RESULT_PATIENCE)).await
    }

    /// Brings files of the held job into a cache, every byte proved.
    pub async fn fetch_inputs(&self, cache: &Cache, files: &[JobInput]) -> Result<()> {
        let verified = Arc::new(cache.verified_hashes());
        let mut seen = HashSet::new();
        let mut wants = Vec::new();
        for file in files.iter().filter(|file| seen.insert(file.digest)) {
            let (known, store, digest, size_bytes) = (verified.clone(), cache.clone(), file.digest, file.size_bytes);
            let is_there =
                blocking(move || Ok(store.is_proved(&known, &digest, size_bytes) || is_good(&store, &known, &digest, size_bytes)?));
            if !is_there.await? {
                let at: Vec<&str> = file.at.iter().map(String::as_str).collect();
                let name = file.at.last().cloned().unwrap_or_default();
                wants.push(Want { url: self.at_job(&at), digest, size_bytes, name, segments: None });
            }
        }
        if wants.is_empty() {
            return Ok(());
        }
        let bytes = wants.iter().map(|want| want.size_bytes).sum();
        cache.check_room(bytes)?;
        Downloads::new(self, cache, &verified)?.fetch_all(wants).await.map(drop)
    }

    /// Keeps a checkpoint with the held job. `path` is read while it is sent, and must not change meanwhile.
    pub async fn keep_checkpoint(&self, path: &Path) -> Result<()> {
        let file = Arc::new(std::fs::File::open(path).map_err(at("open", path))?);
        let from = path.to_owned();
        let hashed = blocking(move || crate::cache::hash_file(&from, &mut |_| ()));
        let (digest, size_bytes) = hashed.await?;
        let run = FileRun::new(file, 0..size_bytes, Shown::new(Arc::new(|_| ())));
        let call = Call::new(Method::PUT, self.at_job(&["checkpoint"]), Repeat::Always).file(run);
        self.done(call.query(&[("sha256", digest.to_hex())]).patient(RESULT_PATIENCE)).await
    }

    /// Sends the files of a result, but for those the hub has; what they are, by path.
    pub async fn send_result(&self, folder: &Folder) -> Result<Manifest> {
        let manifest = hash_files(folder, None, &self.sink).await?;
        self.send_missing(folder, &manifest).await?;
        Ok(manifest)
    }

    /// Ends the held job with files that were sent. Sent again, it is answered again.
    pub async fn complete_job(&self, result: &WorkerResult) -> Result<WorkerEnded> {
        self.json(Call::with(Method::POST, self.at_job(&["result"]), Repeat::Always, result)?.patient(RESULT_PATIENCE)).await
    }

    /// What a dispatcher's engine may have, and has.
    pub async fn engine_queue(&self, engine: &str, place: &str) -> Result<EngineQueue> {
        let call = Call::get(self.address.api(&["worker", "queue"]));
        self.json(call.query(&[("engine", engine.to_owned()), ("place", place.to_owned())])).await
    }

    pub async fn note_engine(&self, job: &str, note: &EngineNote) -> Result<()> {
        self.done(Call::with(Method::PUT, self.address.api(&["worker", "queue", job]), Repeat::Always, note)?).await
    }

    pub async fn end_job(&self, end: &WorkerEnd) -> Result<()> {
        self.done(Call::with(Method::POST, self.at_job(&["end"]), Repeat::Always, end)?).await
    }
}

/// A blob that lies there and was not looked at lately.
fn is_good(cache: &Cache, verified: &crate::cache::VerifiedHashes, digest: &Digest, size_bytes: u64) -> crate::cache::Result<bool> {
    Ok(cache.blob_path(digest).exists() && cache.prove_blob(verified, digest, size_bytes)?)
}

/// A file of a manifest as results name it.
pub fn named(path: &str, digest: &Digest, size_bytes: u64) -> File {
    File { path: path.into(), size_bytes, sha256: digest.to_hex(), mark: None }
}
