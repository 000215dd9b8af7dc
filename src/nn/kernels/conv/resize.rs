//! Maps brought to other sides, on slices: to the nearest pixel, or bilinearly between the middles of pixels (PyTorch's
//! `align_corners=False`); and the gradient of both.

use candle_core::{Result, bail};
use rayon::prelude::*;
use tracing::trace_span;

use crate::nn::kernels::simd::vectorised;

/// How pixels between pixels are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Between {
    /// The pixel that lies there: `floor(at * from / to)`.
    Nearest,
    /// Of the two whose middles lie around it, by their distance; at the edge the last one alone.
    Bilinear,
    /// The same counted from the pixels' first corners instead of their middles, `at * from / to`, as TensorFlow 1 did it.
    Corners,
}

/// Two pixels of a line, and the share of the second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tap {
    pub low: usize,
    pub high: usize,
    pub part: f32,
}

/// For each of `to` pixels of a line what it is made of, of `from`.
pub(crate) fn taps(from: usize, to: usize, between: Between) -> Vec<Tap> {
    let one = |at: usize| match between {
        Between::Nearest => {
            let low = (at * from / to).min(from - 1);
            Tap { low, high: low, part: 0.0 }
        }
        Between::Bilinear | Between::Corners => {
            let middle = if between == Between::Bilinear { 0.5 } else { 0.0 };
            let place = ((at as f64 + middle) * from as f64 / to as f64 - middle).clamp(0.0, (from - 1) as f64);
            let low = place.floor() as usize;
            Tap { low, high: (low + 1).min(from - 1), part: place.fract() as f32 }
        }
    };
    (0..to).map(one).collect()
}

/// One change of sides.
pub(crate) struct Resize {
    input: [usize; 4],
    lines: Vec<Tap>,
    columns: Vec<Tap>,
}

impl Resize {
    /// Of maps `(B, H, W, C)` to sides `[height, width]`.
    pub fn new(input: [usize; 4], [height, width]: [usize; 2], between: Between) -> Result<Resize> {
        if input.contains(&0) || height == 0 || width == 0 {
            bail!("maps of {input:?} cannot be brought to {height} x {width}")
        }
        Ok(Resize { input, lines: taps(input[1], height, between), columns: taps(input[2], width, between) })
    }

    pub fn output_shape(&self) -> [usize; 4] {
        [self.input[0], self.lines.len(), self.columns.len(), self.input[3]]
    }

    /// Writes all of `y`.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) {
        let _span = trace_span!("resize").entered();
        let [_, height, width, channels] = self.input;
        let line = self.columns.len() * channels;
        y.par_chunks_mut(line).enumerate().for_each(|(index, y)| {
            let (image, tap) = (index / self.lines.len(), self.lines[index % self.lines.len()]);
            let row = |at: usize| &x[(image * height + at) * width * channels..][..width * channels];
            let (above, below) = (row(tap.low), row(tap.high));
            for (column, y) in self.columns.iter().zip(y.chunks_exact_mut(channels)) {
                let [low, high] = [column.low, column.high].map(|at| at * channels..(at + 1) * channels);
                let pixels = [&above[low.clone()], &above[high.clone()], &below[low], &below[high]];
                blend(y, pixels, [tap.part, column.part]);
            }
        });
    }

    /// Writes all of `dx`.
    pub fn gradient(&self, dy: &[f32], dx: &mut [f32]) {
        let _span = trace_span!("resize gradient").entered();
        let [_, height, width, channels] = self.input;
        let line = self.columns.len() * channels;
        // Who is made of a line, with which share.
        let mut users: Vec<Vec<(usize, f32)>> = vec![Vec::new(); height];
        for (at, tap) in self.lines.iter().enumerate() {
            users[tap.low].push((at, 1.0 - tap.part));
            if tap.part > 0.0 {
                users[tap.high].push((at, tap.part));
            }
        }
        dx.par_chunks_mut(width * channels).enumerate().for_each(|(index, dx)| {
            dx.fill(0.0);
            let image = index / height;
            for (at, share) in &users[index % height] {
                let dy = &dy[(image * self.lines.len() + at) * line..][..line];
                for (column, dy) in self.columns.iter().zip(dy.chunks_exact(channels)) {
                    add_scaled(&mut dx[column.low * channels..][..channels], dy, share * (1.0 - column.part));
                    if column.part > 0.0 {
                        add_scaled(&mut dx[column.high * channels..][..channels], dy, share * column.part);
                    }
                }
            }
        });
    }
}

/// One map `[height, width, channels]` at other sides, bilinearly.
pub(crate) fn resized(x: &[f32], [height, width, channels]: [usize; 3], sides: [usize; 2]) -> Result<Vec<f32>> {
    let resize = Resize::new([1, height, width, channels], sides, Between::Bilinear)?;
    if x.len() != height * width * channels {
        bail!("{} numbers are no map of {height} x {width} x {channels}", x.len())
    }
    let mut y = vec![0.0; sides[0] * sides[1] * channels];
    resize.forward(x, &mut y);
    Ok(y)
}

fn blend(y: &mut [f32], [a, b, c, d]: [&[f32]; 4], [down, across]: [f32; 2]) {
    if down == 0.0 && across == 0.0 {
        return y.copy_from_slice(a);
    }
    vectorised!({
        for ((((y, a), b), c), d) in y.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            let (above, below) = (a + (b - a) * across, c + (d - c) * across);
            *y = above + (below - above) * down;
        }
    });
}

fn add_scaled(sum: &mut [f32], more: &[f32], share: f32) {
    vectorised!(sum.iter_mut().zip(more).for_each(|(sum, value)| *sum += value * share));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_made_as_pytorch_makes_them() {
        let bilinear: Vec<(usize, usize, f32)> = taps(2, 4, Between::Bilinear).iter().map(|tap| (tap.low, tap.high, tap.part)).collect();
        assert_eq!(bilinear, [(0, 1, 0.0), (0, 1, 0.25), (0, 1, 0.75), (1, 1, 0.0)]);
        let corners: Vec<(usize, f32)> = taps(2, 4, Between::Corners).iter().map(|tap| (tap.low, tap.part)).collect();
        assert_eq!(corners, [(0, 0.0), (0, 0.5), (1, 0.0), (1, 0.0)], "as TensorFlow 1 makes them, the last pixel alone at the edge");
        let nearest: Vec<usize> = taps(3, 7, Between::Nearest).iter().map(|tap| tap.low).collect();
        assert_eq!(nearest, [0, 0, 0, 1, 1, 2, 2]);
        assert_eq!(taps(4, 2, Between::Bilinear)[1], Tap { low: 2, high: 3, part: 0.5 });
        assert!(Resize::new([1, 0, 2, 3], [2, 2], Between::Nearest).is_err());
    }

    #[test]
    fn what_is_the_same_size_is_the_same() {
        let x: Vec<f32> = (0..24).map(|at| at as f32).collect();
        for between in [Between::Nearest, Between::Bilinear, Between::Corners] {
            let resize = Resize::new([1, 3, 4, 2], [3, 4], between).unwrap();
            let (mut y, mut dx) = (vec![0.0; 24], vec![1.0; 24]);
            resize.forward(&x, &mut y);
            resize.gradient(&x, &mut dx);
            assert!(y == x && dx == x, "{between:?}");
        }
    }
}
