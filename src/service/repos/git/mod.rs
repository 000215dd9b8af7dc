//! A repo as git sees it, for reading: its commits and refs here, the trees of its versions in `trees`, what is sent in `pack`.
//!
//! Nothing is kept but git's names for blobs and trees (`catalog::git`); commits are computed from the rows, so that a version that
//! was deleted is simply no longer there: what stood upon it stands upon the nearest under it that is left.

mod pack;
mod trees;

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::super::{Error, Result, Service, access};
use crate::catalog::{discussions, git, refs};
use crate::domain::git::history::{Commit, History};
use crate::domain::git::object::CommitWords;
use crate::domain::git::{ObjectId, ObjectKind};
use crate::domain::id::RepoKey;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::{RefKind, Repo, Version, VersionState};
use crate::domain::revision::Line;
use crate::domain::user::Actor;

pub use pack::Piece;

/// Longer histories are not cloned.
const MOST_VERSIONS: usize = 20_000;
const MOST_PULLS: usize = 1_000;
/// So many repos are looked at side by side, and new trees made for so many.
static LOOKS: Semaphore = Semaphore::const_new(4);
/// How long one request waits for its turn, and works on trees that are not known yet. What was done by then is kept.
const WAITS: Duration = Duration::from_secs(15);
const WORKS: Duration = Duration::from_secs(20);

/// A repo as git sees it, at one moment, for one who may read it.
#[derive(Debug, Clone)]
pub struct GitRepo {
    pub key: RepoKey,
    pub kind: RepoKind,
    pub id: RepoId,
    pub history: History,
    /// Full names, such as `refs/heads/main`, sorted.
    pub refs: Vec<(String, ObjectId)>,
    /// Where `main` stands.
    pub head: Option<ObjectId>,
}

/// What the rows say.
struct Rows {
    repo: Repo,
    versions: Vec<(Version, Option<String>)>,
    /// Full names and the numbers they stand at.
    refs: Vec<(String, u32)>,
}

impl Service {
    /// The commits and refs of a repo. Trees that are not known yet are made; where that takes too long, the caller is told to come
    /// again.
    pub async fn git_repo(&self, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<GitRepo> {
        let (asker, name) = (actor.clone(), id.clone());
        // Whether it is there for them is said before anybody waits.
        self.db.read(move |tx| access::see_repo(tx, &asker, kind, &name).map(drop)).await?;
        let _turn = turn(&LOOKS).await?;
        let (asker, name) = (actor.clone(), id.clone());
        let rows = self.db.read(move |tx| read(tx, &asker, kind, &name)).await?;
        if rows.versions.len() > MOST_VERSIONS {
            let message = format!("'{}' has more than the {MOST_VERSIONS} versions that git is given", rows.repo.id);
            return Err(Error::invalid("too_many_versions", message, "use 'hub pull' or 'hf download'"));
        }
        let trees = self.git_trees(&rows, Instant::now() + WORKS).await?;
        let built = tokio::task::spawn_blocking(move || build(rows, &trees)).await;
        built.map_err(|e| Error::Internal(format!("building a history was stopped: {e}")))
    }
}

async fn turn(turns: &'static Semaphore) -> Result<SemaphorePermit<'static>> {
    match tokio::time::timeout(WAITS, turns.acquire()).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(Error::busy("too_busy", "the server is busy with other clones", "try again in a moment")),
    }
}

fn read(tx: &mut crate::db::Tx<'_>, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<Rows> {
    let repo = access::see_repo(tx, actor, kind, id)?;
    let mut named: Vec<(String, u32)> = Vec::new();
    for found in refs::list(tx, &repo.key)? {
        let folder = if found.kind == RefKind::Branch { "heads" } else { "tags" };
        if found.name.can_be_given() {
            named.push((format!("refs/{folder}/{}", found.name), found.number));
        }
    }
    for discussion in discussions::pulls(tx, &repo.key, MOST_PULLS)? {
        let head = discussion.pull.and_then(|pull| pull.head);
        named.extend(head.map(|head| (Line::PullRequest(discussion.number).to_string(), head)));
    }
    named.sort();
    let versions = git::versions(tx, &repo.key, MOST_VERSIONS + 1)?;
    Ok(Rows { repo, versions, refs: named })
}

/// For each version that is left, the nearest one under it that is left too.
fn parents(versions: &[(Version, Option<String>)]) -> HashMap<u32, Option<u32>> {
    // What a version stands upon where it is gone: versions come by number, and none stands upon a later one.
    let mut instead: HashMap<u32, Option<u32>> = HashMap::new();
    let mut parents = HashMap::new();
    for (version, _) in versions {
        let under = version.parent.and_then(|parent| instead.get(&parent).copied().unwrap_or(None));
        match version.state {
            VersionState::Deleted => instead.insert(version.number, under),
            VersionState::Live | VersionState::Yanked => {
                parents.insert(version.number, under);
                instead.insert(version.number, Some(version.number))
            }
        };
    }
    parents
}

fn build(rows: Rows, trees: &HashMap<u32, ObjectId>) -> GitRepo {
    let parents = parents(&rows.versions);
    let (mut history, mut places) = (History::default(), HashMap::new());
    for (version, _) in &rows.versions {
        let Some(tree) = trees.get(&version.number) else { continue };
        let parent = parents.get(&version.number).copied().flatten().and_then(|number| places.get(&number).copied());
        let seconds = version.created.unix_ms() / 1_000;
        let text = CommitWords {
            tree: *tree,
            parent: parent.and_then(|place| history.at(place)).map(|commit: &Commit| commit.id),
            author: &version.author,
            seconds,
            number: version.number,
            message: &version.message,
        }
        .to_string();
        let id = ObjectId::of(ObjectKind::Commit, text.as_bytes());
        let commit = Commit { id, tree: *tree, parent, number: version.number, seconds, files: version.files, text };
        places.insert(version.number, history.push(commit));
    }
    let at = |number: &u32| places.get(number).and_then(|place| history.at(*place)).map(|commit| commit.id);
    let refs: Vec<(String, ObjectId)> = rows.refs.iter().filter_map(|(name, number)| Some((name.clone(), at(number)?))).collect();
    let head = refs.iter().find(|(name, _)| name == "refs/heads/main").map(|(_, id)| *id);
    GitRepo { key: rows.repo.key, kind: rows.repo.kind, id: rows.repo.id, history, refs, head }
}
