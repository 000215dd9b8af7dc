//! Making versions: files the server already holds become an immutable snapshot, in one transaction.
//!
//! Long reading comes first, outside the transaction; inside, `main` must still stand where the caller saw it.
//! A crash before the commit leaves blobs without names, never a name without bytes.

use std::collections::HashSet;
use std::sync::Arc;

use super::check_dataset::is_paper;
use super::read_facts::{Earlier, Reading};
use super::{Error, Result, Service, access, uploads};
use crate::catalog::search::fold_repo;
use crate::catalog::{blobs, facts, lineage, refs, repos, versions};
use crate::db::Tx;
use crate::domain::digest::Digest;
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::{Repo, TrainedAs, Version, VersionState};
use crate::domain::revision::RefName;
use crate::domain::time::Timestamp;
use crate::domain::user::Actor;

/// Longest message in bytes.
const LONGEST_MESSAGE: usize = 4_000;
/// Tags of one commit.
const MOST_TAGS: usize = 50;

/// A version to be made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Commit {
    pub message: String,
    /// The version `main` was seen at; `None` for the first.
    pub parent: Option<u32>,
    /// The whole version.
    pub files: Vec<ManifestEntry>,
    pub tags: Vec<RefName>,
    /// Versions of base models, where whoever made this knows them better than its card says.
    pub bases: Vec<(RepoId, u32)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    pub version: Version,
    /// False where the files are those of `main` already.
    pub created: bool,
    pub warnings: Vec<String>,
}

