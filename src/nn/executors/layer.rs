//! The layers that a [stage](super::stage) runs, over channels-last maps.

use candle_core::{DType, Tensor, Var};

use super::normaliser::Normaliser;
use super::order::tall;
use super::parameter::{handle, parameter};
use crate::nn::architectures::plan::{Plan, Squeeze, Unit};
use crate::nn::architectures::tensor::Expected;
use crate::nn::backbone::Mode;
use crate::nn::error::{Error, Result};
use crate::nn::kernels::backend::Choice;
use crate::nn::kernels::ops::Pass;
use crate::nn::kernels::tape::{self, Node};
use crate::nn::kernels::{self, Activation, Floats, Folded, Gates, Geometry, Spec, SqueezeExcite, Threads, portable};
use crate::nn::weights::Weights;

struct RunningSqueeze {
    plan: Squeeze,
    reduce: (Var, Var),
    expand: (Var, Var),
}

/// Convolution, bias, batch norm, activation, squeeze: what of these there is.
pub(super) struct Layer {
    weight: Var,
    /// Zeros where it has neither bias nor norm.
    bias: Option<Tensor>,
    norm: Option<Normaliser>,
    spec: Spec,
    activation: Activation,
    squeeze: Option<RunningSqueeze>,
    /// After the squeeze.
    finally: Activation,
}

/// The handles of tensors `architectures` has checked.
fn handles<const N: usize>(architecture: &str, tensors: [Expected; N], weights: &Weights) -> Result<[Var; N]> {
    let mut found = Vec::with_capacity(N);
    for Expected { name, .. } in tensors {
        found.push(handle(&name, weights, architecture)?);
    }
    found.try_into().map_err(|_| Error::Invalid(format!("{architecture} lacks tensors")))
}

impl RunningSqueeze {
    fn build(architecture: &str, squeeze: &Squeeze, weights: &Weights) -> Result<RunningSqueeze> {
        let [reduce, reduce_bias, expand, expand_bias] = handles(architecture, squeeze.tensors(), weights)?;
        Ok(RunningSqueeze { plan: squeeze.clone(), reduce: (reduce, reduce_bias), expand: (expand, expand_bias) })
    }

    /// Of clips of so many frames, over all pixels of each.
    fn compose(&self, x: &Tensor, frames: usize, mode: Mode) -> Result<Tensor> {
        let shape = x.dims4()?;
        let x = &x.reshape(tall(shape.into(), frames).to_vec())?;
        let pair = |(weight, bias): &(Var, Var)| (parameter(weight, mode), parameter(bias, mode));
        let (reduce, expand) = (pair(&self.reduce), pair(&self.expand));
        Ok(portable::squeeze_excite(x, &self.with((&reduce.0, &reduce.1), (&expand.0, &expand.1)))?.reshape(shape)?)
    }

    fn learn(&self, x: Node, frames: usize) -> Result<Node> {
        let shape = x.shape;
        let x = x.seen_as(tall(shape, frames))?;
        let y = tape::layers::squeeze_excite(&x, &self.with((&self.reduce.0, &self.reduce.1), (&self.expand.0, &self.expand.1)))?;
        Ok(y.seen_as(shape)?)
    }

    fn gates(&self, shape: [usize; 4]) -> Result<Gates> {
        Ok(self.with((&self.reduce.0, &self.reduce.1), (&self.expand.0, &self.expand.1)).gates(shape)?)
    }

    fn with<'a>(&self, reduce: (&'a Tensor, &'a Tensor), expand: (&'a Tensor, &'a Tensor)) -> SqueezeExcite<'a> {
        SqueezeExcite { reduce, expand, activation: self.plan.activation, gate: self.plan.gate }
    }
}

/// A layer that neither learns nor follows statistics, ready to run.
pub(super) struct EvalLayer<'a> {
    folded: Folded<'a>,
    gates: Option<Gates>,
    finally: Activation,
}

impl EvalLayer<'_> {
    /// Writes all of `y`.
    pub(super) fn forward(&self, x: &[f32], residual: Option<&[f32]>, y: &mut [f32]) -> Result<()> {
        self.folded.forward(x, residual, y)?;
        if let Some(gates) = &self.gates {
            gates.apply(y)?;
        }
        self.finally.apply(y);
        Ok(())
    }
}

impl Layer {
    pub(super) fn build(architecture: &str, unit: &Unit, plan: &Plan, weights: &Weights) -> Result<Layer> {
        let weight = handle(&format!("{}.weight", unit.conv), weights, architecture)?;
        let norm = |name: &String| Normaliser::build(architecture, name, plan.norm_eps, unit.activation, weights);
        let bias = match (unit.bias, &unit.norm) {
            (true, _) => Some(handle(&format!("{}.bias", unit.conv), weights, architecture)?.as_tensor().clone()),
            (false, None) => Some(Tensor::zeros(unit.output, DType::F32, weight.device())?),
            (false, Some(_)) => None,
        };
        Ok(Layer {
            bias,
            norm: unit.norm.as_ref().map(norm).transpose()?,
            spec: plan.spec(unit),
            activation: unit.activation,
            squeeze: unit.squeeze.as_ref().map(|squeeze| RunningSqueeze::build(architecture, squeeze, weights)).transpose()?,
            finally: unit.finally,
            weight,
        })
    }

