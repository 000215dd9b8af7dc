//! `/tokens`.

use actix_web::{HttpResponse, web};

use super::users::word;
use crate::domain::name::Name;
use crate::domain::user::Scope;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Json, Query, TokenAt};
use crate::service::Service;
use crate::wire::List;
use crate::wire::error::ProblemBody;
use crate::wire::users::{CreateToken, CreatedToken, Token};

/// The caller's tokens, newest first.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "people", params(
    ("user" = Option<String>, Query, description = "site administrators: another user's"),
), responses((status = 200, body = List<Token>), (status = 401, body = ProblemBody)))]
pub async fn list(service: web::Data<Service>, caller: Caller, query: Query) -> Answer {
    let user = query.find("user").map(user_name).transpose()?;
    let tokens = service.list_tokens(&caller.0, user.as_ref()).await?;
    let items: Vec<Token> = tokens.into_iter().map(Token::from).collect();
    Ok(HttpResponse::Ok().json(List { items, next: None }))
}

/// Makes a token that reaches no further than the one in use, and ends with it at the latest. Its secret is shown this once.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "people", request_body = CreateToken, responses(
    (status = 201, body = CreatedToken),
    (status = 403, body = ProblemBody),
    (status = 422, body = ProblemBody),
))]
pub async fn create(service: web::Data<Service>, caller: Caller, body: Json<CreateToken>) -> Answer {
    let CreateToken { name, scope, expires_in_days, user } = body.0;
    let scope = word(scope.as_deref().unwrap_or("read"), Scope::parse, "scope", "read, write, admin")?;
    let user = user.as_deref().map(user_name).transpose()?;
    let (token, secret) = service.create_token(&caller.0, &name, scope, expires_in_days, user.as_ref()).await?;
    Ok(HttpResponse::Created().json(CreatedToken::new(token, secret)))
}

/// Ends a token at once, those that were made with it, and the web sessions that logged in with any of them.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "people", responses(
    (status = 204),
    (status = 404, body = ProblemBody),
))]
pub async fn revoke(service: web::Data<Service>, caller: Caller, at: TokenAt) -> Answer {
    service.revoke_token(&caller.0, &at.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Ends all web sessions of the caller.
#[utoipa::path(delete, path = "/api/v1/sessions", tag = "people", responses((status = 204), (status = 403, body = ProblemBody)))]
pub async fn log_out_everywhere(service: web::Data<Service>, caller: Caller) -> Answer {
    service.close_all_sessions(&caller.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn user_name(text: &str) -> Result<Name, HttpError> {
    Name::parse(text).map_err(|e| HttpError::bad_request("bad_name", e.to_string(), "check the user's name"))
}
