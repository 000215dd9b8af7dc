//! Ask a model about items: their features, their classes or numbers. About one whose file is the body itself, or about several.

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, CONTENT_DISPOSITION};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::finetunes;
use super::items::{self, Asked};
use crate::domain::answers::{Answers, Content, Format, Said};
use crate::domain::name::RepoId;
use crate::domain::repo::Version;
use crate::domain::revision::Revision;
use crate::domain::timeline::Every;
use crate::http::body::Body;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Query, RepoAt};
use crate::service::Service;
use crate::service::jobs::evaluate::Which;
use crate::service::jobs::neighbors::{Neighbor, Shown};
use crate::service::jobs::predict::{Item, Question};
use crate::service::jobs::texts::Wish;
use crate::wire::error::ProblemBody;
use crate::wire::jobs::Job;
use crate::wire::predict::{
    AnswersBody, AskedAbout, Embedding, Embeddings, NeighborBody, NeighborsBody, Prediction, Predictions, TokensRead,
};

/// Classes told when the query does not say.
const TOP: usize = 5;
/// Classes told at most; no head here has more.
const MOST_CLASSES: usize = 100_000;
/// Neighbours told when the query does not say, and at most.
const NEIGHBORS: usize = 10;
const MOST_NEIGHBORS: usize = 1_000;

/// The pooled features of an item, or of several.
///
/// One file as the body is answered with its features alone. Several come as `multipart/form-data`, as a zip
/// (`application/zip`), or as JSON; they are answered with a row for each, in their order, and one that cannot be read is
/// a row with an error. Of a text `tokens` says how much of it was read; of word vectors, how many of its words have one. A model of
/// images with a network for texts beside takes both into one space: what is UTF-8 is a text.
#[utoipa::path(post, path = "/api/v1/models/{ns}/{name}/embed", tag = "predict", params(
    ("ns" = String, Path), ("name" = String, Path), ("revision" = Option<String>, Query),
    ("every" = Option<f64>, Query, description = "of a model of videos: asks about each piece of so many seconds (0.1 to 10,800), one behind the other; each is a row of its own, named by where it begins and ends, and at most 1,024 are answered at once"),
    ("format" = Option<String>, Query, description = "json, csv, npy, safetensors or parquet; else what `Accept` names; else json"),
    ("prompt" = Option<String>, Query, description = "of a text encoder: the name of a prompt of its config, put before every text instead of the usual one"),
    ("pooling" = Option<String>, Query, description = "of word vectors: mean (if left out) or sif, which takes away what all texts of the question have in common"),
), request_body(content(
    (Vec<u8> = "application/octet-stream"), (Vec<u8> = "application/zip"), (AskedAbout = "application/json"), (Vec<u8> = "multipart/form-data"),
)), responses(
    (status = 200, body = Embeddings), (status = 202, body = Job, description = "About a whole data set."),
    (status = 404, body = ProblemBody), (status = 413, body = ProblemBody), (status = 422, body = ProblemBody),
))]
pub async fn embed(request: HttpRequest, caller: Caller, service: Data<Service>, at: RepoAt, query: Query, body: Body) -> Answer {
    let (format, revision) = (format(&request, &query)?, query.revision()?);
    let wish = Wish { prompt: query.find("prompt").map(str::to_owned), pooling: query.find("pooling").map(str::to_owned) };
    let every = items::every(&query)?;
    let at = present(&service, &caller, at).await?;
    let asked = items::read(&request, &service, body).await?;
    let asked = items::in_pieces(&service, &caller.0, (&at.id, &revision), every, asked).await?;
    match asked {
        Asked::One(item) => {
            let (version, features, tokens) = service.embed(&caller.0, &at.id, &revision, &wish, item).await?;
            let model = named(&at.id, &version);
            match format {
                Format::Json => Ok(HttpResponse::Ok().json(Embedding { model, features, tokens: tokens.map(TokensRead::from) })),
                other => write(one(model, Content::Features { features, tokens }), other).await,
            }
        }
        Asked::Many(items) => write(service.embed_all(&caller.0, &at.id, &revision, &wish, items).await?, format).await,
        Asked::Dataset { name, split } => {
            job(&service, &caller, (at.id, revision), (name, Which { split, every }, None), (None, format)).await
        }
    }
}

