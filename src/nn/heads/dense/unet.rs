//! A decoder like U-Net's (Ronneberger et al. 2015) over a backbone's maps: from the coarsest down, what was made so far is brought to the sides
//! of the next finer maps, joined to them, and goes through two layers.

use candle_core::Tensor;

use super::segment::Classes;
use super::{Conv, DenseHead, Design, Parts, Running, Shape};
use crate::nn::error::{Error, Result};
use crate::nn::kernels::{Activation, Between, Maps};

/// Channels behind the layers of each step down, the finest first: growing with the stride, as in the paper, from what maps at stride 4 allow in
/// memory.
const WIDTHS: [usize; 3] = [64, 96, 128];

struct UNet {
    /// From the coarsest down.
    steps: Vec<[Conv; 2]>,
    classes: Classes,
}

pub(super) fn build(parts: &mut Parts<'_>, design: &Design<'_>) -> Result<Box<dyn DenseHead>> {
    let Some((coarsest, finer)) = design.scales.split_last().filter(|(_, finer)| !finer.is_empty()) else {
        return Err(Error::Invalid("U-Net needs maps of two scales".into()));
    };
    let (mut width, mut steps) = (coarsest.width, Vec::new());
    for (at, scale) in finer.iter().enumerate().rev() {
        let made = WIDTHS[at.min(WIDTHS.len() - 1)];
        let shape = Shape::new(width + scale.width, made, 3);
        steps.push([
            parts.conv_norm(&format!("step.{at}.0"), shape, Activation::Relu)?,
            parts.conv_norm(&format!("step.{at}.1"), Shape { input: made, ..shape }, Activation::Relu)?,
        ]);
        width = made;
    }
    Ok(Box::new(UNet { steps, classes: Classes::build(parts, design, width)? }))
}

impl DenseHead for UNet {
    fn forward(&self, maps: &[Maps], run: &Running) -> Result<Tensor> {
        let Some((coarsest, finer)) = maps.split_last() else { return Err(Error::Invalid("U-Net was given no maps".into())) };
        let mut x = coarsest.clone();
        for (layers, beside) in self.steps.iter().zip(finer.iter().rev()) {
            let [_, height, width, _] = beside.shape();
            x = Maps::joined(&[x.resized([height, width], Between::Bilinear)?, beside.clone()])?;
            for layer in layers {
                x = layer.forward(&x, run)?;
            }
        }
        self.classes.forward(&x, maps, run)
    }

    fn mirrored(&self, answers: &Tensor) -> Option<Result<Tensor>> {
        Some(self.classes.mirrored(answers))
    }
}
