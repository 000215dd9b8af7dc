//! Lite R-ASPP (Howard et al. 2019, "Searching for MobileNetV3", 6.4): the coarser maps go through one layer and are opened and shut channel
//! by channel by what their mean says; beside them the finer ones say classes of their own.

use candle_core::{Tensor, Var};

use super::segment::Classes;
use super::{Conv, DenseHead, Design, Parts, Running, Shape};
use crate::nn::architectures::Init;
use crate::nn::error::{Error, Result};
use crate::nn::kernels::{Activation, Between, Maps};

/// Channels inside, as in the paper.
const WIDTH: usize = 128;
/// The scales that are looked at: the finest of at least this stride, and the coarsest of at most that.
const FINE: usize = 8;
const COARSE: usize = 16;

struct LrAspp {
    fine: usize,
    coarse: usize,
    inside: Conv,
    /// What the mean is multiplied by to open and shut channels.
    gate: Var,
    beside: Conv,
    classes: Classes,
}

pub(super) fn build(parts: &mut Parts<'_>, design: &Design<'_>) -> Result<Box<dyn DenseHead>> {
    let strides: Vec<usize> = design.scales.iter().map(|scale| scale.stride).collect();
    let fine = strides.iter().position(|stride| *stride >= FINE).unwrap_or(0);
    let coarse = strides.iter().rposition(|stride| *stride <= COARSE).unwrap_or(fine).max(fine);
    let (Some(from), Some(beside)) = (design.scales.get(coarse), design.scales.get(fine)) else {
        return Err(Error::Invalid("Lite R-ASPP needs maps of two scales".into()));
    };
    Ok(Box::new(LrAspp {
        fine,
        coarse,
        inside: parts.conv_norm("inside", Shape::new(from.width, WIDTH, 1), Activation::Relu)?,
        gate: parts.tensor("gate.weight", &[WIDTH, from.width], Init::fan_in(from.width))?,
        beside: parts.conv_drawn("beside", Shape::new(beside.width, WIDTH, 1), Activation::None, (Init::fan_in(beside.width), 0.0))?,
        classes: Classes::build(parts, design, WIDTH)?,
    }))
}

impl DenseHead for LrAspp {
    fn forward(&self, maps: &[Maps], run: &Running) -> Result<Tensor> {
        let (coarse, fine) = (&maps[self.coarse], &maps[self.fine]);
        let said = coarse.average()?.matmul(&run.parameter(&self.gate).t()?)?;
        // The logistic function, without overflow.
        let gates = (((said * 0.5)?.tanh()? + 1.0)? * 0.5)?;
        let open = self.inside.forward(coarse, run)?.gated(&gates)?;
        let [_, height, width, _] = fine.shape();
        // Classes of both are summed: so are the maps they are said of, whose last layer is one.
        let both = open.resized([height, width], Between::Bilinear)?.plus(&self.beside.forward(fine, run)?, Activation::None)?;
        self.classes.forward(&both, maps, run)
    }

    fn coarsest(&self) -> Option<usize> {
        (!self.classes.look_at_all()).then_some(self.coarse)
    }

    fn mirrored(&self, answers: &Tensor) -> Option<Result<Tensor>> {
        Some(self.classes.mirrored(answers))
    }
}
