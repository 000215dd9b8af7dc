//! What is minimised: cross entropy of the classes and of nothing over anchors that find an object and over three times as many of those that are most
//! wrongly sure of one (hard negative mining), and over the former smooth L1 of the offsets (Liu et al. 2016). Values and gradients are worked out
//! together, in f64.
//!
//! Mining is what the paper, its depthwise form and torchvision learn by, with rates and weights that are known to do. Focal loss, which weighs all
//! places of the head without anchors, is of classes that are told one by one, and here they and nothing are one softmax.

use rayon::prelude::*;

use super::super::loss::Losses;
use super::matching::Wanted;
use super::{Anchor, BESIDE};

/// Anchors that show nothing for each that finds an object, in an image; of an image without objects as if there were one.
const NEGATIVES: usize = 3;

/// Losses of a batch: `rows (images x anchors, classes + 5)`, and of each image what its anchors are to answer.
pub(super) fn losses(rows: &[f32], classes: usize, anchors: &[Anchor], wanted: &[Vec<Wanted>]) -> Losses {
    let width = classes + BESIDE;
    let count = wanted.iter().flatten().filter(|wanted| matches!(wanted, Wanted::Object { .. })).count().max(1) as f64;
    let each: Vec<Losses> = rows
        .par_chunks_exact((anchors.len() * width).max(1))
        .zip(wanted.par_iter())
        .map(|(rows, wanted)| of_image(rows, classes, (anchors, wanted), count))
        .collect();
    each.into_iter().fold(Losses::default(), |mut sum, own| {
        sum.classes += own.classes;
        sum.boxes += own.boxes;
        sum.gradient.extend(own.gradient);
        sum
    })
}

fn of_image(rows: &[f32], classes: usize, (anchors, wanted): (&[Anchor], &[Wanted]), count: f64) -> Losses {
    let width = classes + BESIDE;
    let mut all = Losses { gradient: vec![0.0; rows.len()], ..Losses::default() };
    let mut wrong: Vec<(f64, usize)> = Vec::new();
    for (at, (row, wanted)) in rows.chunks_exact(width).zip(wanted).enumerate() {
        match wanted {
            Wanted::Anything => {}
            Wanted::Nothing => wrong.push((cross_entropy(row, classes, None), at)),
            Wanted::Object { class, bbox } => {
                let to = &mut all.gradient[at * width..(at + 1) * width];
                all.classes += cross_entropy(row, classes, Some(*class as usize)) / count;
                slopes(row, classes, Some(*class as usize), count, to);
                for (side, truth) in anchors[at].offsets(*bbox).into_iter().enumerate() {
                    let (value, slope) = smooth_l1(f64::from(row[classes + side]) - f64::from(truth));
                    all.boxes += value / count;
                    to[classes + side] = (slope / count) as f32;
                }
            }
        }
    }
    let found = wanted.iter().filter(|wanted| matches!(wanted, Wanted::Object { .. })).count();
    // Of equally wrong ones the first.
    wrong.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (value, at) in wrong.into_iter().take(NEGATIVES * found.max(1)) {
        all.classes += value / count;
        slopes(&rows[at * width..(at + 1) * width], classes, None, count, &mut all.gradient[at * width..(at + 1) * width]);
    }
    all
}

/// The logits of a row: its classes, then nothing.
fn logits(row: &[f32], classes: usize) -> impl Iterator<Item = f64> + Clone + '_ {
    row[..classes].iter().chain(&row[classes + BESIDE - 1..classes + BESIDE]).map(|logit| f64::from(*logit))
}

/// The largest logit and the logarithm of the sum of exponentials above it.
fn mass(row: &[f32], classes: usize) -> f64 {
    let largest = logits(row, classes).fold(f64::NEG_INFINITY, f64::max);
    largest + logits(row, classes).map(|logit| (logit - largest).exp()).sum::<f64>().ln()
}

/// `-ln p` of a class, or of nothing.
fn cross_entropy(row: &[f32], classes: usize, class: Option<usize>) -> f64 {
    mass(row, classes) - f64::from(row[class.unwrap_or(classes + BESIDE - 1)])
}

/// Its slopes to the row, each by `count`.
fn slopes(row: &[f32], classes: usize, class: Option<usize>, count: f64, to: &mut [f32]) {
    let mass = mass(row, classes);
    let last = classes + BESIDE - 1;
    for at in (0..classes).chain([last]) {
        let there = f64::from(u8::from(at == class.unwrap_or(last)));
        to[at] = (((f64::from(row[at]) - mass).exp() - there) / count) as f32;
    }
}

