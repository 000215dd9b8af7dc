//! What handlers receive: parsed once, here, or refused with 400 and a hint. Path parts are percent-decoded
//! fully before they meet the grammar of names, so that `..%2F` reads as what it is.

use std::collections::HashMap;
use std::fmt::Display;
use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use percent_encoding::percent_decode_str;

use super::error::HttpError;
pub use super::json::{Json, read_json};
use crate::domain::digest::Digest;
use crate::domain::id::{JobId, TokenId, UploadId, WebhookId};
use crate::domain::name::{Name, RepoId, RepoKind};
use crate::domain::page::PageRequest;
use crate::domain::path::RepoPath;
use crate::domain::revision::{RefName, Revision};
use crate::domain::xet::XetHash;

/// The repo a path names; `{kind}` is absent where a route is about models.
pub struct RepoAt {
    pub kind: RepoKind,
    pub id: RepoId,
}

/// `.../{rev}`
pub struct VersionAt {
    pub kind: RepoKind,
    pub id: RepoId,
    pub revision: Revision,
}

/// `.../{rev}/.../{path:.*}`
pub struct FileAt {
    pub kind: RepoKind,
    pub id: RepoId,
    pub revision: Revision,
    pub path: RepoPath,
}

/// `.../{path:.*}` of a model, over all its versions.
pub struct FilesAt {
    pub id: RepoId,
    pub path: RepoPath,
}

/// `.../refs/{ref:.*}`
pub struct RefAt {
    pub kind: RepoKind,
    pub id: RepoId,
    pub name: RefName,
}

/// `.../discussions/{number}`
pub struct DiscussionAt {
    pub kind: RepoKind,
    pub id: RepoId,
    pub number: u32,
}

/// `.../discussions/{number}/comment/{comment}`
pub struct CommentAt {
    pub discussion: DiscussionAt,
    pub position: u32,
}

/// `/finetunes/{id}`
pub struct JobAt(pub JobId);

/// `/jobs/{id}/files/{path}`
pub struct JobFileAt {
    pub job: JobId,
    pub name: RepoPath,
}

/// `/worker/jobs/{job}/inputs/{role}/files/{path}`
pub struct InputAt {
    pub role: String,
    pub path: RepoPath,
}

/// `/worker/jobs/{job}/given/{path}`
pub struct GivenAt(pub RepoPath);

/// `/api/jobs/{account}/{job}`
pub struct JobOf {
    pub account: Name,
    pub job: JobId,
}

/// `/api/jobs/{account}`
pub struct JobsOf(pub Name);

/// `/worker/queue/{job}`
pub struct QueuedAt(pub JobId);

/// `/admin/worker-tokens/{token}`: an id, or a name.
pub struct WorkerTokenAt(pub String);

/// `/uploads/{id}`
pub struct UploadAt(pub UploadId);

/// `/blobs/{sha256}`
pub struct BlobAt(pub Digest);

/// `.../objects/{sha256}`
pub struct ObjectAt {
    pub kind: RepoKind,
    pub id: RepoId,
    pub digest: Digest,
}

/// `.../objects/{sha256}/parts/{number}`
pub struct ObjectPartAt {
    pub object: ObjectAt,
    pub number: u64,
}

/// `.../xorbs/default/{hash}`
pub struct XorbAt(pub XetHash);

/// `/tokens/{id}`
pub struct TokenAt(pub TokenId);

/// `/webhooks/{id}`
pub struct WebhookAt(pub WebhookId);

/// `{name}` of a user or an organisation.
pub struct AccountAt(pub Name);

/// `/orgs/{name}/members/{user}`
pub struct MemberAt {
    pub organisation: Name,
    pub user: Name,
}

/// The decoded parts of a path.
struct Parts(HashMap<String, String>);

impl Parts {
    /// The router leaves `%25`, `%2F` and `%2B` encoded, so this decodes each part exactly once.
    fn of(request: &HttpRequest) -> Result<Parts, HttpError> {
        let wrong = |_| HttpError::bad_request("bad_path", "the address is not valid UTF-8", "encode names as UTF-8");
        let decode = |(key, value): (&str, &str)| Ok((key.to_owned(), percent_decode_str(value).decode_utf8()?.into_owned()));
        request.match_info().iter().map(decode).collect::<Result<_, std::str::Utf8Error>>().map(Parts).map_err(wrong)
    }

