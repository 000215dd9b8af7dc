//! Lines: branches and pull requests, each a row of versions made one upon the other. Where a line stands, who may go on
//! with it, and how it moves. What lists and searches show is where `main` stands, and nothing else.

use super::super::{Error, Result, Service, access};
use super::publish::move_main;
use crate::catalog::{discussions, refs, versions};
use crate::db::Tx;
use crate::domain::discussion::{Discussion, Pull};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::{FileEntry, RefKind, Repo, Version, VersionState};
use crate::domain::revision::{Line, RefName, Revision};
use crate::domain::time::Timestamp;
use crate::domain::user::Actor;

/// Branches and tags of one repo.
const MOST_REFS: u64 = 10_000;

impl Service {
    /// May the caller commit to what this revision names? With `proposes`, to a new pull request upon it.
    pub async fn may_commit_to(&self, actor: &Actor, kind: RepoKind, id: &RepoId, revision: &Revision, proposes: bool) -> Result<Line> {
        let (actor, id, revision) = (actor.clone(), id.clone(), revision.clone());
        self.db
            .read(move |tx| {
                let line = match &revision {
                    Revision::Ref(name) => Line::of(name),
                    _ => None,
                };
                let repo = enter(tx, &actor, kind, &id, line.as_ref().unwrap_or(&Line::main()), proposes)?;
                let line = line.ok_or_else(|| no_branch(&repo, &revision.to_string()))?;
                match &line {
                    Line::Branch(name) if !name.is_main() => drop(branch(tx, &repo, name)?.ok_or_else(|| no_branch(&repo, name.as_str()))?),
                    Line::PullRequest(_) if proposes => return Err(upon_a_pull_request()),
                    _ => {}
                }
                Ok(line)
            })
            .await
    }

    /// May the caller open pull requests here, and send what they will hold?
    pub async fn may_propose(&self, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<()> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db.read(move |tx| access::propose_to_repo(tx, &actor, kind, &id).map(drop)).await
    }
}

/// The repo, if the caller may go on with a line of it; with `proposes`, if they may open a pull request upon it.
pub(super) fn enter(tx: &mut Tx<'_>, actor: &Actor, kind: RepoKind, id: &RepoId, line: &Line, proposes: bool) -> Result<Repo> {
    match line {
        _ if proposes => access::propose_to_repo(tx, actor, kind, id),
        Line::Branch(_) => access::write_repo(tx, actor, kind, id),
        Line::PullRequest(number) => {
            let repo = access::propose_to_repo(tx, actor, kind, id)?;
            let (discussion, _) = pull_request(tx, &repo, *number)?;
            access::change_what_was_begun(tx, actor, kind, id, &discussion.author)?;
            if !discussion.state.is_open() {
                let message = format!("pull request {number} of '{}' is {}", repo.id, discussion.state);
                return Err(Error::conflict("not_open", message, "open it again first, or open another"));
            }
            Ok(repo)
        }
    }
}

/// A pull request, and what it asks for.
pub(super) fn pull_request(tx: &mut Tx<'_>, repo: &Repo, number: u32) -> Result<(Discussion, Pull)> {
    let found = discussions::find(tx, &repo.key, number)?;
    let found = found.and_then(|discussion| discussion.pull.clone().map(|pull| (discussion, pull)));
    found.ok_or_else(|| {
        let message = format!("'{}' has no pull request {number}", repo.id);
        Error::not_found("revision_not_found", message, "list its pull requests to see what there is")
    })
}

/// Where a line stands; nowhere while nothing was made upon it.
pub(super) fn head_of(tx: &mut Tx<'_>, repo: &Repo, line: &Line) -> Result<Option<Version>> {
    let number = match line {
        Line::Branch(name) if name.is_main() => return Ok(versions::find_head(tx, &repo.key)?),
        Line::Branch(name) => branch(tx, repo, name)?,
        Line::PullRequest(number) => {
            let (_, pull) = pull_request(tx, repo, *number)?;
            pull.head.or(pull.base)
        }
    };
    Ok(number.map_or(Ok(None), |number| versions::find(tx, &repo.key, number))?)
}

pub(super) fn files_of(tx: &mut Tx<'_>, repo: &Repo, version: Option<&Version>) -> Result<Vec<FileEntry>> {
    Ok(version.map_or(Ok(Vec::new()), |version| versions::files(tx, &repo.key, version.number))?)
}

/// The number a branch stands at. A tag of that name is no branch.
pub(super) fn branch(tx: &mut Tx<'_>, repo: &Repo, name: &RefName) -> Result<Option<u32>> {
    match refs::find(tx, &repo.key, name)? {
        Some(found) if found.kind == RefKind::Tag => {
            let message = format!("'{name}' of '{}' is a tag, and a tag stays where it is", repo.id);
            Err(Error::not_found("revision_not_found", message, "commit to a branch, then set a tag"))
        }
        found => Ok(found.map(|found| found.number)),
    }
}

