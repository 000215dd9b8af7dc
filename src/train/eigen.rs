//! Eigenvalues and eigenvectors of a symmetric matrix, for everything that decomposes: ridge regression, LogME, the spectrum of features.
//!
//! Householder's reduction to a tridiagonal matrix, then QR steps with Wilkinson's shift (Golub and Van Loan, "Matrix
//! Computations", 8.3). What both do to the basis is done to its rows eight at a time, on all threads; a row needs no other, so that
//! the bits hang on no number of threads. A matrix that holds a NaN ends after a bounded number of steps in numbers that mean nothing.

use rayon::prelude::*;

/// Rows of the basis that are worked on together.
const LANES: usize = 8;
/// Turns of the basis that are collected before they are made.
const PENDING: usize = 1 << 18;
/// QR steps for each eigenvalue; two are usual.
const MOST_STEPS: usize = 60;

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

/// Of `matrix (side, side)`, row by row: eigenvalues in no order, and eigenvectors as the rows of `(side, side)` in the same one.
pub fn symmetric(matrix: Vec<f64>, side: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut diagonal, mut beside, reflections) = tridiagonal(matrix, side);
    let mut blocks: Vec<Vec<[f64; LANES]>> = (0..side.div_ceil(LANES)).map(|block| identity(block, side)).collect();
    blocks.par_iter_mut().for_each(|block| reflections.iter().for_each(|reflection| reflect(block, reflection)));
    diagonalise(&mut diagonal, &mut beside, |turns| blocks.par_iter_mut().for_each(|block| turn(block, turns)));
    let mut vectors = vec![0.0; side * side];
    for (number, vector) in vectors.chunks_exact_mut(side.max(1)).enumerate() {
        // Column `number` of the basis, of which each block has eight rows.
        for (block, values) in blocks.iter().zip(vector.chunks_mut(LANES)) {
            values.copy_from_slice(&block[number][..values.len()]);
        }
    }
    (diagonal, vectors)
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

    fn drawn(side: usize) -> Vec<f64> {
        let from = noise(side * side);
        (0..side * side).map(|at| from[at] + from[at % side * side + at / side]).collect()
    }

    #[test]
    fn small_matrices_have_the_eigenvalues_that_paper_gives_them() {
        let sorted = |matrix: &[f64], side| {
            let (mut values, _) = symmetric(matrix.to_vec(), side);
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
            let matrix = drawn(side);
            let (values, vectors) = symmetric(matrix.clone(), side);
            for (row, column) in (0..side).flat_map(|row| (0..side).map(move |column| (row, column))) {
                let over = |of: &dyn Fn(usize) -> f64| (0..side).map(of).sum::<f64>();
                let back = over(&|k| vectors[k * side + row] * values[k] * vectors[k * side + column]);
                assert!((back - matrix[row * side + column]).abs() < 1e-10, "{side}: {row} {column}");
                let dot = over(&|k| vectors[row * side + k] * vectors[column * side + k]);
                assert!((dot - f64::from(u8::from(row == column))).abs() < 1e-10);
            }
        }
    }

    #[test]
    fn vectors_are_orthonormal_and_give_the_matrix_again() {
        for n in [1, 2, 3, 7, 40] {
            let draw = |at: usize| ((at * 7919 + n) as f64).sin();
            let mut matrix: Vec<f64> = (0..n * n).map(|at| draw(at) + draw(at % n * n + at / n)).collect();
            if n == 7 {
                // Of rank one, with a zero row: equal eigenvalues.
                (0..n * n).for_each(|at| matrix[at] = if at % n == 3 || at / n == 3 { 0.0 } else { 2.0 });
            }
            let (values, vectors) = symmetric(matrix.clone(), n);
            for i in 0..n {
                for j in 0..n {
                    let product: f64 = (0..n).map(|k| vectors[i * n + k] * vectors[j * n + k]).sum();
                    assert!((product - f64::from(u8::from(i == j))).abs() < 1e-10, "{n}: {i} {j} {product}");
                    let again: f64 = (0..n).map(|k| values[k] * vectors[k * n + i] * vectors[k * n + j]).sum();
                    assert!((again - matrix[i * n + j]).abs() < 1e-9, "{n}: {again}");
                }
            }
        }
    }
}
