//! A data set that does not pass, in the words of [`data::Error`], in a form that can be sent.

use std::io;

use serde::{Deserialize, Serialize};

use crate::data;

/// What is wrong with a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub kind: Kind,
    code: String,
    pub message: String,
    pub hint: String,
    /// Of a file that could not be read: the system's number for why.
    system: Option<i32>,
}

/// What follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A file could not be read.
    Io,
    /// Nothing in it is an item.
    NoItems,
    /// It is packed, or its tables are of something else, so that nothing can be said.
    Closed,
    /// Its card says that it is not to be looked into.
    KeptAsIs,
    /// It asks for more than is allowed.
    TooLarge,
    /// It was read, and does not say what a training needs.
    Meaning,
    Other,
}

impl Refused {
    pub(super) fn of(error: data::Error) -> Refused {
        use data::Error as Data;
        let kind = match &error {
            Data::Io { .. } => Kind::Io,
            Data::NoItems { .. } => Kind::NoItems,
            Data::PackedFile { .. } | Data::NotImages { .. } | Data::NotTexts { .. } => Kind::Closed,
            Data::KeptAsIs => Kind::KeptAsIs,
            Data::ArchiveBomb { .. } | Data::TooLarge { .. } => Kind::TooLarge,
            other if other.is_about_meaning() => Kind::Meaning,
            _ => Kind::Other,
        };
        let system = if let Data::Io { source, .. } = &error { source.raw_os_error() } else { None };
        let (code, hint) = (error.code().to_owned(), error.hint().to_owned());
        Refused { kind, code, message: error.to_string(), hint, system }
    }

    /// The stable word for programs.
    pub fn code(&self) -> &'static str {
        data::CODES.iter().find(|known| **known == self.code).copied().unwrap_or("dataset_refused")
    }

    /// Why a file could not be read.
    pub fn source(&self) -> io::Error {
        self.system.map_or_else(|| io::Error::other(self.message.clone()), io::Error::from_raw_os_error)
    }
}
