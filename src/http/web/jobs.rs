//! Jobs: the list, and one job with its curve, its numbers and its log.

use actix_web::HttpRequest;
use actix_web::web::Data;
use askama::Template;
use serde_json::Value;

use super::backbones::{self, Backbones};
use super::card::{href, title};
use super::curve::Drawing;
use super::frame::{Frame, page, see_other};
use super::job_acts::Acts;
use super::outcome::{self, Outcome};
use super::repo_head::urlencode;
use super::report::{self, Report};
use super::{curve, format, sweep};
use crate::domain::findings::{PREDICTIONS, changes};
use crate::domain::job::{Family, Job, JobState};
use crate::domain::job_event::{EpochNumbers, Event, JobEvent, Progress};
use crate::domain::name::{Name, RepoKind};
use crate::domain::task::Task;
use crate::domain::user::{Actor, Role};
use crate::domain::work::{Input, Work};
use crate::http::Site;
use crate::http::assets;
use crate::http::caller::{Caller, Visitor};
use crate::http::curves;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{JobAt, JobFileAt, Query};
use crate::http::job_events;
use crate::service::Service;

/// Epochs in the table, and bytes of the log: the rest is a click away.
const MOST_LINES: usize = 100;
const LOG_BYTES: usize = 16 << 10;

#[derive(Template)]
#[template(path = "jobs.html")]
struct JobsPage {
    frame: Frame,
    jobs: Vec<JobLine>,
    next: Option<String>,
    /// The visitor's own jobs, and those of each organisation of theirs: name, address, whether it is shown.
    places: Vec<(String, String, bool)>,
}

pub struct JobLine {
    pub id: String,
    pub href: String,
    pub name: String,
    pub state: &'static str,
    pub tone: &'static str,
    pub base: String,
    pub dataset: String,
    pub owner: String,
    pub created: String,
    pub stage: String,
}

impl From<&Job> for JobLine {
    fn from(job: &Job) -> JobLine {
        JobLine {
            id: job.id.to_string(),
            href: format!("/jobs/{}", job.id),
            name: job.work.publishes().map_or_else(|| job.work.title(), title),
            state: job.state.as_str(),
            // What is published whatever it is worth is no success by being there.
            tone: if job.state == JobState::Succeeded && published_anyway(job) { "" } else { tone(job.state) },
            base: input(job, RepoKind::Model).map(|input| title(&input.id)).unwrap_or_default(),
            dataset: input(job, RepoKind::Dataset).map(|input| title(&input.id)).unwrap_or_default(),
            owner: job.owner_name.clone(),
            created: format::minute(job.created),
            stage: if job.state.is_final() { String::new() } else { job.stage.clone() },
        }
    }
}

fn published_anyway(job: &Job) -> bool {
    job.work.fine_tune().is_some_and(|task| task.recipe.publish_anyway)
}

/// The first version of a kind that it reads.
fn input(job: &Job, kind: RepoKind) -> Option<Input> {
    job.work.inputs().into_iter().find(|input| input.kind == kind)
}

pub(super) fn tone(state: JobState) -> &'static str {
    match state {
        JobState::Succeeded => "good",
        JobState::Failed => "bad",
        JobState::Cancelled => "warn",
        JobState::Queued | JobState::Running => "on",
    }
}

