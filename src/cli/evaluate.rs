//! `hub evaluate` and `hub neighbors`: a model on a data set, worked out by the hub as jobs.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::output::{CliError, Output, Result};
use super::remote::{Remote, Target};
use super::table::table;
use super::watch;
use super::words::How;
use crate::client::Client;
use crate::domain::measurement::Measurement;
use crate::wire::evaluations::CreateEvaluation;
use crate::wire::jobs::CreateEmbedding;

/// Measure a model on a data set
///
/// The hub runs the model over the data set as a job, and signs what comes out: it stands on the model's page and on the data set's
/// leaderboard as measured. Labels are matched by name; items whose label the model does not know are left out and counted.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub evaluate acme/flowers-net --dataset acme/flowers
  hub evaluate acme/flowers-net@2 --dataset acme/flowers@1 --split val --json
  hub evaluate resnet50 --dataset acme/flowers --support acme/flowers-examples
  hub evaluate ada/clip --dataset acme/flowers --by-names --prompt 'a photo of a {}, a kind of flower'")]
pub struct Evaluate {
    /// NAME[@REVISION]
    model: String,
    /// NAME[@REVISION]
    #[arg(long, short, value_name = "NAME")]
    dataset: String,
    /// Measure the model's features without its head: a data set of examples, NAME[@REVISION], whose classes are answered by the nearest
    /// mean of their features
    #[arg(long, value_name = "NAME")]
    support: Option<String>,
    /// Measure it without its head and without examples: by the names of the data set's classes alone, of a model that reads texts or has a
    /// network for texts beside
    #[arg(long, conflicts_with = "support")]
    by_names: bool,
    /// With --by-names: a text in which the names are read
    #[arg(long, value_name = "TEXT", requires = "by_names")]
    prompt: Option<String>,
    /// test, val or train; without it the first of them that the data set has
    #[arg(long)]
    split: Option<String>,
    /// Do not wait for the end
    #[arg(long)]
    detach: bool,
}

/// Find the images of a data set nearest to one, or the words nearest to a word
///
/// By the angle between the features that a model makes of them. A data set that the model has not looked at yet is looked at first, as a
/// job. Words are compared here, with a model of word vectors that --model names.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub neighbors resnet50 --dataset acme/flowers rose.jpg -k 5
  hub neighbors frog --model glove-50d")]
pub struct Neighbors {
    /// Words; with --dataset the model, NAME[@REVISION], and the image
    #[arg(required = true, value_name = "WORD")]
    asked: Vec<String>,
    /// NAME[@REVISION]
    #[arg(long, short, value_name = "NAME", required_unless_present = "model", conflicts_with = "model")]
    dataset: Option<String>,
    /// A model of word vectors, NAME[@REVISION], or its folder here
    #[arg(long, short, value_name = "NAME|FOLDER")]
    model: Option<String>,
    /// With --model: pull it and work it out here
    #[arg(long, requires = "model")]
    local: bool,
    /// With --model: take it from the cache without asking the server
    #[arg(long, requires = "model")]
    offline: bool,
    /// With --model: look at every word, also of a million or more, where else only the most promising lists of them are looked at
    #[arg(long, requires = "model")]
    exact: bool,
    /// How many
    #[arg(short, default_value_t = 10)]
    k: usize,
}

impl Evaluate {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let (model, dataset) = (Target::parse(&self.model, false)?, Target::parse(&self.dataset, true)?);
        let client = remote.client()?;
        let support = self.support.as_deref().map(|name| Target::parse(name, true)).transpose()?.as_ref().map(named);
        let (by_names, prompt) = (self.by_names, self.prompt);
        let body = CreateEvaluation { model: named(&model), dataset: named(&dataset), split: self.split, support, by_names, prompt };
        let job = client.create_evaluation(&body).await?;
        if self.detach {
            return Ok(Output::new(format!("queued as job {}", job.id), json!(job), job.id));
        }
        watched(remote, &client, &job.id).await?;
        let found = client.evaluations(&model.id).await?.items;
        let of_job = |row: &crate::wire::evaluations::Measured| row.statement["job"] == Value::String(job.id.clone());
        let Some(row) = found.into_iter().find(of_job) else {
            return Err(CliError::failed(
                "the job ended, and what it measured is not there",
                format!("look at `hub jobs logs {}`", job.id),
            ));
        };
        let said =
            Measurement::of_signed(&row.signed).map_err(|e| CliError::corrupt(format!("the hub's statement: {e}"), "ask it again"))?;
        let sentence = said.findings.sentence();
        let human = format!("{}@{} on {}@{}: {sentence}", row.model, row.model_version, row.dataset, row.dataset_version);
        let quiet = said.findings.primary().map(|value| value.to_string()).unwrap_or_default();
        Ok(Output::new(human, json!(row), quiet))
    }
}

impl Neighbors {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let (dataset, model, image) = match (&self.dataset, &self.model, self.asked.as_slice()) {
            (_, Some(model), words) => {
                let how = How { local: self.local, offline: self.offline, exact: self.exact };
                return super::words::neighbors(remote, words, model, self.k, how).await;
            }
            (Some(dataset), None, [model, image]) => (dataset, model, PathBuf::from(image)),
            _ => return Err(CliError::usage("a model and an image are wanted", "write `hub neighbors MODEL --dataset NAME IMAGE`")),
        };
        let (model, dataset) = (Target::parse(model, false)?, Target::parse(dataset, true)?);
        let unread = |e| CliError::new(1, "file", format!("{}: it cannot be read: {e}", image.display()), "check the path of the image");
        let image = bytes::Bytes::from(std::fs::read(&image).map_err(unread)?);
        let client = remote.client()?;
        let asked = client.neighbors(&model.id, &model.revision, &named(&dataset), self.k, image.clone()).await.map_err(CliError::from);
        let found = match asked {
            Err(refused) if refused.code == "not_embedded" => {
                remote.reporter.note("this model has not looked at this data set yet: that is done first");
                let job = client.create_embedding(&CreateEmbedding { model: named(&model), dataset: named(&dataset) }).await?;
                watched(remote, &client, &job.id).await?;
                client.neighbors(&model.id, &model.revision, &named(&dataset), self.k, image).await?
            }
            asked => asked?,
        };
        let row = |n: &crate::wire::predict::NeighborBody| {
            vec![format!("{:.4}", n.similarity), n.target.clone(), n.split.clone(), n.path.clone()]
        };
        let rows: Vec<_> = found.neighbors.iter().map(row).collect();
        let paths: Vec<_> = found.neighbors.iter().map(|n| n.path.clone()).collect();
        Ok(Output::new(table(&["similarity", "target", "split", "path"], &rows), json!(found), paths.join("\n")))
    }
}

fn named(target: &Target) -> String {
    format!("{}@{}", target.id, target.revision)
}

/// Until it has succeeded; what follows tells what came of it.
async fn watched(remote: &Remote, client: &Client, id: &str) -> Result<()> {
    watch::quietly(remote, client, id).await
}
