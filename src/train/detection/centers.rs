//! Rows of a network that finds objects as points (CenterNet, Zhou et al. 2019), of one map at stride 4: a logit for each class, and the distances
//! to the sides of a box from the place's first corner, in units of sixteen pixels. An object is where a class is surer than at the eight places
//! around; no box takes another away.

use super::decode::{LEAST_SCORE, chance, placed};
use super::loss::{Losses, focal};
use super::{Finder, Found, NEVER};
use crate::data::Boxed;
use crate::train::measures::detection::{Detection, overlap};

/// Pixels of the view along a side of a place.
const STRIDE: usize = 4;
/// Pixels of a unit of distance.
const UNIT: f32 = 16.0;
/// Numbers of a row beside those of the classes.
const BESIDE: usize = 4;
/// Answers of an image that stay.
const MOST: usize = 100;

pub(super) struct Centers;

impl Finder for Centers {
    fn beside(&self) -> usize {
        BESIDE
    }

    fn rows(&self, view: [u32; 2]) -> usize {
        places(view)
    }

    fn losses(&self, rows: &[f32], classes: usize, view: [u32; 2], objects: &[&[Boxed]]) -> Losses {
        losses(rows, classes, view, objects)
    }

    fn found(&self, rows: &[f32], classes: usize, view: [u32; 2], image: ([u32; 2], [f32; 2])) -> Found {
        decode(rows, classes, view, image)
    }

    fn nothing(&self, classes: usize) -> Vec<f32> {
        [vec![NEVER; classes], vec![0.0; BESIDE]].concat()
    }
}

/// Columns and rows of a view's places.
fn grid([width, height]: [u32; 2]) -> [usize; 2] {
    [width, height].map(|side| (side as usize).div_ceil(STRIDE))
}

/// Places of a view.
fn places(view: [u32; 2]) -> usize {
    grid(view).iter().product()
}

/// The box (left, top, right, bottom) that a place answers, in pixels of the view.
fn corners(at: usize, columns: usize, distances: &[f32]) -> [f32; 4] {
    let [x, y] = [at % columns.max(1), at / columns.max(1)].map(|cell| (cell * STRIDE) as f32);
    [x - UNIT * distances[0], y - UNIT * distances[1], x + UNIT * distances[2], y + UNIT * distances[3]]
}

/// The objects that an image's rows `(places, classes + 4)` tell of, in pixels of the image, `scale` of which are one of the view along
/// each side, cut at the edges.
fn decode(rows: &[f32], classes: usize, view: [u32; 2], (image, scale): ([u32; 2], [f32; 2])) -> Found {
    let (width, [columns, lines]) = (classes + BESIDE, grid(view));
    if rows.len() < columns * lines * width {
        return Found::new();
    }
    let mut sure: Vec<(f32, usize, usize)> = Vec::new();
    for at in 0..columns * lines {
        for (class, own) in rows[at * width..][..classes].iter().enumerate() {
            let score = chance(*own);
            // Equal ones stay beside each other, as scores are compared and not logits.
            if score > LEAST_SCORE && around(at, [columns, lines]).all(|place| chance(rows[place * width + class]) <= score) {
                sure.push((score, at, class));
            }
        }
    }
    sure.sort_by(|a, b| b.0.total_cmp(&a.0));
    sure.truncate(MOST);
    let said = |(score, at, class): (f32, usize, usize)| {
        let bbox = placed(corners(at, columns, &rows[at * width + classes..][..BESIDE]), image, scale)?;
        Some(Detection { class: class as u32, bbox, score: f64::from(score) })
    };
    sure.into_iter().filter_map(said).collect()
}

/// A place and those around it.
fn around(at: usize, [columns, lines]: [usize; 2]) -> impl Iterator<Item = usize> {
    let (x, y) = (at % columns, at / columns);
    let near = |at: usize, cells: usize| at.saturating_sub(1)..=(at + 1).min(cells - 1);
    near(y, lines).flat_map(move |y| near(x, columns).map(move |x| y * columns + x))
}

