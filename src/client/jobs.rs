//! The calls about jobs, and what models say about images.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use reqwest::Method;
use sha2::{Digest as _, Sha256};

use super::error::at;
use super::retry::Repeat;
use super::send::Call;
use super::{Client, Error, Result};
use crate::domain::answers::{Answers, Format};
use crate::domain::digest::Digest;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::revision::Revision;
use crate::wire::List;
use crate::wire::compare::Comparison;
use crate::wire::embeddings::{Ranked, RerankAsked};
use crate::wire::evaluations::{CreateEvaluation, Measured};
use crate::wire::jobs::{CloneJob, CreateEmbedding, CreateFineTune, Expected, Job, JobFile, PlaceJob, ReplayFineTune};
use crate::wire::predict::{AskedAbout, NeighborsBody};
use crate::wire::recommend::CreateRecommendation;
use crate::wire::words::CreateWord2vec;

/// A model that nobody used for a while is read from disk first.
const MODEL_PATIENCE: Duration = Duration::from_secs(5 * 60);

impl Client {
    pub async fn create_finetune(&self, body: &CreateFineTune) -> Result<Job> {
        self.json(Call::with(Method::POST, self.address.api(&["finetunes"]), Repeat::IfRefused, body)?.patient(MODEL_PATIENCE)).await
    }

    /// What a fine-tune would cost; nothing is queued.
    pub async fn estimate_finetune(&self, body: &CreateFineTune) -> Result<Expected> {
        let call = Call::with(Method::POST, self.address.api(&["finetunes"]), Repeat::Always, body)?;
        self.json(call.query(&[("dry_run", "true".to_owned())]).patient(MODEL_PATIENCE)).await
    }

    pub async fn replay_finetune(&self, body: &ReplayFineTune) -> Result<Job> {
        self.json(Call::with(Method::POST, self.address.api(&["finetunes", "replay"]), Repeat::IfRefused, body)?.patient(MODEL_PATIENCE))
            .await
    }

    /// `pause`, `resume` or `retry`.
    pub async fn act_on_job(&self, id: &str, act: &str) -> Result<Job> {
        self.json(Call::new(Method::POST, self.address.api(&["jobs", id, act]), Repeat::IfRefused)).await
    }

    pub async fn clone_job(&self, id: &str, body: &CloneJob) -> Result<Job> {
        self.json(Call::with(Method::POST, self.address.api(&["jobs", id, "clone"]), Repeat::IfRefused, body)?).await
    }

    pub async fn place_job(&self, id: &str, priority: i64) -> Result<Job> {
        self.json(Call::with(Method::POST, self.address.api(&["jobs", id, "priority"]), Repeat::Always, &PlaceJob { priority })?).await
    }

    pub async fn create_recommendation(&self, body: &CreateRecommendation) -> Result<Job> {
        self.json(Call::with(Method::POST, self.address.api(&["recommend"]), Repeat::IfRefused, body)?.patient(MODEL_PATIENCE)).await
    }

    pub async fn job(&self, id: &str) -> Result<Job> {
        self.json(Call::get(self.address.api(&["jobs", id]))).await
    }

    /// Newest first; `query`: state, limit, cursor.
    pub async fn jobs(&self, query: &[(&str, String)]) -> Result<List<Job>> {
        self.json(Call::get(self.address.api(&["jobs"])).query(query)).await
    }

    pub async fn cancel_job(&self, id: &str) -> Result<Job> {
        self.json(Call::new(Method::POST, self.address.api(&["jobs", id, "cancel"]), Repeat::Always)).await
    }

