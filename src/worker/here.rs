//! A worker beside the database and the store: what it asks is asked of the service.

use std::path::Path;

use async_trait::async_trait;

use super::office::{Beat, Claim, Given, Office, Task};
use super::{Error, Result};
use crate::domain::job::{Death, Lease, Wanted};
use crate::domain::job_event::Event;
use crate::domain::worker::Worker;
use crate::service::Service;
use crate::service::jobs::office::{Claimed, Materials};
use crate::service::jobs::result::Left;

pub(super) struct Here {
    pub service: Service,
    /// What its leases are in.
    pub name: String,
    /// What it is, for those who look.
    pub worker: Worker,
}

#[async_trait]
impl Office for Here {
    async fn claim(&self, wanted: &Wanted, _patient: bool) -> Result<Claim> {
        self.service.note_worker(None, self.worker.clone()).await;
        let claimed = match wanted {
            Wanted::Any => {
                self.service.lease_job(&self.name).await?.map_or(Claimed::None, |(lease, job)| Claimed::Job(lease, Box::new(job)))
            }
            wanted => self.service.claim_as(self.name.clone(), wanted.clone()).await?,
        };
        Ok(match claimed {
            Claimed::Job(lease, job) => {
                let (owner, limits) = (job.owner.to_string(), self.service.policy().data_limits);
                Claim::Job(Box::new(Task { lease, attempt: job.attempt, owner, work: job.work, limits }))
            }
            Claimed::None => Claim::None,
            Claimed::Ended(state) => Claim::Ended(state),
            Claimed::NotReady(why) => Claim::NotReady(why),
        })
    }

    async fn bury(&self, worker: &str, how: Death) -> Result<usize> {
        Ok(self.service.bury_worker(worker, how).await?)
    }

    async fn bring(&self, task: &Task, folder: &Path) -> Result<Given> {
        let (job, Materials { inputs, notes, .. }) = self.service.materials(&task.lease).await?;
        let mut brought = Vec::new();
        for input in inputs {
            let files = match self.service.lend(&input.files, &folder.join("inputs")).await.map_err(Error::from) {
                Ok(files) => files,
                Err(error @ (Error::Busy(_) | Error::Later(_))) => return Err(error),
                Err(error) if input.spare => {
                    tracing::warn!(job = %job.id, role = input.role, %error, "the job goes on without an input");
                    Vec::new()
                }
                Err(error) => return Err(error),
            };
            brought.push((input.role, files));
        }
        let sent = self.service.given_files(&task.lease, &folder.join("sent")).await?;
        let resume = self.service.fetch_checkpoint(&task.lease, &folder.join("checkpoint")).await?;
        Ok(Given { inputs: brought, sent, notes, resume })
    }

    async fn beat(&self, lease: &Lease, news: &[(u64, Event)]) -> Result<Beat> {
        self.service.note_at_work(lease).await;
        Ok(self.service.heartbeat(lease, news.iter().map(|(_, event)| event.clone()).collect()).await?)
    }

    async fn leave(&self) {
        self.service.forget_worker(&self.name).await;
    }

    async fn keep(&self, lease: &Lease, path: &Path) -> Result<()> {
        Ok(self.service.save_checkpoint(lease, path).await?)
    }

    async fn complete(&self, task: &Task, left: Left) -> Result<Option<u32>> {
        let job = self.service.held_job(&task.lease).await?;
        Ok(self.service.complete_job(&task.lease, &job, left).await?)
    }

    async fn end(&self, lease: &Lease, why: &Error) -> Result<()> {
        match why {
            Error::Lost => {}
            Error::Cancelled => self.service.stop_job(lease).await?,
            Error::Stopping => self.service.release_job(lease).await?,
            Error::Never(message) | Error::Checkpoint(message) => self.service.fail_job(lease, message.clone()).await?,
            Error::Later(_) | Error::Busy(_) | Error::Refused(_) | Error::Io { .. } => {
                self.service.retry_job(lease, &why.to_string()).await?;
            }
        }
        Ok(())
    }
}
