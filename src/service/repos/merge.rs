//! Taking a pull request in: what it changes is done to the files of its target as they are now. Where the target has changed
//! the same paths since, nothing is done, and those paths are named.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::super::{Error, Result, Service, access};
use super::discussions::{add, check_comment, name_of, note_merged};
use super::lines::{files_of, head_of, pull_request};
use super::publish::{Also, Commit, Committed, Seen, look};
use crate::catalog::versions;
use crate::db::Tx;
use crate::domain::discussion::{Happening, Pull};
use crate::domain::manifest::ManifestEntry;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::path::RepoPath;
use crate::domain::repo::{FileEntry, Repo};
use crate::domain::revision::Line;
use crate::domain::user::Actor;

/// Paths that a refusal names.
const MOST_NAMED: usize = 5;
/// Times a merge is tried again because somebody else's publish came between.
const TRIES: usize = 5;

/// What becomes of one path. One of the two is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub path: String,
    pub before: Option<FileEntry>,
    pub after: Option<FileEntry>,
}

impl Service {
    /// Makes the next version of its target out of what a pull request changes.
    pub async fn merge_pull_request(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        number: u32,
        said: Option<String>,
    ) -> Result<Committed> {
        let mut tries = 1;
        loop {
            let (commit, seen, taken) = self.look_at_merge(actor, kind, id, number).await?;
            let (author, said, now) = (name_of(actor), said.clone().filter(|text| !text.trim().is_empty()), self.now());
            let (name, asker) = (id.clone(), actor.clone());
            let also: Also = std::sync::Arc::new(move |tx, version| {
                let repo = access::write_repo(tx, &asker, kind, &name)?;
                if open_pull(tx, &repo, number)?.1.head != taken {
                    return Err(Error::conflict("head_moved", "the pull request has got another commit", "look at it, then merge again"));
                }
                if let Some(said) = &said {
                    add(tx, &repo, number, &author, Happening::Comment { text: check_comment(said)?, hidden: false }, now)?;
                }
                note_merged(tx, &repo, number, version)
            });
            match self.commit_seen(actor, kind, id, commit, seen, Some(also)).await {
                Err(Error::Conflict(problem)) if problem.code == "head_moved" && tries < TRIES => tries += 1,
                other => return other,
            }
        }
    }

    async fn look_at_merge(&self, actor: &Actor, kind: RepoKind, id: &RepoId, number: u32) -> Result<(Commit, Seen, Option<u32>)> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let repo = access::write_repo(tx, &actor, kind, &id)?;
                let (title, pull) = open_pull(tx, &repo, number)?;
                let changes = changes(tx, &repo, &pull)?;
                if changes.is_empty() {
                    let message = format!("pull request {number} of '{}' changes nothing", repo.id);
                    return Err(Error::conflict("nothing_changed", message, format!("commit to refs/pr/{number} first, or close it")));
                }
                let conflicting = conflicts(tx, &repo, &pull, &changes)?;
                if !conflicting.is_empty() {
                    return Err(conflict(&repo, number, &pull, &conflicting));
                }
                let line = Line::Branch(pull.target.clone());
                let head = head_of(tx, &repo, &line)?;
                let before = files_of(tx, &repo, head.as_ref())?;
                let files = merged(&before, &changes)?;
                let message = format!("{title} (#{number})");
                let commit = Commit { message, line, parent: head.as_ref().map(|head| head.number), ..Commit::default() };
                // Whoever may merge may read what is asked to be taken in.
                let held: HashSet<_> = changes.iter().filter_map(|change| change.after.as_ref()).map(|file| file.digest).collect();
                let seen = look(tx, &actor, &repo, (head, before), (&commit, files), &held)?;
                Ok((commit, seen, pull.head))
            })
            .await
    }
}

fn open_pull(tx: &mut Tx<'_>, repo: &Repo, number: u32) -> Result<(String, Pull)> {
    let (discussion, pull) = pull_request(tx, repo, number)?;
    if discussion.state.is_open() {
        return Ok((discussion.title, pull));
    }
    let message = format!("pull request {number} of '{}' is {}", repo.id, discussion.state);
    Err(Error::conflict("not_open", message, "open it again first, or open another"))
}

fn by_path(files: Vec<FileEntry>) -> BTreeMap<String, FileEntry> {
    files.into_iter().map(|file| (file.path.clone(), file)).collect()
}

fn files_at(tx: &mut Tx<'_>, repo: &Repo, number: Option<u32>) -> Result<BTreeMap<String, FileEntry>> {
    Ok(number.map_or(Ok(Vec::new()), |number| versions::files(tx, &repo.key, number)).map(by_path)?)
}

/// What a pull request changes, by path.
pub(super) fn changes(tx: &mut Tx<'_>, repo: &Repo, pull: &Pull) -> Result<Vec<Change>> {
    let Some(head) = pull.head else { return Ok(Vec::new()) };
    let (mut before, mut after) = (files_at(tx, repo, pull.base)?, files_at(tx, repo, Some(head))?);
    let paths: BTreeSet<String> = before.keys().chain(after.keys()).cloned().collect();
    let change = |path: String| Change { before: before.remove(&path), after: after.remove(&path), path };
    let differs = |change: &Change| digest(&change.before) != digest(&change.after);
    Ok(paths.into_iter().map(change).filter(differs).collect())
}

fn digest(file: &Option<FileEntry>) -> Option<crate::domain::digest::Digest> {
    file.as_ref().map(|file| file.digest)
}

/// Paths among the changed ones that the target has changed too since, and otherwise.
pub(super) fn conflicts(tx: &mut Tx<'_>, repo: &Repo, pull: &Pull, changes: &[Change]) -> Result<Vec<String>> {
    let head = head_of(tx, repo, &Line::Branch(pull.target.clone()))?;
    let now = by_path(files_of(tx, repo, head.as_ref())?);
    let differs = |change: &&Change| {
        let there = now.get(&change.path).map(|file| file.digest);
        there != digest(&change.before) && there != digest(&change.after)
    };
    Ok(changes.iter().filter(differs).map(|change| change.path.clone()).collect())
}

fn merged(before: &[FileEntry], changes: &[Change]) -> Result<Vec<ManifestEntry>> {
    let mut files: BTreeMap<&str, &FileEntry> = before.iter().map(|file| (file.path.as_str(), file)).collect();
    for change in changes {
        match &change.after {
            Some(file) => drop(files.insert(&change.path, file)),
            None => drop(files.remove(change.path.as_str())),
        }
    }
    let entry = |file: &FileEntry| {
        let path = RepoPath::parse(&file.path).map_err(|e| Error::Internal(format!("a stored path: {e}")))?;
        Ok(ManifestEntry { path, size_bytes: file.size_bytes, digest: file.digest })
    };
    files.into_values().map(entry).collect()
}

fn conflict(repo: &Repo, number: u32, pull: &Pull, paths: &[String]) -> Error {
    let named = paths.iter().take(MOST_NAMED).map(|path| format!("'{path}'")).collect::<Vec<_>>().join(", ");
    let more = paths.len().saturating_sub(MOST_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let message = format!("'{}' of '{}' has changed since what pull request {number} changes too: {named}{more}", pull.target, repo.id);
    Error::conflict("merge_conflict", message, format!("open another pull request upon '{}' as it is now", pull.target))
}
