//! The library: models and data sets that are known, and can be compared, before their files are here. Entries are repos like any
//! other (`seed`); their files come from one configured upstream, once however many ask (`fetch`, `take`), or by hand from a bundle
//! (`adopt`).
//!
//! What people published stands before the library: a repo of an entry's name that was here stays theirs, and an alias leads to its
//! entry only where no repo has that name.

mod adopt;
mod fetch;
mod seed;
mod take;

use std::path::PathBuf;

pub use fetch::{Asked, Fetching, Source};
pub use seed::Seeded;

use super::{Error, Result, Service, access};
use crate::catalog::{library, repos, versions};
use crate::db::Tx;
use crate::domain::library::{Entry, Pin};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::Repo;
use crate::domain::user::Actor;
use crate::train;

/// How to fetch from the upstream.
#[derive(Clone)]
pub struct Upstream {
    /// Empty: nothing is fetched.
    pub address: String,
    pub token: Option<String>,
    /// Hosts of the proxies on the way there.
    pub proxies: Vec<String>,
    pub patience: std::time::Duration,
    /// For what is under way.
    pub folder: PathBuf,
}

/// An entry as people look at it.
#[derive(Debug, Clone, PartialEq)]
pub struct EntryDetail {
    pub repo: Repo,
    pub entry: Entry,
    /// The newest version, where its files are here.
    pub version: Option<u32>,
    /// Where those came from: the upstream's commit, or a bundle's words.
    pub commit: String,
    pub pins: Vec<Pin>,
    /// The data sets of each stage, with the repo each is here.
    pub stages: Vec<Vec<(String, Option<RepoId>)>>,
    /// Whether this build runs networks of its architecture, or asks such vectors of words; data sets are not run.
    pub runs: bool,
}

impl Service {
    /// All entries, by name.
    pub async fn list_library(&self, actor: &Actor) -> Result<Vec<EntryDetail>> {
        let actor = actor.clone();
        self.db
            .read(move |tx| {
                let visible = access::visible_to(tx, &actor)?;
                let mut all = Vec::new();
                for (repo, listed) in library::list(tx)? {
                    if repos::find_seen(tx, repo.kind, &repo.id, &visible)?.is_some() {
                        all.extend(detail(tx, repo, listed)?);
                    }
                }
                Ok(all)
            })
            .await
    }

    /// The entry of this name; `None` where the library has none, or people have published in its repo.
    pub async fn find_entry(&self, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<Option<EntryDetail>> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let repo = access::see_repo(tx, &actor, kind, &id)?;
                let Some(listed) = library::find(tx, &repo.key)? else { return Ok(None) };
                let Some(mut found) = detail(tx, repo, listed)? else { return Ok(None) };
                for name in found.stages.iter_mut().flatten() {
                    let dataset = RepoId::parse(&name.0).ok();
                    let here = match dataset {
                        Some(dataset) => access::see_repo(tx, &actor, RepoKind::Dataset, &dataset).ok(),
                        None => None,
                    };
                    name.1 = here.map(|repo| repo.id);
                }
                Ok(Some(found))
            })
            .await
    }

    /// The same, or why not.
    pub async fn get_entry(&self, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<EntryDetail> {
        let found = self.find_entry(actor, kind, id).await?;
        found.ok_or_else(|| {
            Error::not_found("not_in_library", format!("'{id}' is no entry of the library"), "'hub library list' lists them")
        })
    }

    /// What a repo is called now that an alias, or a name it had before, leads to.
    pub async fn present_name(&self, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<RepoId> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db.read(move |tx| Ok(see_entry(tx, &actor, kind, &id)?.id)).await
    }

    /// The same of what is written down already, such as a job's inputs; a name that is nobody's any more stays as it is.
    pub async fn name_now(&self, kind: RepoKind, id: &RepoId) -> Result<RepoId> {
        match self.present_name(&Actor::System, kind, id).await {
            Err(Error::NotFound(_)) => Ok(id.clone()),
            found => found,
        }
    }
}

/// `None` where people have published.
fn detail(tx: &mut Tx<'_>, repo: Repo, listed: library::Listed) -> Result<Option<EntryDetail>> {
    let version = versions::find_head(tx, &repo.key)?.map(|head| head.number);
    if version.is_some() && listed.commit.is_empty() {
        return Ok(None);
    }
    let library::Listed { entry, commit, pins } = listed;
    let stages = entry.stages().iter().map(|names| names.iter().map(|name| (name.clone(), None)).collect()).collect();
    let runs = match &entry {
        // Word vectors are asked by whoever has pulled them.
        Entry::Model(model) => train::knows(&model.architecture) || model.is_word_vectors(),
        Entry::Dataset(_) => false,
    };
    Ok(Some(EntryDetail { repo, entry, version, commit, pins, stages, runs }))
}

/// The repo of an entry's name or alias.
fn see_entry(tx: &mut Tx<'_>, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<Repo> {
    match access::see_repo(tx, actor, kind, id) {
        Err(Error::NotFound(problem)) => match problem.moved_to {
            Some(to) => access::see_repo(tx, actor, kind, &to),
            None => Err(Error::NotFound(problem)),
        },
        other => other,
    }
}
