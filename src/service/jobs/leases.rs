//! The queue as a worker meets it: lease a job, tell how it goes, give it back or end it. Every write is
//! fenced by the lease, so that a worker that slept through its lease changes nothing any more.

use std::path::{Path, PathBuf};

use super::super::{Error, Result, Service};
use super::state::{end, state_event};
use super::sweeps;
use crate::catalog::{claims, jobs};
use crate::db::Tx;
use crate::domain::digest::Digest;
use crate::domain::id::{JobId, TokenId, UploadId};
use crate::domain::job::{Death, Job, JobState, Lease};
use crate::domain::job_event::{Event, Level};
use crate::domain::time::Timestamp;
use crate::domain::user::{Actor, Scope};

/// How long a worker may be silent before its job is given to another.
const LEASE_MS: i64 = 30_000;
/// With less than this left a heartbeat moves the end of the lease.
const RENEW_MS: i64 = 25_000;
/// Starts in a row that may end without a new checkpoint.
pub const MAX_FRUITLESS: u32 = 3;
/// The wait after the first fruitless start; it doubles with each.
const BACK_OFF_MS: i64 = 5_000;

/// What a worker hears when it gives a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    GoOn,
    /// The owner wants it to stop.
    Cancel,
    /// It is to stand still: given back, and taken up again when it is resumed.
    Pause,
    /// The job is somebody else's now.
    Lost,
}

