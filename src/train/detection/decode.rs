//! From a network's rows to boxes: what is sure enough, of each map the surest, without those that say the same.

use super::grid::Grid;
use super::nms::suppressed;
use super::{BESIDE, Found, corners};
use crate::train::measures::detection::Detection;

/// Less sure answers are none.
pub(super) const LEAST_SCORE: f32 = 0.05;
/// Answers of a map that are looked at, and those of an image that stay.
const MOST_OF_MAP: usize = 1_000;
pub(super) const MOST: usize = 100;
/// Boxes of a class that share more than this of their union say the same.
pub(super) const SAME: f64 = 0.6;

/// The objects that an image's rows `(places, classes + 5)` tell of: in pixels of the image, `scale` of which are one of the view along each
/// side, cut at the edges.
pub fn decode(rows: &[f32], classes: usize, grid: &Grid, (image, scale): ([u32; 2], [f32; 2])) -> Found {
    let width = classes + BESIDE;
    let mut found = Vec::new();
    for level in &grid.levels {
        let mut sure: Vec<(f32, usize, usize)> = Vec::new();
        for at in 0..level.columns * level.rows {
            let Some(row) = rows.get((level.first + at) * width..(level.first + at + 1) * width) else { break };
            let centred = chance(row[classes + 4]);
            let scores = row[..classes].iter().enumerate().map(|(class, logit)| ((chance(*logit) * centred).sqrt(), at, class));
            sure.extend(scores.filter(|(score, ..)| *score > LEAST_SCORE));
        }
        sure.sort_by(|a, b| b.0.total_cmp(&a.0));
        sure.truncate(MOST_OF_MAP);
        for (score, at, class) in sure {
            let row = &rows[(level.first + at) * width..][..width];
            let own = corners(level.middle(at), level.stride as f32, &row[classes..classes + 4]);
            found.extend(placed(own, image, scale).map(|bbox| Detection { class: class as u32, bbox, score: f64::from(score) }));
        }
    }
    suppressed(found, SAME, MOST)
}

/// In pixels of the image, within it; `None` of what lies outside.
pub(super) fn placed(corners: [f32; 4], image: [u32; 2], scale: [f32; 2]) -> Option<[f64; 4]> {
    let at = |side: usize| (f64::from(corners[side]) * f64::from(scale[side % 2])).clamp(0.0, f64::from(image[side % 2]));
    let [left, top, right, bottom] = [0, 1, 2, 3].map(at);
    (right > left && bottom > top).then_some([left, top, right - left, bottom - top])
}

pub(super) fn chance(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows that say nothing but for some places: `(place, class, logs of distances)`.
    fn rows(grid: &Grid, said: &[(usize, usize, [f32; 4], f32)]) -> Vec<f32> {
        let mut rows = [-9.0, -9.0, 0.0, 0.0, 0.0, 0.0, 0.0].repeat(grid.len());
        for (place, class, logs, centred) in said {
            let row = &mut rows[place * 7..][..7];
            row[*class] = 4.0;
            row[2..6].copy_from_slice(logs);
            row[6] = *centred;
        }
        rows
    }

    #[test]
    fn rows_become_boxes_of_the_image() {
        let grid = Grid::of([32, 32]);
        // From the middle of the sixth place (12, 12) one stride each way, and two to the right.
        let said = rows(&grid, &[(5, 1, [0.0, 0.0, 2f32.ln(), 0.0], 2.0), (6, 1, [1.0, 0.0, 0.0, 0.0], -2.0)]);
        let found = decode(&said, 2, &grid, ([64, 96], [2.0, 3.0]));
        assert_eq!(found.len(), 1, "the second says the same and is less sure: {found:?}");
        let wanted = [8.0, 12.0, 48.0, 48.0];
        assert!(found[0].bbox.iter().zip(wanted).all(|(own, wanted)| (own - wanted).abs() < 1e-4), "{found:?}");
        let chance = |logit: f64| 1.0 / (1.0 + (-logit).exp());
        assert!((found[0].score - (chance(4.0) * chance(2.0)).sqrt()).abs() < 1e-6 && found[0].class == 1);
    }

    #[test]
    fn boxes_end_at_the_edges_and_other_classes_stay() {
        let grid = Grid::of([32, 32]);
        let said = rows(&grid, &[(0, 0, [3.0; 4], 3.0), (1, 1, [3.0; 4], 3.0)]);
        let found = decode(&said, 2, &grid, ([32, 32], [1.0, 1.0]));
        assert_eq!(found.iter().map(|answer| answer.bbox).collect::<Vec<_>>(), [[0.0, 0.0, 32.0, 32.0]; 2]);
        assert!(decode(&rows(&grid, &[]), 2, &grid, ([32, 32], [1.0, 1.0])).is_empty());
        assert!(decode(&[], 2, &grid, ([32, 32], [1.0, 1.0])).is_empty(), "rows that are missing say nothing");
    }
}
