//! Losses of classes of pixels, from outputs on a coarser grid: these are interpolated to the pixels first, so that what is minimised is what is
//! measured. Values and gradients are worked out together, image by image, so that no map of all pixels and classes is kept.
//!
//! With `p` the probabilities of a pixel and `y` its class:
//!
//! - cross entropy: the mean of `-log p_y`, each pixel with the weight of its class (PyTorch's weighted mean);
//! - focal (Lin et al. 2017): the same of `-(1 - p_y)^2 log p_y`;
//! - Dice (Milletari et al. 2016): one less the mean, over the classes that are there, of
//!   `(2 sum(p_c y_c) + 1) / (sum(p_c) + sum(y_c) + 1)`, where sums go over all pixels of the batch of which something is said.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::nn::error::{Error, Result};
use crate::nn::kernels::{Between, Resize};

/// The class of pixels of which nothing is said.
pub const IGNORED: u8 = 255;

/// Of the focal loss, as in its paper.
const GAMMA: f32 = 2.0;

/// Keeps Dice's shares from being of nothing.
const SMOOTH: f64 = 1.0;

/// How much of each loss is minimised; their sum is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Terms {
    pub cross_entropy: f32,
    pub focal: f32,
    pub dice: f32,
}

/// The classes of one image's pixels, row by row.
#[derive(Debug, Clone, Copy)]
pub struct Truth<'a> {
    pub width: usize,
    pub height: usize,
    pub classes: &'a [u8],
}

/// What is known of all pixels before any gradient: for each class `sum(p_c y_c)`, `sum(p_c)` and `sum(y_c)`; the losses, and the weights
/// of pixels.
#[derive(Debug, Clone, Default)]
struct Sums {
    both: Vec<f64>,
    said: Vec<f64>,
    there: Vec<f64>,
    cross_entropy: f64,
    focal: f64,
    weight: f64,
}

impl Sums {
    fn of(classes: usize) -> Sums {
        let zeros = vec![0.0; classes];
        Sums { both: zeros.clone(), said: zeros.clone(), there: zeros, ..Sums::default() }
    }

    fn add(&mut self, other: &Sums) {
        let pairs = [(&mut self.both, &other.both), (&mut self.said, &other.said), (&mut self.there, &other.there)];
        pairs.into_iter().for_each(|(sums, more)| sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more));
        self.cross_entropy += other.cross_entropy;
        self.focal += other.focal;
        self.weight += other.weight;
    }

    /// Dice's loss, and the slope by `sum(p_c y_c)` and by `sum(p_c)` of each class.
    fn dice(&self) -> (f64, Vec<[f64; 2]>) {
        let there = self.there.iter().filter(|count| **count > 0.0).count().max(1) as f64;
        let (mut mean, mut slopes) = (0.0, Vec::with_capacity(self.both.len()));
        for ((both, said), count) in self.both.iter().zip(&self.said).zip(&self.there) {
            let (above, below) = (2.0 * both + SMOOTH, said + count + SMOOTH);
            if *count == 0.0 {
                slopes.push([0.0; 2]);
                continue;
            }
            mean += above / below / there;
            slopes.push([-2.0 / below / there, above / (below * below) / there]);
        }
        let any = self.there.iter().any(|count| *count > 0.0);
        (if any { 1.0 - mean } else { 0.0 }, slopes)
    }
}

