//! A repo in the dialect's words: what is always said, and what costs a look into files and is only said where it
//! was asked for.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{asks, oid, pointer_bytes};
use crate::domain::mark::Mark;
use crate::domain::name::RepoKind;
use crate::domain::repo::{Facts, FileEntry, Repo, RepoSummary, TensorEntry};
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::http::error::HttpError;
use crate::http::extract::Query;
use crate::http::rows::{self, Rows};
use crate::service::repos::listing::Listing;
use crate::service::work::Whose;
use crate::service::{self, Service};
use crate::wire::hf::{FileIssue, RepoInfo, Safetensors, SecurityRepoStatus, Sibling, SiblingLfs};

/// What of `config.json` an answer repeats; the file itself is one request away.
const CONFIG_KEYS: &[&str] = &["architecture", "architectures", "model_type", "num_classes", "num_features", "auto_map"];

/// Files with issues that an answer names.
const MOST_ISSUES: usize = 10_000;

/// Who asks, and whose turn that takes.
pub struct Asker<'a> {
    pub actor: &'a Actor,
    pub whose: Whose,
}

/// What an answer shall hold beside the catalog's facts.
#[derive(Debug, Default)]
pub struct Wanted {
    siblings: bool,
    /// Sizes and digests of the siblings.
    blobs: bool,
    card: bool,
    config: bool,
    safetensors: bool,
    security: bool,
    /// What this hub measured of it.
    measured: bool,
    /// Nothing but these keys; empty for all.
    only: Vec<String>,
}

impl Wanted {
    /// About one repo.
    pub fn of_one(query: &Query) -> Wanted {
        let all = Wanted { siblings: true, card: true, config: true, safetensors: true, ..Wanted::default() };
        Wanted { blobs: asks(query, "blobs"), security: asks(query, "securityStatus"), ..Wanted::expanded(query).unwrap_or(all) }
    }

    /// In a list, where each of these costs a look at every repo.
    pub fn of_many(query: &Query) -> Wanted {
        let (full, card, config) = (asks(query, "full"), asks(query, "cardData"), asks(query, "config"));
        Wanted::expanded(query).unwrap_or(Wanted { siblings: full, card, config, ..Wanted::default() })
    }

    fn expanded(query: &Query) -> Option<Wanted> {
        let only: Vec<String> = ["expand", "expand[]"].iter().flat_map(|key| query.all(key)).map(str::to_owned).collect();
        let has = |key: &str| only.iter().any(|wanted| wanted == key);
        let wanted = Wanted {
            siblings: has("siblings"),
            card: has("cardData") || has("model-index"),
            config: has("config"),
            safetensors: has("safetensors"),
            security: has("securityRepoStatus"),
            measured: has("evalResults"),
            blobs: false,
            only: only.clone(),
        };
        (!only.is_empty()).then_some(wanted)
    }

    /// Does it need more than the catalog's facts?
    pub fn looks_into_files(&self) -> bool {
        self.siblings || self.card || self.config || self.safetensors
    }

    /// The repo as it stands at its `head`; its siblings are read when they are written.
    pub async fn describe(&self, service: &Service, asker: &Asker<'_>, found: RepoSummary) -> Result<Rows, HttpError> {
        let actor = asker.actor;
        let mut listing = None;
        let (kind, id) = (found.repo.kind, found.repo.id.clone());
        let mut info = known(&found.repo, &found.facts);
        if let Some(head) = &found.head {
            info.sha = Some(head.commit.to_string());
            info.used_storage = head.total_bytes;
            let revision = Revision::Manifest(head.manifest);
            if self.siblings {
                listing = Some(service.open_listing(actor, asker.whose.clone(), kind, &id, &revision).await?);
            }
            if self.card || self.config {
                let papers = service.papers(actor, kind, &id, &revision).await?;
                info.model_index = papers.card.get("model-index").cloned().filter(|_| self.card);
                info.card_data = Some(papers.card).filter(|card| self.card && !card.is_empty());
                info.config = papers.config.map(short).filter(|_| self.config);
            }
            if self.safetensors && kind == RepoKind::Model {
                let _turn = service.work().next_turn(&asker.whose).await?;
                info.safetensors = match service.list_tensors(actor, kind, &id, &revision).await {
                    Ok(tensors) => parameters(&tensors),
                    // Whoever asks for that file is told; the others are as they were.
                    Err(service::Error::Corrupt(_)) => None,
                    Err(other) => return Err(other.into()),
                };
            }
        }
        if self.security {
            info.security_repo_status = Some(security(service, asker, &found).await?);
        }
        if self.measured && kind == RepoKind::Model {
            info.eval_results = Some(super::leaderboard::results(service, actor, &id).await?);
        }
        let written = serde_json::to_value(info).and_then(|info| serde_json::to_vec(&self.narrowed(info)));
        let before = written.map_err(|e| HttpError::internal(e.to_string()))?;
        Ok(self.with_siblings(before, listing))
    }

