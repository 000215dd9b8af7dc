//! What is minimised: focal loss of classes (Lin et al. 2017) over all places, generalised IoU (Rezatofighi et al. 2019) of boxes and cross
//! entropy of how near the middle is over the places that find an object. Values and gradients are worked out together, in f64.

use rayon::prelude::*;

use super::assign::Aim;
use super::grid::Grid;
use super::{BESIDE, FARTHEST, corners};

/// Of the focal loss: how much objects count, and how much what is easy is passed over.
const ALPHA: f64 = 0.25;
const GAMMA: f64 = 2.0;

/// Losses of a batch, and their gradient.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Losses {
    /// Each by the objects' places of the batch.
    pub classes: f64,
    pub boxes: f64,
    pub centres: f64,
    /// To the rows, in their order.
    pub gradient: Vec<f32>,
}

impl Losses {
    pub fn sum(&self) -> f64 {
        self.classes + self.boxes + self.centres
    }
}

/// Losses of a batch: `rows (images x places, classes + 5)`, and of each image what its places are to answer.
pub fn losses(rows: &[f32], classes: usize, grid: &Grid, aims: &[Vec<Aim>]) -> Losses {
    let width = classes + BESIDE;
    let centred: Vec<f64> = aims.iter().flatten().filter_map(weight).collect();
    // As torchvision: by how many places find an object, boxes by how near these are to the middles.
    let (count, near) = (centred.len().max(1) as f64, centred.iter().sum::<f64>().max(1e-6));
    let places: Vec<([f32; 2], f32)> = grid.places().collect();
    let of_image = |(rows, aims): (&[f32], &Vec<Aim>)| {
        let mut all = Losses { gradient: vec![0.0; rows.len()], ..Losses::default() };
        for (((row, aim), (middle, stride)), to) in
            rows.chunks_exact(width).zip(aims).zip(&places).zip(all.gradient.chunks_exact_mut(width))
        {
            let class = match aim {
                Aim::Anything => continue,
                Aim::Nothing => None,
                Aim::Object { class, .. } => Some(*class as usize),
            };
            for (at, (logit, to)) in row[..classes].iter().zip(&mut *to).enumerate() {
                let (value, slope) = focal(f64::from(*logit), class == Some(at));
                all.classes += value / count;
                *to = (slope / count) as f32;
            }
            let Aim::Object { corners: truth, centred, .. } = aim else { continue };
            let share = f64::from(*centred) / near;
            let (value, slopes) = of_box(row, classes, (*middle, *stride), truth);
            all.boxes += value * share;
            (0..4).for_each(|side| to[classes + side] = (slopes[side] * share) as f32);
            let (value, slope) = cross_entropy(f64::from(row[classes + 4]), f64::from(*centred));
            all.centres += value / count;
            to[classes + 4] = (slope / count) as f32;
        }
        all
    };
    let each: Vec<Losses> = rows.par_chunks_exact((grid.len() * width).max(1)).zip(aims.par_iter()).map(of_image).collect();
    each.into_iter().fold(Losses::default(), |mut sum, own| {
        sum.classes += own.classes;
        sum.boxes += own.boxes;
        sum.centres += own.centres;
        sum.gradient.extend(own.gradient);
        sum
    })
}

fn weight(aim: &Aim) -> Option<f64> {
    if let Aim::Object { centred, .. } = aim { Some(f64::from(*centred)) } else { None }
}

/// `ln(1 + e^x)` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Of a logit whose class is there or not: the loss and its slope.
pub(super) fn focal(logit: f64, there: bool) -> (f64, f64) {
    // By symmetry: what is not there is there with the logit turned around.
    let (x, share, sign) = if there { (logit, ALPHA, 1.0) } else { (-logit, 1.0 - ALPHA, -1.0) };
    let (p, log) = (1.0 / (1.0 + (-x).exp()), -softplus(-x));
    let rest = (1.0 - p).powf(GAMMA);
    (-share * rest * log, sign * share * rest * (GAMMA * p * log - (1.0 - p)))
}

/// Cross entropy of a logit against a share: the loss above its least, and its slope.
fn cross_entropy(logit: f64, share: f64) -> (f64, f64) {
    (softplus(logit) - share * logit, 1.0 / (1.0 + (-logit).exp()) - share)
}

/// Of the box that a row answers: the loss, and its slopes to the four logarithms.
fn of_box(row: &[f32], classes: usize, (middle, stride): ([f32; 2], f32), truth: &[f32; 4]) -> (f64, [f64; 4]) {
    let logs = &row[classes..classes + 4];
    let own = corners(middle, stride, logs).map(f64::from);
    let (value, slopes) = giou_loss(own, truth.map(f64::from));
    let slope = |side: usize| {
        let far = f64::from(stride) * f64::from(logs[side]).exp();
        // Distances grow away from the place: to the left and upwards corners fall.
        let outwards = if side < 2 { -slopes[side] } else { slopes[side] };
        if logs[side].abs() < FARTHEST { outwards * far } else { 0.0 }
    };
    (value, [0, 1, 2, 3].map(slope))
}