    fn read<T, E: Display>(&self, key: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<T, HttpError> {
        let text = self.0.get(key).map_or("", String::as_str);
        let wrong = |e: E| HttpError::bad_request("bad_path", format!("in the address: {e}"), "check the address for a typo");
        parse(text).map_err(wrong)
    }

    fn kind(&self) -> Result<RepoKind, HttpError> {
        if self.0.contains_key("kind") { self.read("kind", RepoKind::parse) } else { Ok(RepoKind::Model) }
    }

    fn repo(&self) -> Result<RepoId, HttpError> {
        self.read("name", |name| RepoId::from_parts(self.0.get("ns").map_or("", String::as_str), name))
    }

    fn discussion(&self) -> Result<DiscussionAt, HttpError> {
        Ok(DiscussionAt { kind: self.kind()?, id: self.repo()?, number: self.read("number", |text| text.parse::<u32>())? })
    }

    fn object(&self) -> Result<ObjectAt, HttpError> {
        Ok(ObjectAt { kind: self.kind()?, id: self.repo()?, digest: self.read("sha256", Digest::parse)? })
    }
}

/// A name of something that has no grammar of its own; an input's may be that of a repo.
fn plain(text: &str) -> Result<String, &'static str> {
    let good = (1..=256).contains(&text.len()) && !text.chars().any(char::is_control);
    if good { Ok(text.to_owned()) } else { Err("a name has 1 to 256 bytes and no control characters") }
}

macro_rules! from_path {
    ($($type:ident: $parts:ident => $build:expr;)+) => {
        $(impl FromRequest for $type {
            type Error = HttpError;
            type Future = Ready<Result<$type, HttpError>>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                let read = |$parts: Parts| -> Result<$type, HttpError> { Ok($build) };
                ready(Parts::of(request).and_then(read))
            }
        })+
    };
}

from_path! {
    RepoAt: parts => RepoAt { kind: parts.kind()?, id: parts.repo()? };
    VersionAt: parts => VersionAt { kind: parts.kind()?, id: parts.repo()?, revision: parts.read("rev", Revision::parse)? };
    FileAt: parts => FileAt {
        kind: parts.kind()?,
        id: parts.repo()?,
        revision: parts.read("rev", Revision::parse)?,
        path: parts.read("path", RepoPath::parse)?,
    };
    FilesAt: parts => FilesAt { id: parts.repo()?, path: parts.read("path", RepoPath::parse)? };
    RefAt: parts => RefAt { kind: parts.kind()?, id: parts.repo()?, name: parts.read("ref", RefName::parse)? };
    DiscussionAt: parts => parts.discussion()?;
    CommentAt: parts => CommentAt {
        discussion: parts.discussion()?,
        position: parts.read("comment", |text| u32::from_str_radix(text, 16))?,
    };
    JobAt: parts => JobAt(parts.read("id", JobId::parse)?);
    JobFileAt: parts => JobFileAt { job: parts.read("id", JobId::parse)?, name: parts.read("path", RepoPath::parse)? };
    InputAt: parts => InputAt {
        role: parts.read("role", plain)?,
        path: parts.read("path", RepoPath::parse)?,
    };
    JobOf: parts => JobOf { account: parts.read("account", Name::parse)?, job: parts.read("job", JobId::parse)? };
    JobsOf: parts => JobsOf(parts.read("account", Name::parse)?);
    QueuedAt: parts => QueuedAt(parts.read("job", JobId::parse)?);
    GivenAt: parts => GivenAt(parts.read("path", RepoPath::parse)?);
    WorkerTokenAt: parts => WorkerTokenAt(parts.read("token", plain)?);
    UploadAt: parts => UploadAt(parts.read("id", UploadId::parse)?);
    BlobAt: parts => BlobAt(parts.read("sha256", Digest::parse)?);
    ObjectAt: parts => parts.object()?;
    ObjectPartAt: parts => ObjectPartAt { object: parts.object()?, number: parts.read("number", |text| text.parse::<u64>())? };
    XorbAt: parts => XorbAt(parts.read("hash", XetHash::parse)?);
    TokenAt: parts => TokenAt(parts.read("id", TokenId::parse)?);
    WebhookAt: parts => WebhookAt(parts.read("id", WebhookId::parse)?);
    AccountAt: parts => AccountAt(parts.read("name", Name::parse)?);
    MemberAt: parts => MemberAt { organisation: parts.read("name", Name::parse)?, user: parts.read("user", Name::parse)? };
}

