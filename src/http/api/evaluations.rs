//! Measurements: ask for one, those of a model, the leaderboard of a data set, and the keys they are signed with.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;

use super::finetunes;
use crate::domain::job as domain;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::user::Actor;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Json, RepoAt};
use crate::service::Service;
use crate::service::jobs::evaluate::By;
use crate::service::repos::leaderboard::{self, Claim, Signed};
use crate::wire::List;
use crate::wire::error::ProblemBody;
use crate::wire::evaluations::{Author, Claimed, CreateEvaluation, LeaderboardBody, Measured};
use crate::wire::jobs::Job;

/// Measure a model on a data set, as a job. Labels are matched by name; what comes out is signed by this hub and stands on the model's
/// page and on the data set's leaderboard.
#[utoipa::path(post, path = "/api/v1/evaluations", tag = "evaluations", request_body = CreateEvaluation, responses(
    (status = 201, body = Job),
    (status = 404, body = ProblemBody, description = "The model or the data set is not there, or not for you."),
    (status = 422, body = ProblemBody, description = "It could not work: the message says why."),
))]
pub async fn create(caller: Caller, service: Data<Service>, body: Json<CreateEvaluation>) -> Answer {
    Ok(HttpResponse::Created().json(Job::from(start(&service, &caller.0, body.0).await?)))
}

/// Queues what is asked for, whichever dialect asks.
pub(in crate::http) async fn start(service: &Service, actor: &Actor, body: CreateEvaluation) -> Result<domain::Job, HttpError> {
    let (model, dataset) = (finetunes::repo_at("model", &body.model)?, finetunes::repo_at("dataset", &body.dataset)?);
    let (model, dataset) = ((model.id, model.revision), (dataset.id, dataset.revision));
    let support = body.support.as_deref().map(|name| finetunes::repo_at("support", name)).transpose()?;
    let by = match (support, body.by_names, body.prompt) {
        (Some(_), true, _) => {
            let message = "both `support` and `by_names` say which classes are meant";
            return Err(HttpError::bad_request("bad_body", message, "leave one of them out"));
        }
        (_, false, Some(_)) => {
            return Err(HttpError::bad_request(
                "bad_body",
                "`prompt` is a text in which names are read",
                "add `by_names`, or leave it out",
            ));
        }
        (Some(support), false, None) => By::Support(support.id, support.revision),
        (None, true, prompt) => By::Names(prompt),
        (None, false, None) => By::Head,
    };
    Ok(service.create_evaluation(actor, model, dataset, (body.split, by)).await?)
}

/// What this hub measured of a model, newest first.
#[utoipa::path(get, path = "/api/v1/models/{ns}/{name}/evaluations", tag = "evaluations", params(
    ("ns" = String, Path), ("name" = String, Path),
), responses((status = 200, body = List<Measured>), (status = 404, body = ProblemBody)))]
pub async fn list(caller: Caller, service: Data<Service>, at: RepoAt) -> Answer {
    let found = service.measurements_of(&caller.0, &at.id).await?;
    let items = found.into_iter().map(|signed| measured(RepoKind::Model, &at.id, signed)).collect();
    Ok(HttpResponse::Ok().json(List::<Measured> { items, next: None }))
}

/// How good models are on a data set: what this hub measured, and apart from it what cards claim.
#[utoipa::path(get, path = "/api/v1/datasets/{ns}/{name}/leaderboard", tag = "evaluations", params(
    ("ns" = String, Path), ("name" = String, Path),
), responses((status = 200, body = LeaderboardBody), (status = 404, body = ProblemBody)))]
pub async fn leaderboard(caller: Caller, service: Data<Service>, at: RepoAt) -> Answer {
    let found = service.leaderboard(&caller.0, &at.id).await?;
    let author = |model: &RepoId| Some(author(found.author(model)));
    let rows = found.measured.iter().map(|row| Measured { author: author(&row.other), ..measured(RepoKind::Dataset, &at.id, row.clone()) });
    let claims = found.claims.iter().map(|claim| Claimed { author: author(&claim.model.repo.id), ..claimed(claim.clone()) });
    let (measured, claimed) = (rows.collect(), claims.collect());
    Ok(HttpResponse::Ok().json(LeaderboardBody { measured, claimed }))
}

/// The public keys of this hub's signatures, as a JSON Web Key Set.
#[utoipa::path(get, path = "/api/v1/signing-keys", tag = "evaluations", responses((status = 200, body = serde_json::Value)))]
pub async fn keys(service: Data<Service>) -> Answer {
    Ok(HttpResponse::Ok().json(service.public_keys()))
}

fn author(found: leaderboard::Author) -> Author {
    Author { name: found.name, full_name: found.full_name, kind: found.kind.to_string() }
}

fn measured(of: RepoKind, id: &RepoId, signed: Signed) -> Measured {
    let (model, dataset) = match of {
        RepoKind::Model => (id.to_string(), signed.other.to_string()),
        RepoKind::Dataset => (signed.other.to_string(), id.to_string()),
    };
    let (model_version, dataset_version) = (signed.measurement.model_version, signed.measurement.dataset_version);
    let statement = json!(signed.measurement);
    Measured { model, model_version, dataset, dataset_version, verified: true, statement, author: None, signed: signed.signed }
}

fn claimed(claim: Claim) -> Claimed {
    Claimed {
        model: claim.model.repo.id.to_string(),
        model_version: claim.model.head.map_or(0, |head| head.number),
        verified: false,
        author: None,
        metric: claim.metric.name,
        value: claim.metric.value,
    }
}
