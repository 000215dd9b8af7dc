//! How far an item is from known ones: the mean cosine distance of its features to the nearest of theirs. Nothing in it learns
//! by descent; what it knows is a row of features for each known item.
//!
//! Nearest neighbours of pooled features are what Bergman, Cohen and Hoshen 2020 ("Deep Nearest Neighbor Anomaly Detection") score
//! anomalies by; PatchCore (Roth et al. 2022) does the same for the features of patches.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::nn::error::{Error, Result};
use crate::nn::weights::Weights;

/// Known items that are compared with: with 2,048 features they take 32 MiB.
const MOST_ROWS: usize = 4_096;

/// `(B, num_features)` to `(B, 1)`: 0 is one of the known items, 1 is at a right angle to them all.
#[derive(Debug, Clone, PartialEq)]
pub struct Distance {
    width: usize,
    /// `(items, width)`, of length one.
    known: Vec<f32>,
    neighbours: usize,
}

impl Distance {
    /// To the `neighbours` nearest of these rows `(items, width)`; where there are too many, every n-th is known.
    ///
    /// # Errors
    /// There is not one row that has a direction.
    pub fn new(width: usize, rows: &[f32], neighbours: usize) -> Result<Distance> {
        let width = width.max(1);
        let every = (rows.len() / width).div_ceil(MOST_ROWS).max(1);
        let known: Vec<f32> = rows.chunks_exact(width).step_by(every).filter_map(unit).flatten().collect();
        if known.is_empty() || neighbours == 0 {
            return Err(Error::Invalid("there are no known items to measure distances to".into()));
        }
        Ok(Distance { width, known, neighbours })
    }

    pub fn width(&self) -> usize {
        self.width
    }

    /// Known items.
    pub fn items(&self) -> usize {
        self.known.len() / self.width
    }

    /// Of the features of one item. What has no direction is like nothing.
    pub fn of(&self, features: &[f32]) -> f32 {
        unit(features).map_or(2.0, |row| self.nearest(&row, None))
    }

    /// What each known item would be if it were not known; of one alone nothing can be said.
    pub fn left_out(&self) -> Vec<f32> {
        let one = |at: usize| self.nearest(&self.known[at * self.width..(at + 1) * self.width], Some(at));
        if self.items() < 2 { Vec::new() } else { (0..self.items()).into_par_iter().map(one).collect() }
    }

    fn nearest(&self, row: &[f32], without: Option<usize>) -> f32 {
        let known = self.known.chunks_exact(self.width).enumerate().filter(|(at, _)| Some(*at) != without);
        let mut distances: Vec<f32> = known.map(|(_, known)| 1.0 - dot(row, known)).collect();
        let count = self.neighbours.min(distances.len()).max(1);
        if distances.len() > count {
            distances.select_nth_unstable_by(count - 1, f32::total_cmp);
            distances.truncate(count);
        }
        // In order, so that the sum has the same bits whatever the selection left.
        distances.sort_unstable_by(f32::total_cmp);
        distances.iter().sum::<f32>() / count as f32
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let rows = x.detach().to_vec2::<f32>()?;
        let distances: Vec<f32> = rows.par_iter().map(|row| self.of(row)).collect();
        let count = distances.len();
        Ok(Tensor::from_vec(distances, (count, 1), &Device::Cpu)?.to_device(x.device())?)
    }

    /// What a file holds of it: `known (items, width)`, `neighbours (1)`.
    pub fn tensors(&self) -> Result<Weights> {
        let known = Tensor::from_slice(&self.known, (self.items(), self.width), &Device::Cpu)?;
        let neighbours = Tensor::new(&[self.neighbours as f32], &Device::Cpu)?;
        Weights::from_tensors(HashMap::from([("known".to_owned(), known), ("neighbours".to_owned(), neighbours)]))
    }

    /// What [`Self::tensors`] wrote, for features of this width; `None` where it is not that.
    pub fn from_tensors(tensors: &Weights, width: usize) -> Option<Distance> {
        let (known, neighbours) = (tensors.get("known")?, tensors.get("neighbours")?);
        let fits = matches!(known.dims(), [items, found] if *found == width && *items > 0) && neighbours.dims() == [1];
        let known = known.flatten_all().and_then(|known| known.to_vec1::<f32>()).ok().filter(|_| fits)?;
        let neighbours = neighbours.to_vec1::<f32>().ok()?[0];
        let sound = (1.0..=1_000.0).contains(&neighbours) && known.iter().all(|value| value.is_finite());
        sound.then_some(Distance { width, known, neighbours: neighbours as usize })
    }
}

/// Of length one; `None` of what has none.
fn unit(row: &[f32]) -> Option<Vec<f32>> {
    let length = dot(row, row).sqrt();
    (length.is_finite() && length > 0.0).then(|| row.iter().map(|value| value / length).collect())
}

/// In several sums side by side, which the processor adds at once.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; 16];
    let (a, b) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a.0.iter().zip(b.0) {
        for lane in 0..16 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a.1.iter().zip(b.1).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_to_the_nearest_directions() {
        let head = Distance::new(2, &[2.0, 0.0, 0.0, 3.0, 0.0, 0.0, 1.0, 1.0], 1).unwrap();
        assert_eq!((head.items(), head.width()), (3, 2), "what has no direction is not known");
        assert!(head.of(&[9.0, 0.0]).abs() < 1e-6 && (head.of(&[-1.0, 0.0]) - 1.0).abs() < 1e-6);
        assert_eq!((head.of(&[0.0, 0.0]), head.of(&[f32::NAN, 1.0])), (2.0, 2.0));
        let side = 1.0 - 0.5f32.sqrt();
        assert!(head.left_out().iter().all(|distance| (distance - side).abs() < 1e-6), "{:?}", head.left_out());
        let two = Distance::new(2, &[1.0, 0.0, 0.0, 1.0, -1.0, 0.0], 2).unwrap();
        assert!((two.of(&[1.0, 0.0]) - 0.5).abs() < 1e-6, "the mean of 0 and 1");
        assert!(Distance::new(2, &[], 1).is_err() && Distance::new(2, &[1.0, 0.0], 0).is_err());
        assert!(Distance::new(2, &[1.0, 0.0], 3).unwrap().left_out().is_empty());
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let head = Distance::new(3, &[1.0, 2.0, 2.0, 0.0, 3.0, 4.0], 2).unwrap();
        let written = head.tensors().unwrap();
        assert_eq!(Distance::from_tensors(&written, 3).as_ref(), Some(&head));
        assert_eq!(Distance::from_tensors(&written, 4), None);
        let x = Tensor::new(&[[1f32, 2.0, 2.0], [0.0, 3.0, 4.0]], &Device::Cpu).unwrap();
        let outputs = head.forward(&x).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(outputs, [[head.of(&[1.0, 2.0, 2.0])], [head.of(&[0.0, 3.0, 4.0])]]);
    }
}
