//! What can go wrong with stored bytes, named by what the caller can do.

use crate::domain::digest::Digest;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no blob {0} is stored")]
    NotFound(Digest),
    #[error("the upload stands at byte {expected}, not at {got}")]
    Offset { expected: u64, got: u64 },
    #[error("the bytes have sha256 {got}, not {expected}")]
    Mismatch { expected: Digest, got: Digest },
    #[error("the upload was announced with {announced} bytes and holds more")]
    TooLong { announced: u64 },
    #[error("the upload holds {received} of {announced} bytes")]
    Short { received: u64, announced: u64 },
    #[error("the server's disk is full")]
    Full,
    #[error("the stored bytes of {digest} are damaged: {problem}")]
    Corrupt { digest: Digest, problem: String },
    #[error("the blob store does not answer: {0}")]
    Store(String),
}

pub type Result<T> = std::result::Result<T, Error>;
