//! Making versions: files the server already holds become an immutable snapshot, in one transaction.
//!
//! Long reading comes first, outside the transaction; inside, the line (`lines`) must still stand where the caller saw it. Whether
//! the caller may write is asked in both transactions of a publish, the look and the write, and nowhere between.
//! A crash before the commit leaves blobs without names, never a name without bytes.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::people::quotas::room_in_namespace;
use super::super::storage::uploads;
use super::super::work::Whose;
use super::super::{Error, Policy, Result, Service, access};
use super::check_dataset::is_paper;
use super::discussions::{self, Opening};
use super::lines::{advance, branch, check_new_name, enter, files_of, head_of, set_tags, upon_a_pull_request};
use super::read_facts::{Earlier, Kept, Reading, renew_summary};
use crate::catalog::search::fold_repo;
use crate::catalog::{blobs, facts, lineage, refs, repos, usage, versions};
use crate::db::Tx;
use crate::domain::digest::Digest;
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::portable;
use crate::domain::repo::{FileEntry, RefKind, Repo, TrainedAs, Version, VersionState};
use crate::domain::revision::{Line, RefName};
use crate::domain::time::Timestamp;
use crate::domain::user::Actor;
use crate::service::people::journal::note_act;
use crate::service::webhooks::outbox;

/// Longest message in bytes.
const LONGEST_MESSAGE: usize = 4_000;
/// Tags of one commit.
const MOST_TAGS: usize = 50;

/// A version to be made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Commit {
    pub message: String,
    /// What it is made upon; a branch that is not there yet begins at `parent`.
    pub line: Line,
    /// The version the line was seen at; `None` for the first.
    pub parent: Option<u32>,
    /// The whole version.
    pub files: Vec<ManifestEntry>,
    pub tags: Vec<RefName>,
    /// Versions of base models, where whoever made this knows them better than its card says.
    pub bases: Vec<(RepoId, u32)>,
    /// It goes into a new pull request upon the line.
    pub opening: Option<Opening>,
    /// What else is to be said of it.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    pub version: Version,
    /// False where the files are those the line had already.
    pub created: bool,
    pub warnings: Vec<String>,
}

