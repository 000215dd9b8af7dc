//! Following the other hub when an administrator asks: a new version here for a new commit there. What was published here
//! stays, and so does a repo that is gone there.

use super::super::super::work::Whose;
use super::super::super::{Error, Result, Service, access};
use super::{Mirroring, Outcome, PATIENCE, Standing, Wanted, stand};
use crate::catalog::{mirrors, repos, versions};
use crate::db::Tx;
use crate::domain::mirror::Mirror;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::Repo;
use crate::domain::user::Actor;

/// How the messages of versions that came from another hub begin.
const MIRROR_OF: &str = "Mirror of ";
/// So many of the newest versions are looked at for one.
const LOOKED_AT: usize = 100;

/// A mirrored repo, or one that is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    pub mirror: Mirror,
    /// Its name here, and the newest version.
    pub here: Option<(RepoId, Option<u32>)>,
}

/// What became of one when it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// updated, unchanged, absent, refused, failed or running
    pub outcome: &'static str,
    pub message: String,
    /// The newest version here.
    pub version: Option<u32>,
    pub warnings: Vec<String>,
}

impl Service {
    /// All that was asked of the hub behind this one, by name; for administrators.
    pub async fn list_mirrors(&self, actor: &Actor) -> Result<Vec<Followed>> {
        access::admin_site(actor)?;
        self.db
            .read(move |tx| {
                let all = mirrors::list(tx)?;
                all.into_iter().map(|mirror| followed(tx, mirror)).collect()
            })
            .await
    }

    /// Asks for a repo's commit there and fetches it if it is another one, also what was refused before; for
    /// administrators. Answers `running` where it takes long: asked again, it tells how it went on.
    pub async fn update_mirror(&self, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<Updated> {
        access::admin_site(actor)?;
        let hint = "start the server with --upstream";
        let mirroring = self.mirroring.as_ref().ok_or_else(|| Error::invalid("no_upstream", "there is no hub behind this one", hint))?;
        let wanted = self.wanted_anew(mirroring, kind, id).await?;
        let here = wanted.here.clone();
        let outcome = self.outcome_of(mirroring, wanted, PATIENCE).await;
        let version = self.db.read(move |tx| newest(tx, kind, &here)).await?;
        let upstream = mirroring.upstream.address();
        let (outcome, message, warnings) = match outcome {
            None | Some(Outcome::Crowded) => ("running", "it is being fetched".to_owned(), Vec::new()),
            Some(Outcome::Here { created: true, warnings }) => ("updated", format!("a new version of what {upstream} holds"), warnings),
            Some(Outcome::Here { warnings, .. }) => ("unchanged", format!("{upstream} holds these files"), warnings),
            Some(Outcome::Same) => ("unchanged", format!("{upstream} stands where it stood"), Vec::new()),
            Some(Outcome::Absent) => ("absent", format!("{upstream} shows no such repo; what is here stays"), Vec::new()),
            Some(Outcome::Refused(reason)) => ("refused", reason, Vec::new()),
            Some(Outcome::Failed(_)) => (
                "failed",
                format!("{upstream} could not be asked, or what it sent could not be kept; the server's log says more"),
                Vec::new(),
            ),
        };
        Ok(Updated { outcome, message, version, warnings })
    }

    async fn wanted_anew(&self, mirroring: &Mirroring, kind: RepoKind, id: &RepoId) -> Result<Wanted> {
        let asked = id.clone();
        let (standing, legacy) = self
            .db
            .read(move |tx| {
                let standing = stand(tx, kind, &asked, true)?;
                let legacy = match (&standing, repos::find(tx, kind, &asked)?) {
                    (Standing::Ours, Some(repo)) => came_from_there(tx, &repo)?,
                    _ => false,
                };
                Ok::<_, Error>((standing, legacy))
            })
            .await?;
        let (whose, sees_private) = (Whose::House, true);
        let same = |known| Wanted { kind, there: id.clone(), here: id.clone(), known, anew: true, whose: whose.clone(), sees_private };
        match standing {
            Standing::Mirrored(mirror, repo) => {
                let (there, here, known) = (mirror.id.clone(), repo.id, Some(mirror));
                Ok(Wanted { kind, there, here, known, anew: true, whose, sees_private })
            }
            Standing::Open(known) if mirroring.allows(id.namespace()) => Ok(same(known)),
            // Taken before it was written down where it stands.
            Standing::Ours if legacy => Ok(same(None)),
            _ => {
                let message = format!("'{id}' does not come from the hub behind this one");
                Err(Error::invalid("not_a_mirror", message, "only what was fetched from there follows it; see 'upstream_namespaces'"))
            }
        }
    }
}

fn followed(tx: &mut Tx<'_>, mirror: Mirror) -> Result<Followed> {
    let repo = match &mirror.repo {
        Some(key) => repos::find_by_key(tx, key)?,
        None => None,
    };
    let here = match repo {
        Some(repo) => Some((repo.id, versions::find_head(tx, &repo.key)?.map(|head| head.number))),
        None => None,
    };
    Ok(Followed { mirror, here })
}

fn newest(tx: &mut Tx<'_>, kind: RepoKind, id: &RepoId) -> Result<Option<u32>> {
    match repos::find(tx, kind, id)? {
        Some(repo) => Ok(versions::find_head(tx, &repo.key)?.map(|head| head.number)),
        None => Ok(None),
    }
}

fn came_from_there(tx: &mut Tx<'_>, repo: &Repo) -> Result<bool> {
    let list = versions::list(tx, &repo.key, None, LOOKED_AT)?;
    Ok(list.items.iter().any(|version| version.author == "hub" && version.message.starts_with(MIRROR_OF)))
}
