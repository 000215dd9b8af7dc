//! Discussions and pull requests as clients of the Hugging Face Hub read and write them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Clone, Serialize)]
pub struct DiscussionList {
    pub discussions: Vec<Discussion>,
    pub count: u64,
    pub start: u64,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Discussion {
    pub num: u32,
    pub title: String,
    /// `draft`, `open`, `closed` or `merged`
    pub status: String,
    pub is_pull_request: bool,
    pub author: Author,
    pub repo: RepoName,
    pub created_at: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct Author {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
}

#[derive(Debug, Clone, Serialize)]
pub struct RepoName {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
}

/// One discussion with all that happened in it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiscussionDetails {
    #[serde(flatten)]
    pub discussion: Discussion,
    pub events: Vec<Event>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// Paths; or false.
    pub files_with_conflicts: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// `refs/heads/main`
    pub base: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge_commit_id: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub id: String,
    /// `comment`, `commit`, `status-change` or `title-change`
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub author: Author,
    pub created_at: String,
    pub data: Value,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiscussionMade {
    pub num: u32,
    pub url: String,
    pub pull_request: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiscussionWanted {
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub pull_request: bool,
}

/// What the addresses below a discussion take, each what it needs of it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Act {
    #[serde(default)]
    pub comment: Option<String>,
    #[serde(default)]
    pub content: Option<String>,
    #[serde(default)]
    pub title: Option<String>,
    #[serde(default)]
    pub status: Option<String>,
}
