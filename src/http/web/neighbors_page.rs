//! Neighbours on the pages of data sets and models: a person picks an item or sends one, and sees what is nearest to it in a data set, by
//! the features of a model that has looked at it; or has a model look at it. The page is that of one of them, and names the others.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use askama::Template;
use bytes::Bytes;

use super::form::{CSRF, Form};
use super::frame::{Frame, page_with, see_other};
use super::item_picture::Addresses;
use super::repo::look;
use super::repo_head::{Head, urlencode};
use super::small_form::SmallForm;
use crate::domain::modality::Modality;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo_ref::RepoRef;
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::http::body::Body;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Query, RepoAt};
use crate::service::Service;
use crate::service::jobs::neighbors::{Neighbor, Shown};

/// Neighbours shown, and items to begin with.
const NEAREST: usize = 24;
const OFFERED: usize = 24;
/// Letters by which a text is told that was sent.
const LONGEST_TITLE: usize = 80;

#[derive(Template)]
#[template(path = "neighbors.html")]
struct NeighborsPage {
    frame: Frame,
    head: Head,
    csrf: String,
    /// What the others are called in a form.
    key: &'static str,
    /// Of a data set the models that have looked at it; of a model the data sets that it has looked at.
    others: Vec<Choice>,
    /// The one by which, or in which, neighbours are shown.
    other: String,
    /// The item whose neighbours are shown: its path, or what a file was called.
    item: String,
    /// What an item is, and whether people write it.
    word: &'static str,
    is_text: bool,
    found: Vec<Line>,
    offered: Vec<Line>,
    problem: String,
}

/// A model or a data set, `namespace/name@version`, and whether neighbours are shown by it.
struct Choice {
    name: String,
    on: bool,
}

struct Line {
    path: String,
    target: String,
    split: String,
    /// Of an item's neighbours.
    distance: String,
    picture: Option<String>,
    href: String,
}

/// What was asked.
#[derive(Default)]
struct Asked {
    other: String,
    item: String,
    sent: Option<Bytes>,
}

pub async fn show(visitor: Visitor, service: Data<Service>, at: RepoAt, query: Query) -> Answer {
    let asked = Asked { other: query.text(key(at.kind)), item: query.text("item"), sent: None };
    answer(&visitor, &service, &at, &query, asked).await
}

/// A file that is sent: `multipart/form-data` from our own page.
pub async fn ask(request: HttpRequest, visitor: Visitor, service: Data<Service>, at: RepoAt, query: Query, body: Body) -> Answer {
    let form = SmallForm::receive(&request, &service, body).await?;
    form.check(&visitor)?;
    let asked = Asked::of(&form, key(at.kind));
    answer(&visitor, &service, &at, &query, asked).await
}

/// Has a model look at the data set, as a job.
pub async fn start(visitor: Visitor, service: Data<Service>, at: RepoAt, query: Query, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    let (own, named) = ((at.id.clone(), revision(&query)?), form.0.text(key(at.kind)));
    let queued = match RepoRef::parse(named.trim()) {
        Ok(other) => {
            let other = (other.id, other.revision);
            let (model, dataset) = if at.kind == RepoKind::Model { (own, other) } else { (other, own) };
            service.create_embedding(&visitor.actor(), model, dataset).await.map_err(HttpError::from)
        }
        Err(e) => Err(HttpError::bad_request("bad_name", e.to_string(), "write NAMESPACE/NAME, perhaps with @VERSION")),
    };
    match queued {
        Ok(job) => Ok(see_other(&format!("/jobs/{}", job.id))),
        Err(refused) if refused.status.is_server_error() => Err(refused),
        Err(refused) => {
            let asked = Asked { other: named, ..Asked::default() };
            shown(&visitor, &service, &at, &query, (asked, Err(refused))).await
        }
    }
}

impl Asked {
    fn of(form: &SmallForm, key: &str) -> Asked {
        let other = form.text(key);
        if let Some(bytes) = form.find("text") {
            return Asked { other, item: form.text("text").chars().take(LONGEST_TITLE).collect(), sent: Some(bytes.clone()) };
        }
        // What nothing was chosen for is refused as an item without a byte.
        let (item, sent) = form.files("image").next().unwrap_or_default();
        Asked { other, item, sent: Some(sent) }
    }
}

async fn answer(visitor: &Visitor, service: &Service, at: &RepoAt, query: &Query, asked: Asked) -> Answer {
    let what = match &asked.sent {
        Some(bytes) => Some(Shown::Item(bytes.clone())),
        None => (!asked.item.is_empty()).then(|| Shown::Path(asked.item.clone())),
    };
    let found = match (what, RepoRef::parse(asked.other.trim())) {
        (Some(what), Ok(other)) => {
            let rev = revision(query)?;
            let (own, other) = ((&at.id, &rev), (&other.id, &other.revision));
            let (model, dataset) = if at.kind == RepoKind::Model { (own, other) } else { (other, own) };
            let found = service.neighbors(&visitor.actor(), model, dataset, what, NEAREST).await;
            found.map(|found| found.found).map_err(HttpError::from)
        }
        (Some(_), Err(e)) => Err(HttpError::bad_request("bad_name", e.to_string(), "choose one of those that are there")),
        (None, _) => Ok(Vec::new()),
    };
    shown(visitor, service, at, query, (asked, found)).await
}

