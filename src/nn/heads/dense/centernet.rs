//! A head that finds objects as points (CenterNet, Zhou et al. 2019), as 610265158/mobilenetv3_centernet has it: the coarsest maps are widened,
//! from there down each step joins a layer beside the finer maps to what was brought to their sides, and over the finest, at stride 4, each
//! place says a logit for each class and four distances to the sides of a box, in units of sixteen pixels.
//!
//! It runs what others trained; no recipe names it. `train::detection::centers` reads its rows.
//!
//! ```text
//! wide               1x1, hard-swish, over stride 32
//! beside.{0,1,2}     1x1 relu, then 5x5 and 1x1: strides 4, 8, 16
//! step.{2,1,0}       3x3 and 1x1 plus 5x5 and 1x1, brought to twice the sides, joined to beside.N, relu
//! gate               channels opened and shut by their means
//! class, box         3x3 and 1x1
//! ```

use candle_core::{Tensor, Var};

use super::{Conv, DenseHead, Design, Parts, Running, Shape};
use crate::nn::architectures::Init;
use crate::nn::error::{Error, Result};
use crate::nn::kernels::{Activation, Between, Maps};

/// Strides of the maps that are looked at, from fine to coarse.
const STRIDES: [usize; 4] = [4, 8, 16, 32];
/// Numbers beside those of the classes.
const BESIDE: usize = 4;
/// Channels of the coarsest maps, widened.
const WIDE: usize = 480;
/// What a layer beside narrows maps by before it filters them.
const NARROWER: usize = 4;
/// Channels of each step at strides 4, 8 and 16: half of them come from beside.
const STEPS: [usize; 3] = [64, 96, 128];
/// Channels within the gate.
const GATE: usize = 32;

/// A depthwise convolution with nothing behind it, and a pointwise one.
struct Filter {
    each: Conv,
    point: Conv,
}

impl Filter {
    fn build(parts: &mut Parts<'_>, name: &str, (input, output): (usize, usize), kernel: usize) -> Result<Filter> {
        let each = Shape { groups: input, ..Shape::new(input, input, kernel) };
        Ok(Filter {
            each: parts.conv_plain(&format!("{name}.depthwise"), each, Activation::None)?,
            point: parts.conv_bias(&format!("{name}.pointwise"), Shape::new(input, output, 1), Activation::None)?,
        })
    }

    fn forward(&self, x: &Maps, run: &Running) -> Result<Maps> {
        self.point.forward(&self.each.forward(x, run)?, run)
    }
}

/// One step down.
struct Step {
    small: Filter,
    large: Filter,
    narrow: Conv,
    beside: Filter,
}

impl Step {
    fn build(parts: &mut Parts<'_>, at: usize, (above, finer): (usize, usize)) -> Result<Step> {
        let (width, narrow) = (STEPS[at], finer / NARROWER);
        Ok(Step {
            small: Filter::build(parts, &format!("step.{at}.small"), (above, width), 3)?,
            large: Filter::build(parts, &format!("step.{at}.large"), (above, width), 5)?,
            narrow: parts.conv_bias(&format!("beside.{at}.narrow"), Shape::new(finer, narrow, 1), Activation::Relu)?,
            beside: Filter::build(parts, &format!("beside.{at}"), (narrow, width), 5)?,
        })
    }

    fn forward(&self, above: &Maps, finer: &Maps, run: &Running) -> Result<Maps> {
        let [_, height, width, _] = finer.shape();
        let sum = self.small.forward(above, run)?.plus(&self.large.forward(above, run)?, Activation::None)?;
        let beside = self.beside.forward(&self.narrow.forward(finer, run)?, run)?;
        Ok(Maps::joined(&[beside, sum.resized([height, width], Between::Corners)?])?.clamped()?)
    }
}

struct CenterNet {
    wide: Conv,
    /// From the coarsest down.
    steps: Vec<Step>,
    reduce: (Var, Var),
    expand: Var,
    class: Filter,
    distances: Filter,
}

