//! How good a published model is on a data set: its head's answers held against the targets, matched by the names of labels.

use std::collections::BTreeMap;

use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::error::{Error, Result};
use super::judge::items;
use super::partition::Partition;
use super::predict::Predictor;
use super::progress::{Control, Event, ProgressReporter};
use super::tasks;
use crate::data::{Dataset, Object, Objects, Sample, Split, Tags, Target, Targets};
use crate::domain::config::ModelConfig;
use crate::domain::dataset_report::Problem;
use crate::domain::evaluation::{Evaluation, Held};
use crate::domain::recipe::Recipe;
use crate::domain::task::Task;

/// What was found.
#[derive(Debug, Clone)]
pub struct Measured {
    pub split: Split,
    /// Over the items whose labels the head knows.
    pub evaluation: Evaluation,
    /// Labels that the head does not know, with their items; those were left out.
    pub unknown: BTreeMap<String, u64>,
    /// Items that could not be read; those were left out, too.
    pub unreadable: Vec<Problem>,
    /// sha256 (hex) over the sorted lines `split TAB target TAB sha256-of-bytes` of all items of the split.
    pub digest: String,
    /// A table with a line for each item that was measured on, as fine-tunes leave it.
    pub predictions: String,
}

/// Measures a model on one split; of `None` on `test` if there is one, else on `val`, else on all there is.
///
/// # Errors
/// The model has no head, answers something else than the data set's targets are, knows none of its labels; those of reading.
pub fn evaluate(
    model: &Predictor,
    config: &ModelConfig,
    dataset: &Dataset,
    split: Option<Split>,
    sink: &mut dyn FnMut(Event) -> Control,
) -> Result<Measured> {
    model.need_head()?;
    let mut reporter = ProgressReporter::new(sink);
    let (split, samples) = chosen(dataset, split)?;
    let words = Words::of(config, tasks::classes_of(config, model.outputs()), &dataset.targets)?;
    let translated: Vec<Option<Target>> = samples.iter().map(|sample| words.translate(&sample.target)).collect();
    let known = |(sample, target): (&Sample, &Option<Target>)| target.clone().map(|target| Sample { target, ..sample.clone() });
    let held: Vec<Sample> = samples.iter().zip(&translated).filter_map(known).collect();
    if held.is_empty() {
        return Err(knows_none(dataset));
    }
    let unknown = unknown_labels(dataset, &samples, &translated);
    let partition = Partition { train: held.clone(), val: held, test: Vec::new(), held: Held::Training, leaks: Vec::new() };
    let task = tasks::of_targets(&words.targets, &partition, &Recipe { task: Some(words.task), ..Recipe::default() })?;
    let task = task.published(config).unwrap_or_else(|| task.into());
    let mut tally = task.tally(true);
    let (mut lines, mut unreadable) = (Vec::with_capacity(samples.len()), Vec::new());
    let mut predictions = items::head(0);
    let size = model.batch_items();
    for (at, (samples, targets)) in samples.chunks(size).zip(translated.chunks(size)).enumerate() {
        reporter.prepare("measuring", (at * size) as u64, translated.len() as u64)?;
        let items: Vec<_> = samples.par_iter().map(|sample| dataset.encoded(sample)).collect::<crate::data::Result<_>>()?;
        let line = |(sample, item): (&Sample, &bytes::Bytes)| {
            format!("{}\t{}\t{}\n", sample.split, dataset.targets.word(&sample.target), hex::encode(Sha256::digest(item)))
        };
        lines.extend(samples.par_iter().zip(&items).map(line).collect::<Vec<_>>());
        for (((sample, target), item), row) in samples.iter().zip(targets).zip(&items).zip(model.outputs_batch(&items)?) {
            match (row, target) {
                (Ok(row), Some(target)) => {
                    let target = &model.cells_seen(dataset, sample, &model.target_seen(item, target)?)?;
                    tally.add(&row, std::slice::from_ref(target));
                    if tally.samples() <= items::MOST_LINES as u64 {
                        predictions += &items::line(dataset, sample, &task.told(&row, target).unwrap_or_default(), &[]);
                    }
                }
                (Ok(_), None) => {}
                (Err(error), _) => unreadable.push(Problem { path: sample.path.clone(), reason: error.reason() }),
            }
        }
    }
    let evaluation = tally.finish();
    if evaluation.samples == 0 {
        return Err(Error::NothingToLearn("none of the items can be read; publish the data set again".into()));
    }
    if !evaluation.primary().is_finite() {
        let what = format!("the {split} split has items of one kind only, which cannot be told from others; name a split that has both");
        return Err(Error::NothingToLearn(what));
    }
    lines.sort();
    let mut digest = Sha256::new();
    lines.iter().for_each(|line| digest.update(line));
    Ok(Measured { split, evaluation, unknown, unreadable, digest: hex::encode(digest.finalize()), predictions })
}

