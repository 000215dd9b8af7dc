//! `/embed`, `/similarity` and `/rerank` as text-embeddings-inference has them, below a model's address: that is what its clients are told
//! (`https://.../api/v1/models/{ns}/{name}/tei`).

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;

use super::{embedded, normalised, texts};
use crate::domain::answers::Tokens;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Json, Query, RepoAt};
use crate::service::Service;
use crate::service::jobs::texts::Wish;
use crate::wire::embeddings::{EmbedAsked, Inputs, Ranked, RerankAsked, SimilarityAsked, TeiError};

/// Vectors of texts, as text-embeddings-inference has it.
#[utoipa::path(post, path = "/api/v1/models/{ns}/{name}/tei/embed", tag = "predict", params(
    ("ns" = String, Path), ("name" = String, Path), ("revision" = Option<String>, Query),
), request_body = EmbedAsked, responses(
    (status = 200, body = Vec<Vec<f32>>), (status = 400, body = TeiError), (status = 404, body = TeiError),
    (status = 413, body = TeiError, description = "A text is too long, and `truncate` is not set."), (status = 422, body = TeiError),
))]
pub async fn embed(caller: Caller, service: Data<Service>, at: RepoAt, query: Query, asked: Json<EmbedAsked>) -> Answer {
    let Json(asked) = asked;
    let wish = Wish { prompt: asked.prompt_name, pooling: None };
    let (_, vectors) = embedded(&service, &caller, (&at.id, &query.revision()?), &wish, texts(asked.inputs)?).await?;
    for (index, (_, tokens)) in vectors.iter().enumerate() {
        check(index, *tokens, asked.truncate)?;
    }
    let vectors = vectors.into_iter().map(|(vector, _)| if asked.normalize { normalised(vector) } else { vector });
    Ok(HttpResponse::Ok().json(vectors.collect::<Vec<_>>()))
}

/// The cosine of a text with each of several, as text-embeddings-inference has it.
#[utoipa::path(post, path = "/api/v1/models/{ns}/{name}/tei/similarity", tag = "predict", params(
    ("ns" = String, Path), ("name" = String, Path), ("revision" = Option<String>, Query),
), request_body = SimilarityAsked, responses(
    (status = 200, body = Vec<f32>), (status = 400, body = TeiError), (status = 404, body = TeiError),
    (status = 413, body = TeiError, description = "A text is too long, and `truncate` is not set."), (status = 422, body = TeiError),
))]
pub async fn similarity(caller: Caller, service: Data<Service>, at: RepoAt, query: Query, asked: Json<SimilarityAsked>) -> Answer {
    let Json(SimilarityAsked { inputs, parameters }) = asked;
    let sentences = texts(Inputs::Many(inputs.sentences))?;
    let wish = Wish { prompt: parameters.prompt_name, pooling: None };
    let all = std::iter::once(inputs.source_sentence).chain(sentences).collect();
    let (_, vectors) = embedded(&service, &caller, (&at.id, &query.revision()?), &wish, all).await?;
    for (index, (_, tokens)) in vectors.iter().enumerate() {
        check(index, *tokens, parameters.truncate)?;
    }
    let mut vectors = vectors.into_iter().map(|(vector, _)| normalised(vector));
    let source = vectors.next().unwrap_or_default();
    let cosine = |other: Vec<f32>| source.iter().zip(&other).map(|(a, b)| a * b).sum::<f32>();
    Ok(HttpResponse::Ok().json(vectors.map(cosine).collect::<Vec<_>>()))
}

/// Texts by how well they answer a query, best first, by a model that reads both as one: a cross-encoder.
#[utoipa::path(post, path = "/api/v1/models/{ns}/{name}/tei/rerank", tag = "predict", params(
    ("ns" = String, Path), ("name" = String, Path), ("revision" = Option<String>, Query),
), request_body = RerankAsked, responses(
    (status = 200, body = Vec<Ranked>), (status = 400, body = TeiError), (status = 404, body = TeiError),
    (status = 413, body = TeiError, description = "A pair is too long, and `truncate` is not set."),
    (status = 422, body = TeiError, description = "The model scores no pairs."),
))]
pub async fn rerank(caller: Caller, service: Data<Service>, at: RepoAt, query: Query, asked: Json<RerankAsked>) -> Answer {
    let Json(asked) = asked;
    let asked_texts = texts(Inputs::Many(asked.texts))?;
    let scores = service.rerank(&caller.0, &at.id, &query.revision()?, asked.query, asked_texts.clone()).await?;
    let mut ranked = Vec::with_capacity(scores.len());
    for (index, (score, text)) in scores.into_iter().zip(asked_texts).enumerate() {
        let (logit, tokens) = score.map_err(|reason| {
            HttpError::new(StatusCode::UNPROCESSABLE_ENTITY, &reason.code, format!("text {index}: {}", reason.message), "correct that text")
        })?;
        check(index, tokens, asked.truncate)?;
        let score = if asked.raw_scores { logit } else { 1.0 / (1.0 + (-logit).exp()) };
        ranked.push(Ranked { index, text: asked.return_text.then_some(text), score });
    }
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
    Ok(HttpResponse::Ok().json(ranked))
}

/// Refuses what lost its end, unless that was asked for.
fn check(index: usize, tokens: Tokens, truncate: bool) -> Result<(), HttpError> {
    if truncate || tokens.read >= tokens.of {
        return Ok(());
    }
    let message = format!("text {index} has {} tokens, and the model reads {}", tokens.of, tokens.read);
    Err(HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "text_too_long", message, "shorten it, or send `\"truncate\": true`"))
}
