//! Ridge regression by one eigendecomposition, and what each penalty would answer about every item if that item had been left out
//! (Allen 1974): `e_i / (1 - h_ii)`, where h is what an item says about itself.

use rayon::prelude::*;

use super::{Head, Tried};
use crate::train::eigen::symmetric;

/// More rows and columns than this take longer to decompose than a descent does.
pub(super) const MAX_SIDE: usize = 1024;
/// Below this `1 - h` has lost its digits.
const FEWEST_LEFT: f64 = 1e-7;

/// Features and targets about their means, and the eigenvectors of the smaller of their two squares.
struct Centred {
    width: usize,
    mean: Vec<f64>,
    means: Vec<f64>,
    /// `(items, width)`.
    rows: Vec<f64>,
    /// `(outputs, items)`.
    targets: Vec<Vec<f64>>,
}

/// The head with the least squared error on items left out, for rows `(items, width)` and `values (items, outputs)`, among these
/// penalties; and what each of them came to, the mean half squared error.
pub(super) fn solve(rows: &[f32], width: usize, values: &[f32], outputs: usize, grid: &[f64]) -> Option<(Head, f64, Vec<Tried>)> {
    let centred = Centred::new(rows, width, values, outputs);
    let items = centred.rows.len() / width;
    let (eigenvalues, scores) = centred.decompose();
    let mut tried = Vec::new();
    for l2 in grid {
        if let Some(loss) = centred.left_out(&eigenvalues, &scores, *l2) {
            tried.push(Tried { l2: *l2, held_loss: loss / items as f64 });
        }
    }
    let best = tried.iter().min_by(|a, b| a.held_loss.total_cmp(&b.held_loss))?.l2;
    Some((centred.head(&eigenvalues, &scores, best), best, tried))
}

impl Centred {
    fn new(rows: &[f32], width: usize, values: &[f32], outputs: usize) -> Centred {
        let items = rows.len() / width;
        let mean_of = |values: &[f32], stride: usize, at: usize| {
            values.iter().skip(at).step_by(stride).map(|value| f64::from(*value)).sum::<f64>() / items as f64
        };
        let mean: Vec<f64> = (0..width).into_par_iter().map(|at| mean_of(rows, width, at)).collect();
        let means: Vec<f64> = (0..outputs).map(|at| mean_of(values, outputs, at)).collect();
        let centre = |row: &[f32]| row.iter().zip(&mean).map(|(x, mean)| f64::from(*x) - mean).collect::<Vec<_>>();
        let target = |output: usize| values.iter().skip(output).step_by(outputs).map(|y| f64::from(*y) - means[output]).collect();
        let targets = (0..outputs).map(target).collect();
        Centred { width, rows: rows.chunks_exact(width).flat_map(centre).collect(), targets, mean, means }
    }

    fn row(&self, item: usize) -> &[f64] {
        &self.rows[item * self.width..(item + 1) * self.width]
    }

