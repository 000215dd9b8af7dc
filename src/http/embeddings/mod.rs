//! The dialects of servers that turn texts into vectors, so that their clients work unchanged: OpenAI's, where the body names the
//! model, and text-embeddings-inference's, where the address does.

pub mod openai;
pub mod refusals;
pub mod tei;

use actix_web::http::StatusCode;

use super::caller::Caller;
use super::error::HttpError;
use crate::domain::answers::{Content, MOST_ITEMS, Tokens};
use crate::domain::name::RepoId;
use crate::domain::revision::Revision;
use crate::service::Service;
use crate::service::jobs::predict::Item;
use crate::service::jobs::texts::Wish;
use crate::wire::embeddings::Inputs;

/// Texts by the place they have in the question.
fn texts(inputs: Inputs) -> Result<Vec<String>, HttpError> {
    let texts = match inputs {
        Inputs::One(text) => vec![text],
        Inputs::Many(texts) => texts,
        Inputs::Ids(ids) if ids.is_empty() => Vec::new(),
        Inputs::Ids(_) | Inputs::ManyIds(_) => {
            let hint = "send the texts themselves (langchain: OpenAIEmbeddings(check_embedding_ctx_length=False))";
            return Err(HttpError::bad_request("token_ids", "token ids of another model's tokenizer mean nothing to this one", hint));
        }
    };
    match texts.len() {
        0 => Err(HttpError::bad_request("nothing_asked", "there is no text in the body", "send one text or more")),
        count if count > MOST_ITEMS => {
            let message = format!("{count} texts came at once, and {MOST_ITEMS} may");
            Err(HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_items", message, "ask in several requests"))
        }
        _ => Ok(texts),
    }
}

/// The vectors of all texts, and how much of each was read; the first that cannot be read is the error of all, as those servers do.
async fn embedded(
    service: &Service,
    caller: &Caller,
    (id, revision): (&RepoId, &Revision),
    wish: &Wish,
    texts: Vec<String>,
) -> Result<(String, Vec<(Vec<f32>, Tokens)>), HttpError> {
    let item = |(at, text): (usize, String)| Item::new(format!("input {at}"), text);
    let items = texts.into_iter().enumerate().map(item).collect();
    let answers = service.embed_all(&caller.0, id, revision, wish, items).await?;
    let no_text = || HttpError::bad_request("no_text_encoder", format!("{id} reads no texts"), "choose a model whose modality is text");
    let vector = |said: crate::domain::answers::Said| match said.content {
        Content::Features { features, tokens } => Ok((features, tokens.ok_or_else(no_text)?)),
        Content::Unanswered { error } => Err(HttpError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            &error.code,
            format!("{}: {}", said.name, error.message),
            "correct that text",
        )),
        Content::Answer(_) => Err(HttpError::internal("a model answered another question")),
    };
    let model = answers.model;
    Ok((model, answers.items.into_iter().map(vector).collect::<Result<_, _>>()?))
}

/// At length one; zeros stay.
fn normalised(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
    vector
}
