//! What a person should know of the data before believing a run's numbers: told before it learns, and in what it leaves.

use super::Run;
use crate::data::Sample;
use crate::domain::dataset_health::Balance;
use crate::domain::evaluation::Held;

/// Classes that are named where they are missing; the rest are only counted.
const NAMED: usize = 3;

/// Items of each class, or with each label.
fn counted(samples: &[Sample], classes: usize) -> Vec<usize> {
    let mut counts = vec![0; classes];
    let labels = samples.iter().flat_map(|sample| sample.target.labels());
    labels.filter_map(|label| counts.get_mut(*label as usize).map(|count| *count += 1)).for_each(drop);
    counts
}

/// The beginning of a sentence on the classes without any items: `1 of 3 classes (owl) have`.
fn missing(classes: &[String], counts: &[usize]) -> Option<String> {
    let names: Vec<&str> = classes.iter().zip(counts).filter(|(_, count)| **count == 0).map(|(name, _)| name.as_str()).collect();
    let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = if names.len() > NAMED { ", ..." } else { "" };
    (!names.is_empty()).then(|| format!("{} of {} classes ({shown}{more}) have", names.len(), classes.len()))
}

impl Run<'_> {
    /// How even the classes trained on are, and labels that contradict each other, in sentences that say what to do. What of the
    /// items measured on was trained on is told by the leaks.
    pub(super) fn findings(&self) -> Vec<String> {
        let dataset = self.training.dataset;
        let items = dataset.modality.name().items();
        let classes = dataset.classes();
        if dataset.targets.task().about().good_only {
            return Vec::new();
        }
        let per_class = counted(&self.partition.train, classes.len());
        // Most words are outside of entities, in every text.
        let balance = Balance::of("train", classes, &per_class).filter(|_| !dataset.targets.task().is_of_parts());
        let mut said = balance.map(|balance| balance.sentences(items)).unwrap_or_default();
        if let Some(missing) = missing(classes, &per_class) {
            said.push(format!("{missing} no training {items}: they cannot be learned; add some, or leave the classes out"));
        }
        let measured = [(&self.partition.val, "validation"), (&self.partition.test, "test")];
        // Where nothing is held out both are the training items.
        let measured = measured
            .into_iter()
            .filter(|(samples, name)| !samples.is_empty() && (*name == "test" || self.partition.held != Held::Training));
        for (samples, name) in measured {
            if let Some(missing) = missing(classes, &counted(samples, classes.len())) {
                said.push(format!("{missing} no {name} {items}: how well they are recognised is not measured there; add some"));
            }
        }
        let copies = self.survey.copies.tell(&self.partition.train);
        if copies.relabelled > 0 {
            said.push(format!(
                "copies of one with another label among the training {items}: {}; one of the two labels is wrong; `hub doctor` names them",
                copies.relabelled
            ));
        }
        said.extend(self.broke_off.clone());
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_classes_are_named_and_many_are_counted() {
        let classes: Vec<String> = ["ant", "bee", "cow", "dog", "owl"].map(String::from).to_vec();
        assert_eq!(missing(&classes, &[1, 2, 3, 4, 5]), None);
        assert_eq!(missing(&classes, &[1, 0, 3, 4, 5]).unwrap(), "1 of 5 classes (bee) have");
        assert_eq!(missing(&classes, &[0, 0, 0, 4, 0]).unwrap(), "4 of 5 classes (ant, bee, cow, ...) have");
        assert_eq!(missing(&[], &[]), None);
    }
}
