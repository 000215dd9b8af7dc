//! Managing repos: making and deleting them, moving refs, yanking and deleting versions.

use super::super::people::quotas::{one_more, room_in_namespace};
use super::super::{Error, Result, Service, access};
use super::{lines, publish, resolve};
use crate::catalog::{facts, former_names, library, refs, repos, rights, usage, users, versions};
use crate::db::Tx;
use crate::domain::id::RepoKey;
use crate::domain::name::{Name, RepoId, RepoKind};
use crate::domain::repo::{Ref, RefKind, Repo, RepoSummary, Version, VersionState};
use crate::domain::revision::{RefName, Revision};
use crate::domain::time::Timestamp;
use crate::domain::user::Actor;
use crate::service::people::journal::{Note, note_act};

/// Longest summary in bytes.
const LONGEST_SUMMARY: usize = 500;
/// Who did something, and when; what an audit row needs beside the act.
struct Act {
    actor: Actor,
    now: Timestamp,
    note: Note,
}

impl Act {
    fn write(&self, tx: &mut Tx<'_>, action: &str, repo: &Repo, detail: impl Into<String>) -> Result<()> {
        let subject = format!("{} {}", repo.kind, repo.id);
        note_act(tx, self.now, self.note.clone(), &self.actor, action, &subject, &detail.into())
    }
}

impl Service {
    fn act(&self, actor: &Actor) -> Result<Act> {
        Ok(Act { actor: actor.clone(), now: self.now(), note: self.note()? })
    }

    /// Makes a repo. At the name of one that was moved away it takes the place of the way there; its versions are
    /// numbered on from those of the other, so that whoever wrote down a number of that never gets other bytes.
    pub async fn create_repo(&self, actor: &Actor, kind: RepoKind, id: &RepoId, private: bool, summary: String) -> Result<RepoSummary> {
        check_summary(&summary)?;
        let (act, id) = (self.act(actor)?, id.clone());
        let (key, most) = (RepoKey::new(act.now, self.random()?), self.policy.quotas.repos_per_namespace);
        self.db
            .write(move |tx| {
                access::write_namespace(tx, &act.actor, id.namespace())?;
                one_more_repo(tx, &act.actor, id.namespace(), most)?;
                if let Some(repo) = take_from_library(tx, (kind, &id), private, &summary, act.now)? {
                    act.write(tx, "create_repo", &repo, if private { "private" } else { "public" })?;
                    return Ok(RepoSummary { repo, head: None, facts: Default::default(), is_newest: true });
                }
                let former = free(tx, kind, &id)?;
                let repo =
                    Repo { key, kind, id: as_owner_spells(tx, id)?, private, summary, downloads: 0, created: act.now, updated: act.now };
                repos::insert(tx, &repo)?;
                if let Some(former) = former {
                    former_names::delete(tx, kind, &repo.id)?;
                    repos::number_after(tx, &repo.key, &former)?;
                }
                facts::set_head(tx, &repo, None)?;
                act.write(tx, "create_repo", &repo, if private { "private" } else { "public" })?;
                Ok(RepoSummary { repo, head: None, facts: Default::default(), is_newest: true })
            })
            .await
    }

    /// Changes what is given. Making a repo private or public needs the admin role, its summary the write role.
    pub async fn patch_repo(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        private: Option<bool>,
        summary: Option<String>,
    ) -> Result<RepoSummary> {
        if let Some(summary) = &summary {
            check_summary(summary)?;
        }
        let (act, name) = (self.act(actor)?, id.clone());
        self.db
            .write(move |tx| {
                let mut repo = match private {
                    Some(_) => access::admin_repo(tx, &act.actor, kind, &name)?,
                    None => access::write_repo(tx, &act.actor, kind, &name)?,
                };
                let detail = format!("private {private:?}, summary {}", if summary.is_some() { "changed" } else { "kept" });
                repo.private = private.unwrap_or(repo.private);
                repo.summary = summary.unwrap_or(repo.summary);
                repo.updated = act.now;
                repos::update(tx, &repo)?;
                if private.is_some() {
                    rights::lost(tx)?;
                }
                let head = versions::find_head(tx, &repo.key)?;
                facts::set_head(tx, &repo, head.as_ref())?;
                act.write(tx, "patch_repo", &repo, detail)
            })
            .await?;
        self.get_repo(actor, kind, id).await
    }

