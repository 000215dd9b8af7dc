//! `/whoami`, `/users`, `/orgs`.

use actix_web::{HttpResponse, web};

use crate::domain::user::{AccountKind, Role};
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{AccountAt, Json, MemberAt, Query};
use crate::service::Service;
use crate::service::people::accounts::AccountChange;
use crate::wire::List;
use crate::wire::error::ProblemBody;
use crate::wire::users::{Account, CreateAccount, CreatedAccount, Member, Namespace, PatchAccount, SetQuota, Usage, Whoami};

/// Who the token belongs to, and the namespaces they have a role in.
#[utoipa::path(get, path = "/api/v1/whoami", tag = "people", responses(
    (status = 200, body = Whoami),
    (status = 401, body = ProblemBody, description = "no token, or a bad one"),
))]
pub async fn whoami(service: web::Data<Service>, caller: Caller) -> Answer {
    let me = service.whoami(&caller.0).await?;
    let namespaces = me.namespaces.iter().map(|(name, role)| Namespace { name: name.to_string(), role: role.to_string() });
    let body = Whoami { name: me.name.to_string(), is_admin: me.is_admin, scope: me.scope.to_string(), namespaces: namespaces.collect() };
    Ok(HttpResponse::Ok().json(body))
}

/// All users and organisations; site administrators only.
#[utoipa::path(get, path = "/api/v1/users", tag = "people", params(
    ("limit" = Option<u64>, Query, description = "1 to 100"),
    ("cursor" = Option<String>, Query, description = "`next` of the page before"),
), responses((status = 200, body = List<Account>), (status = 403, body = ProblemBody)))]
pub async fn list(service: web::Data<Service>, caller: Caller, query: Query) -> Answer {
    let page = service.list_accounts(&caller.0, query.page()?).await?;
    Ok(HttpResponse::Ok().json(List::<Account>::from(page)))
}

/// Makes a user (site administrators; anybody where sign-up is open) or an organisation (any user).
#[utoipa::path(post, path = "/api/v1/users", tag = "people", request_body = CreateAccount, responses(
    (status = 201, body = CreatedAccount, description = "with the first token, shown this once"),
    (status = 403, body = ProblemBody),
    (status = 409, body = ProblemBody, description = "the name is taken"),
    (status = 422, body = ProblemBody),
))]
pub async fn create(service: web::Data<Service>, caller: Caller, body: Json<CreateAccount>) -> Answer {
    let CreateAccount { name, kind, full_name } = body.0;
    let kind = word(kind.as_deref().unwrap_or("user"), AccountKind::parse, "kind", "user, organisation")?;
    let (account, token) = service.create_account(&caller.0, &name, kind, &full_name).await?;
    Ok(HttpResponse::Created().json(CreatedAccount::new(account, token)))
}

/// A user or an organisation; for callers with a token.
#[utoipa::path(get, path = "/api/v1/users/{name}", tag = "people", responses(
    (status = 200, body = Account),
    (status = 404, body = ProblemBody),
))]
pub async fn show(service: web::Data<Service>, caller: Caller, at: AccountAt) -> Answer {
    let account = service.get_account(&caller.0, &at.0).await?;
    Ok(HttpResponse::Ok().json(Account::from(account)))
}

/// Changes an account. Disabling and administrators are for site administrators; the last one stays.
#[utoipa::path(patch, path = "/api/v1/users/{name}", tag = "people", request_body = PatchAccount, responses(
    (status = 200, body = Account),
    (status = 403, body = ProblemBody),
    (status = 409, body = ProblemBody, description = "the last administrator stays"),
))]
pub async fn change(service: web::Data<Service>, caller: Caller, at: AccountAt, body: Json<PatchAccount>) -> Answer {
    let PatchAccount { full_name, disabled, is_admin } = body.0;
    let account = service.patch_account(&caller.0, &at.0, AccountChange { full_name, disabled, is_admin }).await?;
    Ok(HttpResponse::Ok().json(Account::from(account)))
}

/// What an account holds and may hold; for itself, an organisation's members, and site administrators.
#[utoipa::path(get, path = "/api/v1/users/{name}/usage", tag = "people", responses(
    (status = 200, body = Usage),
    (status = 404, body = ProblemBody),
))]
pub async fn usage(service: web::Data<Service>, caller: Caller, at: AccountAt) -> Answer {
    Ok(HttpResponse::Ok().json(Usage::from(service.usage(&caller.0, &at.0).await?)))
}

/// Says what an account may hold; site administrators only.
#[utoipa::path(put, path = "/api/v1/users/{name}/quota", tag = "people", request_body = SetQuota, responses(
    (status = 200, body = Usage),
    (status = 403, body = ProblemBody),
    (status = 404, body = ProblemBody),
))]
pub async fn set_quota(service: web::Data<Service>, caller: Caller, at: AccountAt, body: Json<SetQuota>) -> Answer {
    if body.0.quota_bytes.is_some_and(|bytes| i64::try_from(bytes).is_err()) {
        return Err(HttpError::bad_request("bad_json", "'quota_bytes' is out of range", "0 is no limit"));
    }
    service.set_quota(&caller.0, &at.0, body.0.quota_bytes).await?;
    Ok(HttpResponse::Ok().json(Usage::from(service.usage(&caller.0, &at.0).await?)))
}

/// Members of an organisation, for its members.
#[utoipa::path(get, path = "/api/v1/orgs/{name}/members", tag = "people", responses(
    (status = 200, body = List<Member>),
    (status = 404, body = ProblemBody),
))]
pub async fn members(service: web::Data<Service>, caller: Caller, at: AccountAt) -> Answer {
    let members = service.list_members(&caller.0, &at.0).await?;
    let items: Vec<Member> = members.into_iter().map(Member::from).collect();
    Ok(HttpResponse::Ok().json(List { items, next: None }))
}

/// Gives a user a role in an organisation.
#[utoipa::path(put, path = "/api/v1/orgs/{name}/members/{user}", tag = "people", request_body = Member, responses(
    (status = 200, body = Member),
    (status = 403, body = ProblemBody),
    (status = 404, body = ProblemBody),
))]
pub async fn set_member(service: web::Data<Service>, caller: Caller, at: MemberAt, body: Json<Member>) -> Answer {
    if body.0.user != at.user.as_str() {
        return Err(HttpError::bad_request("bad_json", "the user in the body is not that of the address", "name the same user twice"));
    }
    let role = word(&body.0.role, Role::parse, "role", "read, write, admin")?;
    service.set_member(&caller.0, &at.organisation, &at.user, role).await?;
    Ok(HttpResponse::Ok().json(body.0))
}

/// Takes a user's role away; members may leave by themselves.
#[utoipa::path(delete, path = "/api/v1/orgs/{name}/members/{user}", tag = "people", responses(
    (status = 204),
    (status = 403, body = ProblemBody),
    (status = 404, body = ProblemBody),
))]
pub async fn remove_member(service: web::Data<Service>, caller: Caller, at: MemberAt) -> Answer {
    service.remove_member(&caller.0, &at.organisation, &at.user).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// One of a few words, or 400 naming them.
pub(super) fn word<T>(text: &str, parse: impl Fn(&str) -> Option<T>, key: &str, words: &str) -> Result<T, HttpError> {
    let wrong = || HttpError::bad_request("bad_json", format!("'{key}' is none of: {words}"), format!("give one of: {words}"));
    parse(text).ok_or_else(wrong)
}
