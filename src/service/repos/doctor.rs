//! The data doctor's findings on a data set, as its readers may see them: the report made when it was published, what it has in
//! common with known evaluation sets, and the last examination of its labels.

use super::super::{Error, Result, Service, access};
use crate::catalog::{facts, repos};
use crate::data::{Known, modalities};
use crate::domain::dataset_report::DatasetReport;
use crate::domain::examination::Examination;
use crate::domain::id::RepoKey;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::Version;
use crate::domain::revision::Revision;
use crate::domain::user::Actor;

/// Tags by which a card says that a data set is for measuring.
const EVALUATION_TAGS: [&str; 2] = ["evaluation", "benchmark"];
/// Evaluation sets that are asked.
const MOST_SETS: usize = 40;

/// What is known of a data set's health.
#[derive(Debug, Clone)]
pub struct Checkup {
    pub version: Version,
    pub report: DatasetReport,
    pub elsewhere: Vec<Elsewhere>,
    pub examination: Option<Examination>,
}

/// Items that a known evaluation set has, too.
#[derive(Debug, Clone, PartialEq)]
pub struct Elsewhere {
    pub dataset: RepoId,
    pub version: u32,
    pub copies: usize,
    /// Those of them that are the same but for small changes.
    pub near: usize,
    /// Items of each of the two that were held against each other, where not all were.
    pub looked_at: usize,
    pub among: usize,
    pub pairs: Vec<(String, String)>,
}

impl Elsewhere {
    pub fn sentence(&self, items: &str) -> String {
        let Elsewhere { dataset, version, copies, looked_at, .. } = self;
        format!(
            "{copies} of {looked_at} {items} looked at are also in the evaluation set {dataset}@{version}: measures there flatter whatever is trained on them"
        )
    }
}

impl Checkup {
    /// All that is to be said, the gravest of each kind first.
    pub fn sentences(&self) -> Vec<String> {
        let items = self.report.modality.items();
        let mut said: Vec<String> = self.elsewhere.iter().map(|found| found.sentence(items)).collect();
        said.extend(self.report.warnings.iter().cloned());
        said.extend(self.examination.iter().flat_map(|found| found.sentences(items)));
        said
    }
}

impl Service {
    /// What is known of this version's health, to this reader.
    pub async fn checkup(&self, actor: &Actor, id: &RepoId, revision: &Revision) -> Result<Checkup> {
        type Found = (RepoKey, Version, DatasetReport, String, String);
        let found: Option<Found> = self
            .at(actor, RepoKind::Dataset, id, revision, |tx, repo, version| {
                let mut read = facts::find(tx, &repo.key, version.number)?.unwrap_or_default();
                facts::complete(tx, &repo.key, version.number, &mut read)?;
                let Some(report) = DatasetReport::read(&read.dataset_report) else { return Ok(None) };
                let prints = facts::prints(tx, &repo.key, version.number)?;
                let examination = facts::examination(tx, &repo.key, version.number)?;
                Ok(Some((repo.key, version, report, prints, examination)))
            })
            .await?;
        let Some((key, version, report, prints, examination)) = found else {
            let message = format!("nothing was found in {id} that the doctor could look at");
            return Err(Error::invalid(
                "dataset_unchecked",
                message,
                "publish images or texts with their labels; files of other kinds are kept as they are",
            ));
        };
        let elsewhere = self.elsewhere(actor, (key, &report, prints)).await?;
        Ok(Checkup { version, report, elsewhere, examination: Examination::read(&examination) })
    }

    /// The evaluation sets that this reader may see and that hold items of this data set.
    async fn elsewhere(&self, actor: &Actor, of: (RepoKey, &DatasetReport, String)) -> Result<Vec<Elsewhere>> {
        let (key, report, prints) = of;
        let Some(modality) = modalities::find(report.modality).filter(|_| !prints.is_empty()) else { return Ok(Vec::new()) };
        let actor = actor.clone();
        let sets: Vec<(RepoId, u32, String)> = self
            .db
            .read(move |tx| {
                let visible = access::visible_to(tx, &actor)?;
                let mut sets = Vec::new();
                for (other, number) in facts::tagged_datasets(tx, &EVALUATION_TAGS, &visible, MOST_SETS)? {
                    let Some(repo) = repos::find_by_key(tx, &other)?.filter(|repo| repo.key != key) else { continue };
                    sets.push((repo.id, number, facts::prints(tx, &other, number)?));
                }
                Ok::<_, Error>(sets)
            })
            .await?;
        let compare = move || {
            let own = Known::read(&prints).unwrap_or_default();
            let shared = |(dataset, version, theirs): (RepoId, u32, String)| {
                let found = own.shared(&Known::read(&theirs)?, modality);
                let crate::data::known::Shared { copies, near, looked_at, among, pairs } = found;
                (copies > 0).then_some(Elsewhere { dataset, version, copies, near, looked_at, among, pairs })
            };
            sets.into_iter().filter_map(shared).collect()
        };
        // Whoever asks has a turn of heavy work already.
        tokio::task::spawn_blocking(compare).await.map_err(|e| Error::Internal(format!("data sets were not compared: {e}")))
    }
}
