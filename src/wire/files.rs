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
    /// What was found in it when it was published: `clean`, `pickle` (of harmless names), `unsafe` (where the server takes such) or
    /// `unscanned`. Absent where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
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

/// A run of a file that also lies elsewhere: `size_bytes` bytes from `offset_bytes` on are those of the blob
/// `source` from `source_offset` on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Segment {
    pub offset_bytes: u64,
    pub size_bytes: u64,
    pub source: String,
    pub source_offset: u64,
}

/// What of a file need not be fetched by a client that has other blobs. Segments are sorted and never overlap; what
/// lies in none is in this file only. A file that shares nothing is a segment of itself.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Segments {
    pub sha256: String,
    pub size_bytes: u64,
    pub segments: Vec<Segment>,
}

/// A run of the file that is announced, such as a tensor of a safetensors file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OfferedTensor {
    /// From the start of the file.
    pub offset_bytes: u64,
    pub size_bytes: u64,
    /// Of its bytes.
    pub sha256: String,
}

/// Announces bytes. Announcing the same digest again gives the same upload back, with what it has received.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUpload {
    pub sha256: String,
    pub size_bytes: u64,
    /// In the order of their bytes, at most 16,384. What of them lies in blobs the caller may read is received at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<OfferedTensor>,
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
    /// The branch to publish to; absent for `main`. One that does not exist is made, and begins at `parent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The version number the branch was seen at; null for the first. A moved branch is a conflict.
    #[serde(default)]
    pub parent: Option<u32>,
    /// The whole version: files not listed are not in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
    /// Instead of `files`, for thousands of them: the sha256 of an uploaded file with a line `sha256 SP size SP path LF`
    /// for each, in UTF-8 and at most 32 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
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
        File { path: f.path, size_bytes: f.size_bytes, sha256: f.digest.to_hex(), mark: f.mark.map(|mark| mark.as_str().into()) }
    }
}

impl From<domain::TensorEntry> for Tensor {
    fn from(t: domain::TensorEntry) -> Tensor {
        Tensor { file: t.file, name: t.name, dtype: t.dtype, shape: t.shape, size_bytes: t.size_bytes }
    }
}
