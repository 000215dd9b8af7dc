//! `hub jobs`: look after fine-tunes and other work.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::curves::{self, CurveFormat};
use super::output::{CliError, Output, Result};
use super::remote::Remote;
use super::table::{facts, minute, table};
use super::watch;
use crate::client::Client;
use crate::domain::human;
use crate::domain::id::JobId;
use crate::wire::jobs::{CloneJob, Job, JobFile, Trial};

/// List, show, follow and cancel jobs, and fetch what they leave
#[derive(Debug, Args)]
pub struct Jobs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List your jobs, newest first
    List {
        /// Only those that are queued, running, succeeded, failed or cancelled
        #[arg(long)]
        state: Option<String>,
        /// How many to show
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Also the trials of sweeps
        #[arg(long)]
        all: bool,
    },
    /// Show one job with its recipe; a sweep with its trials
    Show { id: String },
    /// Follow a job to its end
    Watch { id: String },
    /// Print what a job has logged
    Logs { id: String },
    /// List the files a job has left
    Files { id: String },
    /// Fetch a file a job has left, or all of them
    Get {
        id: String,
        /// Which; without it all
        name: Option<String>,
        /// The folder to put them in
        #[arg(long, short, value_name = "FOLDER", default_value = ".")]
        output: PathBuf,
    },
    /// Let a job stand still; it goes on from its last checkpoint
    Pause { id: String },
    /// Let a paused job go on
    Resume { id: String },
    /// Put a job that failed or was cancelled back in the queue
    Retry { id: String },
    /// Ask for the same once more, on the same versions
    Clone {
        id: String,
        /// Where a fine-tune is to be published, if elsewhere
        #[arg(long)]
        name: Option<String>,
    },
    /// Put a job before others (up to 100) or behind them (down to -100)
    ///
    /// An administrator does so among all jobs, others among their own.
    Priority {
        id: String,
        #[arg(allow_hyphen_values = true)]
        priority: i64,
    },
    /// Save the curves of a job as a table or for TensorBoard
    Curves {
        id: String,
        /// csv, tensorboard or json
        #[arg(long, value_enum, default_value_t = CurveFormat::Csv)]
        format: CurveFormat,
        /// Where to; a folder takes the file under its own name [default: the table is printed, other forms lie here]
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
    /// Stop a job; nothing of it is published
    Cancel { id: String },
}

impl Jobs {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let client = remote.client()?;
        match self.command {
            Command::List { state, limit, all } => list(&client, remote, (state, all), limit).await,
            Command::Show { id } => show(&client, &client.job(&named(&client, &id).await?).await?),
            Command::Watch { id } => watch::to_the_end(remote, &client, &named(&client, &id).await?, 0).await,
            Command::Logs { id } => {
                let text = client.job_logs(&named(&client, &id).await?).await?;
                let lines: Vec<_> = text.lines().collect();
                let said = text.trim_end();
                Ok(Output::new(said, json!({"id": id, "lines": lines}), said))
            }
            Command::Pause { id } => {
                said(client.act_on_job(&named(&client, &id).await?, "pause").await?, "will stand still until `hub jobs resume`")
            }
            Command::Resume { id } => said(client.act_on_job(&named(&client, &id).await?, "resume").await?, "goes on"),
            Command::Retry { id } => said(client.act_on_job(&named(&client, &id).await?, "retry").await?, "waits for a worker once more"),
            Command::Clone { id, name } => {
                said(client.clone_job(&named(&client, &id).await?, &CloneJob { name }).await?, "waits for a worker")
            }
            Command::Priority { id, priority } => said(client.place_job(&named(&client, &id).await?, priority).await?, "has its place"),
            Command::Files { id } => files(client.job_files(&named(&client, &id).await?).await?.items),
            Command::Get { id, name, output } => get(&client, &named(&client, &id).await?, name, &output).await,
            Command::Curves { id, format, output } => curves::save(&client, &named(&client, &id).await?, format, output).await,
            Command::Cancel { id } => cancel(client.cancel_job(&named(&client, &id).await?).await?),
        }
    }
}

