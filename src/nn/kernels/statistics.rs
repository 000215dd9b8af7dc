//! Sums over pixels, one per channel, that neither lose digits nor depend on which thread did what.
//!
//! Pixels are cut into blocks by shape alone; each block is summed in f32 and blocks are joined in f64 in order
//! (for variances by Chan, Golub and LeVeque's formula, so that a large mean costs no precision).

use rayon::prelude::*;

use super::simd::vectorised;

/// Floats per block: small enough that a second pass over it finds it in the cache.
const BLOCK_FLOATS: usize = 32 * 1024;

/// Pixels per block.
pub(crate) fn block_rows(channels: usize) -> usize {
    (BLOCK_FLOATS / channels).max(8)
}

/// Mean and biased variance of each channel of `x (rows, channels)`.
pub(crate) fn moments(x: &[f32], channels: usize) -> (Vec<f64>, Vec<f64>) {
    let block = block_rows(channels) * channels;
    let parts: Vec<(usize, Vec<f32>, Vec<f32>)> = x.par_chunks(block).map(|part| block_moments(part, channels)).collect();
    let (mut mean, mut spread, mut count) = (vec![0.0f64; channels], vec![0.0f64; channels], 0.0f64);
    for (rows, part_mean, part_spread) in parts {
        let rows = rows as f64;
        let total = count + rows;
        for channel in 0..channels {
            let delta = f64::from(part_mean[channel]) - mean[channel];
            mean[channel] += delta * rows / total;
            spread[channel] += f64::from(part_spread[channel]) + delta * delta * count * rows / total;
        }
        count = total;
    }
    spread.iter_mut().for_each(|value| *value /= count);
    (mean, spread)
}

/// Rows, mean and sum of squared distances from it.
fn block_moments(x: &[f32], channels: usize) -> (usize, Vec<f32>, Vec<f32>) {
    let rows = x.len() / channels;
    let (mut mean, mut spread) = (vec![0.0f32; channels], vec![0.0f32; channels]);
    vectorised(|| {
        for pixel in x.chunks_exact(channels) {
            mean.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
        }
        mean.iter_mut().for_each(|sum| *sum /= rows as f32);
        for pixel in x.chunks_exact(channels) {
            for ((sum, &value), &mean) in spread.iter_mut().zip(pixel).zip(&mean) {
                let distance = value - mean;
                *sum += distance * distance;
            }
        }
    });
    (rows, mean, spread)
}

/// Joins blocks' pairs of sums in order.
pub(crate) fn add_pairs(parts: Vec<(Vec<f32>, Vec<f32>)>, channels: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut first, mut second) = (vec![0.0f64; channels], vec![0.0f64; channels]);
    for (a, b) in parts {
        for channel in 0..channels {
            first[channel] += f64::from(a[channel]);
            second[channel] += f64::from(b[channel]);
        }
    }
    (first, second)
}
