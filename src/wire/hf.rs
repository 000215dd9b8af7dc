//! The JSON of the Hugging Face Hub's API, as far as its clients read it; kept apart from ours, since its words
//! are theirs to choose. Keys were checked against `huggingface_hub` 0.36 to 2.4 and the Rust `hf-hub`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `GET /api/models/{id}`, also at a revision, and the elements of lists. Our commit id is their `sha`. What is
/// absent was not asked for, or is not known.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepoInfo {
    #[serde(rename = "_id")]
    pub key: String,
    pub id: String,
    pub model_id: String,
    pub author: String,
    /// Absent while nothing is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha: Option<String>,
    pub last_modified: String,
    pub created_at: String,
    pub private: bool,
    pub gated: bool,
    pub disabled: bool,
    pub downloads: u64,
    pub downloads_all_time: u64,
    pub likes: u64,
    pub trending_score: u64,
    pub tags: Vec<String>,
    #[serde(rename = "library_name", skip_serializing_if = "Option::is_none")]
    pub library_name: Option<String>,
    #[serde(rename = "pipeline_tag", skip_serializing_if = "Option::is_none")]
    pub pipeline_tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card_data: Option<Map<String, Value>>,
    #[serde(rename = "model-index", skip_serializing_if = "Option::is_none")]
    pub model_index: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Map<String, Value>>,
    pub used_storage: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safetensors: Option<Safetensors>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_repo_status: Option<SecurityRepoStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_results: Option<Vec<Value>>,
}

/// A file in a [`RepoInfo`]; sizes and digests only where `blobs=true` was asked.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sibling<'a> {
    pub rfilename: &'a str,
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

/// What `securityStatus=true` asks for.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityRepoStatus {
    /// Was every file looked into for pickles when it was published?
    pub scans_done: bool,
    pub files_with_issues: Vec<FileIssue>,
}

#[derive(Debug, Clone, Serialize)]
pub struct FileIssue {
    pub path: String,
    /// `caution` or `unsafe`.
    pub level: &'static str,
}

/// `GET /api/models/{id}/tree/{revision}`, and `paths-info`.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum TreeEntry {
    File(Box<TreeFile>),
    Directory { oid: String, size: u64, path: String },
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TreeFile {
    pub oid: String,
    pub size: u64,
    pub path: String,
    pub lfs: TreeLfs,
    /// Where `expand=true` was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_commit: Option<LastCommit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_file_status: Option<SecurityFileStatus>,
    /// What `security_file_status` is made of, where it is asked for.
    #[serde(skip)]
    pub mark: Option<crate::domain::mark::Mark>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TreeLfs {
    pub oid: String,
    pub size: u64,
    pub pointer_size: u64,
}

/// The commit that gave a file its present bytes.
#[derive(Debug, Clone, Serialize)]
pub struct LastCommit {
    pub id: String,
    pub title: String,
    pub date: String,
}

/// We look for pickles, not for viruses: `safe` is not ours to say.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityFileStatus {
    pub status: &'static str,
    pub av_scan: Option<Value>,
    pub pickle_import_scan: Option<Value>,
}

/// `POST .../paths-info/{revision}` as JSON; Python sends the same as a form.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PathsWanted {
    pub paths: Vec<String>,
    pub expand: bool,
}

/// `GET /api/models/{id}/refs`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refs {
    pub branches: Vec<GitRef>,
    pub converts: Vec<GitRef>,
    pub tags: Vec<GitRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_requests: Option<Vec<GitRef>>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GitRef {
    pub name: String,
    #[serde(rename = "ref")]
    pub full_name: String,
    pub target_commit: String,
}

/// An element of `GET /api/models/{id}/commits/{revision}`.
#[derive(Debug, Clone, Serialize)]
pub struct Commit {
    pub id: String,
    pub title: String,
    pub message: String,
    pub date: String,
    pub authors: Vec<CommitAuthor>,
}

#[derive(Debug, Clone, Serialize)]
pub struct CommitAuthor {
    pub user: String,
}

/// `GET /api/whoami-v2`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Whoami {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub id: String,
    pub name: String,
    pub fullname: String,
    pub email: Option<String>,
    pub can_pay: bool,
    pub is_pro: bool,
    pub orgs: Vec<Organisation>,
    pub auth: Auth,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Organisation {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub name: String,
    pub fullname: String,
    pub role_in_org: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub access_token: AccessToken,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessToken {
    pub display_name: String,
    /// `read` or `write`: theirs has no word for `admin`.
    pub role: &'static str,
    pub created_at: String,
}

/// `POST /api/validate-yaml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CardToCheck {
    pub content: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct CheckedCard {
    pub errors: Vec<Message>,
    pub warnings: Vec<Message>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Message {
    pub message: String,
}

/// The body of every refusal; clients crash on anything but an object.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    pub error: String,
    /// Of what exists already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What `hf jobs run` sends, as far as it is read here: images, hardware and the environment are not.
#[derive(Debug, Clone, Deserialize)]
pub struct JobSpec {
    #[serde(default)]
    pub command: Vec<String>,
    #[serde(default)]
    pub arguments: Vec<String>,
    #[serde(default)]
    pub secrets: serde_json::Value,
}
