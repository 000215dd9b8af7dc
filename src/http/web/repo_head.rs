//! What every page of a repo has above its tabs, whatever its kind: name, tags, version, warnings, the tabs themselves;
//! and the lines of the facts at its side.

use actix_web::web;

use super::card::{href, nothing_here, title};
use super::format;
use super::try_image;
use crate::domain::dataset_report::can_be_learned;
use crate::domain::modality::Modality;
use crate::domain::name::{LIBRARY, RepoId, RepoKind};
use crate::domain::repo::{Facts, RepoSummary, Version, VersionState};
use crate::domain::user::{Actor, Role};
use crate::http::error::HttpError;
use crate::http::extract::Query;
use crate::service::jobs::words;
use crate::service::{Service, card_html};

/// What stands above the tabs of every page of a repo, and the tabs.
pub struct Head {
    pub kind: RepoKind,
    pub title: String,
    /// The namespace; empty for the library's, which everybody leaves out.
    pub owner: String,
    pub name: String,
    /// Which part of the repo this is; empty for its own page.
    pub tab_label: &'static str,
    pub private: bool,
    /// Nothing is published: what is said instead.
    pub listing: Option<&'static str>,
    pub summary: String,
    pub href: String,
    /// `?rev=...` while a version is asked for by name, or empty.
    pub rev_query: String,
    /// Another version is shown than the one that lists show.
    pub is_other: bool,
    pub version: Option<VersionLine>,
    pub tabs: Vec<Tab>,
    pub tags: Vec<String>,
    pub warnings: Vec<String>,
    pub finetune: Option<String>,
    /// Where an item can be tried.
    pub try_it: Option<String>,
    /// Versions to choose from; filled by [`Head::with_versions`].
    pub picks: Vec<Pick>,
}

/// A version, or a name of one, to choose.
pub struct Pick {
    pub label: String,
    pub about: String,
    pub href: String,
    pub on: bool,
}

/// Versions that are offered; the others are on the page of all.
const PICKS: usize = 8;

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
    /// The version it was made upon, if that is there.
    pub parent: Option<u32>,
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

/// The card, with its links led to the files of the version shown.
pub async fn card_html(summary: &RepoSummary) -> Result<String, HttpError> {
    let version = summary.head.as_ref().map_or_else(|| "main".to_owned(), |version| version.number.to_string());
    let (html, href) = (summary.facts.card_html.clone(), href(summary.repo.kind, &summary.repo.id));
    let placed = web::block(move || scrollable(&card_html::place(&html, &href, &version))).await;
    placed.map_err(|e| HttpError::internal(e.to_string()))
}

/// Tables and code of a card scroll by themselves where they are wide, for whoever has no mouse too. A card's own text has no `<` that is not
/// escaped.
fn scrollable(html: &str) -> String {
    html.replace("<table", "<div class=\"table\" tabindex=\"0\" role=\"group\" aria-label=\"Table\"><table")
        .replace("</table>", "</table></div>")
        // A head without words is none.
        .replace("<th></th>", "<td></td>")
        .replace("<pre>", "<pre tabindex=\"0\">")
}

impl Head {
    pub fn of(summary: &RepoSummary, tab: &str, query: &Query) -> Head {
        let RepoSummary { repo, head, facts, .. } = summary;
        let path = href(repo.kind, &repo.id);
        let rev_query = query.find("rev").map(|rev| format!("?rev={}", urlencode(rev))).unwrap_or_default();
        let tab_line = |(name, label): &(&str, &'static str)| {
            let at = if *name == "card" { path.clone() } else { format!("{path}/{name}") };
            Tab { label, href: at + &rev_query, on: *name == tab }
        };
        Head {
            kind: repo.kind,
            title: title(&repo.id),
            owner: Some(repo.id.namespace().to_string()).filter(|owner| owner != LIBRARY).unwrap_or_default(),
            name: repo.id.name().to_string(),
            tab_label: tabs(repo.kind).iter().find(|(name, _)| *name == tab && *name != "card").map_or("", |(_, label)| *label),
            private: repo.private,
            listing: facts.listing.filter(|_| head.is_none()).map(|listing| nothing_here(Some(listing))),
            summary: repo.summary.clone(),
            tabs: tabs(repo.kind).iter().filter(|(name, _)| has_tab(summary, name)).map(tab_line).collect(),
            version: head.as_ref().map(VersionLine::from),
            tags: facts.tags.clone(),
            warnings: facts.warnings.clone(),
            finetune: finetune_link(repo.kind, &repo.id, facts),
            try_it: try_link(summary, &path, &rev_query),
            picks: Vec::new(),
            is_other: !summary.is_newest,
            href: path,
            rev_query,
        }
    }

