//! From what people type to a version: refs, numbers, commit ids and their prefixes, manifest digests.

use super::super::{Error, Result};
use super::lines;
use crate::catalog::{library, refs, versions};
use crate::db::Tx;
use crate::domain::digest::CommitId;
use crate::domain::repo::{Listing, Repo, Version, VersionState};
use crate::domain::revision::{Line, RefName, Revision};

/// Digits of a whole commit id.
const WHOLE_COMMIT: usize = 40;

/// The version a revision names. A yanked one is found by those who name it exactly; a deleted one says so.
pub(super) fn version(tx: &mut Tx<'_>, repo: &Repo, revision: &Revision) -> Result<Version> {
    let found = match revision {
        Revision::Ref(name) => by_ref(tx, repo, name)?,
        Revision::Number(number) => own(versions::find(tx, &repo.key, *number)?),
        Revision::Commit(prefix) => by_commit(tx, repo, prefix)?,
        Revision::Manifest(digest) => {
            let same = versions::with_commit(tx, &repo.key, CommitId::of_manifest(digest).as_str())?;
            same.into_iter().find(|version| version.manifest == *digest)
        }
    };
    match found {
        Some(version) if version.state == VersionState::Deleted => Err(Error::not_found(
            "version_deleted",
            format!("version {} of '{}' was deleted", version.number, repo.id),
            "choose another version; its number is not given again",
        )),
        Some(version) => Ok(version),
        None => Err(unknown(tx, repo, revision)?),
    }
}

/// What somebody else asks to take in has a number too, and is not the repo's: it is found by its pull request, and by its
/// whole commit id.
fn own(found: Option<Version>) -> Option<Version> {
    found.filter(|version| matches!(version.line, Line::Branch(_)))
}

fn by_ref(tx: &mut Tx<'_>, repo: &Repo, name: &RefName) -> Result<Option<Version>> {
    if let Some(line @ Line::PullRequest(_)) = Line::of(name) {
        return lines::head_of(tx, repo, &line);
    }
    let short = ["refs/heads/", "refs/tags/"].iter().find_map(|long| name.as_str().strip_prefix(long));
    let short = short.and_then(|short| RefName::parse(short).ok());
    let number = match refs::find(tx, &repo.key, short.as_ref().unwrap_or(name))? {
        Some(found) => Some(found.number),
        // `v3` reads as version 3 where no tag has that name.
        None => name.as_str().strip_prefix('v').and_then(|digits| digits.parse().ok()),
    };
    Ok(match number {
        Some(number) => own(versions::find(tx, &repo.key, number)?),
        None => None,
    })
}

/// Several versions may hold the same files and so share their commit id: the newest is meant.
fn by_commit(tx: &mut Tx<'_>, repo: &Repo, prefix: &str) -> Result<Option<Version>> {
    let mut all = versions::with_commit(tx, &repo.key, prefix)?;
    // A beginning that somebody else's pull request could share means none of theirs.
    all.retain(|version| prefix.len() == WHOLE_COMMIT || matches!(version.line, Line::Branch(_)));
    let mut commits: Vec<&str> = all.iter().filter(|v| v.state != VersionState::Deleted).map(|v| v.commit.as_str()).collect();
    commits.sort_unstable();
    commits.dedup();
    if commits.len() > 1 {
        return Err(Error::invalid(
            "ambiguous_revision",
            format!("'{prefix}' is the beginning of {} commits of '{}': {}", commits.len(), repo.id, commits.join(", ")),
            "type more of the commit id",
        ));
    }
    Ok(all.into_iter().next())
}

/// What the library knows of and does not hold.
fn only_listed(repo: &Repo, listing: Option<Listing>) -> Error {
    let (id, name) = (&repo.id, repo.id.name());
    match listing {
        Some(Listing::NotFetched) => {
            let message = format!("'{id}' is in the library, and its files are not here yet");
            Error::not_found("not_fetched", message, format!("fetch it with 'hub pull {name}', or with the button on its page"))
        }
        _ => {
            let message = format!("'{id}' is in the library with its facts alone");
            Error::not_found("facts_only", message, "its page says where it is to be had; bring it in with 'hub import' or 'hub publish'")
        }
    }
}

fn unknown(tx: &mut Tx<'_>, repo: &Repo, revision: &Revision) -> Result<Error> {
    if versions::find_newest_live(tx, &repo.key)?.is_none() && *revision == Revision::main() {
        if let Some((facts, _)) = library::find_facts(tx, &repo.key)? {
            return Ok(only_listed(repo, facts.listing));
        }
        return Ok(Error::not_found(
            "nothing_published",
            format!("nothing is published in '{}' yet", repo.id),
            "publish a first version with 'hub publish', or name a yanked version by its number",
        ));
    }
    Ok(Error::not_found(
        "revision_not_found",
        format!("'{}' has no version '{revision}'", repo.id),
        "list its versions and tags; a revision is 'main', a tag, a number or a commit id",
    ))
}
