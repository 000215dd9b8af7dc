//! `/api/whoami-v2`: who a token belongs to, and where its owner may write.

use actix_web::{HttpResponse, web};

use super::refuse;
use crate::domain::user::{Actor, Scope};
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::service::Service;
use crate::wire::hf::{AccessToken, Auth, Organisation, Whoami};

pub async fn show(service: web::Data<Service>, caller: Caller) -> Answer {
    let who = service.whoami(&caller.0).await.map_err(refuse)?;
    let account = service.get_account(&caller.0, &who.name).await.map_err(refuse)?;
    let others = who.namespaces.into_iter().filter(|(name, _)| *name != who.name);
    let organisation = |name: String, role: String| Organisation { kind: "org", fullname: name.clone(), name, role_in_org: role };
    Ok(HttpResponse::Ok().json(Whoami {
        kind: "user",
        id: account.id.to_string(),
        name: account.name.to_string(),
        fullname: if account.full_name.is_empty() { account.name.to_string() } else { account.full_name },
        email: None,
        can_pay: false,
        is_pro: false,
        orgs: others.map(|(name, role)| organisation(name.to_string(), role.to_string())).collect(),
        auth: Auth { kind: "access_token", access_token: token(&service, &caller.0, who.scope).await? },
    }))
}

async fn token(service: &Service, actor: &Actor, scope: Scope) -> Result<AccessToken, HttpError> {
    let mine = service.list_tokens(actor, None).await.map_err(refuse)?;
    let used = mine.into_iter().find(|found| matches!(actor, Actor::User { token, .. } if *token == found.id));
    let used = used.ok_or_else(|| HttpError::internal("a token that was just used is not in its owner's list"))?;
    let role = if scope == Scope::Read { "read" } else { "write" };
    Ok(AccessToken { display_name: used.name, role, created_at: used.created.to_string() })
}