    /// They are the last of an object's keys.
    fn with_siblings(&self, mut before: Vec<u8>, listing: Option<Listing>) -> Rows {
        let write = if self.blobs { whole_sibling } else { short_sibling };
        let mut after = Vec::new();
        if self.siblings {
            before.pop();
            before.extend_from_slice(br#","siblings":["#);
            after.extend_from_slice(b"]}");
        }
        Rows { before, listing, write, separator: b",", after }
    }

    fn narrowed(&self, mut info: Value) -> Value {
        if let (Some(object), false) = (info.as_object_mut(), self.only.is_empty()) {
            object.retain(|key, _| ["_id", "id", "modelId"].contains(&key.as_str()) || self.only.iter().any(|wanted| wanted == key));
        }
        info
    }
}

/// A scan is done where every file was looked into; what is no plain data is an issue.
async fn security(service: &Service, asker: &Asker<'_>, found: &RepoSummary) -> Result<SecurityRepoStatus, HttpError> {
    let mut status = SecurityRepoStatus { scans_done: true, files_with_issues: Vec::new() };
    let Some(head) = &found.head else { return Ok(status) };
    let (repo, revision) = (&found.repo, Revision::Manifest(head.manifest));
    let mut listing = service.open_listing(asker.actor, asker.whose.clone(), repo.kind, &repo.id, &revision).await?;
    let look = |files: &[FileEntry]| {
        let scanned = files.iter().all(|file| file.mark.is_some_and(|mark| mark != Mark::Unscanned));
        (scanned, files.iter().filter_map(issue).collect::<Vec<_>>())
    };
    while let Some((scanned, issues)) = listing.next(look).await? {
        status.scans_done &= scanned;
        status.files_with_issues.extend(issues);
        status.files_with_issues.truncate(MOST_ISSUES);
    }
    Ok(status)
}

fn issue(file: &FileEntry) -> Option<FileIssue> {
    let level = match file.mark? {
        Mark::Unsafe => "unsafe",
        Mark::Pickle => "caution",
        Mark::Clean | Mark::Unscanned => return None,
    };
    Some(FileIssue { path: file.path.clone(), level })
}

/// What the catalog knows.
fn known(repo: &Repo, facts: &Facts) -> RepoInfo {
    let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let model = repo.kind == RepoKind::Model;
    RepoInfo {
        key: repo.key.to_string(),
        id: repo.id.to_string(),
        model_id: repo.id.to_string(),
        author: repo.id.namespace().to_string(),
        last_modified: repo.updated.to_string(),
        created_at: repo.created.to_string(),
        private: repo.private,
        downloads: repo.downloads,
        downloads_all_time: repo.downloads,
        tags: tags(facts, model),
        library_name: said(&facts.library),
        pipeline_tag: said(&facts.task).filter(|_| model),
        description: said(&repo.summary).filter(|_| !model),
        ..RepoInfo::default()
    }
}

/// All that a list may be filtered by.
fn tags(facts: &Facts, model: bool) -> Vec<String> {
    let prefixed = |prefix: &'static str, value: &str| Some(value).filter(|v| !v.is_empty()).map(|value| format!("{prefix}{value}"));
    let mut tags = facts.tags.clone();
    let mut add = |tag: Option<String>| tags.extend(tag.filter(|tag| !facts.tags.contains(tag)));
    add(prefixed("", &facts.library));
    add(prefixed(if model { "" } else { "task_categories:" }, &facts.task));
    facts.source_datasets.iter().for_each(|dataset| add(prefixed("dataset:", dataset)));
    facts.base_models.iter().for_each(|base| add(prefixed("base_model:", base)));
    facts.license.split(", ").for_each(|license| add(prefixed("license:", license)));
    tags
}

fn short_sibling(file: &FileEntry, to: &mut Vec<u8>) -> serde_json::Result<()> {
    rows::json(&Sibling { rfilename: &file.path, size: None, blob_id: None, lfs: None }, to)
}

fn whole_sibling(file: &FileEntry, to: &mut Vec<u8>) -> serde_json::Result<()> {
    let lfs = SiblingLfs { sha256: file.digest.to_hex(), size: file.size_bytes, pointer_size: pointer_bytes(file.size_bytes) };
    let (size, blob_id) = (Some(file.size_bytes), Some(oid(&file.digest)));
    rows::json(&Sibling { rfilename: &file.path, size, blob_id, lfs: Some(lfs) }, to)
}

fn short(mut config: Map<String, Value>) -> Map<String, Value> {
    config.retain(|key, _| CONFIG_KEYS.contains(&key.as_str()));
    config
}

fn parameters(tensors: &[TensorEntry]) -> Option<Safetensors> {
    let mut parameters = BTreeMap::new();
    for tensor in tensors {
        let count = tensor.shape.iter().fold(1, |count: u64, side| count.saturating_mul(*side));
        let sum: &mut u64 = parameters.entry(tensor.dtype.clone()).or_default();
        *sum = sum.saturating_add(count);
    }
    let total = parameters.values().fold(0, |sum: u64, count| sum.saturating_add(*count));
    (!parameters.is_empty()).then_some(Safetensors { parameters, total })
}

/// Each repo of a list, a few at a time.
pub async fn describe_all(service: &Service, asker: &Asker<'_>, found: Vec<RepoSummary>, wanted: &Wanted) -> Result<Vec<Rows>, HttpError> {
    use futures_util::{StreamExt as _, TryStreamExt as _, stream};
    let described = stream::iter(found).map(|repo| wanted.describe(service, asker, repo));
    let mut all: Vec<Rows> = described.buffered(4).try_collect().await?;
    for (at, rows) in all.iter_mut().enumerate() {
        rows.before.insert(0, if at == 0 { b'[' } else { b',' });
    }
    let end = if all.is_empty() { b"[]".to_vec() } else { b"]".to_vec() };
    all.push(Rows { before: end, listing: None, write: short_sibling, separator: b",", after: Vec::new() });
    Ok(all)
}
