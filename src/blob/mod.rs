//! Bytes named by their sha256, over object_store.

pub mod error;

pub use error::{Error, Result};

/// The store of blobs; cheap to clone. (The room's owner fills this in.)
#[derive(Clone)]
pub struct Blobs {}