pub async fn list(visitor: Visitor, service: Data<Service>, query: Query) -> Answer {
    if visitor.0.is_none() {
        return Ok(see_other("/login?next=/jobs"));
    }
    let actor = visitor.actor();
    let shown = query.text("in");
    let list = match Name::parse(&shown) {
        Ok(space) => service.list_jobs_in(&actor, &space, query.page()?).await?,
        Err(_) => service.list_jobs(&actor, (None, None, Family::Heads), query.page()?).await?,
    };
    let me = service.whoami(&actor).await?;
    let others = me.namespaces.iter().filter(|(space, _)| space.folded() != me.name.folded()).map(|(space, _)| space.to_string());
    let own = if me.is_admin { "Everybody's" } else { "Yours" };
    let place = |space: String| (space.clone(), format!("/jobs?in={}", urlencode(&space)), space == shown);
    let places = std::iter::once((own.to_owned(), "/jobs".to_owned(), shown.is_empty())).chain(others.map(place)).collect();
    let within = if shown.is_empty() { String::new() } else { format!("in={}&", urlencode(&shown)) };
    let next = list.next.as_deref().map(|cursor| format!("/jobs?{within}cursor={}", urlencode(cursor)));
    page(&JobsPage { frame: Frame::of(&visitor, "jobs"), jobs: list.items.iter().map(JobLine::from).collect(), next, places })
}

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    frame: Frame,
    csrf: String,
    id: String,
    line: JobLine,
    live: bool,
    paused: bool,
    running: bool,
    acts: Acts,
    error: Option<String>,
    percent: u64,
    speed: String,
    /// Each with its role.
    inputs: Vec<(String, (String, String))>,
    result: Option<(String, String)>,
    recipe: Vec<(String, String)>,
    files: Vec<FileLine>,
    sweep: sweep::Sweep,
    epochs: Vec<EpochLine>,
    loss: String,
    /// The name of the task's first measure, and its curve.
    primary: (String, String),
    /// The heads of the columns of numbers.
    columns: Vec<String>,
    /// How many epochs there were, of which the table may have some.
    all_epochs: usize,
    log: String,
    log_is_whole: bool,
    last_event: u64,
    outcome: Option<Outcome>,
    report: Report,
    changed: Vec<(String, String)>,
    /// It has left what it said about each item.
    measured: bool,
    /// It trains: there are epochs, and runs it may be laid over.
    trains: bool,
    /// Where what came of it stands, if not here: words and address.
    elsewhere: Option<(&'static str, String)>,
    /// The state in words, where it is more than its name.
    state_said: String,
    script: String,
    drawing: Drawing,
    /// Of a job that looked for them.
    backbones: Option<Backbones>,
    /// Where the same can be asked for with other settings.
    again: Option<String>,
}

struct FileLine {
    name: String,
    size: String,
}

struct EpochLine {
    epoch: u32,
    numbers: Vec<String>,
    best: bool,
}

/// Losses, the first measure of training, then every measure but those after the second, which only the outcome shows.
fn columns(task: Task) -> Vec<String> {
    let primary = task.primary().title;
    let mut columns = vec!["Training loss".into(), "Validation loss".into()];
    columns.extend([format!("Training {primary}"), format!("Validation {primary}")]);
    columns.extend(task.measures().last().map(|last| last.label()));
    columns.push("Images/s".into());
    columns
}

impl From<&EpochNumbers> for EpochLine {
    fn from(epoch: &EpochNumbers) -> EpochLine {
        let measures = epoch.task.measures();
        let shown = |at: usize, value: f64| outcome::shown(measures[at].unit, value);
        let last = measures.len() - 1;
        let numbers = vec![
            format!("{:.4}", epoch.train_loss),
            format!("{:.4}", epoch.val_loss),
            shown(0, epoch.train_primary),
            shown(0, epoch.val_primary()),
            shown(last, epoch.val[last]),
            format!("{:.0}", epoch.samples_per_second),
        ];
        EpochLine { epoch: epoch.epoch, numbers, best: epoch.best }
    }
}

pub async fn show(request: HttpRequest, visitor: Visitor, service: Data<Service>, at: JobAt) -> Answer {
    let actor = visitor.actor();
    if visitor.0.is_none() {
        return Ok(see_other(&format!("/login?next=/jobs/{}", at.0)));
    }
    let job = service.get_job(&actor, &at.0).await?;
    let events = job_events::all(&service, &actor, &at.0).await?;
    let log = end_of(events.iter().map(job_events::line).collect());
    let address = Site::of(&request)?.public_address(&request);
    let name = job.work.publishes().map(ToString::to_string).unwrap_or_default();
    let mut report = report::find(&service, &actor, &at.0, &name, &address).await.unwrap_or_default();
    let outcome = outcome::find(&service, &actor, &job).await.or_else(|| report.outcome.take());
    let files = service.job_files(&actor, &at.0).await?;
    let files: Vec<FileLine> = files.into_iter().map(|file| FileLine { size: format::bytes(file.size_bytes), name: file.name }).collect();
    let measured = job.state == JobState::Succeeded && files.iter().any(|file| file.name == PREDICTIONS);
    let sweep = sweep::find(&service, &actor, &job).await?;
    let mut shown = JobPage { files, measured, sweep, ..JobPage::of(&visitor, &job, &events, log, report) };
    shown.backbones = backbones::find(&service, &actor, &job).await;
    if !may_change(&service, &actor, &job).await? {
        // A member who may only look may still ask for the same.
        let Acts { clone, name, .. } = shown.acts;
        shown.acts = Acts { clone, name, ..Acts::default() };
    }
    if let Some(outcome) = outcome.as_ref().filter(|outcome| outcome.said.tone != "good" && job.state == JobState::Succeeded) {
        // What is no better than always the same answer is no success, whatever was published.
        shown.line.tone = outcome.said.tone;
        shown.state_said = "succeeded, and not clearly better than always the same answer".into();
    }
    page(&JobPage { outcome, ..shown })
}

