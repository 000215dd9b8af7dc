//! Before a handler begins: who asks and whether they may is found out first; then a repo that is not here is fetched from the hub
//! behind this one; then a stranger may have the answer that another had; then a heavy answer waits for its caller's turn.

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{HttpResponse, ResponseError as _};

use super::error::HttpError;
use super::rates::share;
use super::response_cache::Question;
use super::route::Traits;
use super::{Site, caller};
use crate::domain::name::{RepoId, RepoKind};
use crate::service::Service;
use crate::service::work::Turn;

/// Longer ones are on the version's page.
const LONGEST_WARNING: usize = 1_000;

/// What was done before the handler.
#[derive(Default)]
struct Entered {
    /// What the other hub's repo was fetched with, and which repo that is.
    warnings: Vec<String>,
    repo: Option<RepoId>,
    turn: Option<Turn>,
    /// What a stranger asks, and the answer that another stranger had.
    question: Option<Question>,
    answer: Option<HttpResponse>,
}

/// Around the handlers of routes that are about a repo, heavy, or the same for all strangers.
pub async fn enter(request: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let mut entered = match prepare(&request).await {
        Ok(entered) => entered,
        Err(error) => return Ok(request.into_response(error.error_response())),
    };
    let site = request.app_data::<Data<Site>>().cloned();
    let mut response = match (entered.answer.take(), entered.turn.take()) {
        (Some(answer), _) => request.into_response(answer),
        (None, Some(turn)) => turn.during(next.call(request)).await?,
        (None, None) => next.call(request).await?,
    };
    if let (Some(question), Some(site)) = (entered.question.take(), site) {
        response = site.answers.put(question, response);
    }
    for (id, warning) in entered.repo.iter().flat_map(|id| entered.warnings.iter().map(move |warning| (id, warning))) {
        // Clients of the Hugging Face Hub show what this header says; before the semicolon stands what it is about.
        let line: String = warning.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).take(LONGEST_WARNING).collect();
        if let Ok(value) = HeaderValue::from_str(&format!("mirror; {id}: {line}")) {
            response.headers_mut().append(HeaderName::from_static("x-hf-warning"), value);
        }
    }
    Ok(response)
}

async fn prepare(request: &ServiceRequest) -> Result<Entered, HttpError> {
    let Some(service) = request.app_data::<Data<Service>>() else { return Ok(Entered::default()) };
    let traits = Traits::of(request.request());
    let heavy = traits.heavy && [Method::GET, Method::HEAD].contains(request.method());
    let repo = repo_wanted(request).filter(|_| service.has_upstream());
    if !heavy && !traits.cached && repo.is_none() {
        return Ok(Entered::default());
    }
    let actor = caller::find_out(request.request()).await?;
    let whose = share(request.request(), &actor)?;
    let mut entered = Entered::default();
    if let Some((kind, id)) = repo {
        entered.warnings = service.fetch_absent(&actor, kind, &id).await?;
        entered.repo = Some(id);
    }
    let site = Site::of(request.request())?;
    let question = || if traits.cached { Question::of(request, &actor, service.written()) } else { None };
    let known = |question: &Option<Question>| question.as_ref().and_then(|question| site.answers.find(question));
    entered.question = question();
    entered.answer = known(&entered.question);
    if heavy && entered.answer.is_none() {
        entered.turn = Some(service.work().turn(&whose).await?);
        // Others who waited may have asked the same.
        entered.question = question();
        entered.answer = known(&entered.question);
    }
    if entered.answer.is_some() {
        (entered.turn, entered.question) = (None, None);
    }
    Ok(entered)
}

/// The repo a question is about, in any dialect.
fn repo_wanted(request: &ServiceRequest) -> Option<(RepoKind, RepoId)> {
    let traits = Traits::of(request.request());
    if traits.reads(request.method()) { traits.repo(|part| request.match_info().get(part)) } else { None }
}
