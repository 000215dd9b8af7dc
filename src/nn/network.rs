//! Runs a [`Plan`]: the one executor behind every convolutional family.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::{Device, Tensor, Var};

use super::kernels::{self, Activation, BatchStatistics, Map, Norm, Spec, SqueezeExcite};
use super::plan::{Plan, Pooled, Shortcut, Squeeze, Unit};
use super::weights::Weights;
use super::{Backbone, Error, Mode, Result, Stage};

/// A backbone built from a plan and its tensors. Inside, maps are channels last.
pub(crate) struct Network {
    architecture: String,
    num_features: usize,
    stages: Vec<Stage>,
    running: Vec<RunningStage>,
    weights: Weights,
    /// The bits of an f64.
    momentum: Arc<AtomicU64>,
    /// No activation bends, nothing is squeezed or pooled on the way: training can work in place.
    is_clamped: bool,
}

struct RunningStage {
    blocks: Vec<RunningBlock>,
    max_pool: bool,
    pooled: Option<RunningPooled>,
}

impl RunningStage {
    fn is_clamped(&self) -> bool {
        let layers = self.blocks.iter().flat_map(|block| &block.layers);
        self.pooled.is_none() && layers.into_iter().all(|layer| layer.squeeze.is_none() && !layer.activation.is_smooth())
    }
}

/// The mean over all pixels, then a linear layer: `(B, H, W, C)` to `(B, 1, 1, C')`.
struct RunningPooled {
    weight: Var,
    bias: Var,
    activation: Activation,
}

struct RunningSqueeze {
    plan: Squeeze,
    reduce: (Var, Var),
    expand: (Var, Var),
}

struct RunningBlock {
    layers: Vec<Layer>,
    shortcut: RunningShortcut,
}

enum RunningShortcut {
    None,
    Identity,
    Projection(Box<Layer>),
}

/// Convolution, batch norm, activation.
struct Layer {
    weight: Var,
    gamma: Var,
    beta: Var,
    mean: Var,
    variance: Var,
    spec: Spec,
    eps: f64,
    activation: Activation,
    momentum: Arc<AtomicU64>,
    squeeze: Option<RunningSqueeze>,
}

impl Network {
    /// Takes the handles it needs from `weights`, which the registry has checked.
    pub fn build(architecture: &str, plan: &Plan, weights: Weights) -> Result<Network> {
        let momentum = Arc::new(AtomicU64::new(0.1f64.to_bits()));
        let layer = |unit: &Unit| Layer::build(architecture, unit, plan, &weights, &momentum);
        let mut running = Vec::new();
        for stage in &plan.stages {
            let mut blocks = Vec::new();
            for block in &stage.blocks {
                let layers = block.units.iter().map(layer).collect::<Result<_>>()?;
                let shortcut = match &block.shortcut {
                    Shortcut::None => RunningShortcut::None,
                    Shortcut::Identity => RunningShortcut::Identity,
                    Shortcut::Projection(unit) => RunningShortcut::Projection(Box::new(layer(unit)?)),
                };
                blocks.push(RunningBlock { layers, shortcut });
            }
            let pooled = stage.pooled.as_ref().map(|pooled| RunningPooled::build(architecture, pooled, &weights)).transpose()?;
            running.push(RunningStage { blocks, max_pool: stage.max_pool, pooled });
        }
        let stages = plan.stages.iter().map(|stage| {
            let names = stage.tensors().into_iter().map(|(name, ..)| name);
            let (buffers, parameters) = names.partition(|name| super::weights::is_buffer(name));
            Stage { name: stage.name.clone(), parameters, buffers }
        });
        let stages = stages.collect();
        let is_clamped = running.iter().all(RunningStage::is_clamped);
        let architecture = architecture.into();
        Ok(Network { architecture, num_features: plan.num_features, stages, running, weights, momentum, is_clamped })
    }

    fn stage(&self, stage: usize) -> Result<&RunningStage> {
        let missing = || Error::Invalid(format!("{} has {} stages, there is no stage {stage}", self.architecture, self.running.len()));
        self.running.get(stage).ok_or_else(missing)
    }

    /// One stage over channels-last maps.
    fn run(&self, stage: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let stage = self.stage(stage)?;
        let mut x = x.clone();
        for block in &stage.blocks {
            x = block.forward(&x, |layer, x, residual| layer.forward(x, residual, mode))?;
        }
        if stage.max_pool {
            x = kernels::max_pool(&x, 3, 2, 1)?;
        }
        match &stage.pooled {
            Some(pooled) => pooled.forward(&x, mode),
            None => Ok(x),
        }
    }

