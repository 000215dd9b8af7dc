//! Telling what a model was not trained for: how far an item's features point away from all that the training items' do.
//!
//! The features of each class are brought to length one and gathered around a few centres (spherical k-means, Dhillon and Modha 2001);
//! the score of an item is its cosine distance to the nearest one, `1 - max cos`, in `[0, 2]`: nearest neighbours in the sense of Sun et
//! al. 2022 ("Out-of-Distribution Detection with Deep Nearest Neighbors"), without keeping a row for any single item. An item beyond
//! the threshold is called unknown; it is set so that 95 % of held-out items of the known classes stay below it. Softmax, energy
//! and Mahalanobis distances were tried on the same features and reject far less (`docs/FINETUNE.md`).
//!
//! ```text
//! reject.safetensors   centres (C, D) f32, of length one | threshold (1) f32
//! ```

mod centres;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};

use super::error::{Error, Result};
use super::measures::conformal;
use crate::nn::Weights;
pub use centres::Rows;

/// The file beside the weights.
pub use crate::domain::model_files::REJECT as FILE;
/// Share of the items of known classes that is to stay below the threshold.
const KEPT: f64 = 0.95;
/// Centres a class has, and items there are for each.
const CENTRES_PER_CLASS: usize = 16;
const ITEMS_PER_CENTRE: usize = 4;
/// Centres in all: with 2,048 features they take 8 MiB.
const MOST_CENTRES: usize = 1_024;
/// Training items that centres are made of.
pub const MOST_ITEMS: usize = 2_048;
/// Parts that items are divided into to set a threshold where none are held out.
const FOLDS: usize = 5;
/// What a file may hold: a larger one is not read.
const LARGEST_FILE: u64 = 64 << 20;

/// A bound on how unlike the training items an item may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Reject {
    width: usize,
    /// `(C, width)`, of length one.
    centres: Vec<f32>,
    threshold: f32,
}

/// How a threshold was set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Set {
    /// Share of the items that it was set by which stay below.
    pub kept: f64,
    pub samples: usize,
}

impl Reject {
    /// Of training rows, each with its class, and held-out rows; of none of those, by leaving out a fifth of the training rows at a time.
    /// `None` where there is nothing to measure by.
    pub fn fit(train: &Rows, classes: &[u32], held_out: Option<&Rows>) -> Option<(Reject, Set)> {
        let centres = centres::of_classes(train, classes, most_a_class(classes));
        let mut reject = Reject { width: train.width, centres, threshold: 0.0 };
        if reject.centres.is_empty() {
            return None;
        }
        let scores = match held_out {
            Some(rows) => rows.iter().map(|row| reject.score(row)).collect(),
            None => left_out(train, classes),
        };
        reject.threshold = conformal(&scores, KEPT)?;
        let below = scores.iter().filter(|score| **score <= reject.threshold).count();
        let set = Set { kept: below as f64 / scores.len() as f64, samples: scores.len() };
        Some((reject, set))
    }

    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// How unlike the training items: 0 points the same way as one of the centres, 1 is at a right angle to all.
    pub fn score(&self, features: &[f32]) -> f32 {
        let length = centres::dot(features, features).sqrt().max(1e-12);
        let nearest = self.centres.chunks_exact(self.width).map(|centre| centres::dot(features, centre)).fold(f32::NEG_INFINITY, f32::max);
        // What is no number is like nothing.
        let score = 1.0 - nearest / length;
        if score.is_finite() { score } else { 2.0 }
    }

    /// Whether an item is like those trained on.
    pub fn knows(&self, score: f32) -> bool {
        score <= self.threshold
    }

    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let rows = self.centres.len() / self.width;
        let centres = Tensor::from_vec(self.centres.clone(), (rows, self.width), &Device::Cpu)?;
        let threshold = Tensor::new(&[self.threshold], &Device::Cpu)?;
        let tensors = HashMap::from([("centres".to_owned(), centres), ("threshold".to_owned(), threshold)]);
        Ok(Weights::from_tensors(tensors)?.save(&folder.join(FILE), &[])?)
    }

    /// Reads a folder's; `None` where it has none.
    ///
    /// # Errors
    /// It is not one for features of this width.
    pub fn load(file: &Path, width: usize) -> Result<Option<Reject>> {
        let about = match std::fs::metadata(file) {
            Ok(about) => about,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("cannot read", file)(e)),
        };
        let unfit = || Error::Unsupported(format!("{FILE} does not fit the model; publish the model without it, or fine-tune it again"));
        if about.len() > LARGEST_FILE {
            return Err(unfit());
        }
        let tensors = Weights::load(file)?;
        let get = |name: &str| tensors.get(name).ok_or_else(unfit);
        let (centres, threshold) = (get("centres")?, get("threshold")?);
        if centres.rank() != 2 || centres.dims()[1] != width || centres.dims()[0] == 0 || threshold.dims() != [1] {
            return Err(unfit());
        }
        let threshold = threshold.to_vec1::<f32>()?[0];
        Ok(Some(Reject { width, centres: centres.flatten_all()?.to_vec1()?, threshold }))
    }
}

