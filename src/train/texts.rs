//! What a published model says about texts: features with how much of each text was read, and scores of pairs.

use std::path::Path;

use super::error::{Error, Result, in_order};
use super::feed;
use super::pairs::SINGLE;
use super::predict::Predictor;
use crate::data::text::{decode_text, of_pair, pair};
use crate::data::{self, modality};
use crate::domain::answers::{Content, Tokens};
use crate::domain::config::ModelConfig;
use crate::domain::model_files::TOKENIZER;
use crate::domain::prediction::Answered;
use crate::domain::sentence::{self, Sentence};
use crate::nn::{Cosine, Mode};

/// Texts of pairs that are worked on at once.
const PAIRS: usize = 32;

impl Predictor {
    /// Whether its items are texts, which a tokenizer takes apart.
    pub fn reads_texts(&self) -> bool {
        self.modality.needs() == Some(TOKENIZER)
    }

    /// Its config with no prompt for those who name none; `None` where it has none anyway.
    pub(super) fn without_prompt(&self) -> Option<ModelConfig> {
        let sentence = self.config.sentence.as_ref().filter(|sentence| sentence.default_prompt_name.is_some())?;
        let sentence = Sentence { default_prompt_name: None, ..sentence.clone() };
        Some(ModelConfig { sentence: Some(sentence), ..self.config.clone() })
    }

    /// Which of the prompts in its config that name is.
    ///
    /// # Errors
    /// There is no such one, with those that there are.
    pub fn prompt_of(&self, name: &str) -> Result<usize> {
        let prompts = self.config.sentence.as_ref().map(|sentence| &sentence.prompts).filter(|prompts| !prompts.is_empty());
        let prompts = prompts.ok_or_else(|| Error::Unsupported(format!("the model's config names no prompts, and not `{name}`")))?;
        let names = || prompts.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let found = prompts.keys().position(|known| known == name);
        found.ok_or_else(|| Error::Unsupported(format!("the model's config names no prompt `{name}`, but {}", names())))
    }

    /// [`Predictor::features_batch`] of texts, with one of the config's prompts before each instead of the usual one.
    ///
    /// # Errors
    /// As of [`Predictor::features_batch`].
    pub fn features_prompted<B: AsRef<[u8]> + Sync>(&self, items: &[B], prompt: usize) -> Result<Vec<Result<Content>>> {
        self.features_of(self.read_prompted(items, prompt)?)
    }

    /// [`Predictor::predict_batch`] of texts, with one of the config's prompts before each instead of the usual one.
    ///
    /// # Errors
    /// The model has no head, or one that takes no prompts: of pairs, or of words.
    pub fn predict_prompted<B: AsRef<[u8]> + Sync>(&self, items: &[B], top: usize, prompt: usize) -> Result<Vec<Result<Answered>>> {
        self.need_head()?;
        let head = self.head.as_ref().filter(|head| !head.is_of_pairs() && !self.config.tags_words());
        let head =
            head.ok_or_else(|| Error::Unsupported("this model answers about pairs or about words, before which no prompt stands".into()))?;
        let (batch, unreadable) = self.read_prompted(items, prompt)?;
        let Some(batch) = batch.filter(|_| unreadable.iter().any(Option::is_none)) else { return Ok(in_order(unreadable, Vec::new())) };
        let views = feed::input(batch)?;
        let (outputs, features) = {
            let _turn = self.turn();
            let pooled = self.pooled(&views)?;
            (head.forward(&pooled, Mode::Eval, 0)?.to_vec2::<f32>()?, pooled.to_vec2::<f32>()?)
        };
        let said =
            |(row, features): (Vec<f32>, Vec<f32>)| Answered { answer: (self.answer)(&row, top), familiarity: self.familiarity(&features) };
        Ok(in_order(unreadable, outputs.into_iter().zip(features).map(said).collect()))
    }

    /// Views of texts with a prompt before each.
    fn read_prompted<B: AsRef<[u8]> + Sync>(
        &self,
        items: &[B],
        prompt: usize,
    ) -> Result<(Option<modality::Input>, Vec<Option<data::Error>>)> {
        let prompts = self.config.sentence.as_ref().map(|sentence| &sentence.prompts);
        let prompt = prompts.and_then(|prompts| prompts.values().nth(prompt)?.as_str()).unwrap_or_default();
        let with_prompt = |item: &B| match decode_text(item.as_ref()) {
            Ok(text) => [prompt, text].concat().into_bytes(),
            // It is refused as it stands.
            Err(_) => item.as_ref().to_vec(),
        };
        let items: Vec<Vec<u8>> = items.iter().map(with_prompt).collect();
        let views = self.bare.as_ref().or(self.views.as_ref());
        self.read_all_by(views, &items)
    }

    /// The features of many items at once, in their order, and of texts how much of each was read.
    ///
    /// # Errors
    /// The model cannot answer at all.
    pub fn features_batch<B: AsRef<[u8]> + Sync>(&self, items: &[B]) -> Result<Vec<Result<Content>>> {
        match self.text_scale() {
            Some(_) => self.features_of_both(items),
            None => self.features_of(self.read_all(items)?),
        }
    }

