//! Two to six runs over each other: their curves in one chart, the settings that differ, the numbers, and each class by each run.

use std::collections::BTreeMap;

use actix_web::web::Data;
use askama::Template;

use super::card::title;
use super::frame::{Frame, page, see_other};
use super::outcome::{self, ClassLine, Outcome};
use super::{curve, jobs, report};
use crate::domain::id::JobId;
use crate::domain::job::Job;
use crate::domain::job_event::{EpochNumbers, Event};
use crate::domain::task::Task;
use crate::domain::user::Actor;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::Query;
use crate::http::job_events;
use crate::service::Service;

const MOST: usize = 6;
/// Classes in the table; those that differ most come first.
const CLASSES: usize = 100;

#[derive(Template)]
#[template(path = "compare_runs.html")]
struct RunsPage {
    frame: Frame,
    runs: Vec<RunView>,
    measure: String,
    chart: String,
    /// Setting, and its value in each run.
    settings: Vec<(String, Vec<String>)>,
    /// Class, its recall in each run, and how far these lie apart in points.
    classes: Vec<ClassRow>,
    /// Two of them that both say what they said about each item may be told from chance.
    exactly: Option<String>,
    problem: String,
    drawing: curve::Drawing,
}

struct RunView {
    id: String,
    name: String,
    state: &'static str,
    tone: &'static str,
    key: String,
    said: String,
    beside: String,
    took: String,
}

struct ClassRow {
    class: String,
    recalls: Vec<String>,
    apart: String,
}

/// What is known of a run.
struct Run {
    job: Job,
    epochs: Vec<EpochNumbers>,
    outcome: Option<Outcome>,
}

pub async fn show(visitor: Visitor, service: Data<Service>, query: Query) -> Answer {
    if visitor.0.is_none() {
        return Ok(see_other("/login?next=/jobs"));
    }
    let actor = visitor.actor();
    let mut asked: Vec<&str> = Vec::new();
    for id in query.all("job").map(str::trim).filter(|id| !id.is_empty()) {
        if !asked.contains(&id) {
            asked.push(id);
        }
    }
    let problem = match asked.len() {
        0 | 1 => "choose two jobs or more".to_owned(),
        many if many > MOST => format!("{many} are too many to be told apart; the first {MOST} are shown"),
        _ => String::new(),
    };
    let mut runs = Vec::new();
    for id in asked.into_iter().take(MOST) {
        let id = JobId::parse(id).map_err(|e| HttpError::bad_request("bad_id", format!("'{id}': {e}"), "copy the job's whole id"))?;
        runs.push(find(&service, &actor, &id).await?);
    }
    page(&of(&visitor, runs, problem))
}

async fn find(service: &Service, actor: &Actor, id: &JobId) -> Result<Run, HttpError> {
    let job = service.get_job(actor, id).await?;
    let events = job_events::all(service, actor, id).await?;
    let epochs = events.into_iter().filter_map(|event| if let Event::Epoch(numbers) = event.event { Some(numbers) } else { None });
    let mut outcome = outcome::find(service, actor, &job).await;
    if outcome.is_none() {
        outcome = report::find(service, actor, id, "", "").await.and_then(|report| report.outcome);
    }
    Ok(Run { epochs: curve::newest(epochs), outcome, job })
}

fn of(visitor: &Visitor, runs: Vec<Run>, problem: String) -> RunsPage {
    let task: Task = runs.iter().find_map(|run| run.epochs.first().map(|epoch| epoch.task)).unwrap_or_default();
    // One chart has one measure.
    let curves: Vec<Vec<EpochNumbers>> = runs
        .iter()
        .map(|run| if run.epochs.first().is_some_and(|epoch| epoch.task == task) { run.epochs.clone() } else { Vec::new() })
        .collect();
    let exactly = match &runs[..] {
        [a, b] if a.outcome.is_some() && b.outcome.is_some() => Some(format!("/compare?a={}&b={}", a.job.id, b.job.id)),
        _ => None,
    };
    RunsPage {
        frame: Frame::of(visitor, "jobs"),
        measure: curve::title(task, ", per cent, on the validation items"),
        chart: curve::overlaid(task, &curves),
        settings: settings(&runs),
        classes: classes(&runs),
        runs: runs.iter().enumerate().map(|(at, run)| RunView::of(at, run)).collect(),
        exactly,
        problem,
        drawing: curve::Drawing::default(),
    }
}

impl RunView {
    fn of(at: usize, run: &Run) -> RunView {
        let line = jobs::JobLine::from(&run.job);
        let said = run.outcome.as_ref().map(|outcome| &outcome.said);
        let took = run.job.started.zip(run.job.finished).map(|(from, to)| (to.unix_ms() - from.unix_ms()) as f64 / 1_000.0);
        RunView {
            id: line.id,
            name: run.job.work.publishes().map_or_else(|| run.job.work.title(), title),
            state: line.state,
            tone: said.map_or(line.tone, |said| said.tone),
            key: format!("s{}", at + 1),
            said: said.map(|said| said.value.clone()).unwrap_or_default(),
            beside: said.map(|said| said.sentence.clone()).unwrap_or_default(),
            took: took.map(super::format::duration).unwrap_or_default(),
        }
    }
}

/// What was asked for, where it differs.
fn settings(runs: &[Run]) -> Vec<(String, Vec<String>)> {
    let of = |run: &Run| {
        let mut all: BTreeMap<String, String> = jobs::recipe(&run.job).into_iter().collect();
        for input in run.job.work.inputs() {
            all.insert(input.role.clone(), format!("{} v{}", title(&input.id), input.version));
        }
        all
    };
    let all: Vec<BTreeMap<String, String>> = runs.iter().map(of).collect();
    let mut names: Vec<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    names.sort();
    names.dedup();
    let row = |name: &String| (name.clone(), all.iter().map(|one| one.get(name).cloned().unwrap_or_default()).collect::<Vec<_>>());
    names.into_iter().map(row).filter(|(_, values)| values.windows(2).any(|pair| pair[0] != pair[1])).collect()
}

/// Each class by each run, those first in which they differ most.
fn classes(runs: &[Run]) -> Vec<ClassRow> {
    let of = |run: &Run| -> BTreeMap<String, f64> {
        let lines = run.outcome.iter().flat_map(|outcome| &outcome.classes);
        lines.map(|ClassLine { class, share, .. }| (class.clone(), *share)).collect()
    };
    let all: Vec<BTreeMap<String, f64>> = runs.iter().map(of).collect();
    if all.iter().filter(|one| !one.is_empty()).count() < 2 {
        return Vec::new();
    }
    let mut names: Vec<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    names.sort();
    names.dedup();
    let apart = |name: &String| {
        let known = || all.iter().filter_map(|one| one.get(name).copied());
        known().fold(f64::MIN, f64::max) - known().fold(f64::MAX, f64::min)
    };
    let mut rows: Vec<(f64, &String)> = names.into_iter().map(|name| (apart(name), name)).collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    let row = |(apart, name): (f64, &String)| ClassRow {
        class: name.clone(),
        recalls: all.iter().map(|one| one.get(name).map(|share| super::format::percent(*share)).unwrap_or_default()).collect(),
        apart: format!("{:.1}", 100.0 * apart),
    };
    rows.into_iter().take(CLASSES).map(row).collect()
}
