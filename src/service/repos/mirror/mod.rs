//! Pull-through: a repo that is asked for and absent is fetched from another hub, proved, published here, and served
//! like any other. Which hub, and whose repos of it, only the configuration says.
//!
//! It never writes where somebody lives: the namespaces of this hub's own people and organisations are theirs, and
//! a repo that was deleted here stays so. What the other hub shows to the configured token only is private here. What is
//! not taken for good is answered with the reason and not fetched again, until it changes there or an administrator asks.

pub(in crate::service) mod fetch;
mod follow;
mod reserved;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::super::work::{Whose, Work};
use super::super::{Error, Result, Service, access};
use crate::catalog::{former_names, mirrors, repos, users, versions};
use crate::db::Tx;
use crate::domain::mirror::Mirror;
use crate::domain::name::{Name, RepoId, RepoKind};
use crate::domain::repo::Repo;
use crate::domain::time::Timestamp;
use crate::domain::user::Actor;
use crate::import::mirror::Upstream;
pub use follow::{Followed, Updated};
pub use reserved::Clashes;

/// How long a request waits for a fetch; whoever asks again joins it.
const PATIENCE: Duration = Duration::from_secs(25);
/// The same where there is something to show meanwhile.
const SHORT_PATIENCE: Duration = Duration::from_secs(10);
/// Fetches at once, and those of one caller; others wait their turn. All strangers together are one caller.
const AT_ONCE: usize = 4;
const OF_ONE: usize = 2;
/// How long an answer counts that brought no repo: strangers must not make us ask the other hub all day.
const REMEMBERED_MS: i64 = 60_000;
/// How long before the other hub is asked whether what was refused has changed.
const REFUSED_MS: i64 = 3_600_000;
/// Answers remembered; more are not, and asked again.
const MOST_REMEMBERED: usize = 10_000;

/// Another hub whose repos appear here when they are asked for.
#[derive(Clone)]
pub struct Mirroring {
    upstream: Upstream,
    /// Folded; `None` for all.
    namespaces: Option<Vec<String>>,
    /// After this time a mirrored repo is asked for its commit again; 0: only when an administrator asks.
    refresh_ms: i64,
    /// For what is being fetched.
    folder: PathBuf,
    fetches: Arc<Mutex<HashMap<Key, Fetch>>>,
    turns: Work,
}

/// Which repo, and whether whoever asks may see what is private here.
type Key = (RepoKind, String, bool);

/// A fetch under way, or one that brought nothing.
#[derive(Clone)]
struct Fetch {
    begun: Timestamp,
    outcome: watch::Receiver<Option<Outcome>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// A version was made, or those files were here; what was said of it.
    Here {
        created: bool,
        warnings: Vec<String>,
    },
    /// It stands where it stood.
    Same,
    /// The other hub has none, or shows none.
    Absent,
    /// Why it is not taken.
    Refused(String),
    Failed(String),
    /// Too many fetches wait already.
    Crowded,
}

/// What is to be fetched: which repo there, for which name here.
#[derive(Debug, Clone)]
struct Wanted {
    kind: RepoKind,
    there: RepoId,
    here: RepoId,
    known: Option<Mirror>,
    /// Also what was refused before.
    anew: bool,
    /// Whose turn it takes.
    whose: Whose,
    /// Of what only the token sees, others are told what they are told of a name that is nowhere, after the same work.
    sees_private: bool,
}

/// What the catalog says of a name somebody asks for.
enum Standing {
    /// Whatever is here is no business of another hub.
    Ours,
    Mirrored(Mirror, Repo),
    Open(Option<Mirror>),
}

impl Mirroring {
    /// The hub at an address, as whom a token says; `proxies` are the hosts of those on the way there. What moves almost
    /// nothing for `patience` is given up. Nobody's repos yet.
    pub fn open(address: &str, token: Option<&str>, proxies: &[String], patience: Duration) -> Result<Mirroring> {
        let upstream = Upstream::new(address, token, proxies).map(|upstream| upstream.within(patience));
        let upstream = upstream.map_err(|e| Error::invalid("bad_upstream", e.to_string(), e.hint()))?;
        let (fetches, turns) = (Arc::default(), Work::shared(AT_ONCE, OF_ONE));
        Ok(Mirroring { upstream, namespaces: Some(Vec::new()), refresh_ms: 0, folder: PathBuf::new(), fetches, turns })
    }