/// Scores of items by centres of the others.
fn left_out(train: &Rows, classes: &[u32]) -> Vec<f32> {
    let folds = FOLDS.min(train.len());
    let score_fold = |fold: usize| {
        let (inside, others): (Vec<usize>, Vec<usize>) = (0..train.len()).partition(|at| at % folds == fold);
        let known: Vec<u32> = others.iter().map(|at| classes[*at]).collect();
        let centres = centres::of_classes(&train.take(&others), &known, most_a_class(&known));
        let reject = Reject { width: train.width, centres, threshold: 0.0 };
        let scores: Vec<f32> = inside.into_iter().map(|at| reject.score(train.row(at))).collect();
        scores
    };
    if folds < 2 { Vec::new() } else { (0..folds).flat_map(score_fold).collect() }
}

/// As many centres as there is room for in all.
fn most_a_class(classes: &[u32]) -> usize {
    let count = classes.iter().collect::<std::collections::BTreeSet<_>>().len().max(1);
    (MOST_CENTRES / count).clamp(1, CENTRES_PER_CLASS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows around two directions in four dimensions, and one around a third.
    fn rows(direction: usize, from: usize, count: usize) -> Vec<f32> {
        let noise = |n: usize, at: usize| (((n * 37 + at * 101 + n * n) % 97) as f32) / 97.0 * 0.4;
        (from..from + count).flat_map(|n| (0..4).map(move |at| if at == direction { 5.0 } else { noise(n, at) })).collect()
    }

    fn fitted(held_out: bool) -> (Reject, Set) {
        let train = Rows::new(4, [rows(0, 0, 20), rows(1, 0, 20)].concat());
        let classes: Vec<u32> = (0..40).map(|at| at / 20).collect();
        let held = Rows::new(4, [rows(0, 1_000, 7), rows(1, 1_000, 7)].concat());
        Reject::fit(&train, &classes, held_out.then_some(&held)).unwrap()
    }

    #[test]
    fn what_points_elsewhere_is_unknown_however_long_it_is() {
        for held_out in [true, false] {
            let (reject, set) = fitted(held_out);
            assert!(set.kept >= 0.95 && set.samples == if held_out { 14 } else { 40 }, "{set:?}");
            assert!(reject.knows(reject.score(&[50.0, 2.0, 2.0, 2.0])), "the same direction, ten times as far");
            assert!(!reject.knows(reject.score(&[0.1, 0.1, 5.0, 0.1])));
            assert!((reject.score(&[0.0, 0.0, 1.0, 0.0]) - 1.0).abs() < 0.1);
            assert!(!reject.knows(reject.score(&[f32::NAN, 0.0, 0.0, 0.0])));
        }
    }

    #[test]
    fn the_threshold_is_the_place_that_keeps_95_of_100() {
        let scores: Vec<f32> = (1..=99).map(|n| n as f32).collect();
        assert_eq!(conformal(&scores, KEPT), Some(95.0));
        assert_eq!(conformal(&[3.0, 1.0, 2.0], KEPT), Some(3.0), "of few items all are kept");
        assert_eq!(conformal(&[], KEPT), None);
    }

    #[test]
    fn it_is_read_as_it_was_written_and_refused_where_it_does_not_fit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        assert_eq!(Reject::load(&file, 4).unwrap(), None);
        let (reject, _) = fitted(true);
        reject.save(folder.path()).unwrap();
        assert_eq!(Reject::load(&file, 4).unwrap(), Some(reject));
        assert!(Reject::load(&file, 5).is_err());
        std::fs::write(&file, b"junk").unwrap();
        assert!(Reject::load(&file, 4).is_err());
    }
}