async fn shown(
    visitor: &Visitor,
    service: &Service,
    at: &RepoAt,
    query: &Query,
    (asked, found): (Asked, Result<Vec<Neighbor>, HttpError>),
) -> Answer {
    let actor = visitor.actor();
    let (summary, revision) = look(service, &actor, at.kind, &at.id, query).await?;
    let head = Head::of(&summary, "neighbors", query);
    let (status, problem, found) = match found {
        Ok(found) => (StatusCode::OK, String::new(), found),
        Err(refused) if refused.status.is_server_error() => return Err(refused),
        Err(refused) => (refused.status, format!("{}; {}", refused.problem.message, refused.problem.hint), Vec::new()),
    };
    let named = RepoRef::parse(asked.other.trim()).ok().filter(|_| problem.is_empty());
    let chosen = named.as_ref().map(|other| (&other.id, &other.revision));
    let (others, offered) = match at.kind {
        RepoKind::Model => service.has_looked_at(&actor, (&at.id, &revision), chosen, OFFERED).await?,
        RepoKind::Dataset => service.looked_at(&actor, (&at.id, &revision), chosen, OFFERED).await?,
    };
    let others: Vec<String> = others.iter().map(|(id, version)| format!("{id}@{version}")).collect();
    let other = if asked.other.is_empty() { others.first().cloned().unwrap_or_default() } else { asked.other };
    let pictures = pictures(service, &actor, at, &revision, &other, found.iter().chain(&offered)).await;
    let line = |neighbor: &Neighbor| line(neighbor, &head, (key(at.kind), &other), &pictures);
    let section = if at.kind == RepoKind::Model { "models" } else { "datasets" };
    let modality = Modality::parse(&summary.facts.modality).unwrap_or_default();
    page_with(
        status,
        &NeighborsPage {
            frame: Frame::of(visitor, section),
            csrf: visitor.csrf().to_owned(),
            key: key(at.kind),
            found: found.iter().map(line).collect(),
            offered: offered.iter().map(line).collect(),
            item: asked.item,
            word: modality.item(),
            is_text: modality.items() == "texts",
            others: others.into_iter().map(|name| Choice { on: name == other, name }).collect(),
            problem,
            other: other.clone(),
            head,
        },
    )
}

/// What the other of the two is called in forms and addresses: neighbours are shown by a model, in a data set.
fn key(kind: RepoKind) -> &'static str {
    match kind {
        RepoKind::Model => "in",
        RepoKind::Dataset => "by",
    }
}

fn revision(query: &Query) -> Result<Revision, HttpError> {
    match query.find("rev") {
        Some(rev) => {
            Revision::parse(rev).map_err(|e| HttpError::bad_request("bad_revision", e.to_string(), "name a version, a branch or a tag"))
        }
        None => Ok(Revision::main()),
    }
}

/// Where pictures of these items are: the data set is the page's own, or the other one.
async fn pictures<'a>(
    service: &Service,
    actor: &Actor,
    at: &RepoAt,
    revision: &Revision,
    other: &str,
    items: impl Iterator<Item = &'a Neighbor>,
) -> Addresses {
    let dataset: Option<(RepoId, Revision)> = match at.kind {
        RepoKind::Dataset => Some((at.id.clone(), revision.clone())),
        RepoKind::Model => RepoRef::parse(other.trim()).ok().map(|other| (other.id, other.revision)),
    };
    let items: Vec<_> = items.map(|item| (item.path.clone(), item.picture.clone())).collect();
    match dataset {
        Some((id, revision)) if !items.is_empty() => Addresses::of(service, actor, (&id, &revision), items).await,
        _ => Addresses::NONE,
    }
}

fn line(neighbor: &Neighbor, head: &Head, (key, other): (&str, &str), pictures: &Addresses) -> Line {
    let rev = head.rev_query.strip_prefix('?').map(|rev| format!("&{rev}")).unwrap_or_default();
    Line {
        path: neighbor.path.clone(),
        target: neighbor.target.clone(),
        split: neighbor.split.clone(),
        distance: format!("{:.3}", (1.0 - neighbor.similarity).max(0.0)),
        picture: pictures.at(&neighbor.path),
        href: format!("{}/neighbors?{key}={}&item={}{rev}", head.href, urlencode(other), urlencode(&neighbor.path)),
    }
}
