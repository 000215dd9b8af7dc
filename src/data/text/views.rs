//! Texts as a text encoder takes them: token ids behind the prompt that the model wants, cut at the length it can take.

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::super::error::{Error, Refusal, Result};
use super::super::limits::Limits;
use super::super::modality::{Input, View, ViewMaker, Views, WORD};
use super::decode;
use super::tokens::{Cut, Tokenizer};
use crate::domain::config::ModelConfig;
use crate::domain::encoder_config::Numbers;

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
    /// Whether items are words that are answered about one by one.
    words: bool,
    /// The token by which texts are made as long as they may be, for a network that reads it as any other.
    filled: Option<u32>,
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
        let (words, lowers) = (config.tags_words(), sentence.do_lower_case);
        let of = if words { "words" } else { "text" };
        let key = format!("{of} {} {} {prompt:?} {lowers}", hex::encode(Sha256::digest(bytes)), tokenizer.longest);
        let filled = Numbers::of_name(&config.architecture).and_then(|numbers| u32::try_from(numbers.filled?).ok());
        Ok(TextViews { shared: Arc::new(Shared { tokenizer, prompt, lowers, words, filled, key }) })
    }
}

impl Views for TextViews {
    fn key(&self) -> String {
        self.shared.key.clone()
    }

    fn varies(&self) -> bool {
        false
    }

    fn of_words(&self) -> bool {
        self.shared.words
    }

    fn maker(&self) -> Result<Box<dyn ViewMaker>> {
        Ok(Box::new(TextMaker { shared: self.shared.clone() }))
    }
}

struct TextMaker {
    shared: Arc<Shared>,
}

impl TextMaker {
    fn tokens(&self, item: &[u8]) -> std::result::Result<Cut, Refusal> {
        let prepared = |bytes: &[u8], prompt: &str| -> std::result::Result<String, Refusal> {
            let text = decode::text(bytes)?;
            let text = if self.shared.lowers { text.to_lowercase() } else { text.to_owned() };
            Ok(format!("{prompt}{text}"))
        };
        match of_pair(item) {
            Some(_) if self.shared.words => Err(Refusal("it is two texts, and the words of one are answered about".into())),
            None if self.shared.words => self.shared.tokenizer.cut_words(&prepared(item, "")?),
            Some((first, second)) => {
                let (first, second) = (prepared(first, "")?, prepared(second, "")?);
                self.shared.tokenizer.cut(&first, Some(&second))
            }
            None => self.shared.tokenizer.cut(&prepared(item, &self.shared.prompt)?, None),
        }
    }
}

impl ViewMaker for TextMaker {
    fn batch(&self, views: usize) -> Input {
        Input::Tokens { rows: Vec::with_capacity(views), of: Vec::with_capacity(views) }
    }

    fn blank(&self) -> Input {
        let mut row = vec![[0, 0]; self.shared.tokenizer.longest];
        // One word is enough to see what becomes of it.
        row.iter_mut().take(usize::from(self.shared.words)).for_each(|token| token[1] = WORD);
        Input::Tokens { rows: vec![row], of: vec![self.shared.tokenizer.longest] }
    }

    fn add(&mut self, item: &[u8], _limits: &Limits, view: View<'_>, batch: &mut Input) -> Result<std::result::Result<(), Refusal>> {
        let Input::Tokens { rows, of } = batch else {
            return Err(Error::BadPreprocessing { reason: "a text was to become a view of something else".into() });
        };
        match view {
            View::Plain => {}
            View::Mirrored | View::Clip(_) | View::Random(..) => {
                return Err(Error::BadPreprocessing { reason: "texts have no other views than the plain one".into() });
            }
        }
        Ok(self.tokens(item).map(|mut cut| {
            if let Some(token) = self.shared.filled {
                cut.tokens.resize(self.shared.tokenizer.longest.max(cut.tokens.len()), [token, 0]);
                cut.of = cut.of.max(cut.tokens.len());
            }
            rows.push(cut.tokens);
            of.push(cut.of);
        }))
    }

    fn seen_words(&mut self, item: &[u8]) -> Option<std::result::Result<Vec<bool>, Refusal>> {
        self.shared.words.then(|| self.tokens(item).map(|cut| cut.seen))
    }
}