/// What a model says about an item, or about several: the likeliest classes, or the numbers it was trained to answer.
///
/// One file as the body is answered with that alone. Several come as `multipart/form-data`, as a zip (`application/zip`), or as
/// JSON; they are answered with a row for each, in their order, and one that cannot be read is a row with an error. As npy and
/// safetensors the scores of all classes are told, in the order of the head.
#[utoipa::path(post, path = "/api/v1/models/{ns}/{name}/predict", tag = "predict", params(
    ("ns" = String, Path), ("name" = String, Path), ("revision" = Option<String>, Query),
    ("top" = Option<usize>, Query, description = "how many classes, 5 if left out"),
    ("support" = Option<String>, Query, description = "`namespace/name[@revision]` of a data set of examples: its classes are answered, by the nearest mean of their features, whatever the model was trained for"),
    ("prompt" = Option<String>, Query, description = "with `classes` a text in which their names are read, `a photo of a {}`; else of a text encoder the name of a prompt of its config, put before every text instead of the usual one"),
    ("classes" = Option<String>, Query, description = "of a model of texts, or one of images with a network for texts beside: names of classes with commas between, which are answered by the nearest of them, whatever the model was trained for"),
    ("every" = Option<f64>, Query, description = "of a model of videos: asks about each piece of so many seconds (0.1 to 10,800), one behind the other; each is a row of its own, named by where it begins and ends, and at most 1,024 are answered at once"),
    ("format" = Option<String>, Query, description = "json, csv, npy, safetensors or parquet; of boxes and masks also coco, the list of results that COCO's tools read; else what `Accept` names; else json"),
), request_body(content(
    (Vec<u8> = "application/octet-stream"), (Vec<u8> = "application/zip"), (AskedAbout = "application/json"), (Vec<u8> = "multipart/form-data"),
)), responses(
    (status = 200, body = Predictions), (status = 202, body = Job, description = "About a whole data set."),
    (status = 404, body = ProblemBody), (status = 413, body = ProblemBody), (status = 422, body = ProblemBody),
    (status = 409, body = ProblemBody, description = "`not_embedded`: the model has not looked at the support set yet."),
))]
pub async fn predict(request: HttpRequest, caller: Caller, service: Data<Service>, at: RepoAt, query: Query, body: Body) -> Answer {
    let (format, revision, every) = (format(&request, &query)?, query.revision()?, items::every(&query)?);
    let at = present(&service, &caller, at).await?;
    let top = query.number("top")?.unwrap_or(TOP).clamp(1, MOST_CLASSES);
    let top = if format.is_matrix() { usize::MAX } else { top };
    let support = query.find("support").map(|name| finetunes::repo_at("support", name)).transpose()?.map(|at| (at.id, at.revision));
    let asked = items::read(&request, &service, body).await?;
    let asked = items::in_pieces(&service, &caller.0, (&at.id, &revision), every, asked).await?;
    if let Some(names) = query.find("classes") {
        let names = names.split(',').map(|name| name.trim().to_owned()).collect();
        let words = Words { names, template: query.find("prompt").map(str::to_owned), with_support: support.is_some(), every };
        return by_names(&service, &caller, (at.id, revision), words, asked, (top, format)).await;
    }
    if let (Some(prompt), Asked::One(_) | Asked::Many(_)) = (query.find("prompt"), &asked) {
        return by_prompt(&service, &caller, (&at.id, &revision), (prompt, support.is_some()), asked, (top, format)).await;
    }
    if let (Some((id, of)), Asked::One(_) | Asked::Many(_)) = (&support, &asked) {
        return by_support(&service, &caller, (&at.id, &revision), (id, of), asked, (top, format)).await;
    }
    match asked {
        Asked::One(item) => {
            let (version, answer) = service.predict(&caller.0, &at.id, &revision, item, top).await?;
            let model = named(&at.id, &version);
            match format {
                Format::Json => Ok(HttpResponse::Ok().json(Prediction::new(model, &answer))),
                other => write(one(model, Content::Answer(answer)), other).await,
            }
        }
        Asked::Many(items) => write(service.ask(&caller.0, &at.id, &revision, Question::Answer { top }, items).await?, format).await,
        Asked::Dataset { name, split } => {
            job(&service, &caller, (at.id, revision), (name, Which { split, every }, support), (Some(top), format)).await
        }
    }
}

