//! A feature pyramid whose maps are summed (the semantic branch of Panoptic FPN, Kirillov et al. 2019): each scale goes through a layer, is
//! brought to the finest maps' sides, and the sum says classes.

use candle_core::Tensor;

use super::segment::Classes;
use super::{Conv, DenseHead, Design, Parts, Running, Shape};
use crate::nn::error::{Error, Result};
use crate::nn::heads::fpn::Fpn;
use crate::nn::kernels::{Activation, Between, Maps};

/// Channels of the pyramid, half of what the paper's branch has behind its layers.
const WIDTH: usize = 64;

struct Pyramid {
    fpn: Fpn,
    layers: Vec<Conv>,
    classes: Classes,
}

pub(super) fn build(parts: &mut Parts<'_>, design: &Design<'_>) -> Result<Box<dyn DenseHead>> {
    let fpn = Fpn::build(parts, design.scales, WIDTH, 0)?;
    let shape = Shape::new(fpn.width(), WIDTH, 3);
    let layers = (0..design.scales.len()).map(|at| parts.conv_norm(&format!("level.{at}"), shape, Activation::Relu));
    Ok(Box::new(Pyramid { fpn, layers: layers.collect::<Result<_>>()?, classes: Classes::build(parts, design, WIDTH)? }))
}

impl DenseHead for Pyramid {
    fn forward(&self, maps: &[Maps], run: &Running) -> Result<Tensor> {
        let mut sum: Option<Maps> = None;
        for (level, layer) in self.fpn.forward(maps, run)?.iter().zip(&self.layers) {
            let own = layer.forward(level, run)?;
            sum = Some(match sum {
                None => own,
                Some(sum) => {
                    let [_, height, width, _] = sum.shape();
                    sum.plus(&own.resized([height, width], Between::Bilinear)?, Activation::None)?
                }
            });
        }
        let sum = sum.ok_or_else(|| Error::Invalid("a pyramid was given no maps".into()))?;
        self.classes.forward(&sum, maps, run)
    }

    fn mirrored(&self, answers: &Tensor) -> Option<Result<Tensor>> {
        Some(self.classes.mirrored(answers))
    }
}