/// Whether a visitor who sees the job may say what becomes of it; each act asks again.
async fn may_change(service: &Service, actor: &Actor, job: &Job) -> Result<bool, HttpError> {
    if actor.account() == Some(&job.owner) || matches!(actor, Actor::User { is_admin: true, .. }) {
        return Ok(true);
    }
    match job.work.publishes() {
        Some(name) => Ok(service.role_in_namespace(actor, name.namespace()).await? >= Some(Role::Write)),
        None => Ok(false),
    }
}

impl JobPage {
    fn of(visitor: &Visitor, job: &Job, events: &[JobEvent], (log, log_is_whole): (String, bool), report: Report) -> JobPage {
        let numbers = |event: &JobEvent| if let Event::Epoch(numbers) = &event.event { Some(numbers.clone()) } else { None };
        let epochs = curve::newest(events.iter().filter_map(numbers));
        let told = |event: &JobEvent| if let Event::Progress(progress) = &event.event { Some(progress.clone()) } else { None };
        let speed = events.iter().rev().find_map(told).map(|progress| speed(&progress)).unwrap_or_default();
        let task = epochs.first().map(|epoch| epoch.task).or(job.work.fine_tune().and_then(|task| task.recipe.task)).unwrap_or_default();
        let link = |kind, id, version: u32| (format!("{}?rev={version}", href(kind, id)), format!("{} v{version}", title(id)));
        JobPage {
            frame: Frame::of(visitor, "jobs"),
            csrf: visitor.csrf().to_owned(),
            id: job.id.to_string(),
            line: JobLine::from(job),
            live: !job.state.is_final(),
            paused: job.paused && !job.state.is_final(),
            running: job.state == JobState::Running,
            acts: Acts::of(job, &visitor.actor()),
            error: job.error.clone(),
            percent: (job.step * 100).checked_div(job.total_steps).unwrap_or(0).min(100),
            speed: if job.state == JobState::Running { speed } else { String::new() },
            inputs: job.work.inputs().iter().map(|input| (input.role.clone(), link(input.kind, &input.id, input.version))).collect(),
            result: job.result_version.zip(job.work.publishes()).map(|(version, name)| link(RepoKind::Model, name, version)),
            files: Vec::new(),
            sweep: sweep::Sweep::default(),
            recipe: recipe(job),
            loss: curve::loss(&epochs),
            primary: (curve::title(task, ", per cent"), curve::primary(task, &epochs, &report.scratch)),
            columns: columns(task),
            all_epochs: epochs.len(),
            epochs: epoch_lines(&epochs),
            log,
            log_is_whole,
            last_event: events.last().map_or(0, |event| event.number),
            outcome: None,
            changed: changed(job),
            measured: false,
            trains: matches!(job.work, Work::FineTune(_) | Work::Word2vec(_)),
            elsewhere: elsewhere(job),
            state_said: String::new(),
            script: assets::url("job.js"),
            drawing: Drawing::default(),
            backbones: None,
            again: job.work.fine_tune().filter(|task| task.trial.is_none()).map(|_| format!("/finetune?from={}", job.id)),
            report,
        }
    }
}

/// What comes of work that trains nothing stands on the page of its data set.
fn elsewhere(job: &Job) -> Option<(&'static str, String)> {
    let page = |id, version: u32, rest: &str| format!("{}{rest}?rev={version}", href(RepoKind::Dataset, id));
    match (&job.work, job.state) {
        (Work::Evaluate(work), JobState::Succeeded) => {
            Some(("the leaderboard of its data set", format!("{}#leaderboard", page(&work.dataset, work.dataset_version, ""))))
        }
        (Work::Embed(work), JobState::Succeeded) => {
            Some(("the page of neighbours", page(&work.dataset, work.dataset_version, "/neighbors")))
        }
        (Work::Examine(work), JobState::Succeeded) => Some(("the doctor's page", page(&work.dataset, work.dataset_version, "/doctor"))),
        _ => None,
    }
}

