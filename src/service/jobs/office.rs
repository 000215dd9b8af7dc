//! The queue as workers elsewhere meet it, who have neither the database nor the store: everything they ask names their lease, is bounded,
//! and may be asked again when its answer was lost.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use super::super::repos::fetch::OpenFile;
use super::super::storage::uploads::entitlement;
use super::super::{Error, Result, Service, access};
use super::follow::Followed;
use super::leases::{Beat, hold, write_news};
use super::result::Left;
use crate::blob;
use crate::catalog::job_files::{self, Way};
use crate::catalog::{claims, jobs};
use crate::domain::digest::Digest;
use crate::domain::id::JobId;
use crate::domain::job::{Death, Job, JobFile, JobState, Lease, Wanted};
use crate::domain::job_event::Event;
use crate::domain::manifest::ManifestEntry;
use crate::domain::path::RepoPath;
use crate::domain::revision::Revision;
use crate::domain::user::{Actor, WorkerToken};

/// Longest name a worker gives itself.
const LONGEST_NAME: usize = 100;
/// Words of a worker that are kept of one lease: its training says at most so much ([`crate::worker`] listens to 2,000 lines of it), and
/// has a line for each epoch.
const MOST_KEPT: u64 = 20_000;
/// Files a result has, published or kept.
const MOST_FILES: usize = 1_000;
/// Of a headline, as JSON.
const LONGEST_HEADLINE: usize = 64 << 10;

/// What a job reads, where it lies in the store.
#[derive(Debug, Clone, Default)]
pub struct Materials {
    pub inputs: Vec<MaterialInput>,
    /// What the job was given beside versions.
    pub sent: Vec<JobFile>,
    pub checkpoint: Option<(Digest, u64)>,
    /// What only the service can tell; see [`Service::notes_for`].
    pub notes: Value,
}

/// The files of one of its versions.
#[derive(Debug, Clone)]
pub struct MaterialInput {
    pub role: String,
    /// Whether the work can be done without it.
    pub spare: bool,
    pub files: Vec<ManifestEntry>,
}

/// What a worker elsewhere has sent, by digest.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// What is to be published, of work that publishes.
    pub published: Option<Vec<ManifestEntry>>,
    pub refused: Option<String>,
    pub kept: Vec<ManifestEntry>,
    pub headline: Value,
}

/// What became of a claim.
#[derive(Debug, Clone)]
pub enum Claimed {
    Job(Lease, Box<Job>),
    /// None is ready.
    None,
    /// The one that was asked for has ended.
    Ended(JobState),
    /// It is another worker's, or waits for something.
    NotReady(String),
}

impl Service {
    /// A job for a worker: any that is ready, or the one that is wanted. The same claim again, with the same name, gives the same job.
    pub async fn claim_job(&self, token: &WorkerToken, name: &str, wanted: Wanted) -> Result<Claimed> {
        self.claim_as(holder_name(token, name)?, wanted).await
    }

    /// The same for a worker of this machine.
    pub async fn claim_as(&self, worker: String, wanted: Wanted) -> Result<Claimed> {
        let known = worker.clone();
        let held = self.db.read(move |tx| match claims::find_lease_of(tx, &known)? {
            Some(lease) => Ok::<_, Error>(jobs::find(tx, &lease.job)?.map(|job| (lease, job))),
            None => Ok(None),
        });
        if let Some((lease, job)) = held.await? {
            return Ok(Claimed::Job(lease, Box::new(job)));
        }
        let wanted = match wanted {
            Wanted::Any => {
                return Ok(self.lease_job(&worker).await?.map_or(Claimed::None, |(lease, job)| Claimed::Job(lease, Box::new(job))));
            }
            Wanted::This(job) => job,
            Wanted::After(job) => match self.followed(&job).await? {
                Followed::By(next) => next,
                Followed::NotYet(state) if state.is_final() => return Ok(Claimed::Ended(state)),
                Followed::NotYet(_) => return Ok(Claimed::NotReady(format!("job {job} has not ended, and so nothing follows it yet"))),
            },
        };
        if let Some((lease, job)) = self.lease_one(&worker, &wanted).await? {
            return Ok(Claimed::Job(lease, Box::new(job)));
        }
        let job = self.job_by_id(&wanted).await?;
        Ok(match job.state {
            JobState::Running if !job.waits => Claimed::NotReady(format!("another worker has job {wanted}")),
            JobState::Queued | JobState::Running => Claimed::NotReady(format!("job {wanted} cannot be started now: {}", job.stage)),
            ended => Claimed::Ended(ended),
        })
    }

