//! What is done to a convolution's output while it is still in the cache: scale and shift per channel (a batch norm
//! folded at inference), a residual added, an activation.

use super::Activation;
use super::simd::{clamp, vectorised};

/// `activation(x * scale + shift + residual)`, channel by channel.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// Per channel; both or neither.
    pub affine: Option<(&'a [f32], &'a [f32])>,
    /// Same shape as the output.
    pub residual: Option<&'a [f32]>,
    pub activation: Activation,
}

impl Epilogue<'_> {
    /// Applies it to whole pixels `values`, which start at `offset` of the output.
    pub(crate) fn apply(&self, values: &mut [f32], offset: usize, channels: usize) {
        let Some((scale, shift)) = self.affine else { return };
        let (low, high) = self.activation.bounds();
        vectorised(|| match self.residual {
            None => {
                for pixel in values.chunks_exact_mut(channels) {
                    affine(pixel, scale, shift, low, high);
                }
            }
            Some(residual) => {
                let residual = residual[offset..offset + values.len()].chunks_exact(channels);
                for (pixel, residual) in values.chunks_exact_mut(channels).zip(residual) {
                    affine_add(pixel, residual, scale, shift, low, high);
                }
            }
        });
        if self.activation.is_smooth() {
            self.activation.apply(values);
        }
    }
}

#[inline(always)]
fn affine(pixel: &mut [f32], scale: &[f32], shift: &[f32], low: f32, high: f32) {
    for ((value, &scale), &shift) in pixel.iter_mut().zip(scale).zip(shift) {
        *value = clamp(*value * scale + shift, low, high);
    }
}

#[inline(always)]
fn affine_add(pixel: &mut [f32], residual: &[f32], scale: &[f32], shift: &[f32], low: f32, high: f32) {
    for (((value, &residual), &scale), &shift) in pixel.iter_mut().zip(residual).zip(scale).zip(shift) {
        *value = clamp(*value * scale + shift + residual, low, high);
    }
}
