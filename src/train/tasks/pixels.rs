//! What a decoder of pixels is trained by: the recipe's loss over all pixels of a view, each class with its weight.

use candle_core::Tensor;

use crate::data::{Sample, Target};
use crate::domain::recipe::{ClassWeights, Recipe};
use crate::domain::task::Loss;
use crate::nn::loss::pixels::{self, Terms, Truth};
use crate::train::error::Result;

/// What a loss is made of. Unless one is named, cross entropy and Dice's together: the one is steep where an answer is wrong, the other is what
/// overlap is measured by and does not forget small classes (Isensee et al. 2021, nnU-Net).
fn terms(loss: Option<Loss>) -> Terms {
    let none = Terms::default();
    match loss {
        Some(Loss::CrossEntropy) => Terms { cross_entropy: 1.0, ..none },
        Some(Loss::Focal) => Terms { focal: 1.0, ..none },
        Some(Loss::Dice) => Terms { dice: 1.0, ..none },
        Some(Loss::FocalDice) => Terms { focal: 1.0, dice: 1.0, ..none },
        _ => Terms { cross_entropy: 1.0, dice: 1.0, ..none },
    }
}

/// Pixels of each of so many classes in the masks of these samples.
pub(super) fn counted(samples: &[Sample], classes: usize) -> Vec<u64> {
    let mut counts = vec![0u64; classes];
    for sample in samples {
        if let Target::Mask(mask) = &sample.target {
            for (kind, pixels) in mask.kinds.iter().zip(mask.pixels.iter()) {
                if let Some(count) = counts.get_mut(*kind as usize) {
                    *count += pixels;
                }
            }
        }
    }
    counts
}

/// How much a pixel of each class counts, 1 in the mean over all pixels; none where all count alike. A class without pixels counts as one with
/// a single one.
fn weights(counts: &[u64], how: ClassWeights) -> Vec<f32> {
    let power = match how {
        ClassWeights::None => return Vec::new(),
        ClassWeights::Balanced => 1.0,
        ClassWeights::Sqrt => 0.5,
    };
    let rare: Vec<f64> = counts.iter().map(|count| (*count).max(1) as f64).map(|count| count.powf(-power)).collect();
    let all: f64 = counts.iter().map(|count| (*count).max(1) as f64).sum();
    let mean = rare.iter().zip(counts).map(|(weight, count)| weight * (*count).max(1) as f64).sum::<f64>() / all;
    rare.iter().map(|weight| (weight / mean) as f32).collect()
}

/// The loss of outputs `(cells of all targets, classes)`, with a gradient; `counts` are the pixels of each class in training.
pub(super) fn loss(outputs: &Tensor, targets: &[Target], recipe: &Recipe, counts: &[u64]) -> Result<Tensor> {
    let cells: Vec<_> = targets.iter().filter_map(|target| if let Target::Cells(cells) = target { Some(cells) } else { None }).collect();
    let Some(first) = cells.first() else { return Ok((outputs.sum_all()? * 0.0)?) };
    let grid = (first.rows, first.columns);
    let truths: Vec<Truth<'_>> = cells
        .iter()
        .map(|cells| Truth { width: cells.pixels.width as usize, height: cells.pixels.height as usize, classes: &cells.pixels.values })
        .collect();
    Ok(pixels::of_pixels(outputs, grid, &truths, terms(recipe.loss), &weights(counts, recipe.class_weights))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_classes_count_more_and_a_pixel_counts_one_in_the_mean() {
        let counts = [900, 100];
        let balanced = weights(&counts, ClassWeights::Balanced);
        assert!((balanced[1] / balanced[0] - 9.0).abs() < 1e-4);
        assert!((0.9 * balanced[0] + 0.1 * balanced[1] - 1.0).abs() < 1e-5);
        let sqrt = weights(&counts, ClassWeights::Sqrt);
        assert!((sqrt[1] / sqrt[0] - 3.0).abs() < 1e-4 && weights(&counts, ClassWeights::None).is_empty());
        assert!(weights(&[0, 5], ClassWeights::Balanced).iter().all(|weight| weight.is_finite()));
    }

    #[test]
    fn a_loss_is_a_sum_of_those_it_names() {
        let both = terms(None);
        assert_eq!((both, terms(Some(Loss::CrossEntropyDice))), (Terms { cross_entropy: 1.0, focal: 0.0, dice: 1.0 }, both));
        assert_eq!(terms(Some(Loss::FocalDice)), Terms { cross_entropy: 0.0, focal: 1.0, dice: 1.0 });
        assert_eq!(terms(Some(Loss::CrossEntropy)).dice + terms(Some(Loss::Focal)).dice, 0.0);
    }
}
