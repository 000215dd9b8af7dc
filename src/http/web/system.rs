//! How the site fares, for its administrators: health, storage, the queue, settings as they are.

use actix_web::HttpRequest;
use actix_web::web::Data;
use askama::Template;

use super::format;
use super::frame::{Frame, page, see_other};
use super::jobs::JobLine;
use crate::domain::job::{Job, JobState};
use crate::domain::time::Timestamp;
use crate::http::Site;
use crate::http::caller::Visitor;
use crate::http::error::Answer;
use crate::service::Service;
use crate::service::upkeep::overview::{Overview, Working};
use crate::service::upkeep::soundness::Soundness;

/// A line of what is known, and how good that is: `good`, `warn`, `bad` or nothing.
struct Line {
    label: &'static str,
    value: String,
    tone: &'static str,
}

impl Line {
    fn plain(label: &'static str, value: impl Into<String>) -> Line {
        Line { label, value: value.into(), tone: "" }
    }
}

#[derive(Template)]
#[template(path = "system.html")]
struct Health {
    frame: Frame,
    tab: &'static str,
    health: Vec<Line>,
    numbers: Vec<Line>,
    jobs: Vec<(JobState, u64)>,
    /// Of 100, how full the disk is; none where it is not known.
    full: Option<u64>,
    totals: Vec<(&'static str, String)>,
}

const DAY_MS: i64 = 86_400_000;

pub async fn show(request: HttpRequest, visitor: Visitor, service: Data<Service>) -> Answer {
    if visitor.0.is_none() {
        return Ok(see_other("/login?next=/system"));
    }
    let found = service.overview(&visitor.actor()).await?;
    let site = Site::of(&request)?;
    let data = &site.told().data;
    let disk = fs4::available_space(data).ok().zip(fs4::total_space(data).ok()).filter(|(_, total)| *total > 0);
    let mut health = health(&found, service.now());
    if let Some((free, total)) = disk {
        let tone = if free * 20 < total { "bad" } else { "" };
        health.push(Line { label: "Disk", value: format!("{} of {} free", format::bytes(free), format::bytes(total)), tone });
    }
    let numbers = &found.numbers;
    page(&Health {
        frame: Frame::of(&visitor, "settings"),
        tab: "health",
        health,
        numbers: vec![
            Line::plain("Accounts", format::count(found.accounts)),
            Line::plain("Blobs", format::count(numbers.stored.blobs)),
            Line::plain("Stored", format::bytes(numbers.stored.bytes)),
            Line::plain("Of that shared", format::bytes(numbers.shared_bytes)),
        ],
        jobs: found.jobs.clone(),
        full: disk.map(|(free, total)| 100 - (100 * u128::from(free) / u128::from(total)) as u64),
        totals: numbers.totals.iter().map(|(_, meaning, value)| (*meaning, value.to_string())).collect(),
    })
}

fn health(found: &Overview, now: Timestamp) -> Vec<Line> {
    let (word, tone) = match found.soundness {
        Soundness::Sound => ("read through and whole", "good"),
        Soundness::Unknown => ("being read through", ""),
        Soundness::Damaged => ("damaged: restore it from a backup", "bad"),
    };
    let mut lines = vec![
        Line::plain("Version", env!("CARGO_PKG_VERSION")),
        Line { label: "Database", value: word.into(), tone },
        done("Last collection", found.numbers.last_collection, now, 7),
        done("Last backup", found.numbers.last_backup, now, 7),
    ];
    let scrub = match (found.scrubbing.started, found.scrubbing.finished) {
        (None, _) => "not yet".to_owned(),
        (Some(at), true) => format!("the pass of {} is done", format::day(at)),
        (Some(at), false) => format!("under way since {}", format::day(at)),
    };
    lines.push(Line::plain("Scrub", scrub));
    let total = |name: &str| found.numbers.totals.iter().find(|(one, ..)| *one == name).map_or(0, |(.., value)| *value);
    let damaged = total("hub_scrub_damaged_total") + total("hub_reads_damaged_total");
    let tone = if damaged > 0 { "bad" } else { "good" };
    lines.push(Line { label: "Damaged blobs found so far", value: damaged.to_string(), tone });
    lines
}

fn done(label: &'static str, at: Option<Timestamp>, now: Timestamp, days: i64) -> Line {
    match at {
        None => Line { label, value: "never".into(), tone: "warn" },
        Some(at) => {
            let late = now.unix_ms() - at.unix_ms() > days * DAY_MS;
            Line { label, value: format::minute(at), tone: if late { "warn" } else { "good" } }
        }
    }
}

#[derive(Template)]
#[template(path = "system_storage.html")]
struct Storage {
    frame: Frame,
    tab: &'static str,
    namespaces: Vec<NamespaceLine>,
}

struct NamespaceLine {
    name: String,
    bytes: String,
    repos: String,
    /// Of the fullest one's, in per cent.
    share: u64,
}

pub async fn storage(visitor: Visitor, service: Data<Service>) -> Answer {
    if visitor.0.is_none() {
        return Ok(see_other("/login?next=/system/storage"));
    }
    let held = service.storage_by_namespace(&visitor.actor()).await?;
    let most = held.first().map_or(1, |first| first.stored_bytes.max(1));
    let namespaces = held.into_iter().map(|one| NamespaceLine {
        share: (100 * u128::from(one.stored_bytes) / u128::from(most)) as u64,
        bytes: format::bytes(one.stored_bytes),
        repos: format::count(one.repos),
        name: one.namespace,
    });
    page(&Storage { frame: Frame::of(&visitor, "settings"), tab: "storage", namespaces: namespaces.collect() })
}

#[derive(Template)]
#[template(path = "system_queue.html")]
struct Queue {
    frame: Frame,
    tab: &'static str,
    csrf: String,
    running: Vec<RunningLine>,
    waiting: Vec<WaitingLine>,
    /// Whoever holds leases now, and how many.
    workers: Vec<(String, usize)>,
}

struct RunningLine {
    id: String,
    line: JobLine,
    worker: String,
    until: String,
    percent: u64,
}

struct WaitingLine {
    id: String,
    line: JobLine,
    priority: i64,
    paused: bool,
}

impl From<Working> for RunningLine {
    fn from(working: Working) -> RunningLine {
        let Working { job, worker, until } = working;
        RunningLine {
            id: job.id.to_string(),
            percent: (job.step * 100).checked_div(job.total_steps).unwrap_or(0).min(100),
            line: JobLine::from(&job),
            worker: if worker.is_empty() { "its trials".into() } else { worker },
            until: if until.unix_ms() > 0 { format::minute(until) } else { String::new() },
        }
    }
}

impl From<&Job> for WaitingLine {
    fn from(job: &Job) -> WaitingLine {
        WaitingLine { id: job.id.to_string(), line: JobLine::from(job), priority: job.priority, paused: job.paused }
    }
}

pub async fn queue(visitor: Visitor, service: Data<Service>) -> Answer {
    if visitor.0.is_none() {
        return Ok(see_other("/login?next=/system/queue"));
    }
    let (running, waiting) = service.queue(&visitor.actor()).await?;
    let mut workers = std::collections::BTreeMap::<String, usize>::new();
    for one in running.iter().filter(|one| !one.worker.is_empty()) {
        *workers.entry(one.worker.clone()).or_default() += 1;
    }
    page(&Queue {
        frame: Frame::of(&visitor, "settings"),
        tab: "queue",
        csrf: visitor.csrf().to_owned(),
        running: running.into_iter().map(RunningLine::from).collect(),
        waiting: waiting.iter().map(WaitingLine::from).collect(),
        workers: workers.into_iter().collect(),
    })
}

#[derive(Template)]
#[template(path = "system_settings.html")]
struct SettingsPage {
    frame: Frame,
    tab: &'static str,
    settings: Vec<[String; 4]>,
}

pub async fn settings(request: HttpRequest, visitor: Visitor, service: Data<Service>) -> Answer {
    if visitor.0.is_none() {
        return Ok(see_other("/login?next=/system/settings"));
    }
    service.may_watch(&visitor.actor())?;
    let settings = Site::of(&request)?.told().settings.clone();
    page(&SettingsPage { frame: Frame::of(&visitor, "settings"), tab: "settings", settings })
}
