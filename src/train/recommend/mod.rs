//! How well the features of a frozen backbone suit a data set, told without training: three scores of its features on a sample of the
//! items, and the order in which several backbones stand by them.
//!
//! - `spectrum`: one decomposition of the features, for two of the scores.
//! - [`logme`]: how probable the targets are given the features.
//! - [`ridge`]: a linear fit, judged on each item by the fit to the others.
//! - [`knn`]: what the nearest other items say.
//! - `distances`: of anomalies, how well distances to good items tell them.
//! - [`rank`]: from scores to an order.
//! - [`panel`]: several backbones on the same items, what each costs, and their places; `sample` draws the items.
//! - [`race`]: short fine-tunes of the best few.

mod cost;
mod distances;
pub mod knn;
pub mod logme;
pub mod panel;
pub mod race;
pub mod rank;
pub mod ridge;
mod sample;
pub mod spectrum;

use self::knn::Directions;
use self::spectrum::Spectrum;
use super::error::Result;

/// What is to be said of the items of a sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Truth {
    /// A class for each, and how many there are.
    Classes(Vec<u32>, usize),
    /// Numbers, in rows of so many.
    Values(Vec<f64>, usize),
}

/// What the features of one backbone are worth. Of classes, the share of items said rightly; of numbers, R². More is better.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    pub logme: f64,
    pub knn: f64,
    pub ridge: f64,
    /// For each item how well the ridge fit to the others does: 1 or 0 for classes, minus the squared error in units of the targets'
    /// variance for numbers. Two backbones are compared by them, item by item.
    pub merits: Vec<f64>,
}

impl Truth {
    /// In rows of so many numbers: zeros and a one for classes; numbers at zero mean and unit variance.
    fn columns(&self) -> (Vec<f64>, usize) {
        match self {
            Truth::Classes(classes, count) => {
                let mut targets = vec![0.0; classes.len() * count];
                classes.iter().enumerate().for_each(|(item, class)| targets[item * count + *class as usize] = 1.0);
                (targets, *count)
            }
            Truth::Values(values, columns) => (standardised(values, *columns), *columns),
        }
    }

    fn smallest_class(&self) -> usize {
        match self {
            Truth::Classes(classes, count) => {
                let mut sizes = vec![0usize; *count];
                classes.iter().for_each(|class| sizes[*class as usize] += 1);
                sizes.into_iter().filter(|size| *size > 0).min().unwrap_or(0)
            }
            Truth::Values(..) => usize::MAX,
        }
    }
}

fn standardised(values: &[f64], columns: usize) -> Vec<f64> {
    let items = (values.len() / columns.max(1)).max(1) as f64;
    let mut scaled = values.to_vec();
    for column in 0..columns {
        let of = || values.iter().skip(column).step_by(columns);
        let mean = of().sum::<f64>() / items;
        let variance = of().map(|y| (y - mean) * (y - mean)).sum::<f64>() / items;
        let by = if variance > 0.0 { 1.0 / variance.sqrt() } else { 0.0 };
        scaled.iter_mut().skip(column).step_by(columns).for_each(|y| *y = (*y - mean) * by);
    }
    scaled
}

/// Scores features in rows of `width`, one for each item of `truth`.
///
/// # Errors
/// There is no memory for the products.
pub fn score(rows: &[f32], width: usize, truth: &Truth) -> Result<Scores> {
    let (targets, columns) = truth.columns();
    let spectrum = Spectrum::of_centred(rows, width)?;
    let fit = ridge::leave_one_out(&spectrum, &targets, columns)?;
    let directions = Directions::of(rows, width)?;
    let neighbors = directions.nearest(&directions, knn::voters(truth.smallest_class()), true)?;
    let merits = merits(truth, &fit.predictions, &targets, columns);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let (ridge, knn) = match truth {
        Truth::Classes(classes, count) => {
            let said = neighbors.iter().map(|near| knn::vote(near, classes, *count));
            let right = said.zip(classes).filter(|(said, class)| *said == Some(**class)).count();
            (mean(&merits), right as f64 / classes.len().max(1) as f64)
        }
        Truth::Values(..) => {
            let column = |at: usize| targets.iter().skip(at).step_by(columns).copied().collect::<Vec<f64>>();
            let r2 = |values: &[f64]| {
                let said = neighbors.iter().map(|near| knn::mean(near, values).unwrap_or(0.0));
                1.0 - said.zip(values).map(|(said, value)| (said - value) * (said - value)).sum::<f64>() / values.len().max(1) as f64
            };
            let knn: Vec<f64> = (0..columns).map(|at| r2(&column(at))).collect();
            (1.0 + mean(&merits), mean(&knn))
        }
    };
    let logme = logme::log_evidence(&spectrum, &standardised_or_centred(truth, targets, columns), columns)?;
    Ok(Scores { logme, knn, ridge, merits })
}

/// Classes lose their mean only: with unit variance a rare class would weigh as much as a common one.
fn standardised_or_centred(truth: &Truth, mut targets: Vec<f64>, columns: usize) -> Vec<f64> {
    if matches!(truth, Truth::Classes(..)) {
        let items = (targets.len() / columns.max(1)).max(1) as f64;
        for column in 0..columns {
            let mean = targets.iter().skip(column).step_by(columns).sum::<f64>() / items;
            targets.iter_mut().skip(column).step_by(columns).for_each(|y| *y -= mean);
        }
    }
    targets
}

fn merits(truth: &Truth, predictions: &[f64], targets: &[f64], columns: usize) -> Vec<f64> {
    let rows = || predictions.chunks_exact(columns.max(1));
    match truth {
        Truth::Classes(classes, _) => {
            let best = |row: &[f64]| (0..row.len()).fold(0, |best, at| if row[at] > row[best] { at } else { best });
            rows().zip(classes).map(|(row, class)| f64::from(u8::from(best(row) == *class as usize))).collect()
        }
        Truth::Values(..) => {
            let error = |(row, targets): (&[f64], &[f64])| row.iter().zip(targets).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
            rows().zip(targets.chunks_exact(columns.max(1))).map(|pair| -error(pair) / columns as f64).collect()
        }
    }
}

/// By how much `first` is ahead of `other` on the same items, and the standard error of that.
pub fn ahead(first: &[f64], other: &[f64]) -> (f64, f64) {
    let apart: Vec<f64> = first.iter().zip(other).map(|(a, b)| a - b).collect();
    let count = apart.len().max(1) as f64;
    let mean = apart.iter().sum::<f64>() / count;
    let variance = apart.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / (count - 1.0).max(1.0);
    (mean, (variance / count).sqrt())
}

#[cfg(test)]
#[path = "worked_tests.rs"]
mod tests;
