//! Addresses as clients of the Hugging Face Hub print them: each leads to the page that shows the same here.

use actix_web::http::header::LOCATION;
use actix_web::http::{Method, StatusCode};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::card::href;
use super::repo_head::urlencode;
use super::repo_tabs::{FILES_PAGE, encode_path, files_href};
use crate::domain::name::{Name, RepoId, RepoKind};
use crate::domain::page::PageRequest;
use crate::domain::repo::Version;
use crate::domain::revision::Revision;
use crate::domain::search::SearchQuery;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{AccountAt, FileAt, VersionAt};
use crate::service::{Error, Service};

/// `/{id}/commit/{sha}`: the repo as it was then.
pub async fn commit(visitor: Visitor, service: Data<Service>, at: VersionAt) -> Answer {
    service.get_version(&visitor.actor(), at.kind, &at.id, &at.revision).await?;
    Ok(lead(&page_at(at.kind, &at.id, "", &at.revision)))
}

/// `/{id}/commits/{rev}`
pub async fn commits(visitor: Visitor, service: Data<Service>, at: VersionAt) -> Answer {
    service.get_version(&visitor.actor(), at.kind, &at.id, &at.revision).await?;
    Ok(lead(&page_at(at.kind, &at.id, "/versions", &at.revision)))
}

/// `/{id}/tree/{rev}`
pub async fn tree(visitor: Visitor, service: Data<Service>, at: VersionAt) -> Answer {
    service.get_version(&visitor.actor(), at.kind, &at.id, &at.revision).await?;
    Ok(lead(&page_at(at.kind, &at.id, "/files", &at.revision)))
}

/// `/{id}/tree/{rev}/{folder}`: the files, from the first of the folder on.
pub async fn folder(visitor: Visitor, service: Data<Service>, at: FileAt) -> Answer {
    let below = format!("{}/", at.path);
    let (version, files) = service.list_files_from(&visitor.actor(), (at.kind, &at.id), &at.revision, below.clone(), 1).await?;
    let Some(first) = files.iter().find(|file| file.path.starts_with(&below)) else {
        let message = format!("version {} of '{}' has no folder '{}'", version.number, at.id, at.path);
        return Err(Error::not_found("file_not_found", message, "look through its files").into());
    };
    Ok(lead(&among_others(&at, &version, &first.path)))
}

/// `/{id}/blob/{rev}/{path}`: the file among the others.
pub async fn file(visitor: Visitor, service: Data<Service>, at: FileAt) -> Answer {
    let file = service.open_file(&visitor.actor(), at.kind, &at.id, &at.revision, &at.path).await?;
    Ok(lead(&among_others(&at, &file.version, at.path.as_str())))
}

/// The place of a file on the page of all; of many, on the page that begins with it.
fn among_others(at: &FileAt, version: &Version, path: &str) -> String {
    let page = match version.files as usize > FILES_PAGE {
        true => files_href(at.kind, &at.id, &at.revision, path),
        false => page_at(at.kind, &at.id, "/files", &at.revision),
    };
    format!("{page}#{}", encode_path(path))
}

/// `/{namespace}`: what is in it; or the model of the library that has this name.
pub async fn namespace(visitor: Visitor, service: Data<Service>, at: AccountAt) -> Answer {
    owned(&visitor, &service, &at.0, None, "/search", RepoKind::Model).await
}

/// `/datasets/{namespace}`
pub async fn namespace_of_datasets(visitor: Visitor, service: Data<Service>, at: AccountAt) -> Answer {
    owned(&visitor, &service, &at.0, Some(RepoKind::Dataset), "/datasets", RepoKind::Dataset).await
}

async fn owned(visitor: &Visitor, service: &Service, name: &Name, kind: Option<RepoKind>, list: &str, alone: RepoKind) -> Answer {
    let actor = visitor.actor();
    let query = SearchQuery { kind, author: name.to_string(), plain: true, ..SearchQuery::default() };
    let hits = service.search(&actor, query, PageRequest::new(Some(1), None)).await?;
    if hits.total > 0 || service.get_account(&actor, name).await.is_ok() {
        return Ok(lead(&format!("{list}?author={}", urlencode(name.as_str()))));
    }
    let Ok(id) = RepoId::parse(name.as_str()) else { return Err(nothing()) };
    service.get_repo(&actor, alone, &id).await.map_err(|_| nothing())?;
    Ok(lead(&href(alone, &id)))
}

/// An address that is one of ours but for the slash at its end.
pub async fn without_slash(request: HttpRequest) -> Answer {
    let path = request.uri().path();
    let shorter = path.trim_end_matches('/');
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    // Two slashes at its beginning would lead to another site.
    let is_path = shorter.strip_prefix('/').is_some_and(|rest| !rest.starts_with(['/', '\\']));
    if !reads || !is_path || shorter.len() == path.len() {
        return Err(nothing());
    }
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    Ok(HttpResponse::PermanentRedirect().insert_header((LOCATION, format!("{shorter}{query}"))).finish())
}

fn nothing() -> HttpError {
    HttpError::of_status(StatusCode::NOT_FOUND)
}

/// A page of a repo; of an older version, where one is meant.
fn page_at(kind: RepoKind, id: &RepoId, tab: &str, revision: &Revision) -> String {
    let rev = if *revision == Revision::main() { String::new() } else { format!("?rev={}", urlencode(&revision.to_string())) };
    format!("{}{tab}{rev}", href(kind, id))
}

fn lead(to: &str) -> HttpResponse {
    HttpResponse::Found().insert_header((LOCATION, to)).finish()
}