    /// A job, whoever asks.
    pub(super) async fn job_by_id(&self, id: &JobId) -> Result<Job> {
        let wanted = id.clone();
        let job = self.db.read(move |tx| Ok::<_, Error>(jobs::find(tx, &wanted)?)).await?;
        job.ok_or_else(|| Error::not_found("job_not_found", format!("there is no job {id}"), "`hub jobs list --all` shows the ids"))
    }

    /// The lease that a worker names; whether it still holds is asked where it matters, in the transaction that acts.
    pub fn lease_named(&self, token: &WorkerToken, job: JobId, number: u64, name: &str) -> Result<Lease> {
        Ok(Lease { job, number, worker: holder_name(token, name)?, until: self.now() })
    }

    /// The job of a lease that holds.
    pub async fn held_job(&self, lease: &Lease) -> Result<Job> {
        let lease = lease.clone();
        self.db
            .read(move |tx| {
                hold(tx, &lease)?;
                jobs::find(tx, &lease.job)?.ok_or_else(|| Error::Internal("a leased job vanished".into()))
            })
            .await
    }

    /// Everything a job reads.
    pub async fn materials(&self, lease: &Lease) -> Result<(Job, Materials)> {
        let job = self.held_job(lease).await?;
        let owner = self.job_owner(&job).await?;
        let mut inputs = Vec::new();
        for input in job.work.inputs() {
            // A repo that was moved meanwhile keeps its versions.
            let id = self.name_now(input.kind, &input.id).await?;
            let files = match self.manifest(&owner, input.kind, &id, &Revision::Number(input.version)).await {
                Ok((_, manifest)) => manifest.entries().to_vec(),
                // Busy, or ours to mend: the same again may well succeed.
                Err(error @ (Error::Busy(_) | Error::Internal(_))) => return Err(error),
                Err(error) if input.spare => {
                    tracing::warn!(job = %job.id, input = %input.id, %error, "the job goes on without an input");
                    Vec::new()
                }
                Err(error) => return Err(error),
            };
            inputs.push(MaterialInput { role: input.role, spare: input.spare, files });
        }
        let of = lease.clone();
        let told = self.db.read(move |tx| {
            hold(tx, &of)?;
            Ok::<_, Error>((job_files::list(tx, &of.job, Way::Given)?, jobs::find_checkpoint(tx, &of.job)?))
        });
        let (sent, checkpoint) = told.await?;
        let checkpoint = match checkpoint {
            Some(digest) => {
                let digest = Digest::parse(&digest).map_err(|e| Error::Internal(e.to_string()))?;
                self.blobs.find_size(&digest).await?.map(|size| (digest, size))
            }
            None => None,
        };
        let notes = self.notes_for(&owner, &job).await?;
        Ok((job, Materials { inputs, sent, checkpoint, notes }))
    }

    /// A file of a version that the job reads.
    pub async fn open_input(&self, lease: &Lease, role: &str, path: &RepoPath) -> Result<OpenFile> {
        let job = self.held_job(lease).await?;
        let owner = self.job_owner(&job).await?;
        let input = job.work.inputs().into_iter().find(|input| input.role == role).ok_or_else(|| none_of("input", role))?;
        let id = self.name_now(input.kind, &input.id).await?;
        self.open_file(&owner, input.kind, &id, &Revision::Number(input.version), path).await
    }

    /// A file the job was given beside versions.
    pub async fn open_given(&self, lease: &Lease, name: &str) -> Result<(JobFile, blob::Reader)> {
        let (of, wanted) = (lease.clone(), name.to_owned());
        let found = self.db.read(move |tx| {
            hold(tx, &of)?;
            Ok::<_, Error>(job_files::find(tx, &of.job, Way::Given, &wanted)?)
        });
        let file = found.await?.ok_or_else(|| none_of("file", name))?;
        let reader = self.blobs.open(&file.digest).await?;
        Ok((file, reader))
    }

