//! `hub recommend`: which backbone suits a data set, as the server finds out.

use clap::Args;
use serde_json::json;

use super::output::{CliError, Output, Result};
use super::remote::{Remote, Target};
use super::search::number;
use super::table::{count, duration, table};
use crate::client::{Client, Follow};
use crate::domain::job_event::{Event, Progress};
use crate::domain::recommendation::{Backbone, FILE, Recommendation};
use crate::wire::jobs::{Job, JobEvent};
use crate::wire::recommend::CreateRecommendation;

/// Find the backbone that suits a data set
///
/// The server tries the models you may read on a sample of the data set: how well their features tell its targets (LogME, k-NN and ridge, each
/// item judged by the others; of anomalies, AUROC of distances), joined with what their cards claim. Nothing is trained unless --race asks for it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub recommend --dataset acme/flowers
  hub recommend --dataset acme/flowers --max-params 10M --license apache-2.0 --license mit --seconds 120
  hub recommend --dataset acme/flowers --among resnet50,acme/net@2 --race --json
  hub finetune --base auto --dataset acme/flowers --name acme/flowers-net --watch")]
pub struct Recommend {
    /// A data set on the server: NAME[@REVISION]
    #[arg(long, value_name = "NAME")]
    dataset: String,
    /// Choose from these models only, comma-separated (may be repeated)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    among: Vec<String>,
    /// The data set's own task; another one is refused
    #[arg(long)]
    task: Option<String>,
    /// At most so many parameters, such as 500k or 10M
    #[arg(long, value_name = "COUNT")]
    max_params: Option<String>,
    /// Any of these licences, such as apache-2.0 (may be repeated)
    #[arg(long, value_delimiter = ',')]
    license: Vec<String>,
    /// Also models that were made from others
    #[arg(long)]
    fine_tunes: bool,
    /// How long it may take; where that is short, fewer items are looked at
    #[arg(long)]
    seconds: Option<u32>,
    /// Let the best three race: short fine-tunes, of which the better go on for longer
    #[arg(long)]
    race: bool,
}

impl Recommend {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let dataset = Target::parse(&self.dataset, true)?;
        let body = CreateRecommendation {
            dataset: format!("{}@{}", dataset.id, dataset.revision),
            among: self.among,
            task: self.task,
            max_parameters: self.max_params.as_deref().map(number).transpose()?,
            license: self.license,
            fine_tunes: self.fine_tunes,
            seconds: self.seconds,
            race: self.race,
        };
        let client = remote.client()?;
        let job = client.create_recommendation(&body).await?;
        let (job, _) = follow(remote, &client, &job.id).await?;
        let answer = answer(&client, &job).await?;
        let quiet = answer.first().map(|first| first.known.model.clone()).unwrap_or_default();
        let mut value = json!(answer);
        value["job"] = json!(job.id);
        value["why"] = json!(answer.why());
        Ok(Output::new(in_words(&answer), value, quiet))
    }
}

/// Waits for a job that chooses, and gives it as it ended with the job that follows it, if one does.
pub(super) async fn follow(remote: &Remote, client: &Client, id: &str) -> Result<(Job, Option<String>)> {
    remote.on_interrupt(format!("the job goes on; follow it with `hub jobs watch {id}`, stop it with `hub jobs cancel {id}`"));
    remote.reporter.step(&format!("job {id}, {}", client.address().job_page(id)));
    let mut next = None;
    let mut hear = |event: JobEvent| {
        match event.event() {
            Event::Progress(Progress { stage, step, total_steps, samples_per_second, .. }) => {
                remote.reporter.steps(step, total_steps, &format!("{stage}, {samples_per_second:.0} items/s"));
            }
            Event::Result { metrics, .. } => next = metrics["next"].as_str().map(String::from),
            _ => {}
        }
        Follow::On
    };
    let followed = client.follow_job(id, 0, &mut hear).await;
    remote.reporter.finish();
    followed?;
    let job = client.job(id).await?;
    match job.state.as_str() {
        "succeeded" => Ok((job, next)),
        "cancelled" => Err(CliError::new(1, "job_cancelled", format!("job {id} was cancelled"), "ask again with `hub recommend`")),
        _ => {
            let why = job.error.clone().unwrap_or_default();
            Err(CliError::new(1, "job_failed", format!("job {id} failed: {why}"), format!("`hub jobs logs {id}` says more")))
        }
    }
}

