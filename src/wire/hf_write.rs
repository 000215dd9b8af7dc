//! What clients of the Hugging Face Hub send to make and change repos, and what they read of the answers. Unknown keys
//! are ignored: newer clients say more.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `POST /api/repos/create` and `DELETE /api/repos/delete`.
#[derive(Debug, Clone, Deserialize)]
pub struct RepoWanted {
    pub name: String,
    #[serde(default)]
    pub organization: Option<String>,
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    #[serde(default)]
    pub private: Option<bool>,
    /// `public` or `private`; newer clients say it so.
    #[serde(default)]
    pub visibility: Option<String>,
    /// The JavaScript client sends a repo's first files along, and its licence.
    #[serde(default)]
    pub license: Option<String>,
    #[serde(default)]
    pub files: Option<Vec<FirstFile>>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct FirstFile {
    pub path: String,
    pub content: String,
    #[serde(default)]
    pub encoding: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct RepoMade {
    pub url: String,
    pub name: String,
    pub id: String,
}

/// `POST /api/repos/move`.
#[derive(Debug, Clone, Deserialize)]
pub struct RepoMoved {
    #[serde(rename = "fromRepo")]
    pub from: String,
    #[serde(rename = "toRepo")]
    pub to: String,
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
}

/// `PUT /api/models/{id}/settings`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Settings {
    #[serde(default)]
    pub private: Option<bool>,
    #[serde(default)]
    pub visibility: Option<String>,
    /// `false`, `auto` or `manual`.
    #[serde(default)]
    pub gated: Option<serde_json::Value>,
}

/// `POST /api/models/{id}/tag/{revision}`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct TagWanted {
    #[serde(default)]
    pub tag: String,
}

/// `POST /api/models/{id}/branch/{branch}`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BranchWanted {
    #[serde(default)]
    pub starting_point: Option<String>,
}

/// `POST /api/models/{id}/preupload/{revision}`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preupload {
    #[serde(default)]
    pub files: Vec<PreuploadFile>,
    #[serde(default)]
    pub git_ignore: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct PreuploadFile {
    pub path: String,
    #[serde(default)]
    pub size: u64,
    /// The file's first bytes in base64.
    #[serde(default)]
    pub sample: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PreuploadAnswer {
    pub files: Vec<PreuploadMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_oid: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PreuploadMode {
    pub path: String,
    /// `regular` or `lfs`.
    pub upload_mode: &'static str,
    pub should_ignore: bool,
    /// Names what is there now: by its sha256 where the file goes by LFS, else as git does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oid: Option<String>,
}

/// A line of `POST /api/models/{id}/commit/{branch}`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "key", content = "value", rename_all = "camelCase")]
pub enum CommitLine<'a> {
    #[serde(rename_all = "camelCase")]
    Header {
        #[serde(default)]
        summary: String,
        #[serde(default)]
        description: Option<String>,
        #[serde(default)]
        parent_commit: Option<String>,
    },
    File {
        path: String,
        #[serde(borrow)]
        content: Cow<'a, str>,
        #[serde(default)]
        encoding: Option<String>,
    },
    /// Without a size where a file is copied.
    LfsFile {
        path: String,
        #[serde(default)]
        algo: Option<String>,
        oid: String,
        #[serde(default)]
        size: Option<u64>,
    },
    DeletedFile {
        path: String,
    },
    DeletedFolder {
        path: String,
    },
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitMade {
    pub success: bool,
    pub commit_oid: String,
    pub commit_url: String,
    /// Where a pull request was opened for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_request_url: Option<String>,
    pub hook_output: &'static str,
}

/// `POST /{id}.git/info/lfs/objects/batch`.
#[derive(Debug, Clone, Deserialize)]
pub struct Batch {
    pub operation: String,
    #[serde(default)]
    pub transfers: Vec<String>,
    #[serde(default)]
    pub objects: Vec<Object>,
    #[serde(default)]
    pub hash_algo: Option<String>,
}

/// Also the body of a verification; the answer to the last part of several has no size.
#[derive(Debug, Clone, Deserialize)]
pub struct Object {
    pub oid: String,
    #[serde(default)]
    pub size: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct BatchAnswer {
    pub transfer: &'static str,
    pub objects: Vec<ObjectAnswer>,
    pub hash_algo: &'static str,
}

#[derive(Debug, Clone, Serialize)]
pub struct ObjectAnswer {
    pub oid: String,
    pub size: u64,
    pub authenticated: bool,
    /// `upload` and `verify`, or `download`; none where there is nothing to send.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub actions: BTreeMap<&'static str, Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ObjectError>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Action {
    pub href: String,
    /// Of an upload in parts: `chunk_size`, and the address of each part by its number.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct ObjectError {
    pub code: u16,
    pub message: String,
}

/// `GET /api/models/{id}/xet-write-token/{revision}`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct XetToken {
    pub cas_url: String,
    pub access_token: String,
    /// Unix seconds.
    pub exp: i64,
}

#[derive(Debug, Clone, Serialize)]
pub struct XorbStored {
    pub was_inserted: bool,
}

/// `POST .../v1/shards`
#[derive(Debug, Clone, Serialize)]
pub struct ShardStored {
    pub result: u8,
}

/// A line of the answer to `POST .../v2/shards`.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ShardEvent {
    Validating { verified: usize, total: usize },
    Result,
    Error { message: String, retryable: bool },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_commit_read_as_clients_write_them() {
        let read = |text: &'static str| serde_json::from_str::<CommitLine<'_>>(text).unwrap();
        let header = read(r#"{"key": "header", "value": {"summary": "s", "description": "d", "parentCommit": "abc"}}"#);
        let expected = CommitLine::Header { summary: "s".into(), description: Some("d".into()), parent_commit: Some("abc".into()) };
        assert_eq!(header, expected);
        let CommitLine::File { content, .. } = read(r#"{"key":"file","value":{"content":"YQ==","path":"a","encoding":"base64"}}"#) else {
            panic!("it is a file");
        };
        assert!(matches!(content, Cow::Borrowed("YQ==")), "a large file's line is not copied");
        assert!(matches!(read(r#"{"value":{"path":"a/"},"key":"deletedFolder"}"#), CommitLine::DeletedFolder { .. }));
        assert!(matches!(
            read(r#"{"key":"lfsFile","value":{"path":"a","algo":"sha256","oid":"x"}}"#),
            CommitLine::LfsFile { size: None, .. }
        ));
        assert!(serde_json::from_str::<CommitLine<'_>>(r#"{"key":"unheard","value":{}}"#).is_err());
    }
}
