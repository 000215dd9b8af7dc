//! Who answers: the server, or a model that was pulled. Either is asked part by part, several parts at a time; an item without an
//! answer takes none from the others, and what concerns all of them ends the asking.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::super::output::{CliError, Result};
use super::super::progress::Reporter;
use super::super::remote::Target;
use super::super::words;
use super::asked::More;
use super::inputs::{Input, in_parts};
use crate::client::Client;
use crate::data::text::decode_text;
use crate::domain::answers::{Answers, Content, MOST_ITEMS, Reason, Said, Tokens};
use crate::train::Predictor;
use crate::vectors::{Pooling, WordVectors};
use crate::wire::predict::{AskedAbout, ItemSent};

/// Parts under way at the same time.
const AT_ONCE: usize = 4;

/// What is asked about every item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    Features,
    /// Of classes the so many likeliest.
    Answer {
        top: usize,
    },
}

pub enum Oracle {
    /// With what else is asked of it.
    Server(Client, Vec<(&'static str, String)>),
    /// With the place of the prompt that is meant.
    Here(Arc<Predictor>, String, Option<usize>),
    Words(Arc<WordVectors>, String, Pooling),
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
        CliError::new(1, code, error.to_string(), "check what is asked about, and that the model folder is whole (`hub show NAME --files`)")
    })
}

impl Oracle {
    /// A model of word vectors that was pulled.
    pub fn of_words(folder: &Path, name: String, more: &More) -> Result<Oracle> {
        if let Some(prompt) = &more.prompt {
            return Err(CliError::usage(format!("word vectors have no prompts, and not `{prompt}`"), "leave --prompt out"));
        }
        let pooling = more.pooling.as_deref().and_then(Pooling::parse).unwrap_or_default();
        Ok(Oracle::Words(Arc::new(WordVectors::open(folder).map_err(words::failed)?), name, pooling))
    }

    /// Whether what is said of an item depends on the others, so that they are asked about together.
    fn takes_all_at_once(&self) -> bool {
        match self {
            Oracle::Words(_, _, pooling) => *pooling == Pooling::Sif,
            Oracle::Server(_, more) => more.iter().any(|(key, value)| *key == "pooling" && value == "sif"),
            Oracle::Here(..) => false,
        }
    }

    /// Whether each item is answered with a row for each of its pieces, so that items are asked about one by one.
    fn tells_pieces(&self) -> bool {
        matches!(self, Oracle::Server(_, more) if more.iter().any(|(key, _)| *key == "every"))
    }

    /// Refuses to cut what a model that runs here takes into pieces, where that goes on for no time.
    pub fn need_time(&self) -> Result<()> {
        let refused = |why: String| CliError::usage(why, "leave --every out, or take a model of videos");
        match self {
            Oracle::Server(..) => Ok(()),
            Oracle::Here(predictor, ..) => predictor.need_time().map_err(|error| refused(error.to_string())),
            Oracle::Words(..) => Err(refused("word vectors take texts, which have no pieces of so many seconds".into())),
        }
    }

    /// Asks about every item, in their order.
    ///
    /// # Errors
    /// They are more than may be asked about together, and must be.
    pub async fn ask(&self, target: &Target, question: Question, inputs: Vec<Input>, reporter: &Reporter) -> Result<Asked> {
        let all = inputs.len() as u64;
        let parts = match self.takes_all_at_once() {
            false if self.tells_pieces() => inputs.into_iter().map(|input| vec![input]).collect(),
            false => in_parts(inputs),
            true if inputs.len() > MOST_ITEMS && matches!(self, Oracle::Server(..)) => {
                let message = format!("{all} texts are more than the {MOST_ITEMS} that a server takes at once, and sif needs all of them");
                return Err(CliError::usage(message, "add --local"));
            }
            true => vec![inputs],
        };
        let (mut answers, mut done) = (Answers { model: String::new(), items: Vec::new() }, 0);
        let mut asked = stream::iter(parts).map(|part| self.ask_part(target, question, part)).buffered(AT_ONCE);
        while let Some(part) = asked.next().await {
            match part {
                Ok(part) => {
                    if !part.model.is_empty() {
                        answers.model = part.model;
                    }
                    done += if self.tells_pieces() { 1 } else { part.items.len() as u64 };
                    answers.items.extend(part.items);
                    reporter.steps(done, all, "items");
                }
                Err(ended) => {
                    reporter.finish();
                    return Ok(Asked { answers, ended: Some(ended) });
                }
            }
        }
        reporter.finish();
        Ok(Asked { answers, ended: None })
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
        if self.tells_pieces() && !answered.is_empty() {
            return Ok(Answers { model, items: answered });
        }
        let mut answered = answered.into_iter();
        let row = |(bytes, name): (std::result::Result<Bytes, Reason>, String)| match bytes {
            Err(error) => Said { name, content: Content::Unanswered { error } },
            Ok(_) => answered.next().unwrap_or_else(|| Said::unanswered(name, "no_answer", "there was no answer; ask again")),
        };
        Ok(Answers { model, items: read.into_iter().map(row).collect() })
    }

