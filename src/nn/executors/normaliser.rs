//! A batch norm with the statistics that it follows.

use candle_core::{Tensor, Var};

use super::parameter::{handle, parameter};
use crate::nn::backbone::Mode;
use crate::nn::error::Result;
use crate::nn::kernels::ops::Pass;
use crate::nn::kernels::tape::{self, Node};
use crate::nn::kernels::{Activation, BatchStatistics, Norm, portable};
use crate::nn::weights::Weights;

/// Batch norm, then an activation.
pub(super) struct Normaliser {
    gamma: Var,
    beta: Var,
    mean: Var,
    variance: Var,
    eps: f64,
    pub activation: Activation,
}

impl Normaliser {
    pub fn build(architecture: &str, module: &str, eps: f64, activation: Activation, weights: &Weights) -> Result<Normaliser> {
        let get = |field: &str| handle(&format!("{module}.{field}"), weights, architecture);
        let (mean, variance) = (get("running_mean")?, get("running_var")?);
        Ok(Normaliser { gamma: get("weight")?, beta: get("bias")?, mean, variance, eps, activation })
    }

    /// `activation(norm(x) + residual)` over channels-last maps, of candle's ops.
    pub fn compose(&self, x: &Tensor, residual: Option<&Tensor>, mode: Mode, pass: &Pass) -> Result<Tensor> {
        let [gamma, beta] = [&self.gamma, &self.beta].map(|var| parameter(var, mode));
        let norm = Norm { gamma: &gamma, beta: &beta, eps: self.eps, activation: self.activation };
        match mode {
            Mode::Train if !pass.fixed_norms => {
                let (y, batch) = portable::batch_norm_train(x, &norm, residual)?;
                self.follow(Some(&batch), pass)?;
                Ok(y)
            }
            _ => Ok(portable::batch_norm_eval(x, &norm, &self.mean, &self.variance, residual)?),
        }
    }

    /// `activation(norm(x))` between nodes on the CPU.
    pub fn learn(&self, x: &Node, pass: &Pass) -> Result<Node> {
        let (y, batch) = tape::norm::batch_norm(x, &self.parts(), self.fixed(pass))?;
        self.follow(batch.as_ref(), pass)?;
        Ok(y)
    }

    /// What kernels must know of it.
    pub fn parts(&self) -> Norm<'_> {
        Norm { gamma: &self.gamma, beta: &self.beta, eps: self.eps, activation: self.activation }
    }

    /// The running statistics, where the pass normalises by them.
    pub fn fixed(&self, pass: &Pass) -> Option<(&Tensor, &Tensor)> {
        pass.fixed_norms.then_some((self.mean.as_tensor(), self.variance.as_tensor()))
    }

    /// Moves the running statistics towards those of a batch.
    pub fn follow(&self, batch: Option<&BatchStatistics>, pass: &Pass) -> Result<()> {
        let Some(batch) = batch else { return Ok(()) };
        follow(&self.mean, &batch.mean, pass.momentum)?;
        follow(&self.variance, &batch.unbiased_variance, pass.momentum)
    }

    /// As one scale and shift per channel.
    pub fn folded(&self) -> Result<(Vec<f32>, Vec<f32>)> {
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
