//! The items that backbones are judged by: a bounded sample of those that can be trained on, by classes, without copies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::Truth;
use super::distances::is_good;
use crate::data::{Dataset, Sample, Split, Target, Targets};
use crate::train::error::{Error, Result};

/// Items of a class that come before all others, so that none is left without a second one.
const OF_EACH_CLASS: usize = 2;
/// Items that a backbone is tried on where nothing can be measured: whether it runs.
const TO_RUN: usize = 32;

/// Items in an order of which every beginning holds the classes in their shares, as nearly as it can.
pub struct Drawn {
    pub samples: Vec<Sample>,
    /// sha256 of each item's bytes by its id, as features are named by it.
    pub hashes: Vec<[u8; 32]>,
    /// Items that can be trained on; of anomalies, those that distances can be measured by.
    pub of_items: usize,
}

/// Draws `most` items of the training split; always the same ones. Of a data set for anomalies those of the validation split are drawn,
/// too, if there is an anomaly among them all; else a few, which tell no more than whether a backbone runs.
///
/// # Errors
/// Reading, and a data set with nothing to choose between.
pub fn draw(dataset: &Arc<Dataset>, most: usize) -> Result<Drawn> {
    let mut samples: Vec<Sample> = dataset.split("train");
    let good_only = dataset.targets.task().about().good_only;
    if good_only {
        samples.extend(dataset.split("val"));
    }
    samples.retain(|sample| sample.target != Target::Unknown);
    let of_items = samples.len();
    let blind = good_only && samples.iter().all(is_good);
    let mut drawn = if good_only { in_order_of(samples, part) } else { in_order(samples) };
    drawn.truncate(if blind { TO_RUN.min(most) } else { most });
    let hash = |sample: &Sample| Ok::<[u8; 32], crate::data::Error>(Sha256::digest(dataset.encoded(sample)?).into());
    let found = drawn.par_iter().map(hash).collect::<std::result::Result<Vec<_>, _>>()?;
    let mut hashes = vec![[0; 32]; dataset.samples().iter().map(|sample| sample.id as usize + 1).max().unwrap_or(0)];
    let mut seen = BTreeSet::new();
    let mut samples = Vec::with_capacity(drawn.len());
    for (sample, hash) in drawn.into_iter().zip(found) {
        hashes[sample.id as usize] = hash;
        // An item beside its copy would be said rightly by every backbone.
        if seen.insert(hash) {
            samples.push(sample);
        }
    }
    enough(&samples, &dataset.targets)?;
    Ok(Drawn { samples, hashes, of_items })
}

fn enough(samples: &[Sample], targets: &Targets) -> Result<()> {
    let classes: BTreeSet<u32> = samples.iter().filter_map(|sample| sample.target.class()).collect();
    let problem = match targets {
        _ if samples.len() < 4 => format!("{} different items to train on are too few to compare backbones by", samples.len()),
        Targets::Classes(_) | Targets::Ranks(_) if classes.len() < 2 => "all items to train on are of one class".to_owned(),
        Targets::Anomalies(_) if !samples.iter().any(|sample| is_good(sample) && sample.split == Split::Train) => {
            "there are no good items to train on".to_owned()
        }
        _ => return Ok(()),
    };
    Err(Error::NothingToLearn(format!("{problem}; publish the data set with more items in its training split")))
}

/// Of a data set for anomalies: good items of the training split, others that are good, and each kind of anomaly.
fn part(sample: &Sample) -> Option<u32> {
    let class = sample.target.class()?;
    Some(if is_good(sample) { u32::from(sample.split != Split::Train) } else { class + 1 })
}

pub(super) fn in_order(samples: Vec<Sample>) -> Vec<Sample> {
    in_order_of(samples, |sample| sample.target.class())
}

fn in_order_of(samples: Vec<Sample>, class: impl Fn(&Sample) -> Option<u32>) -> Vec<Sample> {
    let mut by_class: BTreeMap<Option<u32>, Vec<Sample>> = BTreeMap::new();
    samples.into_iter().for_each(|sample| by_class.entry(class(&sample)).or_default().push(sample));
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut placed = Vec::new();
    for (class, mut own) in by_class {
        own.shuffle(&mut random);
        let count = own.len() as f64;
        let first = if class.is_some() { OF_EACH_CLASS } else { 0 };
        let place = |at: usize| if at < first { 0.0 } else { (at as f64 + 0.5) / count };
        placed.extend(own.into_iter().enumerate().map(|(at, sample)| (place(at), sample)));
    }
    placed.sort_by(|(a, x), (b, y)| a.total_cmp(b).then(x.id.cmp(&y.id)));
    placed.into_iter().map(|(_, sample)| sample).collect()
}

