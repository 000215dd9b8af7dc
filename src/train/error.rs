//! What can go wrong in a fine-tune, named by what the caller can do about it.

use std::path::PathBuf;

use crate::data;
use crate::domain::disk;
use crate::domain::recipe::RecipeError;

pub type Result<T> = std::result::Result<T, Error>;

/// Why a fine-tune or a prediction ended without a result. Every message says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting of the recipe is out of bounds.
    #[error("the recipe cannot be used: {0}; change that setting and start again")]
    Recipe(#[from] RecipeError),
    /// The data set cannot be read, or holds nothing to learn from.
    #[error("{problem}; {hint}", problem = .0, hint = .0.hint())]
    Data(#[from] crate::data::Error),
    /// The base model's weights or config do not make a model.
    #[error(transparent)]
    Model(#[from] crate::nn::Error),
    /// The data set has nothing to train on.
    #[error("{0}")]
    NothingToLearn(String),
    /// The loss or a weight is no longer a number.
    #[error(
        "training diverged in epoch {epoch}, step {step}: {what} is not a finite number; lower the learning rate (lr, head_lr) or lengthen the warm-up, and check the images and base weights"
    )]
    NonFinite { epoch: u32, step: u64, what: String },
    /// A parameter that should learn took no part in the loss.
    #[error(
        "`{name}` should learn but has no gradient: the network does not use it, or an operation in it cannot be differentiated; freeze its stage or report this as a defect"
    )]
    NoGradient { name: String },
    /// The sink asked to stop.
    #[error("the fine-tune was cancelled; start it again to continue from its last checkpoint")]
    Cancelled,
    /// A checkpoint of another run, or a damaged one.
    #[error("the checkpoint {path} cannot be resumed: {reason}; remove it to start from the beginning")]
    Checkpoint { path: PathBuf, reason: String },
    /// More memory or time than allowed.
    #[error("{0}")]
    TooMuch(String),
    /// The disk has less room than a run would need.
    #[error("{0}")]
    NoRoom(String),
    /// A question the model has no answer to.
    #[error("{0}")]
    Unsupported(String),
    #[error("{what} {path}: {source}; {advice}", advice = disk::advice(.source))]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
}

impl Error {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Recipe(_) => "recipe",
            Error::Data(error) => error.code(),
            Error::Model(_) => "model",
            Error::NothingToLearn(_) => "nothing_to_learn",
            Error::NonFinite { .. } => "non_finite",
            Error::NoGradient { .. } => "no_gradient",
            Error::Cancelled => "cancelled",
            Error::Checkpoint { .. } => "checkpoint",
            Error::TooMuch(_) => "too_much",
            Error::NoRoom(_) => "disk_full",
            Error::Unsupported(_) => "unsupported",
            Error::Io { .. } => "io",
        }
    }

    /// What it says of one of several items, whose name stands beside it.
    pub fn reason(&self) -> String {
        match self {
            Error::Data(
                crate::data::Error::Image { reason, .. }
                | crate::data::Error::Video { reason, .. }
                | crate::data::Error::Text { reason, .. },
            ) => {
                format!("it cannot be read: {reason}")
            }
            other => other.to_string(),
        }
    }

    /// Whether it ended because a disk has no room.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Error::Io { source, .. } => disk::is_full(source),
            Error::NoRoom(_) => true,
            Error::Model(error) => error.is_disk_full(),
            Error::Data(error) => error.is_disk_full(),
            _ => false,
        }
    }

    pub(super) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { what, path, source }
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Error {
        Error::Model(error.into())
    }
}

/// The answers and the reasons where there is none, one for each item.
pub(super) fn in_order<T>(unreadable: Vec<Option<data::Error>>, answers: Vec<T>) -> Vec<Result<T>> {
    let mut answers = answers.into_iter();
    let missing = || Error::Unsupported("the model gave fewer answers than it was asked for".into());
    let of = |problem: Option<data::Error>| match problem {
        Some(problem) => Err(Error::Data(problem)),
        None => answers.next().ok_or_else(missing),
    };
    unreadable.into_iter().map(of).collect()
}
