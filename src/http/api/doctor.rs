//! `/datasets/{ns}/{name}/doctor` and `/relabel`: how healthy a data set is, and labels put right.

use actix_web::{HttpResponse, web};

use super::finetunes;
use crate::domain::revision::Revision;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Json, Query, RepoAt};
use crate::service::Service;
use crate::service::repos::doctor as service_doctor;
use crate::service::repos::relabel::Relabelling;
use crate::wire::doctor::{Checkup, Elsewhere, ExamineDataset, RelabelDataset, Relabelled};
use crate::wire::error::ProblemBody;
use crate::wire::jobs::Job;

/// What is known of a data set's health: how even its classes are, copies inside and across splits and in evaluation sets, blank and
/// odd items, and the labels that its last examination suspects.
#[utoipa::path(get, path = "/api/v1/datasets/{ns}/{name}/doctor", tag = "repos", params(
    ("revision" = Option<String>, Query, description = "another version than `main`"),
), responses(
    (status = 200, body = Checkup),
    (status = 404, body = ProblemBody),
    (status = 422, body = ProblemBody, description = "nothing was found in it that could be looked at"),
))]
pub async fn show(service: web::Data<Service>, caller: Caller, at: RepoAt, query: Query) -> Answer {
    let found = service.checkup(&caller.0, &at.id, &query.revision()?).await?;
    Ok(HttpResponse::Ok().json(checkup(found)))
}

fn checkup(found: service_doctor::Checkup) -> Checkup {
    let findings = found.sentences();
    let elsewhere = found.elsewhere.into_iter().map(|set| Elsewhere {
        dataset: format!("{}@{}", set.dataset, set.version),
        copies: set.copies,
        near: set.near,
        looked_at: set.looked_at,
        among: set.among,
        pairs: set.pairs,
    });
    Checkup {
        version: found.version.into(),
        findings,
        elsewhere: elsewhere.collect(),
        report: serde_json::to_value(&found.report).unwrap_or_default(),
        examination: serde_json::to_value(&found.examination).unwrap_or_default(),
    }
}

/// Ask for a look at a data set's labels, on the features of a base: the job leaves `suspects.csv`, in the form in which labels are put
/// right, `outliers.csv` and `examination.json`. Of whoever may write to the data set its findings are kept with the version.
#[utoipa::path(post, path = "/api/v1/datasets/{ns}/{name}/doctor", tag = "jobs", request_body = ExamineDataset, responses(
    (status = 201, body = Job),
    (status = 404, body = ProblemBody, description = "The data set or the base is not there, or not for you."),
    (status = 422, body = ProblemBody, description = "It could not work: the message says why."),
))]
pub async fn examine(service: web::Data<Service>, caller: Caller, at: RepoAt, body: Json<ExamineDataset>) -> Answer {
    let wrong =
        |e| HttpError::bad_request("bad_revision", format!("revision: {e}"), "write a version's number, a branch, a tag or a commit id");
    let revision = body.0.revision.as_deref().map_or(Ok(Revision::main()), Revision::parse).map_err(wrong)?;
    let base = body.0.base.as_deref().map(|base| finetunes::repo_at("base", base)).transpose()?.map(|base| (base.id, base.revision));
    let job = service.create_examination(&caller.0, (at.id, revision), base).await?;
    Ok(HttpResponse::Created().json(Job::from(job)))
}

/// Makes the next version of a data set, with these labels put right. A file in the folder of its class goes to the folder of the
/// other one; for what is packed or named by a table, `corrections.csv` says the label from now on. No item is sent again.
#[utoipa::path(post, path = "/api/v1/datasets/{ns}/{name}/relabel", tag = "repos", request_body = RelabelDataset, responses(
    (status = 201, body = Relabelled),
    (status = 403, body = ProblemBody),
    (status = 404, body = ProblemBody),
    (status = 409, body = ProblemBody, description = "the branch moved meanwhile"),
    (status = 422, body = ProblemBody, description = "the table cannot be read, or changes nothing"),
))]
pub async fn relabel(service: web::Data<Service>, caller: Caller, at: RepoAt, body: Json<RelabelDataset>) -> Answer {
    let RelabelDataset { table, accept, message } = body.0;
    let done = service.relabel(&caller.0, &at.id, Relabelling { table, accept, message }).await?;
    let (moved, listed) = (done.moved, done.listed);
    let warnings = done.committed.warnings;
    Ok(HttpResponse::Created().json(Relabelled { version: done.committed.version.into(), moved, listed, warnings }))
}