impl Service {
    /// The oldest job that waits, for `worker`. Jobs whose worker fell silent are judged first.
    pub async fn lease_job(&self, worker: &str) -> Result<Option<(Lease, Job)>> {
        let (now, worker) = (self.now(), worker.to_owned());
        let ready = move |tx: &mut Tx<'_>| {
            let now = jobs::now(tx, now)?;
            Ok::<_, Error>(jobs::find_ready(tx, now)?.is_some())
        };
        if !self.db.read(ready).await? {
            return Ok(None);
        }
        let claiming = worker.clone();
        match self.db.write_beside(Vec::new(), move |tx| claim(tx, &claiming, now)).await? {
            Claimed::Leased(leased) => Ok(Some(*leased)),
            Claimed::None => Ok(None),
            Claimed::ToJudge => self.db.write(move |tx| judge_and_claim(tx, &worker, now)).await,
        }
    }

    /// One job, if it may be started now. As [`Service::lease_job`].
    pub(super) async fn lease_one(&self, worker: &str, id: &JobId) -> Result<Option<(Lease, Job)>> {
        let (now, worker, id) = (self.now(), worker.to_owned(), id.clone());
        let wanted = id.clone();
        let ready = move |tx: &mut Tx<'_>| {
            let now = jobs::now(tx, now)?;
            Ok::<_, Error>(claims::find_ready_one(tx, &wanted, now)?.is_some())
        };
        if !self.db.read(ready).await? {
            return Ok(None);
        }
        self.db
            .write(move |tx| {
                let now = jobs::now(tx, now)?;
                let Some((job, fruitless)) = claims::find_ready_one(tx, &id, now)? else { return Ok(None) };
                if job.state == JobState::Running {
                    again_or_never(tx, &job, fruitless, now, &Death::Unknown.to_string())?;
                    // After its back-off; at once where there is none.
                    if claims::find_ready_one(tx, &id, now)?.is_none() {
                        return Ok(None);
                    }
                }
                if sweeps::is_unopened(tx, &job)? {
                    sweeps::open(tx, &job, now)?;
                    return Ok(None);
                }
                take(tx, &job, &worker, now).map(Some)
            })
            .await
    }

    /// Judges the jobs of a worker that is known to be dead, without waiting for its leases to run out.
    /// `how` it ended, where that is known.
    pub async fn bury_worker(&self, worker: &str, how: Death) -> Result<usize> {
        self.forget_worker(worker).await;
        let (now, worker) = (self.now(), worker.to_owned());
        self.db
            .write(move |tx| {
                let now = jobs::now(tx, now)?;
                let orphans = jobs::list_held_by(tx, &worker)?;
                for (job, fruitless) in &orphans {
                    again_or_never(tx, job, *fruitless, now, &how.to_string())?;
                }
                Ok(orphans.len())
            })
            .await
    }

    /// A sign of life, with what happened since the last one. Writes only if there is something to write.
    pub async fn heartbeat(&self, lease: &Lease, news: Vec<Event>) -> Result<Beat> {
        let now = self.now();
        let (of, quiet) = (lease.clone(), news.is_empty());
        let held = self
            .db
            .read(move |tx| {
                let now = jobs::now(tx, now)?;
                Ok::<_, Error>(jobs::find_held(tx, &of)?.map(|held| (held, now)))
            })
            .await?;
        let Some((held, now)) = held else { return Ok(Beat::Lost) };
        let fresh = held.until.unix_ms() - now.unix_ms() > RENEW_MS;
        if quiet && fresh {
            return Ok(beat(held));
        }
        let lease = lease.clone();
        self.db
            .write_beside(Vec::new(), move |tx| {
                // From here on nobody else changes this job.
                let extended = jobs::extend(tx, &lease, now.plus_ms(LEASE_MS))?;
                let Some(held) = jobs::find_held(tx, &lease)?.filter(|_| extended) else { return Ok(Beat::Lost) };
                for event in &news {
                    write_down(tx, &lease.job, now, event)?;
                }
                Ok(beat(held))
            })
            .await
    }

    /// Keeps a checkpoint where any worker finds it. The blob is safe before the job names it; those before it are
    /// left to the collector.
    pub async fn save_checkpoint(&self, lease: &Lease, path: &Path) -> Result<()> {
        let holder = UploadId::new(self.now(), self.random()?);
        let named = match self.store_passing_file(path, &holder).await {
            Ok((digest, _)) => {
                let lease = lease.clone();
                let name = move |tx: &mut Tx<'_>| {
                    hold(tx, &lease)?;
                    Ok(jobs::set_checkpoint(tx, &lease.job, &digest.to_hex())?)
                };
                self.db.write(name).await
            }
            Err(error) => Err(error),
        };
        self.release(&holder).await;
        named
    }

    /// The newest checkpoint as a file in `folder`, proved; `None` for a job that has none.
    pub async fn fetch_checkpoint(&self, lease: &Lease, folder: &Path) -> Result<Option<PathBuf>> {
        let of = lease.clone();
        let digest = self
            .db
            .read(move |tx| {
                hold(tx, &of)?;
                Ok::<_, Error>(jobs::find_checkpoint(tx, &of.job)?)
            })
            .await?;
        let Some(digest) = digest else { return Ok(None) };
        let digest = Digest::parse(&digest).map_err(|e| Error::Internal(e.to_string()))?;
        self.local_file(&digest, folder).await.map(Some)
    }

    /// Ends a job without a result.
    pub async fn fail_job(&self, lease: &Lease, error: String) -> Result<()> {
        self.end_held(lease, JobState::Failed, Some(error)).await
    }

    /// Ends a job because its owner asked for it.
    pub async fn stop_job(&self, lease: &Lease) -> Result<()> {
        self.end_held(lease, JobState::Cancelled, None).await
    }

    async fn end_held(&self, lease: &Lease, state: JobState, error: Option<String>) -> Result<()> {
        let (lease, now) = (lease.clone(), self.now());
        self.db
            .write(move |tx| {
                hold(tx, &lease)?;
                let now = jobs::now(tx, now)?;
                end(tx, &lease.job, now, state, error)
            })
            .await
    }

    /// Gives a job back that this worker cannot finish now and another may, `why` for its log.
    pub async fn retry_job(&self, lease: &Lease, why: &str) -> Result<()> {
        let (lease, now, why) = (lease.clone(), self.now(), why.to_owned());
        self.db
            .write(move |tx| {
                hold(tx, &lease)?;
                let now = jobs::now(tx, now)?;
                let held = jobs::list_held_by(tx, &lease.worker)?.into_iter().find(|(job, _)| job.id == lease.job);
                let Some((job, fruitless)) = held else { return Ok(()) };
                again_or_never(tx, &job, fruitless, now, &why)
            })
            .await
    }

    /// Gives a job back because this worker shuts down in good order, or the job is to stand still: no fault of the job's.
    pub async fn release_job(&self, lease: &Lease) -> Result<()> {
        let (lease, now) = (lease.clone(), self.now());
        self.db
            .write(move |tx| {
                hold(tx, &lease)?;
                let now = jobs::now(tx, now)?;
                jobs::forgive(tx, &lease.job)?;
                let paused = jobs::find_held(tx, &lease)?.is_some_and(|held| held.paused);
                let (said, stage) = match paused {
                    true => ("paused; it goes on from its last checkpoint once it is resumed", "paused"),
                    false => ("the worker shuts down; another will go on from the last checkpoint", "waiting for a worker"),
                };
                log(tx, &lease.job, now, Level::Info, said)?;
                jobs::requeue(tx, &lease.job, now, stage)?;
                state_event(tx, &lease.job, now, JobState::Queued, None)
            })
            .await
    }

    /// The person a job acts for, as they are now: what they may no longer do, the job may not either.
    pub async fn job_owner(&self, job: &Job) -> Result<Actor> {
        let owner = job.owner.clone();
        let account = self.db.read(move |tx| Ok::<_, Error>(crate::catalog::users::find_by_id(tx, &owner)?)).await?;
        let gone = || Error::forbidden("owner_gone", "the owner of this job may no longer log in", "ask an administrator");
        let account = account.filter(|account| !account.disabled).ok_or_else(gone)?;
        let token = TokenId::new(Timestamp::from_unix_ms(0), [0; 10]);
        Ok(Actor::User { account: account.id, name: account.name, is_admin: account.is_admin, scope: Scope::Write, token })
    }
}

/// What a worker finds that asks for a job.
enum Claimed {
    Leased(Box<(Lease, Job)>),
    None,
    /// What comes first is to be judged before anybody takes it, and that changes other jobs.
    ToJudge,
}

