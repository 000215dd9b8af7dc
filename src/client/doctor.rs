//! The calls about a data set's health.

use reqwest::Method;

use super::retry::Repeat;
use super::send::Call;
use super::{Client, Result};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::revision::Revision;
use crate::wire::doctor::{Checkup, ExamineDataset, RelabelDataset, Relabelled};
use crate::wire::jobs::Job;

impl Client {
    /// What is known of a version's health.
    pub async fn checkup(&self, id: &RepoId, revision: &Revision) -> Result<Checkup> {
        let call = Call::get(self.address.repo(RepoKind::Dataset, id, &["doctor"]));
        self.json(call.query(&[("revision", revision.to_string())])).await
    }

    /// Asks for an examination of its labels.
    pub async fn create_examination(&self, id: &RepoId, body: &ExamineDataset) -> Result<Job> {
        let url = self.address.repo(RepoKind::Dataset, id, &["doctor"]);
        self.json(Call::with(Method::POST, url, Repeat::IfRefused, body)?).await
    }

    /// Makes the next version, with these labels.
    pub async fn relabel(&self, id: &RepoId, body: &RelabelDataset) -> Result<Relabelled> {
        let url = self.address.repo(RepoKind::Dataset, id, &["relabel"]);
        self.json(Call::with(Method::POST, url, Repeat::IfRefused, body)?).await
    }
}
