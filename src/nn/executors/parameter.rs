//! The parameters of a layer as handles, and as what a pass in either mode makes of them.

use candle_core::{Tensor, Var};

use crate::nn::backbone::Mode;
use crate::nn::error::{Error, Result};
use crate::nn::weights::Weights;

/// Weight and bias, or scale and shift.
pub(super) struct Pair(Var, Var);

impl Pair {
    /// Those of a module.
    pub fn of(module: &str, weights: &Weights, architecture: &str) -> Result<Pair> {
        let get = |field: &str| handle(&format!("{module}.{field}"), weights, architecture);
        Ok(Pair(get("weight")?, get("bias")?))
    }

    /// The first of the two.
    pub fn matrix(&self) -> &Var {
        &self.0
    }

    pub fn tensors(&self, mode: Mode) -> (Tensor, Tensor) {
        (parameter(&self.0, mode), parameter(&self.1, mode))
    }
}

/// The handle of a tensor that `architectures` has checked.
pub(super) fn handle(name: &str, weights: &Weights, architecture: &str) -> Result<Var> {
    let missing = || Error::Missing { architecture: architecture.into(), name: name.into(), shape: vec![] };
    weights.get(name).cloned().ok_or_else(missing)
}

/// A parameter as a variable or, in eval mode, as a constant.
pub(super) fn parameter(var: &Var, mode: Mode) -> Tensor {
    match mode {
        Mode::Train => var.as_tensor().clone(),
        Mode::Eval => var.detach(),
    }
}