    /// Gives a repo another name, in any namespace the caller may write to. The old name leads there until a new repo
    /// has it.
    pub async fn move_repo(&self, actor: &Actor, kind: RepoKind, from: &RepoId, to: &RepoId) -> Result<Repo> {
        let (act, from, to, policy) = (self.act(actor)?, from.clone(), to.clone(), self.policy.clone());
        self.db
            .write(move |tx| {
                let repo = access::admin_repo(tx, &act.actor, kind, &from)?;
                access::write_namespace(tx, &act.actor, to.namespace())?;
                if to.namespace().folded() != repo.id.namespace().folded() {
                    one_more_repo(tx, &act.actor, to.namespace(), policy.quotas.repos_per_namespace)?;
                    let more = usage::stored_in(tx, &repo.key)?;
                    room_in_namespace(tx, &policy, &act.actor, to.namespace(), more)?;
                }
                if to.folded() != repo.id.folded() {
                    make_way(tx, &repo, &to, act.now)?;
                }
                let moved = Repo { id: as_owner_spells(tx, to)?, updated: act.now, ..repo.clone() };
                repos::rename(tx, &repo, &moved.id, act.now)?;
                let head = versions::find_head(tx, &moved.key)?;
                facts::set_head(tx, &moved, head.as_ref())?;
                act.write(tx, "move_repo", &moved, format!("was {}", repo.id))?;
                Ok(moved)
            })
            .await
    }

