//! Accounts, for site administrators: who is here, new ones, who may not come in any more, who administers, how much each may hold.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::form::{CSRF, Form};
use super::frame::{Frame, page_with, see_other};
use super::repo_head::urlencode;
use super::{format, once};
use crate::domain::name::Name;
use crate::domain::page::PageRequest;
use crate::domain::user::{Account, AccountKind};
use crate::http::Site;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::Query;
use crate::service::Service;
use crate::service::people::accounts::AccountChange;

const HERE: &str = "/system/people";
const LINES: u64 = 50;
const GIGABYTE: f64 = 1e9;

#[derive(Template)]
#[template(path = "system_people.html")]
struct People {
    frame: Frame,
    tab: &'static str,
    csrf: String,
    accounts: Vec<AccountLine>,
    next: String,
    problem: String,
    /// The first token of an account that was just made, and the address it is good for.
    invitation: Option<(String, String)>,
}

struct AccountLine {
    name: String,
    full_name: String,
    kind: &'static str,
    since: String,
    is_admin: bool,
    disabled: bool,
    is_user: bool,
    held: String,
    quota: String,
}

pub async fn show(request: HttpRequest, visitor: Visitor, service: Data<Service>, query: Query) -> Answer {
    if visitor.0.is_none() {
        return Ok(see_other("/login?next=/system/people"));
    }
    let mut page = people_page(&request, &visitor, &service, query.find("cursor"), None).await?;
    once::forget(&request, &mut page, HERE)?;
    Ok(page)
}

async fn people_page(
    request: &HttpRequest,
    visitor: &Visitor,
    service: &Service,
    cursor: Option<&str>,
    refused: Option<&HttpError>,
) -> Result<HttpResponse, HttpError> {
    let actor = visitor.actor();
    let list = service.list_accounts(&actor, PageRequest::new(Some(LINES), cursor.map(str::to_owned))).await?;
    let mut accounts = Vec::with_capacity(list.items.len());
    for account in list.items {
        let usage = service.usage(&actor, &account.name).await?;
        let quota = if usage.quota_bytes == 0 { String::new() } else { format!("{:.1}", usage.quota_bytes as f64 / GIGABYTE) };
        accounts.push(AccountLine::of(account, format::bytes(usage.stored_bytes), quota));
    }
    let address = Site::of(request)?.public_address(request);
    let page = People {
        frame: Frame::of(visitor, "settings"),
        tab: "people",
        csrf: visitor.csrf().to_owned(),
        accounts,
        next: list.next.map(|cursor| format!("{HERE}?cursor={}", urlencode(&cursor))).unwrap_or_default(),
        problem: refused.map(|refused| format!("{}; {}", refused.problem.message, refused.problem.hint)).unwrap_or_default(),
        invitation: once::shown(request).map(|token| (token, address)),
    };
    page_with(refused.map_or(StatusCode::OK, |refused| refused.status), &page)
}

impl AccountLine {
    fn of(account: Account, held: String, quota: String) -> AccountLine {
        AccountLine {
            name: account.name.to_string(),
            full_name: account.full_name,
            kind: if account.kind == AccountKind::User { "person" } else { "organisation" },
            since: format::day(account.created),
            is_admin: account.is_admin,
            disabled: account.disabled,
            is_user: account.kind == AccountKind::User,
            held,
            quota,
        }
    }
}

/// A button of the page.
pub async fn act(request: HttpRequest, visitor: Visitor, service: Data<Service>, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    match done(&request, &visitor, &service, &form.0).await {
        Ok(answer) => Ok(answer),
        Err(refused) if refused.status.is_client_error() && ![401, 403, 404].contains(&refused.status.as_u16()) => {
            people_page(&request, &visitor, &service, None, Some(&refused)).await
        }
        Err(refused) => Err(refused),
    }
}

async fn done(request: &HttpRequest, visitor: &Visitor, service: &Service, form: &Query) -> Answer {
    let actor = visitor.actor();
    let change = |disabled, is_admin| AccountChange { disabled, is_admin, full_name: None };
    let change = match request.match_info().query("act") {
        "invite" => {
            let (_, token) = service.create_account(&actor, form.text("name").trim(), AccountKind::User, &form.text("full_name")).await?;
            return once::lead(request, HERE, &token.unwrap_or_default());
        }
        "quota" => {
            service.set_quota(&actor, &name(form)?, quota(form)?).await?;
            return Ok(see_other(HERE));
        }
        "disable" => change(Some(true), None),
        "enable" => change(Some(false), None),
        "promote" => change(None, Some(true)),
        "demote" => change(None, Some(false)),
        _ => return Err(HttpError::of_status(StatusCode::NOT_FOUND)),
    };
    service.patch_account(&actor, &name(form)?, change).await?;
    Ok(see_other(HERE))
}

fn name(form: &Query) -> Result<Name, HttpError> {
    let wrong = |e: crate::domain::name::NameError| HttpError::bad_request("bad_name", e.to_string(), "go back and choose an account");
    Name::parse(form.text("name").trim()).map_err(wrong)
}

/// In gigabytes; nothing is what the settings say, 0 is no limit.
fn quota(form: &Query) -> Result<Option<u64>, HttpError> {
    let Some(text) = form.find("gigabytes").map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    let wrong = || HttpError::bad_request("bad_quota", format!("'{text}' is no number of gigabytes"), "write 50, or 0 for no limit");
    let value: f64 = text.parse().map_err(|_| wrong())?;
    if !(0.0..1e9).contains(&value) {
        return Err(wrong());
    }
    Ok(Some((value * GIGABYTE) as u64))
}
