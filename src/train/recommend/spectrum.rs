//! Eigenvalues and eigenvectors of a symmetric matrix, and from them the left singular vectors of features: one decomposition
//! serves LogME and ridge.
//!
//! Householder's reduction to a tridiagonal matrix, then QR steps with Wilkinson's shift (Golub and Van Loan, "Matrix
//! Computations", 8.3). What both do to the basis is done to its rows eight at a time, on all threads; a row needs no other.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::train::error::Result;

/// Rows of the basis that are worked on together.
const LANES: usize = 8;
/// Turns of the basis that are collected before they are made.
const PENDING: usize = 1 << 18;
/// QR steps for each eigenvalue; two are usual.
const MOST_STEPS: usize = 60;
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
        let (values, basis) = eigen(gram.flatten_all()?.to_vec1()?, side);
        let most = values.iter().copied().fold(0.0, f64::max);
        let mut kept: Vec<usize> = (0..side).filter(|at| values[*at] > FLOOR * most).collect();
        kept.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
        let sigma: Vec<f64> = kept.iter().map(|at| values[*at]).collect();
        let chosen: Vec<f64> = basis.chunks_exact(side.max(1)).flat_map(|row| kept.iter().map(|at| row[*at])).collect();
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

/// A reflection `1 - scale v v'`, of the coordinates from `first` on.
struct Reflection {
    first: usize,
    vector: Vec<f64>,
    scale: f64,
}

/// Turns the coordinates `at` and `at + 1`.
struct Turn {
    at: usize,
    cosine: f64,
    sine: f64,
}

/// Eigenvalues of a symmetric matrix, in no order, and its eigenvectors: column `k` of the rows belongs to value `k`.
pub fn eigen(matrix: Vec<f64>, side: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut diagonal, mut beside, reflections) = tridiagonal(matrix, side);
    let mut blocks: Vec<Vec<[f64; LANES]>> = (0..side.div_ceil(LANES)).map(|block| identity(block, side)).collect();
    blocks.par_iter_mut().for_each(|block| reflections.iter().for_each(|reflection| reflect(block, reflection)));
    diagonalise(&mut diagonal, &mut beside, |turns| blocks.par_iter_mut().for_each(|block| turn(block, turns)));
    let mut basis = vec![0.0; side * side];
    for (block, rows) in blocks.iter().zip(basis.chunks_mut((LANES * side).max(1))) {
        for (lane, row) in rows.chunks_exact_mut(side).enumerate() {
            row.iter_mut().zip(block).for_each(|(to, from)| *to = from[lane]);
        }
    }
    (diagonal, basis)
}

/// Eight rows of the identity, by column.
fn identity(block: usize, side: usize) -> Vec<[f64; LANES]> {
    let mut rows = vec![[0.0; LANES]; side];
    (0..LANES).filter(|lane| block * LANES + lane < side).for_each(|lane| rows[block * LANES + lane][lane] = 1.0);
    rows
}

fn reflect(block: &mut [[f64; LANES]], reflection: &Reflection) {
    let columns = &mut block[reflection.first..];
    let mut along = [0.0; LANES];
    for (column, v) in columns.iter().zip(&reflection.vector) {
        along.iter_mut().zip(column).for_each(|(sum, x)| *sum += v * x);
    }
    along.iter_mut().for_each(|sum| *sum *= reflection.scale);
    for (column, v) in columns.iter_mut().zip(&reflection.vector) {
        column.iter_mut().zip(&along).for_each(|(x, sum)| *x -= v * sum);
    }
}

fn turn(block: &mut [[f64; LANES]], turns: &[Turn]) {
    for Turn { at, cosine, sine } in turns {
        let (low, high) = (block[*at], block[*at + 1]);
        for lane in 0..LANES {
            block[*at][lane] = cosine * low[lane] + sine * high[lane];
            block[*at + 1][lane] = cosine * high[lane] - sine * low[lane];
        }
    }
}

/// The diagonal, what stands beside it, and the reflections that lead there.
fn tridiagonal(mut matrix: Vec<f64>, side: usize) -> (Vec<f64>, Vec<f64>, Vec<Reflection>) {
    let mut reflections = Vec::new();
    let (mut diagonal, mut beside) = (Vec::with_capacity(side), vec![0.0; side]);
    for at in 0..side {
        diagonal.push(matrix[at * side + at]);
        let first = at + 1;
        if first >= side {
            break;
        }
        let mut vector: Vec<f64> = (first..side).map(|row| matrix[row * side + at]).collect();
        let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
        let rest: f64 = vector[1..].iter().map(|x| x.abs()).sum();
        if rest == 0.0 || length == 0.0 {
            beside[at] = vector[0];
            continue;
        }
        beside[at] = -length.copysign(vector[0]);
        vector[0] -= beside[at];
        let scale = 2.0 / vector.iter().map(|x| x * x).sum::<f64>();
        fold(&mut matrix[first * side..], side, first, &vector, scale);
        reflections.push(Reflection { first, vector, scale });
    }
    (diagonal, beside, reflections)
}