/// A line per epoch, of many the last and the best; only the best of all is marked, each having said so of itself when it was.
fn epoch_lines(epochs: &[EpochNumbers]) -> Vec<EpochLine> {
    let best = epochs.iter().rposition(|epoch| epoch.best);
    let line = |(at, epoch): (usize, &EpochNumbers)| EpochLine { best: Some(at) == best, ..EpochLine::from(epoch) };
    let shown = |(at, _): &(usize, &EpochNumbers)| at + MOST_LINES >= epochs.len() || Some(*at) == best;
    epochs.iter().enumerate().filter(shown).map(line).collect()
}

/// The end of a log, from the beginning of a line; and whether it is all of it.
fn end_of(log: String) -> (String, bool) {
    let from = log.len().saturating_sub(LOG_BYTES);
    match log.as_bytes().get(from..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n')) {
        Some(at) if from > 0 => (log.get(from + at + 1..).unwrap_or_default().to_owned(), false),
        _ => (log, true),
    }
}

fn speed(progress: &Progress) -> String {
    // Before the first step nothing is known; a sweep counts its trials, and they have speeds of their own.
    if progress.samples_per_second <= 0.0 {
        return progress.stage.clone();
    }
    let left = if progress.eta_seconds >= 1.0 { format!(", {} left", format::duration(progress.eta_seconds)) } else { String::new() };
    let rate = progress.samples_per_second;
    let rate = if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") };
    format!("{}: {rate} items/s{left}", progress.stage)
}

/// A fine-tune's settings; of other work, all that was asked for.
fn recipe_or_asked(job: &Job) -> serde_json::Result<Value> {
    job.work.fine_tune().map_or_else(|| Ok(job.work.write().1), |task| serde_json::to_value(&task.recipe))
}

/// As it is written in the API, one setting a line.
pub(super) fn recipe(job: &Job) -> Vec<(String, String)> {
    let Ok(Value::Object(settings)) = recipe_or_asked(job) else { return vec![] };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), String::from);
    let mut lines = Vec::new();
    for (name, value) in &settings {
        match value {
            Value::Object(inner) => lines.extend(inner.iter().map(|(key, value)| (format!("{name}.{key}"), text(value)))),
            value => lines.push((name.clone(), text(value))),
        }
    }
    lines
}

/// The API's events for this page: the session's cookie opens them, since `/api` takes tokens only.
pub async fn events(visitor: Visitor, service: Data<Service>, at: JobAt, query: Query, request: HttpRequest) -> Answer {
    let seen = request.headers().get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.trim().parse().ok());
    let after = seen.or(query.number("after")?).unwrap_or(0);
    job_events::stream(service.get_ref().clone(), visitor.actor(), at.0, after).await
}

/// A file the job has left: the session's cookie opens it here.
pub async fn file(visitor: Visitor, service: Data<Service>, at: JobFileAt) -> Answer {
    crate::http::api::jobs::file(Caller(visitor.actor()), service, at).await
}

/// Settings that are not the defaults, which people look for first.
fn changed(job: &Job) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), String::from);
    let changes = job.work.fine_tune().map(|task| changes(&task.recipe)).unwrap_or_default();
    let told = |value: &Value, default: &Value| match default {
        Value::Null => text(value),
        default => format!("{} (not {})", text(value), text(default)),
    };
    changes
        .into_iter()
        .map(|change| {
            let said = told(&change.value, &change.default);
            (change.setting, said)
        })
        .collect()
}

/// All lines of its log, as a text.
pub async fn log(visitor: Visitor, service: Data<Service>, at: JobAt) -> Answer {
    let lines = job_events::log(&service, &visitor.actor(), &at.0).await?;
    Ok(crate::http::stream::text(lines))
}

/// The API's curves for this page, likewise.
pub async fn curves(visitor: Visitor, service: Data<Service>, at: JobAt, query: Query) -> Answer {
    curves::answer(&service, &visitor.actor(), &at.0, query.find("format")).await
}
