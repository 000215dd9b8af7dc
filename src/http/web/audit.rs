//! The audit log as a page, for site administrators.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION};
use actix_web::web::Data;
use askama::Template;

use super::format;
use super::frame::{Frame, page_with, see_other};
use crate::domain::audit::AuditEntry;
use crate::domain::page::PageRequest;
use crate::http::api::audit::filter;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::Query;
use crate::service::Service;

const LINES: u64 = 100;
/// Lines of one export, the newest; a shorter time has the others.
const MOST_EXPORTED: usize = 20_000;
/// Times that are offered: as the query has it, and as people read it.
const SINCE: [(&str, &str); 5] = [("", "any time"), ("1h", "an hour"), ("24h", "a day"), ("7d", "a week"), ("30d", "a month")];

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit {
    frame: Frame,
    tab: &'static str,
    account: String,
    action: String,
    since: Vec<Since>,
    /// The query of the export.
    export: String,
    lines: Vec<Line>,
    /// The query of the next page, or empty.
    next: String,
}

struct Since {
    value: &'static str,
    label: &'static str,
    chosen: bool,
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
    let given = query.text("since");
    let asked = |cursor: Option<&str>| {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        text.append_pair("account", &account).append_pair("action", &action);
        if !given.is_empty() {
            text.append_pair("since", &given);
        }
        if let Some(cursor) = cursor {
            text.append_pair("cursor", cursor);
        }
        text.finish()
    };
    let (next, export) = (found.next.map_or(String::new(), |cursor| asked(Some(&cursor))), asked(None));
    let since = SINCE.map(|(value, label)| Since { value, label, chosen: value == given }).into();
    let lines = found.items.into_iter().map(|entry| Line { time: format::minute(entry.time), entry }).collect();
    page_with(StatusCode::OK, &Audit { frame: Frame::of(&visitor, "settings"), tab: "audit", account, action, since, export, lines, next })
}

/// The same lines as a table in CSV, the newest first.
pub async fn export(visitor: Visitor, service: Data<Service>, query: Query) -> Answer {
    let asked = filter(&service, &query)?;
    let (mut lines, mut cursor) = (Vec::new(), None);
    loop {
        let page = service.list_audit(&visitor.actor(), asked.clone(), PageRequest::new(Some(LINES), cursor)).await?;
        lines.extend(page.items);
        cursor = page.next;
        if cursor.is_none() || lines.len() >= MOST_EXPORTED {
            break;
        }
    }
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CONTENT_DISPOSITION, "attachment; filename=\"audit.csv\"")).insert_header((CACHE_CONTROL, "private, no-store"));
    Ok(answer.content_type("text/csv; charset=utf-8").body(table(&lines)?))
}

fn table(lines: &[AuditEntry]) -> Result<Vec<u8>, HttpError> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let broken = |e: csv::Error| HttpError::internal(format!("the log was not written: {e}"));
    table.write_record(["time", "account", "action", "subject", "detail", "token", "address", "request"]).map_err(broken)?;
    for AuditEntry { time, account, action, subject, detail, token, address, request } in lines {
        let cells = [&time.to_string(), account, action, subject, detail, token, address, request].map(|text| harmless(text));
        table.write_record(cells).map_err(broken)?;
    }
    table.into_inner().map_err(|e| HttpError::internal(format!("the log was not written: {e}")))
}

/// Programs for tables take what begins so for a formula, and strangers' words are in the log.
fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    #[test]
    fn what_strangers_wrote_is_no_formula() {
        let entry = AuditEntry {
            time: Timestamp::from_unix_ms(0),
            account: "anonymous".into(),
            action: "refused".into(),
            subject: "=HYPERLINK(\"x\")".into(),
            detail: "a, b".into(),
            token: String::new(),
            address: "::1".into(),
            request: "-1".into(),
        };
        let text = String::from_utf8(table(&[entry]).unwrap()).unwrap();
        let line = text.lines().nth(1).unwrap();
        assert_eq!(line, "1970-01-01T00:00:00.000Z,anonymous,refused,\"'=HYPERLINK(\"\"x\"\")\",\"a, b\",,::1,'-1");
    }
}
