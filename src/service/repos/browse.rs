//! Looking around: searches, repos, versions and their files.

use super::super::{Error, Result, Service, access, card_html};
use super::{resolve, results};
use crate::catalog::counters::{self, SiteCounts};
use crate::catalog::search::{self, Cursor, suggest};
use crate::catalog::{facts, library, refs, repos, versions};
use crate::db::Tx;
use crate::domain::id::RepoKey;
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::name::{Name, RepoId, RepoKind};
use crate::domain::page::{Page, PageRequest};
use crate::domain::path::RepoPath;
use crate::domain::repo::{Ref, Repo, RepoSummary, Version};
use crate::domain::results::ModelResult;
use crate::domain::revision::Revision;
use crate::domain::search::{Facet, SearchQuery, Suggestion};
use crate::domain::user::Actor;

/// How many days downloads are told of.
const HALF_A_YEAR: i64 = 182;

/// What a search answers. The facts of lists leave out card, labels and report.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchHits {
    pub page: Page<RepoSummary>,
    /// What is known of each in numbers, in the same order.
    pub results: Vec<Vec<ModelResult>>,
    pub total: u64,
    /// There may be more than `total`.
    pub at_least: bool,
    pub facets: Vec<Facet>,
    /// The facets are those of so many hits, and not of all.
    pub facets_of: Option<u64>,
    /// The words that may have been meant, where nothing was found.
    pub did_you_mean: Option<String>,
}

impl Service {
    pub async fn search(&self, actor: &Actor, query: SearchQuery, page: PageRequest) -> Result<SearchHits> {
        let after = match &page.cursor {
            Some(text) => Some(Cursor::parse(&query, text).ok_or_else(bad_cursor)?),
            None => None,
        };
        let actor = actor.clone();
        self.db
            .read(move |tx| {
                let visible = access::visible_to(tx, &actor)?;
                let hits = search::search(tx, &query, &visible, page.limit, after.as_ref())?;
                let repos = repos::find_all(tx, &hits.page.items)?;
                let items = summaries(tx, repos)?;
                let results = results::known(tx, &items)?;
                Ok(SearchHits {
                    page: Page { items, next: hits.page.next },
                    results,
                    total: hits.total,
                    at_least: hits.at_least,
                    facets: hits.facets,
                    facets_of: hits.facets_of,
                    did_you_mean: hits.did_you_mean,
                })
            })
            .await
    }

    /// What somebody may be about to type: at most `limit` names, and as many values of facets.
    pub async fn suggest(&self, actor: &Actor, text: &str, limit: usize) -> Result<Vec<Suggestion>> {
        let (actor, text) = (actor.clone(), text.to_owned());
        self.db
            .read(move |tx| {
                let visible = access::visible_to(tx, &actor)?;
                Ok(suggest::suggest(tx, &text, &visible, limit)?)
            })
            .await
    }

