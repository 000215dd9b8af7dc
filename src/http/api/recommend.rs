//! Which backbones suit a data set.

use actix_web::HttpResponse;
use actix_web::web::Data;

use super::finetunes::repo_at;
use crate::domain::name::RepoId;
use crate::domain::revision::Revision;
use crate::domain::task::Task;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::Json;
use crate::service::Service;
use crate::service::jobs::recommend::NewRecommendation;
use crate::wire::error::ProblemBody;
use crate::wire::jobs::{CreateFineTune, Job};
use crate::wire::recommend::CreateRecommendation;

/// Models that one question names.
const MOST_NAMED: usize = 100;

/// Ask which backbones suit a data set. The job leaves `recommendation.json`: `docs/RECOMMEND.md` has its form.
#[utoipa::path(post, path = "/api/v1/recommend", tag = "finetunes", request_body = CreateRecommendation, responses(
    (status = 201, body = Job),
    (status = 404, body = ProblemBody, description = "The data set or a model that is named is not there, or not for you."),
    (status = 422, body = ProblemBody, description = "There is nothing to choose from, or a setting does not fit: the message says why."),
))]
pub async fn create(caller: Caller, service: Data<Service>, body: Json<CreateRecommendation>) -> Answer {
    let (dataset, asked) = asked(body.0)?;
    let job = service.create_recommendation(&caller.0, dataset, asked).await?;
    Ok(HttpResponse::Created().json(Job::from(job)))
}

type Asked = ((RepoId, Revision), NewRecommendation);

fn asked(body: CreateRecommendation) -> Result<Asked, HttpError> {
    let dataset = repo_at("dataset", &body.dataset)?;
    if body.among.len() > MOST_NAMED {
        let message = format!("among: {} models are named, and {MOST_NAMED} are allowed", body.among.len());
        return Err(HttpError::bad_request("too_many_models", message, "name fewer, or none and let filters choose"));
    }
    let among = body.among.iter().map(|text| repo_at("among", text).map(|found| (found.id, found.revision)));
    let asked = NewRecommendation {
        among: among.collect::<Result<_, _>>()?,
        task: body.task.as_deref().map(task).transpose()?,
        max_parameters: body.max_parameters,
        licenses: body.license,
        fine_tunes: body.fine_tunes,
        seconds: body.seconds,
        race: body.race,
        then: None,
    };
    Ok(((dataset.id, dataset.revision), asked))
}

fn task(text: &str) -> Result<Task, HttpError> {
    let known: Vec<&str> = Task::ALL.iter().filter(|task| !task.is_of_places()).map(|task| task.as_str()).collect();
    let unknown = || HttpError::bad_request("bad_task", format!("there is no task '{text}'"), format!("tasks are {}", known.join(", ")));
    Task::parse(text).filter(|task| !task.is_of_places()).ok_or_else(unknown)
}

/// A fine-tune whose base is to be chosen: the job that chooses it, and queues the fine-tune when it ends.
pub(super) fn choose_first(body: CreateFineTune) -> Result<Asked, HttpError> {
    let (dataset, name) = (repo_at("dataset", &body.dataset)?, repo_at("name", &body.name)?);
    let then = crate::domain::work::Then { name: name.id, private: body.private, recipe: body.recipe, sweep: body.sweep };
    Ok(((dataset.id, dataset.revision), NewRecommendation::before(then, body.race)))
}
