//! What may be changed about a repo, by those who may: its line, who may see it, its name, tags, versions; and that it goes.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use askama::Template;

use super::card::href;
use super::form::{CSRF, Form};
use super::frame::{Frame, page_with, see_other};
use super::repo_head::{Head, VersionLine, urlencode};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::page::PageRequest;
use crate::domain::repo::{RefKind, VersionState};
use crate::domain::revision::{RefName, Revision};
use crate::domain::user::{Actor, Role};
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Query, RepoAt};
use crate::service::{Error, Service};

/// Versions listed; older ones are found by their numbers.
const VERSIONS: u64 = 30;

#[derive(Template)]
#[template(path = "repo_settings.html")]
struct SettingsPage {
    frame: Frame,
    head: Head,
    csrf: String,
    /// `namespace/name`
    id: String,
    owner: String,
    name: String,
    is_admin: bool,
    tags: Vec<TagLine>,
    versions: Vec<VersionLine>,
    problem: String,
}

struct TagLine {
    name: String,
    number: u32,
}

pub async fn show(visitor: Visitor, service: Data<Service>, at: RepoAt) -> Answer {
    if visitor.0.is_none() {
        let here = format!("{}/settings", href(at.kind, &at.id));
        return Ok(see_other(&format!("/login?next={}", urlencode(&here))));
    }
    settings_page(&visitor, &service, &at, None).await
}

async fn settings_page(visitor: &Visitor, service: &Service, at: &RepoAt, refused: Option<&HttpError>) -> Answer {
    let actor = visitor.actor();
    service.may_commit(&actor, at.kind, &at.id).await?;
    let role = service.role_on(&actor, at.kind, &at.id).await?;
    let summary = service.get_repo(&actor, at.kind, &at.id).await?;
    let id = &summary.repo.id;
    let refs = service.list_refs(&actor, at.kind, id).await?;
    let list = service.list_versions(&actor, at.kind, id, PageRequest::new(Some(VERSIONS), None)).await?;
    let tags = refs.iter().filter(|one| one.kind == RefKind::Tag);
    let page = SettingsPage {
        frame: Frame::of(visitor, if at.kind == RepoKind::Model { "models" } else { "datasets" }),
        csrf: visitor.csrf().to_owned(),
        id: id.to_string(),
        owner: id.namespace().to_string(),
        name: id.name().to_string(),
        is_admin: role >= Some(Role::Admin),
        tags: tags.map(|one| TagLine { name: one.name.to_string(), number: one.number }).collect(),
        versions: list.items.iter().filter(|version| version.state != VersionState::Deleted).map(VersionLine::from).collect(),
        problem: refused.map(|refused| format!("{}; {}", refused.problem.message, refused.problem.hint)).unwrap_or_default(),
        head: Head::of(&summary, "settings", &Query::new("")).managed(role, "settings"),
    };
    page_with(refused.map_or(StatusCode::OK, |refused| refused.status), &page)
}

/// A button of the page. Where it leads is the page the repo has then.
pub async fn act(request: HttpRequest, visitor: Visitor, service: Data<Service>, at: RepoAt, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    match done(&service, &visitor.actor(), &at, request.match_info().query("act"), &form.0).await {
        Ok(to) => Ok(see_other(&to)),
        Err(refused) if refused.status.is_client_error() && refused.status != StatusCode::NOT_FOUND => {
            settings_page(&visitor, &service, &at, Some(&refused)).await
        }
        Err(refused) => Err(refused),
    }
}

async fn done(service: &Service, actor: &Actor, at: &RepoAt, act: &str, form: &Query) -> Result<String, HttpError> {
    let RepoAt { kind, id } = at;
    let here = format!("{}/settings", href(*kind, id));
    match act {
        "summary" => drop(service.patch_repo(actor, *kind, id, None, Some(form.text("summary").trim().to_owned())).await?),
        "visibility" => drop(service.patch_repo(actor, *kind, id, Some(form.text("visibility") == "private"), None).await?),
        "move" => {
            let to = RepoId::from_parts(form.text("owner").trim(), form.text("name").trim());
            let to = to.map_err(|e| HttpError::bad_request("bad_name", e.to_string(), "choose another name"))?;
            let moved = service.move_repo(actor, *kind, id, &to).await?;
            return Ok(format!("{}/settings", href(*kind, &moved.id)));
        }
        "tag" => {
            let revision = Revision::Number(number(form)?);
            service.set_ref(actor, *kind, id, (tag(form)?, Some(RefKind::Tag)), &revision, None).await?;
        }
        "untag" => service.delete_ref(actor, *kind, id, &tag(form)?, Some(RefKind::Tag)).await?,
        "yank" => drop(service.set_version_state(actor, *kind, id, number(form)?, VersionState::Yanked).await?),
        "unyank" => drop(service.set_version_state(actor, *kind, id, number(form)?, VersionState::Live).await?),
        "delete-version" => {
            let number = number(form)?;
            confirmed(&form.text("confirm"), &number.to_string())?;
            service.delete_version(actor, *kind, id, number).await?;
        }
        "delete" => {
            confirmed(&form.text("confirm"), &id.to_string())?;
            service.delete_repo(actor, *kind, id).await?;
            return Ok(format!("/{}", id.namespace()));
        }
        _ => return Err(HttpError::of_status(StatusCode::NOT_FOUND)),
    }
    Ok(here)
}

/// What is gone is gone: its name is typed.
fn confirmed(typed: &str, name: &str) -> Result<(), HttpError> {
    if typed.trim() == name {
        return Ok(());
    }
    Err(Error::invalid("not_confirmed", "nothing was deleted", format!("type '{name}' to say that you mean it")).into())
}

fn number(form: &Query) -> Result<u32, HttpError> {
    let missing = || HttpError::bad_request("bad_version", "no version was chosen", "choose one of those that are listed");
    form.number::<u32>("version")?.ok_or_else(missing)
}

fn tag(form: &Query) -> Result<RefName, HttpError> {
    let text = form.text("tag");
    let wrong = |e| HttpError::bad_request("bad_tag", format!("'{text}': {e}"), "choose another tag, such as v1.0");
    RefName::parse(text.trim()).map_err(wrong)
}
