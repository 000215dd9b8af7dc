//! Linear layers over all tokens of a batch, whose factors are rounded to bf16 and whose sums are f32: a 1x1 convolution
//! is the same, and the library has that one. Between such layers the whole batch goes through memory, which pays only
//! because the products are so much quicker.

use candle_core::Result;

use super::backend::Arithmetic;
use super::conv;
use super::conv::geometry::{Geometry, Spec};
use super::simd::vectorised;

/// One layer's sizes.
pub(super) struct Bf16Linear {
    arithmetic: Arithmetic,
    geometry: Geometry,
}

impl Bf16Linear {
    /// Tokens lie side by side: one below the other the library would multiply them one by one for the weight gradient.
    pub fn new(arithmetic: Arithmetic, [images, tokens]: [usize; 2], inputs: usize, outputs: usize) -> Result<Bf16Linear> {
        let geometry = Geometry::of(&[images, 1, tokens, inputs], &[outputs, inputs, 1, 1], &Spec::POINTWISE)?;
        Ok(Bf16Linear { arithmetic, geometry })
    }

    /// `y = x * weight^T`, each row of it finished while it is in the cache: `finish(row, its values)`.
    pub fn forward(&self, x: &[f32], weight: &[f32], finish: impl Fn(usize, &mut [f32]) + Sync, y: &mut [f32]) -> Result<()> {
        let width = self.geometry.out_c;
        let finish = |piece: &mut [f32], offset: usize| {
            for (row, values) in piece.chunks_exact_mut(width).enumerate() {
                finish(offset / width + row, values);
            }
        };
        conv::forward(self.arithmetic, x, weight, &self.geometry, &finish, y)
    }

    /// `dx = dy * weight`; `dy` stays as it is.
    pub fn input_gradient(&self, dy: &mut [f32], weight: &[f32], dx: &mut [f32]) -> Result<()> {
        conv::input_gradient(self.arithmetic, dy, &|_, _| {}, weight, &self.geometry, dx)
    }

    /// `dy^T * x`.
    pub fn weight_gradient(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        conv::weight_gradient(self.arithmetic, x, dy, &self.geometry)
    }
}

/// `row += bias + residual`.
pub(super) fn add_both(row: &mut [f32], bias: &[f32], residual: &[f32]) {
    vectorised!(row.iter_mut().zip(bias).zip(residual).for_each(|((value, bias), residual)| *value += residual + bias));
}
