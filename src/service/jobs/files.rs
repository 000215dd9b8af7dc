//! The files of a job: what it has left, for whoever may see the job, and what it was given, for its worker.

use std::path::{Path, PathBuf};

use super::super::{Error, Result, Service};
use super::leases::hold;
use super::state::see_job;
use crate::blob;
use crate::catalog::job_files::{self, Way};
use crate::domain::id::JobId;
use crate::domain::job::{JobFile, Lease};
use crate::domain::user::Actor;

impl Service {
    /// The files a job has left, by name.
    pub async fn job_files(&self, actor: &Actor, id: &JobId) -> Result<Vec<JobFile>> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                see_job(tx, &actor, &id)?;
                Ok(job_files::list(tx, &id, Way::Left)?)
            })
            .await
    }

    /// One of them, ready to be read.
    pub async fn open_job_file(&self, actor: &Actor, id: &JobId, name: &str) -> Result<(JobFile, blob::Reader)> {
        let (actor, of, wanted) = (actor.clone(), id.clone(), name.to_owned());
        let found = self.db.read(move |tx| {
            see_job(tx, &actor, &of)?;
            Ok::<_, Error>(job_files::find(tx, &of, Way::Left, &wanted)?)
        });
        let none = || {
            let message = format!("job {id} has left no file of that name");
            Error::not_found("file_not_found", message, format!("`hub jobs files {id}` lists them; a job leaves its files when it ends"))
        };
        let file = found.await?.ok_or_else(none)?;
        let reader = self.blobs.open(&file.digest).await?;
        Ok((file, reader))
    }

    /// What a job that its asker may see was given beside versions, for another of the same.
    pub(super) async fn given_again(&self, id: &JobId, folder: &Path) -> Result<Vec<(String, PathBuf)>> {
        let of = id.clone();
        let given = self.db.read(move |tx| Ok::<_, Error>(job_files::list(tx, &of, Way::Given)?)).await?;
        let mut files = Vec::new();
        for file in given {
            files.push((file.name, self.local_file(&file.digest, folder).await?));
        }
        Ok(files)
    }

    /// What the job was given beside versions, as files of this machine, proved.
    pub async fn given_files(&self, lease: &Lease, folder: &Path) -> Result<Vec<(String, PathBuf)>> {
        let of = lease.clone();
        let given = self.db.read(move |tx| {
            hold(tx, &of)?;
            Ok::<_, Error>(job_files::list(tx, &of.job, Way::Given)?)
        });
        let mut files = Vec::new();
        for file in given.await? {
            files.push((file.name, self.local_file(&file.digest, folder).await?));
        }
        Ok(files)
    }
}