/// The model under the name that it has now: of an alias, its entry. A question is not sent on to another address, as reading is.
pub(super) async fn present(service: &Service, caller: &Caller, at: RepoAt) -> Result<RepoAt, HttpError> {
    let id = service.present_name(&caller.0, at.kind, &at.id).await?;
    Ok(RepoAt { id, ..at })
}

/// By the examples of a support set.
async fn by_support(
    service: &Service,
    caller: &Caller,
    model: (&RepoId, &Revision),
    support: (&RepoId, &Revision),
    asked: Asked,
    (top, format): (usize, Format),
) -> Answer {
    let (items, alone) = of_asked(asked);
    let answers = service.ask_by_support(&caller.0, model, support, items, top).await?;
    tell(answers, alone, format, ("image_unreadable", "open the image in a viewer and save it again as JPEG or PNG")).await
}

/// With a prompt of the model's config before every text.
async fn by_prompt(
    service: &Service,
    caller: &Caller,
    model: (&RepoId, &Revision),
    (prompt, with_support): (&str, bool),
    asked: Asked,
    (top, format): (usize, Format),
) -> Answer {
    if with_support {
        let message = "classes of a support set are told by features, which have the usual prompt";
        return Err(HttpError::bad_request("bad_query", message, "leave `prompt` or `support` out"));
    }
    let (items, alone) = of_asked(asked);
    let answers = service.ask_prompted(&caller.0, model, prompt, top, items).await?;
    tell(answers, alone, format, ("text_unreadable", "ask about another text")).await
}

/// By the names of classes alone.
async fn by_names(
    service: &Service,
    caller: &Caller,
    (id, revision): (RepoId, Revision),
    Words { names, template, with_support, every }: Words,
    asked: Asked,
    (top, format): (usize, Format),
) -> Answer {
    if with_support {
        let message = "both `support` and `classes` say which classes are meant";
        return Err(HttpError::bad_request("bad_query", message, "leave one of them out"));
    }
    if let Asked::Dataset { name, split } = asked {
        let dataset = finetunes::repo_at("dataset", &name)?;
        let (model, dataset) = ((id, revision), (dataset.id, dataset.revision));
        let which = Which { split, every };
        let job = service.ask_about_dataset_by_names(&caller.0, model, dataset, (which, names, template), (top, format)).await?;
        return Ok(HttpResponse::Accepted().json(Job::from(job)));
    }
    let (items, alone) = of_asked(asked);
    let answers = service.ask_by_names(&caller.0, (&id, &revision), (names, template.as_deref()), items, top).await?;
    let of_image = answers.items.iter().any(|said| said.reason().is_some_and(|reason| reason.code.starts_with("image")));
    let code = if of_image { "image_unreadable" } else { "text_unreadable" };
    tell(answers, alone, format, (code, "ask about another one")).await
}

/// Classes by their names.
struct Words {
    names: Vec<String>,
    /// A text with `{}`.
    template: Option<String>,
    with_support: bool,
    /// Of a data set, piece by piece.
    every: Option<Every>,
}

/// The items, and whether one of them is all that was sent.
fn of_asked(asked: Asked) -> (Vec<Item>, bool) {
    match asked {
        Asked::One(bytes) => (vec![Item::new("item 1", bytes)], true),
        Asked::Many(items) => (items, false),
        Asked::Dataset { .. } => (Vec::new(), false),
    }
}

/// Of an item that was sent alone its answer, or why there is none.
async fn tell(answers: Answers, alone: bool, format: Format, (code, hint): (&'static str, &'static str)) -> Answer {
    match answers.items.first() {
        Some(Said { content: Content::Unanswered { error }, .. }) if alone => {
            Err(HttpError::new(StatusCode::UNPROCESSABLE_ENTITY, code, error.message.clone(), hint))
        }
        Some(Said { content: Content::Answer(answer), .. }) if alone && format == Format::Json => {
            Ok(HttpResponse::Ok().json(Prediction::new(answers.model, answer)))
        }
        _ => write(answers, format).await,
    }
}

