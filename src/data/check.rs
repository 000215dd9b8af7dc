//! The judge: reads and opens every item of a data set and says what it found. Used on publish and before a job.

use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use rayon::prelude::*;

use super::copies::{Copies, Print};
use super::dataset::Dataset;
use super::error::{Error, Refusal, Result, grouped};
use super::health::Gathered;
use super::known::Known;
use super::labelled::Split;
use super::limits::Limits;
use super::modality::{self, Modality, Picture};
use super::places::{self, Placed};
use super::sample::Sample;
use super::source::Source;
use super::targets::{Target, Targets};
use crate::domain;
use crate::domain::dataset_health::Balance;
use crate::domain::dataset_report::{DatasetReport, HeadFacts, Preview, Problem, SplitCount, Spread, ValueSpread};

/// Items opened between two calls of `progress`; also bounds what is in memory at a time.
const CHUNK: usize = 64;
const PREVIEWS_PER_CLASS: usize = 3;
const PREVIEWS: usize = 60;
const PAIRS: usize = 1_000;

/// Opens everything on all threads. `progress` gets (items done, items in all).
///
/// # Errors
/// Anything [`Dataset::open`] refuses, a damaged or lying archive entry, and more unreadable items than the limits allow.
pub fn check(source: &Source, limits: &Limits, progress: &mut dyn FnMut(u64, u64)) -> Result<DatasetReport> {
    let dataset = Dataset::open(source, limits)?;
    let wanted = previews_wanted(&dataset);
    let total = dataset.samples().len();
    let mut findings = Findings::default();
    progress(0, total as u64);
    for (index, chunk) in dataset.samples().chunks(CHUNK).enumerate() {
        let seen: Vec<Result<Seen>> = chunk.par_iter().map(|s| look(&dataset, s, wanted.contains(&s.id))).collect();
        for (sample, seen) in chunk.iter().zip(seen) {
            findings.add(sample, seen?);
        }
        progress((index * CHUNK + chunk.len()) as u64, total as u64);
    }
    if findings.unreadable.len() as f64 > limits.unreadable_share * total as f64 {
        let items = dataset.modality.name().items();
        let refused = Error::TooManyUnreadable { problems: findings.unreadable, total, items };
        // Nobody need have meant writing as items.
        return Err(if dataset.modality.is_writing() { Error::NotTexts { reason: refused.to_string() } } else { refused });
    }
    Ok(findings.into_report(dataset))
}

/// What one look at an item gave.
struct Seen {
    print: Print,
    item: std::result::Result<modality::Seen, Refusal>,
    /// Of an item whose places are labelled: what is there on it.
    placed: Option<Placed>,
}

fn look(dataset: &Dataset, sample: &Sample, preview: bool) -> Result<Seen> {
    let bytes = dataset.encoded(sample)?;
    let mut item = dataset.modality.inspect(&bytes, dataset.limits(), preview);
    let print = Print::of(&bytes, &item);
    if !dataset.targets.are_of_places() {
        return Ok(Seen { print, item, placed: None });
    }
    let placed = match &item {
        Ok(seen) => places::examine(dataset, sample, seen),
        Err(_) => Ok(Placed::default()),
    };
    match placed {
        Err(refusal) => Ok(Seen { print, item: Err(refusal), placed: None }),
        Ok(placed) => {
            if let Ok(seen) = &mut item
                && preview
            {
                seen.preview = places::preview(dataset, sample, &bytes)?.or(seen.preview.take());
            }
            Ok(Seen { print, item, placed: Some(placed) })
        }
    }
}

/// The ids of the first samples of each class, as many classes as there is room for.
fn previews_wanted(dataset: &Dataset) -> std::collections::HashSet<u32> {
    let mut per_class: HashMap<Option<u32>, usize> = HashMap::new();
    let share = match dataset.classes().len() {
        _ if dataset.targets.are_of_places() => places::PREVIEWS,
        0 => PREVIEWS,
        classes => (PREVIEWS / classes).clamp(1, PREVIEWS_PER_CLASS),
    };
    let mut first = |s: &&Sample| {
        let count = per_class.entry(s.target.class()).or_default();
        *count += 1;
        *count <= share
    };
    dataset.samples().iter().filter(|s| first(s)).map(|s| s.id).take(PREVIEWS).collect()
}

#[derive(Default)]
struct Findings {
    readable: Vec<(Sample, Print)>,
    unreadable: Vec<Problem>,
    sizes: BTreeMap<String, Vec<u32>>,
    channels: BTreeMap<String, usize>,
    formats: BTreeMap<String, usize>,
    languages: BTreeMap<String, usize>,
    previews: Vec<(Target, String, Picture)>,
    gathered: Gathered,
    places: places::Tally,
}

