//! Texts: the modality. A text is UTF-8; a model's own tokenizer cuts it into tokens. In a data set it is a file of its own (`.txt`), or
//! a row of a table (`data::records`); two texts may be one item ([`pair()`]).

mod cut;
mod decode;
mod inspect;
mod language;
mod look;
mod tokens;
mod views;
mod words;

use std::sync::Arc;

pub use cut::{item as words_item, words as word_ranges};
pub(super) use decode::MOST_BYTES;
pub use decode::text as decode_text;
pub use views::{TextViews, of_pair, pair};

use super::error::{Error, Refusal, Result};
use super::limits::Limits;
use super::modality::{Beside, Look, Modality, Seen, Views};
use super::name;
use crate::domain::config::ModelConfig;
use crate::domain::modality::Modality as Name;

#[derive(Debug)]
pub struct Texts;

impl Modality for Texts {
    fn name(&self) -> Name {
        Name::Text
    }

    fn is_item(&self, path: &str) -> bool {
        self.is_readable(path)
    }

    fn is_readable(&self, path: &str) -> bool {
        name::extension(path).is_some_and(|ending| ending == "txt")
    }

    fn is_writing(&self) -> bool {
        true
    }

    fn inspect(&self, bytes: &[u8], _limits: &Limits, preview: bool) -> std::result::Result<Seen, Refusal> {
        inspect::inspect(bytes, preview)
    }

    fn are_alike(&self, a: &Look, b: &Look) -> bool {
        look::are_alike(a, b)
    }

    fn needs(&self) -> Option<&'static str> {
        Some(tokens::FILE)
    }

    fn unreadable(&self, path: String, refusal: Refusal) -> Error {
        Error::Text { path, reason: refusal.0 }
    }

    fn views(&self, _config: &ModelConfig) -> Result<Arc<dyn Views>> {
        Err(Error::BadPreprocessing { reason: format!("texts are cut into tokens by a model's {}, which is not beside it", tokens::FILE) })
    }

    fn views_by(&self, config: &ModelConfig, beside: &Beside<'_>) -> Result<Arc<dyn Views>> {
        match beside.find(tokens::FILE) {
            Some(file) => Ok(Arc::new(TextViews::new(file, config, beside.longest)?)),
            None => self.views(config),
        }
    }
}
