//! Learned positions of patches, and how they are taken to images of another side: by bicubic interpolation with antialiasing
//! (Keys 1981 with a = -1/2; where positions become fewer the kernel is as much wider), as timm's `resample_abs_pos_embed` and PyTorch's
//! `interpolate(mode="bicubic", antialias=True)` do it.

use candle_core::Tensor;

use crate::nn::error::{Error, Result};
use crate::nn::weights::Weights;

/// Which tensor the positions lie in, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positions {
    /// `(1, prefix + patches, width)`; the patches line after line of a square.
    pub tensor: &'static str,
    /// Tokens before the patches that have a position, too.
    pub prefix: usize,
    /// Side of a patch in pixels.
    pub patch: usize,
}

impl Positions {
    /// The side of the images whose patches these weights know, where they are those of a square.
    pub fn side(&self, weights: &Weights) -> Option<usize> {
        self.side_of(weights.get(self.tensor)?.dims())
    }

    /// The same of positions of this shape.
    pub fn side_of(&self, shape: &[usize]) -> Option<usize> {
        let patches = shape.get(1)?.checked_sub(self.prefix)?;
        let grid = patches.isqrt();
        (grid > 0 && grid * grid == patches).then_some(grid * self.patch)
    }

    /// Takes the positions to images of another side, in a variable of their own.
    ///
    /// # Errors
    /// The positions are not those of a square.
    pub fn resample(&self, weights: &mut Weights, side: usize) -> Result<()> {
        let (Some(from), Some(position)) = (self.side(weights), weights.get(self.tensor)) else {
            return Err(Error::Invalid(format!("`{}` does not hold the positions of a square of patches", self.tensor)));
        };
        let (from, to, device) = (from / self.patch, side / self.patch, position.device().clone());
        if from == to {
            return Ok(());
        }
        let width = position.dim(2)?;
        let values = position.flatten_all()?.to_vec1::<f32>()?;
        let (first, patches) = values.split_at(self.prefix * width);
        let mut resized = first.to_vec();
        resized.extend(interpolate(patches, width, from, to).iter().map(|value| *value as f32));
        let tensor = Tensor::from_vec(resized, (1, self.prefix + to * to, width), &device)?;
        weights.insert(self.tensor.to_owned(), candle_core::Var::from_tensor(&tensor)?);
        Ok(())
    }
}

/// A square of `from` lines of rows `width` long as one of `to` lines.
fn interpolate(rows: &[f32], width: usize, from: usize, to: usize) -> Vec<f64> {
    let taps = taps(from, to);
    // Across each line, then down.
    let mut across = vec![0.0; from * to * width];
    for line in 0..from {
        for (column, taps) in taps.iter().enumerate() {
            let sum = &mut across[(line * to + column) * width..][..width];
            for &(source, weight) in taps {
                let row = &rows[(line * from + source) * width..][..width];
                sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * f64::from(*value));
            }
        }
    }
    let mut down = vec![0.0; to * to * width];
    for (line, taps) in taps.iter().enumerate() {
        let sum = &mut down[line * to * width..][..to * width];
        for &(source, weight) in taps {
            let row = &across[source * to * width..][..to * width];
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
        }
    }
    down
}

/// For each of `to` places the places of `from` that it is made of, with their shares, which add up to one.
fn taps(from: usize, to: usize) -> Vec<Vec<(usize, f64)>> {
    let scale = from as f64 / to as f64;
    let wider = scale.max(1.0);
    let support = 2.0 * wider;
    let place = |at: usize| {
        let centre = scale * (at as f64 + 0.5);
        let first = (centre - support + 0.5).max(0.0) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let taps: Vec<(usize, f64)> = (first..end).map(|source| (source, cubic((source as f64 - centre + 0.5) / wider))).collect();
        let sum: f64 = taps.iter().map(|(_, weight)| weight).sum();
        taps.into_iter().map(|(source, weight)| (source, weight / sum)).collect()
    };
    (0..to).map(place).collect()
}

/// Keys' kernel.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    match x {
        _ if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        _ if x < 2.0 => ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.nn.functional.interpolate(x, mode="bicubic", antialias=True)` of a square of `(7 i^2 + 3 i) % 11`, line after line.
    #[test]
    fn squares_are_resized_as_pytorch_resizes_them() {
        let square = |side: usize| (0..side * side).map(|at| ((7 * at * at + 3 * at) % 11) as f32).collect::<Vec<_>>();
        let fewer = [4.24568, 4.426977, 4.127811, 2.898676, 5.087766, 4.54483, 2.102486, 3.640501, 5.512662];
        let more = [
            -1.281594, 3.83216, 10.528302, 4.735706, 0.118548, 1.687131, 4.323736, 7.634329, 3.826519, 0.916643, 6.226415, 4.947761, 3.0,
            2.865672, 3.0, 6.637003, 4.277122, 1.38806, 5.22494, 8.105745, 6.38875, 3.759927, 0.849057, 6.902705, 11.25881,
        ];
        for (from, to, theirs) in [(5, 3, &fewer[..]), (3, 5, &more[..])] {
            let ours = interpolate(&square(from), 1, from, to);
            assert!(ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-5), "{ours:?}");
        }
    }

    #[test]
    fn shares_add_up_and_what_is_even_stays_so() {
        for (from, to) in [(37, 16), (14, 24), (7, 7), (3, 1), (2, 9)] {
            for taps in taps(from, to) {
                let sum: f64 = taps.iter().map(|(_, weight)| weight).sum();
                assert!((sum - 1.0).abs() < 1e-12 && taps.iter().all(|(source, _)| *source < from));
            }
            let even = interpolate(&vec![0.25; from * from * 3], 3, from, to);
            assert!(even.len() == to * to * 3 && even.iter().all(|value| (value - 0.25).abs() < 1e-9));
        }
        let as_it_was: Vec<f64> = interpolate(&[1.0, 2.0, 3.0, 4.0], 1, 2, 2);
        assert_eq!(as_it_was, [1.0, 2.0, 3.0, 4.0]);
    }
}
