//! `/api/models/{id}` and `/api/datasets/{id}`, also at a revision.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};

use super::{oid, pointer_bytes, refuse};
use crate::domain::name::RepoKind;
use crate::domain::repo::{FileEntry, RepoSummary, TensorEntry};
use crate::domain::revision::Revision;
use crate::http::caller::Caller;
use crate::http::error::Answer;
use crate::http::extract::{Query, RepoAt, VersionAt};
use crate::service::Service;
use crate::wire::hf::{RepoInfo, Safetensors, Sibling, SiblingLfs};

pub async fn show(service: web::Data<Service>, caller: Caller, at: RepoAt, query: Query) -> Answer {
    let at = VersionAt { kind: at.kind, id: at.id, revision: Revision::main() };
    show_at(service, caller, at, query).await
}

pub async fn show_at(service: web::Data<Service>, caller: Caller, at: VersionAt, query: Query) -> Answer {
    let found = service.get_repo_at(&caller.0, at.kind, &at.id, &at.revision).await.map_err(refuse)?;
    // By number from here on: `main` may move between two looks.
    let pinned = found.head.as_ref().map_or(at.revision, |head| Revision::Number(head.number));
    let (_, files) = service.list_files(&caller.0, at.kind, &at.id, &pinned).await.map_err(refuse)?;
    let tensors = service.list_tensors(&caller.0, at.kind, &at.id, &pinned).await.map_err(refuse)?;
    let blobs = query.find("blobs").is_some_and(|text| text.eq_ignore_ascii_case("true") || text == "1");
    Ok(HttpResponse::Ok().json(describe(at.kind, found, files, &tensors, blobs)))
}

fn describe(kind: RepoKind, found: RepoSummary, files: Vec<FileEntry>, tensors: &[TensorEntry], blobs: bool) -> RepoInfo {
    let RepoSummary { repo, head, facts } = found;
    let mut tags = facts.tags.clone();
    tags.extend(Some(facts.library.clone()).filter(|library| !library.is_empty() && !facts.tags.contains(library)));
    tags.extend(Some(&facts.license).filter(|license| !license.is_empty()).map(|license| format!("license:{license}")));
    tags.extend(facts.source_datasets.iter().map(|dataset| format!("dataset:{dataset}")));
    tags.extend(facts.base_models.iter().map(|base| format!("base_model:{base}")));
    let said = |text: String| Some(text).filter(|text| !text.is_empty());
    RepoInfo {
        key: repo.key.to_string(),
        id: repo.id.to_string(),
        model_id: repo.id.to_string(),
        author: repo.id.namespace().to_string(),
        sha: head.as_ref().map(|head| head.commit.to_string()).unwrap_or_default(),
        last_modified: repo.updated.to_string(),
        created_at: repo.created.to_string(),
        private: repo.private,
        gated: false,
        disabled: false,
        downloads: repo.downloads,
        likes: 0,
        tags,
        library_name: said(facts.library),
        pipeline_tag: said(facts.task).filter(|_| kind == RepoKind::Model),
        siblings: files.into_iter().map(|file| sibling(file, blobs)).collect(),
        used_storage: head.map_or(0, |head| head.total_bytes),
        safetensors: parameters(tensors),
    }
}

fn sibling(file: FileEntry, blobs: bool) -> Sibling {
    let lfs = SiblingLfs { sha256: file.digest.to_hex(), size: file.size_bytes, pointer_size: pointer_bytes(file.size_bytes) };
    Sibling {
        rfilename: file.path,
        size: blobs.then_some(file.size_bytes),
        blob_id: blobs.then(|| oid(&file.digest)),
        lfs: blobs.then_some(lfs),
    }
}

fn parameters(tensors: &[TensorEntry]) -> Option<Safetensors> {
    let mut parameters = BTreeMap::new();
    for tensor in tensors {
        *parameters.entry(tensor.dtype.clone()).or_insert(0) += tensor.shape.iter().product::<u64>();
    }
    let total = parameters.values().sum();
    (!parameters.is_empty()).then_some(Safetensors { parameters, total })
}
