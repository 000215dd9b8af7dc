//! The other tabs of a repo: files, tensors, versions, data sets; and a data set's thumbnails.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use askama::Template;

use super::card::href;
use super::frame::{Frame, page};
use super::repo::{Source, look};
use super::repo_head::{Head, VersionLine, urlencode};
use super::{changes_page, doctor_page, format, graph_page, tensors_page};
use crate::domain::mark::Mark;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::page::PageRequest;
use crate::domain::repo::{FileEntry, RepoSummary, TrainedAs};
use crate::domain::revision::{Line, Revision};
use crate::domain::user::Actor;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{FileAt, Query, RepoAt};
use crate::http::stream;
use crate::service::Service;

/// Files of one page.
pub const FILES_PAGE: usize = 1_000;

#[derive(Template)]
#[template(path = "files.html")]
struct Files {
    frame: Frame,
    head: Head,
    files: Vec<FileView>,
    total: u64,
    /// The page with the files behind these.
    next: Option<String>,
    /// Where the version's SHA256SUMS lies; the API's address, which a browser's session does not open.
    sums: Option<String>,
}

struct FileView {
    /// What was found in it, in words.
    mark: &'static str,
    path: String,
    size: String,
    digest: String,
    /// Its first digits.
    short: String,
    href: String,
    /// The page that shows it.
    view: String,
}

#[derive(Template)]
#[template(path = "versions.html")]
struct Versions {
    frame: Frame,
    head: Head,
    versions: Vec<VersionLine>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "sources.html")]
struct Sources {
    frame: Frame,
    head: Head,
    pretrained: Vec<Source>,
    fine_tuned: Vec<Source>,
}

pub async fn show(visitor: Visitor, service: Data<Service>, at: RepoAt, tab: Tab, query: Query) -> Answer {
    let actor = visitor.actor();
    let (summary, revision) = look(&service, &actor, at.kind, &at.id, &query).await?;
    let section = if at.kind == RepoKind::Model { "models" } else { "datasets" };
    let role = service.role_on(&actor, at.kind, &summary.repo.id).await?;
    let head = Head::of(&summary, &tab.0, &query).with_versions(&service, &actor, &summary).await?.managed(role, &tab.0);
    let frame = Frame::of(&visitor, section);
    match (tab.0.as_str(), at.kind) {
        ("files", _) => files(&service, &actor, &summary, (&revision, query.text("from")), frame, head).await,
        ("tensors", RepoKind::Model) => tensors_page::show(&service, &actor, (&summary, &revision), &query, frame, head).await,
        ("graph", RepoKind::Model) => graph_page::show(&service, &actor, &summary, &revision, frame, head).await,
        ("doctor", RepoKind::Dataset) => doctor_page::show(&service, &actor, &summary, &revision, frame, head).await,
        ("changes", _) => changes_page::show(&service, &actor, (&summary, &revision), &query, frame, head).await,
        ("versions", _) => versions(&service, &actor, &summary, &query, frame, head).await,
        ("datasets", RepoKind::Model) => sources(&service, &actor, &summary, &revision, frame, head).await,
        _ => Err(HttpError::of_status(StatusCode::NOT_FOUND)),
    }
}

/// `.../{tab}`
pub struct Tab(String);

impl FromRequest for Tab {
    type Error = HttpError;
    type Future = Ready<Result<Tab, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Tab(request.match_info().query("tab").to_owned())))
    }
}

