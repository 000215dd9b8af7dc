//! A repo's own page: its card and facts, where it comes from, what became of it, how to use it.

use actix_web::HttpRequest;
use actix_web::web::Data;
use askama::Template;

use super::card::{RepoCard, href, title};
use super::dataset_page;
use super::format;
use super::frame::{Frame, page};
use super::snippets::{Snippet, snippets};
use crate::domain::dataset_report::can_be_learned;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::{Facts, RepoSummary, SourceDataset, Version, VersionState};
use crate::domain::revision::Revision;
use crate::domain::saved_model::SavedModel;
use crate::domain::user::Actor;
use crate::http::Site;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Query, RepoAt};
use crate::service::Service;

/// What stands above the tabs of every page of a repo, and the tabs.
pub struct Head {
    pub kind: RepoKind,
    pub title: String,
    pub private: bool,
    pub summary: String,
    pub href: String,
    /// `?rev=...` while an older version is looked at, or empty.
    pub rev_query: String,
    pub version: Option<VersionLine>,
    pub tabs: Vec<Tab>,
    pub tags: Vec<String>,
    pub warnings: Vec<String>,
    pub finetune: Option<String>,
}

/// One version in a line.
pub struct VersionLine {
    pub number: u32,
    pub commit: String,
    pub short: String,
    pub author: String,
    pub message: String,
    pub created: String,
    pub size: String,
    pub files: u64,
    pub yanked: bool,
    pub tags: Vec<String>,
}

pub struct Tab {
    pub label: &'static str,
    pub href: String,
    pub on: bool,
}

/// A line of the facts at the side.
pub struct Fact {
    pub label: &'static str,
    pub value: String,
    pub href: Option<String>,
}

#[derive(Template)]
#[template(path = "model.html")]
struct ModelPage {
    frame: Frame,
    head: Head,
    card_html: String,
    facts: Vec<Fact>,
    sources: Vec<Source>,
    bases: Vec<Source>,
    children: Vec<RepoCard>,
    metrics: Vec<(String, String, String)>,
    saved_model: Option<SavedModel>,
    labels: Vec<String>,
    snippets: Vec<Snippet>,
}

/// A data set or base model by the name the card gives it, linked where it is here.
pub struct Source {
    pub written: String,
    pub href: Option<String>,
}

pub async fn show(visitor: Visitor, service: Data<Service>, at: RepoAt, query: Query, request: HttpRequest) -> Answer {
    let (actor, address) = (visitor.actor(), Site::of(&request)?.address(&request));
    let (summary, revision) = look(&service, &actor, at.kind, &at.id, &query).await?;
    match at.kind {
        RepoKind::Model => model(&visitor, &service, summary, &revision, &query, &address).await,
        RepoKind::Dataset => dataset_page::show(&visitor, &service, summary, &revision, &query, &address).await,
    }
}

/// The repo at the revision the address asks for; a repo without versions shows itself empty.
pub async fn look(
    service: &Service,
    actor: &Actor,
    kind: RepoKind,
    id: &RepoId,
    query: &Query,
) -> Result<(RepoSummary, Revision), HttpError> {
    let Some(text) = query.find("rev") else { return Ok((service.get_repo(actor, kind, id).await?, Revision::main())) };
    let wrong = |e| HttpError::bad_request("bad_query", format!("{e}"), "leave 'rev' out for the newest version");
    let revision = Revision::parse(text).map_err(wrong)?;
    Ok((service.get_repo_at(actor, kind, id, &revision).await?, revision))
}

async fn model(visitor: &Visitor, service: &Service, summary: RepoSummary, revision: &Revision, query: &Query, address: &str) -> Answer {
    let (actor, id) = (visitor.actor(), summary.repo.id.clone());
    let published = summary.head.is_some();
    let sources = if published { service.datasets_of(&actor, &id, revision).await? } else { vec![] };
    let children = service.children_of(&actor, &id).await?;
    let facts = &summary.facts;
    page(&ModelPage {
        frame: Frame::of(visitor, "models"),
        head: Head::of(&summary, "card", query),
        card_html: facts.card_html.clone(),
        facts: model_facts(&summary),
        sources: sources.into_iter().map(Source::from).collect(),
        bases: facts.base_models.iter().map(|written| base(written)).collect(),
        children: children.into_iter().map(RepoCard::from).collect(),
        metrics: facts.metrics.iter().map(|m| (m.dataset.clone(), m.name.clone(), metric(m.value))).collect(),
        saved_model: facts.saved_model.clone(),
        labels: facts.labels.iter().take(1_000).cloned().collect(),
        snippets: if published { snippets(&summary, address) } else { vec![] },
    })
}