/// 202: the answer is a job, which leaves `answers.csv` or whatever the form is. The features of a whole data set are also those that
/// neighbours are looked for among.
async fn job(
    service: &Service,
    caller: &Caller,
    model: (RepoId, Revision),
    (name, which, support): (String, Which, Option<(RepoId, Revision)>),
    (top, format): (Option<usize>, Format),
) -> Answer {
    let dataset = finetunes::repo_at("dataset", &name)?;
    let dataset = (dataset.id, dataset.revision);
    let job = match (top, format, &which) {
        (None, Format::Npy, Which { split: None, every: None }) => service.create_embedding(&caller.0, model, dataset).await?,
        _ => service.ask_about_dataset(&caller.0, model, dataset, (which, support), (top, format)).await?,
    };
    Ok(HttpResponse::Accepted().json(Job::from(job)))
}

/// `?format=`, or else the first of `Accept` that is known, or else JSON.
fn format(request: &HttpRequest, query: &Query) -> Result<Format, HttpError> {
    let unknown = |word: &str| {
        let hint = format!("choose one of {}", Format::names());
        HttpError::bad_request("bad_format", format!("'{word}' is no form of answers"), hint)
    };
    match query.find("format") {
        Some(word) => Format::parse(word).ok_or_else(|| unknown(word)),
        None => Ok(request.headers().get(ACCEPT).and_then(|value| Format::accepted(value.to_str().ok()?)).unwrap_or(Format::Json)),
    }
}

fn one(model: String, content: Content) -> Answers {
    Answers { model, items: vec![Said { name: "item 1".into(), content }] }
}

/// Large answers are written where they hold nobody up.
async fn write(answers: Answers, format: Format) -> Answer {
    let written = move || match format {
        Format::Json => serde_json::to_vec(&AnswersBody::from(answers)).map_err(|e| e.to_string()),
        other => answers.write(other),
    };
    let written = tokio::task::spawn_blocking(written).await.map_err(|e| HttpError::internal(e.to_string()))?;
    let mut response = HttpResponse::Ok();
    response.content_type(format.media_type());
    if format.is_binary() {
        response.insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"answers.{format}\"")));
    }
    Ok(response.body(written.map_err(HttpError::internal)?))
}

fn named(id: &RepoId, version: &Version) -> String {
    format!("{id}@{}", version.number)
}

/// The items of a data set that are nearest to an item, whose file is the body, by the model's features. The data set was looked at by
/// this model before: `POST /api/v1/embeddings`.
#[utoipa::path(post, path = "/api/v1/models/{ns}/{name}/neighbors", tag = "predict", params(
    ("ns" = String, Path), ("name" = String, Path), ("revision" = Option<String>, Query),
    ("dataset" = String, Query, description = "`namespace/name[@revision]`"),
    ("k" = Option<usize>, Query, description = "how many, 10 if left out, at most 1,000"),
), request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
    (status = 200, body = NeighborsBody), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody),
    (status = 409, body = ProblemBody, description = "`not_embedded`: the data set was not yet looked at by this model."),
))]
pub async fn neighbors(caller: Caller, service: Data<Service>, at: RepoAt, query: Query, body: Body) -> Answer {
    let at = present(&service, &caller, at).await?;
    let count = query.number("k")?.unwrap_or(NEIGHBORS).clamp(1, MOST_NEIGHBORS);
    let (revision, dataset) = (query.revision()?, finetunes::repo_at("dataset", &query.text("dataset"))?);
    let limit = usize::try_from(service.policy().data_limits.item_bytes).unwrap_or(usize::MAX);
    let item = body.gather(limit).await?;
    let found = service.neighbors(&caller.0, (&at.id, &revision), (&dataset.id, &dataset.revision), Shown::Item(item), count).await?;
    let neighbor = |n: Neighbor| NeighborBody { path: n.path, split: n.split, target: n.target, similarity: n.similarity };
    Ok(HttpResponse::Ok().json(NeighborsBody {
        model: format!("{}@{}", at.id, found.model_version),
        dataset: format!("{}@{}", dataset.id, found.dataset_version),
        neighbors: found.found.into_iter().map(neighbor).collect(),
    }))
}