/// The query, tolerant of repeated and unknown keys.
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn new(text: &str) -> Query {
        Query(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The last value of a key; an empty one reads as absent.
    pub fn find(&self, key: &str) -> Option<&str> {
        self.all(key).last().filter(|value| !value.is_empty())
    }

    /// Without keys that have no value: a form sends its empty fields too.
    pub fn filled(&self) -> Query {
        Query(self.0.iter().filter(|(_, value)| !value.is_empty()).cloned().collect())
    }

    /// Like [`Query::find`], with "" for absent.
    pub fn text(&self, key: &str) -> String {
        self.find(key).unwrap_or_default().to_owned()
    }

    pub fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// A whole number. One that is there must be one: an empty value is refused, for it says neither a number nor none.
    pub fn number<T: FromStr>(&self, key: &str) -> Result<Option<T>, HttpError> {
        let wrong = || HttpError::bad_request("bad_query", format!("'{key}' in the query is out of range"), "give a whole number");
        let Some(value) = self.all(key).last() else { return Ok(None) };
        // As many as other languages have integers for, and written as they write them.
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || value.parse::<u128>().is_ok_and(|number| number > i64::MAX as u128) {
            return Err(wrong());
        }
        value.parse().map(Some).map_err(|_| wrong())
    }

    /// Yes or no: `true` or `false`, and no where the key is absent. All else, an empty value too, is refused.
    pub fn flag(&self, key: &str) -> Result<bool, HttpError> {
        match self.all(key).last() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => {
                let message = format!("'{key}' in the query is neither true nor false");
                Err(HttpError::bad_request("bad_query", message, format!("write {key}=true, or leave it out")))
            }
        }
    }

    /// `limit` (1 to 100) and `cursor`.
    pub fn page(&self) -> Result<PageRequest, HttpError> {
        Ok(PageRequest::new(self.number("limit")?, self.find("cursor").map(String::from)))
    }

    /// `revision`, or `main`.
    pub fn revision(&self) -> Result<Revision, HttpError> {
        let wrong = |e| HttpError::bad_request("bad_query", format!("{e}"), "leave 'revision' out for 'main'");
        self.find("revision").map_or(Ok(Revision::main()), |text| Revision::parse(text).map_err(wrong))
    }
}

impl FromRequest for Query {
    type Error = HttpError;
    type Future = Ready<Result<Query, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Query::new(request.query_string())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_parts_are_decoded_once_and_parsed() {
        let at = |ns: &str, name: &str, rev: &str, path: &str| {
            let uri = format!("/api/v1/models/{ns}/{name}/versions/{rev}/files/{path}");
            let mut info = actix_web::dev::Path::new(actix_web::dev::Url::new(uri.parse().unwrap()));
            let pattern = "/api/v1/{kind:models|datasets}/{ns}/{name}/versions/{rev}/files/{path:.*}";
            assert!(actix_web::dev::ResourceDef::new(pattern).capture_match_info(&mut info), "{uri}");
            let decode = |(key, value): (&str, &str)| (key.to_owned(), percent_decode_str(value).decode_utf8_lossy().into_owned());
            let parts = Parts(info.iter().map(decode).collect());
            let revision = parts.read("rev", Revision::parse)?;
            Ok::<_, HttpError>((parts.kind()?, parts.repo()?, revision, parts.read("path", RepoPath::parse)?))
        };
        let (kind, id, revision, path) = at("acme", "cats", "rel%2F1.0", "a%2Bb%20c%2520d%23e.txt").unwrap();
        assert_eq!((kind, id.to_string(), revision.to_string()), (RepoKind::Model, "acme/cats".into(), "rel/1.0".into()));
        assert_eq!(path.as_str(), "a+b c%20d#e.txt");
        for hostile in ["..%2Fetc", "%2e%2e", "a%00b", "%252e%252e", "a%0d%0ab", "x%5c"] {
            assert_eq!(at("acme", hostile, "main", "f").unwrap_err().status, 400, "{hostile}");
        }
        assert!(at("acme", "cats", "main", "..%2F..%2Fetc%2Fpasswd").is_err());
    }

    #[test]
    fn queries_tolerate_repeats_and_refuse_nonsense() {
        let query = Query::new("limit=5&x=1&x=2&empty=&revision=v1");
        assert_eq!(query.find("x"), Some("2"));
        assert_eq!(query.all("x").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(query.find("empty"), None);
        assert_eq!(query.page().unwrap().limit, 5);
        assert!(query.revision().is_ok());
        assert_eq!(Query::new("limit=9223372036854775807").page().unwrap().limit, 100);
        for bad in ["9223372036854775808", "-1", "%2B1", "1e9", "99999999999999999999999", "", "1&limit="] {
            let refused = Query::new(&format!("limit={bad}")).page().unwrap_err();
            assert_eq!((refused.status.as_u16(), refused.problem.hint.as_str()), (400, "give a whole number"), "{bad}");
        }
        for (text, answer) in [("", false), ("here=true", true), ("here=false", false), ("here=false&here=true", true)] {
            assert_eq!(Query::new(text).flag("here").unwrap(), answer, "{text}");
        }
        for bad in ["here=", "here", "here=1", "here=True", "here=abc", "here=true&here="] {
            let refused = Query::new(bad).flag("here").unwrap_err();
            assert_eq!((refused.status.as_u16(), refused.problem.hint.as_str()), (400, "write here=true, or leave it out"), "{bad}");
        }
        assert!(Query::new("revision=..%2F..").revision().is_err());
    }
}