impl From<SourceDataset> for Source {
    fn from(source: SourceDataset) -> Source {
        Source { href: source.repo.as_ref().map(|id| href(RepoKind::Dataset, id)), written: source.written }
    }
}

/// A base is written `ns/name` or `ns/name@version`; the link leads to the version.
fn base(written: &str) -> Source {
    let (name, version) = written.split_once('@').unwrap_or((written, ""));
    let here = RepoId::parse(name).ok().map(|id| href(RepoKind::Model, &id));
    let rev = if version.is_empty() { String::new() } else { format!("?rev={version}") };
    Source { written: written.to_owned(), href: here.map(|path| path + &rev) }
}

/// Shares read as per cent, everything else as it is.
fn metric(value: f64) -> String {
    if (0.0..=1.0).contains(&value) { format::percent(value) } else { format!("{value:.3}") }
}

fn model_facts(summary: &RepoSummary) -> Vec<Fact> {
    let facts = &summary.facts;
    let filter = |name: &str, value: &str| Some(format!("/models?{name}={}", urlencode(value)));
    let some = |number: u64, text: String| if number > 0 { text } else { String::new() };
    let side = facts.image_size;
    let lines = [
        ("Architecture", facts.architecture.clone(), filter("architecture", &facts.architecture)),
        ("Task", facts.task.clone(), filter("task", &facts.task)),
        ("Parameters", some(facts.parameters, format::count(facts.parameters)), None),
        ("Features", some(facts.num_features, facts.num_features.to_string()), None),
        ("Classes", some(facts.num_classes, facts.num_classes.to_string()), None),
        ("Input", some(side, format!("{side} × {side} px")), None),
        ("Licence", facts.license.clone(), filter("license", &facts.license)),
        ("Library", facts.library.clone(), filter("library", &facts.library)),
        ("Downloads", format::count(summary.repo.downloads), None),
    ];
    let lines = lines.into_iter().filter(|(_, value, _)| !value.is_empty());
    lines.map(|(label, value, href)| Fact { label, value, href }).collect()
}

pub fn urlencode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

impl Head {
    pub fn of(summary: &RepoSummary, tab: &str, query: &Query) -> Head {
        let RepoSummary { repo, head, facts } = summary;
        let path = href(repo.kind, &repo.id);
        let rev_query = query.find("rev").map(|rev| format!("?rev={}", urlencode(rev))).unwrap_or_default();
        let tab_line = |(name, label): &(&str, &'static str)| {
            let at = if *name == "card" { path.clone() } else { format!("{path}/{name}") };
            Tab { label, href: at + &rev_query, on: *name == tab }
        };
        Head {
            kind: repo.kind,
            title: title(&repo.id),
            private: repo.private,
            summary: repo.summary.clone(),
            tabs: tabs(repo.kind).iter().map(tab_line).collect(),
            version: head.as_ref().map(VersionLine::from),
            tags: facts.tags.clone(),
            warnings: facts.warnings.clone(),
            finetune: finetune_link(repo.kind, &repo.id, facts),
            href: path,
            rev_query,
        }
    }

    pub fn is_dataset(&self) -> bool {
        self.kind == RepoKind::Dataset
    }
}

fn finetune_link(kind: RepoKind, id: &RepoId, facts: &Facts) -> Option<String> {
    match kind {
        RepoKind::Model if !facts.architecture.is_empty() => Some(format!("/finetune?base={}", urlencode(&id.to_string()))),
        RepoKind::Dataset if can_be_learned(facts) => Some(format!("/finetune?dataset={}", urlencode(&id.to_string()))),
        _ => None,
    }
}

fn tabs(kind: RepoKind) -> &'static [(&'static str, &'static str)] {
    match kind {
        RepoKind::Model => {
            &[("card", "Card"), ("files", "Files"), ("tensors", "Tensors"), ("versions", "Versions"), ("datasets", "Data sets")]
        }
        RepoKind::Dataset => &[("card", "Card"), ("files", "Files"), ("versions", "Versions")],
    }
}

impl From<&Version> for VersionLine {
    fn from(version: &Version) -> VersionLine {
        VersionLine {
            number: version.number,
            commit: version.commit.to_string(),
            short: version.commit.short().to_owned(),
            author: version.author.clone(),
            message: version.message.clone(),
            created: format::minute(version.created),
            size: format::bytes(version.total_bytes),
            files: version.files,
            yanked: version.state == VersionState::Yanked,
            tags: vec![],
        }
    }
}