    /// Plain text.
    pub async fn job_logs(&self, id: &str) -> Result<String> {
        let body = self.text(Call::get(self.address.api(&["jobs", id, "logs"]))).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// The same about a data set of the server, as a job that leaves a file of this form.
    pub async fn ask_about_dataset(
        &self,
        id: &RepoId,
        revision: &Revision,
        top: Option<usize>,
        (format, more): (Format, &[(&'static str, String)]),
        asked: &AskedAbout,
    ) -> Result<Job> {
        let verb = if top.is_some() { "predict" } else { "embed" };
        let mut query = vec![("revision", revision.to_string()), ("format", format.to_string())];
        query.extend(more.iter().cloned());
        query.extend(top.map(|top| ("top", top.to_string())));
        let call = Call::with(Method::POST, self.address.repo(RepoKind::Model, id, &[verb]), Repeat::IfRefused, asked)?;
        self.json(call.query(&query).patient(MODEL_PATIENCE)).await
    }

    /// Asks for a measurement of a model on a data set.
    pub async fn create_evaluation(&self, body: &CreateEvaluation) -> Result<Job> {
        self.json(Call::with(Method::POST, self.address.api(&["evaluations"]), Repeat::IfRefused, body)?.patient(MODEL_PATIENCE)).await
    }

    /// What the hub measured of a model, newest first.
    pub async fn evaluations(&self, id: &RepoId) -> Result<List<Measured>> {
        self.json(Call::get(self.address.repo(RepoKind::Model, id, &["evaluations"]))).await
    }

    /// Asks for the features of every item of a data set.
    pub async fn create_embedding(&self, body: &CreateEmbedding) -> Result<Job> {
        self.json(Call::with(Method::POST, self.address.api(&["embeddings"]), Repeat::IfRefused, body)?.patient(MODEL_PATIENCE)).await
    }

    /// Asks for a training of word vectors.
    pub async fn create_word2vec(&self, body: &CreateWord2vec) -> Result<Job> {
        self.json(Call::with(Method::POST, self.address.api(&["word2vec"]), Repeat::IfRefused, body)?.patient(MODEL_PATIENCE)).await
    }

    /// Texts by how well they answer a query, best first, by a cross-encoder: how text-embeddings-inference says it.
    pub async fn rerank(&self, id: &RepoId, revision: &Revision, body: &RerankAsked) -> Result<Vec<Ranked>> {
        let call = Call::with(Method::POST, self.address.repo(RepoKind::Model, id, &["tei", "rerank"]), Repeat::Always, body)?;
        self.json(call.query(&[("revision", revision.to_string())]).patient(MODEL_PATIENCE)).await
    }

    /// The `k` items of `dataset` (`namespace/name[@revision]`) that are nearest to an item.
    pub async fn neighbors(&self, id: &RepoId, revision: &Revision, dataset: &str, k: usize, item: Bytes) -> Result<NeighborsBody> {
        let query = [("revision", revision.to_string()), ("dataset", dataset.to_owned()), ("k", k.to_string())];
        let call = Call::new(Method::POST, self.address.repo(RepoKind::Model, id, &["neighbors"]), Repeat::Always).query(&query);
        self.json(call.bytes(item, "application/octet-stream").patient(MODEL_PATIENCE)).await
    }

    /// The files a job has left.
    pub async fn job_files(&self, id: &str) -> Result<List<JobFile>> {
        self.json(Call::get(self.address.api(&["jobs", id, "files"]))).await
    }

    /// Writes one of them to `to`, which gets its name when all bytes are there and have the sha256 that was announced.
    pub async fn fetch_job_file(&self, id: &str, file: &JobFile, to: &Path) -> Result<()> {
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut part = tempfile::NamedTempFile::new_in(folder).map_err(at("write", to))?;
        let mut body = self.send(Call::get(self.address.api(&["jobs", id, "files", &file.name]))).await?.bytes_stream();
        let mut hash = Sha256::new();
        while let Some(bytes) = body.next().await {
            let bytes = bytes.map_err(|e| Error::Unreachable { server: self.address.to_string(), reason: e.to_string() })?;
            hash.update(&bytes);
            part.write_all(&bytes).map_err(at("write", to))?;
        }
        let got = Digest::from_bytes(hash.finalize().into()).to_hex();
        if got != file.sha256 {
            return Err(Error::Corrupt(format!("{} arrived with sha256 {got} instead of {}", file.name, file.sha256)));
        }
        part.as_file().sync_all().map_err(at("write", to))?;
        part.persist(to).map_err(|e| at("write", to)(e.error))?;
        Ok(())
    }

    /// What a model says about several items: with `top` the so many likeliest classes, else their features. `more`: what else is asked,
    /// such as the `support` set whose classes are meant, a `prompt` or a `pooling`.
    pub async fn ask_model(
        &self,
        (id, revision): (&RepoId, &Revision),
        top: Option<usize>,
        more: &[(&'static str, String)],
        items: &AskedAbout,
    ) -> Result<Answers> {
        let verb = if top.is_some() { "predict" } else { "embed" };
        let mut query = vec![("revision", revision.to_string()), ("format", "json".to_owned())];
        query.extend(more.iter().cloned());
        query.extend(top.map(|top| ("top", top.to_string())));
        let call = Call::with(Method::POST, self.address.repo(RepoKind::Model, id, &[verb]), Repeat::Always, items)?;
        self.json(call.query(&query).patient(MODEL_PATIENCE)).await
    }

    /// The curves of a job as a file: `json`, `csv` or `tensorboard`.
    pub async fn job_curves(&self, id: &str, format: &str) -> Result<Vec<u8>> {
        self.text(Call::get(self.address.api(&["jobs", id, "curves"])).query(&[("format", format.to_owned())])).await
    }

    /// How two models, or two jobs, differ on the items both were measured on.
    pub async fn compare(&self, a: &str, b: &str, dataset: Option<&str>) -> Result<Comparison> {
        let mut query = vec![("a", a.to_owned()), ("b", b.to_owned())];
        query.extend(dataset.map(|dataset| ("dataset", dataset.to_owned())));
        self.json(Call::get(self.address.api(&["compare"])).query(&query)).await
    }
}
