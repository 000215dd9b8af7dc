//! What a person should know of the data before believing a run's numbers: told before it learns, and in what it leaves.

use super::Run;
use crate::domain::dataset_health::Balance;

impl Run<'_> {
    /// How even the classes trained on are, and labels that contradict each other, in sentences that say what to do. What of the
    /// items measured on was trained on is told by the leaks.
    pub(super) fn findings(&self) -> Vec<String> {
        let dataset = self.training.dataset;
        let items = dataset.modality.name().items();
        let classes = dataset.classes();
        let mut per_class = vec![0; classes.len()];
        let labels = self.partition.train.iter().flat_map(|sample| sample.target.labels());
        labels.filter_map(|label| per_class.get_mut(*label as usize).map(|count| *count += 1)).for_each(drop);
        let mut said = Balance::of("train", classes, &per_class).map(|balance| balance.sentences(items)).unwrap_or_default();
        let missing = per_class.iter().filter(|count| **count == 0).count();
        if missing > 0 {
            said.push(format!("{missing} of {} classes have no training {items}: they cannot be learned", classes.len()));
        }
        let copies = self.survey.copies.tell(&self.partition.train);
        if copies.relabelled > 0 {
            said.push(format!(
                "{} training {items} are copies of one with another label: one of the two labels is wrong; `hub doctor` names them",
                copies.relabelled
            ));
        }
        said
    }
}