    /// The eigenvalues of `X X'` that are not zero, and for each the items' scores: the columns of U.
    fn decompose(&self) -> (Vec<f64>, Vec<Vec<f64>>) {
        let items = self.rows.len() / self.width;
        let (values, vectors, side) = if items <= self.width {
            let gram: Vec<f64> = (0..items * items).into_par_iter().map(|at| dot(self.row(at / items), self.row(at % items))).collect();
            let (values, vectors) = symmetric(gram, items);
            (values, vectors, items)
        } else {
            let square: Vec<f64> = (0..self.width)
                .into_par_iter()
                .flat_map_iter(|first| {
                    let mut sums = vec![0.0; self.width];
                    for row in self.rows.chunks_exact(self.width) {
                        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += row[first] * x);
                    }
                    sums
                })
                .collect();
            let (values, vectors) = symmetric(square, self.width);
            (values, vectors, self.width)
        };
        let largest = values.iter().copied().fold(0.0, f64::max);
        let keep: Vec<usize> = (0..side).filter(|k| values[*k] > 1e-12 * largest).collect();
        let score = |k: &usize| -> Vec<f64> {
            let vector = &vectors[k * side..(k + 1) * side];
            if items <= self.width {
                return vector.to_vec();
            }
            let length = values[*k].sqrt();
            self.rows.chunks_exact(self.width).map(|row| dot(row, vector) / length).collect()
        };
        (keep.iter().map(|k| values[*k]).collect(), keep.par_iter().map(score).collect())
    }

    /// The sum of half squared errors of every item left out in turn; none where they cannot be told.
    fn left_out(&self, eigenvalues: &[f64], scores: &[Vec<f64>], l2: f64) -> Option<f64> {
        let items = self.rows.len() / self.width;
        let mut own = vec![1.0 / items as f64; items];
        let mut fitted = vec![vec![0.0; items]; self.targets.len()];
        for (value, score) in eigenvalues.iter().zip(scores) {
            let share = value / (value + l2);
            own.iter_mut().zip(score).for_each(|(own, u)| *own += share * u * u);
            for (fitted, target) in fitted.iter_mut().zip(&self.targets) {
                let along = share * dot(score, target);
                fitted.iter_mut().zip(score).for_each(|(fitted, u)| *fitted += along * u);
            }
        }
        if own.iter().any(|own| 1.0 - own < FEWEST_LEFT) {
            return None;
        }
        let error = |(fitted, target): (&Vec<f64>, &Vec<f64>)| -> f64 {
            let pairs = fitted.iter().zip(target).zip(&own);
            pairs.map(|((fitted, target), own)| ((target - fitted) / (1.0 - own)).powi(2) / 2.0).sum()
        };
        Some(fitted.iter().zip(&self.targets).map(error).sum())
    }

    /// `w = X' U (S + l2)^-1 U' y`.
    fn head(&self, eigenvalues: &[f64], scores: &[Vec<f64>], l2: f64) -> Head {
        let items = self.rows.len() / self.width;
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for (target, mean) in self.targets.iter().zip(&self.means) {
            let mut pulls = vec![0.0; items];
            for (value, score) in eigenvalues.iter().zip(scores) {
                let along = dot(score, target) / (value + l2);
                pulls.iter_mut().zip(score).for_each(|(pull, u)| *pull += along * u);
            }
            let mut own = vec![0.0; self.width];
            for (pull, row) in pulls.iter().zip(self.rows.chunks_exact(self.width)) {
                own.iter_mut().zip(row).for_each(|(w, x)| *w += pull * x);
            }
            bias.push(mean - dot(&own, &self.mean));
            weight.extend(own);
        }
        Head { weight, bias }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in no order.
    fn drawn(count: usize, from: usize) -> Vec<f32> {
        (from..from + count).map(|at| ((at * 2_654_435_761) as f64).sin() as f32).collect()
    }

    /// What leaving each item out and fitting the others comes to.
    fn by_hand(rows: &[f32], width: usize, values: &[f32], l2: f64) -> f64 {
        let items = values.len();
        let mut sum = 0.0;
        for left in 0..items {
            let others = |all: &[f32], width: usize| [&all[..left * width], &all[(left + 1) * width..]].concat();
            let (head, _, _) = solve(&others(rows, width), width, &others(values, 1), 1, &[l2]).unwrap();
            let row: Vec<f64> = rows[left * width..(left + 1) * width].iter().map(|x| f64::from(*x)).collect();
            sum += (f64::from(values[left]) - dot(&row, &head.weight) - head.bias[0]).powi(2) / 2.0;
        }
        sum / items as f64
    }

    #[test]
    fn what_is_left_out_is_told_as_by_fitting_without_it() {
        for (items, width) in [(12, 4), (6, 15)] {
            let (rows, values) = (drawn(items * width, 1), drawn(items, 9_000));
            let (_, best, tried) = solve(&rows, width, &values, 1, &[0.01, 1.0, 100.0]).unwrap();
            for Tried { l2, held_loss } in &tried {
                let wanted = by_hand(&rows, width, &values, *l2);
                assert!((held_loss - wanted).abs() < 1e-6 * wanted, "{items} {l2}: {held_loss} {wanted}");
            }
            assert!(tried.iter().all(|other| other.held_loss >= tried.iter().find(|t| t.l2 == best).unwrap().held_loss));
        }
    }

    #[test]
    fn a_line_is_found_and_interpolation_is_not_trusted() {
        // Squares in between, so that no column follows from the others.
        let rows: Vec<f32> = drawn(60, 3).iter().enumerate().map(|(at, x)| if at % 3 == 1 { x * x } else { *x }).collect();
        let values: Vec<f32> = rows.chunks(3).flat_map(|row| [2.0 * row[0] - row[2] + 0.5, row[1]]).collect();
        let (head, _, _) = solve(&rows, 3, &values, 2, &[1e-6]).unwrap();
        for (found, wanted) in head.weight.iter().chain(&head.bias).zip([2.0, 0.0, -1.0, 0.0, 1.0, 0.0, 0.5, 0.0]) {
            assert!((found - wanted).abs() < 1e-5, "{head:?}");
        }
        let (_, best, _) = solve(&drawn(40, 5), 10, &drawn(4, 77), 1, &[1e-12, 10.0]).unwrap();
        assert_eq!(best, 10.0);
    }
}
