//! A model's tokenizer: its `tokenizer.json`, read by Hugging Face's own crate, with what the files beside it say about lengths.

use std::path::Path;

use serde_json::Value;
use tokenizers::{EncodeInput, InputSequence, Tokenizer as Inner, TruncationDirection, TruncationParams, TruncationStrategy};

use super::super::error::{Error, Refusal, Result};
use super::super::modality::WORD;
use super::cut;
use crate::domain::config::ModelConfig;

pub(super) const FILE: &str = "tokenizer.json";
/// The largest that is read, in bytes: XLM-R's has 17 MB.
const MOST_BYTES: u64 = 64 << 20;

#[derive(Debug)]
pub(super) struct Tokenizer {
    inner: Inner,
    /// Tokens of a text at most, with the special ones.
    pub longest: usize,
}

/// A text in tokens.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cut {
    /// Id and type of each.
    pub tokens: Vec<[u32; 2]>,
    /// How many there were before the end was cut off.
    pub of: usize,
    /// Where words are asked for: of each whether it has a token.
    pub seen: Vec<bool>,
}

impl Tokenizer {
    /// `longest` is what the network can take; the files may ask for less.
    ///
    /// # Errors
    /// The file is missing, too large, or has parts that are not known; it has more tokens than the network.
    pub fn open(file: &Path, config: &ModelConfig, longest: usize) -> Result<Tokenizer> {
        let bad = |reason: String| Error::BadPreprocessing { reason };
        let failed = |source| Error::Io { path: file.to_owned(), source };
        let bytes = std::fs::metadata(file).map_err(failed)?.len();
        if bytes > MOST_BYTES {
            return Err(bad(format!("{FILE} has {bytes} bytes, more than the {MOST_BYTES} that are read")));
        }
        let text = std::fs::read(file).map_err(failed)?;
        let said: Value = serde_json::from_slice(&text).map_err(|error| bad(format!("{FILE} is no JSON: {error}")))?;
        let mut inner = Inner::from_bytes(&text).map_err(|error| bad(unknown_part(&said, &error.to_string())))?;
        let asked = config.sentence.as_ref().and_then(|sentence| sentence.max_seq_length);
        // A length that the tokenizer brings along is a setting of whoever saved it, which sentence-transformers overwrites.
        let saved = inner.get_truncation().map(|saved| saved.max_length);
        let longest = asked.or(saved).unwrap_or(longest).clamp(1, longest.max(1));
        let special = inner.get_post_processor().map_or(0, |processor| tokenizers::PostProcessor::added_tokens(processor, true));
        if special >= longest {
            return Err(bad(format!("a text may have {longest} tokens, and its frame alone has {special}")));
        }
        let truncation = TruncationParams {
            direction: TruncationDirection::Right,
            max_length: longest,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        inner.with_padding(None).with_truncation(Some(truncation)).map_err(|error| bad(format!("{FILE}: {error}")))?;
        Ok(Tokenizer { inner, longest })
    }

    /// A text, or two of them as one.
    pub fn cut(&self, text: &str, second: Option<&str>) -> std::result::Result<Cut, Refusal> {
        let input = match second {
            None => EncodeInput::Single(InputSequence::from(text)),
            Some(second) => EncodeInput::Dual(InputSequence::from(text), InputSequence::from(second)),
        };
        let encoding = self.inner.encode(input, true).map_err(|error| Refusal(format!("the text cannot be cut into tokens: {error}")))?;
        let tokens: Vec<[u32; 2]> = encoding.get_ids().iter().zip(encoding.get_type_ids()).map(|(id, kind)| [*id, *kind]).collect();
        if tokens.is_empty() {
            return Err(Refusal("nothing is left of the text in tokens".into()));
        }
        // What was cut off comes behind, in pieces that have special tokens of their own.
        let rest = encoding.get_overflowing().iter().map(|piece| piece.get_special_tokens_mask().iter().filter(|mask| **mask == 0).count());
        let of = tokens.len() + rest.sum::<usize>();
        Ok(Cut { tokens, of, seen: Vec::new() })
    }

    /// An item of words; the first token of each is marked.
    pub fn cut_words(&self, item: &str) -> std::result::Result<Cut, Refusal> {
        let failed = |error| Refusal(format!("the text cannot be cut into tokens: {error}"));
        let encoding = self.inner.encode(EncodeInput::Single(InputSequence::from(item)), true).map_err(failed)?;
        let words: Vec<_> = cut::of_item(item).collect();
        let mut seen = vec![false; words.len()];
        let mut tokens = Vec::with_capacity(encoding.len());
        let each =
            encoding.get_ids().iter().zip(encoding.get_type_ids()).zip(encoding.get_offsets()).zip(encoding.get_special_tokens_mask());
        for (((id, kind), (from, to)), special) in each {
            // Some tokens begin with the space before their word: their end tells whose they are.
            let own = (*special == 0 && from < to).then(|| words.partition_point(|word| word.end < *to));
            let first = own.filter(|at| words.get(*at).is_some_and(|word| word.start < *to) && !seen[*at]);
            if let Some(at) = first {
                seen[at] = true;
            }
            tokens.push([*id, if first.is_some() { kind | WORD } else { *kind }]);
        }
        if !seen.contains(&true) {
            return Err(Refusal("nothing is left of its words in tokens".into()));
        }
        let rest = encoding.get_overflowing().iter().map(|piece| piece.get_special_tokens_mask().iter().filter(|mask| **mask == 0).count());
        let of = tokens.len() + rest.sum::<usize>();
        Ok(Cut { tokens, of, seen })
    }
}

/// Names what the file asks for and is not known.
fn unknown_part(said: &Value, error: &str) -> String {
    let part = |key: &str| said.get(key).and_then(|part| part.get("type")).and_then(Value::as_str).map(|kind| format!("{key} `{kind}`"));
    let parts: Vec<String> = ["normalizer", "pre_tokenizer", "model", "post_processor", "decoder"].into_iter().filter_map(part).collect();
    format!(
        "{FILE} has a part that is not known here ({}): {error}",
        if parts.is_empty() { "it names none".into() } else { parts.join(", ") }
    )
}
