//! Sums over pixels, one per channel, that neither lose digits nor depend on which thread did what.
//!
//! Pixels are cut into blocks by shape alone; each block is summed in f32 and blocks are joined in f64 in order
//! (for variances by Chan, Golub and LeVeque's formula, so that a large mean costs no precision).

use std::sync::{Mutex, PoisonError};

use crate::nn::kernels::simd::vectorised;

/// Floats per block: small enough that a second pass over it finds it in the cache.
const BLOCK_FLOATS: usize = 32 * 1024;

/// Loops over fewer floats than this cost more than their arithmetic; narrow pixels are taken several at once.
const WIDTH: usize = 128;

/// Pixels taken at once.
fn tile(channels: usize) -> usize {
    (WIDTH / channels).max(1)
}

/// Pixels per block: whole tiles.
pub(crate) fn block_rows(channels: usize) -> usize {
    (BLOCK_FLOATS / channels).max(8).next_multiple_of(tile(channels))
}

/// Values per channel, once for each pixel taken at once.
pub(crate) fn tiled(values: &[f32]) -> Vec<f32> {
    values.repeat(tile(values.len()))
}

/// Sums over pixels taken at once, folded to one per channel.
pub(crate) fn folded(sums: &[f32], channels: usize) -> Vec<f32> {
    let mut total = sums[..channels].to_vec();
    for part in sums[channels..].chunks_exact(channels) {
        total.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
    }
    total
}

/// Mean and biased variance of each channel of a map from its pieces, each noted while it is in the cache.
pub(crate) struct Gathering {
    channels: usize,
    /// By where they start.
    parts: Mutex<Vec<(usize, Moments)>>,
}

impl Gathering {
    pub fn new(channels: usize) -> Gathering {
        Gathering { channels, parts: Mutex::default() }
    }

    /// Whole pixels that start at `offset` of the map.
    pub fn note(&self, piece: &[f32], offset: usize) {
        let block = block_rows(self.channels) * self.channels;
        for (index, block_values) in piece.chunks(block).enumerate() {
            let part = (offset + index * block, block_moments(block_values, self.channels));
            self.parts.lock().unwrap_or_else(PoisonError::into_inner).push(part);
        }
    }

    /// Mean and biased variance, joined in the map's order whichever thread was first.
    pub fn moments(self) -> (Vec<f64>, Vec<f64>) {
        let mut parts = self.parts.into_inner().unwrap_or_else(PoisonError::into_inner);
        parts.sort_unstable_by_key(|(offset, _)| *offset);
        joined(parts.into_iter().map(|(_, part)| part).collect(), self.channels)
    }
}

/// Rows, mean and sum of squared distances from it.
type Moments = (usize, Vec<f32>, Vec<f32>);

fn joined(parts: Vec<Moments>, channels: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut mean, mut spread, mut count) = (vec![0.0f64; channels], vec![0.0f64; channels], 0.0f64);
    for (rows, part_mean, part_spread) in parts {
        let rows = rows as f64;
        let total = count + rows;
        let (share, weight) = (rows / total, count * rows / total);
        for channel in 0..channels {
            let delta = f64::from(part_mean[channel]) - mean[channel];
            mean[channel] += delta * share;
            spread[channel] += f64::from(part_spread[channel]) + delta * delta * weight;
        }
        count = total;
    }
    spread.iter_mut().for_each(|value| *value /= count);
    (mean, spread)
}

fn block_moments(x: &[f32], channels: usize) -> Moments {
    let rows = x.len() / channels;
    let width = tile(channels) * channels;
    let mut sums = vec![0.0f32; width];
    vectorised!({
        for pixels in x.chunks(width) {
            sums.iter_mut().zip(pixels).for_each(|(sum, value)| *sum += value);
        }
    });
    let mean: Vec<f32> = folded(&sums, channels).iter().map(|sum| sum / rows as f32).collect();
    let wide = tiled(&mean);
    sums.fill(0.0);
    vectorised!({
        for pixels in x.chunks(width) {
            for ((sum, &value), &mean) in sums.iter_mut().zip(pixels).zip(&wide) {
                let distance = value - mean;
                *sum += distance * distance;
            }
        }
    });
    (rows, mean, folded(&sums, channels))
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
