//! What can go wrong with networks and their weights.

use std::path::PathBuf;

use crate::domain::disk;

/// Errors of `nn`. Those about tensors name the tensor.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such architecture here.
    #[error("unknown architecture `{name}`: this build knows {known}")]
    UnknownArchitecture { name: String, known: String },
    /// The weights lack a tensor the architecture has.
    #[error("tensor `{name}` is missing: {architecture} needs it with shape {shape:?}; check that the weights are of this architecture")]
    Missing { architecture: String, name: String, shape: Vec<usize> },
    /// The weights have a tensor the architecture lacks.
    #[error("tensor `{name}` does not belong to {architecture}; check that the weights are of this architecture")]
    Unexpected { architecture: String, name: String },
    /// A tensor of another shape.
    #[error("tensor `{name}` has shape {found:?} but {architecture} needs {expected:?}; check the architecture and the number of classes")]
    Shape { architecture: String, name: String, expected: Vec<usize>, found: Vec<usize> },
    /// A tensor whose numbers are of a kind we do not train with.
    #[error("tensor `{name}` holds {dtype} numbers; convert it to F32, F16 or BF16")]
    DType { name: String, dtype: String },
    /// Not a safetensors file, or a damaged one.
    #[error("{path} is not a sound safetensors file ({reason}); fetch or export it again")]
    Format { path: PathBuf, reason: String },
    /// The file system said no.
    #[error("cannot read or write {path}: {source}; {advice}", advice = disk::advice(.source))]
    Io { path: PathBuf, source: std::io::Error },
    /// A device that was asked for and is not there.
    #[error("{0}")]
    Device(String),
    /// An argument outside its range.
    #[error("{0}")]
    Invalid(String),
    /// The arithmetic failed: shapes that do not fit, or a device error.
    #[error("the network could not be computed: {0}; check the input's shape and the weights")]
    Compute(#[from] candle_core::Error),
}

impl Error {
    /// Whether it ended because a disk has no room.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Error::Io { source, .. } if disk::is_full(source))
    }
}

/// Results of `nn`.
pub type Result<T, E = Error> = std::result::Result<T, E>;
