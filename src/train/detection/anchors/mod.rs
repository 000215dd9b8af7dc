//! Objects by anchors (SSD, Liu et al. 2016): boxes of several shapes stand around each place of several maps, and the network says of each of
//! them which class it shows, if any, and by how much the object's box differs from it.
//!
//! An anchor has a row: a logit for each class, four offsets (of the middle across and down, in the anchor's sides; logarithms of how much wider and
//! higher; each over its usual size), and a logit of nothing, so that the classes and nothing are one softmax.

mod decode;
mod loss;
mod matching;

use super::loss::Losses;
use super::{BESIDE, Finder, Found, NEVER};
use crate::data::targets::Boxed;
use crate::nn::heads::dense::ANCHORED;
use matching::Wanted;

/// The side of a map's first anchor, in strides: 24 pixels on the finest, and each map's twice the one's before, so that objects of 16 to 500 pixels
/// have an anchor that shares half of their union (the paper's grow from a tenth or fifth of the view to all of it; here they do not hang
/// on the view, and one network serves several sides).
const SIDE: f32 = 3.0;
/// Widths over heights, as in the paper; the second square is as large as halfway to the next map's. Maps take as many as they have.
const SHAPES: [(f32, f32); 6] = [(1.0, 1.0), (std::f32::consts::SQRT_2, 1.0), (1.0, 2.0), (1.0, 0.5), (1.0, 3.0), (1.0, 1.0 / 3.0)];
/// The usual size of offsets, by which they are divided: of middles and of sides (the paper's code).
const USUAL: [f32; 4] = [0.1, 0.1, 0.2, 0.2];
/// The logarithm of how many times an anchor's side a box's may be: as in torchvision, of 1000 over 16.
const FARTHEST: f32 = 4.135;

/// A box around a place: its middle, its width and height, in pixels of the view.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Anchor {
    middle: [f32; 2],
    sides: [f32; 2],
}

impl Anchor {
    /// All of a view of this width and height, in the order of the rows.
    fn all(view: [u32; 2]) -> Vec<Anchor> {
        let mut all = Vec::with_capacity(count(view));
        for (stride, shapes) in ANCHORED {
            let [columns, rows] = view.map(|side| (side as usize).div_ceil(stride));
            for at in 0..columns * rows {
                let middle = [at % columns, at / columns].map(|cell| (cell as f32 + 0.5) * stride as f32);
                all.extend(SHAPES.iter().take(shapes).map(|(scale, ratio)| {
                    let side = SIDE * stride as f32 * scale;
                    Anchor { middle, sides: [side * ratio.sqrt(), side / ratio.sqrt()] }
                }));
            }
        }
        all
    }

    /// Left, top, width and height.
    fn bbox(&self) -> [f64; 4] {
        let [width, height] = self.sides.map(f64::from);
        [f64::from(self.middle[0]) - width / 2.0, f64::from(self.middle[1]) - height / 2.0, width, height]
    }

    /// The offsets of a box of left, top, width and height that has an area.
    fn offsets(&self, [x, y, w, h]: [f32; 4]) -> [f32; 4] {
        let ([cx, cy], [width, height]) = (self.middle, self.sides);
        let plain = [(x + w / 2.0 - cx) / width, (y + h / 2.0 - cy) / height, (w / width).ln(), (h / height).ln()];
        [0, 1, 2, 3].map(|at| plain[at] / USUAL[at])
    }

    /// The box (left, top, right, bottom) that offsets say.
    fn corners(&self, offsets: &[f32]) -> [f32; 4] {
        let ([cx, cy], [width, height]) = (self.middle, self.sides);
        let (x, y) = (cx + offsets[0] * USUAL[0] * width, cy + offsets[1] * USUAL[1] * height);
        let half = |at: usize, side: f32| (offsets[at] * USUAL[at]).min(FARTHEST).exp() * side / 2.0;
        let (w, h) = (half(2, width), half(3, height));
        [x - w, y - h, x + w, y + h]
    }
}

/// Anchors of a view of this width and height.
fn count([width, height]: [u32; 2]) -> usize {
    ANCHORED.iter().map(|(stride, shapes)| (width as usize).div_ceil(*stride) * (height as usize).div_ceil(*stride) * shapes).sum()
}

pub(super) struct Anchors;

impl Finder for Anchors {
    fn rows(&self, view: [u32; 2]) -> usize {
        count(view)
    }

    fn losses(&self, rows: &[f32], classes: usize, view: [u32; 2], objects: &[&[Boxed]]) -> Losses {
        let anchors = Anchor::all(view);
        let wanted: Vec<Vec<Wanted>> = objects.iter().map(|objects| matching::matched(objects, &anchors)).collect();
        loss::losses(rows, classes, &anchors, &wanted)
    }

    fn found(&self, rows: &[f32], classes: usize, view: [u32; 2], image: ([u32; 2], [f32; 2])) -> Found {
        decode::decode(rows, classes, &Anchor::all(view), image)
    }

    fn nothing(&self, classes: usize) -> Vec<f32> {
        let mut row = vec![0.0; classes + BESIDE];
        row[classes + BESIDE - 1] = -NEVER;
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_stand_around_their_places_in_the_order_of_the_rows() {
        let all = Anchor::all([40, 24]);
        assert_eq!((all.len(), all.len()), (count([40, 24]), (5 * 3) * 4 + (3 * 2 + 2 + 1 + 1) * 6));
        assert_eq!((all[0].middle, all[0].sides, all[0].bbox()), ([4.0, 4.0], [24.0, 24.0], [-8.0, -8.0, 24.0, 24.0]));
        assert_eq!((all[4].middle, all[4 * 5].middle, all[60].middle), ([12.0, 4.0], [4.0, 12.0], [8.0, 8.0]));
        let ratios: Vec<f32> = all[60..66].iter().map(|anchor| anchor.sides[0] / anchor.sides[1]).collect();
        assert!(ratios.iter().zip([1.0, 1.0, 2.0, 0.5, 3.0, 1.0 / 3.0]).all(|(own, wanted)| (own - wanted).abs() < 1e-5), "{ratios:?}");
        assert!(all[60..66].iter().skip(2).all(|anchor| (anchor.sides[0] * anchor.sides[1] - 48.0 * 48.0).abs() < 0.1));
    }

    #[test]
    fn offsets_say_the_box_that_they_were_made_of() {
        let anchor = Anchor { middle: [20.0, 30.0], sides: [24.0, 48.0] };
        assert_eq!(anchor.offsets([8.0, 6.0, 24.0, 48.0]), [0.0; 4]);
        // A quarter to the right, half as high: over a tenth and a fifth.
        let offsets = anchor.offsets([14.0, 18.0, 24.0, 24.0]);
        assert!(offsets.iter().zip([2.5, 0.0, 0.0, 0.5f32.ln() / 0.2]).all(|(own, wanted)| (own - wanted).abs() < 1e-5), "{offsets:?}");
        let corners = anchor.corners(&offsets);
        assert!(corners.iter().zip([14.0, 18.0, 38.0, 42.0]).all(|(own, wanted)| (own - wanted).abs() < 1e-3), "{corners:?}");
        assert!(anchor.corners(&[0.0, 0.0, 1e9, 0.0]).iter().all(|side| side.is_finite()));
    }
}
