//! `/commit/{branch}`: a commit as lines of JSON, read as they arrive. Small files come inside, in base64, and are
//! stored one by one; nothing names them until the last line was read and all of it makes a version.

use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::{self, FuturesUnordered, StreamExt as _};

use super::refusal::{bad, proposes, refused};
use super::repos::address_of;
use crate::domain::digest::Digest;
use crate::domain::manifest::MAX_FILES;
use crate::domain::path::RepoPath;
use crate::domain::revision::Line;
use crate::domain::user::Actor;
use crate::http::body::Body;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Query, VersionAt};
use crate::http::lines::Lines;
use crate::service::Service;
use crate::service::repos::discussions::Opening;
use crate::service::repos::edit::{Edit, Operation};
use crate::service::storage::parts::MAX_PART_BYTES;
use crate::service::work::Whose;
use crate::wire::hf_write::{CommitLine, CommitMade};

/// A line with the largest file in it, in base64, and its path.
const LONGEST_LINE: usize = (MAX_PART_BYTES as usize).div_ceil(3) * 4 + (16 << 10);
/// Clients put at most some hundred megabytes into one commit.
const MOST_BYTES: usize = 2 << 30;
/// A line up to this length is read where it arrives.
const SHORT_LINE: usize = 16 << 10;
/// After so many of those it is somebody else's turn.
const SHORT_LINES_AT_ONCE: usize = 32;
/// Files stored side by side, and the size from which one waits for all before it.
const SIDE_BY_SIDE: usize = 8;
const LARGE_BYTES: usize = 1 << 20;

pub async fn create(request: HttpRequest, body: Body, service: web::Data<Service>, caller: Caller, at: VersionAt, query: Query) -> Answer {
    let proposes = proposes(&query);
    let line = service.may_commit_to(&caller.0, at.kind, &at.id, &at.revision, proposes).await.map_err(refused)?;
    let edit = read(&service, &caller.0, Lines::of(body, LONGEST_LINE, MOST_BYTES)).await?;
    let opening = proposes.then(|| opening(&edit.message));
    let edit = Edit { line, opening, ..edit };
    let done = service.edit_repo(&caller.0, at.kind, &at.id, edit).await.map_err(refused)?;
    let commit_oid = done.version.commit.to_string();
    let repo = address_of(&request, at.kind, &at.id)?;
    let commit_url = format!("{repo}/commit/{commit_oid}");
    let pull_request_url = match done.version.line {
        Line::PullRequest(number) if proposes => Some(format!("{repo}/discussions/{number}")),
        _ => None,
    };
    Ok(HttpResponse::Ok().json(CommitMade { success: true, commit_oid, commit_url, pull_request_url, hook_output: "" }))
}

/// A pull request is called what its first commit is, and described as that.
fn opening(message: &str) -> Opening {
    let (title, description) = message.split_once('\n').unwrap_or((message, ""));
    Opening { title: title.to_owned(), description: description.to_owned() }
}

/// What one line says.
enum Said {
    Header {
        message: String,
        parent: Option<String>,
    },
    /// With the bytes that came inside the line, under the name the line's reader gave them.
    Operation(Operation, Option<(Digest, Bytes)>),
}