/// One less the generalised IoU of two boxes (left, top, right, bottom) that have an area, and its slopes to the first's corners.
pub fn giou_loss(own: [f64; 4], truth: [f64; 4]) -> (f64, [f64; 4]) {
    let side = |of: &[f64; 4], axis: usize| of[axis + 2] - of[axis];
    let both = [0, 1].map(|axis| own[axis + 2].min(truth[axis + 2]) - own[axis].max(truth[axis]));
    let hull = [0, 1].map(|axis| own[axis + 2].max(truth[axis + 2]) - own[axis].min(truth[axis]));
    let meet = both[0] > 0.0 && both[1] > 0.0;
    let inter = if meet { both[0] * both[1] } else { 0.0 };
    let union = side(&own, 0) * side(&own, 1) + side(&truth, 0) * side(&truth, 1) - inter;
    let around = hull[0] * hull[1];
    let slope = |corner: usize| {
        let (axis, last) = (corner % 2, corner >= 2);
        let other = 1 - axis;
        let sign = if last { 1.0 } else { -1.0 };
        let (inner, outer) = if last {
            (own[corner] < truth[corner], own[corner] > truth[corner])
        } else {
            (own[corner] > truth[corner], own[corner] < truth[corner])
        };
        let d_inter = if meet && inner { sign * both[other] } else { 0.0 };
        let d_around = if outer { sign * hull[other] } else { 0.0 };
        let d_union = sign * side(&own, other) - d_inter;
        -(d_inter * union - inter * d_union) / (union * union) - (d_union * around - union * d_around) / (around * around)
    };
    (2.0 - inter / union - union / around, [0, 1, 2, 3].map(slope))
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::assign::assign;
    use super::*;
    use crate::data::targets::Boxed;

    #[test]
    fn giou_is_that_of_its_definition_and_its_slopes_are_differences() {
        // Two squares that meet in a corner square of 1: union 7, hull 9.
        let (value, _) = giou_loss([0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0]);
        assert!((value - (1.0 - (1.0 / 7.0 - 2.0 / 9.0))).abs() < 1e-12);
        // Apart: the hull alone pulls.
        let (value, slopes) = giou_loss([0.0, 0.0, 1.0, 1.0], [3.0, 0.0, 4.0, 1.0]);
        assert!((value - 1.5).abs() < 1e-12 && slopes[2] < 0.0, "{value} {slopes:?}");
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..200 {
            let mut boxed = || {
                let [x, y] = [0; 2].map(|_| random.random_range(0.0..10.0f64));
                [x, y, x + random.random_range(0.5..6.0), y + random.random_range(0.5..6.0)]
            };
            let (own, truth) = (boxed(), boxed());
            let (_, slopes) = giou_loss(own, truth);
            for corner in 0..4 {
                let moved = |by: f64| {
                    let mut own = own;
                    own[corner] += by;
                    giou_loss(own, truth).0
                };
                let difference = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                assert!((difference - slopes[corner]).abs() < 1e-5, "{own:?} {truth:?} {corner}: {difference} {}", slopes[corner]);
            }
        }
    }

    #[test]
    fn focal_loss_passes_over_what_is_easy() {
        let (value, _) = focal(0.0, true);
        assert!((value - 0.25 * 0.25 * 2f64.ln()).abs() < 1e-12);
        assert!(focal(5.0, true).0 < 1e-5 && focal(-800.0, true).0 > 199.0 && focal(800.0, true).0 == 0.0);
        for logit in [-3.0, -0.2, 0.4, 2.5] {
            for there in [true, false] {
                let difference = (focal(logit + 1e-6, there).0 - focal(logit - 1e-6, there).0) / 2e-6;
                assert!((difference - focal(logit, there).1).abs() < 1e-8, "{logit} {there}");
            }
        }
    }

    #[test]
    fn the_gradient_is_that_of_the_sum() {
        let grid = Grid::of([32, 32]);
        let object = |class, bbox: [f32; 4]| Boxed { class, bbox, area: 1.0, crowd: class == 2 };
        let lists =
            [vec![object(0, [3.0, 2.0, 20.0, 24.0]), object(2, [20.0, 0.0, 12.0, 32.0])], vec![object(1, [1.0, 1.0, 9.0, 7.0])], vec![]];
        let aims: Vec<Vec<Aim>> = lists.iter().map(|list| assign(list, &grid)).collect();
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let rows: Vec<f32> = (0..3 * grid.len() * 7).map(|_| random.random_range(-2.0..2.0)).collect();
        let all = losses(&rows, 2, &grid, &aims);
        assert_eq!(all.gradient.len(), rows.len());
        assert!(all.classes > 0.0 && all.boxes > 0.0 && all.centres > 0.0);
        for at in (0..rows.len()).step_by(5) {
            let moved = |by: f32| {
                let mut rows = rows.clone();
                rows[at] += by;
                (losses(&rows, 2, &grid, &aims).sum(), f64::from(rows[at]))
            };
            let ((above, high), (below, low)) = (moved(1e-3), moved(-1e-3));
            let difference = (above - below) / (high - low);
            let own = f64::from(all.gradient[at]);
            assert!((difference - own).abs() < 2e-4 * (1.0 + own.abs()), "{at}: {difference} {own}");
        }
        // Nothing to find: boxes have no part.
        let empty = losses(&rows[..grid.len() * 7], 2, &grid, &[assign(&[], &grid)]);
        assert_eq!((empty.boxes, empty.centres), (0.0, 0.0));
    }
}