    /// The repos of these namespaces (`*` for all), looked at again after `refresh_ms`; `folder` is for what is under way.
    pub fn of(self, namespaces: &[String], refresh_ms: i64, folder: PathBuf) -> Mirroring {
        let all = namespaces.iter().any(|name| name == "*");
        let named = namespaces.iter().filter_map(|name| Name::parse(name).ok()).map(|name| name.folded());
        Mirroring { namespaces: (!all).then(|| named.collect()), refresh_ms, folder, ..self }
    }

    fn allows(&self, namespace: &Name) -> bool {
        self.namespaces.as_ref().is_none_or(|names| names.contains(&namespace.folded()))
    }

    /// Is a refusal still to be believed without asking?
    fn is_fresh(&self, mirror: &Mirror, now: Timestamp) -> bool {
        let lasts = if self.refresh_ms > 0 { self.refresh_ms } else { REFUSED_MS };
        mirror.upstream == self.upstream.address() && now.unix_ms() - mirror.checked.unix_ms() < lasts
    }
}

impl Service {
    /// The same service, with another hub behind it.
    pub fn mirroring(self, mirroring: Option<Mirroring>) -> Service {
        Service { mirroring, ..self }
    }

    pub fn has_upstream(&self) -> bool {
        self.mirroring.is_some()
    }

