//! A decoder of two classes, what is meant and what is around it, as MediaPipe's segmentation of people has it: from the coarsest maps down, what
//! was made is added to the finer maps, the means of the sum open and shut the channels of these, and two small layers smooth them; each
//! pixel of the finest maps then says four of the image.
//!
//! It runs what others trained; no recipe names it.
//!
//! ```text
//! context            1x1 relu, times what a gate says of the means
//! step.{2,1,0}       brought to the finer sides, 1x1; gate; 1x1 relu; 3x3 depthwise relu, added
//! last               a logit for each of 2x2 pixels, with one bias
//! ```

use candle_core::{D, Tensor, Var};

use super::{Conv, DenseHead, Design, Parts, Running, Shape};
use crate::nn::architectures::Init;
use crate::nn::error::{Error, Result};
use crate::nn::kernels::{Activation, Between, Maps};

/// Strides of the maps that are looked at, from fine to coarse.
const STRIDES: [usize; 4] = [2, 4, 8, 16];
/// Channels behind the coarsest maps.
const CONTEXT: usize = 128;
/// Pixels of the image along a side of one of the finest maps'.
const FINEST: usize = STRIDES[0];

/// A linear layer on means of channels.
struct Linear(Var, Var);

impl Linear {
    fn build(parts: &mut Parts<'_>, name: &str, (input, output): (usize, usize)) -> Result<Linear> {
        let weight = parts.tensor(&format!("{name}.weight"), &[output, input], Init::fan_in(input))?;
        Ok(Linear(weight, parts.tensor(&format!("{name}.bias"), &[output], Init::ZEROS)?))
    }

    fn forward(&self, x: &Tensor, run: &Running) -> Result<Tensor> {
        Ok(x.matmul(&run.parameter(&self.0).t()?)?.broadcast_add(&run.parameter(&self.1))?)
    }
}

/// The logistic function, without overflow.
fn chance(x: Tensor) -> Result<Tensor> {
    Ok((((x * 0.5)?.tanh()? + 1.0)? * 0.5)?)
}

/// One step down.
struct Step {
    bring: Conv,
    reduce: Linear,
    expand: Linear,
    point: Conv,
    each: Conv,
}

impl Step {
    fn build(parts: &mut Parts<'_>, at: usize, (above, width): (usize, usize)) -> Result<Step> {
        let name = |part: &str| format!("step.{at}.{part}");
        let each = Shape { groups: width, ..Shape::new(width, width, 3) };
        Ok(Step {
            bring: parts.conv_bias(&name("bring"), Shape::new(above, width, 1), Activation::None)?,
            reduce: Linear::build(parts, &name("reduce"), (width, width))?,
            expand: Linear::build(parts, &name("expand"), (width, width))?,
            point: parts.conv_bias(&name("pointwise"), Shape::new(width, width, 1), Activation::Relu)?,
            each: parts.conv_bias(&name("depthwise"), each, Activation::Relu)?,
        })
    }

    fn forward(&self, above: &Maps, finer: &Maps, run: &Running) -> Result<Maps> {
        let [_, height, width, _] = finer.shape();
        let brought = self.bring.forward(&above.resized([height, width], Between::Bilinear)?, run)?;
        let means = finer.plus(&brought, Activation::None)?.average()?;
        let gates = chance(self.expand.forward(&self.reduce.forward(&means, run)?.relu()?, run)?)?;
        let open = finer.gated(&gates)?.plus(&brought, Activation::None)?;
        let point = self.point.forward(&open, run)?;
        Ok(point.plus(&self.each.forward(&point, run)?, Activation::None)?)
    }
}

struct Gated {
    context: Conv,
    gate: Linear,
    /// From the coarsest down.
    steps: Vec<Step>,
    last: Var,
    bias: Var,
}

