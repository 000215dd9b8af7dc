//! A minimum of a smooth convex function by the limited-memory method of Broyden, Fletcher, Goldfarb and Shanno (Liu and Nocedal
//! 1989), with a line search by halves that keeps both of Wolfe's conditions.

use std::collections::VecDeque;

use crate::train::error::Result;

/// Steps whose curvature is remembered.
const MEMORY: usize = 8;
/// How much of the promised fall a step must bring, and how much of the slope it may leave.
const FALL: f64 = 1e-4;
const SLOPE: f64 = 0.9;
/// Tries of a line search; beyond them the numbers' last digits are all that moves.
const TRIES: usize = 20;

/// A function's value and gradient at a point.
pub(super) trait Function {
    fn at(&mut self, point: &[f64], gradient: &mut [f64]) -> Result<f64>;
}

/// Walks from `point` until no partial derivative is larger than `tolerance`, no step helps, or after so many steps.
pub(super) fn minimise(function: &mut dyn Function, point: &mut Vec<f64>, tolerance: f64, steps: usize) -> Result<f64> {
    let mut gradient = vec![0.0; point.len()];
    let mut value = function.at(point, &mut gradient)?;
    let mut memory = Memory::default();
    for _ in 0..steps {
        if largest(&gradient) <= tolerance {
            break;
        }
        let direction = memory.direction(&gradient);
        let slope = dot(&direction, &gradient);
        // A first step of a sensible length; later ones know theirs.
        let first = if memory.pairs.is_empty() { (1.0 / norm(&gradient)).min(1.0) } else { 1.0 };
        let Some(found) = search(function, (point, value, slope), &direction, first)? else {
            if memory.pairs.is_empty() {
                break;
            }
            memory.pairs.clear();
            continue;
        };
        let fell = value - found.value;
        memory.remember(difference(&found.point, point), difference(&found.gradient, &gradient));
        (*point, gradient, value) = (found.point, found.gradient, found.value);
        if fell <= 1e-9 * value.abs() {
            break;
        }
    }
    Ok(value)
}

struct Found {
    point: Vec<f64>,
    gradient: Vec<f64>,
    value: f64,
}

/// A point along `direction` that keeps Wolfe's conditions, or failing that one that falls enough; none where no step does.
fn search(function: &mut dyn Function, (point, value, slope): (&[f64], f64, f64), direction: &[f64], first: f64) -> Result<Option<Found>> {
    let (mut low, mut high, mut length) = (0.0, f64::INFINITY, first);
    let mut good = None;
    for _ in 0..TRIES {
        let tried: Vec<f64> = point.iter().zip(direction).map(|(x, d)| x + length * d).collect();
        let mut gradient = vec![0.0; point.len()];
        let reached = function.at(&tried, &mut gradient)?;
        if !reached.is_finite() || reached > value + FALL * length * slope {
            high = length;
        } else {
            let left = dot(direction, &gradient);
            good = Some(Found { point: tried, gradient, value: reached });
            if left >= SLOPE * slope {
                break;
            }
            low = length;
        }
        length = if high.is_finite() { (low + high) / 2.0 } else { 2.0 * low };
    }
    Ok(good)
}

#[derive(Default)]
struct Memory {
    /// Steps, the changes of the gradient over them, and the inverses of their products; the latest last.
    pairs: VecDeque<(Vec<f64>, Vec<f64>, f64)>,
}

impl Memory {
    fn remember(&mut self, step: Vec<f64>, change: Vec<f64>) {
        let product = dot(&step, &change);
        if product > 1e-12 * dot(&change, &change) {
            self.pairs.push_back((step, change, 1.0 / product));
            if self.pairs.len() > MEMORY {
                self.pairs.pop_front();
            }
        }
    }

    /// Downhill, as far as the remembered curvature knows.
    fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut shares = Vec::with_capacity(self.pairs.len());
        for (step, change, inverse) in self.pairs.iter().rev() {
            let share = inverse * dot(step, &q);
            q.iter_mut().zip(change).for_each(|(q, change)| *q -= share * change);
            shares.push(share);
        }
        if let Some((_, change, inverse)) = self.pairs.back() {
            let scale = 1.0 / (inverse * dot(change, change));
            q.iter_mut().for_each(|q| *q *= scale);
        }
        for ((step, change, inverse), share) in self.pairs.iter().zip(shares.iter().rev()) {
            let back = inverse * dot(change, &q);
            q.iter_mut().zip(step).for_each(|(q, step)| *q += (share - back) * step);
        }
        q
    }
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

fn largest(a: &[f64]) -> f64 {
    a.iter().fold(0.0, |largest, value| value.abs().max(largest))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bowl;

    impl Function for Bowl {
        /// `sum_k 10^k (x_k - k)^2 + log cosh x_0`, badly scaled on purpose.
        fn at(&mut self, x: &[f64], gradient: &mut [f64]) -> Result<f64> {
            let mut value = x[0].cosh().ln();
            for (k, (x, gradient)) in x.iter().zip(gradient.iter_mut()).enumerate() {
                let scale = 10f64.powi(k as i32);
                value += scale * (x - k as f64).powi(2);
                *gradient = 2.0 * scale * (x - k as f64);
            }
            gradient[0] += x[0].tanh();
            Ok(value)
        }
    }

    #[test]
    fn the_bottom_is_found() {
        let mut point = vec![3.0, -4.0, 100.0, 0.0, 7.0];
        let value = minimise(&mut Bowl, &mut point, 1e-9, 500).unwrap();
        assert!(value < 1e-12, "{value}");
        for (k, x) in point.iter().enumerate() {
            assert!((x - k as f64).abs() < 1e-6, "{point:?}");
        }
    }
}
