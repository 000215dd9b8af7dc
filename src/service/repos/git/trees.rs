//! The trees of versions: what is not known yet is computed, within bounds, and kept.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;

use super::super::super::{Error, Result, Service, access};
use super::{GitRepo, Rows, parents};
use crate::blob;
use crate::catalog::git;
use crate::domain::digest::Digest;
use crate::domain::git::history::Commit;
use crate::domain::git::layout::{Content, FORM, StoredFile, find_rules, lay_out};
use crate::domain::git::tree::{self, TreeFile};
use crate::domain::git::{ObjectId, ObjectKind};
use crate::domain::id::RepoKey;
use crate::domain::user::Actor;

/// A longer `.gitattributes` says nothing.
const LONGEST_RULES: u64 = 64 << 10;
const SIDE_BY_SIDE: usize = 8;
/// Names that are written down together.
const BATCH: usize = 500;

/// A version as it lies in git.
pub(super) struct Laid {
    /// Sorted by path; and what each holds.
    pub files: Vec<TreeFile>,
    pub contents: Vec<Content>,
    pub tree: ObjectId,
    /// The trees of its folders, and of the whole.
    pub trees: Vec<(ObjectId, Vec<u8>)>,
}

impl Service {
    /// The tree of every version that a ref leads to, by number.
    pub(super) async fn git_trees(&self, rows: &Rows, until: Instant) -> Result<HashMap<u32, ObjectId>> {
        let parents = parents(&rows.versions);
        let mut needed = HashSet::new();
        for (_, number) in &rows.refs {
            let mut next = Some(*number).filter(|number| parents.contains_key(number));
            while let Some(number) = next.filter(|number| needed.insert(*number)) {
                next = parents.get(&number).copied().flatten();
            }
        }
        let mut trees = HashMap::new();
        for (version, known) in rows.versions.iter().filter(|(version, _)| needed.contains(&version.number)) {
            let tree = match known.as_deref().and_then(read_tree) {
                Some(tree) => tree,
                None => self.make_tree(&rows.repo.key, version.number, until).await?,
            };
            trees.insert(version.number, tree);
        }
        Ok(trees)
    }

    async fn make_tree(&self, repo: &RepoKey, number: u32, until: Instant) -> Result<ObjectId> {
        let key = repo.clone();
        let files = self.db.read(move |tx| Ok::<_, Error>(git::files(tx, &key, number)?)).await?;
        let laid = self.git_layout(files).await?;
        let names = self.name_blobs(&laid, until).await?;
        let tree = built(laid, names, false).await?.tree;
        let key = repo.clone();
        self.db.write(move |tx| Ok::<_, Error>(git::set_tree(tx, &key, number, &format!("{FORM} {tree}"))?)).await?;
        Ok(tree)
    }

    /// A version whose tree is known, with all that lies in it; asked again whether the caller may still read it.
    pub(super) async fn git_version(&self, actor: &Actor, repo: &GitRepo, commit: &Commit) -> Result<Laid> {
        let (actor, kind, id, number) = (actor.clone(), repo.kind, repo.id.clone(), commit.number);
        let files = self.db.read(move |tx| {
            let repo = access::see_repo(tx, &actor, kind, &id)?;
            Ok::<_, Error>(git::files(tx, &repo.key, number)?)
        });
        let laid = self.git_layout(files.await?).await?;
        let laid = built(laid, HashMap::new(), true).await?;
        if laid.tree != commit.tree {
            let message = format!("version {number} of '{}' was deleted meanwhile", repo.id);
            return Err(Error::busy("overtaken", message, "try again"));
        }
        Ok(laid)
    }

    async fn git_layout(&self, files: Vec<StoredFile>) -> Result<Vec<(String, Content)>> {
        let rules = match find_rules(&files, LONGEST_RULES) {
            Some(file) => Some(self.blobs.read_all(&file.digest, LONGEST_RULES).await.map_err(unreadable)?),
            None => None,
        };
        let rules = rules.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        off_thread(move || lay_out(files, rules.as_deref())).await
    }

    /// Git's names for the stored blobs that have none yet, which are read for it.
    async fn name_blobs(&self, laid: &[(String, Content)], until: Instant) -> Result<HashMap<Digest, ObjectId>> {
        let unnamed = laid.iter().filter_map(|(_, content)| match content {
            Content::Stored { digest, size_bytes, name: None } => Some((*digest, *size_bytes)),
            _ => None,
        });
        let unnamed: Vec<(Digest, u64)> = unnamed.collect::<HashMap<_, _>>().into_iter().collect();
        let mut names = HashMap::with_capacity(unnamed.len());
        for batch in unnamed.chunks(BATCH) {
            if Instant::now() > until {
                let message = "this repo is being made ready for git";
                return Err(Error::busy("not_ready", message, "try again in a minute: what was done so far is kept"));
            }
            let named = stream::iter(batch.iter().copied());
            let named = named.map(|(digest, size_bytes)| async move { Ok((digest, self.git_name(&digest, size_bytes).await?)) });
            let named: Vec<(Digest, ObjectId)> = named.buffer_unordered(SIDE_BY_SIDE).try_collect().await.map_err(unreadable)?;
            names.extend(named.iter().copied());
            self.db
                .write(move |tx| {
                    for (digest, id) in &named {
                        git::name_blob(tx, digest, id)?;
                    }
                    Ok::<_, Error>(())
                })
                .await?;
        }
        Ok(names)
    }
}

fn read_tree(written: &str) -> Option<ObjectId> {
    let (form, id) = written.split_once(' ')?;
    ObjectId::parse(id).filter(|_| form == FORM.to_string())
}

/// Names all contents and builds the trees above them; with `keeps`, keeps those.
async fn built(laid: Vec<(String, Content)>, names: HashMap<Digest, ObjectId>, keeps: bool) -> Result<Laid> {
    off_thread(move || {
        let (mut files, mut contents) = (Vec::with_capacity(laid.len()), Vec::with_capacity(laid.len()));
        for (path, content) in laid {
            let id = match &content {
                Content::Stored { digest, name, .. } => name.or_else(|| names.get(digest).copied()),
                other => other.text().map(|text| ObjectId::of(ObjectKind::Blob, text.as_bytes())),
            };
            let id = id.ok_or_else(|| Error::busy("overtaken", "a file of this repo was just stored anew", "try again in a moment"))?;
            files.push(TreeFile { path, id });
            contents.push(content);
        }
        let mut trees = Vec::new();
        let tree = tree::write(&files, &mut |id, bytes| {
            if keeps {
                trees.push((id, bytes));
            }
        });
        Ok(Laid { files, contents, tree, trees })
    })
    .await?
}

pub(super) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::Internal(format!("work for git was stopped: {e}")))
}

/// Bytes of a version that are not there are damage, and not a mistake of ours.
pub(super) fn unreadable(error: blob::Error) -> Error {
    match error {
        blob::Error::NotFound(digest) => blob::Error::Corrupt { digest, problem: "they are gone".into() }.into(),
        other => other.into(),
    }
}
