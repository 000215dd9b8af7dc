//! Masks of images that are much larger than those a model learned from: window by window at the scale of these, what is said of windows that
//! overlap averaged.

use rayon::prelude::*;

use super::error::Result;
use super::predict::Predictor;
use crate::data::image_windows::{self, Window};
use crate::data::{Labels, Sample, Target};
use crate::nn::kernels::resized;

/// Windows that are answered about at once.
const AT_ONCE: usize = 16;

/// Numbers that sums over an image may take; larger ones are seen as a whole.
const MOST_NUMBERS: usize = 1 << 28;

/// The usual width and height of the images whose masks are trained on: the median of each.
pub fn usual_size(train: &[Sample]) -> Option<[u32; 2]> {
    let sizes =
        train.iter().filter_map(|sample| if let Target::Mask(mask) = &sample.target { Some([mask.width, mask.height]) } else { None });
    let mut sides: [Vec<u32>; 2] = Default::default();
    for [width, height] in sizes {
        sides[0].push(width);
        sides[1].push(height);
    }
    let median = |sides: &mut Vec<u32>| {
        sides.sort_unstable();
        sides.get(sides.len() / 2).copied()
    };
    let [width, height] = &mut sides;
    Some([median(width)?, median(height)?])
}

impl Predictor {
    /// The class of each pixel of an image that is much larger than those the decoder learned from; `None` of others.
    ///
    /// # Errors
    /// The network cannot answer.
    pub(super) fn labels_by_windows(&self, item: &[u8], grid: (usize, usize), (width, height): (u32, u32)) -> Result<Option<Labels>> {
        let classes = self.outputs();
        let Some([across, down]) = self.config.window().filter(|_| self.config.decoder().is_some()) else { return Ok(None) };
        if width as usize * height as usize * (classes + 1) > MOST_NUMBERS {
            return Ok(None);
        }
        let windows = image_windows::windows(item, &self.limits, (across, down)).unwrap_or_default();
        if windows.is_empty() {
            return Ok(None);
        }
        let mut sums = Windowed::new((width as usize, height as usize), classes);
        for windows in windows.chunks(AT_ONCE) {
            let items: Vec<&[u8]> = windows.iter().map(|window| window.encoded.as_slice()).collect();
            for (window, row) in windows.iter().zip(self.rows_of_places(&items)?) {
                sums.add(&row?, grid, place(window))?;
            }
        }
        Ok(Some(Labels { width, height, values: sums.classes() }))
    }
}

fn place(window: &Window) -> [usize; 4] {
    [window.left, window.top, window.width, window.height].map(|side| side as usize)
}

/// Sums of the probabilities that windows gave each pixel.
struct Windowed {
    width: usize,
    classes: usize,
    /// Row by row, class by class.
    sums: Vec<f32>,
}

impl Windowed {
    /// Of an image of this width and height.
    fn new((width, height): (usize, usize), classes: usize) -> Windowed {
        Windowed { width, classes, sums: vec![0.0; width * height * classes] }
    }

    /// Adds a window's outputs `(rows x columns, classes)`, which lies at `[left, top, width, height]`. Pixels near its edges, of whose
    /// surroundings it saw half, count less.
    ///
    /// # Errors
    /// Sizes do not fit.
    fn add(&mut self, outputs: &[f32], grid: (usize, usize), [left, top, width, height]: [usize; 4]) -> Result<()> {
        let all = resized(outputs, [grid.0, grid.1, self.classes], [height, width])?;
        let near = |at: usize, side: usize| ((at.min(side - 1 - at) + 1) as f32 / (side as f32 / 4.0)).min(1.0);
        for (row, line) in all.chunks_exact(width * self.classes).enumerate() {
            let from = ((top + row) * self.width + left) * self.classes;
            let sums = &mut self.sums[from..from + line.len()];
            for (column, (sums, outputs)) in sums.chunks_exact_mut(self.classes).zip(line.chunks_exact(self.classes)).enumerate() {
                let share = near(row, height) * near(column, width);
                let largest = outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let mass: f32 = outputs.iter().map(|value| (value - largest).exp()).sum();
                sums.iter_mut().zip(outputs).for_each(|(sum, value)| *sum += share * (value - largest).exp() / mass);
            }
        }
        Ok(())
    }

    /// The likeliest class of each pixel.
    fn classes(&self) -> Vec<u8> {
        let one = |pixel: &[f32]| (0..self.classes).rev().max_by(|a, b| pixel[*a].total_cmp(&pixel[*b])).unwrap_or(0) as u8;
        self.sums.par_chunks_exact(self.classes.max(1)).map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_overlap_are_averaged_and_their_middles_count_most() {
        let mut sums = Windowed::new((6, 1), 2);
        // The first window says class 0 everywhere, the second class 1.
        sums.add(&[2.0, 0.0], (1, 1), [0, 0, 4, 1]).unwrap();
        sums.add(&[0.0, 2.0], (1, 1), [2, 0, 4, 1]).unwrap();
        assert_eq!(sums.classes()[..2], [0, 0]);
        assert_eq!(sums.classes()[4..], [1, 1]);
        let mut alone = Windowed::new((3, 2), 3);
        alone.add(&[0.0, 0.0, 1.0], (1, 1), [0, 0, 3, 2]).unwrap();
        assert_eq!(alone.classes(), [2; 6]);
    }
}
