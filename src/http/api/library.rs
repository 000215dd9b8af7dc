//! `/api/v1/library`: what is known before it is here, and fetching it.

use actix_web::{HttpResponse, web};
use serde_json::Value;

use crate::domain::digest::Digest;
use crate::domain::library::Entry;
use crate::domain::manifest::ManifestEntry;
use crate::domain::path::RepoPath;
use crate::domain::repo::Listing;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Json, RepoAt};
use crate::service::Service;
use crate::service::library::{Asked, EntryDetail, Fetching};
use crate::wire::List;
use crate::wire::error::ProblemBody;
use crate::wire::files::{Committed, File};
use crate::wire::library::{AdoptEntry, EntryFetched, FetchEntry, FetchProblem, LibraryDetail, LibraryEntry};

/// All entries, models first, by name.
#[utoipa::path(get, path = "/api/v1/library", tag = "library", responses((status = 200, body = List<LibraryEntry>)))]
pub async fn list(service: web::Data<Service>, caller: Caller) -> Answer {
    let items = service.list_library(&caller.0).await?.iter().map(entry).collect();
    Ok(HttpResponse::Ok().json(List::<LibraryEntry> { items, next: None }))
}

/// An entry with all its facts, each with its source.
#[utoipa::path(get, path = "/api/v1/library/{kind}/{ns}/{name}", tag = "library", responses(
    (status = 200, body = LibraryDetail),
    (status = 404, body = ProblemBody),
))]
pub async fn show(service: web::Data<Service>, caller: Caller, at: RepoAt) -> Answer {
    let found = service.get_entry(&caller.0, at.kind, &at.id).await?;
    let facts = match &found.entry {
        Entry::Model(model) => serde_json::to_value(model),
        Entry::Dataset(dataset) => serde_json::to_value(dataset),
    };
    let mut facts = facts.map_err(|e| HttpError::internal(format!("an entry has no JSON: {e}")))?;
    if let Value::Object(facts) = &mut facts {
        facts.retain(|_, value| !is_unsaid(value));
    }
    let card = found.entry.card().body;
    Ok(HttpResponse::Ok().json(LibraryDetail { entry: entry(&found), commit: found.commit, facts, card }))
}

/// Fetches an entry if its files are not here. Answers within a second; of a fetch under way it says how far that is, and whoever asks
/// again with its number hears how it went on.
#[utoipa::path(post, path = "/api/v1/library/{kind}/{ns}/{name}/fetch", tag = "library", request_body = FetchEntry, responses(
    (status = 200, body = EntryFetched),
    (status = 404, body = ProblemBody),
))]
pub async fn fetch(service: web::Data<Service>, caller: Caller, at: RepoAt, body: Json<FetchEntry>) -> Answer {
    let asked = Asked { attempt: body.0.attempt, anew: body.0.anew };
    let fetching = service.fetch_entry(&caller.0, at.kind, &at.id, asked).await?;
    Ok(HttpResponse::Ok().json(fetched(fetching)))
}

/// Publishes files that were sent, as those of an entry.
#[utoipa::path(post, path = "/api/v1/library/{kind}/{ns}/{name}/files", tag = "library", request_body = AdoptEntry, responses(
    (status = 201, body = Committed),
    (status = 200, body = Committed, description = "they are here already"),
    (status = 403, body = ProblemBody),
    (status = 422, body = ProblemBody, description = "a file is not what the index says, or was not sent"),
))]
pub async fn adopt(service: web::Data<Service>, caller: Caller, at: RepoAt, body: Json<AdoptEntry>) -> Answer {
    // Whoever may not publish here learns nothing from what else is wrong with the request.
    service.may_commit(&caller.0, at.kind, &at.id).await?;
    let files = body.0.files.iter().map(file).collect::<Result<Vec<_>, _>>()?;
    let done = service.adopt_entry(&caller.0, at.kind, &at.id, &body.0.origin, files).await?;
    let mut response = if done.created { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(response.json(Committed { version: done.version.into(), created: done.created, warnings: done.warnings }))
}

fn file(file: &File) -> Result<ManifestEntry, HttpError> {
    let path = RepoPath::parse(&file.path).map_err(|e| HttpError::bad_request("bad_path", e.to_string(), "rename the file"))?;
    let digest = Digest::parse(&file.sha256);
    let digest = digest.map_err(|e| HttpError::bad_request("bad_digest", format!("'{path}': {e}"), "hash the file with sha256sum"))?;
    Ok(ManifestEntry { path, size_bytes: file.size_bytes, digest })
}

fn entry(found: &EntryDetail) -> LibraryEntry {
    let facts = found.entry.facts();
    let listed = facts.listing.map_or("", Listing::as_str);
    LibraryEntry {
        id: found.repo.id.to_string(),
        kind: found.repo.kind.to_string(),
        aliases: found.entry.aliases().to_vec(),
        summary: found.entry.summary(),
        state: if found.version.is_some() { "here" } else { listed }.to_owned(),
        version: found.version,
        top1: facts.top1(),
        architecture: facts.architecture,
        license: facts.license,
        parameters: facts.parameters,
        trained_on: found.entry.stages().to_vec(),
        upstream: found.entry.upstream().unwrap_or_default().to_owned(),
    }
}

fn fetched(fetching: Fetching) -> EntryFetched {
    let state = match &fetching {
        Fetching { here: true, .. } => "here",
        Fetching { failed: Some(_), .. } => "failed",
        _ => "running",
    };
    EntryFetched {
        id: fetching.entry.repo.id.to_string(),
        state: state.to_owned(),
        attempt: fetching.attempt,
        version: fetching.entry.version,
        files: fetching.files,
        bytes: fetching.bytes,
        done_bytes: fetching.done_bytes,
        trouble: fetching.trouble,
        warnings: fetching.warnings,
        problem: fetching.failed.map(|p| FetchProblem { code: p.code.to_owned(), message: p.message, hint: p.hint }),
    }
}

/// Nothing is said by an empty text, an empty list or a zero.
fn is_unsaid(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Null => true,
        _ => false,
    }
}
