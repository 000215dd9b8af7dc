//! What backbones have reached on a data set before any is tried: what this hub measured of them and of what was made from them, and
//! what its own fine-tunes on the data set reached. A number counts beside others only where it was measured on the same split.

use std::collections::BTreeMap;

use super::super::{Result, Service};
use crate::catalog::jobs;
use crate::domain::dataset_report::DatasetReport;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::recommendation::Evidence;
use crate::domain::revision::Revision;
use crate::domain::task::Task;
use crate::domain::user::Actor;
use crate::domain::work::Contender;

/// Numbers that are looked at.
const MOST: usize = 200;

/// A number of a backbone, or of a model made from it.
struct Reached {
    /// The backbone, in the form names are compared in.
    of: String,
    evidence: Evidence,
}

impl Service {
    /// Writes into each contender what is known of it on this data set, all of one split.
    pub(super) async fn add_evidence(
        &self,
        actor: &Actor,
        (dataset, report, task): (&RepoId, &DatasetReport, Task),
        contenders: &mut [Contender],
    ) -> Result<()> {
        let board = self.leaderboard(actor, dataset).await?;
        let primary = task.primary();
        let mut reached = Vec::new();
        for row in board.measured.iter().take(MOST).filter(|row| row.measurement.findings.task == task && row.measurement.by_its_head()) {
            let findings = &row.measurement.findings;
            let Some(value) = findings.primary() else { continue };
            let model = (row.other.clone(), row.measurement.model_version);
            let evidence = evidence(&model, primary.key, value, &findings.split, true);
            // A version that is gone is evidence of nothing any more.
            for of in self.bases_of(actor, &model).await.unwrap_or_default() {
                reached.push(Reached { of, evidence: evidence.clone() });
            }
        }
        // A card says what it likes; that of a version which a fine-tune of this hub published says what that reached.
        let split = own_split(report);
        for claim in board.claims.iter().take(MOST).filter(|claim| claim.metric.name == primary.card && claim.metric.value.is_finite()) {
            let Some(head) = &claim.model.head else { continue };
            let model = (claim.model.repo.id.clone(), head.number);
            if let Some(base) = self.tuned_here(&model, dataset).await? {
                reached.push(Reached { of: base, evidence: evidence(&model, primary.key, claim.metric.value, split, false) });
            }
        }
        take_best(contenders, reached, primary.rises);
        Ok(())
    }

    /// What a model is evidence of: itself, and what it was made from.
    async fn bases_of(&self, actor: &Actor, (id, version): &(RepoId, u32)) -> Result<Vec<String>> {
        let found = self.get_repo_at(actor, RepoKind::Model, id, &Revision::Number(*version)).await?;
        let named = found.facts.base_models.iter().filter_map(|base| RepoId::parse(base.split('@').next().unwrap_or(base)).ok());
        Ok(std::iter::once(id.folded()).chain(named.map(|base| base.folded())).collect())
    }

    /// The base of a version that a fine-tune of this hub on the data set has published.
    async fn tuned_here(&self, (id, version): &(RepoId, u32), dataset: &RepoId) -> Result<Option<String>> {
        let (id, version, dataset) = (id.clone(), *version, dataset.folded());
        self.db
            .read(move |tx| {
                let job = jobs::find_that_published(tx, &id, version)?;
                let task = job.as_ref().and_then(|job| job.work.fine_tune());
                Ok(task.filter(|task| task.dataset.folded() == dataset).map(|task| task.base.folded()))
            })
            .await
    }
}

fn evidence((id, version): &(RepoId, u32), measure: &str, value: f64, split: &str, measured: bool) -> Evidence {
    Evidence { model: format!("{id}@{version}"), measure: measure.into(), value, split: split.into(), measured }
}

/// The split that the card of a fine-tune speaks of.
fn own_split(report: &DatasetReport) -> &'static str {
    let has = |name: &str| report.splits.iter().any(|split| split.name == name);
    match (has("test"), has("val")) {
        (true, _) => "test",
        (_, true) => "val",
        _ => "held out",
    }
}

/// Of each contender the best number on the split that most of them have one of.
fn take_best(contenders: &mut [Contender], reached: Vec<Reached>, rises: bool) {
    let better = |a: f64, b: f64| if rises { a > b } else { a < b };
    let mut by_split: BTreeMap<String, BTreeMap<String, Evidence>> = BTreeMap::new();
    for Reached { of, evidence } in reached.into_iter().filter(|one| contenders.iter().any(|contender| contender.id.folded() == one.of)) {
        let known = by_split.entry(evidence.split.clone()).or_default();
        if known.get(&of).is_none_or(|old| better(evidence.value, old.value)) {
            known.insert(of, evidence);
        }
    }
    // Of as many the split that nothing is chosen by.
    let order = |split: &str| ["test", "val", "held out"].iter().rev().position(|known| *known == split);
    let Some((_, mut known)) = by_split.into_iter().max_by_key(|(split, known)| (known.len(), order(split))) else { return };
    for contender in contenders {
        contender.known.evidence = known.remove(&contender.id.folded());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::recommendation::Known;

    fn contender(name: &str) -> Contender {
        let id = RepoId::parse(name).unwrap();
        let known = Known { model: format!("{id}@1"), ..Known::default() };
        Contender { id, version: 1, known }
    }

    fn reached(of: &str, value: f64, split: &str) -> Reached {
        let id = RepoId::parse(of).unwrap();
        Reached { of: id.folded(), evidence: evidence(&(id, 2), "top1", value, split, true) }
    }

    #[test]
    fn the_best_of_the_split_that_most_have_counts() {
        let mut contenders = [contender("ada/a"), contender("ada/b"), contender("ada/c")];
        let all = || {
            vec![reached("ada/a", 0.8, "test"), reached("ada/a", 0.9, "test"), reached("ada/b", 0.7, "test"), reached("ada/c", 0.99, "val")]
        };
        take_best(&mut contenders, all(), true);
        let values: Vec<_> = contenders.iter().map(|one| one.known.evidence.as_ref().map(|evidence| evidence.value)).collect();
        assert_eq!(values, [Some(0.9), Some(0.7), None], "what was measured on another split says nothing beside them");
        take_best(&mut contenders, all(), false);
        assert_eq!(contenders[0].known.evidence.as_ref().unwrap().value, 0.8, "of errors the least");
        take_best(&mut contenders, vec![reached("ada/a", 0.1, "val"), reached("ada/b", 0.2, "test"), reached("ada/z", 1.0, "val")], true);
        assert!(contenders[0].known.evidence.is_none() && contenders[1].known.evidence.is_some(), "of as many the test split");
    }
}
