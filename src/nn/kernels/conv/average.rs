//! Average over spans of pixels on slices, and their gradient.

use candle_core::{Result, bail};
use rayon::prelude::*;
use tracing::trace_span;

use super::window::{Average, Span};
use crate::nn::kernels::simd::vectorised;
use crate::nn::kernels::threads::Threads;

/// A pooling by means of one shape.
pub(crate) struct AveragePool {
    /// Clips, their frames, height, width and channels; an image is a clip of one frame.
    input: [usize; 5],
    frames: Vec<Span>,
    lines: Vec<Span>,
    columns: Vec<Span>,
}

impl AveragePool {
    /// Over maps `(B, H, W, C)`, of clips of so many frames those of all of them.
    pub fn new(input: &[usize], frames: usize, average: Average) -> Result<AveragePool> {
        let &[maps, height, width, channels] = input else { bail!("expected four dimensions, got {input:?}") };
        if maps == 0 || channels == 0 {
            bail!("empty input {input:?}")
        }
        if frames == 0 || !maps.is_multiple_of(frames) {
            bail!("{maps} maps are not clips of {frames} frames")
        }
        let [lines, columns] = average.spans([height, width])?;
        Ok(AveragePool { input: [maps / frames, frames, height, width, channels], frames: average.spans_of_frames(frames), lines, columns })
    }

    pub fn output_shape(&self) -> [usize; 4] {
        [self.input[0] * self.frames.len(), self.lines.len(), self.columns.len(), self.input[4]]
    }

    /// Writes all of `y`.
    pub fn forward(&self, x: &[f32], threads: Threads, y: &mut [f32]) {
        let _span = trace_span!("pool").entered();
        threads.deal(y, self.columns.len() * self.input[4], |index, y| self.line(x, index, y));
    }

    /// One line of the output.
    fn line(&self, x: &[f32], index: usize, y: &mut [f32]) {
        let [_, frames, height, width, channels] = self.input;
        let (image, line) = (index / self.lines.len(), self.lines[index % self.lines.len()]);
        let (clip, along) = (image / self.frames.len(), self.frames[image % self.frames.len()]);
        for (span, y) in self.columns.iter().zip(y.chunks_exact_mut(channels)) {
            y.fill(0.0);
            for (frame, row) in (along.first..along.end).flat_map(|frame| (line.first..line.end).map(move |row| (frame, row))) {
                let from = ((clip * frames + frame) * height + row) * width;
                let pixels = &x[(from + span.first) * channels..(from + span.end) * channels];
                vectorised!(add_pixels(pixels, y));
            }
            let share = along.share * line.share * span.share;
            vectorised!(y.iter_mut().for_each(|value| *value *= share));
        }
    }

    /// Writes all of `dx`.
    pub fn gradient(&self, dy: &[f32], dx: &mut [f32]) {
        let _span = trace_span!("pool gradient").entered();
        let [_, frames, height, width, channels] = self.input;
        dx.par_chunks_mut(width * channels).enumerate().for_each(|(index, dx)| {
            dx.fill(0.0);
            let (image, row) = (index / height, index % height);
            for (before, along) in over(&self.frames, image % frames) {
                for (above, line) in over(&self.lines, row) {
                    let from = ((image / frames * self.frames.len() + before) * self.lines.len() + above) * self.columns.len();
                    for (at, span) in self.columns.iter().enumerate() {
                        let dy = &dy[(from + at) * channels..(from + at + 1) * channels];
                        let share = along.share * line.share * span.share;
                        vectorised!(spread_pixel(dy, share, &mut dx[span.first * channels..span.end * channels]));
                    }
                }
            }
        });
    }
}

/// The spans that lie over a place, each with its number.
fn over(spans: &[Span], at: usize) -> impl Iterator<Item = (usize, &Span)> {
    spans.iter().enumerate().filter(move |(_, span)| (span.first..span.end).contains(&at))
}

#[inline(always)]
fn add_pixels(pixels: &[f32], sum: &mut [f32]) {
    for pixel in pixels.chunks_exact(sum.len()) {
        sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
    }
}

#[inline(always)]
fn spread_pixel(dy: &[f32], share: f32, pixels: &mut [f32]) {
    for pixel in pixels.chunks_exact_mut(dy.len()) {
        pixel.iter_mut().zip(dy).for_each(|(value, dy)| *value += dy * share);
    }
}
