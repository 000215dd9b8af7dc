//! Entries of an index become repos, once for each version of the index and in one transaction, so that a start that finds nothing new
//! costs one look.

use std::collections::HashMap;

use super::super::{Error, Result, Service};
use crate::catalog::{facts, former_names, library, repos, versions};
use crate::db::Tx;
use crate::domain::id::RepoKey;
use crate::domain::library::{Entry, Index};
use crate::domain::name::{LIBRARY, RepoId};
use crate::domain::repo::Repo;
use crate::domain::time::Timestamp;

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seeded {
    /// Entries that the catalog has now.
    pub listed: usize,
    /// Those whose name a repo of people has, or had.
    pub passed_over: usize,
    /// Repos taken away of which nothing is known any more.
    pub removed: usize,
}

impl Service {
    /// Was this version of an index the last one? Asked before it is read.
    pub async fn is_seeded(&self, version: &str) -> Result<bool> {
        let version = version.to_owned();
        self.db.read(move |tx| Ok(library::version(tx)? == version)).await
    }

    /// Lists what an index says, in place of what an earlier one said. What was fetched, and what people published, stays.
    pub async fn seed_library(&self, index: Index) -> Result<Seeded> {
        let now = self.now();
        let keys = index.entries.iter().map(|_| Ok(RepoKey::new(now, self.random()?))).collect::<Result<Vec<_>>>()?;
        self.db.write(move |tx| seed(tx, &index, keys.clone(), now)).await
    }
}

fn seed(tx: &mut Tx<'_>, index: &Index, keys: Vec<RepoKey>, now: Timestamp) -> Result<Seeded> {
    // What was fetched stays an entry, whatever an index says later.
    let unfetched = library::list(tx)?.into_iter().filter(|(_, listed)| listed.commit.is_empty());
    let mut before: HashMap<RepoKey, Repo> = unfetched.map(|(repo, _)| (repo.key.clone(), repo)).collect();
    let mut done = Seeded::default();
    for (entry, key) in index.entries.iter().zip(keys) {
        match place(tx, entry, key, now)? {
            Some(repo) => {
                before.remove(&repo.key);
                done.listed += 1;
            }
            None => done.passed_over += 1,
        }
    }
    for repo in before.into_values() {
        library::remove(tx, &repo.key)?;
        if versions::find_head(tx, &repo.key)?.is_none() {
            library::erase(tx, &repo.key)?;
            done.removed += 1;
        }
    }
    library::set_version(tx, &index.version)?;
    Ok(done)
}

/// The repo of an entry, made if there is none; `None` where its name is or was somebody's.
fn place(tx: &mut Tx<'_>, entry: &Entry, key: RepoKey, now: Timestamp) -> Result<Option<Repo>> {
    let id = RepoId::from_parts(LIBRARY, entry.name()).map_err(|e| Error::Internal(format!("the name '{}': {e}", entry.name())))?;
    let kind = entry.kind();
    let mut repo = match repos::find(tx, kind, &id)? {
        Some(repo) if library::find(tx, &repo.key)?.is_some() => repo,
        Some(_) => return Ok(None),
        None if repos::is_buried(tx, kind, &id)? || former_names::find(tx, kind, &id)?.is_some() => return Ok(None),
        None => {
            let repo = Repo { key, kind, id, private: false, summary: String::new(), downloads: 0, created: now, updated: now };
            repos::insert(tx, &repo)?;
            repo
        }
    };
    library::put(tx, &repo, entry)?;
    if versions::find_head(tx, &repo.key)?.is_none() {
        repo.summary = entry.summary();
        repos::update(tx, &repo)?;
        facts::set_head(tx, &repo, None)?;
    }
    Ok(Some(repo))
}
