//! Whether a caller in the midst of something may still go on. Rights end while a download runs: a token is revoked or
//! expires, an account is disabled, a session is closed, a role is taken away, a repo turns private. Each such loss
//! moves one number in the catalog; who runs on looks at it several times a second, and asks anew when it has moved.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::super::{Error, Result, Service, access};
use crate::catalog::{repos, rights, tokens, users};
use crate::db::Tx;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::secret;
use crate::domain::time::Timestamp;
use crate::domain::user::{Actor, Role};

/// How long the number is believed without another look, by all who run on together.
const FRESH: Duration = Duration::from_millis(200);

/// What a caller is in the midst of.
#[derive(Debug, Clone)]
pub struct Claim {
    pub actor: Actor,
    /// The hash of the session's cookie, where there is one.
    session: Option<String>,
    /// The repo it is about.
    repo: Option<(RepoKind, RepoId)>,
    /// It changes something: then less than the role it began with is not enough.
    writes: bool,
}

/// What was found when it was asked last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    losses: Option<u64>,
    expires: Option<Timestamp>,
    role: Option<Role>,
}

/// The number of losses, as this process saw it last.
#[derive(Default)]
pub(in crate::service) struct Pulse(Mutex<Option<(Instant, u64)>>);

impl Claim {
    pub fn new(actor: Actor, cookie: Option<&str>, repo: Option<(RepoKind, RepoId)>, writes: bool) -> Claim {
        Claim { actor, session: cookie.map(secret::hash), repo, writes }
    }

    pub fn is_of_session(&self) -> bool {
        self.session.is_some()
    }
}

impl Service {
    /// Where a claim stands now, which costs next to nothing while nobody loses a right; an error of the kinds
    /// `Unauthorized`, `Forbidden` or `NotFound` once it has ended.
    pub async fn still_stands(&self, claim: &Claim, before: Standing) -> Result<Standing> {
        let losses = self.losses().await?;
        let expired = before.expires.is_some_and(|at| at <= self.now());
        if before.losses == Some(losses) && !expired {
            return Ok(before);
        }
        let (claim, now) = (claim.clone(), self.now());
        self.db.read(move |tx| look(tx, &claim, before, now)).await.map(|standing| Standing { losses: Some(losses), ..standing })
    }

    async fn losses(&self) -> Result<u64> {
        let mut seen = self.pulse.0.lock().await;
        if let Some((at, losses)) = *seen
            && at.elapsed() < FRESH
        {
            return Ok(losses);
        }
        let losses = self.db.read(rights::losses).await?;
        *seen = Some((Instant::now(), losses));
        Ok(losses)
    }
}

fn look(tx: &mut Tx<'_>, claim: &Claim, before: Standing, now: Timestamp) -> Result<Standing> {
    let mut standing = Standing { losses: None, expires: None, role: before.role };
    if let Actor::User { account, token, is_admin, .. } = &claim.actor {
        let token = tokens::find(tx, token)?.filter(|token| token.expires.is_none_or(|at| at > now)).ok_or_else(ended)?;
        let owner = users::find_by_id(tx, account)?;
        owner.filter(|owner| !owner.disabled && owner.is_admin >= *is_admin).ok_or_else(ended)?;
        if let Some(session) = &claim.session {
            tokens::find_session(tx, session)?.filter(|session| session.expires > now).ok_or_else(ended)?;
        }
        standing.expires = token.expires;
    }
    let Some((kind, id)) = &claim.repo else { return Ok(standing) };
    // A route may be about a repo that is yet to be made, or was never there.
    if repos::find(tx, *kind, id)?.is_some() {
        match access::see_repo(tx, &claim.actor, *kind, id) {
            Ok(_) => {}
            Err(Error::NotFound(_)) => return Err(ended()),
            Err(other) => return Err(other),
        }
    }
    if claim.writes {
        let role = access::role_in(tx, &claim.actor, id.namespace())?;
        if before.losses.is_some() && role < before.role {
            return Err(ended());
        }
        standing.role = role;
    }
    Ok(standing)
}

fn ended() -> Error {
    Error::unauthorized("right_ended", "what you may do has ended meanwhile", "log in again, or ask whoever took the right away")
}
