//! The calls about fine-tunes, and what models say about images.

use std::time::Duration;

use reqwest::Method;

use super::retry::Repeat;
use super::send::Call;
use super::{Client, Result};
use crate::domain::answers::Answers;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::revision::Revision;
use crate::wire::List;
use crate::wire::jobs::{CreateFineTune, Job};
use crate::wire::predict::AskedAbout;

/// A model that nobody used for a while is read from disk first.
const MODEL_PATIENCE: Duration = Duration::from_secs(5 * 60);

impl Client {
    pub async fn create_finetune(&self, body: &CreateFineTune) -> Result<Job> {
        self.json(Call::with(Method::POST, self.address.api(&["finetunes"]), Repeat::IfRefused, body)?.patient(MODEL_PATIENCE)).await
    }

    pub async fn job(&self, id: &str) -> Result<Job> {
        self.json(Call::get(self.address.api(&["finetunes", id]))).await
    }

    /// Newest first; `query`: state, limit, cursor.
    pub async fn jobs(&self, query: &[(&str, String)]) -> Result<List<Job>> {
        self.json(Call::get(self.address.api(&["finetunes"])).query(query)).await
    }

    pub async fn cancel_job(&self, id: &str) -> Result<Job> {
        self.json(Call::new(Method::POST, self.address.api(&["finetunes", id, "cancel"]), Repeat::Always)).await
    }

    /// Plain text.
    pub async fn job_logs(&self, id: &str) -> Result<String> {
        let body = self.text(Call::get(self.address.api(&["finetunes", id, "logs"]))).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// What a model says about several items: with `top` the so many likeliest classes, else their features.
    pub async fn ask_model(&self, id: &RepoId, revision: &Revision, top: Option<usize>, items: &AskedAbout) -> Result<Answers> {
        let verb = if top.is_some() { "predict" } else { "embed" };
        let mut query = vec![("revision", revision.to_string()), ("format", "json".to_owned())];
        query.extend(top.map(|top| ("top", top.to_string())));
        let call = Call::with(Method::POST, self.address.repo(RepoKind::Model, id, &[verb]), Repeat::Always, items)?;
        self.json(call.query(&query).patient(MODEL_PATIENCE)).await
    }
}