    /// The same with the versions and names of versions to choose from.
    pub async fn with_versions(mut self, service: &Service, actor: &Actor, summary: &RepoSummary) -> Result<Head, HttpError> {
        let (kind, id) = (summary.repo.kind, &summary.repo.id);
        let Some(shown) = &summary.head else { return Ok(self) };
        let pick = |label: String, about: String, number: u32, rev: &str| Pick {
            label,
            about,
            href: format!("{}?rev={}", href(kind, id), urlencode(rev)),
            on: number == shown.number,
        };
        let (versions, names) = service.versions_to_choose(actor, kind, id, PICKS).await?;
        let live = versions.iter().filter(|version| version.state != VersionState::Deleted);
        self.picks = live.map(|v| pick(format!("Version {}", v.number), format::day(v.created), v.number, &v.number.to_string())).collect();
        self.picks.extend(names.iter().map(|r| pick(r.name.to_string(), format!("version {}", r.number), r.number, r.name.as_str())));
        Ok(self)
    }

    /// With the way to its settings, for those who may change something there.
    pub fn managed(mut self, role: Option<Role>, tab: &str) -> Head {
        if role.is_some_and(|role| role >= Role::Write) {
            self.tabs.push(Tab { label: "Settings", href: format!("{}/settings", self.href), on: tab == "settings" });
        }
        self
    }

    pub fn is_dataset(&self) -> bool {
        self.kind == RepoKind::Dataset
    }
}

fn finetune_link(kind: RepoKind, id: &RepoId, facts: &Facts) -> Option<String> {
    match kind {
        RepoKind::Model if facts.can_be_run() => Some(format!("/finetune?base={}", urlencode(&id.to_string()))),
        RepoKind::Dataset if can_be_learned(facts) => Some(format!("/finetune?dataset={}", urlencode(&id.to_string()))),
        _ => None,
    }
}

/// Where a text, a word or a picture can be tried.
fn try_link(summary: &RepoSummary, path: &str, rev_query: &str) -> Option<String> {
    let facts = &summary.facts;
    summary.head.as_ref().filter(|_| summary.repo.kind == RepoKind::Model)?;
    let texts = Modality::parse(&facts.modality).is_some_and(|modality| modality.items() == "texts");
    let tried = (texts && facts.can_be_run()) || words::has_words(facts);
    tried.then(|| format!("{path}/try{rev_query}")).or_else(|| try_image::action(summary, rev_query).map(|sending| sending.action))
}

const DISCUSSIONS: (&str, &str) = ("discussions", "Pull requests");

/// What is only listed has a card, and what cannot be run has no features to find neighbours by.
fn has_tab(summary: &RepoSummary, name: &str) -> bool {
    let RepoSummary { repo, facts, .. } = summary;
    match name {
        "card" => true,
        "neighbors" if repo.kind == RepoKind::Model => facts.listing.is_none() && facts.can_be_run(),
        _ => facts.listing.is_none(),
    }
}

fn tabs(kind: RepoKind) -> &'static [(&'static str, &'static str)] {
    match kind {
        RepoKind::Model => &[
            ("card", "Card"),
            ("files", "Files"),
            ("tensors", "Tensors"),
            ("versions", "Versions"),
            ("graph", "Lineage"),
            ("datasets", "Data sets"),
            ("neighbors", "Neighbours"),
            DISCUSSIONS,
        ],
        RepoKind::Dataset => &[
            ("card", "Card"),
            ("files", "Files"),
            ("doctor", "Doctor"),
            ("neighbors", "Neighbours"),
            ("versions", "Versions"),
            DISCUSSIONS,
        ],
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
            parent: version.parent.filter(|_| version.state != VersionState::Deleted),
            tags: vec![],
        }
    }
}

/// As a value in a query.
pub fn urlencode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
