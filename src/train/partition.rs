//! Which images are trained on and which are measured on.

use super::few;
use crate::data::{Copies, Dataset, Sample, Survey, Target};
use crate::domain::copies::Leak;
use crate::domain::evaluation::Held;
use crate::domain::recipe::Recipe;

/// Fewer training images per class than this, and holding some out costs more than it tells.
const ENOUGH_PER_CLASS: usize = 10;

/// What a table of a split begins with, and how large it may become.
const SPLIT_COLUMNS: &str = "path,split,target,group,sha256\n";
const LARGEST_TABLE: usize = 48 << 20;

#[derive(Default)]
pub struct Partition {
    pub train: Vec<Sample>,
    pub val: Vec<Sample>,
    pub test: Vec<Sample>,
    pub held: Held,
    /// What of `val` and `test` is also in a part before it.
    pub leaks: Vec<Leak>,
}

impl Partition {
    /// The items of every part.
    pub fn all(&self) -> Vec<&Sample> {
        [&self.train, &self.val, &self.test].into_iter().flatten().collect()
    }

    /// The same items with other targets; those that get none are left out.
    pub fn with_targets(&self, target: impl Fn(&Target) -> Option<Target>) -> Partition {
        let of = |samples: &[Sample]| -> Vec<Sample> {
            let changed = |sample: &Sample| Some(Sample { target: target(&sample.target)?, ..sample.clone() });
            samples.iter().filter_map(changed).collect()
        };
        Partition { train: of(&self.train), val: of(&self.val), test: of(&self.test), held: self.held, leaks: self.leaks.clone() }
    }

    pub fn of(dataset: &Dataset, copies: &Copies, recipe: &Recipe) -> Partition {
        if dataset.targets.task().about().good_only {
            return Partition::of_good(dataset, copies, recipe);
        }
        let (mut train, mut val, test) = (dataset.split("train"), dataset.split("val"), dataset.split("test"));
        let mut held = Held::ValSplit;
        if recipe.shots > 0 {
            let rest;
            (train, rest) = few::drawn(&train, copies, recipe.shots as usize, recipe.seed);
            if val.is_empty() {
                (val, held) = (rest, Held::HeldOut);
            }
        } else if val.is_empty() {
            held = Held::Training;
            if train.len() >= ENOUGH_PER_CLASS * dataset.classes().len().max(1) {
                (train, val) = dataset.split_train(copies, recipe.validation, recipe.seed);
                held = Held::HeldOut;
            }
        }
        if val.is_empty() {
            (val, held) = (train.clone(), Held::Training);
        }
        train.extend_from_slice(dataset.taught_samples());
        // Numbers on the training items themselves say so already.
        let measured: &[Sample] = if held == Held::Training { &[] } else { &val };
        let leaks = copies.leaks(&[("train", &train), ("val", measured), ("test", &test)]);
        Partition { train, val, test, held, leaks }
    }

    /// Only items of the first class are trained on. Others in `train` are measured on beside what is held out of it.
    fn of_good(dataset: &Dataset, copies: &Copies, recipe: &Recipe) -> Partition {
        let good = |samples: Vec<Sample>| -> (Vec<Sample>, Vec<Sample>) {
            samples.into_iter().partition(|sample| sample.target.class() == Some(0))
        };
        let (train, others) = good(dataset.split("train"));
        let (mut train, mut val, test, mut held) = (train, dataset.split("val"), dataset.split("test"), Held::ValSplit);
        if !val.iter().any(|sample| sample.target.class() == Some(0)) {
            if train.len() >= ENOUGH_PER_CLASS {
                let (kept, out) = dataset.split_train(copies, recipe.validation, recipe.seed);
                train = good(kept).0;
                val.extend(good(out).0);
                val.extend(others);
                held = Held::HeldOut;
            } else {
                (val, held) = (train.clone(), Held::Training);
            }
        }
        let measured: &[Sample] = if held == Held::Training { &[] } else { &val };
        let leaks = copies.leaks(&[("train", &train), ("val", measured), ("test", &test)]);
        Partition { train, val, test, held, leaks }
    }

    /// Which item was for what, as a table in CSV: path, split, target, group (copies have the same) and the sha256 of its bytes.
    /// Of more items than a table of this size holds, those that were trained on are left out.
    pub fn table(&self, dataset: &Dataset, survey: &Survey) -> String {
        let measured: &[Sample] = if self.held == Held::Training { &[] } else { &self.val };
        let lines = |split: &str, samples: &[Sample]| {
            let mut table = csv::Writer::from_writer(Vec::new());
            for sample in samples {
                let hash = survey.hashes.get(sample.id as usize).map(hex::encode).unwrap_or_default();
                let (target, group) = (dataset.targets.word(&sample.target), survey.copies.group(sample.id).to_string());
                // Writing into memory fails for want of memory alone, which ends the process.
                let _ = table.write_record([sample.path.as_str(), split, &target, &group, &hash]);
            }
            String::from_utf8(table.into_inner().unwrap_or_default()).unwrap_or_default()
        };
        let held = lines("val", measured) + &lines("test", &self.test);
        let per_line = held.len() / (measured.len() + self.test.len()).max(1) + 160;
        let trained = if per_line * self.train.len() + held.len() > LARGEST_TABLE { String::new() } else { lines("train", &self.train) };
        SPLIT_COLUMNS.to_owned() + &trained + &held
    }
}

/// The largest batch size up to `wanted` that leaves no rest of a single image, and rests as full as they can be:
/// batch norm learns poorly from small batches and not at all from one image.
pub fn even_batches(images: usize, wanted: usize) -> usize {
    let batches = images.div_ceil(wanted.max(1)).max(1);
    let even = images.div_ceil(batches).max(1);
    (2..=even).rev().find(|size| images % size != 1).unwrap_or(even)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_batch_is_left_with_a_single_image() {
        assert_eq!(even_batches(64, 32), 32);
        assert_eq!(even_batches(33, 32), 17);
        assert_eq!(even_batches(63, 32), 32);
        assert_eq!(even_batches(10, 32), 10);
        for images in 2..300 {
            for wanted in 8..40 {
                let size = even_batches(images, wanted);
                assert!(size >= 2 && size <= wanted && images % size != 1, "{images} by {wanted}: {size}");
            }
        }
        assert_eq!(even_batches(1, 8), 1);
        assert_eq!(even_batches(5, 1), 1);
        assert_eq!(even_batches(7, 3), 3, "where no size would do, a rest of one stays and training passes over it");
    }
}
