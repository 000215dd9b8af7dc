//! Following a job on the terminal: a bar for the steps, a line for each epoch, and how it ended.

use serde_json::json;

use super::output::{CliError, Output, Result, Style, json_line};
use super::remote::Remote;
use super::table::{duration, percent};
use crate::client::{Client, Follow};
use crate::domain::evaluation::headline_sentence;
use crate::domain::job::JobState;
use crate::domain::job_event::{EpochNumbers, Event, Progress};
use crate::domain::task::{Unit, significant};
use crate::wire::jobs::{Job, JobEvent};

/// Shows every event after number `after`; the answer is the job as it ended. A job that did not succeed is a
/// failure of the command. With `--json` every event is a line of stdout, and the job the last of them.
pub async fn to_the_end(remote: &Remote, client: &Client, id: &str, after: u64) -> Result<Output> {
    remote.on_interrupt(format!("the job goes on; follow it with `hub jobs watch {id}`, stop it with `hub jobs cancel {id}`"));
    remote.reporter.step(&format!("job {id}, {}", client.address().job_page(id)));
    let mut screen = Screen { remote: remote.clone(), epochs: 0 };
    let followed = client.follow_job(id, after, &mut |event| screen.hear(&event)).await;
    remote.reporter.finish();
    followed?;
    let job = client.job(id).await?;
    ended(remote, client, job)
}

/// Waits for the end without a word on stdout, whose answer comes from elsewhere.
pub async fn quietly(remote: &Remote, client: &Client, id: &str) -> Result<()> {
    remote.on_interrupt(format!("the job goes on; follow it with `hub jobs watch {id}`, stop it with `hub jobs cancel {id}`"));
    let reporter = remote.reporter.clone();
    let hear = |event: &JobEvent| {
        if let Event::Progress(progress) = event.event() {
            reporter.steps(progress.step, progress.total_steps, &progress.stage);
        }
        Follow::On
    };
    let followed = client.follow_job(id, 0, &mut |event| hear(&event)).await;
    remote.reporter.finish();
    followed?;
    let job = client.job(id).await?;
    match job.state.as_str() {
        "succeeded" => Ok(()),
        state => {
            let why = job.error.unwrap_or_default();
            Err(CliError::new(1, &format!("job_{state}"), format!("job {id} {state}: {why}"), format!("`hub jobs logs {id}` says more")))
        }
    }
}

fn ended(remote: &Remote, client: &Client, job: Job) -> Result<Output> {
    let why = job.error.clone().unwrap_or_default();
    match job.state.as_str() {
        "succeeded" => {
            let result = job.result_version.map_or(job.name.clone(), |version| format!("{}@{version}", job.name));
            let page = crate::domain::name::RepoId::parse(&job.name)
                .map(|id| client.address().page(crate::domain::name::RepoKind::Model, &id))
                .unwrap_or_default();
            let human = match job.name.as_str() {
                "" => format!("Done; `hub jobs get {}` fetches what it has left", job.id),
                _ => format!("Published {result}\n{page}"),
            };
            if remote.style == Style::Json {
                json_line(&job);
                return Ok(Output::none());
            }
            Ok(Output::new(human, json!(job), result))
        }
        "cancelled" => {
            Err(CliError::new(1, "job_cancelled", format!("job {} was cancelled", job.id), "start it again with `hub finetune`"))
        }
        _ => Err(CliError::new(1, "job_failed", format!("job {} failed: {why}", job.id), format!("`hub jobs logs {}` says more", job.id))),
    }
}

struct Screen {
    remote: Remote,
    epochs: u32,
}

impl Screen {
    fn hear(&mut self, event: &JobEvent) -> Follow {
        if self.remote.style == Style::Json {
            json_line(event);
        }
        match event.event() {
            Event::Progress(progress) => self.steps(&progress),
            Event::Epoch(epoch) => self.epoch(&epoch),
            Event::Log { message, .. } => self.note(&message),
            Event::Result { metrics, .. } => self.note(&headline_sentence(&metrics).unwrap_or_default()),
            Event::State { state: JobState::Running, .. } => self.remote.reporter.step("running"),
            _ => {}
        }
        Follow::On
    }

    fn steps(&self, progress: &Progress) {
        let (speed, left) = (progress.samples_per_second, duration(progress.eta_seconds));
        // A sweep counts its trials, and they have speeds of their own.
        let pace = if speed > 0.0 { format!(", {speed:.0} items/s, {left} left") } else { String::new() };
        self.remote.reporter.steps(progress.step, progress.total_steps, &format!("{}{pace}", progress.stage));
    }

    fn epoch(&mut self, epoch: &EpochNumbers) {
        let measures = epoch.task.measures();
        if self.epochs == 0 {
            let titles: String = measures.iter().map(|measure| format!("  {:>9}", measure.title)).collect();
            self.note(&format!("{:>6}  {:>10}  {:>9}{titles}  {:>9}", "epoch", "train loss", "val loss", "items/s"));
        }
        self.epochs += 1;
        let shown = |unit: Unit, value: f64| match unit {
            Unit::Share => percent(value),
            Unit::Score => format!("{value:.4}"),
            Unit::OfTarget => significant(value),
        };
        let values: String =
            measures.iter().zip(&epoch.val).map(|(measure, value)| format!("  {:>9}", shown(measure.unit, *value))).collect();
        self.note(&format!(
            "{:>6}  {:>10.4}  {:>9.4}{values}  {:>9.0}{}",
            format!("{}/{}", epoch.epoch, epoch.epochs),
            epoch.train_loss,
            epoch.val_loss,
            epoch.samples_per_second,
            if epoch.best { "  best" } else { "" },
        ));
    }

    /// The table is what `--watch` asks for, so it is printed without a terminal too.
    fn note(&self, text: &str) {
        if self.remote.style == Style::Human && !text.is_empty() {
            self.remote.reporter.note(text);
        }
    }
}