/// What a job that chose has left.
pub(super) async fn answer(client: &Client, job: &Job) -> Result<Recommendation> {
    let gone = || CliError::failed(format!("job {} has left no {FILE}", job.id), "ask again with `hub recommend`");
    let files = client.job_files(&job.id).await?;
    let file = files.items.iter().find(|file| file.name == FILE).ok_or_else(gone)?;
    let folder = tempfile::tempdir().map_err(|e| CliError::failed(format!("no temporary folder: {e}"), "make room, or set TMPDIR"))?;
    let path = folder.path().join(FILE);
    client.fetch_job_file(&job.id, file, &path).await?;
    let text = std::fs::read(&path).map_err(|e| CliError::failed(format!("cannot read the answer: {e}"), "ask again"))?;
    serde_json::from_slice(&text)
        .map_err(|e| CliError::failed(format!("the answer cannot be read: {e}"), "the server may be newer than this program: update it"))
}

/// The table, the race, and what to think of both.
pub(super) fn in_words(answer: &Recommendation) -> String {
    let (tried, others): (Vec<_>, Vec<_>) = answer.backbones.iter().partition(|backbone| backbone.place.is_some());
    let distances = answer.task.about().good_only;
    let scores: &[&str] = if distances { &[">AUROC"] } else { &[">ridge", ">k-NN", ">LogME"] };
    let stands: &[&str] = &[">", "backbone", ">rank", ">±"];
    let known: &[&str] = &[">ImageNet", ">here", ">params", ">GMACs", ">ms/item", "licence", "trained on"];
    let headings = [stands, scores, known].concat();
    let mut text = table(&headings, &tried.iter().map(|backbone| row(backbone, distances)).collect::<Vec<_>>());
    if tried.iter().any(|backbone| backbone.standing.is_some_and(|standing| standing.tied)) {
        text += "\n\n= : these items do not tell it from the first";
    }
    for round in &answer.race {
        let measure = answer.task.primary();
        let shown = |value: Option<f64>, reason: &Option<String>| match (value, reason) {
            (Some(value), _) => measure.show(value, 4),
            (None, reason) => reason.clone().unwrap_or_default(),
        };
        text += &format!("\n\nRace, {} epochs on {} items:\n", round.epochs, round.items);
        let rows: Vec<_> =
            round.runs.iter().map(|run| vec![run.model.clone(), shown(run.value, &run.reason), duration(run.seconds)]).collect();
        text += &table(&["backbone", &format!(">{}", measure.title), ">time"], &rows);
    }
    if !others.is_empty() {
        let rows: Vec<_> =
            others.iter().map(|backbone| vec![backbone.known.model.clone(), backbone.reason.clone().unwrap_or_default()]).collect();
        text += &format!("\n\nNot tried:\n{}", table(&["backbone", "because"], &rows));
    }
    for note in &answer.notes {
        text += &format!("\n\n{note}");
    }
    format!("{text}\n\n{}; {} on {}", answer.why(), duration(answer.seconds), answer.device)
}

fn row(backbone: &Backbone, distances: bool) -> Vec<String> {
    let known = &backbone.known;
    let number = |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
    let (standing, scores) = (backbone.standing, backbone.scores);
    let accuracy =
        known.accuracy.map(|accuracy| format!("{:.1} %{}", 100.0 * accuracy.top1, if accuracy.measured { "" } else { " (claimed)" }));
    let tied = if standing.is_some_and(|standing| standing.tied) { " =" } else { "" };
    let told = match distances {
        true => vec![number(backbone.auroc, 3)],
        false => [scores.map(|s| s.ridge), scores.map(|s| s.knn), scores.map(|s| s.logme)].map(|score| number(score, 3)).to_vec(),
    };
    let stands = vec![
        backbone.place.map_or(String::new(), |place| place.to_string()),
        format!("{}{tied}", known.model),
        number(standing.map(|s| s.mean_rank), 2),
        number(standing.map(|s| s.spread), 2),
    ];
    let costs = vec![
        accuracy.unwrap_or_else(|| "-".into()),
        number(known.evidence.as_ref().map(|evidence| evidence.value), 3),
        count(known.parameters),
        number(backbone.gmacs, 2),
        number(backbone.milliseconds_per_item, 1),
        known.license.clone(),
        known.source_datasets.join(", "),
    ];
    [stands, told, costs].concat()
}
