//! The backbones that the form of a fine-tune offers first: what was measured on the data themselves, else the best that are here.

use super::backbones;
use super::card::title;
use super::format;
use crate::domain::dataset_report::DatasetReport;
use crate::domain::modality::Modality;
use crate::domain::name::RepoKind;
use crate::domain::page::PageRequest;
use crate::domain::recommendation::Backbone;
use crate::domain::repo::RepoSummary;
use crate::domain::repo_ref::RepoRef;
use crate::domain::search::{SearchQuery, Sort};
use crate::domain::user::Actor;
use crate::http::error::HttpError;
use crate::service::Service;

/// Offered.
const MOST: usize = 3;
/// Looked through.
const LOOKED_AT: u64 = 50;

/// A backbone, and what speaks for it.
pub struct Recommended {
    pub value: String,
    pub title: String,
    pub evidence: String,
    pub chosen: bool,
}

/// Whether a model of that modality can be used on items of the other.
fn serves(takes: &str, given: &str) -> bool {
    takes == given || Modality::parse(takes).zip(Modality::parse(given)).is_some_and(|(takes, given)| takes.serves(given))
}

/// The best three for a data set, which may not be known yet.
pub async fn recommended(service: &Service, actor: &Actor, dataset: &str, base: &str) -> Result<Vec<Recommended>, HttpError> {
    if let Ok(named) = RepoRef::parse(dataset)
        && let Some(found) = backbones::newest(service, actor, &named.id).await
    {
        let tried = found.backbones.iter().filter(|one| one.place.is_some()).take(MOST);
        let of = |one: &Backbone| {
            let (value, name) = (one.known.model.clone(), one.known.model.split('@').next().unwrap_or_default().to_owned());
            Recommended { chosen: base == value || base == name, title: value.clone(), evidence: backbones::evidence(one), value }
        };
        return Ok(tried.map(of).collect());
    }
    let modality = match RepoRef::parse(dataset) {
        Ok(named) => match service.get_repo_at(actor, RepoKind::Dataset, &named.id, &named.revision).await {
            Ok(found) => DatasetReport::read(&found.facts.dataset_report).map(|report| report.modality.to_string()),
            // What is wrong with it is said where it is sent.
            Err(_) => None,
        },
        Err(_) => None,
    };
    let query = SearchQuery { kind: Some(RepoKind::Model), sort: Sort::Top1, here: true, plain: true, ..SearchQuery::default() };
    let hits = service.search(actor, query, PageRequest::new(Some(LOOKED_AT), None)).await?;
    let fits = |one: &&RepoSummary| {
        let takes = &one.facts.modality;
        // Models that were made from others are for what those were made for.
        one.facts.can_be_run()
            && one.facts.base_models.is_empty()
            && modality.as_ref().is_none_or(|given| takes.is_empty() || serves(takes, given))
    };
    let one = |one: &RepoSummary| {
        let value = one.repo.id.to_string();
        Recommended { chosen: base == value || base == title(&one.repo.id), title: title(&one.repo.id), evidence: evidence(one), value }
    };
    Ok(hits.page.items.iter().filter(fits).take(MOST).map(one).collect())
}

/// What is known of it, in a line.
fn evidence(one: &RepoSummary) -> String {
    let facts = &one.facts;
    let mut said = Vec::new();
    if let Some(top1) = facts.metrics.iter().find(|metric| metric.name == "top1") {
        let on = if top1.dataset.is_empty() { String::new() } else { format!(" on {}", top1.dataset) };
        said.push(format!("top-1 {}{on}", format::percent(top1.value)));
    }
    if let Some(source) = facts.source_datasets.first() {
        said.push(format!("pretrained on {source}"));
    }
    if facts.parameters > 0 {
        said.push(format!("{} parameters", format::count(facts.parameters)));
    }
    if !facts.license.is_empty() {
        said.push(facts.license.clone());
    }
    said.join(", ")
}
