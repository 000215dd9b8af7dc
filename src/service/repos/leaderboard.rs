//! What is known of how good models are: what this hub measured of a model, and the leaderboard of a data set, with what cards claim
//! beside it.

use std::collections::{BTreeMap, HashSet};

use super::super::{Result, Service, access};
use super::browse;
use crate::catalog::{Visibility, lineage, measurements, repos, users};
use crate::db::Tx;
use crate::domain::measurement::Measurement;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::{Metric, RepoSummary, TrainedAs};
use crate::domain::user::{AccountKind, Actor};

/// Measurements that a page or an answer holds; claims likewise.
const MOST: usize = 500;
/// Cards that are looked into for claims: of the most downloaded models, with a base and without.
const LOOKED_AT: usize = 100;

/// What is known of models on a data set: what was measured here, best first and one of each model, and what cards say.
#[derive(Debug, Clone, Default)]
pub struct Leaderboard {
    pub measured: Vec<Signed>,
    pub claims: Vec<Claim>,
    /// Whose the models are, by the folded names of their namespaces.
    authors: BTreeMap<String, Author>,
}

/// Whose a model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    pub name: String,
    pub full_name: String,
    pub kind: AccountKind,
}

impl Leaderboard {
    /// Whose a model of it is. Where nobody lives, as in the library and where mirrored repos lie, it is nobody's own: an organisation's.
    pub fn author(&self, model: &RepoId) -> Author {
        let name = model.namespace().to_string();
        let nobody = || Author { full_name: name.clone(), name: name.clone(), kind: AccountKind::Organisation };
        self.authors.get(&model.namespace().folded()).cloned().unwrap_or_else(nobody)
    }
}

/// A measurement as this hub signed it.
#[derive(Debug, Clone)]
pub struct Signed {
    pub measurement: Measurement,
    /// `header.payload.signature`
    pub signed: String,
    /// What the other repo is called now: on a leaderboard the model, of a model the data set.
    pub other: RepoId,
    /// Of a leaderboard: whether the version's card names a base.
    pub has_base: bool,
}

/// A number on a model's card, which nobody here has checked.
#[derive(Debug, Clone)]
pub struct Claim {
    pub model: RepoSummary,
    pub metric: Metric,
}

impl Service {
    /// What this hub measured of a model, newest first, on data sets the caller may see.
    pub async fn measurements_of(&self, actor: &Actor, id: &RepoId) -> Result<Vec<Signed>> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let model = access::see_repo(tx, &actor, RepoKind::Model, &id)?;
                let visible = access::visible_to(tx, &actor)?;
                Ok(read(measurements::of_model(tx, &model.key, &visible, MOST)?))
            })
            .await
    }

    /// The leaderboard of a data set, of models the caller may see.
    pub async fn leaderboard(&self, actor: &Actor, id: &RepoId) -> Result<Leaderboard> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let dataset = access::see_repo(tx, &actor, RepoKind::Dataset, &id)?;
                let visible = access::visible_to(tx, &actor)?;
                let mut measured = best_of_each(read(measurements::of_dataset(tx, &dataset.key, &visible, MOST)?));
                for signed in &mut measured {
                    signed.has_base = has_base(tx, signed)?;
                }
                let claims = claims(tx, &visible, &dataset.id)?;
                let models = measured.iter().map(|row| &row.other).chain(claims.iter().map(|claim| &claim.model.repo.id));
                let authors = authors(tx, models)?;
                Ok(Leaderboard { measured, claims, authors })
            })
            .await
    }
}

fn authors<'a>(tx: &mut Tx<'_>, models: impl Iterator<Item = &'a RepoId>) -> Result<BTreeMap<String, Author>> {
    let mut authors = BTreeMap::new();
    for model in models {
        let folded = model.namespace().folded();
        if !authors.contains_key(&folded)
            && let Some(account) = users::find(tx, model.namespace())?
        {
            let name = account.name.to_string();
            let full_name = if account.full_name.is_empty() { name.clone() } else { account.full_name };
            authors.insert(folded, Author { name, full_name, kind: account.kind });
        }
    }
    Ok(authors)
}

/// What cannot be read is left out: a later release may have written it.
fn read(statements: Vec<(RepoId, String)>) -> Vec<Signed> {
    let signed = |(other, signed): (RepoId, String)| {
        Some(Signed { measurement: Measurement::of_signed(&signed).ok()?, signed, other, has_base: false })
    };
    statements.into_iter().filter_map(signed).collect()
}

/// Of each model its best row, best first. What was measured anew replaces what was measured before.
fn best_of_each(newest_first: Vec<Signed>) -> Vec<Signed> {
    let mut kept: Vec<Signed> = Vec::new();
    for row in newest_first {
        let m = &row.measurement;
        let again = |old: &Signed| {
            let o = &old.measurement;
            let same = |o: &Measurement| {
                let way = o.findings.split == m.findings.split && o.support == m.support && o.names == m.names;
                (o.model_version, o.dataset_version, way)
            };
            old.other == row.other && same(o) == (m.model_version, m.dataset_version, true)
        };
        if !kept.iter().any(again) {
            kept.push(row);
        }
    }
    kept.sort_by(|a, b| a.measurement.ranks_before(&b.measurement));
    let mut seen = HashSet::new();
    kept.retain(|row| seen.insert(row.other.clone()));
    kept
}

fn has_base(tx: &mut Tx<'_>, signed: &Signed) -> Result<bool> {
    let Some(repo) = repos::find(tx, RepoKind::Model, &signed.other)? else { return Ok(false) };
    Ok(!lineage::bases(tx, &repo.key, signed.measurement.model_version)?.is_empty())
}

/// What the cards of models that name this data set say about it.
fn claims(tx: &mut Tx<'_>, visible: &Visibility, dataset: &RepoId) -> Result<Vec<Claim>> {
    let names = |said: &str| RepoId::parse(said.split('@').next().unwrap_or(said)).is_ok_and(|id| id.folded() == dataset.folded());
    let (mut claims, mut keys) = (Vec::new(), Vec::new());
    for trained_as in [TrainedAs::Pretrained, TrainedAs::FineTuned] {
        keys.extend(lineage::trained_on(tx, &dataset.folded(), trained_as, visible, LOOKED_AT)?.0);
    }
    let repos = repos::find_all(tx, &keys)?;
    let mut models = browse::summaries(tx, repos)?;
    models.sort_by_key(|model| std::cmp::Reverse(model.repo.downloads));
    for model in models {
        let metrics: Vec<Metric> = model.facts.metrics.iter().filter(|metric| names(&metric.dataset)).cloned().collect();
        claims.extend(metrics.into_iter().map(|metric| Claim { model: model.clone(), metric }));
        if claims.len() >= MOST {
            break;
        }
    }
    claims.truncate(MOST);
    Ok(claims)
}