    /// The stages of this range, learning on a CPU.
    fn learn(&self, stages: Range<usize>, x: &Tensor) -> Result<Map> {
        let mut x = Map::enter(x)?;
        for stage in stages {
            let stage = self.stage(stage)?;
            for block in &stage.blocks {
                x = block.forward(&x, Layer::learn)?;
            }
            if stage.max_pool {
                x = kernels::map_max_pool(&x, 3, 2, 1)?;
            }
        }
        Ok(x)
    }
}

impl Backbone for Network {
    fn architecture(&self) -> &str {
        &self.architecture
    }

    fn num_features(&self) -> usize {
        self.num_features
    }

    fn stages(&self) -> &[Stage] {
        &self.stages
    }

    fn weights(&self) -> &Weights {
        &self.weights
    }

    fn set_norm_momentum(&self, momentum: f64) {
        self.momentum.store(momentum.to_bits(), Ordering::Relaxed);
    }

    fn forward_stage(&self, stage: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let x = channels_last(x)?;
        if self.learns_in_place(&x, mode) {
            return channels_first(&self.learn(stage..stage + 1, &x)?.leave()?);
        }
        channels_first(&self.run(stage, &x, mode)?)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        Ok(kernels::global_average_pool(&channels_last(features)?)?)
    }

    // The provided methods would do; these spare the graph a change of memory order at each stage.
    fn features_from(&self, from: usize, x: &Tensor, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        let (from, maps) = self.frozen(from, x, frozen_stages)?;
        channels_first(&match self.learns_in_place(&maps, mode) {
            true => self.learn(from..self.stages.len(), &maps)?.leave()?,
            false => self.rest(from, maps, mode)?,
        })
    }

    fn pooled(&self, x: &Tensor, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        let (from, maps) = self.frozen(0, x, frozen_stages)?;
        Ok(match self.learns_in_place(&maps, mode) {
            true => kernels::map_average(&self.learn(from..self.stages.len(), &maps)?)?,
            false => kernels::global_average_pool(&self.rest(from, maps, mode)?)?,
        })
    }
}

impl Network {
    /// Runs the frozen stages from `from` on as constants; answers the first stage that is not, and its input.
    fn frozen(&self, from: usize, x: &Tensor, frozen_stages: usize) -> Result<(usize, Tensor)> {
        let mut maps = channels_last(x)?;
        let end = frozen_stages.min(self.stages.len()).max(from);
        for stage in from..end {
            maps = self.run(stage, &maps, Mode::Eval)?.detach();
        }
        Ok((end, maps))
    }

    /// On a CPU, and all layers are clamped norms.
    fn learns_in_place(&self, x: &Tensor, mode: Mode) -> bool {
        mode == Mode::Train && x.device().is_cpu() && self.is_clamped
    }

    fn rest(&self, from: usize, mut maps: Tensor, mode: Mode) -> Result<Tensor> {
        for stage in from..self.stages.len() {
            maps = self.run(stage, &maps, mode)?;
        }
        Ok(maps)
    }
}

/// `(B, C, H, W)` to contiguous `(B, H, W, C)`; free if it came from `channels_first`.
fn channels_last(x: &Tensor) -> Result<Tensor> {
    if x.rank() != 4 {
        return Err(Error::Invalid(format!("a batch of images has the shape (batch, channels, height, width), not {:?}", x.dims())));
    }
    Ok(x.permute((0, 2, 3, 1))?.contiguous()?)
}

/// `(B, H, W, C)` seen as `(B, C, H, W)`; no copy.
fn channels_first(x: &Tensor) -> Result<Tensor> {
    Ok(x.permute((0, 3, 1, 2))?)
}

impl RunningBlock {
    /// Sends `x` through the layers by `apply(layer, input, residual)`.
    fn forward<T: Clone>(&self, x: &T, apply: impl Fn(&Layer, &T, Option<&T>) -> Result<T>) -> Result<T> {
        let residual = match &self.shortcut {
            RunningShortcut::None => None,
            RunningShortcut::Identity => Some(x.clone()),
            RunningShortcut::Projection(layer) => Some(apply(layer, x, None)?),
        };
        let Some((last, first)) = self.layers.split_last() else { return Ok(x.clone()) };
        let mut y = x.clone();
        for layer in first {
            y = apply(layer, &y, None)?;
        }
        apply(last, &y, residual.as_ref())
    }
}

/// A parameter as a variable or, in eval mode, as a constant.
fn parameter(var: &Var, mode: Mode) -> Tensor {
    match mode {
        Mode::Train => var.as_tensor().clone(),
        Mode::Eval => var.detach(),
    }
}

/// The handles of tensors the registry has checked.
fn handles<const N: usize>(architecture: &str, tensors: [(String, Vec<usize>); N], weights: &Weights) -> Result<[Var; N]> {
    let mut found = Vec::with_capacity(N);
    for (name, shape) in tensors {
        let var = weights.get(&name).cloned();
        found.push(var.ok_or_else(|| Error::Missing { architecture: architecture.into(), name, shape })?);
    }
    found.try_into().map_err(|_| Error::Invalid(format!("{architecture} lacks tensors")))
}

