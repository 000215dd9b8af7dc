//! The layers that a [stage](super::stage) runs, over channels-last maps.

use candle_core::{Tensor, Var};

use super::parameter::parameter;
use crate::nn::architectures::plan::{Plan, Pooled, Squeeze, Unit};
use crate::nn::architectures::tensor::Expected;
use crate::nn::backbone::Mode;
use crate::nn::error::{Error, Result};
use crate::nn::kernels::backend::Choice;
use crate::nn::kernels::ops::{Pass, Road};
use crate::nn::kernels::tape::{self, Node};
use crate::nn::kernels::{
    self, Activation, BatchStatistics, Floats, Folded, Gates, Geometry, Norm, Spec, SqueezeExcite, Threads, portable,
};
use crate::nn::weights::Weights;

/// The mean over all pixels, then a linear layer: `(B, H, W, C)` to `(B, 1, 1, C')`.
pub(super) struct RunningPooled {
    weight: Var,
    bias: Var,
    activation: Activation,
}

struct RunningSqueeze {
    plan: Squeeze,
    reduce: (Var, Var),
    expand: (Var, Var),
}

/// Convolution, batch norm, activation.
pub(super) struct Layer {
    weight: Var,
    gamma: Var,
    beta: Var,
    mean: Var,
    variance: Var,
    spec: Spec,
    eps: f64,
    activation: Activation,
    squeeze: Option<RunningSqueeze>,
}

/// The handles of tensors `architectures` has checked.
fn handles<const N: usize>(architecture: &str, tensors: [Expected; N], weights: &Weights) -> Result<[Var; N]> {
    let mut found = Vec::with_capacity(N);
    for Expected { name, shape, .. } in tensors {
        let var = weights.get(&name).cloned();
        found.push(var.ok_or_else(|| Error::Missing { architecture: architecture.into(), name, shape })?);
    }
    found.try_into().map_err(|_| Error::Invalid(format!("{architecture} lacks tensors")))
}

impl RunningPooled {
    pub(super) fn build(architecture: &str, pooled: &Pooled, weights: &Weights) -> Result<RunningPooled> {
        let [weight, bias] = handles(architecture, pooled.tensors(), weights)?;
        Ok(RunningPooled { weight, bias, activation: pooled.activation })
    }

    pub(super) fn forward(&self, x: &Tensor, mode: Mode, road: Road) -> Result<Tensor> {
        self.pixel(&road.global_average_pool(x)?, mode, road)
    }

    /// `(B, C)` to `(B, 1, 1, C')`.
    pub(super) fn pixel(&self, pooled: &Tensor, mode: Mode, road: Road) -> Result<Tensor> {
        let (weight, bias) = (parameter(&self.weight, mode), parameter(&self.bias, mode));
        Ok(road.linear(pooled, &weight, &bias, self.activation)?.unsqueeze(1)?.unsqueeze(1)?)
    }
}

impl RunningSqueeze {
    fn build(architecture: &str, squeeze: &Squeeze, weights: &Weights) -> Result<RunningSqueeze> {
        let [reduce, reduce_bias, expand, expand_bias] = handles(architecture, squeeze.tensors(), weights)?;
        Ok(RunningSqueeze { plan: squeeze.clone(), reduce: (reduce, reduce_bias), expand: (expand, expand_bias) })
    }

    fn compose(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let pair = |(weight, bias): &(Var, Var)| (parameter(weight, mode), parameter(bias, mode));
        let (reduce, expand) = (pair(&self.reduce), pair(&self.expand));
        Ok(portable::squeeze_excite(x, &self.with((&reduce.0, &reduce.1), (&expand.0, &expand.1)))?)
    }

    fn learn(&self, x: &Node) -> Result<Node> {
        Ok(tape::layers::squeeze_excite(x, &self.with((&self.reduce.0, &self.reduce.1), (&self.expand.0, &self.expand.1)))?)
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
}

impl EvalLayer<'_> {
    /// Floats it makes.
    pub(super) fn output(&self) -> usize {
        self.folded.geometry().output_shape().iter().product()
    }

    /// Writes all of `y`.
    pub(super) fn forward(&self, x: &[f32], residual: Option<&[f32]>, y: &mut [f32]) -> Result<()> {
        self.folded.forward(x, residual, y)?;
        match &self.gates {
            Some(gates) => Ok(gates.apply(y)?),
            None => Ok(()),
        }
    }
}

