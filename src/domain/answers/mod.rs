//! What a model said about many items: a row for each, in the order they were asked about, and the forms such rows are
//! handed over in.

mod coco;
mod csv;
mod format;
mod npy;
mod parquet;
mod safetensors;
mod shape;
mod writer;

use serde::{Deserialize, Serialize};

pub use self::format::Format;
pub use self::npy::header as npy_header;
pub use self::shape::Shape;
pub use self::writer::{Spool, Writer};
use super::prediction::{Answer, Answered, Familiarity};

/// Items of one request that is waited for, and their bytes all together, unpacked. More is a job's work.
pub const MOST_ITEMS: usize = 1_024;
pub const MOST_BYTES: usize = 64 << 20;

/// All rows of one question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// `namespace/name@version`
    pub model: String,
    pub items: Vec<Said>,
}

/// About one item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// What whoever asked calls the item.
    pub name: String,
    #[serde(flatten)]
    pub content: Content,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// The item takes no answer from the others.
    Unanswered {
        error: Reason,
    },
    Features {
        features: Vec<f32>,
        /// Of a text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tokens: Option<Tokens>,
    },
    Answer(Answered),
}

/// How much of a text was read: a network takes so many tokens, and what is longer loses its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// With those that the tokenizer frames it by.
    pub read: usize,
    /// That the whole has.
    pub of: usize,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub code: String,
    pub message: String,
}

impl Said {
    pub fn unanswered(name: impl Into<String>, code: impl Into<String>, message: impl Into<String>) -> Said {
        Said { name: name.into(), content: Content::Unanswered { error: Reason { code: code.into(), message: message.into() } } }
    }

    pub fn reason(&self) -> Option<&Reason> {
        match &self.content {
            Content::Unanswered { error } => Some(error),
            _ => None,
        }
    }
}

impl Content {
    /// The features of an item that is no text.
    pub fn features_of(features: Vec<f32>) -> Content {
        Content::Features { features, tokens: None }
    }

    fn features(&self) -> Option<&[f32]> {
        match self {
            Content::Features { features, .. } => Some(features),
            _ => None,
        }
    }

    fn familiarity(&self) -> Option<Familiarity> {
        match self {
            Content::Answer(answered) => answered.familiarity,
            _ => None,
        }
    }

    fn answer(&self) -> Option<&Answer> {
        match self {
            Content::Answer(answered) => Some(&answered.answer),
            _ => None,
        }
    }
}

impl Answers {
    /// Items without an answer.
    pub fn failed(&self) -> usize {
        self.items.iter().filter(|item| item.reason().is_some()).count()
    }

    /// The rows in that form.
    ///
    /// # Errors
    /// In words, what the form cannot hold.
    pub fn write(&self, format: Format) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        self.write_into(format, &mut bytes).map_err(|e| e.to_string())?;
        Ok(bytes)
    }

    fn write_into(&self, format: Format, bytes: &mut Vec<u8>) -> std::io::Result<()> {
        let shape = Shape::of(self.items.iter().map(|item| &item.content));
        let room = || Ok(Box::new(std::io::Cursor::new(Vec::new())) as Box<dyn Spool>);
        let mut writer = Writer::begin(format, &self.model, (shape, self.items.len()), bytes, room)?;
        self.items.iter().try_for_each(|item| writer.add(item.clone()))?;
        writer.finish()
    }
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
