//! `/discussions`: what is said about a repo and asked to be changed in it.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::refusal::{bad, refused};
use super::repos::address_of;
use super::{asks, refuse};
use crate::domain::discussion::{Discussion, DiscussionEvent, DiscussionFilter, Happening};
use crate::domain::repo::Repo;
use crate::http::body::Body;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{CommentAt, DiscussionAt, Json, Query, RepoAt};
use crate::service::Service;
use crate::service::repos::discussions::{DiscussionDetail, Opening};
use crate::service::repos::merge::Change;
use crate::wire::hf_discussions as wire;

/// Discussions of one page.
const PAGE: usize = 50;
const MOST_JSON_BYTES: usize = 256 << 10;

pub async fn list(service: web::Data<Service>, caller: Caller, at: RepoAt, query: Query) -> Answer {
    let filter = DiscussionFilter {
        pulls: choice(&query, "type", "pull_request", "discussion")?,
        open: choice(&query, "status", "open", "closed")?,
        author: query.find("author").map(str::to_owned),
    };
    let start = query.number::<u64>("p")?.unwrap_or(0).saturating_mul(PAGE as u64);
    let found = service.list_discussions(&caller.0, at.kind, &at.id, filter, (start, PAGE)).await.map_err(refuse)?;
    let (repo, found, count) = found;
    let discussions = found.into_iter().map(|found| head(&repo, found)).collect();
    Ok(HttpResponse::Ok().json(wire::DiscussionList { discussions, count, start }))
}

/// One of two words, or neither for both.
fn choice(query: &Query, key: &str, yes: &str, no: &str) -> Result<Option<bool>, HttpError> {
    match query.find(key) {
        None | Some("all") => Ok(None),
        Some(word) if word == yes => Ok(Some(true)),
        Some(word) if word == no => Ok(Some(false)),
        Some(word) => Err(bad("bad_query", format!("'{key}' is no '{word}'"), &format!("ask for all, {yes} or {no}"))),
    }
}

pub async fn show(service: web::Data<Service>, caller: Caller, at: DiscussionAt, query: Query) -> Answer {
    let found = service.get_discussion(&caller.0, at.kind, &at.id, at.number).await.map_err(refuse)?;
    Ok(HttpResponse::Ok().json(details(found, asks(&query, "diff"))))
}

pub async fn open(
    request: HttpRequest,
    service: web::Data<Service>,
    caller: Caller,
    at: RepoAt,
    body: Json<wire::DiscussionWanted>,
) -> Answer {
    service.may_propose(&caller.0, at.kind, &at.id).await.map_err(refused)?;
    let wire::DiscussionWanted { title, description, pull_request } = body.0;
    let opening = Opening { title, description: description.unwrap_or_default() };
    let num = service.open_discussion(&caller.0, at.kind, &at.id, opening, pull_request).await.map_err(refused)?;
    let url = format!("{}/discussions/{num}", address_of(&request, at.kind, &at.id)?);
    Ok(HttpResponse::Ok().json(wire::DiscussionMade { num, url, pull_request }))
}

pub async fn comment(service: web::Data<Service>, caller: Caller, at: DiscussionAt, body: Body) -> Answer {
    service.may_propose(&caller.0, at.kind, &at.id).await.map_err(refused)?;
    let text = read(body).await?.comment.unwrap_or_default();
    let said = service.comment(&caller.0, at.kind, &at.id, at.number, text).await.map_err(refused)?;
    Ok(HttpResponse::Ok().json(json!({ "newMessage": event(said) })))
}

pub async fn edit_comment(service: web::Data<Service>, caller: Caller, at: CommentAt, body: Body) -> Answer {
    service.may_propose(&caller.0, at.discussion.kind, &at.discussion.id).await.map_err(refused)?;
    let text = read(body).await?.content.unwrap_or_default();
    let place = (at.discussion.number, at.position);
    let edited = service.edit_comment(&caller.0, at.discussion.kind, &at.discussion.id, place, Some(text)).await.map_err(refused)?;
    Ok(HttpResponse::Ok().json(json!({ "updatedComment": event(edited) })))
}

pub async fn hide_comment(service: web::Data<Service>, caller: Caller, at: CommentAt) -> Answer {
    service.may_propose(&caller.0, at.discussion.kind, &at.discussion.id).await.map_err(refused)?;
    let place = (at.discussion.number, at.position);
    let hidden = service.edit_comment(&caller.0, at.discussion.kind, &at.discussion.id, place, None).await.map_err(refused)?;
    Ok(HttpResponse::Ok().json(json!({ "updatedComment": event(hidden) })))
}

pub async fn rename(service: web::Data<Service>, caller: Caller, at: DiscussionAt, body: Body) -> Answer {
    service.may_propose(&caller.0, at.kind, &at.id).await.map_err(refused)?;
    let title = read(body).await?.title.unwrap_or_default();
    let renamed = service.rename_discussion(&caller.0, at.kind, &at.id, at.number, title).await.map_err(refused)?;
    Ok(HttpResponse::Ok().json(json!({ "newTitle": event(renamed) })))
}

