//! The JSON of the Hugging Face Hub's API, as far as its clients read it; kept apart from ours, since its words
//! are theirs to choose. Keys were checked against `huggingface_hub` 0.36 to 2.4 and the Rust `hf-hub`.

use std::collections::BTreeMap;

use serde::Serialize;

/// `GET /api/models/{id}`, also at a revision. Our commit id is their `sha`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepoInfo {
    #[serde(rename = "_id")]
    pub key: String,
    pub id: String,
    pub model_id: String,
    pub author: String,
    pub sha: String,
    pub last_modified: String,
    pub created_at: String,
    pub private: bool,
    pub gated: bool,
    pub disabled: bool,
    pub downloads: u64,
    pub likes: u64,
    pub tags: Vec<String>,
    #[serde(rename = "library_name", skip_serializing_if = "Option::is_none")]
    pub library_name: Option<String>,
    #[serde(rename = "pipeline_tag", skip_serializing_if = "Option::is_none")]
    pub pipeline_tag: Option<String>,
    pub siblings: Vec<Sibling>,
    pub used_storage: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safetensors: Option<Safetensors>,
}

/// A file in a [`RepoInfo`]; sizes and digests only where `blobs=true` was asked.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sibling {
    pub rfilename: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blob_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lfs: Option<SiblingLfs>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SiblingLfs {
    pub sha256: String,
    pub size: u64,
    pub pointer_size: u64,
}

/// Parameters by type of number.
#[derive(Debug, Clone, Serialize)]
pub struct Safetensors {
    pub parameters: BTreeMap<String, u64>,
    pub total: u64,
}

/// `GET /api/models/{id}/tree/{revision}`.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum TreeEntry {
    File { oid: String, size: u64, path: String, lfs: TreeLfs },
    Directory { oid: String, size: u64, path: String },
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TreeLfs {
    pub oid: String,
    pub size: u64,
    pub pointer_size: u64,
}

/// The body of every refusal; clients crash on anything but an object.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    pub error: String,
    /// Of what exists already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}