fn knows_none(dataset: &Dataset) -> Error {
    let labels = dataset.classes().iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    let what = format!("the model knows none of the labels of the data set ({labels} ...); measure one that was trained on these classes");
    Error::Unsupported(what)
}

/// The labels that the head does not know, with their items.
fn unknown_labels(dataset: &Dataset, samples: &[Sample], translated: &[Option<Target>]) -> BTreeMap<String, u64> {
    let mut unknown = BTreeMap::new();
    for (sample, _) in samples.iter().zip(translated).filter(|(_, target)| target.is_none()) {
        *unknown.entry(dataset.targets.word(&sample.target)).or_default() += 1;
    }
    unknown
}

fn chosen(dataset: &Dataset, split: Option<Split>) -> Result<(Split, Vec<Sample>)> {
    let order = match split {
        Some(split) => vec![split],
        None => vec![Split::Test, Split::Val, Split::Train],
    };
    let found = order.into_iter().map(|split| (split, dataset.split(split.as_str()))).find(|(_, samples)| !samples.is_empty());
    found.ok_or_else(|| {
        let there: Vec<&str> = Split::ALL.iter().map(|split| split.as_str()).filter(|split| !dataset.split(split).is_empty()).collect();
        let asked = split.map_or("", Split::as_str);
        Error::Unsupported(format!("the data set has no split `{asked}`; it has {}", there.join(", ")))
    })
}

/// A data set's targets in the words of a head.
struct Words {
    task: Task,
    targets: Targets,
    /// For each label of the data set, which of the head's it is.
    of: Vec<Option<u32>>,
}

impl Words {
    fn of(config: &ModelConfig, outputs: usize, targets: &Targets) -> Result<Words> {
        let (task, asked) = (tasks::of_model(config), targets.task());
        if task != asked && asked.asked(task).is_none() {
            return Err(Error::Unsupported(format!(
                "the model was trained for {task}, and the targets of the data set are for {asked}; choose a data set of the same task"
            )));
        }
        let labels = config.label_names.clone().filter(|labels| labels.len() == outputs).unwrap_or_default();
        // Kinds of anomalies are the data set's own: the model knows what is good.
        let own = targets.task().about().good_only.then(|| targets.classes().to_vec());
        let labels = own.unwrap_or(labels);
        let of = targets.classes().iter().map(|name| labels.iter().position(|label| label == name).map(|at| at as u32)).collect();
        let targets = match targets {
            Targets::Classes(_) => Targets::Classes(labels),
            Targets::Ranks(_) => Targets::Ranks(labels),
            Targets::Anomalies(_) => targets.clone(),
            Targets::Labels(_) => Targets::Labels(labels),
            Targets::Tags(_) => Targets::Tags(labels),
            Targets::Masks(_) => Targets::Masks(labels),
            Targets::Objects(_) => Targets::Objects(labels),
            Targets::Values(names) if names.len() == outputs => targets.clone(),
            Targets::Heads(heads) if tasks::has_heads(config, heads) => targets.clone(),
            other => {
                let what = format!("the model answers {outputs} numbers, and these targets for {} are others", other.task());
                return Err(Error::Unsupported(format!("{what}; choose a data set like the one it was trained on")));
            }
        };
        Ok(Words { task, targets, of })
    }

    /// `None` of what the head has no word for.
    fn translate(&self, target: &Target) -> Option<Target> {
        let word = |label: &u32| self.of.get(*label as usize).copied().flatten();
        match target {
            Target::Unknown => None,
            Target::Class(class) => word(class).map(Target::Class),
            Target::Labels(labels) => {
                let mut labels = labels.iter().map(word).collect::<Option<Vec<u32>>>()?;
                labels.sort_unstable();
                Some(Target::Labels(labels.into()))
            }
            // A mask is read as it lies there: its classes are those of the head, in their order, or it is not measured.
            Target::Mask(_) => self.of.iter().enumerate().all(|(at, of)| *of == Some(at as u32)).then(|| target.clone()),
            // Objects that it has no word for are none to it; an image that shows nothing else is not measured.
            Target::Objects(objects) => {
                let known = |object: &Object| Some(Object { class: word(&object.class)?, ..object.clone() });
                let list: Vec<Object> = objects.list.iter().filter_map(known).collect();
                let all_unknown = list.is_empty() && !objects.list.is_empty();
                (!all_unknown).then(|| Target::Objects(Objects::new(list, objects.size, objects.relative)))
            }
            Target::Tags(tags) => Some(Target::Tags(Tags::new(tags.each.iter().map(word).collect::<Option<Vec<u32>>>()?))),
            other => Some(other.clone()),
        }
    }
}
