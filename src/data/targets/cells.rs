//! A mask as a network sees it: brought to the size of the view, with a class for each cell of the grid on which places are answered about.

use std::sync::Arc;

use super::mask::{Labels, UNSAID};

/// Of one view.
#[derive(Debug, Clone, PartialEq)]
pub struct Cells {
    pub rows: usize,
    pub columns: usize,
    /// The class that most pixels of each cell have, row by row; [`UNSAID`] where nothing is said about any.
    pub each: Arc<[u8]>,
    /// The class of each pixel of the view.
    pub pixels: Arc<Labels>,
    /// Classes that pixels have, rising.
    pub kinds: Arc<[u32]>,
    /// Objects that are told apart, where that is known.
    pub instances: Option<usize>,
}

impl Cells {
    /// Of a mask that is brought to a view of this width and height as the image is: each side by itself. Cells have this many pixels a
    /// side.
    pub fn of(mask: &Labels, (width, height): (u32, u32), cell: usize) -> Cells {
        let pixels = resized(mask, width, height);
        let (w, h) = (width as usize, height as usize);
        let (rows, columns) = (h.div_ceil(cell), w.div_ceil(cell));
        let mut each = Vec::with_capacity(rows * columns);
        let mut seen = [false; 256];
        for row in 0..rows {
            for column in 0..columns {
                let mut counts = [0u32; 256];
                for y in row * cell..((row + 1) * cell).min(h) {
                    let from = y * w + column * cell;
                    pixels.values[from..(from + cell).min(y * w + w)].iter().for_each(|value| counts[usize::from(*value)] += 1);
                }
                (0..256).for_each(|value| seen[value] |= counts[value] > 0);
                // Of equally many the first.
                let most =
                    (0..UNSAID).rev().max_by_key(|value| counts[usize::from(*value)]).filter(|value| counts[usize::from(*value)] > 0);
                each.push(most.unwrap_or(UNSAID));
            }
        }
        let kinds = (0..u32::from(UNSAID)).filter(|kind| seen[*kind as usize]).collect();
        Cells { rows, columns, each: each.into(), pixels: Arc::new(pixels), kinds, instances: None }
    }

    /// With how many objects there are.
    pub fn with_instances(self, instances: Option<usize>) -> Cells {
        Cells { instances, ..self }
    }
}

/// The nearest pixel for each pixel of another size.
pub fn resized(labels: &Labels, width: u32, height: u32) -> Labels {
    let place = |at: u32, to: u32, from: u32| ((u64::from(2 * at + 1) * u64::from(from)) / (2 * u64::from(to))) as usize;
    let columns: Vec<usize> = (0..width).map(|x| place(x, width, labels.width)).collect();
    let mut values = Vec::with_capacity(width as usize * height as usize);
    for y in 0..height {
        let from = place(y, height, labels.height) * labels.width as usize;
        values.extend(columns.iter().map(|x| labels.values[from + x]));
    }
    Labels { width, height, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_the_class_of_most_of_their_pixels() {
        let values = vec![0, 0, 1, 1, 0, 2, 1, 1, 3, 3, UNSAID, UNSAID, 3, 3, UNSAID, UNSAID];
        let labels = Labels { width: 4, height: 4, values };
        let cells = Cells::of(&labels, (4, 4), 2);
        assert_eq!((cells.rows, cells.columns, &cells.each[..], &cells.kinds[..]), (2, 2, &[0, 1, 3, UNSAID][..], &[0, 1, 2, 3][..]));
        let larger = Cells::of(&labels, (8, 8), 2);
        assert_eq!(&larger.each[..], &labels.values[..]);
        assert_eq!(resized(&labels, 2, 2).values, [2, 1, 3, UNSAID]);
        assert_eq!(resized(&larger.pixels, 4, 4), labels);
    }

    #[test]
    fn a_class_follows_its_pixels_to_any_size() {
        for (width, height) in [(7, 5), (16, 9), (31, 40)] {
            let labels = Labels { width, height, values: (0..width * height).map(|at| u8::from(at % width < width / 2)).collect() };
            let seen = resized(&labels, 24, 24);
            for (at, value) in seen.values.iter().enumerate() {
                let x = (at % 24) as f64 + 0.5;
                let there = x * f64::from(width) / 24.0 < f64::from(width / 2);
                assert_eq!(*value, u8::from(there), "{width} x {height}, {at}");
            }
        }
    }
}
