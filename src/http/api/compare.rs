//! `/compare`: is one of two better, or is it chance?

use actix_web::HttpResponse;
use actix_web::web::Data;

use crate::http::caller::Caller;
use crate::http::compare;
use crate::http::error::Answer;
use crate::http::extract::Query;
use crate::service::Service;
use crate::wire::compare::Comparison;
use crate::wire::error::ProblemBody;

/// Compare two models, or two jobs, on the items that both were measured on. A model stands for the newest of your fine-tunes and evaluations
/// that measured that version of it.
#[utoipa::path(get, path = "/api/v1/compare", tag = "evaluations", params(
    ("a" = String, Query, description = "a model, `namespace/name[@revision]`, or a job's id"),
    ("b" = String, Query, description = "likewise"),
    ("dataset" = Option<String>, Query, description = "only what was measured on this data set, `namespace/name[@revision]`"),
), responses(
    (status = 200, body = Comparison),
    (status = 404, body = ProblemBody, description = "One of them is not there, or not for you."),
    (status = 422, body = ProblemBody, description = "They were not measured on the same items: the message says why."),
))]
pub async fn show(service: Data<Service>, caller: Caller, query: Query) -> Answer {
    Ok(HttpResponse::Ok().json(compare::asked(&service, &caller.0, &query).await?))
}