impl Findings {
    fn add(&mut self, sample: &Sample, seen: Seen) {
        match seen.item {
            Err(refusal) => self.unreadable.push(Problem { path: sample.path.clone(), reason: refusal.0 }),
            Ok(item) => {
                self.places.add(seen.placed);
                self.gathered.add(self.readable.len(), sample, &item);
                self.readable.push((sample.clone(), seen.print));
                for (name, size) in item.sizes {
                    self.sizes.entry(name.into()).or_default().push(size);
                }
                if !item.channels.is_empty() {
                    *self.channels.entry(item.channels.into()).or_default() += 1;
                }
                *self.formats.entry(item.format.into()).or_default() += 1;
                if !item.language.is_empty() {
                    *self.languages.entry(item.language.into()).or_default() += 1;
                }
                if let Some(small) = item.preview {
                    self.previews.push((sample.target.clone(), sample.path.clone(), small));
                }
            }
        }
    }

    fn into_report(mut self, dataset: Dataset) -> DatasetReport {
        let annotations = std::mem::take(&mut self.places).into_facts(&dataset);
        let dataset = dataset.without(&self.unreadable);
        let mut report = DatasetReport {
            classes: dataset.classes().to_vec(),
            splits: split_counts(&dataset),
            samples: self.readable.len(),
            total_bytes: dataset.total_bytes,
            sizes: self.sizes.into_iter().map(|(name, sizes)| (name, Spread::of(sizes))).collect(),
            channels: self.channels,
            formats: self.formats,
            languages: self.languages,
            unreadable: self.unreadable,
            duplicates_across_splits: Vec::new(),
            duplicates_within_split: Vec::new(),
            copies: domain::copies::Copies::default(),
            prints: Known::of(self.readable.iter().map(|(sample, print)| (sample, print))).write(),
            health: self.gathered.into_health(|at| &self.readable[at].0.path),
            warnings: dataset.warnings.clone(),
            previews: self.previews.into_iter().map(|(target, path, small)| preview(&dataset, &target, path, small)).collect(),
            digest: dataset.digest_of(&self.readable.iter().map(|(_, print)| print.hash).collect::<Vec<_>>()),
            task: dataset.targets.task(),
            declared: dataset.declared.clone(),
            modality: dataset.modality.name(),
            heads: heads(&dataset),
            unlabelled: dataset.unlabelled().len(),
            values: dataset.targets.spread(dataset.samples().iter().map(|sample| &sample.target)),
            annotations: annotations.as_ref().map(|(facts, _)| facts.clone()),
        };
        report.warnings.extend(annotations.into_iter().flat_map(|(_, sentences)| sentences));
        find_duplicates(&self.readable, &mut report);
        report.copies = find_copies(&self.readable, dataset.modality);
        report.health.balance = balance(&report);
        report.warnings.extend(report.copies.sentences(dataset.modality.name().items()));
        warn(&mut report);
        report.warnings.extend(report.health.sentences(dataset.modality.name().items()));
        report.warnings.extend(report.languages_sentence());
        report
    }
}

/// What is known of each thing that is to be said about an item, where there are several.
fn heads(dataset: &Dataset) -> Vec<HeadFacts> {
    let samples = dataset.samples();
    let spread = |values: Vec<f64>| ValueSpread::of(&values);
    match &dataset.targets {
        Targets::Values(names) if names.len() > 1 => {
            let column =
                |at: usize| samples.iter().filter_map(|sample| sample.target.values().get(at)).map(|value| f64::from(*value)).collect();
            let facts = |(at, name): (usize, &String)| HeadFacts {
                name: name.clone(),
                task: Targets::Values(vec![name.clone()]).task(),
                known: samples.len(),
                values: Some(spread(column(at))),
                classes: Vec::new(),
            };
            names.iter().enumerate().map(facts).collect()
        }
        Targets::Heads(heads) => {
            let known = |at: usize| samples.iter().map(move |sample| sample.target.head(at)).filter(|target| **target != Target::Unknown);
            let facts = |(at, (name, targets)): (usize, &(String, Targets))| HeadFacts {
                name: name.clone(),
                task: targets.task(),
                classes: targets.classes().to_vec(),
                known: known(at).count(),
                values: targets.spread(known(at)),
            };
            heads.iter().enumerate().map(facts).collect()
        }
        _ => Vec::new(),
    }
}

fn preview(dataset: &Dataset, target: &Target, path: String, small: Picture) -> Preview {
    Preview {
        class: dataset.targets.caption(target),
        path,
        media_type: small.media_type.into(),
        base64: base64::engine::general_purpose::STANDARD.encode(small.bytes),
    }
}

fn split_counts(dataset: &Dataset) -> Vec<SplitCount> {
    let count = |split: Split| {
        let mut per_class = vec![0; dataset.classes().len()];
        let samples = dataset.samples().iter().filter(|s| s.split == split);
        samples.clone().flat_map(|s| s.target.labels()).for_each(|class| per_class[*class as usize] += 1);
        SplitCount { name: split.as_str().into(), samples: samples.count(), per_class }
    };
    Split::ALL.into_iter().map(count).filter(|c| c.samples > 0).collect()
}

