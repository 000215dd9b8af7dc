//! `/api/users/{name}/...` and `/api/organizations/{name}/...`: who an account is, for callers with a token. Nobody follows
//! or likes here.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::refuse;
use crate::domain::name::{Name, RepoKind};
use crate::domain::page::PageRequest;
use crate::domain::search::SearchQuery;
use crate::domain::user::{Account, AccountKind, Actor};
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{AccountAt, RepoAt};
use crate::service::{Error, Service};

pub async fn user(service: web::Data<Service>, caller: Caller, at: AccountAt) -> Answer {
    let account = find(&service, &caller.0, &at.0, AccountKind::User).await?;
    Ok(HttpResponse::Ok().json(json!({
        "_id": account.id.to_string(),
        "user": account.name.to_string(),
        "type": "user",
        "fullname": full_name(&account),
        "avatarUrl": "",
        "isPro": false,
        "createdAt": account.created.to_string(),
        "numModels": count(&service, &caller.0, &account.name, RepoKind::Model).await?,
        "numDatasets": count(&service, &caller.0, &account.name, RepoKind::Dataset).await?,
        "numSpaces": 0,
        "numLikes": 0,
        "numFollowers": 0,
        "numFollowing": 0,
    })))
}

pub async fn organisation(service: web::Data<Service>, caller: Caller, at: AccountAt) -> Answer {
    let account = find(&service, &caller.0, &at.0, AccountKind::Organisation).await?;
    Ok(HttpResponse::Ok().json(json!({
        "_id": account.id.to_string(),
        "name": account.name.to_string(),
        "type": "org",
        "fullname": full_name(&account),
        "avatarUrl": "",
        "isVerified": false,
        "numModels": count(&service, &caller.0, &account.name, RepoKind::Model).await?,
        "numDatasets": count(&service, &caller.0, &account.name, RepoKind::Dataset).await?,
        "numSpaces": 0,
        "numFollowers": 0,
    })))
}

/// For those who are one of them.
pub async fn members(service: web::Data<Service>, caller: Caller, at: AccountAt) -> Answer {
    let members = service.list_members(&caller.0, &at.0).await.map_err(refuse)?;
    let told =
        |name: &Name| json!({ "user": name.to_string(), "fullname": name.to_string(), "avatarUrl": "", "isPro": false, "type": "user" });
    Ok(HttpResponse::Ok().json(members.iter().map(|member| told(&member.user)).collect::<Vec<_>>()))
}

/// What an account likes and whom it follows.
pub async fn none(service: web::Data<Service>, caller: Caller, at: AccountAt) -> Answer {
    service.get_account(&caller.0, &at.0).await.map_err(refuse)?;
    Ok(HttpResponse::Ok().json(Vec::<Value>::new()))
}

/// Who likes a repo.
pub async fn likers(service: web::Data<Service>, caller: Caller, at: RepoAt) -> Answer {
    service.get_repo(&caller.0, at.kind, &at.id).await.map_err(refuse)?;
    Ok(HttpResponse::Ok().json(Vec::<Value>::new()))
}

async fn find(service: &Service, actor: &Actor, name: &Name, kind: AccountKind) -> Result<Account, HttpError> {
    let account = service.get_account(actor, name).await.map_err(refuse)?;
    if account.kind == kind {
        return Ok(account);
    }
    Err(refuse(Error::not_found("account_not_found", format!("'{name}' is no {kind} here"), "ask for users and organisations apart")))
}

fn full_name(account: &Account) -> String {
    if account.full_name.is_empty() { account.name.to_string() } else { account.full_name.clone() }
}

/// Repos the caller may see.
async fn count(service: &Service, actor: &Actor, name: &Name, kind: RepoKind) -> Result<u64, HttpError> {
    let query = SearchQuery { kind: Some(kind), author: name.to_string(), here: true, plain: true, ..SearchQuery::default() };
    Ok(service.search(actor, query, PageRequest::new(Some(1), None)).await.map_err(refuse)?.total)
}