/// How far a batch's rows are from what is there: focal loss of classes, of which an object's is wanted where its middle lies, and of its box there
/// what is not shared. It is measured, and nothing learns by it: the gradient is nothing.
fn losses(rows: &[f32], classes: usize, view: [u32; 2], images: &[&[Boxed]]) -> Losses {
    let (width, [columns, lines]) = (classes + BESIDE, grid(view));
    let mut all = Losses { gradient: vec![0.0; rows.len()], ..Losses::default() };
    let objects = images.iter().map(|list| list.len()).sum::<usize>().max(1) as f64;
    for (list, rows) in images.iter().zip(rows.chunks_exact((columns * lines * width).max(1))) {
        let middle = |object: &Boxed| {
            let [x, y, w, h] = object.bbox;
            let cell = |at: f32, cells: usize| ((at / STRIDE as f32).max(0.0) as usize).min(cells.saturating_sub(1));
            cell(y + h / 2.0, lines) * columns + cell(x + w / 2.0, columns)
        };
        let wanted: Vec<(usize, &Boxed)> = list.iter().map(|object| (middle(object), object)).collect();
        for (at, row) in rows.chunks_exact(width).enumerate() {
            let is_there = |class: usize| wanted.iter().any(|(place, object)| *place == at && object.class as usize == class);
            all.classes +=
                row[..classes].iter().enumerate().map(|(class, logit)| focal(f64::from(*logit), is_there(class)).0).sum::<f64>() / objects;
        }
        for (at, object) in &wanted {
            let [left, top, right, bottom] = corners(*at, columns, &rows[at * width + classes..][..BESIDE]).map(f64::from);
            let said = [left, top, right - left, bottom - top];
            all.boxes += (1.0 - overlap(&said, &object.bbox.map(f64::from), false)) / objects;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of a view of 16 x 8 pixels and two classes, that say nothing but for some places.
    fn rows(said: &[(usize, usize, f32, [f32; 4])]) -> Vec<f32> {
        let mut rows = [-9.0, -9.0, 0.0, 0.0, 0.0, 0.0].repeat(4 * 2);
        for (at, class, logit, distances) in said {
            rows[at * 6 + class] = *logit;
            rows[at * 6 + 2..][..4].copy_from_slice(distances);
        }
        rows
    }

    #[test]
    fn the_surest_of_its_neighbours_is_an_object() {
        let said = rows(&[(1, 1, 2.0, [0.25, 0.0, 0.25, 0.5]), (2, 1, 1.0, [9.0; 4]), (6, 0, 3.0, [0.5, 0.25, 0.0, 0.0])]);
        let found = decode(&said, 2, [16, 8], ([32, 8], [2.0, 1.0]));
        let chance = |logit: f64| 1.0 / (1.0 + (-logit).exp());
        assert_eq!(
            found.iter().map(|one| (one.class, one.bbox)).collect::<Vec<_>>(),
            [(0, [0.0, 0.0, 16.0, 4.0]), (1, [0.0, 0.0, 16.0, 8.0]),]
        );
        assert!((found[0].score - chance(3.0)).abs() < 1e-6 && (found[1].score - chance(2.0)).abs() < 1e-6);
        assert!(decode(&said[1..], 2, [16, 8], ([32, 8], [2.0, 1.0])).is_empty(), "rows that are missing say nothing");
        assert_eq!(places([16, 9]), 12);
    }

    #[test]
    fn what_is_found_where_it_is_costs_least() {
        // From (0, 0) to (8, 8) with its middle at (4, 4), which is the sixth place.
        let object = Boxed { class: 1, bbox: [0.0, 0.0, 8.0, 8.0], area: 64.0, crowd: false };
        let sum = |said: &[(usize, usize, f32, [f32; 4])]| losses(&rows(said), 2, [16, 8], &[&[object]]).sum();
        let right = sum(&[(5, 1, 9.0, [0.25; 4])]);
        assert!(right < 1e-3, "{right}");
        assert!(sum(&[]) > 1.0 && sum(&[(5, 0, 9.0, [0.25; 4])]) > 1.0 && sum(&[(5, 1, 9.0, [0.125; 4])]) > 0.5);
    }
}
