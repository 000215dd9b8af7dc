//! Workers, for site administrators: which machines work on jobs, and the tokens of those that do it over HTTP.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::form::{CSRF, Form};
use super::frame::{Frame, page_with, see_other};
use super::{format, once};
use crate::domain::time::Timestamp;
use crate::domain::user::WorkerToken;
use crate::domain::worker::Worker;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::WorkerTokenAt;
use crate::service::Service;

const HERE: &str = "/system/workers";

#[derive(Template)]
#[template(path = "system_workers.html")]
struct Workers {
    frame: Frame,
    tab: &'static str,
    csrf: String,
    workers: Vec<WorkerLine>,
    tokens: Vec<TokenLine>,
    /// Of a token that was just made.
    secret: Option<String>,
    problem: String,
}

struct WorkerLine {
    name: String,
    node: String,
    token: String,
    machine: String,
    release: String,
    seen: String,
    state: &'static str,
    tone: &'static str,
    job: Option<String>,
}

struct TokenLine {
    id: String,
    name: String,
    created: String,
    expires: String,
    last_used: String,
}

pub async fn show(request: HttpRequest, visitor: Visitor, service: Data<Service>) -> Answer {
    if visitor.0.is_none() {
        return Ok(see_other("/login?next=/system/workers"));
    }
    let mut page = workers_page(&request, &visitor, &service, None).await?;
    once::forget(&request, &mut page, HERE)?;
    Ok(page)
}

async fn workers_page(
    request: &HttpRequest,
    visitor: &Visitor,
    service: &Service,
    refused: Option<&HttpError>,
) -> Result<HttpResponse, HttpError> {
    let (actor, now) = (visitor.actor(), service.now());
    let workers = service.list_workers(&actor).await?.into_iter().map(|worker| WorkerLine::of(worker, now)).collect();
    let tokens = service.list_worker_tokens(&actor).await?.into_iter().map(TokenLine::of).collect();
    let page = Workers {
        frame: Frame::of(visitor, "settings"),
        tab: "workers",
        csrf: visitor.csrf().to_owned(),
        workers,
        tokens,
        secret: once::shown(request),
        problem: refused.map(|refused| format!("{}; {}", refused.problem.message, refused.problem.hint)).unwrap_or_default(),
    };
    page_with(refused.map_or(StatusCode::OK, |refused| refused.status), &page)
}

impl WorkerLine {
    fn of(worker: Worker, now: Timestamp) -> WorkerLine {
        let state = worker.state(now);
        WorkerLine {
            machine: format!("{} on {} threads, {}", worker.device, worker.cpus, format::bytes(worker.memory_bytes)),
            tone: match state {
                "working" => "good",
                "silent" => "warn",
                _ => "",
            },
            state,
            seen: format::minute(worker.seen),
            token: worker.token.unwrap_or_default(),
            name: worker.name,
            node: worker.node,
            release: worker.release,
            job: worker.job,
        }
    }
}

impl TokenLine {
    fn of(token: WorkerToken) -> TokenLine {
        TokenLine {
            id: token.id.to_string(),
            name: token.name,
            created: format::day(token.created),
            expires: token.expires.map_or_else(|| "never".into(), format::day),
            last_used: token.last_used.map_or_else(|| "never".into(), format::minute),
        }
    }
}

/// The secret goes with the way back to the page, so that a reload makes no second token.
pub async fn create(request: HttpRequest, visitor: Visitor, service: Data<Service>, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    // A field that was left empty.
    let days = if form.0.find("days").is_some_and(|text| !text.trim().is_empty()) { form.0.number("days")? } else { None };
    match service.create_worker_token(&visitor.actor(), form.0.text("name").trim(), days).await {
        Ok((_, secret)) => once::lead(&request, HERE, &secret),
        Err(error) => {
            let refused = HttpError::from(error);
            match refused.status.as_u16() {
                401 | 403 | 404 => Err(refused),
                _ => workers_page(&request, &visitor, &service, Some(&refused)).await,
            }
        }
    }
}

pub async fn revoke(visitor: Visitor, service: Data<Service>, at: WorkerTokenAt, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    service.revoke_worker_token(&visitor.actor(), &at.0).await?;
    Ok(see_other(HERE))
}
