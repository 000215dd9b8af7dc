//! What the nearest neighbours of each item are, by the angle between their features: how their labels vote, and how far they are.

use gemm::Parallelism;
use rand::SeedableRng as _;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

use super::Items;
use crate::nn::kernels::matmul::{View, multiply};
use crate::train::error::Result;

/// Neighbours that vote.
const NEAREST: usize = 10;
/// Items that neighbours are looked for among; of more, so many drawn by chance.
const AMONG: usize = 4_096;
/// Items whose neighbours are looked for at once.
const BLOCK: usize = 256;
/// Beyond so many scaled median deviations an item is far from all others (Iglewicz and Hoaglin 1993), and at least so many times
/// as far as is usual.
const FAR: f32 = 3.5;
const NORMAL: f32 = 1.4826;
const AT_LEAST: f32 = 1.25;

/// The nearest neighbours of each item.
#[derive(Debug, Clone, Default)]
pub struct Near {
    /// Their labels, item by item.
    votes: Vec<Vec<u32>>,
    /// The mean distance to them.
    distances: Vec<f32>,
}

/// Neighbours of standardised items, none of them the item itself or a copy of it.
///
/// # Errors
/// Those of `tick`.
pub fn neighbours(items: &Items, seed: u64, tick: &mut dyn FnMut() -> Result<()>) -> Result<Near> {
    let (count, width) = (items.labels.len(), items.width);
    let lengths: Vec<f32> = items.rows.chunks_exact(width).map(|row| row.iter().map(|value| value * value).sum::<f32>().sqrt()).collect();
    let mut among: Vec<usize> = index::sample(&mut ChaCha8Rng::seed_from_u64(seed), count, AMONG.min(count)).into_vec();
    among.sort_unstable();
    let mut known = Vec::with_capacity(among.len() * width);
    among.iter().for_each(|item| known.extend(&items.rows[item * width..(item + 1) * width]));
    let mut near = Near::default();
    let mut products = vec![0.0; BLOCK * among.len()];
    for first in (0..count).step_by(BLOCK) {
        tick()?;
        let block = BLOCK.min(count - first);
        let (left, right) = (View::rows(&items.rows[first * width..], width), View::rows(&known, width).transposed());
        multiply(&mut products, among.len(), [block, among.len(), width], left, right, false, Parallelism::Rayon(0));
        for (item, row) in (first..first + block).zip(products.chunks_exact(among.len())) {
            near.add(items, &lengths, item, among.iter().copied().zip(row.iter().copied()));
        }
    }
    Ok(near)
}

impl Near {
    /// Adds the nearest of these, which come with their products with the item.
    fn add(&mut self, items: &Items, lengths: &[f32], item: usize, products: impl Iterator<Item = (usize, f32)>) {
        let cosine = |other: usize, product: f32| product / (lengths[item] * lengths[other]).max(1e-12);
        let others = products.filter(|(other, _)| items.groups[*other] != items.groups[item]);
        let mut found: Vec<(f32, usize, f32)> = others.map(|(other, product)| (cosine(other, product), other, product)).collect();
        let nearest = NEAREST.min(found.len());
        if nearest < found.len() {
            found.select_nth_unstable_by(nearest, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        }
        found.truncate(nearest);
        self.votes.push(found.iter().map(|(_, other, _)| items.labels[*other]).collect());
        let apart =
            |(_, other, product): &(f32, usize, f32)| (lengths[item].powi(2) + lengths[*other].powi(2) - 2.0 * product).max(0.0).sqrt();
        self.distances.push(found.iter().map(apart).sum::<f32>() / nearest.max(1) as f32);
    }

    /// The votes for each class about one item.
    pub(super) fn votes(&self, item: usize, classes: usize) -> Vec<f32> {
        let mut votes = vec![0.0; classes];
        self.votes[item].iter().for_each(|class| votes[*class as usize] += 1.0);
        votes
    }

    /// Items that are far from their nearest neighbours, the farthest first: which, and how many times the usual distance.
    pub(super) fn outliers(&self) -> Vec<(usize, f32)> {
        let middle = median(self.distances.clone());
        let spread = NORMAL * median(self.distances.iter().map(|far| (far - middle).abs()).collect());
        let beyond = (middle + FAR * spread).max(AT_LEAST * middle);
        let far = self.distances.iter().enumerate().filter(|(_, far)| **far > beyond && middle > 0.0);
        let mut far: Vec<(usize, f32)> = far.map(|(item, far)| (item, far / middle)).collect();
        far.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        far
    }
}

fn median(mut values: Vec<f32>) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}
