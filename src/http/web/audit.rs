//! The audit log as a page, for site administrators.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use askama::Template;

use super::format;
use super::frame::{Frame, page_with, see_other};
use crate::domain::audit::AuditEntry;
use crate::domain::page::PageRequest;
use crate::http::api::audit::filter;
use crate::http::caller::Visitor;
use crate::http::error::Answer;
use crate::http::extract::Query;
use crate::service::Service;

const LINES: u64 = 100;

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit {
    frame: Frame,
    account: String,
    action: String,
    lines: Vec<Line>,
    /// The query of the next page, or empty.
    next: String,
}

struct Line {
    time: String,
    entry: AuditEntry,
}

pub async fn show(visitor: Visitor, service: Data<Service>, query: Query) -> Answer {
    if visitor.0.is_none() {
        return Ok(see_other("/login?next=/system/audit"));
    }
    let asked = filter(&service, &query)?;
    let (account, action) = (asked.account.clone(), asked.action.clone());
    let page = PageRequest::new(Some(LINES), query.find("cursor").map(String::from));
    let found = service.list_audit(&visitor.actor(), asked, page).await?;
    let next = found.next.map_or(String::new(), |cursor| {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        text.append_pair("account", &account).append_pair("action", &action).append_pair("cursor", &cursor);
        if let Some(since) = query.find("since") {
            text.append_pair("since", since);
        }
        text.finish()
    });
    let lines = found.items.into_iter().map(|entry| Line { time: format::minute(entry.time), entry }).collect();
    page_with(StatusCode::OK, &Audit { frame: Frame::of(&visitor, "settings"), account, action, lines, next })
}