impl Layer {
    pub(super) fn build(architecture: &str, unit: &Unit, plan: &Plan, weights: &Weights) -> Result<Layer> {
        let [weight, gamma, beta, mean, variance] = handles(architecture, unit.tensors(), weights)?;
        Ok(Layer {
            weight,
            gamma,
            beta,
            mean,
            variance,
            spec: Spec { stride: unit.stride, padding: plan.padding(unit), groups: unit.groups },
            eps: plan.norm_eps,
            activation: unit.activation,
            squeeze: unit.squeeze.as_ref().map(|squeeze| RunningSqueeze::build(architecture, squeeze, weights)).transpose()?,
        })
    }

    /// `activation(norm(conv(x)) + residual)` over channels-last maps, then the squeeze where there is one, of candle's ops.
    pub(super) fn compose(&self, x: &Tensor, residual: Option<&Tensor>, mode: Mode, pass: &Pass) -> Result<Tensor> {
        let [weight, gamma, beta] = [&self.weight, &self.gamma, &self.beta].map(|var| parameter(var, mode));
        let norm = Norm { gamma: &gamma, beta: &beta, eps: self.eps, activation: self.activation };
        let y = portable::conv2d(x, &weight, &self.spec, pass.arithmetic.precision)?;
        let y = match mode {
            Mode::Train if !pass.fixed_norms => {
                let (y, batch) = portable::batch_norm_train(&y, &norm, residual)?;
                self.follow(&batch, pass.momentum)?;
                y
            }
            _ => portable::batch_norm_eval(&y, &norm, &self.mean, &self.variance, residual)?,
        };
        match &self.squeeze {
            Some(squeeze) => squeeze.compose(&y, mode),
            None => Ok(y),
        }
    }

    /// The convolution's weight, in PyTorch's order.
    pub(super) fn weight(&self) -> Result<Floats<'_>> {
        Ok(kernels::read(&self.weight)?)
    }

    /// The convolution's sizes over maps `(B, H, W, C)`.
    pub(super) fn geometry(&self, shape: [usize; 4]) -> Result<Geometry> {
        Ok(Geometry::of(&shape, self.weight.dims(), &self.spec)?)
    }

    /// The layer as it is now, in eval mode, for maps of this shape.
    pub(super) fn eval<'a>(&self, shape: [usize; 4], weight: &'a [f32], threads: Threads, backend: Choice) -> Result<EvalLayer<'a>> {
        let (geometry, (scale, shift)) = (self.geometry(shape)?, self.folded()?);
        let gates = self.squeeze.as_ref().map(|squeeze| squeeze.gates(geometry.output_shape())).transpose()?;
        Ok(EvalLayer { folded: Folded::new(weight, &geometry, (&scale, &shift), self.activation, threads, backend)?, gates })
    }

    /// The same between nodes on the CPU.
    pub(super) fn learn(&self, x: &Node, residual: Option<&Node>, pass: &Pass) -> Result<Node> {
        let norm = Norm { gamma: &self.gamma, beta: &self.beta, eps: self.eps, activation: self.activation };
        let fixed = pass.fixed_norms.then_some((self.mean.as_tensor(), self.variance.as_tensor()));
        let (y, batch) = tape::layers::conv_norm(x, &self.weight, &self.spec, &norm, residual, fixed)?;
        if let Some(batch) = batch {
            self.follow(&batch, pass.momentum)?;
        }
        match &self.squeeze {
            Some(squeeze) => squeeze.learn(&y),
            None => Ok(y),
        }
    }

    fn follow(&self, batch: &BatchStatistics, momentum: f64) -> Result<()> {
        follow(&self.mean, &batch.mean, momentum)?;
        follow(&self.variance, &batch.unbiased_variance, momentum)
    }

    /// The batch norm as one scale and shift per channel.
    fn folded(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        let values = |var: &Var| var.as_tensor().to_vec1::<f32>();
        let (gamma, beta) = (values(&self.gamma)?, values(&self.beta)?);
        let (mean, variance) = (values(&self.mean)?, values(&self.variance)?);
        let scale: Vec<f32> =
            gamma.iter().zip(&variance).map(|(&g, &v)| (f64::from(g) / (f64::from(v) + self.eps).sqrt()) as f32).collect();
        let shift = beta.iter().zip(&mean).zip(&scale).map(|((beta, mean), scale)| beta - mean * scale).collect();
        Ok((scale, shift))
    }
}

/// `running += momentum * (batch - running)`.
fn follow(running: &Var, batch: &Tensor, momentum: f64) -> Result<()> {
    running.set(&((running.as_tensor() * (1.0 - momentum))? + (batch * momentum)?)?)?;
    Ok(())
}