/// What else the transaction that makes a version does: both happen, or neither.
pub(in crate::service) type Also = Arc<dyn Fn(&mut Tx<'_>, &Version) -> Result<()> + Send + Sync>;

/// What the first look at the catalog found: `manifest` may be published upon `head`.
pub(super) struct Seen {
    manifest: Manifest,
    digest: Digest,
    /// What is to be said of its paths.
    said: Vec<String>,
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
    pub(in crate::service) async fn commit_proved(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        mut commit: Commit,
        proved: HashSet<Digest>,
        also: Option<Also>,
    ) -> Result<Committed> {
        let (asker, name) = (actor.clone(), id.clone());
        let turn = self.work.turn(&Whose::of(actor)).await?;
        let (commit, seen) = self
            .db
            .read(move |tx| {
                let repo = enter(tx, &asker, kind, &name, &commit.line, commit.opening.is_some())?;
                let head = start(tx, &repo, &commit)?;
                let before = files_of(tx, &repo, head.as_ref())?;
                let files = std::mem::take(&mut commit.files);
                let seen = look(tx, &asker, &repo, (head, before), (&commit, files), &proved)?;
                Ok::<_, Error>((commit, seen))
            })
            .await?;
        drop(turn);
        self.commit_seen(actor, kind, id, commit, seen, also).await
    }

    /// Makes the version of which the first look found nothing wrong; `commit` has its words, `seen` its files.
    pub(super) async fn commit_seen(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        commit: Commit,
        seen: Seen,
        also: Option<Also>,
    ) -> Result<Committed> {
        let Seen { manifest, digest, said, head, earlier } = seen;
        if let Some(head) = head.filter(|head| head.manifest == digest) {
            return self.tag_same(actor, kind, id, head, commit, also).await;
        }
        let mut reading = self.read_there(kind, &manifest, earlier, *actor != Actor::System).await?;
        reading.facts.warnings.extend(said.into_iter().chain(commit.warnings.iter().cloned()));
        let (actor, id, now, policy, note) = (actor.clone(), id.clone(), self.now(), self.policy.clone(), self.note()?);
        let (name, is_alone) = (format!("repo {kind} {}", id.folded()), also.is_some());
        let story = move |tx: &mut Tx<'_>| -> Result<Committed> {
            let repo = enter(tx, &actor, kind, &id, &commit.line, commit.opening.is_some())?;
            let warnings = reading.facts.warnings.clone();
            let version = write(tx, (&policy, &actor), repo, &commit, &manifest, reading, now)?;
            also.map_or(Ok(()), |also| also(tx, &version))?;
            note_act(tx, now, note, &actor, "publish", &format!("{kind} {id}"), &format!("version {}", version.number))?;
            Ok(Committed { version, created: true, warnings })
        };
        // What else is to happen changes more than the repo.
        if is_alone { self.db.write(story).await } else { self.db.write_beside(vec![name], story).await }
    }

    /// [`Service::read_facts`]. Where bytes were missing, since the collector does not wait for readers, the caller is told that they
    /// are gone; and they are read once more if somebody sent them again meanwhile.
    async fn read_there(&self, kind: RepoKind, manifest: &Manifest, earlier: Earlier, may_ask: bool) -> Result<Reading> {
        match self.read_facts(kind, manifest, earlier.clone(), may_ask).await {
            Err(Error::Corrupt(_) | Error::Internal(_)) => {
                let asked = manifest.clone();
                self.db.read(move |tx| still_there(tx, &asked)).await?;
                self.read_facts(kind, manifest, earlier, may_ask).await
            }
            read => read,
        }
    }

    /// Nothing new to publish; the tags are set all the same, and a branch that is not there yet is made.
    async fn tag_same(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        head: Version,
        commit: Commit,
        also: Option<Also>,
    ) -> Result<Committed> {
        if commit.opening.is_some() {
            return Err(Error::invalid("nothing_changed", "the commit changes nothing", "change a file, then open a pull request"));
        }
        let (actor, id, now) = (actor.clone(), id.clone(), self.now());
        self.db
            .write(move |tx| {
                let repo = enter(tx, &actor, kind, &id, &commit.line, false)?;
                if let Line::Branch(name) = &commit.line
                    && !name.is_main()
                    && branch(tx, &repo, name)?.is_none()
                {
                    check_new_name(tx, &repo, name, RefKind::Branch)?;
                    refs::set_of_kind(tx, &repo.key, (name, RefKind::Branch), head.number, now)?;
                }
                set_tags(tx, &repo, &head, &commit.tags, now)?;
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

/// The version a commit builds upon: where its line stands. A new branch begins at the commit's parent, and so does a pull
/// request that names one.
fn start(tx: &mut Tx<'_>, repo: &Repo, commit: &Commit) -> Result<Option<Version>> {
    let is_new = match &commit.line {
        Line::PullRequest(_) if commit.opening.is_some() => return Err(upon_a_pull_request()),
        Line::Branch(name) if !name.is_main() => branch(tx, repo, name)?.is_none(),
        _ => false,
    };
    match commit.parent {
        Some(parent) if is_new || commit.opening.is_some() => {
            let found = versions::find(tx, &repo.key, parent)?.filter(|version| version.state == VersionState::Live);
            let message = format!("'{}' has no live version {parent} to build upon", repo.id);
            found.map(Some).ok_or_else(|| Error::not_found("revision_not_found", message, "name a version that is there as 'parent'"))
        }
        _ => head_of(tx, repo, &commit.line),
    }
}

/// The first look at a commit by somebody who may write here, in the transaction in which that was asked: its form, and
/// the caller's right to every blob of it.
pub(super) fn look(
    tx: &mut Tx<'_>,
    actor: &Actor,
    repo: &Repo,
    (head, before): (Option<Version>, Vec<FileEntry>),
    (commit, files): (&Commit, Vec<ManifestEntry>),
    proved: &HashSet<Digest>,
) -> Result<Seen> {
    let manifest =
        Manifest::new(files).map_err(|e| Error::invalid("bad_manifest", e.to_string(), "correct the list of files and publish again"))?;
    check_words(commit)?;
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
    let marks: Vec<_> = before.iter().filter_map(|file| Some((file.digest, file.mark?))).collect();
    // What an earlier program did not look into is looked into now.
    let scanned = marks.iter().map(|(digest, _)| *digest).collect();
    let mut earlier = Earlier { scanned, marks, dataset: None };
    if let (RepoKind::Dataset, Some(head)) = (repo.kind, &head) {
        let data = |path: &str| path_is_data(path);
        let old: Vec<_> = before.iter().filter(|f| data(&f.path)).map(|f| (f.path.as_str(), f.digest)).collect();
        let new: Vec<_> = manifest.entries().iter().filter(|e| !is_paper(&e.path)).map(|e| (e.path.as_str(), e.digest)).collect();
        if old == new {
            let mut found = facts::find(tx, &repo.key, head.number)?.unwrap_or_default();
            facts::complete(tx, &repo.key, head.number, &mut found)?;
            let previews = facts::previews(tx, &repo.key, head.number)?;
            earlier.dataset = Some((found, Kept { previews, prints: facts::prints(tx, &repo.key, head.number)? }));
        }
    }
    let said = portable::warnings(manifest.entries().iter().map(|entry| &entry.path));
    Ok(Seen { digest: manifest.digest(), said, manifest, head, earlier })
}

fn path_is_data(path: &str) -> bool {
    crate::domain::path::RepoPath::parse(path).is_ok_and(|path| !is_paper(&path))
}

/// The write transaction of a publish.
fn write(
    tx: &mut Tx<'_>,
    (policy, actor): (&Policy, &Actor),
    mut repo: Repo,
    commit: &Commit,
    manifest: &Manifest,
    reading: Reading,
    now: Timestamp,
) -> Result<Version> {
    let author = actor.name().map_or_else(|| "hub".to_owned(), ToString::to_string);
    let head = start(tx, &repo, commit)?;
    check_parent(&repo, &commit.line, head.as_ref(), commit.parent)?;
    let line = match (&commit.opening, &commit.line) {
        (Some(opening), Line::Branch(target)) => {
            Line::PullRequest(discussions::open(tx, &repo, opening, target, head.as_ref(), &author, now)?)
        }
        (_, Line::Branch(name)) => {
            if !name.is_main() && branch(tx, &repo, name)?.is_none() {
                check_new_name(tx, &repo, name, RefKind::Branch)?;
            }
            commit.line.clone()
        }
        (_, line) => line.clone(),
    };
    let version = Version {
        number: repos::next_number(tx, &repo.key)?,
        commit: manifest.commit_id(),
        manifest: manifest.digest(),
        parent: head.map(|head| head.number),
        line,
        author,
        message: commit.message.trim().to_owned(),
        created: now,
        state: VersionState::Live,
        files: manifest.entries().len() as u64,
        total_bytes: manifest.total_bytes(),
    };
    let (key, number) = (repo.key.clone(), version.number);
    still_there(tx, manifest)?;
    let more = usage::new_bytes(tx, &key, manifest)?;
    room_in_namespace(tx, policy, actor, repo.id.namespace(), more)?;
    usage::add_stored(tx, &key, more)?;
    for (digest, mark) in &reading.marks {
        blobs::mark(tx, digest, *mark)?;
    }
    versions::insert(tx, &key, &version, manifest, &facts::encode(&reading.facts))?;
    facts::insert_details(tx, &key, number, &reading.facts, &reading.card_text, &reading.kept.previews)?;
    facts::keep_prints(tx, &key, number, &reading.kept.prints)?;
    write_lineage(tx, &repo, number, commit, &reading)?;
    if version.line.is_main() {
        renew_summary(tx, &mut repo, reading.summary)?;
    }
    advance(tx, &mut repo, &version, now)?;
    if let Line::PullRequest(number) = version.line {
        discussions::note_commit(tx, &repo, number, &version)?;
    }
    set_tags(tx, &repo, &version, &commit.tags, now)?;
    outbox::version_published(tx, &repo, &version, now).map(|()| version)
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

/// A line moves only from where the caller saw it.
fn check_parent(repo: &Repo, line: &Line, head: Option<&Version>, parent: Option<u32>) -> Result<()> {
    let stands = head.map(|head| head.number);
    if stands == parent {
        return Ok(());
    }
    let at = stands.map_or("nothing yet".to_owned(), |number| format!("version {number}"));
    let seen = parent.map_or("nothing".to_owned(), |number| format!("version {number}"));
    Err(Error::conflict(
        "head_moved",
        format!("'{line}' of '{}' stands at {at}, and this publish builds upon {seen}", repo.id),
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
