//! Nearest neighbours by the cosine of features, and what they say about an item.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::train::error::Result;

/// Rows compared with all others at once: bounds the memory of the comparison.
const AT_ONCE: usize = 256;
/// Of a vote's weight, `exp(cosine / T)` (Wu et al. 2018, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination").
const TEMPERATURE: f64 = 0.07;
/// Neighbours that vote, where the smallest class has as many.
const VOTERS: usize = 20;

/// One of the rows that were searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbor {
    pub row: usize,
    /// 1 in the same direction, -1 in the opposite one.
    pub cosine: f32,
}

/// Rows brought to length one, to be searched.
pub struct Directions {
    tensor: Tensor,
    width: usize,
    count: usize,
}

impl Directions {
    /// Of features in rows of `width`; a row of zeros stays one, and is near to nothing.
    ///
    /// # Errors
    /// There is no memory for them.
    pub fn of(rows: &[f32], width: usize) -> Result<Directions> {
        let mut unit = rows.to_vec();
        unit.par_chunks_exact_mut(width.max(1)).for_each(|row| {
            let length = row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
            let by = if length > 0.0 && length.is_finite() { 1.0 / length } else { 0.0 };
            row.iter_mut().for_each(|x| *x = (f64::from(*x) * by) as f32);
        });
        let count = rows.len() / width.max(1);
        Ok(Directions { tensor: Tensor::from_vec(unit, (count, width), &Device::Cpu)?, width, count })
    }

    /// The `most` nearest rows of `self` to each row of `asked`, the nearest first; of equal ones the first. With `but_itself`, `asked`
    /// are these very rows, and none is its own neighbour.
    ///
    /// # Errors
    /// There is no memory for the comparison.
    pub fn nearest(&self, asked: &Directions, most: usize, but_itself: bool) -> Result<Vec<Vec<Neighbor>>> {
        if self.count == 0 || self.width != asked.width {
            return Ok(vec![Vec::new(); asked.count]);
        }
        let across = self.tensor.t()?.contiguous()?;
        let mut found = Vec::with_capacity(asked.count);
        for first in (0..asked.count).step_by(AT_ONCE) {
            let rows = asked.tensor.narrow(0, first, AT_ONCE.min(asked.count - first))?;
            let cosines: Vec<f32> = rows.matmul(&across)?.flatten_all()?.to_vec1()?;
            let of_row = |(at, row): (usize, &[f32])| top(row, most, but_itself.then_some(first + at));
            found.par_extend(cosines.par_chunks_exact(self.count).enumerate().map(of_row));
        }
        Ok(found)
    }
}

fn top(cosines: &[f32], most: usize, but: Option<usize>) -> Vec<Neighbor> {
    let mut all: Vec<Neighbor> = cosines.iter().enumerate().map(|(row, cosine)| Neighbor { row, cosine: *cosine }).collect();
    if let Some(but) = but {
        all.remove(but);
    }
    let order = |a: &Neighbor, b: &Neighbor| b.cosine.total_cmp(&a.cosine).then(a.row.cmp(&b.row));
    if most < all.len() {
        all.select_nth_unstable_by(most, order);
        all.truncate(most);
    }
    all.sort_by(order);
    all
}

/// How many neighbours are asked: no more than the smallest class has, which would be outvoted always.
pub fn voters(smallest_class: usize) -> usize {
    VOTERS.min(smallest_class).max(1)
}

/// How much a neighbour's word counts beside the others'.
fn weight(neighbor: &Neighbor, nearest: f32) -> f64 {
    // From the nearest on, so that no exponential is beyond measure.
    (f64::from(neighbor.cosine - nearest) / TEMPERATURE).exp()
}

/// The class that the neighbours vote for; of equal ones the first.
pub fn vote(neighbors: &[Neighbor], classes: &[u32], count: usize) -> Option<u32> {
    let nearest = neighbors.first()?.cosine;
    let mut votes = vec![0.0; count];
    for neighbor in neighbors {
        *votes.get_mut(*classes.get(neighbor.row)? as usize)? += weight(neighbor, nearest);
    }
    let best = votes.iter().copied().fold(0.0, f64::max);
    votes.iter().position(|votes| *votes == best).map(|class| class as u32)
}

/// The neighbours' mean value, weighed as their votes are.
pub fn mean(neighbors: &[Neighbor], values: &[f64]) -> Option<f64> {
    let nearest = neighbors.first()?.cosine;
    let (mut sum, mut weights) = (0.0, 0.0);
    for neighbor in neighbors {
        let weight = weight(neighbor, nearest);
        sum += weight * values.get(neighbor.row)?;
        weights += weight;
    }
    Some(sum / weights)
}