pub async fn set_state(service: web::Data<Service>, caller: Caller, at: DiscussionAt, body: Body) -> Answer {
    service.may_propose(&caller.0, at.kind, &at.id).await.map_err(refused)?;
    let said = read(body).await?;
    let opens = match said.status.as_deref() {
        Some("open") => true,
        Some("closed") => false,
        _ => return Err(bad("bad_status", "a discussion is set 'open' or 'closed'", "send one of them as 'status'")),
    };
    let set = service.set_discussion_state(&caller.0, at.kind, &at.id, (at.number, opens), said.comment).await.map_err(refused)?;
    Ok(HttpResponse::Ok().json(json!({ "newStatus": event(set) })))
}

pub async fn merge(service: web::Data<Service>, caller: Caller, at: DiscussionAt, body: Body) -> Answer {
    service.may_propose(&caller.0, at.kind, &at.id).await.map_err(refused)?;
    let said = read(body).await?.comment;
    let merged = service.merge_pull_request(&caller.0, at.kind, &at.id, at.number, said).await;
    let merged = merged.map_err(|error| {
        let mut error = refused(error);
        if error.problem.code == "head_moved" {
            error.status = StatusCode::CONFLICT;
        }
        error
    })?;
    Ok(HttpResponse::Ok().json(json!({ "mergeCommitId": merged.version.commit.as_str() })))
}

/// Clients send `null`, or nothing, where they have nothing to say.
async fn read(body: Body) -> Result<wire::Act, HttpError> {
    let body = body.gather(MOST_JSON_BYTES).await?;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(wire::Act::default());
    }
    let read = crate::http::strict::from_slice::<Option<wire::Act>>(&body);
    read.map(Option::unwrap_or_default).map_err(|e| bad("bad_json", format!("the body: {e}"), "send a JSON object"))
}

fn author(name: String) -> wire::Author {
    wire::Author { name, kind: "user" }
}

fn head(repo: &Repo, found: Discussion) -> wire::Discussion {
    wire::Discussion {
        num: found.number,
        title: found.title,
        status: found.state.to_string(),
        is_pull_request: found.pull.is_some(),
        author: author(found.author),
        repo: wire::RepoName { name: repo.id.to_string(), kind: repo.kind.to_string() },
        created_at: found.created.to_string(),
    }
}

fn details(found: DiscussionDetail, diff: bool) -> wire::DiscussionDetails {
    let changes = found.discussion.pull.as_ref().map(|pull| wire::Changes {
        base: format!("refs/heads/{}", pull.target),
        merge_commit_id: found.merged.as_ref().map(|version| version.commit.to_string()),
    });
    let conflicts = if found.conflicts.is_empty() { Value::Bool(false) } else { json!(found.conflicts) };
    let is_pull = changes.is_some();
    wire::DiscussionDetails {
        diff: (diff && is_pull).then(|| found.changes.iter().map(changed).collect()),
        files_with_conflicts: if is_pull { conflicts } else { Value::Null },
        changes,
        events: found.events.into_iter().map(event).collect(),
        discussion: head(&found.repo, found.discussion),
    }
}

/// In git's words, without the lines: files here are large more often than not.
fn changed(change: &Change) -> String {
    let path = &change.path;
    let (what, old, new) = match (&change.before, &change.after) {
        (None, _) => ("new file mode 100644\n", "/dev/null".to_owned(), format!("b/{path}")),
        (_, None) => ("deleted file mode 100644\n", format!("a/{path}"), "/dev/null".to_owned()),
        _ => ("", format!("a/{path}"), format!("b/{path}")),
    };
    format!("diff --git a/{path} b/{path}\n{what}Binary files {old} and {new} differ\n")
}

fn event(event: DiscussionEvent) -> wire::Event {
    let (id, created_at) = (format!("{:024x}", event.position), event.created.to_string());
    let said_by = author(event.author);
    let (kind, data) = match event.what {
        Happening::Comment { text, hidden } => {
            let updated = event.edited.unwrap_or(event.created).to_string();
            let latest = json!({ "raw": text, "html": "", "updatedAt": updated, "author": said_by });
            ("comment", json!({ "edited": event.edited.is_some(), "hidden": hidden, "latest": latest, "numEdits": 0, "history": [] }))
        }
        Happening::Commit { commit, subject } => ("commit", json!({ "subject": subject, "oid": commit })),
        Happening::State(state) => ("status-change", json!({ "status": state.as_str() })),
        Happening::Title { from, to } => ("title-change", json!({ "from": from, "to": to })),
    };
    wire::Event { id, kind, author: said_by, created_at, data }
}
