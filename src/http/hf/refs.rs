//! `/api/models/{id}/refs`: `main` is the one branch, our tags are tags.

use actix_web::{HttpResponse, web};

use super::{asks, refuse};
use crate::http::caller::Caller;
use crate::http::error::Answer;
use crate::http::extract::{Query, RepoAt};
use crate::service::Service;
use crate::wire::hf::{GitRef, Refs};

pub async fn list(service: web::Data<Service>, caller: Caller, at: RepoAt, query: Query) -> Answer {
    let all = service.list_refs(&caller.0, at.kind, &at.id).await.map_err(refuse)?;
    let (branches, tags): (Vec<_>, Vec<_>) = all.into_iter().partition(|found| found.name.is_main());
    let git = |kind: &'static str| {
        move |found: crate::domain::repo::Ref| GitRef {
            full_name: format!("refs/{kind}/{}", found.name),
            name: found.name.to_string(),
            target_commit: found.commit.to_string(),
        }
    };
    Ok(HttpResponse::Ok().json(Refs {
        branches: branches.into_iter().map(git("heads")).collect(),
        converts: Vec::new(),
        tags: tags.into_iter().map(git("tags")).collect(),
        pull_requests: asks(&query, "include_prs").then(Vec::new),
    }))
}
