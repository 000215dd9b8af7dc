//! Changing some files of a repo: the next version is the files of a line, `main` for one, and what was done to them. The same publish
//! as for whole versions follows, with the same rules.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;

use super::super::storage::uploads::entitlement;
use super::super::work::Whose;
use super::super::{Error, Result, Service, access};
use super::discussions::Opening;
use super::lines::{enter, files_of, head_of};
use super::publish::{Commit, Committed, Seen, look};
use crate::catalog::{blobs, versions};
use crate::db::Tx;
use crate::domain::digest::Digest;
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::path::{RepoPath, composed};
use crate::domain::repo::{FileEntry, Repo, Version, VersionState};
use crate::domain::revision::Line;
use crate::domain::user::Actor;

/// Times an edit that builds on no version in particular is made again because somebody else's came between.
const TRIES: usize = 5;
/// A `.gitignore` or `.gitattributes` above this size is not read.
pub const MAX_RULES_BYTES: u64 = 64 << 10;
/// The first version of a repo made by clients that expect git: they want a commit to stand on.
const FIRST_FILE: (&str, &[u8]) = (".gitattributes", b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n");

/// What is to be done to the files of a line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edit {
    pub message: String,
    pub line: Line,
    /// The beginning of the commit id the line must stand at; for a new pull request, of the one it begins at.
    pub parent: Option<String>,
    /// In this order.
    pub operations: Vec<Operation>,
    /// It goes into a new pull request upon the line.
    pub opening: Option<Opening>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// Without a size the bytes are here already, and the caller may read or has sent them.
    Put {
        path: RepoPath,
        digest: Digest,
        size_bytes: Option<u64>,
    },
    Delete(RepoPath),
    DeleteFolder(RepoPath),
}

type Files = BTreeMap<RepoPath, ManifestEntry>;

/// Files while operations are done to them. Either form of a name finds one, and no operation looks at all of them.
struct Edited {
    files: Files,
    /// The paths by what they look like; made where a name is first written with other than ASCII letters.
    alike: Option<BTreeSet<(String, RepoPath)>>,
}

impl Service {
    /// Makes the next version of a repo. The same edit told again, because its answer was lost, is answered again.
    pub async fn edit_repo(&self, actor: &Actor, kind: RepoKind, id: &RepoId, edit: Edit) -> Result<Committed> {
        let mut tries = 1;
        loop {
            let (commit, seen) = match self.look_at_edit(actor, kind, id, edit.clone()).await? {
                Ok(next) => next,
                Err(error) => return self.told_again(actor, kind, id, &edit).await?.ok_or(error),
            };
            match self.commit_seen(actor, kind, id, commit, seen, None).await {
                Err(Error::Conflict(problem)) if problem.code == "head_moved" && edit.parent.is_none() && tries < TRIES => tries += 1,
                other => return other,
            }
        }
    }

