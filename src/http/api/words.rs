//! Ask a model of word vectors about words: the nearest ones, analogies, similarities. And have one trained.

use actix_web::HttpResponse;
use actix_web::web::Data;

use super::finetunes::repo_at;
use super::predict::present;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Json, Query, RepoAt};
use crate::service::Service;
use crate::service::jobs::word2vec::NewWord2vec;
use crate::service::jobs::words::{self, WordAnswer, WordQuestion};
use crate::wire::error::ProblemBody;
use crate::wire::jobs::Job;
use crate::wire::words::{CreateWord2vec, NearWord, WordAnalogy, WordNeighbors, WordSimilarity};

/// Words told when the query does not say, and at most.
const WORDS: usize = 10;
const MOST_WORDS: usize = 1_000;

/// The words nearest to a word, by the cosine of their vectors.
///
/// A word that the model lacks is put together of its n-grams where the model has them (fastText).
#[utoipa::path(get, path = "/api/v1/models/{ns}/{name}/words/neighbors", tag = "predict", params(
    ("ns" = String, Path), ("name" = String, Path), ("revision" = Option<String>, Query),
    ("word" = String, Query), ("limit" = Option<usize>, Query, description = "how many, 10 if left out, at most 1,000"),
    ("exact" = Option<bool>, Query, description = "look at every word, also where the vocabulary is large"),
), responses(
    (status = 200, body = WordNeighbors), (status = 400, body = ProblemBody),
    (status = 404, body = ProblemBody, description = "There is no such model for you, or `unknown_word`."),
    (status = 422, body = ProblemBody, description = "The model holds no word vectors."),
))]
pub async fn neighbors(caller: Caller, service: Data<Service>, at: RepoAt, query: Query) -> Answer {
    let word = query.text("word");
    let said = ask(&service, &caller, at, &query, WordQuestion::Neighbors { word: word.clone() }).await?;
    let (subwords, exact) = (said.subwords, said.exact);
    Ok(HttpResponse::Ok().json(WordNeighbors { word, subwords, exact, neighbors: near(said.words), model: said.model }))
}

/// What is to `c` as `b` is to `a`: the words nearest to b - a + c.
#[utoipa::path(get, path = "/api/v1/models/{ns}/{name}/words/analogy", tag = "predict", params(
    ("ns" = String, Path), ("name" = String, Path), ("revision" = Option<String>, Query),
    ("a" = String, Query), ("b" = String, Query), ("c" = String, Query),
    ("limit" = Option<usize>, Query, description = "how many, 10 if left out, at most 1,000"),
    ("exact" = Option<bool>, Query, description = "look at every word, also where the vocabulary is large"),
), responses(
    (status = 200, body = WordAnalogy), (status = 400, body = ProblemBody),
    (status = 404, body = ProblemBody, description = "There is no such model for you, or `unknown_word`."),
    (status = 422, body = ProblemBody, description = "The model holds no word vectors."),
))]
pub async fn analogy(caller: Caller, service: Data<Service>, at: RepoAt, query: Query) -> Answer {
    let [a, b, c] = ["a", "b", "c"].map(|key| query.text(key));
    let asked = WordQuestion::Analogy { words: [a.clone(), b.clone(), c.clone()] };
    let said = ask(&service, &caller, at, &query, asked).await?;
    Ok(HttpResponse::Ok().json(WordAnalogy { a, b, c, exact: said.exact, answers: near(said.words), model: said.model }))
}

/// The cosine between two words.
#[utoipa::path(get, path = "/api/v1/models/{ns}/{name}/words/similarity", tag = "predict", params(
    ("ns" = String, Path), ("name" = String, Path), ("revision" = Option<String>, Query),
    ("a" = String, Query), ("b" = String, Query),
), responses(
    (status = 200, body = WordSimilarity), (status = 400, body = ProblemBody),
    (status = 404, body = ProblemBody, description = "There is no such model for you, or `unknown_word`."),
    (status = 422, body = ProblemBody, description = "The model holds no word vectors."),
))]
pub async fn similarity(caller: Caller, service: Data<Service>, at: RepoAt, query: Query) -> Answer {
    let [a, b] = ["a", "b"].map(|key| query.text(key));
    let asked = WordQuestion::Similarity { words: [a.clone(), b.clone()] };
    let said = ask(&service, &caller, at, &query, asked).await?;
    Ok(HttpResponse::Ok().json(WordSimilarity { a, b, similarity: said.similarity.unwrap_or_default(), model: said.model }))
}

async fn ask(service: &Service, caller: &Caller, at: RepoAt, query: &Query, asked: WordQuestion) -> Result<WordAnswer, HttpError> {
    let at = present(service, caller, at).await?;
    let limit = query.number("limit")?.unwrap_or(WORDS).clamp(1, MOST_WORDS);
    Ok(service.ask_words(&caller.0, (&at.id, &query.revision()?), asked, (limit, query.flag("exact")?)).await?)
}

fn near(words: Vec<words::NearWord>) -> Vec<NearWord> {
    words.into_iter().map(|near| NearWord { word: near.word, similarity: near.similarity }).collect()
}

/// Train word vectors (Word2Vec) on a data set of text, as a job that publishes them.
#[utoipa::path(post, path = "/api/v1/word2vec", tag = "jobs", request_body = CreateWord2vec, responses(
    (status = 201, body = Job),
    (status = 404, body = ProblemBody, description = "The data set or the model to go on from is not there, or not for you."),
    (status = 422, body = ProblemBody, description = "It could not work: the message says why."),
))]
pub async fn train(caller: Caller, service: Data<Service>, body: Json<CreateWord2vec>) -> Answer {
    let Json(body) = body;
    let (dataset, name) = (repo_at("dataset", &body.dataset)?, repo_at("name", &body.name)?);
    let from = body.from.as_deref().map(|name| repo_at("from", name)).transpose()?;
    let asked = NewWord2vec {
        dataset: (dataset.id, dataset.revision),
        name: name.id,
        private: body.private,
        from: from.map(|from| (from.id, from.revision)),
        settings: body.settings,
        dtype: body.dtype,
        threads: body.threads.unwrap_or(0),
        license: body.license,
    };
    Ok(HttpResponse::Created().json(Job::from(service.create_word2vec(&caller.0, asked).await?)))
}
