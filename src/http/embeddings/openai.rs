//! `POST /v1/embeddings`, as OpenAI's API has it. Its clients are told the address of this server with `/v1` at the end, and a token
//! of this server as their key.

use actix_web::HttpResponse;
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
use crate::wire::embeddings::{EmbeddingSaid, EmbeddingsAsked, EmbeddingsSaid, Encoding, TokenUsage, Vector};
use crate::wire::error::ProblemBody;

/// Vectors of texts, as OpenAI's API has it. The texts a model cuts are told by no word of this dialect; `POST .../embed` tells them.
#[utoipa::path(post, path = "/v1/embeddings", tag = "predict", request_body = EmbeddingsAsked, responses(
    (status = 200, body = EmbeddingsSaid), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody),
    (status = 413, body = ProblemBody), (status = 422, body = ProblemBody),
))]
pub async fn embeddings(caller: Caller, service: Data<Service>, asked: Json<EmbeddingsAsked>) -> Answer {
    let Json(asked) = asked;
    let wrong = |e| HttpError::bad_request("bad_name", format!("model: {e}"), "write 'namespace/name' or 'namespace/name@revision'");
    let at = RepoRef::parse(&asked.model).map_err(wrong)?;
    let (model, vectors) = embedded(&service, &caller, (&at.id, &at.revision), &Wish::default(), texts(asked.input)?).await?;
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