    /// The commit this edit makes, and what the first look at it found; the inner error where the edit does
    /// not fit what is there.
    async fn look_at_edit(&self, actor: &Actor, kind: RepoKind, id: &RepoId, edit: Edit) -> Result<Result<(Commit, Seen)>> {
        let _turn = self.work.turn(&Whose::of(actor)).await?;
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let repo = enter(tx, &actor, kind, &id, &edit.line, edit.opening.is_some())?;
                let mut head = head_of(tx, &repo, &edit.line)?;
                if let Some(parent) = edit.parent.as_ref().filter(|parent| !stands_at(head.as_ref(), parent)) {
                    match earlier(tx, &repo, parent)?.filter(|_| edit.opening.is_some()) {
                        Some(earlier) => head = Some(earlier),
                        None => return Ok(Err(moved(&id, &edit.line, head.as_ref(), parent))),
                    }
                }
                let before = files_of(tx, &repo, head.as_ref())?;
                let sizes = sizes(tx, &actor, &before, &edit.operations)?;
                let files = match apply(&edit.operations, by_path(before.clone())?, &sizes) {
                    Ok(files) => files.into_values().collect(),
                    Err(error) => return Ok(Err(error)),
                };
                let parent = head.as_ref().map(|head| head.number);
                let commit = Commit { message: edit.message, line: edit.line, parent, opening: edit.opening, ..Commit::default() };
                let seen = look(tx, &actor, &repo, (head, before), (&commit, files), &HashSet::new())?;
                Ok(Ok((commit, seen)))
            })
            .await
    }

    /// Gives a new repo its first version.
    pub async fn begin_history(&self, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<Committed> {
        self.may_commit(actor, kind, id).await?;
        let (path, bytes) = FIRST_FILE;
        let (digest, size_bytes) = (Digest::of(bytes), bytes.len() as u64);
        let body = futures_util::stream::iter([Ok(bytes::Bytes::from_static(bytes))]);
        self.store_blob(actor, digest, size_bytes, body).await?;
        let path = RepoPath::parse(path).map_err(|e| Error::Internal(e.to_string()))?;
        let operations = vec![Operation::Put { path, digest, size_bytes: Some(size_bytes) }];
        self.edit_repo(actor, kind, id, Edit { message: "initial commit".into(), operations, ..Edit::default() }).await
    }

    /// The text of a `.gitignore` or `.gitattributes` that was just found for the caller; empty where there is none.
    pub async fn rules_in(&self, file: Option<&FileEntry>) -> Result<String> {
        let Some(file) = file.filter(|file| file.size_bytes <= MAX_RULES_BYTES) else { return Ok(String::new()) };
        let bytes = self.blobs.read_all(&file.digest, MAX_RULES_BYTES).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Where the line already stands as this edit would leave it, made by this caller with these words from the version
    /// before: it was told before.
    async fn told_again(&self, actor: &Actor, kind: RepoKind, id: &RepoId, edit: &Edit) -> Result<Option<Committed>> {
        // Deleting what is not there is a mistake more often than a lost answer.
        let only_deletes = !edit.operations.iter().any(|operation| matches!(operation, Operation::Put { .. }));
        if edit.opening.is_some() || (only_deletes && edit.parent.is_none()) {
            return Ok(None);
        }
        let (asker, name, edit) = (actor.clone(), id.clone(), edit.clone());
        self.db
            .read(move |tx| {
                let repo = enter(tx, &asker, kind, &name, &edit.line, false)?;
                let Some(head) = head_of(tx, &repo, &edit.line)? else { return Ok(None) };
                let before = match head.parent {
                    Some(number) => versions::find(tx, &repo.key, number)?,
                    None => None,
                };
                let is_theirs = asker.name().is_some_and(|name| name.as_str() == head.author) && head.message == edit.message.trim();
                let Some(before) = before.filter(|_| is_theirs) else { return Ok(None) };
                if edit.parent.is_some_and(|parent| !stands_at(Some(&before), &parent)) {
                    return Ok(None);
                }
                let files = versions::files(tx, &repo.key, before.number)?;
                let held = versions::files(tx, &repo.key, head.number)?;
                let sizes = held.iter().map(|file| (file.digest, file.size_bytes)).collect();
                let Ok(files) = apply(&edit.operations, by_path(files)?, &sizes) else { return Ok(None) };
                let same = Manifest::new(files.into_values().collect()).is_ok_and(|manifest| manifest.digest() == head.manifest);
                Ok(same.then_some(Committed { version: head, created: false, warnings: Vec::new() }))
            })
            .await
    }
}

/// The sizes of what is put without one: of blobs the caller may name.
fn sizes(tx: &mut Tx<'_>, actor: &Actor, files: &[FileEntry], operations: &[Operation]) -> Result<BTreeMap<Digest, u64>> {
    let visible = access::visible_to(tx, actor)?;
    let held: HashSet<Digest> = files.iter().map(|file| file.digest).collect();
    let mut sizes = BTreeMap::new();
    let sizeless = operations.iter().filter_map(|operation| match operation {
        Operation::Put { digest, size_bytes: None, .. } => Some(*digest),
        _ => None,
    });
    for digest in sizeless.collect::<BTreeSet<Digest>>() {
        let size = match held.contains(&digest) {
            true => blobs::find_size(tx, &digest)?,
            false => entitlement(tx, &digest, actor.account(), &visible)?,
        };
        sizes.extend(size.map(|size| (digest, size)));
    }
    Ok(sizes)
}

fn by_path(files: Vec<FileEntry>) -> Result<Files> {
    let entry = |file: FileEntry| {
        let path = RepoPath::parse(&file.path).map_err(|e| Error::Internal(format!("a stored path: {e}")))?;
        Ok((path.clone(), ManifestEntry { path, size_bytes: file.size_bytes, digest: file.digest }))
    };
    files.into_iter().map(entry).collect()
}

fn apply(operations: &[Operation], files: Files, sizes: &BTreeMap<Digest, u64>) -> Result<Files> {
    let mut edited = Edited { files, alike: None };
    for operation in operations {
        match operation {
            Operation::Put { path, digest, size_bytes } => {
                let size_bytes = size_bytes.or_else(|| sizes.get(digest).copied()).ok_or_else(|| unknown_bytes(path, digest))?;
                edited.put(ManifestEntry { path: path.clone(), size_bytes, digest: *digest });
            }
            Operation::Delete(path) => edited.delete(path)?,
            Operation::DeleteFolder(path) => edited.delete_folder(path)?,
        }
    }
    Ok(edited.files)
}

impl Edited {
    fn put(&mut self, entry: ManifestEntry) {
        if let Some(alike) = &mut self.alike {
            alike.insert((composed(entry.path.as_str()).into_owned(), entry.path.clone()));
        }
        self.files.insert(entry.path.clone(), entry);
    }

    fn remove(&mut self, path: &RepoPath) {
        if let Some(alike) = &mut self.alike {
            alike.remove(&(composed(path.as_str()).into_owned(), path.clone()));
        }
        self.files.remove(path);
    }

    fn delete(&mut self, path: &RepoPath) -> Result<()> {
        let looks = composed(path.as_str());
        let meant = match self.files.contains_key(path) || path.as_str().is_ascii() {
            true => Some(path.clone()).filter(|path| self.files.contains_key(path)),
            false => self.looking_like(&looks).next().filter(|(name, _)| *name == looks).map(|(_, path)| path.clone()),
        };
        meant.map(|meant| self.remove(&meant)).ok_or_else(|| nothing_there("file", path))
    }

    fn delete_folder(&mut self, path: &RepoPath) -> Result<()> {
        let below = format!("{}/", composed(path.as_str()));
        let gone: Vec<RepoPath> = match path.as_str().is_ascii() {
            true => {
                let from = self.files.range::<str, _>((Bound::Included(below.as_str()), Bound::Unbounded));
                from.map(|(path, _)| path).take_while(|path| path.as_str().starts_with(&below)).cloned().collect()
            }
            false => self.looking_like(&below).take_while(|(name, _)| name.starts_with(&below)).map(|(_, path)| path.clone()).collect(),
        };
        if gone.is_empty() {
            return Err(nothing_there("folder", path));
        }
        gone.iter().for_each(|path| self.remove(path));
        Ok(())
    }

    /// The paths from those on that look like this.
    fn looking_like(&mut self, looks: &str) -> impl Iterator<Item = &(String, RepoPath)> {
        let name = |path: &RepoPath| (composed(path.as_str()).into_owned(), path.clone());
        let alike = self.alike.get_or_insert_with(|| self.files.keys().map(name).collect());
        alike.range((looks.to_owned(), RepoPath::first())..)
    }
}

fn stands_at(head: Option<&Version>, parent: &str) -> bool {
    head.is_some_and(|head| head.commit.as_str().starts_with(parent))
}

/// The live version whose commit id begins so.
fn earlier(tx: &mut Tx<'_>, repo: &Repo, parent: &str) -> Result<Option<Version>> {
    let found = versions::with_commit(tx, &repo.key, parent)?;
    Ok(found.into_iter().find(|version| version.state == VersionState::Live))
}

fn moved(id: &RepoId, line: &Line, head: Option<&Version>, parent: &str) -> Error {
    let at = head.map_or("nothing yet".to_owned(), |head| format!("commit {}", head.commit));
    let message = format!("'{line}' of '{id}' stands at {at}, and this commit builds upon {parent}");
    Error::conflict("head_moved", message, "look at what changed, then commit again upon that")
}

fn nothing_there(what: &str, path: &RepoPath) -> Error {
    // Clients look for these words.
    let message = format!("A {what} with this name doesn't exist: {path}");
    Error::not_found("file_not_found", message, "list the files of the branch; paths are case-sensitive")
}

fn unknown_bytes(path: &RepoPath, digest: &Digest) -> Error {
    let message = format!("the bytes of '{path}' (sha256 {digest}) were not sent");
    Error::invalid("blob_unknown", message, "upload the file first, then commit")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RepoPath {
        RepoPath::parse(text).unwrap()
    }

    fn put(text: &str, size_bytes: Option<u64>) -> Operation {
        Operation::Put { path: path(text), digest: Digest::of(b"x"), size_bytes }
    }

    #[test]
    fn many_folders_are_deleted_from_many_files_without_a_product() {
        let name = |n: usize| format!("{}{n}/x", if n.is_multiple_of(2) { "caf\u{e9}" } else { "plain" });
        let files: Files = (0..20_000)
            .map(|n| path(&name(n)))
            .map(|path| (path.clone(), ManifestEntry { path, size_bytes: 1, digest: Digest::of(b"") }))
            .collect();
        let folders = (0..20_000).map(|n| Operation::DeleteFolder(path(name(n).strip_suffix("/x").unwrap())));
        let operations: Vec<_> = folders.chain([put("left", Some(1))]).collect();
        assert_eq!(apply(&operations, files, &BTreeMap::new()).unwrap().len(), 1);
    }

    #[test]
    fn operations_follow_each_other() {
        let applied = |operations: &[Operation], sizes: &[(Digest, u64)]| {
            let before = ["a", "b/c", "b/d/e", "bc"]
                .map(|text| (path(text), ManifestEntry { path: path(text), size_bytes: 1, digest: Digest::of(b"") }));
            let after = apply(operations, before.into(), &sizes.iter().copied().collect())?;
            Ok::<_, Error>(after.keys().map(|path| path.as_str().to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(applied(&[Operation::DeleteFolder(path("b")), put("b/new", Some(2))], &[]).unwrap(), ["a", "b/new", "bc"]);
        assert_eq!(applied(&[put("b/new", Some(2)), Operation::DeleteFolder(path("b"))], &[]).unwrap(), ["a", "bc"]);
        assert_eq!(applied(&[put("z", None)], &[(Digest::of(b"x"), 9)]).unwrap(), ["a", "b/c", "b/d/e", "bc", "z"]);
        let told = [
            put("caf\u{e9}/x", Some(2)),
            put("cafe\u{301}", Some(2)),
            Operation::Delete(path("caf\u{e9}")),
            Operation::DeleteFolder(path("cafe\u{301}")),
        ];
        assert_eq!(applied(&told, &[]).unwrap(), ["a", "b/c", "b/d/e", "bc"], "either form of a name is the file");
        for wrong in [Operation::Delete(path("b")), Operation::DeleteFolder(path("a")), put("z", None)] {
            assert!(applied(&[wrong], &[]).is_err());
        }
    }
}
