//! The left singular vectors of features, from the eigenvectors of the smaller of their two squares: one decomposition serves LogME
//! and ridge.

use candle_core::{Device, Tensor};

use crate::train::eigen::symmetric;
use crate::train::error::Result;

/// What is smaller than this share of the largest squared singular value is rounding of 32-bit features.
const FLOOR: f64 = 1e-10;

/// `features = U S V'`, as far as `features` has rank.
pub struct Spectrum {
    /// Squared singular values, the largest first.
    pub sigma: Vec<f64>,
    /// `U`: one row per item, one column per value of `sigma`.
    pub left: Vec<f64>,
    pub items: usize,
}

impl Spectrum {
    /// Of features in rows of `width`, which are brought to zero mean: what fits them has an intercept of its own.
    ///
    /// # Errors
    /// There is no memory for the products.
    pub fn of_centred(rows: &[f32], width: usize) -> Result<Spectrum> {
        let items = rows.len() / width.max(1);
        Spectrum::of(&centred(rows, width), items, width)
    }

    /// Of features as they are.
    ///
    /// # Errors
    /// There is no memory for the products.
    pub fn of(rows: &[f64], items: usize, width: usize) -> Result<Spectrum> {
        let features = Tensor::from_slice(rows, (items, width), &Device::Cpu)?;
        let tall = items > width;
        let gram = if tall { features.t()?.contiguous()?.matmul(&features)? } else { features.matmul(&features.t()?.contiguous()?)? };
        let side = items.min(width);
        let (values, vectors) = symmetric(gram.flatten_all()?.to_vec1()?, side);
        let most = values.iter().copied().fold(0.0, f64::max);
        let mut kept: Vec<usize> = (0..side).filter(|at| values[*at] > FLOOR * most).collect();
        kept.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
        let sigma: Vec<f64> = kept.iter().map(|at| values[*at]).collect();
        let chosen: Vec<f64> =
            (0..side).flat_map(|row| kept.iter().map(move |at| (*at, row))).map(|(at, row)| vectors[at * side + row]).collect();
        if !tall || kept.is_empty() {
            return Ok(Spectrum { sigma, left: chosen, items });
        }
        let right = Tensor::from_vec(chosen, (width, kept.len()), &Device::Cpu)?;
        let mut left: Vec<f64> = features.matmul(&right)?.flatten_all()?.to_vec1()?;
        let inverse: Vec<f64> = sigma.iter().map(|sigma| 1.0 / sigma.sqrt()).collect();
        left.chunks_exact_mut(sigma.len()).for_each(|row| row.iter_mut().zip(&inverse).for_each(|(u, by)| *u *= by));
        Ok(Spectrum { sigma, left, items })
    }

    pub fn rank(&self) -> usize {
        self.sigma.len()
    }

    /// `U'y` for each column of targets in rows of `columns`.
    ///
    /// # Errors
    /// There is no memory for the product.
    pub fn project(&self, targets: &[f64], columns: usize) -> Result<Vec<f64>> {
        if self.rank() == 0 {
            return Ok(Vec::new());
        }
        let left = Tensor::from_slice(&self.left, (self.items, self.rank()), &Device::Cpu)?;
        let targets = Tensor::from_slice(targets, (self.items, columns), &Device::Cpu)?;
        Ok(left.t()?.contiguous()?.matmul(&targets)?.flatten_all()?.to_vec1()?)
    }
}

fn centred(rows: &[f32], width: usize) -> Vec<f64> {
    let mut mean = vec![0.0f64; width];
    rows.chunks_exact(width.max(1)).for_each(|row| row.iter().zip(&mut mean).for_each(|(x, sum)| *sum += f64::from(*x)));
    let items = (rows.len() / width.max(1)).max(1) as f64;
    mean.iter_mut().for_each(|sum| *sum /= items);
    rows.chunks_exact(width.max(1)).flat_map(|row| row.iter().zip(&mean).map(|(x, mean)| f64::from(*x) - mean)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look like noise and are the same everywhere.
    fn noise(count: usize) -> Vec<f64> {
        let mut state = 7u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / (1u64 << 30) as f64 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn features_wide_and_tall_come_back_from_their_parts_and_lose_what_is_rounding() {
        for (items, width) in [(6, 20), (20, 6)] {
            let mut rows: Vec<f32> = noise(items * width).into_iter().map(|x| x as f32).collect();
            // One column is another one twice, so the rank is one less than the width.
            rows.chunks_exact_mut(width).for_each(|row| row[1] = 2.0 * row[0]);
            let spectrum = Spectrum::of_centred(&rows, width).unwrap();
            assert_eq!(spectrum.rank(), 5, "{items} x {width}: centring costs the wide one a rank");
            assert!(spectrum.sigma.windows(2).all(|pair| pair[0] >= pair[1]));
            let total: f64 = centred(&rows, width).iter().map(|x| x * x).sum();
            assert!((spectrum.sigma.iter().sum::<f64>() - total).abs() < 1e-9 * total);
            let dot = |a: usize, b: usize| (0..items).map(|i| spectrum.left[i * 5 + a] * spectrum.left[i * 5 + b]).sum::<f64>();
            assert!((dot(0, 0) - 1.0).abs() < 1e-9 && dot(0, 4).abs() < 1e-9 && (dot(4, 4) - 1.0).abs() < 1e-9);
        }
        let same = Spectrum::of_centred(&[1.0; 12], 3).unwrap();
        assert_eq!(same.rank(), 0, "features that say nothing");
    }
}
