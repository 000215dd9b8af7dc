//! A repo as a row of the table, and numbers with their origins as pages write them.

use super::super::card::{href, nothing_here, title};
use super::super::format;
use crate::domain::name::RepoKind;
use crate::domain::repo::RepoSummary;
use crate::domain::results::{GMACS, ModelResult, Origin, SPEED, TOP1, best, best_on, dataset_name};
use crate::domain::task::Measure;
use crate::domain::time::Timestamp;

/// Names of data sets in a cell.
const SOURCES: usize = 2;
const DAY_MS: i64 = 86_400_000;

pub struct RowView {
    pub id: String,
    pub href: String,
    pub title: String,
    pub private: bool,
    /// That it runs here, or that nothing is here yet.
    pub state: &'static str,
    pub runs: bool,
    pub is_model: bool,
    /// Of a data set.
    pub task: String,
    pub sources: Vec<(String, String)>,
    pub more_sources: usize,
    pub top1: Option<Number>,
    pub parameters: String,
    pub gmacs: Option<Number>,
    pub input: String,
    pub speed: Option<Number>,
    pub samples: String,
    pub classes: String,
    pub size: String,
    pub license: String,
    pub downloads: String,
    pub age: String,
    pub born: String,
}

/// A number, and where it comes from.
pub struct Number {
    pub text: String,
    /// What it is of, where that is not plain: a data set.
    pub of: String,
    /// A sign, and what it means.
    pub mark: &'static str,
    pub origin: String,
}

impl Number {
    pub fn of(result: &ModelResult, on: Option<&str>) -> Number {
        let text = match result.measure.as_str() {
            GMACS => format!("{:.2}", result.value),
            SPEED if result.value >= 100.0 => format::count(result.value.round() as u64),
            SPEED => format!("{:.1}", result.value),
            name => Measure::of_card_shown(name, result.value),
        };
        let plain = result.dataset.is_empty() || result.dataset == "imagenet-1k" || on == Some(result.dataset.as_str());
        let (mark, origin) = told(result);
        Number { text, of: if plain { String::new() } else { result.dataset.clone() }, mark, origin }
    }
}

/// Where a number comes from: a sign for tables, and words.
pub fn told(result: &ModelResult) -> (&'static str, String) {
    match (result.origin, result.measure.as_str()) {
        (Origin::Claimed, GMACS) => ("", "counted, not timed".to_owned()),
        (Origin::Claimed, _) => ("", "its card says so".to_owned()),
        (Origin::Imported, _) => ("†", format!("from {}", result.source)),
        (Origin::Measured, _) => ("✓", "measured here".to_owned()),
    }
}

impl RowView {
    pub fn of(summary: &RepoSummary, known: &[ModelResult], on: Option<&str>, now: Timestamp) -> RowView {
        let RepoSummary { repo, head, facts, .. } = summary;
        let some = |number: u64| if number > 0 { format::count(number) } else { String::new() };
        let sources = facts.source_datasets.iter().take(SOURCES).map(|name| {
            let short = dataset_name(name);
            (format!("/models?source_dataset={}", super::super::repo_head::urlencode(&short)), short)
        });
        let top1 = on.map_or_else(|| best(known, TOP1), |on| best_on(known, TOP1, on));
        let number = |result: Option<&ModelResult>| result.map(|result| Number::of(result, on));
        let (age, born) = head.as_ref().map_or_else(|| ("—".to_owned(), String::new()), |version| age(version.created, now));
        RowView {
            id: repo.id.to_string(),
            href: href(repo.kind, &repo.id),
            title: title(&repo.id),
            private: repo.private,
            state: if head.is_some() { "" } else { nothing_here(facts.listing) },
            runs: repo.kind == RepoKind::Model && head.is_some() && facts.can_be_run(),
            is_model: repo.kind == RepoKind::Model,
            task: facts.task.clone(),
            sources: sources.collect(),
            more_sources: facts.source_datasets.len().saturating_sub(SOURCES),
            top1: number(top1),
            parameters: some(facts.parameters),
            gmacs: number(best(known, GMACS)),
            input: if facts.image_size > 0 { facts.image_size.to_string() } else { String::new() },
            speed: number(best(known, SPEED)),
            samples: some(facts.samples),
            classes: some(facts.classes),
            size: head.as_ref().map_or(String::new(), |version| format::bytes(version.total_bytes)),
            license: facts.license.clone(),
            downloads: format::count(repo.downloads),
            age,
            born,
        }
    }
}

/// `3 d`, `5 mo`, `2 y`; and the day.
pub fn age(then: Timestamp, now: Timestamp) -> (String, String) {
    let days = now.unix_ms().saturating_sub(then.unix_ms()).max(0) / DAY_MS;
    let text = match days {
        0 => "today".to_owned(),
        1..60 => format!("{days} d"),
        60..730 => format!("{} mo", days / 30),
        _ => format!("{} y", days / 365),
    };
    (text, format::day(then))
}