/// What else the transaction that makes a version does: both happen, or neither.
pub(super) type Also = Arc<dyn Fn(&mut Tx<'_>, &Version) -> Result<()> + Send + Sync>;

/// What the first look at the catalog found.
struct Seen {
    head: Option<Version>,
    earlier: Earlier,
}

impl Service {
    /// May the caller make versions of this repo? Asked before anything else of a request is looked at.
    pub async fn may_commit(&self, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<()> {
        let (asker, name) = (actor.clone(), id.clone());
        self.db.read(move |tx| access::write_repo(tx, &asker, kind, &name).map(drop)).await
    }

    pub async fn commit(&self, actor: &Actor, kind: RepoKind, id: &RepoId, commit: Commit) -> Result<Committed> {
        self.commit_proved(actor, kind, id, commit, HashSet::new(), None).await
    }

    /// As [`Service::commit`]; the bytes of `proved` were in the caller's own hands.
    pub(super) async fn commit_proved(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        mut commit: Commit,
        proved: HashSet<Digest>,
        also: Option<Also>,
    ) -> Result<Committed> {
        let manifest = Manifest::new(std::mem::take(&mut commit.files))
            .map_err(|e| Error::invalid("bad_manifest", e.to_string(), "correct the list of files and publish again"))
            .and_then(|manifest| check_words(&commit).map(|()| manifest));
        let (asker, name) = (actor.clone(), id.clone());
        let looked = self.db.read(move |tx| {
            let repo = access::write_repo(tx, &asker, kind, &name)?;
            // What is wrong with it is said to those only who may write.
            let manifest = manifest?;
            let seen = look(tx, &repo, &asker, &manifest, &proved)?;
            Ok::<_, Error>((manifest, seen))
        });
        let (manifest, seen) = looked.await?;
        if let Some(head) = seen.head.filter(|head| head.manifest == manifest.digest()) {
            return self.tag_same(actor, kind, id, head, commit.tags, also).await;
        }
        let reading = self.read_facts(kind, &manifest, seen.earlier).await?;
        let (actor, id, now) = (actor.clone(), id.clone(), self.now());
        self.db
            .write(move |tx| {
                let repo = access::write_repo(tx, &actor, kind, &id)?;
                let warnings = reading.facts.warnings.clone();
                let author = actor.name().map_or_else(|| "hub".to_owned(), ToString::to_string);
                let version = write(tx, repo, &commit, &manifest, reading, author, now)?;
                also.map_or(Ok(()), |also| also(tx, &version))?;
                Ok(Committed { version, created: true, warnings })
            })
            .await
    }

    /// Nothing new to publish; the tags are set all the same.
    async fn tag_same(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        head: Version,
        tags: Vec<RefName>,
        also: Option<Also>,
    ) -> Result<Committed> {
        let (actor, id, now) = (actor.clone(), id.clone(), self.now());
        self.db
            .write(move |tx| {
                let repo = access::write_repo(tx, &actor, kind, &id)?;
                set_tags(tx, &repo, &head, &tags, now)?;
                also.map_or(Ok(()), |also| also(tx, &head))?;
                let warnings = facts::find(tx, &repo.key, head.number)?.unwrap_or_default().warnings;
                Ok(Committed { version: head, created: false, warnings })
            })
            .await
    }
}

fn check_words(commit: &Commit) -> Result<()> {
    let message = &commit.message;
    if message.len() > LONGEST_MESSAGE || message.chars().any(|c| c.is_control() && c != '\n') {
        let problem = format!("a commit message has at most {LONGEST_MESSAGE} bytes and no control characters");
        return Err(Error::invalid("bad_message", problem, "shorten it, or put the text into README.md"));
    }
    if commit.tags.len() > MOST_TAGS {
        return Err(Error::invalid("too_many_tags", format!("a commit sets at most {MOST_TAGS} tags"), "set the others afterwards"));
    }
    Ok(())
}

/// The caller's right to every blob, and where `main` stands.
fn look(tx: &mut Tx<'_>, repo: &Repo, actor: &Actor, manifest: &Manifest, proved: &HashSet<Digest>) -> Result<Seen> {
    let head = versions::find_head(tx, &repo.key)?;
    let before = match &head {
        Some(head) => versions::files(tx, &repo.key, head.number)?,
        None => Vec::new(),
    };
    let held: HashSet<Digest> = before.iter().map(|file| file.digest).collect();
    let visible = access::visible_to(tx, actor)?;
    for entry in manifest.entries() {
        let size = if proved.contains(&entry.digest) || held.contains(&entry.digest) {
            blobs::find_size(tx, &entry.digest)?
        } else {
            uploads::entitlement(tx, &entry.digest, actor.account(), &visible)?
        };
        match size {
            Some(size) if size == entry.size_bytes => {}
            Some(size) => {
                let message = format!("'{}' has {size} bytes, not {}", entry.path, entry.size_bytes);
                return Err(Error::invalid("size_mismatch", message, "list the file's true size"));
            }
            None => {
                let message = format!("the bytes of '{}' (sha256 {}) were not sent", entry.path, entry.digest);
                return Err(Error::invalid("blob_unknown", message, "upload the file first, then commit"));
            }
        }
    }
    let mut earlier = Earlier { scanned: held, dataset: None };
    if let (RepoKind::Dataset, Some(head)) = (repo.kind, &head) {
        let data = |path: &str| path_is_data(path);
        let old: Vec<_> = before.iter().filter(|f| data(&f.path)).map(|f| (f.path.as_str(), f.digest)).collect();
        let new: Vec<_> = manifest.entries().iter().filter(|e| !is_paper(&e.path)).map(|e| (e.path.as_str(), e.digest)).collect();
        if old == new {
            let mut found = facts::find(tx, &repo.key, head.number)?.unwrap_or_default();
            facts::complete(tx, &repo.key, head.number, &mut found)?;
            earlier.dataset = Some((found, facts::previews(tx, &repo.key, head.number)?));
        }
    }
    Ok(Seen { head, earlier })
}

fn path_is_data(path: &str) -> bool {
    crate::domain::path::RepoPath::parse(path).is_ok_and(|path| !is_paper(&path))
}

/// The write transaction of a publish.
fn write(
    tx: &mut Tx<'_>,
    mut repo: Repo,
    commit: &Commit,
    manifest: &Manifest,
    reading: Reading,
    author: String,
    now: Timestamp,
) -> Result<Version> {
    let head = versions::find_head(tx, &repo.key)?;
    check_parent(&repo, head.as_ref(), commit.parent)?;
    let version = Version {
        number: repos::next_number(tx, &repo.key)?,
        commit: manifest.commit_id(),
        manifest: manifest.digest(),
        parent: head.map(|head| head.number),
        author,
        message: commit.message.trim().to_owned(),
        created: now,
        state: VersionState::Live,
        files: manifest.entries().len() as u64,
        total_bytes: manifest.total_bytes(),
    };
    let (key, number) = (repo.key.clone(), version.number);
    still_there(tx, manifest)?;
    versions::insert(tx, &key, &version, manifest, &facts::encode(&reading.facts))?;
    facts::insert_details(tx, &key, number, &reading.facts, &reading.card_text, &reading.previews)?;
    write_lineage(tx, &repo, number, commit, &reading)?;
    if repo.summary.is_empty() {
        repo.summary = reading.summary;
    }
    move_main(tx, &mut repo, Some(&version), now)?;
    set_tags(tx, &repo, &version, &commit.tags, now)?;
    Ok(version)
}

/// Reading a manifest's files may take long, and the collector does not wait for it: what the first look found
/// must be there now, in the transaction that names it.
fn still_there(tx: &mut Tx<'_>, manifest: &Manifest) -> Result<()> {
    for entry in manifest.entries() {
        if blobs::find_size(tx, &entry.digest)? != Some(entry.size_bytes) {
            let message = format!("the bytes of '{}' (sha256 {}) were sent too long ago and are gone", entry.path, entry.digest);
            return Err(Error::invalid("blob_unknown", message, "upload the file again, then commit"));
        }
    }
    Ok(())
}

/// `main` moves only from where the caller saw it.
fn check_parent(repo: &Repo, head: Option<&Version>, parent: Option<u32>) -> Result<()> {
    let stands = head.map(|head| head.number);
    if stands == parent {
        return Ok(());
    }
    let at = stands.map_or("nothing yet".to_owned(), |number| format!("version {number}"));
    let seen = parent.map_or("nothing".to_owned(), |number| format!("version {number}"));
    Err(Error::conflict(
        "head_moved",
        format!("'main' of '{}' stands at {at}, and this publish builds upon {seen}", repo.id),
        "look at what changed, then publish again upon that version",
    ))
}

fn write_lineage(tx: &mut Tx<'_>, repo: &Repo, number: u32, commit: &Commit, reading: &Reading) -> Result<()> {
    if repo.kind != RepoKind::Model {
        return Ok(());
    }
    let facts = &reading.facts;
    let known = |written: &str| commit.bases.iter().find(|(id, _)| id.folded() == fold_repo(written)).map(|(_, number)| *number);
    let mut bases: Vec<_> = facts.base_models.iter().map(|written| (written.clone(), known(written))).collect();
    for (id, base_number) in &commit.bases {
        if bases.iter().all(|(written, _)| fold_repo(written) != id.folded()) {
            bases.push((id.to_string(), Some(*base_number)));
        }
    }
    let trained_as = if bases.is_empty() { TrainedAs::Pretrained } else { TrainedAs::FineTuned };
    lineage::insert_sources(tx, &repo.key, number, &facts.source_datasets, trained_as)?;
    Ok(lineage::insert_bases(tx, &repo.key, number, &bases)?)
}

/// Lets `main` name a version, or nothing, and lists and searches know it.
pub(super) fn move_main(tx: &mut Tx<'_>, repo: &mut Repo, version: Option<&Version>, now: Timestamp) -> Result<()> {
    match version {
        Some(version) => refs::set(tx, &repo.key, &RefName::main(), version.number, now)?,
        None => refs::delete(tx, &repo.key, &RefName::main())?,
    }
    repo.updated = now;
    repos::update(tx, repo)?;
    Ok(facts::set_head(tx, repo, version)?)
}

/// Tags are given, never moved, by a commit.
fn set_tags(tx: &mut Tx<'_>, repo: &Repo, version: &Version, tags: &[RefName], now: Timestamp) -> Result<()> {
    for tag in tags {
        if tag.is_main() {
            continue;
        }
        match refs::find(tx, &repo.key, tag)? {
            Some(at) if at.number != version.number => {
                let message = format!("the tag '{tag}' of '{}' names version {} already", repo.id, at.number);
                return Err(Error::conflict("ref_moved", message, "choose another tag, or move this one with its present version given"));
            }
            _ => refs::set(tx, &repo.key, tag, version.number, now)?,
        }
    }
    Ok(())
}
