//! Ridge regression of the targets on the features, judged on each item by the fit to all others, which one decomposition gives for
//! every strength at once (Golub, Heath and Wahba 1979).

use candle_core::{Device, Tensor};

use super::spectrum::Spectrum;
use crate::train::error::Result;

/// Strengths, as shares of the mean squared singular value.
const STRENGTHS: [f64; 10] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3];

/// What the fit to all other items says about each.
pub struct LeftOut {
    /// In rows of as many columns as the targets.
    pub predictions: Vec<f64>,
    /// The mean squared error, over items and columns.
    pub squared_error: f64,
}

/// Of the strength with the least squared error; `targets` in rows of `columns`. A fit has an intercept of its own, so `spectrum` is
/// that of centred features.
///
/// # Errors
/// There is no memory for the products.
pub fn leave_one_out(spectrum: &Spectrum, targets: &[f64], columns: usize) -> Result<LeftOut> {
    let items = spectrum.items;
    let mut mean = vec![0.0; columns];
    targets.chunks_exact(columns).for_each(|row| row.iter().zip(&mut mean).for_each(|(y, sum)| *sum += y / items as f64));
    let centred: Vec<f64> = targets.chunks_exact(columns).flat_map(|row| row.iter().zip(&mean).map(|(y, mean)| y - mean)).collect();
    let along = spectrum.project(&centred, columns)?;
    let unit = spectrum.sigma.iter().sum::<f64>() / spectrum.rank().max(1) as f64;
    let mut best: Option<LeftOut> = None;
    for strength in STRENGTHS {
        let kept: Vec<f64> = spectrum.sigma.iter().map(|sigma| sigma / (sigma + strength * unit)).collect();
        let found = without_each(spectrum, (&kept, &along), (targets, &centred), columns)?;
        if best.as_ref().is_none_or(|best| found.squared_error < best.squared_error) {
            best = Some(found);
        }
    }
    Ok(best.unwrap_or(LeftOut { predictions: Vec::new(), squared_error: f64::INFINITY }))
}

/// `kept` is how much of each direction a strength leaves, `along` the targets' parts in them.
fn without_each(
    spectrum: &Spectrum,
    (kept, along): (&[f64], &[f64]),
    (targets, centred): (&[f64], &[f64]),
    columns: usize,
) -> Result<LeftOut> {
    let (items, rank) = (spectrum.items, spectrum.rank());
    let fitted = match rank {
        0 => vec![0.0; items * columns],
        _ => {
            let shrunk: Vec<f64> =
                along.chunks_exact(columns).zip(kept).flat_map(|(row, kept)| row.iter().map(move |x| x * kept)).collect();
            let left = Tensor::from_slice(&spectrum.left, (items, rank), &Device::Cpu)?;
            left.matmul(&Tensor::from_vec(shrunk, (rank, columns), &Device::Cpu)?)?.flatten_all()?.to_vec1()?
        }
    };
    let mut predictions = Vec::with_capacity(targets.len());
    let mut squares = 0.0;
    for item in 0..items {
        let row = &spectrum.left[item * rank..(item + 1) * rank];
        let own = 1.0 / items as f64 + row.iter().zip(kept).map(|(u, kept)| u * u * kept).sum::<f64>();
        // An item that the fit follows wholly says nothing about the others.
        let others = (1.0 - own).max(1e-9);
        for at in item * columns..(item + 1) * columns {
            let error = (centred[at] - fitted[at]) / others;
            squares += error * error;
            predictions.push(targets[at] - error);
        }
    }
    Ok(LeftOut { predictions, squared_error: squares / targets.len().max(1) as f64 })
}
