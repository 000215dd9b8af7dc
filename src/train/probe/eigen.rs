//! Eigenvalues and eigenvectors of a symmetric matrix: Householder's reflections to three diagonals, then QL steps with implicit
//! shifts (Bowdler, Martin, Reinsch and Wilkinson 1968). All in f64, on one thread and in one order, so that its bits hang on nothing.

/// Of `matrix (n, n)`, row by row: eigenvalues, and eigenvectors as the rows of `(n, n)` in the same order.
pub fn symmetric(mut matrix: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut diagonal, mut off) = (vec![0.0; n], vec![0.0; n]);
    // Rows of `basis` become eigenvectors; it starts as the identity and takes each reflection as it is made.
    let mut basis = vec![0.0; n * n];
    (0..n).for_each(|i| basis[i * n + i] = 1.0);
    for column in 0..n.saturating_sub(2) {
        reflect(&mut matrix, &mut basis, n, column);
    }
    for i in 0..n {
        diagonal[i] = matrix[i * n + i];
        if i + 1 < n {
            off[i] = matrix[i * n + i + 1];
        }
    }
    iterate(&mut diagonal, &mut off, &mut basis, n);
    (diagonal, basis)
}

/// Clears `column` below its second diagonal from both sides.
fn reflect(matrix: &mut [f64], basis: &mut [f64], n: usize, column: usize) {
    let first = column + 1;
    let mut v: Vec<f64> = (first..n).map(|row| matrix[row * n + column]).collect();
    let rest: f64 = v[1..].iter().map(|x| x * x).sum();
    if rest == 0.0 {
        return;
    }
    let length = (v[0] * v[0] + rest).sqrt();
    v[0] += length.copysign(v[0]);
    let half = 2.0 / v.iter().map(|x| x * x).sum::<f64>();
    // A' = A - v w' - w v' on what is left, where p = half A v and w = p - (half/2 p'v) v.
    let mut w: Vec<f64> = (first..n).map(|row| half * dot(&matrix[row * n + first..(row + 1) * n], &v)).collect();
    let shift = half / 2.0 * dot(&w, &v);
    w.iter_mut().zip(&v).for_each(|(w, v)| *w -= shift * v);
    for (at, row) in (first..n).enumerate() {
        let (own_v, own_w) = (v[at], w[at]);
        let entries = matrix[row * n + first..(row + 1) * n].iter_mut();
        entries.zip(v.iter().zip(&w)).for_each(|(entry, (v, w))| *entry -= own_v * w + own_w * v);
    }
    let head = -length.copysign(v[0]);
    for row in first..n {
        let entry = if row == first { head } else { 0.0 };
        (matrix[row * n + column], matrix[column * n + row]) = (entry, entry);
    }
    // Rows of the basis are multiplied from the left: basis' = (I - half v v') basis.
    let mut sums = vec![0.0; n];
    for (at, row) in (first..n).enumerate() {
        sums.iter_mut().zip(&basis[row * n..(row + 1) * n]).for_each(|(sum, x)| *sum += v[at] * x);
    }
    for (at, row) in (first..n).enumerate() {
        let factor = half * v[at];
        basis[row * n..(row + 1) * n].iter_mut().zip(&sums).for_each(|(x, sum)| *x -= factor * sum);
    }
}

/// Turns three diagonals into one.
fn iterate(diagonal: &mut [f64], off: &mut [f64], basis: &mut [f64], n: usize) {
    for low in 0..n {
        // Thirty are plenty for any matrix; a NaN would go on for ever.
        for _ in 0..60 {
            let is_small = |at: usize| off[at].abs() <= f64::EPSILON * (diagonal[at].abs() + diagonal[at + 1].abs());
            let end = (low..n.saturating_sub(1)).find(|at| is_small(*at)).unwrap_or(n - 1);
            if end == low {
                break;
            }
            sweep(diagonal, off, basis, n, (low, end));
        }
    }
}

/// One QL step on the rows `low..=end`.
fn sweep(diagonal: &mut [f64], off: &mut [f64], basis: &mut [f64], n: usize, (low, end): (usize, usize)) {
    let half = (diagonal[low + 1] - diagonal[low]) / (2.0 * off[low]);
    let root = half.hypot(1.0).copysign(half);
    let mut g = diagonal[end] - diagonal[low] + off[low] / (half + root);
    let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
    for at in (low..end).rev() {
        let (f, b) = (s * off[at], c * off[at]);
        let r = f.hypot(g);
        off[at + 1] = r;
        if r == 0.0 {
            diagonal[at + 1] -= p;
            off[end] = 0.0;
            return;
        }
        (s, c) = (f / r, g / r);
        g = diagonal[at + 1] - p;
        let t = (diagonal[at] - g) * s + 2.0 * c * b;
        p = s * t;
        diagonal[at + 1] = g + p;
        g = c * t - b;
        let (upper, lower) = basis[at * n..(at + 2) * n].split_at_mut(n);
        for (x, y) in upper.iter_mut().zip(lower) {
            (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
        }
    }
    diagonal[low] -= p;
    off[low] = g;
    off[end] = 0.0;
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

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
                    let product = dot(&vectors[i * n..(i + 1) * n], &vectors[j * n..(j + 1) * n]);
                    assert!((product - f64::from(u8::from(i == j))).abs() < 1e-10, "{n}: {i} {j} {product}");
                    let again: f64 = (0..n).map(|k| values[k] * vectors[k * n + i] * vectors[k * n + j]).sum();
                    assert!((again - matrix[i * n + j]).abs() < 1e-9, "{n}: {again}");
                }
            }
        }
    }
}
