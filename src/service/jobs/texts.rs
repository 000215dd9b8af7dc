//! What models say about texts that come with the question: vectors with a prompt that a model's config names, or pooled of word vectors;
//! and how well texts answer a query.

use bytes::Bytes;

use super::super::{Error, Result, Service};
use super::admit::unfit;
use super::predict::{Item, Opened, Question, too_large};
use super::words;
use crate::domain::answers::{Answers, Content, Reason, Tokens};
use crate::domain::name::RepoId;
use crate::domain::repo::Version;
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::train;

/// How vectors are wanted, where a model leaves a choice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// A prompt of an encoder's config, by its name.
    pub prompt: Option<String>,
    /// Of word vectors: `mean` or `sif`.
    pub pooling: Option<String>,
}

impl Service {
    /// The features of an item, by a model the caller may read; of a text how much of it was read.
    pub async fn embed(
        &self,
        actor: &Actor,
        id: &RepoId,
        revision: &Revision,
        wish: &Wish,
        item: Bytes,
    ) -> Result<(Version, Vec<f32>, Option<Tokens>)> {
        let (version, content) = match self.opened(actor, id, revision).await? {
            (version, Opened::Network(line)) => {
                let question = question(&line.model, wish)?;
                (version, self.ask_line_about_one(&line, question, item).await?)
            }
            (version, Opened::Words(words)) => {
                self.check_size(&item).map_err(too_large)?;
                let rows = self.pool_words(&words, wish, vec![item]).await?;
                (
                    version,
                    rows.into_iter()
                        .next()
                        .unwrap_or_else(|| Err(words::unreadable("the model gave no answer; ask again")))
                        .map_err(refused)?,
                )
            }
        };
        match content {
            Content::Features { features, tokens } => Ok((version, features, tokens)),
            _ => Err(Error::Internal("a model answered another question".into())),
        }
    }

    /// The features of many items, by a model the caller may read: a row for each, or why there is none.
    pub async fn embed_all(&self, actor: &Actor, id: &RepoId, revision: &Revision, wish: &Wish, items: Vec<Item>) -> Result<Answers> {
        let (version, opened) = self.opened(actor, id, revision).await?;
        let model = format!("{id}@{}", version.number);
        match opened {
            Opened::Network(line) => {
                let question = question(&line.model, wish)?;
                self.ask_line_about_all(&line, model, question, items).await
            }
            Opened::Words(words) => {
                let items = self.checked(items)?;
                let asked = items.iter().filter_map(|(_, bytes)| Some(bytes.as_ref().ok()?.whole().clone())).collect();
                let mut rows = self.pool_words(&words, wish, asked).await?.into_iter();
                Ok(Answers { model, items: items.into_iter().map(|(name, bytes)| words::said(name, bytes, &mut rows)).collect() })
            }
        }
    }

    /// What a model the caller may read says about texts, with a prompt of its config before each; of classes the `top` likeliest.
    pub async fn ask_prompted(
        &self,
        actor: &Actor,
        (id, revision): (&RepoId, &Revision),
        prompt: &str,
        top: usize,
        items: Vec<Item>,
    ) -> Result<Answers> {
        let (version, line) = self.line(actor, id, revision).await?;
        let question = Question::PromptedAnswer { top, prompt: prompt_of(&line.model, prompt)? };
        self.ask_line_about_all(&line, format!("{id}@{}", version.number), question, items).await
    }

    /// How well each text answers a query, by a model the caller may read that has one output for a pair: its logit and how much of the
    /// pair was read, or why there is none.
    pub async fn rerank(
        &self,
        actor: &Actor,
        id: &RepoId,
        revision: &Revision,
        query: String,
        texts: Vec<String>,
    ) -> Result<Vec<std::result::Result<(f32, Tokens), Reason>>> {
        let (_, line) = self.line(actor, id, revision).await?;
        let full = |_| Error::busy("busy", "too many questions wait for their turn", "try again in a moment");
        let _place = self.models.places.try_acquire().map_err(full)?;
        let _bytes = self.room_for(texts.iter().map(|text| query.len() + text.len()).sum())?;
        let turn =
            self.models.turns.clone().acquire_owned().await.map_err(|_| Error::Internal("the queue of questions is closed".into()))?;
        let scored = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            line.model.scores(query.as_bytes(), &texts)
        });
        let scores = scored.await.map_err(|e| Error::Internal(format!("scoring was stopped: {e}")))?.map_err(unfit)?;
        let said =
            |score: train::Result<(f32, Tokens)>| score.map_err(|error| Reason { code: error.code().into(), message: error.reason() });
        Ok(scores.into_iter().map(said).collect())
    }
}

/// What an encoder is asked.
fn question(model: &train::Predictor, wish: &Wish) -> Result<Question> {
    if wish.pooling.is_some() {
        let message = "`pooling` is for word vectors: an encoder pools as its files say";
        return Err(Error::invalid("bad_pooling", message, "leave `pooling` out"));
    }
    let Some(name) = &wish.prompt else { return Ok(Question::Features) };
    Ok(Question::Prompted { prompt: prompt_of(model, name)? })
}

/// The place of a prompt in a model's config.
fn prompt_of(model: &train::Predictor, name: &str) -> Result<usize> {
    model.prompt_of(name).map_err(|error| Error::invalid("unknown_prompt", error.to_string(), "name one of its prompts, or none"))
}

/// Why the only text has no vector.
fn refused(reason: Reason) -> Error {
    let code = if reason.code == words::NO_WORD { words::NO_WORD } else { "text_unreadable" };
    Error::invalid(code, reason.message, "ask about another text, or take a model that knows its words")
}