/// The loss `()` of `outputs (B x rows x columns, classes)` for as many images, with a gradient. `weights` of the classes may be empty: all
/// are 1. Of images of which nothing is said the loss is 0.
///
/// # Errors
/// Sizes do not fit.
pub fn of_pixels(outputs: &Tensor, (rows, columns): (usize, usize), truths: &[Truth<'_>], terms: Terms, weights: &[f32]) -> Result<Tensor> {
    let (all, classes) = outputs.dims2()?;
    let each = rows * columns;
    let fits = truths.iter().all(|truth| truth.classes.len() == truth.width * truth.height && !truth.classes.is_empty());
    if all != each * truths.len() || classes == 0 || !fits || !(weights.is_empty() || weights.len() == classes) {
        return Err(Error::Invalid(format!("{all} rows of outputs do not fit {} images of {rows} x {columns} cells", truths.len())));
    }
    let values = outputs.detach().to_device(&Device::Cpu)?.contiguous()?.flatten_all()?.to_vec1::<f32>()?;
    let (value, gradient) = of_slices(&values, [rows, columns, classes], truths, terms, weights)?;
    let gradient = Tensor::from_vec(gradient, (all, classes), &Device::Cpu)?.to_device(outputs.device())?;
    // A line through the value whose slope is the gradient.
    let line = (outputs * gradient)?.sum_all()?;
    let offset = (line.detach().affine(-1.0, value))?;
    Ok((line + offset)?)
}

/// The same on slices: the value and the gradient.
fn of_slices(
    outputs: &[f32],
    [rows, columns, classes]: [usize; 3],
    truths: &[Truth<'_>],
    terms: Terms,
    weights: &[f32],
) -> Result<(f64, Vec<f32>)> {
    let image = rows * columns * classes;
    let resize = |truth: &Truth<'_>| Resize::new([1, rows, columns, classes], [truth.height, truth.width], Between::Bilinear);
    let weight = |class: u8| weights.get(usize::from(class)).copied().unwrap_or(1.0);
    let seen = |(outputs, truth): (&[f32], &Truth<'_>)| -> candle_core::Result<Sums> {
        let chances = chances(&resize(truth)?, outputs, truth, classes);
        let mut sums = Sums::of(classes);
        for (chances, class) in chances.chunks_exact(classes).zip(truth.classes) {
            if usize::from(*class) >= classes {
                continue;
            }
            let (own, weight) = (chances[usize::from(*class)], weight(*class));
            let surprise = -own.max(f32::MIN_POSITIVE).ln();
            sums.cross_entropy += f64::from(weight * surprise);
            sums.focal += f64::from(weight * (1.0 - own).powf(GAMMA) * surprise);
            sums.weight += f64::from(weight);
            sums.both[usize::from(*class)] += f64::from(own);
            sums.there[usize::from(*class)] += 1.0;
            sums.said.iter_mut().zip(chances).for_each(|(sum, chance)| *sum += f64::from(*chance));
        }
        Ok(sums)
    };
    let mut sums = Sums::of(classes);
    let parts: Vec<Sums> = outputs.par_chunks(image).zip(truths.par_iter()).map(seen).collect::<candle_core::Result<_>>()?;
    parts.iter().for_each(|part| sums.add(part));
    let mass = sums.weight.max(f64::MIN_POSITIVE);
    let (dice, slopes) = sums.dice();
    let value = f64::from(terms.cross_entropy) * sums.cross_entropy / mass
        + f64::from(terms.focal) * sums.focal / mass
        + f64::from(terms.dice) * dice;
    let slopes: Vec<[f32; 2]> = slopes.iter().map(|slopes| slopes.map(|slope| (f64::from(terms.dice) * slope) as f32)).collect();
    let mut gradient = vec![0f32; outputs.len()];
    let back = |((gradient, outputs), truth): ((&mut [f32], &[f32]), &Truth<'_>)| -> candle_core::Result<()> {
        let resize = resize(truth)?;
        let mut chances = chances(&resize, outputs, truth, classes);
        for (chances, class) in chances.chunks_exact_mut(classes).zip(truth.classes) {
            match usize::from(*class) < classes {
                true => slope(chances, usize::from(*class), (terms, (f64::from(weight(*class)) / mass) as f32), &slopes),
                false => chances.fill(0.0),
            }
        }
        resize.gradient(&chances, gradient);
        Ok(())
    };
    gradient.par_chunks_mut(image).zip(outputs.par_chunks(image)).zip(truths.par_iter()).try_for_each(back)?;
    Ok((value, gradient))
}

/// Probabilities of each pixel's classes.
fn chances(resize: &Resize, outputs: &[f32], truth: &Truth<'_>, classes: usize) -> Vec<f32> {
    let mut all = vec![0f32; truth.classes.len() * classes];
    resize.forward(outputs, &mut all);
    for pixel in all.chunks_exact_mut(classes) {
        let largest = pixel.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        pixel.iter_mut().for_each(|value| *value = (*value - largest).exp());
        let sum: f32 = pixel.iter().sum();
        pixel.iter_mut().for_each(|value| *value /= sum);
    }
    all
}

/// Makes a pixel's probabilities the gradient to what they were made of.
fn slope(chances: &mut [f32], class: usize, (terms, weight): (Terms, f32), dice: &[[f32; 2]]) {
    let own = chances[class];
    // Of the losses by the own class: by its output, `by * (1 - p)`, and by others, `-by * p`.
    let surprise = own.max(f32::MIN_POSITIVE).ln();
    let missing = 1.0 - own;
    let focal = GAMMA * own * missing.powf(GAMMA - 1.0) * surprise - missing.powf(GAMMA);
    let by = weight * (terms.focal * focal - terms.cross_entropy);
    let slope = |at: usize| dice[at][1] + if at == class { dice[at][0] } else { 0.0 };
    let common: f32 = chances.iter().enumerate().map(|(at, chance)| chance * slope(at)).sum();
    for (at, chance) in chances.iter_mut().enumerate() {
        let known = if at == class { by * missing } else { -by * *chance };
        *chance = known + *chance * (slope(at) - common);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::random::Draw;

    const CE: Terms = Terms { cross_entropy: 1.0, focal: 0.0, dice: 0.0 };
    const FOCAL: Terms = Terms { cross_entropy: 0.0, focal: 1.0, dice: 0.0 };
    const DICE: Terms = Terms { cross_entropy: 0.0, focal: 0.0, dice: 1.0 };

    fn value(outputs: &[f32], [rows, columns, classes]: [usize; 3], truths: &[Truth<'_>], terms: Terms, weights: &[f32]) -> f64 {
        of_slices(outputs, [rows, columns, classes], truths, terms, weights).unwrap().0
    }

    #[test]
    fn worked_examples() {
        // One pixel, chances 3/4 and 1/4.
        let outputs = [3f32.ln(), 0.0];
        let one = |class: &'static [u8]| [Truth { width: 1, height: 1, classes: class }];
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-5, "{a} and {b}");
        near(value(&outputs, [1, 1, 2], &one(&[0]), CE, &[]), (4.0f64 / 3.0).ln());
        near(value(&outputs, [1, 1, 2], &one(&[1]), FOCAL, &[]), 0.5625 * 4f64.ln());
        // (2 * 3/4 + 1) / (3/4 + 1 + 1); the other class is not there and is not asked for.
        near(value(&outputs, [1, 1, 2], &one(&[0]), DICE, &[]), 1.0 - 2.5 / 2.75);
        near(value(&outputs, [1, 1, 2], &one(&[IGNORED]), Terms { cross_entropy: 1.0, focal: 1.0, dice: 1.0 }, &[]), 0.0);
        // Two pixels, of which the second counts three times as much.
        let two = [3f32.ln(), 0.0, 3f32.ln(), 0.0];
        let truth = [Truth { width: 2, height: 1, classes: &[0, 1] }];
        near(value(&two, [1, 2, 2], &truth, CE, &[1.0, 3.0]), ((4.0f64 / 3.0).ln() + 3.0 * 4f64.ln()) / 4.0);
        // 2 * 3/4 + 1 over 3/2 + 1 + 1, and 2 * 1/4 + 1 over 1/2 + 1 + 1.
        near(value(&two, [1, 2, 2], &truth, DICE, &[]), 1.0 - (2.5 / 3.5 + 1.5 / 2.5) / 2.0);
    }

    #[test]
    fn gradients_are_slopes() {
        let (rows, columns, classes) = (3, 2, 3);
        let outputs = Draw::new(5, 0).normals(2 * rows * columns * classes, 1.0);
        let kinds: Vec<u8> = (0..2 * 7 * 5).map(|at| [0, 1, 1, IGNORED, 2][at % 5]).collect();
        let truths: Vec<Truth<'_>> = kinds.chunks_exact(35).map(|classes| Truth { width: 5, height: 7, classes }).collect();
        let sizes = [rows, columns, classes];
        for terms in [CE, FOCAL, DICE, Terms { cross_entropy: 0.5, focal: 2.0, dice: 1.5 }] {
            for weights in [&[][..], &[0.5, 2.0, 1.0][..]] {
                let (_, gradient) = of_slices(&outputs, sizes, &truths, terms, weights).unwrap();
                for at in 0..outputs.len() {
                    let beside = |by: f32| {
                        let mut moved = outputs.clone();
                        moved[at] += by;
                        value(&moved, sizes, &truths, terms, weights)
                    };
                    let slope = (beside(1e-2) - beside(-1e-2)) / 2e-2;
                    assert!((slope - f64::from(gradient[at])).abs() < 2e-4, "{terms:?} {at}: {slope} and {}", gradient[at]);
                }
            }
        }
    }

    #[test]
    fn a_tensor_has_the_same_value_and_gradient() {
        let outputs = candle_core::Var::from_vec(Draw::new(2, 0).normals(2 * 4 * 2, 1.0), (8, 2), &Device::Cpu).unwrap();
        let kinds = [0u8, 1, 1, 0, 0, 1, 255, 0];
        let truths: Vec<Truth<'_>> = kinds.chunks_exact(4).map(|classes| Truth { width: 2, height: 2, classes }).collect();
        let loss = of_pixels(&outputs, (2, 2), &truths, Terms { dice: 1.0, ..CE }, &[]).unwrap();
        let values = outputs.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (value, gradient) = of_slices(&values, [2, 2, 2], &truths, Terms { dice: 1.0, ..CE }, &[]).unwrap();
        assert!((f64::from(loss.to_scalar::<f32>().unwrap()) - value).abs() < 1e-5);
        let found = loss.backward().unwrap().get(&outputs).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(found.iter().zip(&gradient).all(|(a, b)| (a - b).abs() < 1e-6));
        assert!(of_pixels(&outputs, (2, 3), &truths, CE, &[]).is_err() && of_pixels(&outputs, (2, 2), &truths, CE, &[1.0]).is_err());
    }
}