/// What is to be said of these items.
pub fn truth(samples: &[&Sample], targets: &Targets) -> Truth {
    if let Targets::Classes(names) = targets {
        return Truth::Classes(samples.iter().map(|sample| sample.target.class().unwrap_or(0)).collect(), names.len());
    }
    let rows: Vec<Vec<f64>> = samples.iter().map(|sample| columns(targets, &sample.target)).collect();
    let width = rows.first().map_or(0, Vec::len);
    let mut values: Vec<f64> = rows.concat();
    for column in 0..width {
        let known = || values.iter().skip(column).step_by(width).filter(|value| value.is_finite());
        let mean = known().sum::<f64>() / known().count().max(1) as f64;
        values.iter_mut().skip(column).step_by(width).filter(|value| !value.is_finite()).for_each(|value| *value = mean);
    }
    Truth::Values(values, width)
}

/// A target as numbers; NaN where nothing is known.
fn columns(targets: &Targets, target: &Target) -> Vec<f64> {
    let hot = |count: usize, on: &[u32]| (0..count).map(|at| f64::from(u8::from(on.contains(&(at as u32))))).collect();
    match targets {
        Targets::Classes(names) | Targets::Labels(names) | Targets::Tags(names) if *target == Target::Unknown => {
            vec![f64::NAN; names.len()]
        }
        Targets::Classes(names) | Targets::Labels(names) | Targets::Tags(names) => hot(names.len(), target.labels()),
        Targets::Ranks(_) | Targets::Anomalies(_) => vec![target.class().map_or(f64::NAN, f64::from)],
        Targets::Values(names) => (0..names.len()).map(|at| target.values().get(at).map_or(f64::NAN, |value| f64::from(*value))).collect(),
        Targets::Objects(names) | Targets::Masks(names) => hot(names.len(), target.labels()),
        Targets::Heads(heads) => heads.iter().enumerate().flat_map(|(at, (_, kind))| columns(kind, target.head(at))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;

    fn sample(id: u32, target: Target) -> Sample {
        Sample { id, target, split: Split::Train, path: id.to_string() }
    }

    #[test]
    fn every_beginning_holds_the_classes_in_their_shares_and_two_of_each() {
        let class = |id: u32| if id < 90 { 0 } else { u32::from(id >= 97) + 1 };
        let drawn = in_order((0..100).map(|id| sample(id, Target::Class(class(id)))).collect());
        let count = |most: usize, of: u32| drawn[..most].iter().filter(|sample| sample.target.class() == Some(of)).count();
        assert_eq!([count(6, 0), count(6, 1), count(6, 2)], [2, 2, 2]);
        assert!((44..=47).contains(&count(50, 0)) && count(50, 1) >= 3, "{} {}", count(50, 0), count(50, 1));
        assert_eq!(drawn.iter().map(|sample| sample.id).collect::<BTreeSet<_>>().len(), 100);
        assert_ne!(drawn[6].id, 2, "not the first ones by name");
    }

    #[test]
    fn of_anomalies_every_beginning_holds_those_known_and_those_measured() {
        let of = |id: u32, split: Split, class: u32| Sample { split, ..sample(id, Target::Class(class)) };
        let known = (0..60).map(|id| of(id, Split::Train, 0));
        let held = (60..80).map(|id| of(id, Split::Val, 0)).chain((80..100).map(|id| of(id, Split::Val, 1 + id % 2)));
        let drawn = in_order_of(known.chain(held).collect(), part);
        let count = |most: usize, of: u32| drawn[..most].iter().filter(|sample| part(sample) == Some(of)).count();
        assert_eq!([0, 1, 2, 3].map(|of| count(8, of)), [2; 4]);
        assert!((27..=33).contains(&count(50, 0)) && (8..=12).contains(&count(50, 1)), "{} {}", count(50, 0), count(50, 1));
    }

    #[test]
    fn targets_of_every_kind_become_classes_or_columns() {
        let names = |count: usize| (0..count).map(|at| at.to_string()).collect::<Vec<_>>();
        let of = |targets: &Targets, targets_of: Vec<Target>| {
            let samples: Vec<Sample> = targets_of.into_iter().enumerate().map(|(id, target)| sample(id as u32, target)).collect();
            truth(&samples.iter().collect::<Vec<_>>(), targets)
        };
        assert_eq!(of(&Targets::Classes(names(3)), vec![Target::Class(2), Target::Class(0)]), Truth::Classes(vec![2, 0], 3));
        assert_eq!(of(&Targets::Ranks(names(3)), vec![Target::Class(2)]), Truth::Values(vec![2.0], 1));
        assert_eq!(of(&Targets::Values(names(1)), vec![Target::Value(1.5), Target::Value(2.0)]), Truth::Values(vec![1.5, 2.0], 1));
        let labels = vec![Target::Labels([0, 2].into()), Target::Labels([].into())];
        assert_eq!(of(&Targets::Labels(names(3)), labels), Truth::Values(vec![1.0, 0.0, 1.0, 0.0, 0.0, 0.0], 3));
        let heads = Targets::Heads(vec![("a".into(), Targets::Classes(names(2))), ("b".into(), Targets::Values(names(1)))]);
        let both = Target::Heads(vec![Target::Class(1), Target::Value(4.0)].into());
        let half = Target::Heads(vec![Target::Unknown, Target::Value(6.0)].into());
        assert_eq!(of(&heads, vec![both, half]), Truth::Values(vec![0.0, 1.0, 4.0, 0.0, 1.0, 6.0], 3), "what is not known is the mean");
    }
}