fn files(files: Vec<JobFile>) -> Result<Output> {
    let row = |file: &JobFile| vec![file.name.clone(), human::bytes(file.size_bytes), file.sha256.clone()];
    let shown =
        if files.is_empty() { String::new() } else { table(&["file", ">size", "sha256"], &files.iter().map(row).collect::<Vec<_>>()) };
    let names: Vec<_> = files.iter().map(|file| file.name.clone()).collect();
    Ok(Output::new(shown, json!(files), names.join("\n")))
}

/// Names come from the server, which may be anybody's: one that leads elsewhere is refused.
async fn get(client: &Client, id: &str, name: Option<String>, folder: &Path) -> Result<Output> {
    let mut files = client.job_files(id).await?.items;
    if let Some(name) = &name {
        files.retain(|file| file.name == *name);
        if files.is_empty() {
            let message = format!("job {id} has left no file '{name}'");
            return Err(CliError::new(3, "file_not_found", message, format!("`hub jobs files {id}` lists them")));
        }
    }
    let mut written = Vec::new();
    for file in &files {
        let plain = !file.name.is_empty() && !file.name.starts_with('.') && !file.name.contains(['/', '\\', ':']);
        if !plain {
            return Err(CliError::failed(format!("'{}' is no name for a file here", file.name), "fetch it through the API"));
        }
        let to = folder.join(&file.name);
        client.fetch_job_file(id, file, &to).await?;
        written.push(to.display().to_string());
    }
    Ok(Output::new(written.join("\n"), json!(written), written.join("\n")))
}

fn said(job: Job, what: &str) -> Result<Output> {
    let quiet = job.id.clone();
    Ok(Output::new(format!("Job {} {what}", job.id), json!(job), quiet))
}

/// Pages of jobs that are looked through for one whose id begins so.
const LOOKED_THROUGH: usize = 5;
/// Fewer letters name too many.
const SHORTEST: usize = 4;

