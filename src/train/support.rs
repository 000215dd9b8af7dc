//! Classes of a backbone without training: a support set of labelled examples, and the class whose mean features are nearest.

use std::collections::BTreeMap;

use super::embedding::{Subject, embed, survey_dataset};
use super::error::{Error, Result};
use super::predict::Predictor;
use super::probe::nearest_mean;
use super::progress::{Control, Event};
use super::tasks::{self, Classification, Task as _};
use crate::data::{Dataset, Sample, Split};
use crate::domain::config::ModelConfig;
use crate::domain::prediction::Answer;
use crate::nn::Means;

/// Examples that are taken; of more, every n-th.
pub const MOST_EXAMPLES: usize = 4_096;

/// What examples say of a model's features.
pub struct Support {
    names: Vec<String>,
    head: Means,
}

impl Support {
    /// Of rows of features `(items, width)` and the class of each, an index into `names`.
    ///
    /// # Errors
    /// Fewer than two classes have an example.
    pub fn of_rows(width: usize, rows: &[f32], labels: &[u32], names: &[String]) -> Result<Support> {
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        labels.iter().for_each(|label| *counts.entry(*label).or_default() += 1);
        if counts.len() < 2 {
            let what = "the support set has examples of fewer than two classes that can be read; add some of others";
            return Err(Error::NothingToLearn(what.into()));
        }
        let mut centre = vec![0f64; width];
        for row in rows.chunks_exact(width.max(1)) {
            centre.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value) / labels.len() as f64);
        }
        let centre: Vec<f32> = centre.into_iter().map(|value| value as f32).collect();
        let placed: Vec<f32> = rows.chunks_exact(width.max(1)).flat_map(|row| Means::placed(&centre, row)).collect();
        let labels: Vec<Option<u32>> = labels.iter().copied().map(Some).collect();
        let found = nearest_mean(&placed, width, &labels, names.len());
        let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
        Ok(Support { names: names.to_vec(), head: Means::new(centre, narrow(found.weight), narrow(found.bias))? })
    }

    /// Of one text for each class, whose features are rows `(classes, width)`. With what cosines are multiplied by, they are in the space of
    /// the items and items are held against them as they are; without, each is the one example of its class.
    ///
    /// # Errors
    /// As of [`Self::of_rows`].
    pub fn of_texts(width: usize, rows: &[f32], names: &[String], scale: Option<f32>) -> Result<Support> {
        let Some(scale) = scale else {
            let labels: Vec<u32> = (0..names.len() as u32).collect();
            return Support::of_rows(width, rows, &labels, names);
        };
        if names.len() < 2 || rows.len() != width * names.len() {
            return Err(Error::NothingToLearn("fewer than two classes have a name that can be read; name others".into()));
        }
        let still = vec![0.0; width];
        let weight = rows.chunks_exact(width.max(1)).flat_map(|row| Means::placed(&still, row)).map(|value| scale * value).collect();
        Ok(Support { names: names.to_vec(), head: Means::new(still, weight, vec![0.0; names.len()])? })
    }

    /// Of a data set's training items (of all, where it has no such split), by features that are kept.
    ///
    /// # Errors
    /// Its targets are no classes; those of [`embed`] and [`Self::of_rows`].
    pub fn of_dataset(subject: &Subject, sink: &mut dyn FnMut(Event) -> Control) -> Result<Support> {
        let samples = examples(subject.dataset)?;
        let survey = survey_dataset(subject.dataset, subject.keep, sink)?;
        let features = embed(subject, &samples, &survey.hashes, sink)?;
        let of: BTreeMap<u32, u32> = samples.iter().filter_map(|sample| Some((sample.id, sample.target.class()?))).collect();
        let labels: Vec<u32> = features.ids.iter().filter_map(|id| of.get(id).copied()).collect();
        Support::of_rows(features.width, &features.rows, &labels, subject.dataset.classes())
    }

    /// The same without a place to keep features in, by a model that was opened already.
    ///
    /// # Errors
    /// As [`Self::of_dataset`].
    pub fn by(model: &Predictor, dataset: &Dataset) -> Result<Support> {
        let samples = examples(dataset)?;
        let (mut rows, mut labels) = (Vec::new(), Vec::new());
        for part in samples.chunks(model.batch_items()) {
            let items = part.iter().map(|sample| dataset.encoded(sample)).collect::<crate::data::Result<Vec<_>>>()?;
            for (sample, row) in part.iter().zip(model.embed_batch(&items)?) {
                if let (Ok(row), Some(label)) = (row, sample.target.class()) {
                    rows.extend(row);
                    labels.push(label);
                }
            }
        }
        Support::of_rows(model.num_features(), &rows, &labels, dataset.classes())
    }

    /// What is said about an item with these features: the `top` likeliest classes.
    pub fn answer(&self, features: &[f32], top: usize) -> Answer {
        tasks::of_classes(&self.head.of(features), &self.names, top)
    }

    /// Width of the features it is about.
    pub fn width(&self) -> usize {
        self.head.width()
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn into_head(self) -> Means {
        self.head
    }

    /// A model's config as if its head named these classes.
    pub fn config(&self, config: &ModelConfig) -> ModelConfig {
        let mut config = config.clone();
        tasks::MEANINGS.into_iter().for_each(|stale| drop(config.extra.shift_remove(stale)));
        Classification::new(&self.names).configure(&mut config);
        config
    }
}

/// The items that classes are known by.
fn examples(dataset: &Dataset) -> Result<Vec<Sample>> {
    let task = dataset.targets.task();
    if !task.about().one_class {
        return Err(Error::Unsupported(format!("a support set has classes, and the targets of this one are for {task}; choose another")));
    }
    let train: Vec<&Sample> = dataset.samples().iter().filter(|sample| sample.split == Split::Train).collect();
    let all = if train.is_empty() { dataset.samples().iter().collect() } else { train };
    Ok(all.iter().step_by(all.len().div_ceil(MOST_EXAMPLES).max(1)).map(|sample| (*sample).clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_of_the_nearest_mean_is_answered() {
        let names: Vec<String> = ["up", "right"].map(String::from).into();
        let rows = [1.0f32, 9.0, 0.0, 8.0, 9.0, 1.0, 7.0, 0.0];
        let support = Support::of_rows(2, &rows, &[0, 0, 1, 1], &names).unwrap();
        let first = |x: [f32; 2]| support.answer(&x, 1).classes()[0].clone();
        assert_eq!((first([0.5, 30.0]).label.as_str(), first([30.0, 2.0]).label.as_str()), ("up", "right"));
        assert!(first([0.5, 30.0]).probability > 0.9, "classes that lie apart are told surely");
        assert!(Support::of_rows(2, &rows[..4], &[0, 0], &names).is_err());
        // By texts in the same space: cosines, times what sharpens them.
        let named = Support::of_texts(2, &[0.0, 3.0, 5.0, 0.0], &names, Some(2.0)).unwrap();
        let answer = named.answer(&[0.0, 9.0], 2);
        let shares: Vec<f32> = answer.classes().iter().map(|class| class.probability).collect();
        assert!((shares[0] - 1.0 / (1.0 + (-2f32).exp())).abs() < 1e-6 && answer.classes()[0].label == "up", "{shares:?}");
        assert!(Support::of_texts(2, &rows[..2], &names[..1], Some(2.0)).is_err());
        let config = support.config(&ModelConfig::default());
        assert_eq!((config.num_classes, config.label_names), (Some(2), Some(names)));
    }
}
