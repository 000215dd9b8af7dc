//! Organisations: made, and their members; and what a person says of themselves.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use askama::Template;

use super::form::{CSRF, Form};
use super::frame::{Frame, page_with, see_other};
use crate::domain::name::Name;
use crate::domain::user::{AccountKind, Role};
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{AccountAt, Query};
use crate::service::Service;
use crate::service::people::accounts::AccountChange;

const HERE: &str = "/settings/profile";

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    csrf: String,
    name: String,
    full_name: String,
    organisations: Vec<(String, &'static str)>,
    /// What was typed for a new one.
    asked: String,
    problem: String,
}

pub async fn show(visitor: Visitor, service: Data<Service>) -> Answer {
    if visitor.0.is_none() {
        return Ok(see_other("/login?next=/settings/profile"));
    }
    account_page(&visitor, &service, String::new(), None).await
}

async fn account_page(visitor: &Visitor, service: &Service, asked: String, refused: Option<&HttpError>) -> Answer {
    let actor = visitor.actor();
    let me = service.whoami(&actor).await?;
    let account = service.get_account(&actor, &me.name).await?;
    let page = AccountPage {
        frame: Frame::of(visitor, "settings"),
        csrf: visitor.csrf().to_owned(),
        full_name: account.full_name,
        organisations: me
            .namespaces
            .iter()
            .filter(|(space, _)| space.folded() != me.name.folded())
            .map(|(space, role)| (space.to_string(), role.as_str()))
            .collect(),
        name: me.name.to_string(),
        asked,
        problem: refused.map(|refused| format!("{}; {}", refused.problem.message, refused.problem.hint)).unwrap_or_default(),
    };
    page_with(refused.map_or(StatusCode::OK, |refused| refused.status), &page)
}

/// The name people read.
pub async fn rename(visitor: Visitor, service: Data<Service>, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    let actor = visitor.actor();
    let name = service.whoami(&actor).await?.name;
    let change = AccountChange { full_name: Some(form.0.text("full_name")), ..AccountChange::default() };
    match service.patch_account(&actor, &name, change).await.map_err(HttpError::from) {
        Ok(_) => Ok(see_other(HERE)),
        Err(refused) if refused.status.is_client_error() => account_page(&visitor, &service, String::new(), Some(&refused)).await,
        Err(refused) => Err(refused),
    }
}

/// A new organisation, which the visitor administers.
pub async fn create(visitor: Visitor, service: Data<Service>, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    let asked = form.0.text("name").trim().to_owned();
    let made = service.create_account(&visitor.actor(), &asked, AccountKind::Organisation, &form.0.text("full_name")).await;
    match made.map_err(HttpError::from) {
        Ok((account, _)) => Ok(see_other(&format!("/{}", account.name))),
        Err(refused) if refused.status.is_client_error() => account_page(&visitor, &service, asked, Some(&refused)).await,
        Err(refused) => Err(refused),
    }
}

/// Gives a user a role in an organisation, or takes it away.
pub async fn set_member(visitor: Visitor, service: Data<Service>, at: AccountAt, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    let (actor, user) = (visitor.actor(), member(&form.0)?);
    match Role::parse(&form.0.text("role")) {
        Some(role) => service.set_member(&actor, &at.0, &user, role).await?,
        None => service.remove_member(&actor, &at.0, &user).await?,
    }
    Ok(see_other(&format!("/{}", at.0)))
}

fn member(form: &Query) -> Result<Name, HttpError> {
    let wrong = |e: crate::domain::name::NameError| HttpError::bad_request("bad_name", e.to_string(), "go back and write a user's name");
    Name::parse(form.text("user").trim()).map_err(wrong)
}