/// A job's whole id, from the id, how it begins or ends, or the address of its page.
async fn named(client: &Client, text: &str) -> Result<String> {
    let text = text.trim();
    let text = text.split_once("/jobs/").map_or(text, |(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let wrong = match JobId::parse(text) {
        Ok(_) => return Ok(text.to_owned()),
        Err(e) => CliError::usage(format!("'{text}': {e}"), "`hub jobs list` shows the ids"),
    };
    if text.len() < SHORTEST || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(wrong);
    }
    let (wanted, mut found, mut cursor) = (text.to_ascii_lowercase(), Vec::new(), None::<String>);
    for _ in 0..LOOKED_THROUGH {
        let mut query = vec![("limit", "100".to_owned()), ("all", "true".to_owned())];
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page = client.jobs(&query).await?;
        let fits = |id: &str| {
            let id = id.to_ascii_lowercase();
            id.starts_with(&wanted) || id.ends_with(&wanted)
        };
        found.extend(page.items.into_iter().map(|job| job.id).filter(|id| fits(id)));
        match page.next {
            Some(next) if found.len() < 2 => cursor = Some(next),
            _ => break,
        }
    }
    match found.as_slice() {
        [] => Err(wrong),
        [only] => Ok(only.clone()),
        many => Err(CliError::usage(format!("'{text}' is how several jobs are called: {}", many.join(", ")), "write more of the id")),
    }
}

async fn list(client: &Client, remote: &Remote, (state, all): (Option<String>, bool), limit: usize) -> Result<Output> {
    let mut query = vec![("limit", limit.clamp(1, 100).to_string())];
    query.extend(state.map(|state| ("state", state)));
    query.extend(all.then(|| ("all", "true".to_owned())));
    let jobs = client.jobs(&query).await?.items;
    if jobs.is_empty() {
        remote.reporter.note("no jobs; `hub finetune` starts one");
    }
    let row = |job: &Job| {
        let percent = (100 * job.step.min(job.total_steps)).checked_div(job.total_steps);
        let progress = percent.map(|percent| format!("{percent} %")).unwrap_or_default();
        vec![
            job.id.clone(),
            job.state.clone(),
            progress,
            job.title.clone(),
            job.kind.clone(),
            job.base.clone(),
            job.dataset.clone(),
            minute(&job.created),
        ]
    };
    let human = if jobs.is_empty() {
        String::new()
    } else {
        table(&["job", "state", ">done", "what", "kind", "base", "data set", "created"], &jobs.iter().map(row).collect::<Vec<_>>())
    };
    let ids: Vec<_> = jobs.iter().map(|job| job.id.clone()).collect();
    Ok(Output::new(human, json!(jobs), ids.join("\n")))
}

fn show(client: &Client, job: &Job) -> Result<Output> {
    let result = job.result_version.map_or(job.name.clone(), |version| format!("{}@{version}", job.name));
    let attempt = if job.attempt > 1 { format!("{} (a worker was lost before)", job.attempt) } else { String::new() };
    let human = facts(&[
        ("job", job.id.clone()),
        ("state", state(job)),
        ("stage", job.stage.clone()),
        ("steps", if job.total_steps == 0 { String::new() } else { format!("{} of {}", job.step, job.total_steps) }),
        ("attempt", attempt),
        ("error", job.error.clone().unwrap_or_default()),
        ("kind", job.kind.clone()),
        (
            "priority",
            if (job.priority, job.urgency) == (0, 0) {
                String::new()
            } else {
                format!("{}, {} among the owner's", job.priority, job.urgency)
            },
        ),
        ("base", job.base.clone()),
        ("data set", job.dataset.clone()),
        ("result", result),
        ("owner", job.owner.clone()),
        ("trial of", job.parent.clone().unwrap_or_default()),
        ("created", minute(&job.created)),
        ("started", job.started.as_deref().map(minute).unwrap_or_default()),
        ("finished", job.finished.as_deref().map(minute).unwrap_or_default()),
        ("recipe", job.recipe.as_ref().map(|recipe| json!(recipe).to_string()).unwrap_or_default()),
        ("page", client.address().job_page(&job.id)),
    ]);
    let human = if job.children.is_empty() { human } else { format!("{human}\n\n{}", trials(&job.children)) };
    Ok(Output::new(human, json!(job), job.state.clone()))
}

/// A line a trial, the best one marked.
fn trials(children: &[Trial]) -> String {
    let measure = children.first().map_or("", |first| first.measure.as_str());
    let row = |trial: &Trial| {
        let best = if trial.best { "best" } else { "" };
        let reached = trial.reached.map(|reached| format!("{reached:.4}")).unwrap_or_default();
        let (number, epochs) = (trial.trial.to_string(), trial.epochs.to_string());
        vec![number, trial.settings.clone(), trial.state.clone(), epochs, reached, best.to_owned(), trial.job.clone()]
    };
    let reached = format!(">{measure}");
    table(&[">trial", "settings", "state", ">epochs", &reached, "", "job"], &children.iter().map(row).collect::<Vec<_>>())
}

fn state(job: &Job) -> String {
    match (job.state.as_str(), job.cancel_requested, job.paused) {
        ("running", true, _) => "running, to be cancelled".into(),
        ("running", _, true) => "running, to be paused".into(),
        ("queued", _, true) => "paused".into(),
        (state, ..) => state.into(),
    }
}

fn cancel(job: Job) -> Result<Output> {
    let human = match job.state.as_str() {
        "cancelled" => format!("Cancelled job {}", job.id),
        "running" | "queued" => format!("Job {} will stop in a moment", job.id),
        state => format!("Job {} had {state} already", job.id),
    };
    let quiet = job.state.clone();
    Ok(Output::new(human, json!(job), quiet))
}