    /// Fetches a repo that is absent here, or is to follow the other hub, if that is wanted; whoever may see it then, the
    /// next look decides. What was said of a version that was just made. [`Error::Busy`] while it takes long, or where
    /// nobody can say whether there is one; [`Error::Invalid`] where it is not taken.
    pub async fn fetch_absent(&self, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<Vec<String>> {
        let Some(mirroring) = &self.mirroring else { return Ok(Vec::new()) };
        let (asked, now) = (id.clone(), self.now());
        let looks_at_mirrors = mirroring.refresh_ms > 0;
        let known = match self.db.read(move |tx| stand(tx, kind, &asked, looks_at_mirrors)).await? {
            Standing::Ours => return Ok(Vec::new()),
            Standing::Mirrored(mirror, repo) => {
                if now.unix_ms() - mirror.checked.unix_ms() >= mirroring.refresh_ms {
                    let (whose, sees_private) = (whose(actor), true);
                    let (there, here, known) = (mirror.id.clone(), repo.id, Some(mirror));
                    let wanted = Wanted { kind, there, here, known, anew: false, whose, sees_private };
                    // Whatever comes of it, there is something to show.
                    let _ = self.outcome_of(mirroring, wanted, SHORT_PATIENCE).await;
                }
                return Ok(Vec::new());
            }
            Standing::Open(_) if !mirroring.allows(id.namespace()) => return Ok(Vec::new()),
            Standing::Open(known) => known,
        };
        if let Some((mirror, refusal)) = known.as_ref().and_then(|mirror| Some((mirror, mirror.refused.as_ref()?)))
            && mirroring.is_fresh(mirror, now)
        {
            return Err(refused(id, &refusal.reason));
        }
        let (whose, sees_private) = (whose(actor), access::sees_unowned(actor));
        let wanted = Wanted { kind, there: id.clone(), here: id.clone(), known, anew: false, whose, sees_private };
        match self.outcome_of(mirroring, wanted, PATIENCE).await {
            Some(Outcome::Refused(reason)) => Err(refused(id, &reason)),
            Some(Outcome::Failed(problem)) => {
                let message = format!("'{id}' is not here, and the hub behind this one cannot say whether it has it: {problem}");
                Err(Error::busy("upstream_unavailable", message, "try again in a minute"))
            }
            Some(Outcome::Crowded) => {
                let message = format!("'{id}' is not here, and many others are being fetched from the hub behind this one");
                Err(Error::busy("mirroring", message, "ask again in a moment; with a token you have a turn of your own"))
            }
            Some(Outcome::Here { warnings, .. }) => Ok(warnings),
            Some(Outcome::Same | Outcome::Absent) => Ok(Vec::new()),
            None => {
                let message = format!("'{id}' is being fetched from the hub behind this one");
                Err(Error::busy("mirroring", message, "ask again in a moment; it goes on meanwhile"))
            }
        }
    }

    /// What comes of a fetch; `None` where it takes longer.
    async fn outcome_of(&self, mirroring: &Mirroring, wanted: Wanted, patience: Duration) -> Option<Outcome> {
        let mut outcome = self.join(mirroring, wanted);
        let seen = tokio::time::timeout(patience, outcome.wait_for(Option::is_some)).await.ok()?;
        seen.map_or(Some(Outcome::Absent), |seen| seen.clone())
    }

    /// The one fetch of a repo, begun now or before.
    fn join(&self, mirroring: &Mirroring, wanted: Wanted) -> watch::Receiver<Option<Outcome>> {
        let (key, now) = ((wanted.kind, wanted.there.folded(), wanted.sees_private), self.now());
        let mut fetches = mirroring.fetches.lock();
        let lasts = if wanted.anew { 0 } else { REMEMBERED_MS };
        let counts = |fetch: &Fetch| fetch.outcome.borrow().is_none() || now.unix_ms() - fetch.begun.unix_ms() < lasts;
        if let Some(fetch) = fetches.get(&key).filter(|fetch| counts(fetch)) {
            return fetch.outcome.clone();
        }
        if fetches.len() >= MOST_REMEMBERED {
            fetches.retain(|_, fetch| fetch.outcome.borrow().is_none());
        }
        let (said, outcome) = watch::channel(None);
        fetches.insert(key.clone(), Fetch { begun: now, outcome: outcome.clone() });
        let (service, mirroring) = (self.clone(), mirroring.clone());
        // A task of its own: it goes on when whoever asked has gone.
        tokio::spawn(async move {
            let fetched = service.fetch_and_publish(&mirroring, wanted).await;
            if !matches!(fetched, Outcome::Absent | Outcome::Refused(_) | Outcome::Failed(_)) {
                // From now on the catalog answers.
                mirroring.fetches.lock().remove(&key);
            }
            // Nobody may be waiting any more.
            let _ = said.send(Some(fetched));
        });
        outcome
    }
}

fn stand(tx: &mut Tx<'_>, kind: RepoKind, id: &RepoId, looks_at_mirrors: bool) -> Result<Standing> {
    if let Some(repo) = repos::find(tx, kind, id)? {
        // An empty one is what a fetch leaves that ended between two steps.
        if versions::find_head(tx, &repo.key)?.is_none() && users::find(tx, id.namespace())?.is_none() {
            return Ok(Standing::Open(mirrors::find(tx, kind, id)?));
        }
        let mirror = if looks_at_mirrors { mirrors::find_of(tx, &repo.key)? } else { None };
        return Ok(mirror.map_or(Standing::Ours, |mirror| Standing::Mirrored(mirror, repo)));
    }
    let was_here = repos::is_buried(tx, kind, id)? || former_names::find(tx, kind, id)?.is_some();
    // `library` is everybody's, and may come from there.
    if was_here || users::find(tx, id.namespace())?.is_some() {
        return Ok(Standing::Ours);
    }
    Ok(Standing::Open(mirrors::find(tx, kind, id)?))
}

/// Strangers are one caller here, however many addresses they have.
fn whose(actor: &Actor) -> Whose {
    match actor {
        Actor::Anonymous => Whose::Network(Ipv4Addr::UNSPECIFIED.into()),
        other => Whose::of(other),
    }
}

fn refused(id: &RepoId, reason: &str) -> Error {
    let hint = format!("an administrator can have it looked at again: hub library update {id}");
    Error::invalid("not_mirrored", format!("'{id}' of the hub behind this one is not taken here: {reason}"), hint)
}
