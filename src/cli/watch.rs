//! Following a job on the terminal: a bar for the steps, a line for each epoch, and how it ended.

use serde_json::{Value, json};

use super::output::{CliError, Output, Result, Style, json_line};
use super::remote::Remote;
use super::table::{duration, percent};
use crate::client::{Client, Follow};
use crate::wire::jobs::{Epoch, Job, JobEvent};

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

fn ended(remote: &Remote, client: &Client, job: Job) -> Result<Output> {
    let why = job.error.clone().unwrap_or_default();
    match job.state.as_str() {
        "succeeded" => {
            let result = job.result_version.map_or(job.name.clone(), |version| format!("{}@{version}", job.name));
            let page = crate::domain::name::RepoId::parse(&job.name)
                .map(|id| client.address().page(crate::domain::name::RepoKind::Model, &id))
                .unwrap_or_default();
            let human = format!("Published {result}\n{page}");
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
        let text = |key: &str| event.body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        match event.kind.as_str() {
            "progress" => self.steps(&event.body),
            "epoch" => self.epoch(event.body.clone()),
            "log" => self.note(&text("message")),
            "state" if text("state") == "running" => self.remote.reporter.step("running"),
            _ => {}
        }
        Follow::On
    }

    fn steps(&self, body: &Value) {
        let number = |key: &str| body.get(key).and_then(Value::as_u64).unwrap_or(0);
        let real = |key: &str| body.get(key).and_then(Value::as_f64).unwrap_or(0.0);
        let stage = body.get("stage").and_then(Value::as_str).unwrap_or_default();
        let message = format!("{stage}, {:.0} images/s, {} left", real("images_per_second"), duration(real("eta_seconds")));
        self.remote.reporter.steps(number("step"), number("total_steps"), &message);
    }

    fn epoch(&mut self, body: Value) {
        let Ok(epoch) = serde_json::from_value::<Epoch>(body) else { return };
        if self.epochs == 0 {
            self.note(" epoch  train loss   val loss      top-1      top-5   macro F1   images/s");
        }
        self.epochs += 1;
        self.note(&format!(
            "{:>6}  {:>10.4}  {:>9.4}  {:>9}  {:>9}  {:>9.4}  {:>9.0}{}",
            format!("{}/{}", epoch.epoch, epoch.epochs),
            epoch.train_loss,
            epoch.val_loss,
            percent(epoch.val_top1),
            percent(epoch.val_top5),
            epoch.macro_f1,
            epoch.images_per_second,
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