    /// Deletes a repo with all versions. Its name, and those it had before, stay reserved for ever.
    pub async fn delete_repo(&self, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<()> {
        let (act, id) = (self.act(actor)?, id.clone());
        self.db
            .write(move |tx| {
                let repo = access::admin_repo(tx, &act.actor, kind, &id)?;
                repos::bury(tx, &repo.key, act.now)?;
                act.write(tx, "delete_repo", &repo, "")
            })
            .await
    }

    /// Lets a ref name a version, if it still names `expected` (`None`: if it does not exist yet). A ref stays the branch or
    /// the tag it is.
    pub async fn set_ref(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        (name, wanted): (RefName, Option<RefKind>),
        revision: &Revision,
        expected: Option<u32>,
    ) -> Result<Ref> {
        let (act, id, revision) = (self.act(actor)?, id.clone(), revision.clone());
        self.db
            .write(move |tx| {
                let mut repo = access::write_repo(tx, &act.actor, kind, &id)?;
                let version = resolve::version(tx, &repo, &revision)?;
                let ref_kind = check_expected(tx, &repo, (&name, wanted), expected)?;
                if ref_kind == RefKind::Branch {
                    refuse_yanked(&version)?;
                }
                if name.is_main() {
                    publish::move_main(tx, &mut repo, Some(&version), act.now)?;
                } else {
                    refs::set_of_kind(tx, &repo.key, (&name, ref_kind), version.number, act.now)?;
                }
                act.write(tx, "set_ref", &repo, format!("{name} -> {}", version.number))?;
                Ok(Ref { name, kind: ref_kind, number: version.number, commit: version.commit, updated: act.now })
            })
            .await
    }

    /// Deletes a tag or a branch other than `main`; with a kind, only one of that kind. The versions stay, found by their
    /// numbers.
    pub async fn delete_ref(&self, actor: &Actor, kind: RepoKind, id: &RepoId, name: &RefName, ref_kind: Option<RefKind>) -> Result<()> {
        let (act, id, name) = (self.act(actor)?, id.clone(), name.clone());
        self.db
            .write(move |tx| {
                let repo = access::write_repo(tx, &act.actor, kind, &id)?;
                if name.is_main() {
                    let hint = "yank or delete its versions, or delete the repo";
                    return Err(Error::invalid("main_stays", "'main' cannot be deleted", hint));
                }
                if refs::find(tx, &repo.key, &name)?.is_none_or(|found| ref_kind.is_some_and(|wanted| wanted != found.kind)) {
                    let what = ref_kind.map_or("branch or tag", RefKind::as_str);
                    let message = format!("'{}' has no {what} '{name}'", repo.id);
                    return Err(Error::not_found("ref_not_found", message, "list its refs to see what there is"));
                }
                refs::delete(tx, &repo.key, &name)?;
                act.write(tx, "delete_ref", &repo, name.as_str())
            })
            .await
    }

    /// Yanks a version (hidden from `main`, still there for those who pinned it) or makes it live again.
    pub async fn set_version_state(&self, actor: &Actor, kind: RepoKind, id: &RepoId, number: u32, state: VersionState) -> Result<Version> {
        if state == VersionState::Deleted {
            return self.delete_version(actor, kind, id, number).await;
        }
        let (act, id) = (self.act(actor)?, id.clone());
        self.db
            .write(move |tx| {
                let mut repo = access::write_repo(tx, &act.actor, kind, &id)?;
                let version = Version { state, ..numbered(tx, &repo, number)? };
                versions::set_state(tx, &repo.key, number, state)?;
                lines::settle(tx, &mut repo, &version, act.now)?;
                act.write(tx, "set_version_state", &repo, format!("{number} {state}"))?;
                Ok(version)
            })
            .await
    }

    /// Deletes a version: its files and tags go, a tombstone with its number stays.
    pub async fn delete_version(&self, actor: &Actor, kind: RepoKind, id: &RepoId, number: u32) -> Result<Version> {
        let (act, id) = (self.act(actor)?, id.clone());
        self.db
            .write(move |tx| {
                let mut repo = access::admin_repo(tx, &act.actor, kind, &id)?;
                let version = Version { state: VersionState::Deleted, ..numbered(tx, &repo, number)? };
                versions::bury(tx, &repo.key, number)?;
                usage::recount_stored(tx, &repo.key)?;
                lines::settle(tx, &mut repo, &version, act.now)?;
                for tag in refs::naming(tx, &repo.key, number)? {
                    refs::delete(tx, &repo.key, &tag.name)?;
                }
                act.write(tx, "delete_version", &repo, number.to_string())?;
                Ok(version)
            })
            .await
    }
}

/// The version of a number, also one of a pull request: whoever looks after a repo looks after that too.
/// What is mirrored is nobody's, and not counted.
fn one_more_repo(tx: &mut Tx<'_>, actor: &Actor, namespace: &Name, most: u64) -> Result<()> {
    if *actor == Actor::System {
        return Ok(());
    }
    let held = usage::count_repos(tx, namespace)?;
    one_more("too_many_repos", &format!("repos of '{namespace}'"), held, most, "delete those that nobody needs")
}

fn numbered(tx: &mut Tx<'_>, repo: &Repo, number: u32) -> Result<Version> {
    match versions::find(tx, &repo.key, number)? {
        Some(version) if version.state != VersionState::Deleted => Ok(version),
        _ => resolve::version(tx, repo, &Revision::Number(number)),
    }
}

fn check_summary(summary: &str) -> Result<()> {
    if summary.len() > LONGEST_SUMMARY || summary.chars().any(crate::domain::path::invisible) {
        let problem = format!("a summary is one line of at most {LONGEST_SUMMARY} bytes without control characters");
        return Err(Error::invalid("bad_summary", problem, "shorten it, and put the rest into README.md"));
    }
    Ok(())
}

/// Refuses a name that is taken, or was by a repo that is gone. Which repo had it before it was moved, if one had.
fn free(tx: &mut Tx<'_>, kind: RepoKind, id: &RepoId) -> Result<Option<RepoKey>> {
    if let Some(taken) = repos::find(tx, kind, id)? {
        let message = format!("the {kind} '{}' exists already", taken.id);
        return Err(Error::conflict(
            "repo_exists",
            message,
            "publish into it, or choose another name (case, '-', '_' and '.' count as the same)",
        ));
    }
    let former = former_names::find(tx, kind, id)?;
    let was_moved = match &former {
        Some(key) => repos::find_by_key(tx, key)?.is_some(),
        None => false,
    };
    if repos::is_buried(tx, kind, id)? || (former.is_some() && !was_moved) {
        return Err(reserved(format!("a {kind} '{id}' was deleted; its name is not given again")));
    }
    Ok(former)
}

/// Before a repo takes the name `to`: leaves its own as a former one. It may take one back that it had, but no other
/// repo's, whose version numbers would then name other bytes.
fn make_way(tx: &mut Tx<'_>, repo: &Repo, to: &RepoId, now: Timestamp) -> Result<()> {
    match free(tx, repo.kind, to)? {
        Some(former) if former != repo.key => {
            return Err(reserved(format!("another {} was called '{to}' before it was moved", repo.kind)));
        }
        Some(_) => former_names::delete(tx, repo.kind, to)?,
        None => {}
    }
    Ok(former_names::insert(tx, repo, now)?)
}

fn reserved(message: String) -> Error {
    Error::conflict("name_reserved", message, "choose another name: those who pinned the old one must never get other bytes")
}

/// A repo that the library only lists is anybody's who may write there: from now on it is a repo of theirs.
fn take_from_library(
    tx: &mut Tx<'_>,
    (kind, id): (RepoKind, &RepoId),
    private: bool,
    summary: &str,
    now: Timestamp,
) -> Result<Option<Repo>> {
    let Some(mut repo) = repos::find(tx, kind, id)? else { return Ok(None) };
    let listed = library::find_facts(tx, &repo.key)?.is_some() && versions::find_head(tx, &repo.key)?.is_none();
    if !listed {
        return Ok(None);
    }
    library::remove(tx, &repo.key)?;
    repo.private = private;
    summary.clone_into(&mut repo.summary);
    repo.updated = now;
    repos::update(tx, &repo)?;
    facts::set_head(tx, &repo, None)?;
    Ok(Some(repo))
}

/// The namespace as its owner wrote it, so that one namespace has one spelling.
fn as_owner_spells(tx: &mut Tx<'_>, id: RepoId) -> Result<RepoId> {
    let Some(owner) = users::find(tx, id.namespace())? else { return Ok(id) };
    RepoId::from_parts(owner.name.as_str(), id.name().as_str()).map_err(|e| Error::Internal(format!("the account '{}': {e}", owner.name)))
}

/// The ref names what it was seen at; what kind of a ref it is, or will be.
fn check_expected(tx: &mut Tx<'_>, repo: &Repo, (name, wanted): (&RefName, Option<RefKind>), expected: Option<u32>) -> Result<RefKind> {
    let found = refs::find(tx, &repo.key, name)?;
    let usual = if name.is_main() { RefKind::Branch } else { RefKind::Tag };
    let kind = found.as_ref().map_or(wanted.unwrap_or(usual), |found| found.kind);
    if wanted.is_some_and(|wanted| wanted != kind) {
        let message = format!("'{name}' of '{}' is a {kind} already", repo.id);
        return Err(Error::invalid("ref_is_other", message, "choose another name, or delete it first"));
    }
    if found.is_none() && expected.is_none() && !name.is_main() {
        lines::check_new_name(tx, repo, name, kind)?;
    }
    let stands = found.map(|found| found.number);
    if stands == expected {
        return Ok(kind);
    }
    let at = stands.map_or("does not exist".to_owned(), |number| format!("names version {number}"));
    Err(Error::conflict(
        "ref_moved",
        format!("'{name}' of '{}' {at}", repo.id),
        "look at it again, then give the version it names as 'expected'",
    ))
}

fn refuse_yanked(version: &Version) -> Result<()> {
    if version.state == VersionState::Live {
        return Ok(());
    }
    let message = format!("version {} is {}, and branches name only live versions", version.number, version.state);
    Err(Error::invalid("version_not_live", message, "make the version live again first"))
}
