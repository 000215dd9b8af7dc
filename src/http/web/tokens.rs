//! A person's tokens: listed, made (the secret is shown once), revoked.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use askama::Template;

use super::form::{CSRF, Form};
use super::format;
use super::frame::{Frame, page_with, see_other};
use super::once;
use crate::domain::quotas::Usage;
use crate::domain::user::{Actor, Scope, Token};
use crate::http::caller::Visitor;
use crate::http::error::Answer;
use crate::http::extract::TokenAt;
use crate::service::Service;

#[derive(Template)]
#[template(path = "tokens.html")]
struct Tokens {
    frame: Frame,
    csrf: String,
    tokens: Vec<TokenView>,
    secret: Option<String>,
    error: Option<String>,
    /// What the account holds, a line each.
    held: Vec<(&'static str, String)>,
    is_admin: bool,
}

struct TokenView {
    id: String,
    name: String,
    scope: &'static str,
    created: String,
    expires: String,
    last_used: String,
    /// The one this browser is logged in with.
    in_use: bool,
}

impl TokenView {
    fn new(token: Token, actor: &Actor) -> TokenView {
        TokenView {
            in_use: matches!(actor, Actor::User { token: used, .. } if *used == token.id),
            id: token.id.to_string(),
            name: token.name,
            scope: token.scope.as_str(),
            created: format::day(token.created),
            expires: token.expires.map_or_else(|| "never".into(), format::day),
            last_used: token.last_used.map_or_else(|| "never".into(), format::minute),
        }
    }
}

const HERE: &str = "/settings/tokens";

pub async fn show(request: HttpRequest, visitor: Visitor, service: Data<Service>) -> Answer {
    if visitor.0.is_none() {
        return Ok(see_other("/login?next=/settings/tokens"));
    }
    let mut page = tokens_page(&visitor, &service, StatusCode::OK, once::shown(&request), None).await?;
    once::forget(&request, &mut page, HERE)?;
    Ok(page)
}

async fn tokens_page(visitor: &Visitor, service: &Service, status: StatusCode, secret: Option<String>, error: Option<String>) -> Answer {
    let actor = visitor.actor();
    let tokens = service.list_tokens(&actor, None).await?;
    let tokens = tokens.into_iter().map(|token| TokenView::new(token, &actor)).collect();
    let frame = Frame::of(visitor, "settings");
    let held = match visitor.actor().name() {
        Some(name) => lines(&service.usage(&visitor.actor(), name).await?),
        None => Vec::new(),
    };
    let is_admin = matches!(actor, Actor::User { is_admin: true, .. });
    page_with(status, &Tokens { frame, csrf: visitor.csrf().to_owned(), tokens, secret, error, held, is_admin })
}

/// What an account holds, as people read it.
fn lines(usage: &Usage) -> Vec<(&'static str, String)> {
    let quota = if usage.quota_bytes == 0 { String::new() } else { format!(" of {}", format::bytes(usage.quota_bytes)) };
    vec![
        ("In your repos", format!("{}{quota}", format::bytes(usage.stored_bytes))),
        ("Sent and kept", format::bytes(usage.sent_bytes)),
        ("Repos", usage.repos.to_string()),
        ("Organisations you administer", usage.organisations.to_string()),
        ("Uploads under way", usage.uploads.to_string()),
    ]
}

/// The secret goes with the way back to the page, so that a reload makes no second token.
pub async fn create(request: HttpRequest, visitor: Visitor, service: Data<Service>, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    let scope = Scope::parse(&form.0.text("scope")).unwrap_or(Scope::Read);
    // A field that was left empty.
    let days = if form.0.find("days").is_some() { form.0.number("days")? } else { None };
    match service.create_token(&visitor.actor(), &form.0.text("name"), scope, days, None).await {
        Ok((_, secret)) => once::lead(&request, HERE, &secret),
        Err(error) => {
            let refused = crate::http::error::HttpError::from(error);
            let text = format!("{}; {}", refused.problem.message, refused.problem.hint);
            tokens_page(&visitor, &service, refused.status, None, Some(text)).await
        }
    }
}

pub async fn revoke(visitor: Visitor, service: Data<Service>, at: TokenAt, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    service.revoke_token(&visitor.actor(), &at.0).await?;
    Ok(see_other(HERE))
}