    /// A repo with the version `main` names and all that was read in it.
    pub async fn get_repo(&self, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<RepoSummary> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let repo = access::see_repo(tx, &actor, kind, &id)?;
                let mut summary = summary(tx, repo)?;
                match &summary.head {
                    Some(head) => facts::complete(tx, &summary.repo.key, head.number, &mut summary.facts)?,
                    None => {
                        if let Some((_, body)) = library::find_facts(tx, &summary.repo.key)? {
                            summary.facts.card_html = card_html::render(&body);
                        }
                    }
                }
                Ok(summary)
            })
            .await
    }

    /// The same, as it stands at another version.
    pub async fn get_repo_at(&self, actor: &Actor, kind: RepoKind, id: &RepoId, revision: &Revision) -> Result<RepoSummary> {
        self.at(actor, kind, id, revision, |tx, repo, version| {
            let mut facts = facts::find(tx, &repo.key, version.number)?.unwrap_or_default();
            facts::complete(tx, &repo.key, version.number, &mut facts)?;
            let is_newest = versions::find_head(tx, &repo.key)?.is_some_and(|head| head.number == version.number);
            Ok(RepoSummary { repo, head: Some(version), facts, is_newest })
        })
        .await
    }

    /// The versions that one stands upon, itself first, with yanked ones and the tombstones of deleted ones.
    pub async fn list_history(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        revision: &Revision,
        page: PageRequest,
    ) -> Result<Page<Version>> {
        let before = match &page.cursor {
            Some(text) => Some(text.parse::<u32>().map_err(|_| bad_cursor())?),
            None => None,
        };
        self.at(actor, kind, id, revision, move |tx, repo, version| {
            Ok(versions::ancestors(tx, &repo.key, version.number, before, page.limit)?)
        })
        .await
    }

    /// The repo's own versions, of all branches, newest first, with yanked ones and the tombstones of deleted ones.
    pub async fn list_versions(&self, actor: &Actor, kind: RepoKind, id: &RepoId, page: PageRequest) -> Result<Page<Version>> {
        let before = match &page.cursor {
            Some(text) => Some(text.parse::<u32>().map_err(|_| bad_cursor())?),
            None => None,
        };
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let repo = access::see_repo(tx, &actor, kind, &id)?;
                Ok(versions::list(tx, &repo.key, before, page.limit)?)
            })
            .await
    }

    /// How many versions one stands upon, itself among them, tombstones not counted.
    pub async fn count_history(&self, actor: &Actor, kind: RepoKind, id: &RepoId, revision: &Revision) -> Result<u64> {
        self.at(actor, kind, id, revision, |tx, repo, version| Ok(versions::count_ancestors(tx, &repo.key, version.number)?)).await
    }

    pub async fn get_version(&self, actor: &Actor, kind: RepoKind, id: &RepoId, revision: &Revision) -> Result<Version> {
        self.at(actor, kind, id, revision, |_, _, version| Ok(version)).await
    }

    /// Everything a client needs to fetch and prove a version.
    pub async fn manifest(&self, actor: &Actor, kind: RepoKind, id: &RepoId, revision: &Revision) -> Result<(Version, Manifest)> {
        self.at(actor, kind, id, revision, |tx, repo, version| {
            let manifest = manifest_of(tx, &repo, &version)?;
            Ok((version, manifest))
        })
        .await
    }

    pub async fn list_refs(&self, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<Vec<Ref>> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let repo = access::see_repo(tx, &actor, kind, &id)?;
                Ok(refs::list(tx, &repo.key)?)
            })
            .await
    }

    /// The newest versions of a repo, and the last of its branches and tags by name but for `main`: at most so many of each, however many
    /// there are.
    pub async fn versions_to_choose(&self, actor: &Actor, kind: RepoKind, id: &RepoId, most: usize) -> Result<(Vec<Version>, Vec<Ref>)> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let repo = access::see_repo(tx, &actor, kind, &id)?;
                Ok((versions::list(tx, &repo.key, None, most)?.items, refs::last(tx, &repo.key, most)?))
            })
            .await
    }

    /// Downloads of a repo by day since 1970, of half a year.
    pub async fn downloads_of(&self, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<Vec<(i64, u64)>> {
        let (actor, id, now) = (actor.clone(), id.clone(), self.now());
        self.db
            .read(move |tx| {
                let repo = access::see_repo(tx, &actor, kind, &id)?;
                Ok(counters::by_day(tx, &repo.key, HALF_A_YEAR, now)?)
            })
            .await
    }

    /// Downloads of all public repos of a namespace by day since 1970, of half a year; for namespaces of few repos.
    pub async fn downloads_in(&self, _actor: &Actor, namespace: &Name) -> Result<Vec<(i64, u64)>> {
        let (namespace, now) = (namespace.clone(), self.now());
        self.db.read(move |tx| Ok(counters::by_day_in(tx, namespace.as_str(), HALF_A_YEAR, now)?)).await
    }

    /// The numbers of the home page: public repos only, the same for everybody.
    pub async fn site_counts(&self, _actor: &Actor) -> Result<SiteCounts> {
        self.db.read(|tx| Ok(counters::site(tx)?)).await
    }

    /// Runs `look` on a version the actor may see.
    pub(in crate::service) async fn at<T: Send + 'static>(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        revision: &Revision,
        look: impl FnOnce(&mut Tx<'_>, Repo, Version) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (actor, id, revision) = (actor.clone(), id.clone(), revision.clone());
        self.db
            .read(move |tx| {
                let repo = access::see_repo(tx, &actor, kind, &id)?;
                let version = resolve::version(tx, &repo, &revision)?;
                look(tx, repo, version)
            })
            .await
    }
}

/// A repo as lists show it.
pub(super) fn summary(tx: &mut Tx<'_>, repo: Repo) -> Result<RepoSummary> {
    let found = summaries(tx, vec![repo])?.pop();
    found.ok_or_else(|| Error::Internal("a repo has no summary".into()))
}

/// The same of many, in their order.
pub(super) fn summaries(tx: &mut Tx<'_>, repos: Vec<Repo>) -> Result<Vec<RepoSummary>> {
    let keys: Vec<RepoKey> = repos.iter().map(|repo| repo.key.clone()).collect();
    let mut heads = versions::find_heads(tx, &keys)?;
    let mut found = Vec::with_capacity(repos.len());
    for repo in repos {
        let (head, facts) = match heads.remove(&repo.key) {
            Some((head, facts)) => (Some(head), facts),
            None => (None, library::find_facts(tx, &repo.key)?.map(|(facts, _)| facts).unwrap_or_default()),
        };
        found.push(RepoSummary { repo, head, facts, is_newest: true });
    }
    Ok(found)
}

/// The manifest of a version, read back from its rows and proved against the digest it was given.
pub(super) fn manifest_of(tx: &mut Tx<'_>, repo: &Repo, version: &Version) -> Result<Manifest> {
    let damaged = |problem: String| Error::Internal(format!("the rows of '{}' version {} are damaged: {problem}", repo.id, version.number));
    let mut entries = Vec::new();
    for file in versions::files(tx, &repo.key, version.number)? {
        let path = RepoPath::parse(&file.path).map_err(|e| damaged(e.to_string()))?;
        entries.push(ManifestEntry { path, size_bytes: file.size_bytes, digest: file.digest });
    }
    let manifest = Manifest::new(entries).map_err(|e| damaged(e.to_string()))?;
    if manifest.digest() != version.manifest {
        return Err(damaged(format!("they hash to {}", manifest.digest())));
    }
    Ok(manifest)
}

fn bad_cursor() -> Error {
    Error::invalid("bad_cursor", "the cursor does not belong to this list", "start again without a cursor")
}