/// Half of the square up to 1, then as steep as there (Girshick 2015): the value and its slope.
fn smooth_l1(away: f64) -> (f64, f64) {
    if away.abs() < 1.0 { (away * away / 2.0, away) } else { (away.abs() - 0.5, away.signum()) }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::matching::matched;
    use super::*;
    use crate::data::targets::Boxed;

    fn anchors() -> Vec<Anchor> {
        Anchor::all([32, 32])
    }

    #[test]
    fn a_worked_example() {
        let all = anchors();
        let anchors = &all[..6];
        let object = Wanted::Object { class: 1, bbox: [4.0, 4.0, 12.0, 24.0] };
        let wanted = [Wanted::Nothing, object, Wanted::Nothing, Wanted::Nothing, Wanted::Nothing, Wanted::Anything];
        // Two classes: all rows say nothing by 2, but the third, which is wrongly sure of the first class.
        let mut rows = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0].repeat(6);
        rows[2 * 7] = 5.0;
        let all = losses(&rows, 2, anchors, &[wanted.to_vec()]);
        let even = (2.0 + 2f64.exp()).ln();
        // The object's own, three negatives: the worst, and two of those that are alike.
        let worst = (1.0 + 5f64.exp() + 2f64.exp()).ln() - 2.0;
        assert!((all.classes - (even + worst + 2.0 * (even - 2.0))).abs() < 1e-9, "{all:?}");
        let boxes: f64 = anchors[1].offsets([4.0, 4.0, 12.0, 24.0]).iter().map(|offset| smooth_l1(-f64::from(*offset)).0).sum();
        assert!((all.boxes - boxes).abs() < 1e-6 && all.centres == 0.0);
        let touched: Vec<usize> = (0..6).filter(|at| all.gradient[at * 7..(at + 1) * 7].iter().any(|slope| *slope != 0.0)).collect();
        assert_eq!(touched, [0, 1, 2, 3], "of those alike the first, and nothing of what may be anything");
    }

    #[test]
    fn smooth_l1_bends_at_one_and_images_without_objects_teach_a_little() {
        assert_eq!([0.5, -0.5, 3.0, -3.0].map(smooth_l1), [(0.125, 0.5), (0.125, -0.5), (2.5, 1.0), (2.5, -1.0)]);
        let anchors = anchors();
        let rows = [3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0].repeat(anchors.len());
        let all = losses(&rows, 2, &anchors, &[matched(&[], &anchors)]);
        let one = (2.0 + 3f64.exp()).ln();
        assert!((all.classes - 3.0 * one).abs() < 1e-9 && all.boxes == 0.0);
    }

    #[test]
    fn the_gradient_is_that_of_the_sum() {
        let anchors = anchors();
        let object = |class, bbox: [f32; 4]| Boxed { class, bbox, area: 1.0, crowd: class == 2 };
        let lists =
            [vec![object(0, [3.0, 2.0, 20.0, 24.0]), object(2, [20.0, 0.0, 12.0, 32.0])], vec![object(1, [1.0, 1.0, 9.0, 7.0])], vec![]];
        let wanted: Vec<Vec<Wanted>> = lists.iter().map(|list| matched(list, &anchors)).collect();
        let mut random = ChaCha8Rng::seed_from_u64(4);
        let rows: Vec<f32> = (0..3 * anchors.len() * 7).map(|_| random.random_range(-2.0..2.0)).collect();
        let all = losses(&rows, 2, &anchors, &wanted);
        assert!(all.gradient.len() == rows.len() && all.classes > 0.0 && all.boxes > 0.0);
        let (mut some, step) = (0, 1e-3);
        for at in (0..rows.len()).step_by(3) {
            let moved = |by: f32| {
                let mut rows = rows.clone();
                rows[at] += by;
                (losses(&rows, 2, &anchors, &wanted).sum(), f64::from(rows[at]))
            };
            let ((above, high), (below, low)) = (moved(step), moved(-step));
            let (difference, own) = ((above - below) / (high - low), f64::from(all.gradient[at]));
            // Which anchors are the most wrong may change under a step: then the difference is none of one function.
            if (moved(step / 2.0).0 - moved(-step / 2.0).0 - (above - below) / 2.0).abs() < 1e-6 {
                assert!((difference - own).abs() < 5e-3 * (1.0 + own.abs()), "{at}: {difference} {own}");
                some += usize::from(own != 0.0);
            }
        }
        assert!(some > 10, "{some} slopes were looked at");
    }
}
