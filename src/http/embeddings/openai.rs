//! `POST /v1/embeddings`, as OpenAI's API has it. Its clients are told the address of this server with `/v1` at the end, and a token
//! of this server as their key.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{embedded, normalised, texts};
use crate::domain::repo_ref::RepoRef;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::Json;
use crate::service::Service;
use crate::service::jobs::texts::Wish;
use crate::wire::embeddings::{EmbeddingSaid, EmbeddingsAsked, EmbeddingsSaid, Encoding, OpenAiError, TokenUsage, Vector};

/// Vectors of texts, as OpenAI's API has it. The texts a model cuts are told by no word of this dialect; `POST .../embed` tells them.
#[utoipa::path(post, path = "/v1/embeddings", tag = "predict", request_body = EmbeddingsAsked, responses(
    (status = 200, body = EmbeddingsSaid),
    (status = 400, body = OpenAiError, description = "The body, or a text in it, cannot be read: `param` says which key."),
    (status = 401, body = OpenAiError, description = "The key is no token of this hub."),
    (status = 404, body = OpenAiError, description = "There is no such model, or not for this key."),
    (status = 413, body = OpenAiError, description = "The body is too large."),
))]
pub async fn embeddings(caller: Caller, service: Data<Service>, asked: Json<EmbeddingsAsked>) -> Answer {
    answered(&caller, &service, asked.0).await.map_err(as_openai)
}

/// That API knows no 422 for what it is asked, and its limit on texts is a matter of the question too; a name that cannot be is one
/// that is not there.
fn as_openai(mut error: HttpError) -> HttpError {
    error.status = match (error.status, error.problem.code.as_str()) {
        (_, "bad_name") => StatusCode::NOT_FOUND,
        (StatusCode::UNPROCESSABLE_ENTITY, _) | (_, "too_many_items") => StatusCode::BAD_REQUEST,
        (status, _) => status,
    };
    error
}

async fn answered(caller: &Caller, service: &Service, asked: EmbeddingsAsked) -> Answer {
    let wrong = |e| HttpError::bad_request("bad_name", format!("model: {e}"), "write 'namespace/name' or 'namespace/name@revision'");
    let at = RepoRef::parse(&asked.model).map_err(wrong)?;
    let (model, vectors) = embedded(service, caller, (&at.id, &at.revision), &Wish::default(), texts(asked.input)?).await?;
    let tokens = vectors.iter().map(|(_, tokens)| tokens.read).sum();
    let cut = |mut vector: Vec<f32>| match asked.dimensions {
        Some(dimensions) if dimensions == 0 || dimensions > vector.len() => {
            let message = format!("`dimensions` is {dimensions}, and the model's vectors have {}", vector.len());
            Err(HttpError::bad_request("bad_dimensions", message, "ask for as many or fewer"))
        }
        Some(dimensions) if dimensions < vector.len() => {
            vector.truncate(dimensions);
            Ok(normalised(vector))
        }
        _ => Ok(vector),
    };
    let said = |(index, (vector, _)): (usize, (Vec<f32>, _))| {
        let vector = cut(vector)?;
        let embedding = match asked.encoding_format {
            Encoding::Float => Vector::Floats(vector),
            Encoding::Base64 => Vector::Base64(STANDARD.encode(vector.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())),
        };
        Ok::<_, HttpError>(EmbeddingSaid { object: "embedding".into(), index, embedding })
    };
    let data = vectors.into_iter().enumerate().map(said).collect::<Result<_, _>>()?;
    let usage = TokenUsage { prompt_tokens: tokens, total_tokens: tokens };
    Ok(HttpResponse::Ok().json(EmbeddingsSaid { object: "list".into(), data, model, usage }))
}
