//! Manifests, files, tensors, uploads and commits.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::repos::Version;
use crate::domain::repo as domain;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct File {
    pub path: String,
    pub size_bytes: u64,
    pub sha256: String,
}

/// Everything a client needs to fetch and prove a version.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Manifest {
    /// `namespace/name`
    pub repo: String,
    pub kind: String,
    pub version: Version,
    /// Sorted by path; its canonical lines `sha256 SP size SP path LF` hash to `version.manifest`.
    pub files: Vec<File>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Tensor {
    pub file: String,
    pub name: String,
    /// As safetensors spells it: `F32`, `BF16` ...
    pub dtype: String,
    pub shape: Vec<u64>,
    pub size_bytes: u64,
}

/// Announces bytes. Announcing the same digest again gives the same upload back, with what it has received.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUpload {
    pub sha256: String,
    pub size_bytes: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Upload {
    pub id: String,
    pub sha256: String,
    pub size_bytes: u64,
    /// Where to go on in order: `PATCH` with `Upload-Offset: <this>`.
    pub offset: u64,
    /// The runs of bytes that are on the server's disk, as [start, end) pairs: sorted, none touching the next. What is
    /// between them is left to send, in any order: `PUT` with `Content-Range: bytes <start>-<end - 1>/<size_bytes>`.
    pub received: Vec<[u64; 2]>,
    /// The bytes are proved and stored; nothing is left to send.
    pub complete: bool,
    pub expires: String,
}

/// Which of these blobs may the caller name in a commit without sending them?
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckBlobs {
    pub sha256: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MissingBlobs {
    pub missing: Vec<String>,
}

/// Makes a version out of blobs the caller has sent or may read.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateCommit {
    pub message: String,
    /// The version number `main` was seen at; null for the first. A moved `main` is a conflict.
    #[serde(default)]
    pub parent: Option<u32>,
    /// The whole version: files not listed are not in it.
    pub files: Vec<File>,
    /// Tags to set on the new version.
    #[serde(default)]
    pub tags: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Committed {
    pub version: Version,
    /// False where the files equal those of `main`: no new version was made.
    pub created: bool,
    /// What looked wrong but did not stop the publish.
    pub warnings: Vec<String>,
}

impl From<domain::FileEntry> for File {
    fn from(f: domain::FileEntry) -> File {
        File { path: f.path, size_bytes: f.size_bytes, sha256: f.digest.to_hex() }
    }
}

impl From<domain::TensorEntry> for Tensor {
    fn from(t: domain::TensorEntry) -> Tensor {
        Tensor { file: t.file, name: t.name, dtype: t.dtype, shape: t.shape, size_bytes: t.size_bytes }
    }
}
