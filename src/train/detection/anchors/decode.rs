//! From a network's rows to boxes: the classes that anchors are sure enough of, without boxes that say the same.

use super::super::decode::{LEAST_SCORE, MOST, SAME, placed};
use super::super::{Found, suppressed};
use super::{Anchor, BESIDE};
use crate::train::measures::detection::Detection;

/// Answers of an image that are looked at, the surest.
const MOST_LOOKED_AT: usize = 2_000;

/// The objects that an image's rows `(anchors, classes + 5)` tell of: in pixels of the image, `scale` of which are one of the view along each side,
/// cut at the edges.
pub(super) fn decode(rows: &[f32], classes: usize, anchors: &[Anchor], (image, scale): ([u32; 2], [f32; 2])) -> Found {
    let width = classes + BESIDE;
    let mut sure: Vec<(f32, usize, usize)> = Vec::new();
    for (at, row) in rows.chunks_exact(width).take(anchors.len()).enumerate() {
        let nothing = row[width - 1];
        let largest = row[..classes].iter().copied().fold(nothing, f32::max);
        let mass: f32 = row[..classes].iter().chain([&nothing]).map(|logit| (logit - largest).exp()).sum();
        let scores = row[..classes].iter().enumerate().map(|(class, logit)| ((logit - largest).exp() / mass, at, class));
        sure.extend(scores.filter(|(score, ..)| *score > LEAST_SCORE));
    }
    sure.sort_by(|a, b| b.0.total_cmp(&a.0));
    sure.truncate(MOST_LOOKED_AT);
    let of = |(score, at, class): (f32, usize, usize)| {
        let own = anchors[at].corners(&rows[at * width + classes..at * width + classes + 4]);
        placed(own, image, scale).map(|bbox| Detection { class: class as u32, bbox, score: f64::from(score) })
    };
    suppressed(sure.into_iter().filter_map(of).collect(), SAME, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_boxes_of_the_image() {
        let anchors = Anchor::all([32, 32]);
        let mut rows = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 9.0].repeat(anchors.len());
        // The first anchor of the sixth place, whose middle is (12, 12), moved by a quarter of its width; its neighbour says the same, less surely.
        for (at, logit, offset) in [(20, 11.0, 2.5), (24, 10.0, -0.8)] {
            let row = &mut rows[at * 7..][..7];
            (row[1], row[2]) = (logit, offset);
        }
        let found = decode(&rows, 2, &anchors, ([64, 96], [2.0, 3.0]));
        assert_eq!((found.len(), found[0].class), (1, 1), "{found:?}");
        // From (6, 0) to (30, 24) of the view.
        assert!(found[0].bbox.iter().zip([12.0, 0.0, 48.0, 72.0]).all(|(own, wanted)| (own - wanted).abs() < 1e-3), "{found:?}");
        assert!((found[0].score - 1.0 / (1.0 + (-2f64).exp() + (-11f64).exp())).abs() < 1e-5);
        assert!(decode(&[], 2, &anchors, ([32, 32], [1.0, 1.0])).is_empty(), "rows that are missing say nothing");
    }

    #[test]
    fn boxes_end_at_the_edges_and_other_classes_stay() {
        let anchors = Anchor::all([32, 32]);
        let mut rows = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 9.0].repeat(anchors.len());
        (rows[0], rows[7 + 1]) = (12.0, 12.0);
        let found = decode(&rows, 2, &anchors, ([32, 32], [1.0, 1.0]));
        assert_eq!(found.iter().map(|one| (one.class, one.bbox[0], one.bbox[1])).collect::<Vec<_>>(), [(0, 0.0, 0.0), (1, 0.0, 0.0)]);
    }
}
