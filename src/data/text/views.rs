//! Texts as a text encoder takes them: token ids behind the prompt that the model wants, cut at the length it can take.

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::super::error::{Error, Refusal, Result};
use super::super::limits::Limits;
use super::super::modality::{Input, View, ViewMaker, Views};
use super::decode;
use super::tokens::Tokenizer;
use crate::domain::config::ModelConfig;

/// How two texts begin that an encoder of pairs reads as one item: no text of UTF-8 begins so. Then comes the length of the first in
/// bytes, four of them, the lowest first, and both texts.
const PAIR: [u8; 2] = [0xff, b'P'];

/// Two texts as one item.
pub fn pair(first: &[u8], second: &[u8]) -> Vec<u8> {
    let length = u32::try_from(first.len()).unwrap_or(u32::MAX).to_le_bytes();
    [&PAIR, &length[..], first, second].concat()
}

/// The two texts, where the item is two.
pub fn of_pair(item: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, texts) = item.strip_prefix(&PAIR)?.split_first_chunk::<4>()?;
    texts.split_at_checked(u32::from_le_bytes(*length) as usize)
}

#[derive(Debug)]
pub struct TextViews {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tokenizer: Tokenizer,
    prompt: String,
    lowers: bool,
    key: String,
}

impl TextViews {
    /// `longest`: tokens that the network can take.
    ///
    /// # Errors
    /// As of the tokenizer.
    pub fn new(file: &Path, config: &ModelConfig, longest: usize) -> Result<TextViews> {
        let tokenizer = Tokenizer::open(file, config, longest)?;
        let sentence = config.sentence.clone().unwrap_or_default();
        let prompt = sentence.prompt(None).unwrap_or_default().to_owned();
        let bytes = std::fs::read(file).map_err(|source| Error::Io { path: file.to_owned(), source })?;
        let key = format!("text {} {} {prompt:?} {}", hex::encode(Sha256::digest(bytes)), tokenizer.longest, sentence.do_lower_case);
        Ok(TextViews { shared: Arc::new(Shared { tokenizer, prompt, lowers: sentence.do_lower_case, key }) })
    }
}

impl Views for TextViews {
    fn key(&self) -> String {
        self.shared.key.clone()
    }

    fn varies(&self) -> bool {
        false
    }

    fn maker(&self) -> Result<Box<dyn ViewMaker>> {
        Ok(Box::new(TextMaker { shared: self.shared.clone() }))
    }
}

struct TextMaker {
    shared: Arc<Shared>,
}

impl TextMaker {
    fn tokens(&self, item: &[u8]) -> std::result::Result<(Vec<[u32; 2]>, usize), Refusal> {
        let prepared = |bytes: &[u8], prompt: &str| -> std::result::Result<String, Refusal> {
            let text = decode::text(bytes)?;
            let text = if self.shared.lowers { text.to_lowercase() } else { text.to_owned() };
            Ok(format!("{prompt}{text}"))
        };
        let cut = match of_pair(item) {
            Some((first, second)) => {
                let (first, second) = (prepared(first, "")?, prepared(second, "")?);
                self.shared.tokenizer.cut(&first, Some(&second))?
            }
            None => self.shared.tokenizer.cut(&prepared(item, &self.shared.prompt)?, None)?,
        };
        Ok((cut.tokens, cut.of))
    }
}

impl ViewMaker for TextMaker {
    fn batch(&self, views: usize) -> Input {
        Input::Tokens { rows: Vec::with_capacity(views), of: Vec::with_capacity(views) }
    }

    fn blank(&self) -> Input {
        Input::Tokens { rows: vec![vec![[0, 0]; self.shared.tokenizer.longest]], of: vec![self.shared.tokenizer.longest] }
    }

    fn add(&mut self, item: &[u8], _limits: &Limits, view: View<'_>, batch: &mut Input) -> Result<std::result::Result<(), Refusal>> {
        let Input::Tokens { rows, of } = batch else {
            return Err(Error::BadPreprocessing { reason: "a text was to become a view of something else".into() });
        };
        match view {
            View::Plain => {}
            View::Mirrored | View::Random(..) => {
                return Err(Error::BadPreprocessing { reason: "texts have no other views than the plain one".into() });
            }
        }
        Ok(self.tokens(item).map(|(tokens, whole)| {
            rows.push(tokens);
            of.push(whole);
        }))
    }
}
