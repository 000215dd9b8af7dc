//! Layers whose norm is of each pixel over its channels (as in ViTDet's heads, Li et al. 2022): it knows neither the batch nor the map, so that it
//! is the same for maps of one pixel and for batches of any size.

use candle_core::Var;

use super::{Conv, Parts, Running, Shape};
use crate::nn::architectures::Init;
use crate::nn::error::Result;
use crate::nn::kernels::{Activation, Maps};

const EPS: f64 = 1e-6;

/// The norm of each pixel over its channels, and what is above zero of it.
pub(crate) struct PixelNorm {
    gamma: Var,
    beta: Var,
}

impl PixelNorm {
    /// Of so many channels.
    ///
    /// # Errors
    /// Tensors are missing.
    pub fn build(parts: &mut Parts<'_>, name: &str, width: usize) -> Result<PixelNorm> {
        Ok(PixelNorm {
            gamma: parts.tensor(&format!("{name}.weight"), &[width], Init::Constant(1.0))?,
            beta: parts.tensor(&format!("{name}.bias"), &[width], Init::Constant(0.0))?,
        })
    }

    /// # Errors
    /// Shapes do not fit.
    pub fn forward(&self, x: &Maps, run: &Running) -> Result<Maps> {
        Ok(x.layer_norm((&run.parameter(&self.gamma), &run.parameter(&self.beta)), EPS)?.clamped()?)
    }
}

/// A depthwise convolution, a pointwise one, and the norm of each pixel.
pub(crate) struct Layer {
    depthwise: Conv,
    pointwise: Conv,
    norm: PixelNorm,
}

impl Layer {
    /// The depthwise one has the kernel and the stride of the shape.
    ///
    /// # Errors
    /// Tensors are missing.
    pub fn build(parts: &mut Parts<'_>, name: &str, shape: Shape) -> Result<Layer> {
        let each = Shape { output: shape.input, groups: shape.input, ..shape };
        let all = Shape::new(shape.input, shape.output, 1);
        Ok(Layer {
            depthwise: parts.conv_bias(&format!("{name}.depthwise"), each, Activation::None)?,
            pointwise: parts.conv_bias(&format!("{name}.pointwise"), all, Activation::None)?,
            norm: PixelNorm::build(parts, &format!("{name}.norm"), shape.output)?,
        })
    }

    /// # Errors
    /// Shapes do not fit.
    pub fn forward(&self, x: &Maps, run: &Running) -> Result<Maps> {
        self.norm.forward(&self.pointwise.forward(&self.depthwise.forward(x, run)?, run)?, run)
    }
}
