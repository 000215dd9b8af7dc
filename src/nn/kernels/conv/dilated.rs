//! Depthwise convolution whose taps lie apart (à trous), stride 1, padded so that sides stay: `(B, H, W, C)` with `weight (C, 1, k, k)`,
//! on slices.

use candle_core::{Result, bail};
use rayon::prelude::*;
use tracing::trace_span;

use crate::nn::kernels::matmul::add_in_order;
use crate::nn::kernels::simd::vectorised;

/// One such convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dilated {
    shape: [usize; 4],
    /// Taps of a side, odd, and pixels from one to the next.
    kernel: usize,
    rate: usize,
}

/// A tap: its place in the weight, and what it adds to a pixel's line and column.
type Tap = (usize, isize, isize);

impl Dilated {
    pub fn new(shape: [usize; 4], weight: &[usize], rate: usize) -> Result<Dilated> {
        let &[channels, 1, kernel, other] = weight else { bail!("a depthwise weight is (C, 1, k, k), not {weight:?}") };
        if channels != shape[3] || kernel != other || kernel % 2 == 0 || rate == 0 || shape.contains(&0) {
            bail!("a weight of {weight:?} at rate {rate} does not fit maps of {shape:?}")
        }
        Ok(Dilated { shape, kernel, rate })
    }

    fn taps(&self) -> Vec<Tap> {
        let (half, rate) = ((self.kernel / 2) as isize, self.rate as isize);
        let one = |tap: usize| {
            let (y, x) = ((tap / self.kernel) as isize - half, (tap % self.kernel) as isize - half);
            (tap, y * rate, x * rate)
        };
        // Those that lie outside of the image wherever they are put are never looked at.
        let [_, height, width, _] = self.shape;
        let reaches = |(_, y, x): &Tap| y.unsigned_abs() < height && x.unsigned_abs() < width;
        (0..self.kernel * self.kernel).map(one).filter(reaches).collect()
    }

    /// The weight as rows of channels, a row for each tap: `(k * k, C)`.
    fn rows(&self, weight: &[f32]) -> Vec<f32> {
        let taps = self.kernel * self.kernel;
        (0..taps).flat_map(|tap| weight.iter().skip(tap).step_by(taps).copied()).collect()
    }

    /// Columns `from..to` for which `column + shift` lies in the image.
    fn columns(&self, shift: isize) -> (usize, usize) {
        let width = self.shape[2] as isize;
        ((-shift).clamp(0, width) as usize, (width - shift).clamp(0, width) as usize)
    }

    fn spread(&self, x: &[f32], rows: &[f32], sign: isize, y: &mut [f32]) {
        let [_, height, width, channels] = self.shape;
        let taps = self.taps();
        y.par_chunks_mut(width * channels).enumerate().for_each(|(index, y)| {
            y.fill(0.0);
            let (image, row) = (index / height, (index % height) as isize);
            for (tap, down, across) in &taps {
                let from = row + sign * down;
                if from < 0 || from >= height as isize {
                    continue;
                }
                let x = &x[(image * height + from as usize) * width * channels..][..width * channels];
                let (factors, shift) = (&rows[tap * channels..(tap + 1) * channels], sign * across);
                let (first, end) = self.columns(shift);
                for at in first..end {
                    let source = (at as isize + shift) as usize * channels;
                    add_product(&mut y[at * channels..(at + 1) * channels], &x[source..source + channels], factors);
                }
            }
        });
    }

    /// Writes all of `y`.
    pub fn forward(&self, x: &[f32], weight: &[f32], y: &mut [f32]) {
        let _span = trace_span!("dilated convolution").entered();
        self.spread(x, &self.rows(weight), 1, y);
    }

    /// Writes all of `dx`.
    pub fn input_gradient(&self, dy: &[f32], weight: &[f32], dx: &mut [f32]) {
        self.spread(dy, &self.rows(weight), -1, dx);
    }

    /// In the weight's order. Images are added in their order.
    pub fn weight_gradient(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let [_, height, width, channels] = self.shape;
        let (image, all) = (height * width * channels, self.kernel * self.kernel);
        let taps = self.taps();
        let one = |(x, dy): (&[f32], &[f32])| {
            let mut sums = vec![0f32; all * channels];
            for (tap, down, across) in &taps {
                let (first, end) = self.columns(*across);
                let sum = &mut sums[tap * channels..(tap + 1) * channels];
                for row in 0..height {
                    let from = row as isize + down;
                    if from < 0 || from >= height as isize {
                        continue;
                    }
                    for at in first..end {
                        let source = (from as usize * width + (at as isize + across) as usize) * channels;
                        let place = (row * width + at) * channels;
                        add_product(sum, &x[source..source + channels], &dy[place..place + channels]);
                    }
                }
            }
            sums
        };
        let parts: Vec<Vec<f32>> = x.par_chunks(image).zip(dy.par_chunks(image)).map(one).collect();
        let sums = add_in_order(parts);
        (0..channels).flat_map(|channel| sums.iter().skip(channel).step_by(channels).copied()).collect()
    }
}

fn add_product(sum: &mut [f32], a: &[f32], b: &[f32]) {
    vectorised!({
        for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    });
}
