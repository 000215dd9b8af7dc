//! Who may do what: the only place that decides. Each service method asks here on its first line.
//!
//! A caller's right in a namespace is the smaller of two: their role there, and the scope of their token.
//! A namespace is a user's own (admin) or an organisation's (its members' roles); site administrators have
//! every role everywhere. What a caller may not see does not exist: the answer is that of an unknown name.

use super::{Error, Result};
use crate::catalog::{Visibility, library, repos, users};
use crate::db::Tx;
use crate::domain::id::AccountId;
use crate::domain::job::Job;
use crate::domain::name::{Name, RepoId, RepoKind};
use crate::domain::repo::Repo;
use crate::domain::user::{Actor, Role, Scope};

/// The repo, if it is there and the caller may read it; else the same NotFound for both. Whoever may read a repo that
/// had this name before it was moved is told its present one.
pub(super) fn see_repo(tx: &mut Tx<'_>, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<Repo> {
    // The same questions, with nothing for an answer, for a name that is not there and for one that may not be seen.
    let visible = visible_to(tx, actor)?;
    if let Some(repo) = repos::find_seen(tx, kind, id, &visible)? {
        return Ok(repo);
    }
    match repos::find_moved(tx, kind, id, &visible)? {
        Some(moved) => Err(Error::moved(id, moved.id)),
        None => Err(match named_otherwise(tx, kind, id, &visible)? {
            Some(entry) => Error::alias(id, entry),
            None => unknown_repo(kind, id),
        }),
    }
}

/// The entry of the library that this is another name of, if it may be seen.
fn named_otherwise(tx: &mut Tx<'_>, kind: RepoKind, id: &RepoId, visible: &Visibility) -> Result<Option<RepoId>> {
    match library::find_alias(tx, kind, id)? {
        Some(entry) => Ok(repos::find_seen(tx, kind, &entry.id, visible)?.map(|seen| seen.id)),
        None => Ok(None),
    }
}

/// The repo, if the caller may change what is in it.
pub(super) fn write_repo(tx: &mut Tx<'_>, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<Repo> {
    let repo = see_repo(tx, actor, kind, id)?;
    require(tx, actor, repo.id.namespace(), Role::Write)?;
    Ok(repo)
}

/// The repo, if the caller may speak about it and ask to change it: whoever may read it, with a token that may write.
pub(super) fn propose_to_repo(tx: &mut Tx<'_>, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<Repo> {
    let repo = see_repo(tx, actor, kind, id)?;
    scope(actor, Role::Write)?;
    known(actor)?;
    Ok(repo)
}

/// The repo, if the caller may change what `author` began there: its author, and whoever may write.
pub(super) fn change_what_was_begun(tx: &mut Tx<'_>, actor: &Actor, kind: RepoKind, id: &RepoId, author: &str) -> Result<Repo> {
    let repo = propose_to_repo(tx, actor, kind, id)?;
    if actor.name().is_none_or(|name| name.as_str() != author) {
        require(tx, actor, repo.id.namespace(), Role::Write)?;
    }
    Ok(repo)
}

/// The repo, if the caller may change what it is: private or public, gone or there.
pub(super) fn admin_repo(tx: &mut Tx<'_>, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<Repo> {
    let repo = see_repo(tx, actor, kind, id)?;
    require(tx, actor, repo.id.namespace(), Role::Admin)?;
    Ok(repo)
}

/// May the caller put new repos into this namespace? A namespace nobody owns answers as one that is not theirs.
pub(super) fn write_namespace(tx: &mut Tx<'_>, actor: &Actor, namespace: &Name) -> Result<()> {
    require(tx, actor, namespace, Role::Write)
}

/// May the caller manage this namespace: its members, its repos' privacy?
pub(super) fn admin_namespace(tx: &mut Tx<'_>, actor: &Actor, namespace: &Name) -> Result<()> {
    require(tx, actor, namespace, Role::Admin)
}

/// May the caller manage the whole site?
pub(super) fn admin_site(actor: &Actor) -> Result<()> {
    match actor {
        Actor::System => Ok(()),
        Actor::User { is_admin: true, scope: Scope::Admin, .. } => Ok(()),
        Actor::User { is_admin: true, .. } => Err(token_scope(Role::Admin)),
        Actor::User { .. } => Err(Error::forbidden(
            "site_admin_only",
            "only site administrators may do this",
            "ask one of them; 'hub admin' on the server's machine works too",
        )),
        Actor::Anonymous => Err(login_required()),
    }
}

/// May the caller see how the site fares? With a token of any scope: a program that watches needs one that reads.
pub(super) fn watch_site(actor: &Actor) -> Result<()> {
    match actor {
        Actor::User { is_admin: true, .. } => Ok(()),
        _ => admin_site(actor),
    }
}

/// The account behind a caller who must be somebody.
pub(super) fn known(actor: &Actor) -> Result<&AccountId> {
    actor.account().ok_or_else(login_required)
}

/// May the caller use their token for acts that need this scope, such as managing their own account?
pub(super) fn scope(actor: &Actor, needed: Role) -> Result<()> {
    match actor {
        Actor::Anonymous => Err(login_required()),
        Actor::User { scope, .. } if cap(*scope) < needed => Err(token_scope(needed)),
        _ => Ok(()),
    }
}

