//! Low-rank adapters (Hu et al. 2021): beside a linear layer's matrix W, which stays, two narrow ones learn, and the layer works with
//! `W + alpha / rank * up down`. `up` begins at zero, so that the first pass is the base's.

use candle_core::{DType, Tensor, Var};

use crate::nn::error::Result;
use crate::nn::random::Draw;

/// What adapters are put in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LowRank {
    pub rank: usize,
    pub alpha: f64,
    /// Beside those of attention also the two layers of each block's perceptron.
    pub perceptrons: bool,
    pub seed: u64,
}

/// That of one matrix.
pub(super) struct Adapter {
    /// `(rank, inputs)`.
    down: Var,
    /// `(outputs, rank)`.
    up: Var,
    scale: f64,
}

impl Adapter {
    /// For a matrix `(outputs, inputs)`; `stream` tells its random numbers from those of others.
    pub fn new(matrix: &Var, with: &LowRank, stream: u64) -> Result<Adapter> {
        let (outputs, inputs) = matrix.dims2()?;
        let bound = 1.0 / (inputs as f64).sqrt();
        let down = Draw::new(with.seed, stream).uniform(with.rank * inputs, bound);
        let down = Tensor::from_vec(down, (with.rank, inputs), matrix.device())?;
        let up = Var::zeros((outputs, with.rank), DType::F32, matrix.device())?;
        Ok(Adapter { down: Var::from_tensor(&down)?, up, scale: with.alpha / with.rank as f64 })
    }

    /// The matrix that the layer works with; gradients flow to the adapter, if it `learns`, and never to `matrix`.
    pub fn on(&self, matrix: &Var, learns: bool) -> Result<Tensor> {
        let [up, down] = [&self.up, &self.down].map(|var| if learns { var.as_tensor().clone() } else { var.detach() });
        Ok((matrix.detach() + (up.matmul(&down)? * self.scale)?)?)
    }

    /// Its tensors under the name of their layer.
    pub fn parameters(&self, layer: &str) -> [(String, Var); 2] {
        [(format!("{layer}.lora_down"), self.down.clone()), (format!("{layer}.lora_up"), self.up.clone())]
    }
}