/// Of what is learned from.
fn balance(report: &DatasetReport) -> Option<Balance> {
    let split =
        report.splits.first().filter(|_| !report.task.about().good_only && !report.task.is_of_words() && !report.task.is_of_places())?;
    Balance::of(&split.name, &report.classes, &split.per_class)
}

fn find_copies(readable: &[(Sample, Print)], modality: &dyn Modality) -> domain::copies::Copies {
    let copies = Copies::find(readable.iter().map(|(sample, print)| (sample, print)), modality);
    let samples: Vec<Sample> = readable.iter().map(|(sample, _)| sample.clone()).collect();
    let of = |split: Split| {
        let from = samples.partition_point(|sample| sample.split < split);
        &samples[from..samples.partition_point(|sample| sample.split <= split)]
    };
    let leaks = copies.leaks(&Split::ALL.map(|split| (split.as_str(), of(split))));
    domain::copies::Copies { leaks, ..copies.tell(&samples) }
}

/// Pairs of files that are equal byte for byte.
fn find_duplicates(readable: &[(Sample, Print)], report: &mut DatasetReport) {
    let mut first: HashMap<([u8; 32], Split), &Sample> = HashMap::new();
    for (sample, Print { hash, .. }) in readable {
        // Samples come sorted by split, so an equal file in an earlier split was seen already.
        for split in Split::ALL {
            let Some(other) = first.get(&(*hash, split)) else { continue };
            let list = match split == sample.split {
                true => &mut report.duplicates_within_split,
                false => &mut report.duplicates_across_splits,
            };
            if list.len() < PAIRS {
                list.push((other.path.clone(), sample.path.clone()));
            }
        }
        first.entry((*hash, sample.split)).or_insert(sample);
    }
}

/// Sentences about what is allowed and still worth knowing.
fn warn(report: &mut DatasetReport) {
    let DatasetReport { classes, splits, warnings, unreadable, copies, task, modality, .. } = report;
    let (items, item) = (modality.items(), modality.item());
    if !unreadable.is_empty() {
        let (count, named) = (unreadable.len(), grouped(unreadable));
        warnings.push(format!("{count} {items} cannot be read and will be left out: {named}"));
    }
    // Copies of an image lie in the folders of its classes; rows of a table do not.
    if copies.relabelled > 0 && task.about().one_class && modality.has_thumbnails() {
        warnings.push("where an image may have several of the classes, `multi_label: true` in README.md makes its copies one image with several labels".into());
    }
    let Some(train) = splits.iter().find(|s| s.name == "train") else {
        warnings.push("there is no train split: the data set can only be used to measure".into());
        return;
    };
    if task.about().good_only {
        return warn_of_anomalies(splits, items, warnings);
    }
    let with = |count: usize| classes.iter().zip(&train.per_class).filter(move |(_, n)| **n == count).map(|(class, _)| class);
    let none = |them: &str| format!("no training {items}: {them} cannot be learned");
    warn_of_classes(with(0), &none("it"), &none("they"), warnings);
    for count in 1..=4 {
        let few = format!("only {count} training {}", if count == 1 { item } else { items });
        warn_of_classes(with(count), &few, &few, warnings);
    }
    for split in splits.iter().filter(|s| s.name != "train") {
        let missing: Vec<_> = classes.iter().zip(&split.per_class).filter(|(_, n)| **n == 0).map(|(class, _)| class).collect();
        if !missing.is_empty() {
            warnings.push(format!("{} has no {items} of {}", split.name, listed(&missing)));
        }
    }
}

/// Where all that is not good is to be told from what is.
fn warn_of_anomalies(splits: &[SplitCount], items: &str, warnings: &mut Vec<String>) {
    let others = |split: &SplitCount| split.samples - split.per_class.first().copied().unwrap_or(0);
    let found: usize = splits.iter().map(others).sum();
    if found == 0 {
        warnings.push("there are no anomalies to measure on: a threshold can be set, and how much is caught cannot be told".into());
    }
    for split in splits.iter().filter(|split| split.name == "train" && others(split) > 0) {
        warnings.push(format!("{} {items} in train are anomalies: they are not trained on, but measured on", others(split)));
    }
}

/// One sentence, however many classes it is about.
fn warn_of_classes<'a>(classes: impl Iterator<Item = &'a String>, one: &str, many: &str, warnings: &mut Vec<String>) {
    match classes.collect::<Vec<_>>().as_slice() {
        [] => {}
        [class] => warnings.push(format!("class `{class}` has {one}")),
        all => warnings.push(format!("{} classes have {many}: {}", all.len(), listed(all))),
    }
}

fn listed(names: &[&String]) -> String {
    const SHOWN: usize = 10;
    let first = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{first} and {} more", names.len() - SHOWN) } else { first }
}