    async fn answer(&self, target: &Target, question: Question, items: Vec<(String, Bytes)>) -> Result<(String, Vec<Said>)> {
        match self {
            Oracle::Here(predictor, name, prompt) => {
                let (predictor, prompt) = (predictor.clone(), *prompt);
                Ok((name.clone(), blocking(move || answer_here(&predictor, (question, prompt), items)).await?))
            }
            Oracle::Words(_, _, _) if question != Question::Features => Err(CliError::usage(
                "word vectors classify nothing",
                "ask for features with `hub embed`, or for words with `hub neighbors`",
            )),
            Oracle::Words(vectors, name, pooling) => {
                let (vectors, pooling) = (vectors.clone(), *pooling);
                Ok((name.clone(), blocking(move || Ok(answer_by_words(&vectors, pooling, items))).await?.map_err(words::failed)?))
            }
            Oracle::Server(client, more) => {
                let names: Vec<String> = items.iter().map(|(name, _)| name.clone()).collect();
                let alone = items.len() == 1;
                let asked = ask_server(client, (target, more), question, items).await;
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

async fn ask_server(
    client: &Client,
    (target, more): (&Target, &[(&'static str, String)]),
    question: Question,
    items: Vec<(String, Bytes)>,
) -> Result<Answers> {
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
    Ok(client.ask_model((&target.id, &target.revision), top, more, &packed).await?)
}

/// As many at a time as the model takes well.
fn answer_here(
    predictor: &Predictor,
    (question, prompt): (Question, Option<usize>),
    items: Vec<(String, Bytes)>,
) -> crate::train::Result<Vec<Said>> {
    let mut said = Vec::with_capacity(items.len());
    for part in items.chunks(predictor.batch_items()) {
        let bytes: Vec<&Bytes> = part.iter().map(|(_, bytes)| bytes).collect();
        let contents: Vec<crate::train::Result<Content>> = match question {
            Question::Features => match prompt {
                Some(prompt) => predictor.features_prompted(&bytes, prompt)?,
                None => predictor.features_batch(&bytes)?,
            },
            Question::Answer { top } => {
                let said = match prompt {
                    Some(prompt) => predictor.predict_prompted(&bytes, top, prompt)?,
                    None => predictor.predict_batch(&bytes, top)?,
                };
                said.into_iter().map(|row| row.map(Content::Answer)).collect()
            }
        };
        said.extend(part.iter().zip(contents).map(|((name, _), content)| match content {
            Ok(content) => Said { name: name.clone(), content },
            Err(error) => Said::unanswered(name.clone(), error.code(), error.reason()),
        }));
    }
    Ok(said)
}

/// As the server answers: a text none of whose words has a vector has no answer.
fn answer_by_words(vectors: &WordVectors, pooling: Pooling, items: Vec<(String, Bytes)>) -> crate::vectors::Result<Vec<Said>> {
    let texts: Vec<_> = items.iter().map(|(_, bytes)| decode_text(bytes).map_err(|refusal| refusal.0)).collect();
    let sound: Vec<&str> = texts.iter().filter_map(|text| text.as_ref().ok().copied()).collect();
    let made = vectors.features(&sound, pooling, None)?;
    let mut made = made.rows.into_iter().zip(made.each);
    let said = |((name, _), text): (&(String, Bytes), &std::result::Result<&str, String>)| match (text, name.clone()) {
        (Err(why), name) => Said::unanswered(name, "text_unreadable", why.clone()),
        (Ok(_), name) => match made.next() {
            None => Said::unanswered(name, "no_answer", "there was no answer; ask again"),
            Some((_, words)) if words.used() == 0 => {
                let why = format!("none of its {} words has a vector in this model", words.all());
                Said::unanswered(name, "no_known_word", why)
            }
            Some((features, words)) => {
                let tokens = Some(Tokens { read: words.used(), of: words.all() });
                Said { name, content: Content::Features { features, tokens } }
            }
        },
    };
    Ok(items.iter().zip(&texts).map(said).collect())
}