/// Makes it.
///
/// # Errors
/// The network has no maps at these strides, or other than two classes are to be told apart.
pub(super) fn build(parts: &mut Parts<'_>, design: &Design<'_>) -> Result<Box<dyn DenseHead>> {
    if design.outputs != 2 {
        return Err(Error::Invalid(format!("a head `gated` tells two classes apart, not {}", design.outputs)));
    }
    let [rest @ .., coarsest] = design.scales else { return Err(other_maps()) };
    if design.scales.len() != STRIDES.len() || design.scales.iter().zip(STRIDES).any(|(scale, stride)| scale.stride != stride) {
        return Err(other_maps());
    }
    let context = parts.conv_bias("context", Shape::new(coarsest.width, CONTEXT, 1), Activation::Relu)?;
    let gate = Linear::build(parts, "gate", (coarsest.width, CONTEXT))?;
    let (mut above, mut steps) = (CONTEXT, Vec::new());
    for (at, finer) in rest.iter().enumerate().rev() {
        steps.push(Step::build(parts, at, (above, finer.width))?);
        above = finer.width;
    }
    let last = parts.tensor("last.weight", &[FINEST * FINEST, above], Init::fan_in(above))?;
    Ok(Box::new(Gated { context, gate, steps, last, bias: parts.tensor("last.bias", &[1], Init::ZEROS)? }))
}

fn other_maps() -> Error {
    Error::Invalid("a head `gated` needs maps at strides 2, 4, 8 and 16; choose another network".into())
}

impl DenseHead for Gated {
    /// Of each pixel a logit of what is around, always 0, and one of what is meant.
    fn forward(&self, maps: &[Maps], run: &Running) -> Result<Tensor> {
        let Some((coarsest, finer)) = maps.split_last() else { return Err(other_maps()) };
        let gates = chance(self.gate.forward(&coarsest.average()?, run)?)?;
        let mut x = self.context.forward(coarsest, run)?.gated(&gates)?;
        for (step, finer) in self.steps.iter().zip(finer.iter().rev()) {
            x = step.forward(&x, finer, run)?;
        }
        let [batch, height, width, channels] = x.shape();
        let pixels = x.leave()?.reshape((batch * height * width, channels))?;
        let said = pixels.matmul(&run.parameter(&self.last).t()?)?.broadcast_add(&run.parameter(&self.bias))?;
        let fours = said.reshape((batch, height, width, FINEST, FINEST))?.permute((0, 1, 3, 2, 4))?;
        let meant = fours.contiguous()?.reshape((batch, height * width * FINEST * FINEST, 1))?;
        Ok(Tensor::cat(&[&meant.zeros_like()?, &meant], D::Minus1)?)
    }

    fn cell(&self) -> usize {
        1
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::super::{Dense, Scale};
    use super::*;
    use crate::nn::backbone::Mode;
    use crate::nn::kernels::ops::{Forced, Road};
    use crate::nn::random::Draw;

    #[test]
    fn both_roads_say_the_same_of_every_pixel() {
        let scales = [(2, 16), (4, 16), (8, 24), (16, 32)].map(|(stride, width)| Scale { stage: 0, stride, width });
        let design = Design { scales: &scales, outputs: 2, view: (32, 48), shortcut: false };
        let head = Dense::fresh("gated", &design, 1, &Device::Cpu).unwrap();
        let map = |scale: &Scale| {
            let (height, width) = (32 / scale.stride, 48 / scale.stride);
            let values = Draw::new(3, scale.stride as u64).normals(scale.width * height * width, 1.0);
            Tensor::from_vec(values, (1, scale.width, height, width), &Device::Cpu).unwrap()
        };
        let maps: Vec<Tensor> = scales.iter().map(map).collect();
        let on = |road: Road| {
            head.settings.force(Forced { road: Some(road), ..Forced::default() });
            let rows = head.forward(&maps, Mode::Eval, false).unwrap();
            assert_eq!((rows.dims(), head.cell()), (&[32 * 48, 2][..], 1));
            rows.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let (tape, portable) = (on(Road::Tape), on(Road::Portable));
        assert!(tape.iter().zip(&portable).all(|(a, b)| (a - b).abs() < 1e-4), "both roads agree");
        assert!(tape.iter().step_by(2).all(|around| *around == 0.0));
        assert!(Dense::fresh("gated", &Design { outputs: 3, ..design }, 1, &Device::Cpu).is_err(), "three classes");
        assert!(Dense::fresh("gated", &Design { scales: &scales[1..], ..design }, 1, &Device::Cpu).is_err(), "no map at stride 2");
    }
}
