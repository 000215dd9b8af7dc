//! What a page says of an entry of the library: whether its files are here, a button that fetches them, how that goes, and the stages
//! of its training.

use actix_web::web::Data;

use super::card::href;
use super::form::Form;
use super::format;
use super::frame::see_other;
use super::repo::Source;
use crate::domain::library::Entry;
use crate::domain::name::RepoKind;
use crate::http::caller::Visitor;
use crate::http::error::Answer;
use crate::http::extract::RepoAt;
use crate::service::library::{Asked, EntryDetail};
use crate::service::{Result, Service};

/// Of an entry whose files are not here, and of one that was fetched.
pub struct LibraryView {
    /// Where the button's form goes; none where there is nothing to fetch.
    pub fetch: Option<String>,
    /// Bytes done and in all, and both in words, of a fetch under way.
    pub progress: Option<(u64, u64, String)>,
    pub trouble: String,
    pub failed: Option<(String, String)>,
    /// The architecture, or none, of a model that is not run here: told before its files are here.
    pub unrunnable: Option<String>,
    /// Where its files came from.
    pub origin: String,
    /// Whatever the index says of where to have them.
    pub upstream: String,
    pub stages: Vec<Vec<Source>>,
}

impl LibraryView {
    pub async fn of(service: &Service, visitor: &Visitor, at: &RepoAt) -> Result<Option<LibraryView>> {
        let Some(found) = service.find_entry(&visitor.actor(), at.kind, &at.id).await? else { return Ok(None) };
        let last = if found.version.is_none() { service.last_attempt(&found) } else { None };
        let fetchable = found.version.is_none() && found.entry.upstream().is_some();
        let running = last.as_ref().filter(|last| last.failed.is_none());
        Ok(Some(LibraryView {
            progress: running.map(|last| {
                let words = match last.bytes {
                    0 => "asking the upstream".to_owned(),
                    all => format!("{} of {}", format::bytes(last.done_bytes.min(all)), format::bytes(all)),
                };
                (last.done_bytes.min(last.bytes), last.bytes.max(1), words)
            }),
            trouble: running.map(|last| last.trouble.clone()).unwrap_or_default(),
            fetch: (fetchable && running.is_none()).then(|| format!("{}/fetch", href(at.kind, &at.id))),
            failed: last.and_then(|last| last.failed).map(|problem| (problem.message, problem.hint)),
            unrunnable: unrunnable(&found),
            origin: found.commit.clone(),
            upstream: found.entry.upstream().unwrap_or_default().to_owned(),
            stages: stages(found),
        }))
    }
}

fn unrunnable(found: &EntryDetail) -> Option<String> {
    match &found.entry {
        Entry::Model(model) if found.version.is_none() && !found.runs => Some(model.architecture.clone()),
        _ => None,
    }
}

fn stages(found: EntryDetail) -> Vec<Vec<Source>> {
    let source = |(written, repo): (String, Option<crate::domain::name::RepoId>)| Source {
        href: repo.as_ref().map(|id| href(RepoKind::Dataset, id)),
        written,
    };
    found.stages.into_iter().map(|names| names.into_iter().map(source).collect()).collect()
}

/// The button: lets the server fetch, and leads back to the page, which says how it goes.
pub async fn fetch(visitor: Visitor, service: Data<Service>, at: RepoAt, form: Form) -> Answer {
    // The form came from a page of ours; there is nothing else in it.
    drop(form);
    let fetching = service.fetch_entry(&visitor.actor(), at.kind, &at.id, Asked::default()).await?;
    Ok(see_other(&href(at.kind, &fetching.entry.repo.id)))
}
