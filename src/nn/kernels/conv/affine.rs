//! One scale and one shift per channel, a residual added, an activation: a batch norm whose statistics are known.

use crate::nn::kernels::activation::Activation;
use crate::nn::kernels::activation::{Function, with_function};
use crate::nn::kernels::norm::statistics::{block_rows, tiled};
use crate::nn::kernels::simd::vectorised;
use crate::nn::kernels::threads::Threads;

/// Scale and shift of each channel, for a tile of pixels.
pub(crate) struct Affine {
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
}

/// `y = activation(x * scale + shift)` over maps of so many channels.
pub(crate) fn normalise(affine: &Affine, activation: Activation, channels: usize, threads: Threads, x: &[f32], y: &mut [f32]) {
    let block = block_rows(channels) * channels;
    threads.deal(y, block, |index, y| affine.apply(activation, &x[index * block..index * block + y.len()], None, y));
}

impl Affine {
    /// One value per channel.
    pub fn new(scale: &[f32], shift: &[f32]) -> Affine {
        Affine { scale: tiled(scale), shift: tiled(shift) }
    }

    /// `y = activation(x * scale + shift + residual)` over whole pixels.
    pub fn apply(&self, activation: Activation, x: &[f32], residual: Option<&[f32]>, y: &mut [f32]) {
        with_function!(activation, F => vectorised!(self.activate::<F>(x, residual, y)));
    }

    /// The same with x in y's place.
    pub fn apply_in_place(&self, activation: Activation, residual: Option<&[f32]>, values: &mut [f32]) {
        with_function!(activation, F => vectorised!(self.activate_in_place::<F>(residual, values)));
    }

    #[inline(always)]
    fn activate<F: Function>(&self, x: &[f32], residual: Option<&[f32]>, y: &mut [f32]) {
        let width = self.scale.len();
        let (scale, shift) = (&self.scale[..width], &self.shift[..width]);
        match residual {
            None => {
                for (y, x) in y.chunks_mut(width).zip(x.chunks(width)) {
                    for (((y, &x), &scale), &shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                        *y = F::value(x * scale + shift);
                    }
                }
            }
            Some(residual) => {
                for ((y, x), residual) in y.chunks_mut(width).zip(x.chunks(width)).zip(residual.chunks(width)) {
                    for ((((y, &x), &residual), &scale), &shift) in y.iter_mut().zip(x).zip(residual).zip(scale).zip(shift) {
                        *y = F::value(x * scale + shift + residual);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn activate_in_place<F: Function>(&self, residual: Option<&[f32]>, values: &mut [f32]) {
        let width = self.scale.len();
        let (scale, shift) = (&self.scale[..width], &self.shift[..width]);
        match residual {
            None => {
                for values in values.chunks_mut(width) {
                    for ((value, &scale), &shift) in values.iter_mut().zip(scale).zip(shift) {
                        *value = F::value(*value * scale + shift);
                    }
                }
            }
            Some(residual) => {
                for (values, residual) in values.chunks_mut(width).zip(residual.chunks(width)) {
                    for (((value, &residual), &scale), &shift) in values.iter_mut().zip(residual).zip(scale).zip(shift) {
                        *value = F::value(*value * scale + shift + residual);
                    }
                }
            }
        }
    }
}