/// Takes the job that comes first, beside other workers that do so.
fn claim(tx: &mut Tx<'_>, worker: &str, now: Timestamp) -> Result<Claimed> {
    let now = jobs::now(tx, now)?;
    let Some((job, _)) = jobs::find_free(tx, now)? else { return Ok(Claimed::None) };
    if job.state == JobState::Running || sweeps::is_unopened(tx, &job)? {
        return Ok(Claimed::ToJudge);
    }
    Ok(Claimed::Leased(Box::new(take(tx, &job, worker, now)?)))
}

/// Judges the jobs whose workers fell silent, and takes what comes first then. Nobody else writes meanwhile.
fn judge_and_claim(tx: &mut Tx<'_>, worker: &str, now: Timestamp) -> Result<Option<(Lease, Job)>> {
    let now = jobs::now(tx, now)?;
    while let Some((job, fruitless)) = jobs::find_ready(tx, now)? {
        if job.state == JobState::Running {
            again_or_never(tx, &job, fruitless, now, &Death::Unknown.to_string())?;
        } else if sweeps::is_unopened(tx, &job)? {
            // An earlier release queued it.
            sweeps::open(tx, &job, now)?;
        } else {
            return take(tx, &job, worker, now).map(Some);
        }
    }
    Ok(None)
}

fn take(tx: &mut Tx<'_>, job: &Job, worker: &str, now: Timestamp) -> Result<(Lease, Job)> {
    sweeps::note_start(tx, job, now)?;
    let lease = jobs::lease(tx, &job.id, worker, now, now.plus_ms(LEASE_MS))?;
    state_event(tx, &job.id, now, JobState::Running, None)?;
    let job = jobs::find(tx, &job.id)?.ok_or_else(|| Error::Internal("a leased job vanished".into()))?;
    Ok((lease, job))
}

/// Writes down numbered news of a lease that holds, as far as they are new; of lines and epochs at most `most` for each lease.
pub(super) fn write_news(tx: &mut Tx<'_>, lease: &Lease, now: Timestamp, news: &[(u64, Event)], most: u64) -> Result<Beat> {
    let now = jobs::now(tx, now)?;
    hold(tx, lease)?;
    jobs::extend(tx, lease, now.plus_ms(LEASE_MS))?;
    let (mut heard, mut kept) = claims::heard(tx, &lease.job)?;
    for (number, event) in news {
        if *number <= heard {
            continue;
        }
        heard = *number;
        let passing = matches!(event, Event::Progress(_));
        if passing || kept < most {
            kept += u64::from(!passing);
            write_down(tx, &lease.job, now, event)?;
        }
    }
    claims::set_heard(tx, &lease.job, (heard, kept))?;
    Ok(jobs::find_held(tx, lease)?.map_or(Beat::Lost, beat))
}

fn beat(held: jobs::Held) -> Beat {
    match held {
        jobs::Held { cancel_requested: true, .. } => Beat::Cancel,
        jobs::Held { paused: true, .. } => Beat::Pause,
        _ => Beat::GoOn,
    }
}

/// Refuses whoever no longer holds the lease.
pub(super) fn hold(tx: &mut Tx<'_>, lease: &Lease) -> Result<()> {
    match jobs::find_held(tx, lease)? {
        Some(_) => Ok(()),
        None => Err(Error::conflict("lease_lost", "this worker no longer has the job", "leave it to the worker that has it now")),
    }
}

/// Another try after a back-off, unless the job was cancelled or has had its tries. `why` says what to do as well.
fn again_or_never(tx: &mut Tx<'_>, job: &Job, fruitless: u32, now: Timestamp, why: &str) -> Result<()> {
    if job.cancel_requested {
        return end(tx, &job.id, now, JobState::Cancelled, None);
    }
    if fruitless >= MAX_FRUITLESS {
        let message = format!("gave up after {fruitless} starts in a row without progress: {why}");
        return end(tx, &job.id, now, JobState::Failed, Some(message));
    }
    let wait_ms = match fruitless {
        0 => 0,
        starts => BACK_OFF_MS << (starts - 1).min(6),
    };
    log(tx, &job.id, now, Level::Warn, &format!("{why}; trying again in {} s", wait_ms / 1_000))?;
    jobs::requeue(tx, &job.id, now.plus_ms(wait_ms), "waiting to try again")?;
    state_event(tx, &job.id, now, JobState::Queued, None)
}

fn log(tx: &mut Tx<'_>, job: &JobId, now: Timestamp, level: Level, message: &str) -> Result<()> {
    jobs::append_event(tx, job, now, &Event::log(level, message))?;
    Ok(())
}

/// What a worker tells becomes an event of the job.
fn write_down(tx: &mut Tx<'_>, job: &JobId, now: Timestamp, event: &Event) -> Result<()> {
    if let Event::Progress(progress) = event {
        jobs::set_progress(tx, job, progress.step, progress.total_steps, &progress.stage)?;
    }
    jobs::append_event(tx, job, now, event)?;
    Ok(())
}

#[cfg(test)]
#[path = "leases_tests.rs"]
mod tests;