/// A new branch or tag: its name is free, and git could keep it.
pub(super) fn check_new_name(tx: &mut Tx<'_>, repo: &Repo, name: &RefName, kind: RefKind) -> Result<()> {
    if refs::count(tx, &repo.key)? >= MOST_REFS {
        return Err(Error::invalid("too_many_refs", format!("'{}' has {MOST_REFS} branches and tags", repo.id), "delete some first"));
    }
    if !name.can_be_given() {
        let message = format!("no {kind} is called '{name}': 'refs/...' and 'HEAD' are git's own, and no part ends with '.lock'");
        return Err(Error::invalid("bad_ref", message, "choose another name"));
    }
    if let Some(other) = refs::find_in_the_way(tx, &repo.key, name, kind)? {
        let message = format!("'{}' has the {kind} '{other}', and git keeps no '{name}' beside it", repo.id);
        return Err(Error::conflict("ref_in_the_way", message, "choose another name"));
    }
    Ok(())
}

/// Lets a line stand at a version that was just made upon it.
pub(super) fn advance(tx: &mut Tx<'_>, repo: &mut Repo, version: &Version, now: Timestamp) -> Result<()> {
    match &version.line {
        Line::Branch(name) if name.is_main() => move_main(tx, repo, Some(version), now),
        Line::Branch(name) => Ok(refs::set_of_kind(tx, &repo.key, (name, RefKind::Branch), version.number, now)?),
        Line::PullRequest(number) => {
            let (mut discussion, pull) = pull_request(tx, repo, *number)?;
            discussion.pull = Some(Pull { head: Some(version.number), ..pull });
            Ok(discussions::update(tx, &repo.key, &discussion)?)
        }
    }
}

/// After a version's state changed: lines leave a version that is no longer live for the nearest under it that is, and
/// the line it was made upon comes forward to one that is live again and stands upon where that stood.
pub(super) fn settle(tx: &mut Tx<'_>, repo: &mut Repo, changed: &Version, now: Timestamp) -> Result<()> {
    if changed.state == VersionState::Live {
        return come_forward(tx, repo, changed, now);
    }
    let under = versions::find_live_ancestor(tx, &repo.key, changed.number)?;
    discussions::move_heads(tx, &repo.key, changed.number, under.as_ref().map(|version| version.number))?;
    for branch in refs::naming(tx, &repo.key, changed.number)?.into_iter().filter(|found| found.kind == RefKind::Branch) {
        if branch.name.is_main() {
            let newest = versions::find_newest_live(tx, &repo.key)?;
            move_main(tx, repo, under.as_ref().or(newest.as_ref()), now)?;
        } else if let Some(under) = &under {
            refs::set_of_kind(tx, &repo.key, (&branch.name, RefKind::Branch), under.number, now)?;
        } else {
            refs::delete(tx, &repo.key, &branch.name)?;
        }
    }
    Ok(())
}

fn come_forward(tx: &mut Tx<'_>, repo: &mut Repo, live: &Version, now: Timestamp) -> Result<()> {
    let Line::Branch(name) = &live.line else { return Ok(()) };
    match head_of(tx, repo, &live.line)? {
        Some(head) if live.number > head.number && versions::stands_upon(tx, &repo.key, live.number, head.number)? => {
            advance(tx, repo, live, now)
        }
        None if name.is_main() => advance(tx, repo, live, now),
        _ => Ok(()),
    }
}

fn no_branch(repo: &Repo, name: &str) -> Error {
    let message = format!("'{}' has no branch '{name}' to commit to", repo.id);
    Error::not_found("revision_not_found", message, "make the branch first, or commit to 'main'")
}

pub(super) fn upon_a_pull_request() -> Error {
    Error::invalid(
        "bad_target",
        "a pull request is opened upon a branch, not upon another pull request",
        "commit to that one, or name a branch",
    )
}

/// Tags are given, never moved, by a commit.
pub(super) fn set_tags(tx: &mut Tx<'_>, repo: &Repo, version: &Version, tags: &[RefName], now: Timestamp) -> Result<()> {
    for tag in tags {
        if tag.is_main() {
            continue;
        }
        match refs::find(tx, &repo.key, tag)? {
            Some(at) if at.kind == RefKind::Branch => {
                let message = format!("'{tag}' of '{}' is a branch", repo.id);
                return Err(Error::conflict("ref_moved", message, "choose another tag"));
            }
            None => {
                check_new_name(tx, repo, tag, RefKind::Tag)?;
                refs::set(tx, &repo.key, tag, version.number, now)?;
            }
            Some(at) if at.number != version.number => {
                let message = format!("the tag '{tag}' of '{}' names version {} already", repo.id, at.number);
                return Err(Error::conflict("ref_moved", message, "choose another tag, or move this one with its present version given"));
            }
            _ => refs::set(tx, &repo.key, tag, version.number, now)?,
        }
    }
    Ok(())
}
