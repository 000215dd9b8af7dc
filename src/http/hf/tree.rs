//! `/api/models/{id}/tree/{revision}[/{folder}]`: files and folders below a folder, page by page.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::{asks, next_page, oid, pointer_bytes, refuse};
use crate::domain::digest::Digest;
use crate::domain::mark::Mark;
use crate::domain::repo::FileEntry;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{FileAt, Query, VersionAt};
use crate::http::rates::share;
use crate::service::Service;
use crate::service::repos::tree::{Node, Wanted};
use crate::wire::hf::{LastCommit, SecurityFileStatus, TreeEntry, TreeFile, TreeLfs};

/// Entries of one page.
const PAGE: usize = 1_000;
/// The same where each file's history is asked for.
const EXPANDED_PAGE: usize = 50;

pub async fn top(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: VersionAt, query: Query) -> Answer {
    answer(&request, &service, &caller, &at, String::new(), &query).await
}

pub async fn folder(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: FileAt, query: Query) -> Answer {
    let below = at.path.to_string();
    let at = VersionAt { kind: at.kind, id: at.id, revision: at.revision };
    answer(&request, &service, &caller, &at, below, &query).await
}

pub(super) fn of_node(node: &Node) -> TreeEntry {
    match node {
        Node::File(file) => of_file(file),
        Node::Folder(path) => TreeEntry::Directory { oid: oid(&Digest::of(path.as_bytes())), size: 0, path: path.clone() },
    }
}

fn of_file(file: &FileEntry) -> TreeEntry {
    let lfs = TreeLfs { oid: file.digest.to_hex(), size: file.size_bytes, pointer_size: pointer_bytes(file.size_bytes) };
    let (oid, size, path) = (oid(&file.digest), file.size_bytes, file.path.clone());
    TreeEntry::File(Box::new(TreeFile { oid, size, path, lfs, last_commit: None, security_file_status: None, mark: file.mark }))
}

fn path(entry: &TreeEntry) -> &str {
    match entry {
        TreeEntry::File(file) => &file.path,
        TreeEntry::Directory { path, .. } => path,
    }
}

/// One page; the cursor is the place the page before ended at.
async fn answer(request: &HttpRequest, service: &Service, caller: &Caller, at: &VersionAt, below: String, query: &Query) -> Answer {
    let expand = asks(query, "expand");
    let (after, limit) = (query.find("cursor").map(str::to_owned), if expand { EXPANDED_PAGE } else { PAGE });
    let wanted = Wanted { below, recursive: asks(query, "recursive"), after, limit };
    let _turn = service.work().turn(&share(request, &caller.0)?).await.map_err(refuse)?;
    let found = service.list_tree(&caller.0, at.kind, &at.id, &at.revision, wanted).await.map_err(refuse)?;
    let mut response = HttpResponse::Ok();
    if let Some(place) = &found.next {
        response.insert_header(next_page(request, place)?);
    }
    let mut page: Vec<TreeEntry> = found.nodes.iter().map(of_node).collect();
    if expand {
        add_history(service, caller, at, found.version.number, &mut page).await?;
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