async fn read(service: &Service, actor: &Actor, mut lines: Lines) -> Result<Edit, HttpError> {
    let mut edit = Edit::default();
    let (mut headed, mut short) = (false, 0_usize);
    let mut storing = FuturesUnordered::new();
    while let Some(line) = lines.next().await? {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let said = match line.len() <= SHORT_LINE {
            true => {
                short += 1;
                if short % SHORT_LINES_AT_ONCE == 0 {
                    tokio::task::yield_now().await;
                }
                say(&line)?
            }
            false => {
                let turn = service.work().next_turn(&Whose::of(actor)).await.map_err(refused)?;
                let said = web::block(move || (say(&line), turn)).await;
                said.map_err(|e| HttpError::internal(format!("reading a line was stopped: {e}")))?.0?
            }
        };
        let content = match said {
            Said::Header { message, parent } if !headed => {
                (edit.message, edit.parent, headed) = (message, parent, true);
                continue;
            }
            Said::Operation(operation, content) if headed => {
                edit.operations.push(operation);
                content
            }
            _ => return Err(bad("bad_commit", "a commit begins with its one header", "send the header first, and once")),
        };
        if edit.operations.len() > MAX_FILES {
            return Err(bad("bad_commit", format!("a commit has at most {MAX_FILES} operations"), "commit in several steps"));
        }
        let Some((digest, content)) = content else { continue };
        let large = content.len() > LARGE_BYTES;
        storing.push(store(service, actor, digest, content));
        while storing.len() >= SIDE_BY_SIDE || (large && !storing.is_empty()) {
            storing.next().await.transpose()?;
        }
    }
    while let Some(stored) = storing.next().await {
        stored?;
    }
    if headed { Ok(edit) } else { Err(bad("bad_commit", "the commit has no header", "send the header first")) }
}

pub(super) async fn store(service: &Service, actor: &Actor, digest: Digest, content: Bytes) -> Result<(), HttpError> {
    let size_bytes = content.len() as u64;
    let body = stream::iter([Ok(content)]);
    service.store_blob(actor, digest, size_bytes, body).await.map(drop).map_err(refused)
}

fn say(line: &[u8]) -> Result<Said, HttpError> {
    let line = crate::http::strict::from_slice(line);
    let line = line.map_err(|e| bad("bad_commit", format!("a line of the commit could not be read: {e}"), "send a JSON object a line"))?;
    let operation = match line {
        CommitLine::Header { summary, description, parent_commit } => {
            return Ok(Said::Header { message: message(&summary, description.as_deref()), parent: parent(parent_commit)? });
        }
        CommitLine::File { path, content, encoding } => {
            let path = path_of(&path)?;
            if encoding.is_some_and(|encoding| encoding != "base64") {
                return Err(bad("bad_commit", format!("the content of '{path}' is not in base64"), "send it in base64"));
            }
            let content = STANDARD.decode(content.as_bytes());
            let content = content.map_err(|e| bad("bad_commit", format!("the content of '{path}': {e}"), "send it in base64"))?;
            let (digest, size_bytes) = (Digest::of(&content), Some(content.len() as u64));
            return Ok(Said::Operation(Operation::Put { path, digest, size_bytes }, Some((digest, content.into()))));
        }
        CommitLine::LfsFile { path, algo, oid, size } => {
            let path = path_of(&path)?;
            let digest = Digest::parse(&oid).map_err(|e| bad("bad_digest", format!("'{path}': {e}"), "send its sha256"))?;
            if algo.is_some_and(|algo| algo != "sha256") {
                return Err(bad("bad_commit", format!("'{path}' is not named by its sha256"), "send its sha256"));
            }
            Operation::Put { path, digest, size_bytes: size }
        }
        CommitLine::DeletedFile { path } => Operation::Delete(path_of(&path)?),
        CommitLine::DeletedFolder { path } => Operation::DeleteFolder(path_of(path.strip_suffix('/').unwrap_or(&path))?),
    };
    Ok(Said::Operation(operation, None))
}

pub(super) fn path_of(text: &str) -> Result<RepoPath, HttpError> {
    RepoPath::parse(text).map_err(|e| bad("bad_path", e.to_string(), "correct the path"))
}

/// The first line, and what else there is to say.
fn message(summary: &str, description: Option<&str>) -> String {
    let description = description.map(str::trim).filter(|text| !text.is_empty());
    let whole = description.map_or(summary.to_owned(), |description| format!("{}\n\n{description}", summary.trim_end()));
    whole.replace("\r\n", "\n").replace('\t', " ")
}

/// At least seven digits of a commit id.
fn parent(text: Option<String>) -> Result<Option<String>, HttpError> {
    let Some(text) = text else { return Ok(None) };
    if (7..=40).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(Some(text));
    }
    Err(bad("bad_parent", "parentCommit is no commit id", "send 7 to 40 of its hex digits, or leave it out"))
}