impl RunningPooled {
    fn build(architecture: &str, pooled: &Pooled, weights: &Weights) -> Result<RunningPooled> {
        let [weight, bias] = handles(architecture, pooled.tensors(), weights)?;
        Ok(RunningPooled { weight, bias, activation: pooled.activation })
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let pooled = kernels::global_average_pool(x)?;
        let (weight, bias) = (parameter(&self.weight, mode), parameter(&self.bias, mode));
        Ok(kernels::linear(&pooled, &weight, &bias, self.activation)?.unsqueeze(1)?.unsqueeze(1)?)
    }
}

impl RunningSqueeze {
    fn build(architecture: &str, squeeze: &Squeeze, weights: &Weights) -> Result<RunningSqueeze> {
        let [reduce, reduce_bias, expand, expand_bias] = handles(architecture, squeeze.tensors(), weights)?;
        Ok(RunningSqueeze { plan: squeeze.clone(), reduce: (reduce, reduce_bias), expand: (expand, expand_bias) })
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let pair = |(weight, bias): &(Var, Var)| (parameter(weight, mode), parameter(bias, mode));
        let (reduce, expand) = (pair(&self.reduce), pair(&self.expand));
        let (activation, gate) = (self.plan.activation, self.plan.gate);
        let squeeze = SqueezeExcite { reduce: (&reduce.0, &reduce.1), expand: (&expand.0, &expand.1), activation, gate };
        Ok(squeeze.forward(x)?)
    }
}

impl Layer {
    fn build(architecture: &str, unit: &Unit, plan: &Plan, weights: &Weights, momentum: &Arc<AtomicU64>) -> Result<Layer> {
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
            momentum: momentum.clone(),
            squeeze: unit.squeeze.as_ref().map(|squeeze| RunningSqueeze::build(architecture, squeeze, weights)).transpose()?,
        })
    }

    /// `activation(norm(conv(x)) + residual)` over channels-last maps, then the squeeze where there is one.
    fn forward(&self, x: &Tensor, residual: Option<&Tensor>, mode: Mode) -> Result<Tensor> {
        let y = self.normalised(x, residual, mode)?;
        match &self.squeeze {
            Some(squeeze) => squeeze.forward(&y, mode),
            None => Ok(y),
        }
    }

    fn normalised(&self, x: &Tensor, residual: Option<&Tensor>, mode: Mode) -> Result<Tensor> {
        match mode {
            Mode::Train => self.train(x, residual),
            // Somebody wants the gradient to the input: the same numbers through ops that have one.
            Mode::Eval if x.track_op() => {
                let y = kernels::conv2d(x, &self.weight.detach(), &self.spec)?;
                let (gamma, beta) = (self.gamma.detach(), self.beta.detach());
                let norm = Norm { gamma: &gamma, beta: &beta, eps: self.eps, activation: self.activation };
                Ok(kernels::batch_norm_eval(&y, &norm, &self.mean, &self.variance, residual)?)
            }
            Mode::Eval => {
                let (scale, shift) = self.folded()?;
                Ok(kernels::conv2d_affine(x, &self.weight, &self.spec, (&scale, &shift), residual, self.activation)?)
            }
        }
    }

    fn train(&self, x: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
        let y = kernels::conv2d(x, &self.weight, &self.spec)?;
        let (y, batch) = kernels::batch_norm_train(&y, &self.norm(), residual)?;
        self.follow(&batch)?;
        Ok(y)
    }

    /// The same between maps on the CPU.
    fn learn(&self, x: &Map, residual: Option<&Map>) -> Result<Map> {
        let (y, batch) = kernels::conv_norm(x, &self.weight, &self.spec, &self.norm(), residual)?;
        self.follow(&batch)?;
        Ok(y)
    }

    fn norm(&self) -> Norm<'_> {
        Norm { gamma: &self.gamma, beta: &self.beta, eps: self.eps, activation: self.activation }
    }

    fn follow(&self, batch: &BatchStatistics) -> Result<()> {
        let momentum = f64::from_bits(self.momentum.load(Ordering::Relaxed));
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
fn follow(running: &Var, batch: &[f32], momentum: f64) -> Result<()> {
    let old = running.as_tensor().to_vec1::<f32>()?;
    let (keep, take) = ((1.0 - momentum) as f32, momentum as f32);
    let new: Vec<f32> = old.iter().zip(batch).map(|(old, batch)| keep * old + take * batch).collect();
    running.set(&Tensor::from_vec(new, batch.len(), &Device::Cpu)?.to_device(running.device())?)?;
    Ok(())
}