    /// The job's newest checkpoint.
    pub async fn open_checkpoint(&self, lease: &Lease) -> Result<(JobFile, blob::Reader)> {
        let of = lease.clone();
        let digest = self.db.read(move |tx| {
            hold(tx, &of)?;
            Ok::<_, Error>(jobs::find_checkpoint(tx, &of.job)?)
        });
        let digest = digest.await?.ok_or_else(|| none_of("checkpoint", "newest"))?;
        let digest = Digest::parse(&digest).map_err(|e| Error::Internal(e.to_string()))?;
        let reader = self.blobs.open(&digest).await?;
        Ok((JobFile { name: "checkpoint".into(), digest, size_bytes: reader.size() }, reader))
    }

    /// A sign of life with numbered news; what was heard before is not written again.
    pub async fn hear(&self, lease: &Lease, news: Vec<(u64, Event)>) -> Result<Beat> {
        let of = lease.clone();
        let heard = self.db.read(move |tx| {
            hold(tx, &of)?;
            Ok::<_, Error>(claims::heard(tx, &of.job)?.0)
        });
        let heard = heard.await?;
        let news: Vec<(u64, Event)> = news.into_iter().filter(|(number, _)| *number > heard).collect();
        if news.is_empty() {
            return self.heartbeat(lease, Vec::new()).await;
        }
        let (lease, now) = (lease.clone(), self.now());
        self.db.write(move |tx| write_news(tx, &lease, now, &news, MOST_KEPT)).await
    }

    /// Keeps a checkpoint that is sent: the bytes of a body of this size and sha256.
    pub async fn take_checkpoint(
        &self,
        lease: &Lease,
        (digest, size_bytes): (Digest, u64),
        mut body: impl Stream<Item = Result<Bytes>> + Unpin,
    ) -> Result<()> {
        self.held_job(lease).await?;
        if size_bytes > self.policy.max_file_bytes {
            let message = format!("{size_bytes} bytes are more than the {} one file may have here", self.policy.max_file_bytes);
            return Err(Error::too_large("file_too_large", message, "ask the server's administrator to raise the limit"));
        }
        let failed = |e: std::io::Error| Error::of_file("no room for a checkpoint", &e);
        let file = tempfile::NamedTempFile::new().map_err(failed)?;
        let mut out = tokio::fs::File::from_std(file.reopen().map_err(failed)?);
        let (mut hash, mut arrived) = (Sha256::new(), 0);
        while let Some(part) = body.next().await {
            let part = part?;
            arrived += part.len() as u64;
            if arrived > size_bytes {
                break;
            }
            hash.update(&part);
            out.write_all(&part).await.map_err(failed)?;
        }
        out.flush().await.map_err(failed)?;
        if arrived != size_bytes || Digest::from_bytes(hash.finalize().into()) != digest {
            let message = "the bytes that came are not those that were announced";
            return Err(Error::invalid("digest_mismatch", message, "send the checkpoint again"));
        }
        self.save_checkpoint(lease, file.path()).await
    }

    /// Judges the jobs of a worker of this token that is known to be dead; `name` is the beginning of the names it claimed by.
    pub async fn bury_named(&self, token: &WorkerToken, name: &str, how: Death) -> Result<usize> {
        let worker = holder_name(token, name)?;
        self.forget_worker(&worker).await;
        let beginning = format!("{worker}.");
        let held = self.db.read(move |tx| Ok::<_, Error>(claims::names_that_hold(tx, &beginning)?)).await?;
        let mut orphans = 0;
        for worker in held {
            orphans += self.bury_worker(&worker, how).await?;
        }
        Ok(orphans)
    }