/// What the caller may do in a namespace, the token's scope considered.
pub(super) fn role_in(tx: &mut Tx<'_>, actor: &Actor, namespace: &Name) -> Result<Option<Role>> {
    let role = own_role(tx, actor, namespace)?;
    Ok(match actor {
        Actor::User { scope, .. } => role.map(|role| role.min(cap(*scope))),
        _ => role,
    })
}

/// Which repos lists and searches may show the caller.
pub(super) fn visible_to(tx: &mut Tx<'_>, actor: &Actor) -> Result<Visibility> {
    Ok(match actor {
        Actor::System | Actor::User { is_admin: true, .. } => Visibility::Everything,
        Actor::Anonymous => Visibility::Public { and_namespaces: Vec::new() },
        Actor::User { account, name, .. } => {
            let organisations = users::list_memberships(tx, account)?.into_iter().map(|(name, _)| name.folded());
            Visibility::Public { and_namespaces: std::iter::once(name.folded()).chain(organisations).collect() }
        }
    })
}

/// May the caller see what is private where nobody lives, as mirrored repos do?
pub(super) fn sees_unowned(actor: &Actor) -> bool {
    matches!(actor, Actor::System | Actor::User { is_admin: true, .. })
}

/// Every job there is: the administrators' view.
pub(super) fn sees_all_jobs(actor: &Actor) -> bool {
    matches!(actor, Actor::System | Actor::User { is_admin: true, .. })
}

/// A job is its owner's business, the administrators', and that of the members of the organisation it publishes for, as far as they
/// may see what it reads. For all others it does not exist.
pub(super) fn sees_job(tx: &mut Tx<'_>, actor: &Actor, job: &Job) -> Result<bool> {
    if sees_all_jobs(actor) || actor.account() == Some(&job.owner) {
        return Ok(true);
    }
    let Some(name) = job.work.publishes().filter(|_| actor.account().is_some()) else { return Ok(false) };
    if role_in(tx, actor, name.namespace())?.is_none() {
        return Ok(false);
    }
    for input in job.work.inputs() {
        match see_repo(tx, actor, input.kind, &input.id) {
            Ok(_) => {}
            Err(Error::NotFound(problem)) if problem.moved_to.is_some() => {}
            Err(Error::NotFound(_)) => return Ok(false),
            Err(other) => return Err(other),
        }
    }
    Ok(true)
}

/// May a caller who sees a job say what becomes of it? Its owner, administrators, and who may write where it publishes.
pub(super) fn change_job(tx: &mut Tx<'_>, actor: &Actor, job: &Job) -> Result<()> {
    scope(actor, Role::Write)?;
    match job.work.publishes() {
        Some(name) if !sees_all_jobs(actor) && actor.account() != Some(&job.owner) => require(tx, actor, name.namespace(), Role::Write),
        _ => Ok(()),
    }
}

fn may(tx: &mut Tx<'_>, actor: &Actor, namespace: &Name, needed: Role) -> Result<bool> {
    Ok(role_in(tx, actor, namespace)?.is_some_and(|role| role >= needed))
}

fn require(tx: &mut Tx<'_>, actor: &Actor, namespace: &Name, needed: Role) -> Result<()> {
    if may(tx, actor, namespace, needed)? {
        return Ok(());
    }
    if *actor == Actor::Anonymous {
        return Err(login_required());
    }
    if own_role(tx, actor, namespace)?.is_some_and(|role| role >= needed) {
        return Err(token_scope(needed));
    }
    Err(Error::forbidden(
        "no_right",
        format!("you have no {needed} right in '{namespace}'"),
        format!("ask an administrator of '{namespace}' for the {needed} role, or use a namespace 'hub whoami' lists"),
    ))
}

/// The role a caller has whatever their token may do; none in a namespace that nobody owns.
fn own_role(tx: &mut Tx<'_>, actor: &Actor, namespace: &Name) -> Result<Option<Role>> {
    Ok(match actor {
        Actor::Anonymous => None,
        Actor::System => Some(Role::Admin),
        Actor::User { name, .. } if name.folded() == namespace.folded() => Some(Role::Admin),
        // Mirrored repos lie where nobody lives; somebody must look after them.
        Actor::User { is_admin: true, .. } => {
            let is_there = users::find(tx, namespace)?.is_some() || repos::has_any_in(tx, namespace)?;
            is_there.then_some(Role::Admin)
        }
        Actor::User { account, .. } => users::find_role(tx, namespace, account)?,
    })
}

/// The most a token of this scope lets its owner do.
pub(super) fn cap(scope: Scope) -> Role {
    match scope {
        Scope::Read => Role::Read,
        Scope::Write => Role::Write,
        Scope::Admin => Role::Admin,
    }
}

/// What a caller is told about a repo that is not there, or not there for them.
pub(super) fn unknown_repo(kind: RepoKind, id: &RepoId) -> Error {
    let kind = match kind {
        RepoKind::Model => "model",
        RepoKind::Dataset => "data set",
    };
    Error::not_found(
        "repo_not_found",
        format!("there is no {kind} '{id}' here"),
        "check the spelling with a search; if it is private, log in with a token that may read it",
    )
}

fn login_required() -> Error {
    Error::unauthorized("login_required", "this needs a token", "make one on the site's token page, then 'hub login' or HUB_TOKEN")
}

fn token_scope(needed: Role) -> Error {
    Error::forbidden(
        "token_scope",
        format!("your token's scope does not allow this; it needs '{needed}'"),
        format!("use a token made with the scope '{needed}'"),
    )
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
