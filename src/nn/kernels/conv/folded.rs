//! What inference makes of a layer: a convolution with its batch norm folded to one scale and shift per channel, ready
//! for many calls.
//!
//! Scale and shift are applied to each piece of the output while it is in the cache, so that nothing is folded into
//! weights that may yet change.

use candle_core::{Result, bail};

use super::Prepared;
use super::affine::Affine;
use super::geometry::Geometry;
use crate::domain::recipe::Precision;
use crate::nn::kernels::activation::Activation;
use crate::nn::kernels::backend::{Arithmetic, Choice};
use crate::nn::kernels::threads::Threads;

/// `activation(conv2d(x, weight) * scale + shift + residual)`.
pub struct Folded<'a> {
    convolution: Prepared<'a>,
    affine: Affine,
    activation: Activation,
}

impl<'a> Folded<'a> {
    /// Packs the weight, in PyTorch's order. Errors when scales or shifts do not fit the channels.
    pub fn new(
        weight: &'a [f32],
        geometry: &Geometry,
        (scale, shift): (&[f32], &[f32]),
        activation: Activation,
        threads: Threads,
        backend: Choice,
    ) -> Result<Folded<'a>> {
        if scale.len() != geometry.out_c || shift.len() != geometry.out_c {
            bail!("{} scales and {} shifts for {} channels", scale.len(), shift.len(), geometry.out_c)
        }
        let convolution = Prepared::new(Arithmetic::new(backend, Precision::F32), weight, geometry, threads);
        Ok(Folded { convolution, affine: Affine::new(scale, shift), activation })
    }

    /// From `x (B, H, W, C)` to all of `y (B, OH, OW, O)`; the residual has y's shape. Errors where the library fails;
    /// panics where a slice is shorter than the geometry says.
    pub fn forward(&self, x: &[f32], residual: Option<&[f32]>, y: &mut [f32]) -> Result<()> {
        let finish = |piece: &mut [f32], offset: usize| {
            let residual = residual.map(|residual| &residual[offset..offset + piece.len()]);
            self.affine.apply_in_place(self.activation, residual, piece);
        };
        self.convolution.forward(x, &finish, y)
    }
}
