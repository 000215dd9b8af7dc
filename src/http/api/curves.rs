//! The curves of a job.

use actix_web::web::Data;

use crate::http::caller::Caller;
use crate::http::curves;
use crate::http::error::Answer;
use crate::http::extract::{JobAt, Query};
use crate::service::Service;
use crate::wire::error::ProblemBody;

/// The numbers of every epoch of a job: as JSON (`{items, next}`, an item an epoch, with its `time`), as a table, or as an event file
/// that TensorBoard reads from any folder it lies in.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/curves", tag = "jobs", params(
    ("id" = String, Path),
    ("format" = Option<String>, Query, description = "json, csv or tensorboard"),
), responses(
    (status = 200, content((Object = "application/json"), (String = "text/csv"), (Vec<u8> = "application/octet-stream"))),
    (status = 404, body = ProblemBody),
))]
pub async fn get(caller: Caller, service: Data<Service>, job: JobAt, query: Query) -> Answer {
    curves::answer(&service, &caller.0, &job.0, query.find("format")).await
}