/// Makes it.
///
/// # Errors
/// The network has no maps at these strides.
pub(super) fn build(parts: &mut Parts<'_>, design: &Design<'_>) -> Result<Box<dyn DenseHead>> {
    let classes = design.outputs.checked_sub(BESIDE).filter(|classes| *classes > 0);
    let classes = classes.ok_or_else(|| Error::Invalid("a head that finds objects needs classes to tell them apart".into()))?;
    let [fine, middle, coarse, coarsest] = design.scales else { return Err(other_maps()) };
    if design.scales.iter().zip(STRIDES).any(|(scale, stride)| scale.stride != stride) {
        return Err(other_maps());
    }
    let wide = parts.conv_bias("wide", Shape::new(coarsest.width, WIDE, 1), Activation::HardSwish)?;
    let (mut above, mut steps) = (WIDE, Vec::new());
    for (at, finer) in [(2, coarse), (1, middle), (0, fine)] {
        steps.push(Step::build(parts, at, (above, finer.width))?);
        above = 2 * STEPS[at];
    }
    let matrix = Init::fan_in(above);
    Ok(Box::new(CenterNet {
        wide,
        steps,
        reduce: (parts.tensor("gate.reduce.weight", &[GATE, above], matrix)?, parts.tensor("gate.reduce.bias", &[GATE], Init::ZEROS)?),
        expand: parts.tensor("gate.expand.weight", &[above, GATE], matrix)?,
        class: Filter::build(parts, "class", (above, classes), 3)?,
        distances: Filter::build(parts, "box", (above, BESIDE), 3)?,
    }))
}

fn other_maps() -> Error {
    Error::Invalid("a head `centernet` needs maps at strides 4, 8, 16 and 32; choose another network".into())
}

impl DenseHead for CenterNet {
    /// Of the map at stride 4 row by row: logits of the classes, then left, top, right and bottom.
    fn forward(&self, maps: &[Maps], run: &Running) -> Result<Tensor> {
        let Some((coarsest, finer)) = maps.split_last() else { return Err(other_maps()) };
        let mut x = self.wide.forward(coarsest, run)?;
        for (step, finer) in self.steps.iter().zip(finer.iter().rev()) {
            x = step.forward(&x, finer, run)?;
        }
        let inside = x.average()?.matmul(&run.parameter(&self.reduce.0).t()?)?.broadcast_add(&run.parameter(&self.reduce.1))?.relu()?;
        let said = inside.matmul(&run.parameter(&self.expand).t()?)?;
        // The logistic function, without overflow.
        let open = x.gated(&(((said * 0.5)?.tanh()? + 1.0)? * 0.5)?)?;
        let both = Maps::joined(&[self.class.forward(&open, run)?, self.distances.forward(&open, run)?])?;
        let [batch, height, width, outputs] = both.shape();
        Ok(both.leave()?.reshape((batch, height * width, outputs))?)
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
    fn both_roads_say_the_same_of_every_place() {
        let scales = [(4, 72), (8, 96), (16, 88), (32, 120)].map(|(stride, width)| Scale { stage: 0, stride, width });
        let design = Design { scales: &scales, outputs: 3 + BESIDE, view: (64, 96), shortcut: false };
        let head = Dense::fresh("centernet", &design, 1, &Device::Cpu).unwrap();
        let map = |scale: &Scale| {
            let (height, width) = (64 / scale.stride, 96 / scale.stride);
            let values = Draw::new(3, scale.stride as u64).normals(2 * scale.width * height * width, 1.0);
            Tensor::from_vec(values, (2, scale.width, height, width), &Device::Cpu).unwrap()
        };
        let maps: Vec<Tensor> = scales.iter().map(map).collect();
        let on = |road: Road| {
            head.settings.force(Forced { road: Some(road), ..Forced::default() });
            let rows = head.forward(&maps, Mode::Eval, false).unwrap();
            assert_eq!(rows.dims(), [2 * 16 * 24, 7]);
            rows.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let (tape, portable) = (on(Road::Tape), on(Road::Portable));
        assert!(tape.iter().zip(&portable).all(|(a, b)| (a - b).abs() < 1e-3), "both roads agree");
        assert!(head.forward(&maps, Mode::Eval, true).unwrap_err().to_string().contains("cannot be turned around"));
        assert!(Dense::fresh("centernet", &Design { scales: &scales[1..], ..design }, 1, &Device::Cpu).is_err(), "no map at stride 4");
        assert!(Dense::fresh("centernet", &Design { outputs: BESIDE, ..design }, 1, &Device::Cpu).is_err(), "no class");
    }
}