    /// The plain views of the items that can be read, before they are what a backbone takes, and for each item what keeps it from being read.
    pub(super) fn read_all<B: AsRef<[u8]> + Sync>(&self, items: &[B]) -> Result<(Option<modality::Input>, Vec<Option<data::Error>>)> {
        self.read_all_by(self.views.as_ref(), items)
    }

    pub(super) fn features_of(
        &self,
        (batch, unreadable): (Option<modality::Input>, Vec<Option<data::Error>>),
    ) -> Result<Vec<Result<Content>>> {
        self.need_vector()?;
        let Some(batch) = batch.filter(|_| unreadable.iter().any(Option::is_none)) else { return Ok(in_order(unreadable, Vec::new())) };
        let tokens: Vec<Option<Tokens>> = match &batch {
            modality::Input::Tokens { rows, of } => {
                rows.iter().zip(of).map(|(row, of)| Some(Tokens { read: row.len(), of: *of })).collect()
            }
            modality::Input::Pixels { .. } | modality::Input::Clips { .. } => vec![None; unreadable.len()],
        };
        let views = feed::input(batch)?;
        let rows = {
            let _turn = self.turn();
            self.pooled(&views)?.to_vec2()?
        };
        Ok(in_order(unreadable, rows.into_iter().zip(tokens).map(|(features, tokens)| Content::Features { features, tokens }).collect()))
    }

    /// How alike the two texts of each pair are: one number for each.
    ///
    /// # Errors
    /// The model cannot answer at all.
    pub(super) fn compared<B: AsRef<[u8]> + Sync>(&self, items: &[B]) -> Result<Vec<Result<Vec<f32>>>> {
        let pairs: Vec<Option<(&[u8], &[u8])>> = items.iter().map(|item| of_pair(item.as_ref())).collect();
        let halves: Vec<&[u8]> = pairs.iter().flatten().flat_map(|(first, second)| [*first, *second]).collect();
        let mut features = if halves.is_empty() { Vec::new() } else { self.embed_batch(&halves)? }.into_iter();
        let mut said = Vec::with_capacity(items.len());
        for pair in &pairs {
            said.push(match pair {
                None => Err(Error::Unsupported(format!("{SINGLE}; give both"))),
                Some(_) => match (features.next(), features.next()) {
                    (Some(Ok(first)), Some(Ok(second))) => Ok(vec![Cosine::of(&first, &second)]),
                    (Some(Err(error)), _) | (_, Some(Err(error))) => Err(error),
                    _ => Err(Error::Unsupported("the model gave fewer answers than it was asked for".into())),
                },
            });
        }
        Ok(said)
    }

    /// How well each text answers a query, by a model that reads both as one and has one output: its logit, and how much was read.
    ///
    /// # Errors
    /// The model is no such one, or the query is no text.
    pub fn scores<B: AsRef<[u8]> + Sync>(&self, query: &[u8], texts: &[B]) -> Result<Vec<Result<(f32, Tokens)>>> {
        const NOT_ONE: &str =
            "this model scores no pairs: a cross-encoder with one output does; compare the embeddings of query and texts instead";
        let head = self.head.as_ref().filter(|head| head.num_classes() == 1 && !head.is_of_pairs() && self.reads_texts());
        let head = head.ok_or_else(|| Error::Unsupported(NOT_ONE.into()))?;
        let mut said = Vec::with_capacity(texts.len());
        for texts in texts.chunks(PAIRS) {
            let pairs: Vec<Vec<u8>> = texts.iter().map(|text| pair(query, text.as_ref())).collect();
            let (batch, unreadable) = self.read_all(&pairs)?;
            let Some(batch) = batch.filter(|_| unreadable.iter().any(Option::is_none)) else {
                said.extend(in_order(unreadable, Vec::new()));
                continue;
            };
            let modality::Input::Tokens { rows, of } = &batch else { return Err(Error::Unsupported(NOT_ONE.into())) };
            let tokens: Vec<Tokens> = rows.iter().zip(of).map(|(row, of)| Tokens { read: row.len(), of: *of }).collect();
            let views = feed::input(batch)?;
            let scores = {
                let _turn = self.turn();
                head.forward(&self.pooled(&views)?, Mode::Eval, 0)?.flatten_all()?.to_vec1::<f32>()?
            };
            said.extend(in_order(unreadable, scores.into_iter().zip(tokens).collect()));
        }
        Ok(said)
    }
}

/// What sentence-transformers left in a folder.
pub(super) fn papers_in(folder: &Path) -> Vec<(String, String)> {
    let files = walkdir::WalkDir::new(folder).max_depth(2).into_iter().filter_map(std::result::Result::ok);
    let paper = |file: walkdir::DirEntry| {
        let name = file.path().strip_prefix(folder).ok()?.to_str()?.replace('\\', "/");
        let small = Sentence::is_paper(&name) && file.metadata().ok()?.len() <= sentence::MOST_BYTES;
        small.then(|| Some((name, std::fs::read_to_string(file.path()).ok()?))).flatten()
    };
    files.filter_map(paper).collect()
}