async fn files(
    service: &Service,
    actor: &Actor,
    summary: &RepoSummary,
    (revision, from): (&Revision, String),
    frame: Frame,
    head: Head,
) -> Answer {
    let (kind, id) = (summary.repo.kind, &summary.repo.id);
    if summary.head.is_none() {
        return page(&Files { frame, head, files: vec![], total: 0, next: None, sums: None });
    }
    let (version, mut list) = service.list_files_from(actor, (kind, id), revision, from, FILES_PAGE + 1).await?;
    let next = list.get(FILES_PAGE).map(|file| files_href(kind, id, revision, &file.path));
    list.truncate(FILES_PAGE);
    let named = match version.line {
        Line::Branch(_) => version.number.to_string(),
        Line::PullRequest(_) => version.commit.to_string(),
    };
    let public = format!("/api/v1/{kind}s/{id}/versions/{named}");
    let base = if summary.repo.private { format!("{}/download/{named}", head.href) } else { format!("{public}/files") };
    let view = format!("{}/view/{named}", head.href);
    let files = list.into_iter().map(|file| FileView::of(file, &base, &view)).collect();
    let total = version.files;
    page(&Files { frame, head, files, total, next, sums: (!summary.repo.private).then(|| format!("{public}/SHA256SUMS")) })
}

/// The page of files that begins with this one.
pub fn files_href(kind: RepoKind, id: &RepoId, revision: &Revision, path: &str) -> String {
    let rev = if *revision == Revision::main() { String::new() } else { format!("rev={}&", urlencode(&revision.to_string())) };
    format!("{}/files?{rev}from={}", href(kind, id), urlencode(path))
}

/// A file of a private repo, for the browser of somebody who may see it: the API takes no cookies.
/// Those that a page shows are not counted.
pub async fn download(visitor: Visitor, service: Data<Service>, at: FileAt, query: Query, request: HttpRequest) -> Answer {
    let file = service.open_file(&visitor.actor(), at.kind, &at.id, &at.revision, &at.path).await?;
    let (answer, begins) = stream::serve(&request, &service, &file).await?;
    if begins && query.find("shown").is_none() {
        service.count_download(&file.repo);
    }
    Ok(answer)
}

impl FileView {
    fn of(file: FileEntry, base: &str, view: &str) -> FileView {
        FileView {
            view: format!("{view}/{}", encode_path(&file.path)),
            short: file.digest.to_hex().chars().take(16).collect(),
            href: format!("{base}/{}", encode_path(&file.path)),
            path: file.path,
            size: format::bytes(file.size_bytes),
            digest: file.digest.to_hex(),
            mark: match file.mark {
                Some(Mark::Pickle) => "pickle of harmless names",
                Some(Mark::Unsafe) => "pickle that may run code",
                Some(Mark::Unscanned) => "not scanned",
                Some(Mark::Clean) | None => "",
            },
        }
    }
}

/// A path as it stands in an address.
pub fn encode_path(path: &str) -> String {
    path.split('/').map(encode_segment).collect::<Vec<_>>().join("/")
}

fn encode_segment(segment: &str) -> String {
    percent_encoding::utf8_percent_encode(segment, percent_encoding::NON_ALPHANUMERIC).to_string()
}

async fn versions(service: &Service, actor: &Actor, summary: &RepoSummary, query: &Query, frame: Frame, head: Head) -> Answer {
    let (kind, id) = (summary.repo.kind, &summary.repo.id);
    let refs = service.list_refs(actor, kind, id).await?;
    let request = PageRequest { limit: 50, ..query.page()? };
    let list = service.list_versions(actor, kind, id, request).await?;
    let line = |version: &crate::domain::repo::Version| {
        let tags = refs.iter().filter(|r| r.number == version.number).map(|r| r.name.to_string()).collect();
        VersionLine { tags, ..VersionLine::from(version) }
    };
    let next = list.next.as_deref().map(|cursor| format!("{}/versions?cursor={}", href(kind, id), urlencode(cursor)));
    page(&Versions { frame, versions: list.items.iter().map(line).collect(), next, head })
}

async fn sources(service: &Service, actor: &Actor, summary: &RepoSummary, revision: &Revision, frame: Frame, head: Head) -> Answer {
    let (mut pretrained, mut fine_tuned) = (vec![], vec![]);
    if summary.head.is_some() {
        for source in service.datasets_of(actor, &summary.repo.id, revision).await? {
            let list = if source.trained_as == TrainedAs::FineTuned { &mut fine_tuned } else { &mut pretrained };
            list.push(Source::from(source));
        }
    }
    page(&Sources { frame, head, pretrained, fine_tuned })
}
