//! DeepLabV3+ (Chen et al. 2018) with depthwise separable layers throughout: the coarse maps looked at with taps that lie 1, 6, 12 and 18
//! pixels apart and as a whole (atrous spatial pyramid pooling), joined to the finest maps, and two layers over both.

use candle_core::{Tensor, Var};

use super::segment::Classes;
use super::{Conv, DenseHead, Design, Parts, Running, Separable, Shape};
use crate::nn::architectures::Init;
use crate::nn::error::{Error, Result};
use crate::nn::kernels::{Activation, Between, Maps};

/// Rates of the paper for maps at stride 16.
const RATES: [usize; 3] = [6, 12, 18];
/// Channels: half of the paper's, whose backbones are several times as wide; 48 of the finest maps, as there.
const WIDTH: usize = 128;
const FINE: usize = 48;
/// The coarsest scale whose maps are looked at with taps apart.
const COARSE: usize = 16;

struct DeepLab {
    coarse: usize,
    near: Conv,
    apart: Vec<Separable>,
    whole: (Var, Var),
    joined: Conv,
    fine: Conv,
    after: [Separable; 2],
    classes: Classes,
}

pub(super) fn build(parts: &mut Parts<'_>, design: &Design<'_>) -> Result<Box<dyn DenseHead>> {
    let coarse = design.scales.iter().rposition(|scale| scale.stride <= COARSE).unwrap_or(0);
    let (Some(from), Some(finest)) = (design.scales.get(coarse), design.scales.first()) else {
        return Err(Error::Invalid("DeepLabV3+ needs maps".into()));
    };
    let relu = Activation::Relu;
    let mut apart = Vec::new();
    for rate in RATES {
        apart.push(parts.separable(&format!("aspp.rate{rate}"), Shape::new(from.width, WIDTH, 3).dilated(rate), relu)?);
    }
    let pooled = parts.tensor("aspp.whole.weight", &[WIDTH, from.width], Init::fan_out(WIDTH, 1))?;
    let over = Shape::new(WIDTH, WIDTH, 3);
    Ok(Box::new(DeepLab {
        coarse,
        near: parts.conv_norm("aspp.near", Shape::new(from.width, WIDTH, 1), relu)?,
        apart,
        // Without a norm: of one image at a time it has a single value.
        whole: (pooled, parts.tensor("aspp.whole.bias", &[WIDTH], Init::ZEROS)?),
        joined: parts.conv_norm("aspp.joined", Shape::new(WIDTH * (RATES.len() + 2), WIDTH, 1), relu)?,
        fine: parts.conv_norm("fine", Shape::new(finest.width, FINE, 1), relu)?,
        after: [parts.separable("after.0", Shape { input: WIDTH + FINE, ..over }, relu)?, parts.separable("after.1", over, relu)?],
        classes: Classes::build(parts, design, WIDTH)?,
    }))
}

impl DenseHead for DeepLab {
    fn forward(&self, maps: &[Maps], run: &Running) -> Result<Tensor> {
        let coarse = &maps[self.coarse];
        let [batch, height, width, _] = coarse.shape();
        let mut branches = vec![self.near.forward(coarse, run)?];
        for layer in &self.apart {
            branches.push(layer.forward(coarse, run)?);
        }
        let (weight, bias) = (run.parameter(&self.whole.0), run.parameter(&self.whole.1));
        let whole = coarse.average()?.matmul(&weight.t()?)?.broadcast_add(&bias)?.relu()?;
        let whole = run.enter(&whole.reshape((batch, 1, 1, WIDTH))?)?;
        branches.push(whole.resized([height, width], Between::Bilinear)?);
        let pyramid = self.joined.forward(&Maps::joined(&branches)?, run)?;
        let fine = self.fine.forward(&maps[0], run)?;
        let [_, height, width, _] = fine.shape();
        let mut x = Maps::joined(&[pyramid.resized([height, width], Between::Bilinear)?, fine])?;
        for layer in &self.after {
            x = layer.forward(&x, run)?;
        }
        self.classes.forward(&x, maps, run)
    }

    fn coarsest(&self) -> Option<usize> {
        (!self.classes.look_at_all()).then_some(self.coarse)
    }

    fn mirrored(&self, answers: &Tensor) -> Option<Result<Tensor>> {
        Some(self.classes.mirrored(answers))
    }
}
