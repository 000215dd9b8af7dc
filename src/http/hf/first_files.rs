//! Files that come with the wish for a repo, as the JavaScript client sends them, and a licence's card in their place.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::commit::{path_of, store};
use super::refusal::{bad, refused};
use crate::domain::digest::Digest;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::path::RepoPath;
use crate::domain::user::Actor;
use crate::http::error::HttpError;
use crate::service::Service;
use crate::service::repos::edit::{Edit, Operation};
use crate::wire::hf_write::RepoWanted;

const CARD: &str = "README.md";
const LONGEST_LICENCE: usize = 64;

/// Read before the repo is made: where they are wrong, it is not.
pub fn read(wanted: &RepoWanted) -> Result<Vec<(RepoPath, Bytes)>, HttpError> {
    let mut files = Vec::new();
    for file in wanted.files.iter().flatten() {
        let path = path_of(&file.path)?;
        if file.encoding.as_deref().is_some_and(|encoding| encoding != "base64") {
            return Err(bad("bad_commit", format!("the content of '{path}' is not in base64"), "send it in base64"));
        }
        let content = STANDARD.decode(file.content.as_bytes());
        let content = content.map_err(|e| bad("bad_commit", format!("the content of '{path}': {e}"), "send it in base64"))?;
        files.push((path, content.into()));
    }
    if let Some(license) = wanted.license.as_deref().filter(|_| files.iter().all(|(path, _)| path.as_str() != CARD)) {
        let plain = license.len() <= LONGEST_LICENCE && license.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._+".contains(&b));
        if !plain || license.is_empty() {
            return Err(bad("bad_license", "this is no licence's identifier", "send one such as 'apache-2.0'"));
        }
        files.push((path_of(CARD)?, format!("---\nlicense: {license}\n---\n").into()));
    }
    Ok(files)
}

/// Publishes them in a repo that was just made.
pub async fn publish(
    service: &Service,
    actor: &Actor,
    kind: RepoKind,
    id: &RepoId,
    files: Vec<(RepoPath, Bytes)>,
) -> Result<(), HttpError> {
    if files.is_empty() {
        return Ok(());
    }
    let mut operations = Vec::with_capacity(files.len());
    for (path, content) in files {
        let (digest, size_bytes) = (Digest::of(&content), Some(content.len() as u64));
        store(service, actor, digest, content).await?;
        operations.push(Operation::Put { path, digest, size_bytes });
    }
    let edit = Edit { message: "first files".into(), operations, ..Edit::default() };
    service.edit_repo(actor, kind, id, edit).await.map(drop).map_err(refused)
}
