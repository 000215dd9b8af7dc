//! LogME: how probable the targets are if a linear layer over the features makes them, with all layers weighed by how likely they
//! are (You et al. 2021, "LogME: Practical Assessment of Pre-trained Models for Transfer Learning").

use std::f64::consts::TAU;

use super::spectrum::Spectrum;
use crate::train::error::Result;

/// The two precisions settle within a few rounds; the paper's program stops here.
const ROUNDS: usize = 11;
const SETTLED: f64 = 1e-3;
/// Keeps a fit without any error from dividing by nothing.
const TINY: f64 = 1e-5;

/// The mean over the columns of targets (rows of `columns`) of the logarithm of the evidence, for each item. More is better; its
/// zero means nothing.
///
/// # Errors
/// There is no memory for the products.
pub fn log_evidence(spectrum: &Spectrum, targets: &[f64], columns: usize) -> Result<f64> {
    let along = spectrum.project(targets, columns)?;
    let of = |column: usize| {
        let squares: f64 = targets.iter().skip(column).step_by(columns).map(|y| y * y).sum();
        let x: Vec<f64> = along.iter().skip(column).step_by(columns).map(|x| x * x).collect();
        evidence(&spectrum.sigma, &x, squares, spectrum.items as f64)
    };
    Ok((0..columns).map(of).sum::<f64>() / columns.max(1) as f64)
}

/// Of one column of targets whose squares sum up to `squares`, and whose squared parts along the singular vectors are `x`.
///
/// Directions in which the features have no extent take no part: their prior and their posterior are the same. (The paper's program
/// counts the prior of all features, but the posterior of those within the rank only, which rewards width where there are fewer items
/// than features.)
fn evidence(sigma: &[f64], x: &[f64], squares: f64, items: f64) -> f64 {
    let beyond = (squares - x.iter().sum::<f64>()).max(0.0);
    let rank = sigma.len() as f64;
    let (mut ratio, mut found) = (1.0, 0.0);
    for _ in 0..ROUNDS {
        let pairs = || sigma.iter().zip(x);
        let gamma: f64 = sigma.iter().map(|s| s / (s + ratio)).sum();
        let weights: f64 = pairs().map(|(s, x)| s * x / ((ratio + s) * (ratio + s))).sum();
        let errors = beyond + pairs().map(|(s, x)| x / ((1.0 + s / ratio) * (1.0 + s / ratio))).sum::<f64>();
        let alpha = gamma / (weights + TINY);
        let beta = (items - gamma).max(TINY) / (errors + TINY);
        let spread: f64 = sigma.iter().map(|s| (alpha + beta * s).max(f64::MIN_POSITIVE).ln()).sum();
        let prior = if rank > 0.0 { rank * alpha.max(f64::MIN_POSITIVE).ln() } else { 0.0 };
        found = 0.5 * (prior + items * (beta.ln() - TAU.ln()) - spread - beta * errors - alpha * weights) / items.max(1.0);
        let next = (alpha / beta).max(f64::MIN_POSITIVE);
        let moved = (next - ratio).abs() / ratio;
        ratio = next;
        if moved <= SETTLED {
            break;
        }
    }
    found
}
