//! `/api/models/{id}/commits/{revision}`: the versions up to a revision, newest first.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{TOTAL_COUNT, next_page, refuse};
use crate::domain::page::PageRequest;
use crate::domain::repo::{Version, VersionState};
use crate::http::caller::Caller;
use crate::http::error::Answer;
use crate::http::extract::{Query, VersionAt};
use crate::service::Service;
use crate::wire::hf::{Commit, CommitAuthor};

pub async fn list(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: VersionAt, query: Query) -> Answer {
    let limit = query.number("limit")?.unwrap_or(PageRequest::MAX_LIMIT as u64);
    let page = PageRequest::new(Some(limit), query.find("cursor").map(str::to_owned));
    let page = service.list_history(&caller.0, at.kind, &at.id, &at.revision, page).await.map_err(refuse)?;
    let mut response = HttpResponse::Ok();
    let total = service.count_history(&caller.0, at.kind, &at.id, &at.revision).await.map_err(refuse)?;
    response.insert_header((TOTAL_COUNT, total));
    if let Some(cursor) = &page.next {
        response.insert_header(next_page(&request, cursor)?);
    }
    let there = page.items.into_iter().filter(|version| version.state != VersionState::Deleted);
    Ok(response.json(there.map(|version| commit(&version)).collect::<Vec<_>>()))
}

fn commit(version: &Version) -> Commit {
    let rest = version.message.split_once('\n').map_or("", |(_, rest)| rest.trim());
    Commit {
        id: version.commit.to_string(),
        title: title(version),
        message: rest.to_owned(),
        date: version.created.to_string(),
        authors: vec![CommitAuthor { user: version.author.clone() }],
    }
}

/// The first line of a version's message, or its number.
pub(super) fn title(version: &Version) -> String {
    let first = version.message.lines().next().unwrap_or_default();
    if first.is_empty() { format!("Version {}", version.number) } else { first.to_owned() }
}
