//! Who answers: the server, or a model that was pulled. Either is asked part by part, several parts at a time; an image without an
//! answer takes none from the others, and what concerns all of them ends the asking.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::super::output::{CliError, Result};
use super::super::progress::Reporter;
use super::super::remote::Target;
use super::inputs::{Input, in_parts};
use crate::client::Client;
use crate::domain::answers::{Answers, Content, Reason, Said};
use crate::train::Predictor;
use crate::wire::predict::{AskedAbout, ItemSent};

/// Parts under way at the same time.
const AT_ONCE: usize = 4;

/// What is asked about every image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    Features,
    /// Of classes the so many likeliest.
    Answer {
        top: usize,
    },
}

pub enum Oracle {
    Server(Client),
    Here(Arc<Predictor>, String),
}

/// What was answered before something ended the asking.
pub struct Asked {
    pub answers: Answers,
    pub ended: Option<CliError>,
}

/// Off the threads that wait for the network.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> crate::train::Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|e| CliError::new(1, "internal", format!("the model failed: {e}"), "report this as a bug"))?;
    done.map_err(|error| {
        let code = if matches!(error, crate::train::Error::Data(_)) { error.code() } else { "model" };
        CliError::new(1, code, error.to_string(), "check the image and that the model folder is whole (`hub show NAME --files`)")
    })
}

impl Oracle {
    /// Asks about every image, in their order.
    pub async fn ask(&self, target: &Target, question: Question, inputs: Vec<Input>, reporter: &Reporter) -> Asked {
        let all = inputs.len() as u64;
        let parts = in_parts(inputs);
        let mut answers = Answers { model: String::new(), items: Vec::new() };
        let mut asked = stream::iter(parts).map(|part| self.ask_part(target, question, part)).buffered(AT_ONCE);
        while let Some(part) = asked.next().await {
            match part {
                Ok(part) => {
                    if !part.model.is_empty() {
                        answers.model = part.model;
                    }
                    answers.items.extend(part.items);
                    reporter.steps(answers.items.len() as u64, all, "images");
                }
                Err(ended) => {
                    reporter.finish();
                    return Asked { answers, ended: Some(ended) };
                }
            }
        }
        reporter.finish();
        Asked { answers, ended: None }
    }

    async fn ask_part(&self, target: &Target, question: Question, part: Vec<Input>) -> Result<Answers> {
        let read = tokio::task::spawn_blocking(move || part.into_iter().map(|input| (input.read(), input.name)).collect::<Vec<_>>()).await;
        let read = read.map_err(|e| CliError::new(1, "internal", format!("reading failed: {e}"), "report this as a bug"))?;
        let sent: Vec<(String, Bytes)> =
            read.iter().filter_map(|(bytes, name)| Some((name.clone(), bytes.as_ref().ok()?.clone()))).collect();
        let (model, answered) = match sent.is_empty() {
            true => (String::new(), Vec::new()),
            false => self.answer(target, question, sent).await?,
        };
        let mut answered = answered.into_iter();
        let row = |(bytes, name): (std::result::Result<Bytes, Reason>, String)| match bytes {
            Err(error) => Said { name, content: Content::Unanswered { error } },
            Ok(_) => answered.next().unwrap_or_else(|| Said::unanswered(name, "no_answer", "there was no answer; ask again")),
        };
        Ok(Answers { model, items: read.into_iter().map(row).collect() })
    }

    async fn answer(&self, target: &Target, question: Question, items: Vec<(String, Bytes)>) -> Result<(String, Vec<Said>)> {
        match self {
            Oracle::Here(predictor, name) => {
                let predictor = predictor.clone();
                Ok((name.clone(), blocking(move || answer_here(&predictor, question, items)).await?))
            }
            Oracle::Server(client) => {
                let names: Vec<String> = items.iter().map(|(name, _)| name.clone()).collect();
                let alone = items.len() == 1;
                let asked = ask_server(client, target, question, items).await;
                match asked {
                    Ok(answers) => Ok((answers.model, answers.items)),
                    // It was too large to be sent at all.
                    Err(failure) if alone && matches!(failure.code.as_str(), "image_too_large" | "too_large") => {
                        let name = names.into_iter().next().unwrap_or_default();
                        Ok((String::new(), vec![Said::unanswered(name, failure.code, failure.message)]))
                    }
                    Err(failure) => Err(failure),
                }
            }
        }
    }
}

async fn ask_server(client: &Client, target: &Target, question: Question, items: Vec<(String, Bytes)>) -> Result<Answers> {
    use base64::Engine as _;
    let packed = tokio::task::spawn_blocking(move || {
        let item =
            |(name, bytes): (String, Bytes)| ItemSent { name: Some(name), data: base64::engine::general_purpose::STANDARD.encode(bytes) };
        AskedAbout { items: items.into_iter().map(item).collect(), ..AskedAbout::default() }
    });
    let packed = packed.await.map_err(|e| CliError::new(1, "internal", format!("packing failed: {e}"), "report this as a bug"))?;
    let top = match question {
        Question::Features => None,
        Question::Answer { top } => Some(top),
    };
    Ok(client.ask_model(&target.id, &target.revision, top, &packed).await?)
}

/// As many at a time as the model takes well.
fn answer_here(predictor: &Predictor, question: Question, items: Vec<(String, Bytes)>) -> crate::train::Result<Vec<Said>> {
    let mut said = Vec::with_capacity(items.len());
    for part in items.chunks(predictor.batch_items()) {
        let bytes: Vec<&Bytes> = part.iter().map(|(_, bytes)| bytes).collect();
        let contents: Vec<crate::train::Result<Content>> = match question {
            Question::Features => {
                let rows = predictor.embed_batch(&bytes)?;
                rows.into_iter().map(|row| row.map(|features| Content::Features { features })).collect()
            }
            Question::Answer { top } => predictor.predict_batch(&bytes, top)?.into_iter().map(|row| row.map(Content::Answer)).collect(),
        };
        said.extend(part.iter().zip(contents).map(|((name, _), content)| match content {
            Ok(content) => Said { name: name.clone(), content },
            Err(error) => Said::unanswered(name.clone(), error.code(), error.reason()),
        }));
    }
    Ok(said)
}
