//! `/api/models/{id}/tree/{revision}[/{folder}]`: files and folders below a folder, page by page.

use std::collections::BTreeSet;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::{asks, next_page, oid, pointer_bytes, refuse};
use crate::domain::digest::Digest;
use crate::domain::mark::Mark;
use crate::domain::path::composed;
use crate::domain::repo::{FileEntry, Version};
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{FileAt, Query, VersionAt};
use crate::service::{self, Service};
use crate::wire::hf::{LastCommit, SecurityFileStatus, TreeEntry, TreeFile, TreeLfs};

/// Entries of one page.
const PAGE: usize = 1_000;
/// The same where each file's history is asked for.
const EXPANDED_PAGE: usize = 50;

pub async fn top(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: VersionAt, query: Query) -> Answer {
    let (version, files) = service.list_files(&caller.0, at.kind, &at.id, &at.revision).await.map_err(refuse)?;
    let listed = entries(&files, "", asks(&query, "recursive"));
    answer(&request, &service, &caller, &at, version, listed, &query).await
}

pub async fn folder(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: FileAt, query: Query) -> Answer {
    let (version, files) = service.list_files(&caller.0, at.kind, &at.id, &at.revision).await.map_err(refuse)?;
    let below = find_folder(&files, at.path.as_str()).unwrap_or_default();
    let listed = if below.is_empty() { Vec::new() } else { entries(&files, &below, asks(&query, "recursive")) };
    if listed.is_empty() {
        let message = format!("version {} of '{}' has no folder '{}'", version.number, at.id, at.path);
        return Err(refuse(service::Error::not_found("file_not_found", message, "list the whole tree")));
    }
    let at = VersionAt { kind: at.kind, id: at.id, revision: at.revision };
    answer(&request, &service, &caller, &at, version, listed, &query).await
}

/// A folder as its files write it, with `/` at its end; the letters of its name may be composed in another way.
pub(super) fn find_folder(files: &[FileEntry], wanted: &str) -> Option<String> {
    let folders = |file: &FileEntry| file.path.match_indices('/').map(|(at, _)| at + 1).collect::<Vec<_>>();
    let exact = format!("{wanted}/");
    if wanted.is_ascii() || files.iter().any(|file| file.path.starts_with(&exact)) {
        return files.iter().any(|file| file.path.starts_with(&exact)).then_some(exact);
    }
    let same = |folder: &&str| composed(folder) == composed(&exact);
    files.iter().find_map(|file| folders(file).into_iter().map(|end| &file.path[..end]).find(same).map(str::to_owned))
}

/// What lies below a folder (`""` or with `/` at its end), by path; its folders are entries too.
fn entries(files: &[FileEntry], below: &str, recursive: bool) -> Vec<TreeEntry> {
    let mut folders = BTreeSet::new();
    let mut entries = Vec::new();
    for file in files {
        let Some(rest) = file.path.strip_prefix(below) else { continue };
        let steps = rest.match_indices('/').map(|(at, _)| &file.path[..below.len() + at]);
        folders.extend(if recursive { steps.collect::<Vec<_>>() } else { steps.take(1).collect() });
        if recursive || !rest.contains('/') {
            entries.push(of_file(file));
        }
    }
    entries.extend(folders.into_iter().map(of_folder));
    entries.sort_by(|a, b| path(a).cmp(path(b)));
    entries
}

pub(super) fn of_file(file: &FileEntry) -> TreeEntry {
    let lfs = TreeLfs { oid: file.digest.to_hex(), size: file.size_bytes, pointer_size: pointer_bytes(file.size_bytes) };
    let (oid, size, path) = (oid(&file.digest), file.size_bytes, file.path.clone());
    TreeEntry::File(Box::new(TreeFile { oid, size, path, lfs, last_commit: None, security_file_status: None, mark: file.mark }))
}

pub(super) fn of_folder(path: &str) -> TreeEntry {
    TreeEntry::Directory { oid: oid(&Digest::of(path.as_bytes())), size: 0, path: path.to_owned() }
}

fn path(entry: &TreeEntry) -> &str {
    match entry {
        TreeEntry::File(file) => &file.path,
        TreeEntry::Directory { path, .. } => path,
    }
}

/// One page; the cursor is the path the page before ended with.
async fn answer(
    request: &HttpRequest,
    service: &Service,
    caller: &Caller,
    at: &VersionAt,
    version: Version,
    entries: Vec<TreeEntry>,
    query: &Query,
) -> Answer {
    let expand = asks(query, "expand");
    let after = query.find("cursor");
    let mut rest = entries.into_iter().skip_while(|entry| after.is_some_and(|after| path(entry) <= after));
    let mut page: Vec<TreeEntry> = rest.by_ref().take(if expand { EXPANDED_PAGE } else { PAGE }).collect();
    let mut response = HttpResponse::Ok();
    if let (Some(last), Some(_)) = (page.last(), rest.next()) {
        response.insert_header(next_page(request, path(last))?);
    }
    if expand {
        add_history(service, caller, at, version.number, &mut page).await?;
    }
    Ok(response.json(page))
}

/// When each file got its present bytes.
pub(super) async fn add_history(
    service: &Service,
    caller: &Caller,
    at: &VersionAt,
    number: u32,
    page: &mut [TreeEntry],
) -> Result<(), HttpError> {
    let paths: Vec<String> = page.iter().map(|entry| path(entry).to_owned()).collect();
    let mut changes = service.last_changes(&caller.0, at.kind, &at.id, number, paths).await.map_err(refuse)?;
    for entry in page {
        let TreeEntry::File(file) = entry else { continue };
        let (status, pickle_import_scan) = match file.mark {
            None | Some(Mark::Unscanned) => ("unscanned", None),
            Some(Mark::Clean) => ("safe", None),
            Some(Mark::Pickle) => ("caution", Some(json!({ "status": "safe", "highestSafetyLevel": "innocuous" }))),
            Some(Mark::Unsafe) => ("unsafe", Some(json!({ "status": "unsafe", "highestSafetyLevel": "dangerous" }))),
        };
        // Nobody looks for viruses here.
        file.security_file_status = Some(SecurityFileStatus { status, av_scan: None, pickle_import_scan });
        file.last_commit = changes.remove(&file.path).map(|version| LastCommit {
            id: version.commit.to_string(),
            title: super::commits::title(&version),
            date: version.created.to_string(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_entries_and_depth_is_asked_for() {
        let file = |path: &str| FileEntry { path: path.into(), size_bytes: 1, digest: Digest::of(path.as_bytes()), mark: None };
        let files = ["README.md", "a/b/c.txt", "a/d.txt", "ab.txt"].map(file);
        let listed = |below: &str, recursive| {
            let entries = entries(&files, below, recursive);
            entries.iter().map(|entry| path(entry).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(listed("", true), ["README.md", "a", "a/b", "a/b/c.txt", "a/d.txt", "ab.txt"]);
        assert_eq!(listed("", false), ["README.md", "a", "ab.txt"]);
        assert_eq!(listed("a/", false), ["a/b", "a/d.txt"]);
        assert_eq!(listed("a/b/", true), ["a/b/c.txt"]);
        assert!(listed("x/", true).is_empty());
    }
}