    /// Ends a job with what was sent: as [`Service::complete_job`], of files that lie in the store.
    pub async fn complete_delivered(&self, lease: &Lease, delivery: Delivery) -> Result<(JobState, Option<u32>)> {
        if let Some(ended) = self.how_it_ended(lease).await? {
            return Ok(ended);
        }
        let job = self.held_job(lease).await?;
        let owner = self.job_owner(&job).await?;
        check(&job, &delivery)?;
        self.check_sent(&owner, delivery.published.iter().flatten().chain(&delivery.kept)).await?;
        let folder = tempfile::tempdir().map_err(|e| Error::of_file("no temporary folder", &e))?;
        let state = if delivery.refused.is_some() { JobState::Failed } else { JobState::Succeeded };
        let publish = match delivery.published {
            Some(files) => Some(self.lend(&files, folder.path()).await?),
            None => None,
        };
        let files = self.lend(&delivery.kept, folder.path()).await?;
        let left = Left { publish, refused: delivery.refused, files, headline: delivery.headline };
        Ok((state, self.complete_job(lease, &job, left).await?))
    }

    /// How a job ended under this very lease, if it did: the answer that said so was lost.
    pub async fn how_it_ended(&self, lease: &Lease) -> Result<Option<(JobState, Option<u32>)>> {
        let lease = lease.clone();
        self.db.read(move |tx| Ok::<_, Error>(claims::find_ended(tx, &lease)?)).await
    }

    /// Refuses bytes that the job's owner neither sent (by this worker) nor may read.
    async fn check_sent(&self, owner: &Actor, files: impl Iterator<Item = &ManifestEntry>) -> Result<()> {
        let (owner, files) = (owner.clone(), files.map(|entry| (entry.digest, entry.size_bytes)).collect::<Vec<_>>());
        self.db
            .read(move |tx| {
                let visible = access::visible_to(tx, &owner)?;
                for (digest, size_bytes) in &files {
                    if entitlement(tx, digest, owner.account(), &visible)? != Some(*size_bytes) {
                        let message = format!("the bytes with sha256 {digest} were not sent");
                        return Err(Error::invalid("not_sent", message, "send every file of the result first"));
                    }
                }
                Ok(())
            })
            .await
    }

    /// Files of the store on this machine, proved, by what they are called.
    pub async fn lend(&self, files: &[ManifestEntry], folder: &Path) -> Result<Vec<(String, PathBuf)>> {
        let (mut lent, mut known) = (Vec::with_capacity(files.len()), HashMap::<Digest, PathBuf>::new());
        for entry in files {
            let file = match known.get(&entry.digest) {
                Some(file) => file.clone(),
                None => self.local_file(&entry.digest, folder).await?,
            };
            known.insert(entry.digest, file.clone());
            lent.push((entry.path.to_string(), file));
        }
        Ok(lent)
    }
}

/// What a worker's leases are in: its token's, so that no other token speaks for them.
pub(super) fn holder_name(token: &WorkerToken, name: &str) -> Result<String> {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(known) {
        let message = format!("a worker's name has 1 to {LONGEST_NAME} letters, digits, '-', '_' and '.'");
        return Err(Error::invalid("bad_worker_name", message, "use the host's name and a number"));
    }
    Ok(format!("{}:{name}", token.id))
}

/// What the kind of work may leave, as far as it is known here; files are looked at where they are read.
fn check(job: &Job, delivery: &Delivery) -> Result<()> {
    let odd =
        |problem: &str| Err(Error::invalid("odd_result", format!("the result is not taken: {problem}"), "use the worker of this release"));
    let published = delivery.published.as_deref().unwrap_or_default();
    if delivery.published.is_some() && (job.work.publishes().is_none() || delivery.refused.is_some() || published.is_empty()) {
        return odd("this job publishes no folder");
    }
    if published.len() + delivery.kept.len() > MOST_FILES {
        return odd("it has too many files");
    }
    let plain = |entry: &ManifestEntry| {
        let name = entry.path.as_str();
        name.len() <= 200 && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'))
    };
    if !delivery.kept.iter().all(plain) {
        return odd("a file has a name that no kind of work gives");
    }
    if !delivery.headline.is_object() || delivery.headline.to_string().len() > LONGEST_HEADLINE {
        return odd("its headline is none");
    }
    Ok(())
}

fn none_of(what: &str, name: &str) -> Error {
    Error::not_found("file_not_found", format!("the job has no {what} '{name}'"), "ask for its materials again")
}