    /// Over channels-last maps of clips of so many frames, of candle's ops. The residual is added before the activation.
    pub(super) fn compose(&self, x: &Tensor, frames: usize, residual: Option<&Tensor>, mode: Mode, pass: &Pass) -> Result<Tensor> {
        let spec = &self.spec.over(frames);
        let (weight, precision) = (parameter(&self.weight, mode), pass.arithmetic.precision);
        let y = match (&self.bias, &self.norm) {
            (None, _) => portable::conv2d(x, &weight, spec, precision)?,
            (Some(bias), norm) => {
                let bias = if mode == Mode::Eval { bias.detach() } else { bias.clone() };
                let (activation, residual) = if norm.is_some() { (Activation::None, None) } else { (self.activation, residual) };
                portable::conv_bias(x, (&weight, &bias), spec, activation, residual, precision)?
            }
        };
        let y = match &self.norm {
            Some(norm) => norm.compose(&y, residual, mode, pass)?,
            None => y,
        };
        let y = match &self.squeeze {
            Some(squeeze) => squeeze.compose(&y, self.frames(frames), mode)?,
            None => y,
        };
        Ok(portable::activate(&y, self.finally)?)
    }

    /// The convolution's weight, in PyTorch's order.
    pub(super) fn weight(&self) -> Result<Floats<'_>> {
        Ok(kernels::read(&self.weight)?)
    }

    /// The convolution's sizes over maps `(B, H, W, C)` of clips of so many frames.
    pub(super) fn geometry(&self, shape: [usize; 4], frames: usize) -> Result<Geometry> {
        Ok(Geometry::of(&shape, self.weight.dims(), &self.spec.over(frames))?)
    }

    /// The frames that it makes of so many.
    pub(super) fn frames(&self, frames: usize) -> usize {
        match *self.weight.dims() {
            [_, _, kernel, _, _] => self.spec.over(frames).frames(kernel),
            _ => frames,
        }
    }

    /// The layer as it is now, in eval mode, for maps of this shape, of clips of so many frames.
    pub(super) fn eval<'a>(
        &self,
        (shape, frames): ([usize; 4], usize),
        weight: &'a [f32],
        threads: Threads,
        backend: Choice,
    ) -> Result<EvalLayer<'a>> {
        let (geometry, (scale, shift)) = (self.geometry(shape, frames)?, self.folded()?);
        let clips = tall(geometry.output_shape(), self.frames(frames));
        let gates = self.squeeze.as_ref().map(|squeeze| squeeze.gates(clips)).transpose()?;
        Ok(EvalLayer {
            folded: Folded::new(weight, &geometry, (&scale, &shift), self.activation, threads, backend)?,
            gates,
            finally: self.finally,
        })
    }

    /// Bias and norm as one scale and shift per channel.
    fn folded(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        let bias = self.bias.as_ref().map(Tensor::to_vec1::<f32>).transpose()?;
        let Some(norm) = &self.norm else {
            let bias = bias.unwrap_or_default();
            return Ok((vec![1.0; bias.len()], bias));
        };
        let (scale, mut shift) = norm.folded()?;
        for (at, bias) in bias.iter().flatten().enumerate() {
            shift[at] += bias * scale[at];
        }
        Ok((scale, shift))
    }

    /// The same as [`Self::compose`] between nodes on the CPU.
    pub(super) fn learn(&self, x: &Node, frames: usize, residual: Option<&Node>, pass: &Pass) -> Result<Node> {
        let spec = &self.spec.over(frames);
        let y = match (&self.bias, &self.norm) {
            (Some(bias), None) => tape::biased::conv_bias(x, (&self.weight, bias), spec, self.activation, residual)?,
            (Some(_), Some(_)) if residual.is_some() => {
                return Err(Error::Invalid("nothing is added between the norm and the activation of a convolution with a bias".into()));
            }
            (Some(bias), Some(norm)) => {
                norm.learn(&tape::biased::conv_bias(x, (&self.weight, bias), spec, Activation::None, None)?, pass)?
            }
            (None, Some(norm)) => {
                let (y, batch) = tape::layers::conv_norm(x, &self.weight, spec, &norm.parts(), residual, norm.fixed(pass))?;
                norm.follow(batch.as_ref(), pass)?;
                y
            }
            (None, None) => return Err(Error::Invalid("a convolution has a bias, if only of zeros, or a norm".into())),
        };
        let y = match &self.squeeze {
            Some(squeeze) => squeeze.learn(y, self.frames(frames))?,
            None => y,
        };
        Ok(tape::biased::activate(y, self.finally)?)
    }
}