/// `A := H A H` for the rows and columns from `first` on, `H` being the reflection.
fn fold(rows: &mut [f64], side: usize, first: usize, vector: &[f64], scale: f64) {
    let product = |row: &[f64]| scale * row[first..].iter().zip(vector).map(|(a, v)| a * v).sum::<f64>();
    let mut along: Vec<f64> = rows.par_chunks_exact(side).with_min_len(64).map(product).collect();
    let half = 0.5 * scale * along.iter().zip(vector).map(|(p, v)| p * v).sum::<f64>();
    along.iter_mut().zip(vector).for_each(|(p, v)| *p -= half * v);
    rows.par_chunks_exact_mut(side).with_min_len(64).enumerate().for_each(|(at, row)| {
        let (by_v, by_p) = (along[at], vector[at]);
        for ((a, v), p) in row[first..].iter_mut().zip(vector).zip(&along) {
            *a -= by_v * v + by_p * p;
        }
    });
}

/// Makes the tridiagonal matrix diagonal, and tells the turns that do so.
fn diagonalise(diagonal: &mut [f64], beside: &mut [f64], mut make: impl FnMut(&[Turn])) {
    let mut turns = Vec::with_capacity(PENDING + diagonal.len());
    let (mut last, mut steps) = (diagonal.len().saturating_sub(1), 0);
    while last > 0 {
        for at in 0..last {
            if beside[at].abs() <= f64::EPSILON * (diagonal[at].abs() + diagonal[at + 1].abs()) {
                beside[at] = 0.0;
            }
        }
        if beside[last - 1] == 0.0 || steps == MOST_STEPS {
            beside[last - 1] = 0.0;
            (last, steps) = (last - 1, 0);
            continue;
        }
        let first = (0..last).rev().find(|at| beside[*at] == 0.0).map_or(0, |at| at + 1);
        qr_step(diagonal, beside, (first, last), &mut turns);
        steps += 1;
        if turns.len() >= PENDING {
            make(&turns);
            turns.clear();
        }
    }
    make(&turns);
}

/// One step on the block from `first` to `last`.
fn qr_step(diagonal: &mut [f64], beside: &mut [f64], (first, last): (usize, usize), turns: &mut Vec<Turn>) {
    let (a, b, c) = (diagonal[last - 1], beside[last - 1], diagonal[last]);
    let half = 0.5 * (a - c);
    let shift = c - b * b / (half + half.hypot(b).copysign(if half == 0.0 { 1.0 } else { half }));
    let (mut x, mut z) = (diagonal[first] - shift, beside[first]);
    for at in first..last {
        let length = x.hypot(z);
        let (cosine, sine) = if length == 0.0 { (1.0, 0.0) } else { (x / length, z / length) };
        if at > first {
            beside[at - 1] = length;
        }
        let (a, b, c) = (diagonal[at], beside[at], diagonal[at + 1]);
        let cross = 2.0 * cosine * sine * b;
        diagonal[at] = cosine * cosine * a + cross + sine * sine * c;
        diagonal[at + 1] = sine * sine * a - cross + cosine * cosine * c;
        beside[at] = (cosine * cosine - sine * sine) * b + cosine * sine * (c - a);
        x = beside[at];
        if at + 1 < last {
            z = sine * beside[at + 1];
            beside[at + 1] *= cosine;
        }
        turns.push(Turn { at, cosine, sine });
    }
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

    fn symmetric(side: usize) -> Vec<f64> {
        let from = noise(side * side);
        (0..side * side).map(|at| from[at] + from[at % side * side + at / side]).collect()
    }

    #[test]
    fn small_matrices_have_the_eigenvalues_that_paper_gives_them() {
        let sorted = |matrix: &[f64], side| {
            let (mut values, _) = eigen(matrix.to_vec(), side);
            values.sort_by(f64::total_cmp);
            values
        };
        assert!(sorted(&[], 0).is_empty());
        assert_eq!(sorted(&[3.0], 1), [3.0]);
        let close = |found: Vec<f64>, wanted: &[f64]| {
            assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?} {wanted:?}");
        };
        close(sorted(&[2.0, 1.0, 1.0, 2.0], 2), &[1.0, 3.0]);
        close(sorted(&[2.0, -1.0, 0.0, -1.0, 2.0, -1.0, 0.0, -1.0, 2.0], 3), &[2.0 - 2f64.sqrt(), 2.0, 2.0 + 2f64.sqrt()]);
        close(sorted(&[0.0; 16], 4), &[0.0; 4]);
        close(sorted(&[5.0, 0.0, 0.0, 5.0], 2), &[5.0, 5.0]);
    }

    #[test]
    fn the_basis_is_orthonormal_and_gives_the_matrix_back() {
        for side in [2, 9, 40] {
            let matrix = symmetric(side);
            let (values, basis) = eigen(matrix.clone(), side);
            for (row, column) in (0..side).flat_map(|row| (0..side).map(move |column| (row, column))) {
                let over = |of: &dyn Fn(usize) -> f64| (0..side).map(of).sum::<f64>();
                let back = over(&|k| basis[row * side + k] * values[k] * basis[column * side + k]);
                assert!((back - matrix[row * side + column]).abs() < 1e-10, "{side}: {row} {column}");
                let dot = over(&|k| basis[k * side + row] * basis[k * side + column]);
                assert!((dot - f64::from(u8::from(row == column))).abs() < 1e-10);
            }
        }
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
