//! A repo as lists show it, and the addresses of repo pages.

use super::format;
use crate::domain::human;
use crate::domain::name::{LIBRARY, RepoId, RepoKind};
use crate::domain::repo::{Listing, RepoSummary};

pub struct RepoCard {
    pub href: String,
    pub title: String,
    pub summary: String,
    pub private: bool,
    pub facts: Vec<String>,
}

impl From<RepoSummary> for RepoCard {
    fn from(summary: RepoSummary) -> RepoCard {
        let RepoSummary { repo, head, facts, .. } = summary;
        let mut lines = vec![];
        if repo.kind == RepoKind::Dataset {
            lines.push("data set".to_owned());
        }
        let texts = [facts.architecture, facts.task, facts.license];
        lines.extend(texts.into_iter().filter(|text| !text.is_empty()));
        let top1 = facts.metrics.iter().find(|metric| metric.name == "top1").map(|metric| metric.value);
        if let (Some(value), true) = (top1, facts.listing.is_some()) {
            lines.push(format!("top-1 {}", format::percent(value)));
        }
        if facts.parameters > 0 {
            lines.push(format!("{} parameters", format::count(facts.parameters)));
        }
        if facts.samples > 0 {
            let classes = if facts.classes > 0 { format!(", {}", human::plural(facts.classes, "class")) } else { String::new() };
            lines.push(human::counted(facts.samples, &format::count(facts.samples), "sample") + &classes);
        }
        match &head {
            Some(version) => lines.push(format!("v{} · {}", version.number, format::day(version.created))),
            None => lines.push(nothing_here(facts.listing).to_owned()),
        }
        if repo.downloads > 0 {
            lines.push(human::counted(repo.downloads, &format::count(repo.downloads), "download"));
        }
        RepoCard { href: href(repo.kind, &repo.id), title: title(&repo.id), summary: repo.summary, private: repo.private, facts: lines }
    }
}

/// What is said of a repo without a version.
pub fn nothing_here(listing: Option<Listing>) -> &'static str {
    match listing {
        None => "nothing published yet",
        Some(Listing::NotFetched) => "not fetched yet",
        Some(Listing::FactsOnly) => "facts only",
    }
}

/// The address of a repo's page.
pub fn href(kind: RepoKind, id: &RepoId) -> String {
    match kind {
        RepoKind::Model => format!("/{id}"),
        RepoKind::Dataset => format!("/datasets/{id}"),
    }
}

/// `library/resnet50` is `resnet50` to everybody.
pub fn title(id: &RepoId) -> String {
    if id.namespace().as_str() == LIBRARY { id.name().to_string() } else { id.to_string() }
}
