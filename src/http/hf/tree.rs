//! `/api/models/{id}/tree/{revision}[/{folder}]`: files and folders below a folder, page by page.

use std::collections::BTreeSet;

use actix_web::http::header::LINK;
use actix_web::{HttpRequest, HttpResponse, web};

use super::{oid, pointer_bytes, refuse};
use crate::domain::digest::Digest;
use crate::domain::repo::FileEntry;
use crate::http::Site;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{FileAt, Query, VersionAt};
use crate::service::{self, Service};
use crate::wire::hf::{TreeEntry, TreeLfs};

/// Entries of one page.
const PAGE: usize = 1_000;

pub async fn top(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: VersionAt, query: Query) -> Answer {
    let (_, files) = service.list_files(&caller.0, at.kind, &at.id, &at.revision).await.map_err(refuse)?;
    answer(&request, entries(&files, "", recursive(&query)), &query)
}

pub async fn folder(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: FileAt, query: Query) -> Answer {
    let (version, files) = service.list_files(&caller.0, at.kind, &at.id, &at.revision).await.map_err(refuse)?;
    let below = format!("{}/", at.path);
    let entries = entries(&files, &below, recursive(&query));
    if entries.is_empty() {
        let message = format!("version {} of '{}' has no folder '{}'", version.number, at.id, at.path);
        return Err(refuse(service::Error::not_found("file_not_found", message, "list the whole tree")));
    }
    answer(&request, entries, &query)
}

fn recursive(query: &Query) -> bool {
    query.find("recursive").is_some_and(|text| text.eq_ignore_ascii_case("true") || text == "1")
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
            let lfs = TreeLfs { oid: file.digest.to_hex(), size: file.size_bytes, pointer_size: pointer_bytes(file.size_bytes) };
            entries.push(TreeEntry::File { oid: oid(&file.digest), size: file.size_bytes, path: file.path.clone(), lfs });
        }
    }
    let folder = |path: &str| TreeEntry::Directory { oid: oid(&Digest::of(path.as_bytes())), size: 0, path: path.to_owned() };
    entries.extend(folders.into_iter().map(folder));
    entries.sort_by(|a, b| path(a).cmp(path(b)));
    entries
}

fn path(entry: &TreeEntry) -> &str {
    match entry {
        TreeEntry::File { path, .. } | TreeEntry::Directory { path, .. } => path,
    }
}

/// One page; the cursor is the path the page before ended with. Clients follow only absolute links.
fn answer(request: &HttpRequest, entries: Vec<TreeEntry>, query: &Query) -> Answer {
    let after = query.find("cursor");
    let mut rest = entries.into_iter().skip_while(|entry| after.is_some_and(|after| path(entry) <= after));
    let page: Vec<TreeEntry> = rest.by_ref().take(PAGE).collect();
    let mut response = HttpResponse::Ok();
    if let (Some(last), Some(_)) = (page.last(), rest.next()) {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        for key in ["recursive", "expand"] {
            text.extend_pairs(query.find(key).map(|value| (key, value)));
        }
        let next = text.append_pair("cursor", path(last)).finish();
        let address = Site::of(request)?.address(request);
        let link = format!("<{address}{}?{next}>; rel=\"next\"", request.uri().path());
        response.insert_header((LINK, link));
    }
    Ok::<_, HttpError>(response.json(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_entries_and_depth_is_asked_for() {
        let file = |path: &str| FileEntry { path: path.into(), size_bytes: 1, digest: Digest::of(path.as_bytes()) };
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
