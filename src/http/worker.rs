//! Who asks at the routes of workers: a worker's token, and nothing else; where a job is meant, with the lease it holds.
//!
//! ```text
//! Authorization: Bearer hub_...        the worker's token
//! Hub-Lease: 3 gpu7-4711-x7Qe.1        number of the lease, and the name it was claimed by
//! ```

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderName;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;

use super::caller::{log_in, token_of};
use super::error::HttpError;
use super::rates::admit;
use crate::domain::id::JobId;
use crate::domain::job::Lease;
use crate::domain::user::{Actor, WorkerToken};
use crate::service::Service;

const HUB_LEASE: HeaderName = HeaderName::from_static("hub-lease");

/// A worker, by its token. It is not counted as callers are: it asks once a second for each job it has.
pub struct Worker(pub WorkerToken);

/// A worker that says it holds the job of the address. Whether it does is asked where that matters.
pub struct Holder(pub Lease);

impl FromRequest for Worker {
    type Error = HttpError;
    type Future = LocalBoxFuture<'static, Result<Worker, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let known = identify(&request).await;
            if known.is_err() {
                admit(&request, &Actor::Anonymous)?;
            }
            known.map(Worker)
        })
    }
}

async fn identify(request: &HttpRequest) -> Result<WorkerToken, HttpError> {
    let none = || {
        let hint = "an administrator makes one with `hub admin worker-token create NAME`";
        HttpError::new(StatusCode::UNAUTHORIZED, "login_required", "this address is for workers, who show their token", hint)
    };
    let token = token_of(request)?.ok_or_else(none)?;
    log_in(request, &token, |service, token| async move { service.authenticate_worker(&token).await }).await
}

impl FromRequest for Holder {
    type Error = HttpError;
    type Future = LocalBoxFuture<'static, Result<Holder, HttpError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (worker, request) = (Worker::from_request(request, payload), request.clone());
        Box::pin(async move {
            let job = request.match_info().get("job").and_then(|text| JobId::parse(text).ok());
            let wrong =
                |problem: &str| HttpError::bad_request("bad_lease", problem, "send the lease of the claim: 'Hub-Lease: <number> <worker>'");
            // What is no address of a job is that whoever asks.
            let job = job.ok_or_else(|| wrong("the address names no job"))?;
            let Worker(token) = worker.await?;
            let named = request.headers().get(HUB_LEASE).and_then(|value| value.to_str().ok());
            let named = named.and_then(|text| text.trim().split_once(' ')).and_then(|(number, name)| Some((number.parse().ok()?, name)));
            // The catalog counts with a sign.
            let named = named.and_then(|(number, name): (i64, &str)| Some((u64::try_from(number).ok()?, name)));
            let (number, name) = named.ok_or_else(|| wrong("the header Hub-Lease is missing, or cannot be read"))?;
            let service = request.app_data::<Data<Service>>().ok_or_else(|| HttpError::internal("the service is not registered"))?;
            Ok(Holder(service.lease_named(&token, job, number, name)?))
        })
    }
}

/// For whom a worker sends what its job leaves: the job's owner, while the lease holds.
pub async fn owner_of(request: &HttpRequest) -> Result<Actor, HttpError> {
    let Holder(lease) = Holder::extract(request).await?;
    let service = request.app_data::<Data<Service>>().ok_or_else(|| HttpError::internal("the service is not registered"))?;
    let job = service.held_job(&lease).await?;
    Ok(service.job_owner(&job).await?)
}
