//! `/api/models/{id}/refs`: branches, tags, and pull requests where they are asked for.

use actix_web::{HttpResponse, web};

use super::{asks, refuse};
use crate::domain::digest::CommitId;
use crate::domain::repo::RefKind;
use crate::domain::revision::Line;
use crate::http::caller::Caller;
use crate::http::error::Answer;
use crate::http::extract::{Query, RepoAt};
use crate::service::Service;
use crate::wire::hf::{GitRef, Refs};

pub async fn list(service: web::Data<Service>, caller: Caller, at: RepoAt, query: Query) -> Answer {
    let all = service.list_refs(&caller.0, at.kind, &at.id).await.map_err(refuse)?;
    let (branches, tags): (Vec<_>, Vec<_>) = all.into_iter().partition(|found| found.kind == RefKind::Branch);
    let git = |kind: &'static str| {
        move |found: crate::domain::repo::Ref| GitRef {
            full_name: format!("refs/{kind}/{}", found.name),
            name: found.name.to_string(),
            target_commit: found.commit.to_string(),
        }
    };
    let pull = |(number, commit): (u32, CommitId)| {
        let name = Line::PullRequest(number).to_string();
        GitRef { full_name: name.clone(), name, target_commit: commit.to_string() }
    };
    let pulls = match asks(&query, "include_prs") {
        true => Some(service.list_pull_heads(&caller.0, at.kind, &at.id).await.map_err(refuse)?),
        false => None,
    };
    Ok(HttpResponse::Ok().json(Refs {
        branches: branches.into_iter().map(git("heads")).collect(),
        converts: Vec::new(),
        tags: tags.into_iter().map(git("tags")).collect(),
        pull_requests: pulls.map(|pulls| pulls.into_iter().map(pull).collect()),
    }))
}
