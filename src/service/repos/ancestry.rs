//! Where a model comes from, through any number of bases: which bases, theirs, and the data sets of each. A base that the caller may not see is a
//! name, and what lies behind it is not told.

use std::collections::VecDeque;

use super::super::{Result, Service, access};
use super::relations::see;
use crate::catalog::facts::LISTED;
use crate::catalog::{lineage, repos, versions};
use crate::db::Tx;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::{Repo, TrainedAs};
use crate::domain::revision::Revision;
use crate::domain::user::Actor;

/// Models that are looked at; more than these nobody reads.
const MOST: usize = 48;

/// A model and where it comes from; the first is the one that was asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ancestry {
    pub models: Vec<Ancestor>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ancestor {
    /// As the card of what was made from it writes it; of the first its name.
    pub written: String,
    /// Where it is here and may be seen.
    pub repo: Option<RepoId>,
    /// The version, where it is known; of the first the one asked about.
    pub number: Option<u32>,
    /// How many bases lie between.
    pub depth: usize,
    /// Places of its bases among all.
    pub bases: Vec<usize>,
    /// The data sets its own card names.
    pub datasets: Vec<Seen>,
}

/// A data set that a model has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub written: String,
    pub repo: Option<RepoId>,
    pub trained_as: TrainedAs,
}

impl Ancestor {
    /// `acme/net@3`
    pub fn name(&self) -> String {
        match (&self.repo, self.number) {
            (Some(id), Some(number)) => format!("{id}@{number}"),
            (Some(id), None) => id.to_string(),
            (None, _) => self.written.clone(),
        }
    }
}

impl Ancestry {
    /// Data sets that a model has not seen itself but its bases have, each with the nearest base that has.
    pub fn inherited(&self) -> Vec<(&Seen, &Ancestor)> {
        let Some(own) = self.models.first() else { return Vec::new() };
        let mut known: Vec<&str> = own.datasets.iter().map(|seen| seen.written.as_str()).collect();
        let mut found = Vec::new();
        for base in self.models.iter().skip(1) {
            for seen in &base.datasets {
                if !known.contains(&seen.written.as_str()) {
                    known.push(&seen.written);
                    found.push((seen, base));
                }
            }
        }
        found
    }
}

impl Service {
    /// The ancestors of a version of a model, nearest first.
    pub async fn ancestry_of(&self, actor: &Actor, id: &RepoId, revision: &Revision) -> Result<Ancestry> {
        let asker = actor.clone();
        self.at(actor, RepoKind::Model, id, revision, move |tx, repo, version| climb(tx, &asker, repo, version.number)).await
    }

    /// The same of an entry of the library of which nothing is here yet.
    pub async fn ancestry_of_listed(&self, actor: &Actor, id: &RepoId) -> Result<Ancestry> {
        let (asker, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let repo = access::see_repo(tx, &asker, RepoKind::Model, &id)?;
                climb(tx, &asker, repo, LISTED)
            })
            .await
    }
}

fn climb(tx: &mut Tx<'_>, asker: &Actor, repo: Repo, number: u32) -> Result<Ancestry> {
    let first = Ancestor {
        written: repo.id.to_string(),
        repo: Some(repo.id.clone()),
        number: Some(number).filter(|number| *number != LISTED),
        depth: 0,
        bases: Vec::new(),
        datasets: Vec::new(),
    };
    let mut known = vec![repo.id.folded()];
    let mut all = Ancestry { models: vec![first] };
    let mut queue = VecDeque::from([(0, repo, number)]);
    while let Some((at, repo, number)) = queue.pop_front() {
        all.models[at].datasets = datasets(tx, asker, &repo, number)?;
        for (written, folded, base_number) in lineage::bases(tx, &repo.key, number)? {
            if let Some(place) = known.iter().position(|name| *name == folded) {
                all.models[at].bases.push(place);
                continue;
            }
            if all.models.len() == MOST {
                continue;
            }
            let place = all.models.len();
            let named = repos::find_folded(tx, RepoKind::Model, &folded)?;
            let here = match named {
                Some(named) => see(tx, asker, RepoKind::Model, &named.id)?,
                None => None,
            };
            let number = match &here {
                Some(base) => base_number.or(versions::find_head(tx, &base.key)?.map(|head| head.number)),
                None => base_number,
            };
            let depth = all.models[at].depth + 1;
            let repo = here.as_ref().map(|base| base.id.clone());
            all.models.push(Ancestor { written, repo, number, depth, bases: Vec::new(), datasets: Vec::new() });
            all.models[at].bases.push(place);
            known.push(folded);
            if let Some(base) = here {
                queue.push_back((place, base, number.unwrap_or(LISTED)));
            }
        }
    }
    Ok(all)
}

fn datasets(tx: &mut Tx<'_>, asker: &Actor, repo: &Repo, number: u32) -> Result<Vec<Seen>> {
    let mut all = Vec::new();
    for (written, folded, trained_as) in lineage::sources(tx, &repo.key, number)? {
        let here = match repos::find_folded(tx, RepoKind::Dataset, &folded)? {
            Some(named) => see(tx, asker, RepoKind::Dataset, &named.id)?.map(|seen| seen.id),
            None => None,
        };
        all.push(Seen { written, repo: here, trained_as });
    }
    Ok(all)
}
