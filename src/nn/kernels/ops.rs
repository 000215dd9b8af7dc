//! Which road a pass through a network takes, decided here and nowhere else: by its device, by whether it learns and by
//! whether somebody wants the gradient to its input.
//!
//! | road | where | what runs |
//! | --- | --- | --- |
//! | tape | learning on a CPU | layers between [nodes](super::tape::Node), values and gradients worked out in place |
//! | folded | answering on a CPU | convolutions with folded batch norms, some images at a time through a whole stage |
//! | portable | every other device, and gradients to an input in eval mode | candle's own ops ([`portable`](super::portable)) |
//!
//! A transformer's blocks know nothing to fold: they go between nodes where they answer, too, and keep nothing there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
#[cfg(test)]
use std::sync::{Mutex, PoisonError};

use candle_core::{Device, Result, Tensor};

use super::activation::Activation;
use super::backend::{self, Arithmetic};
use super::conv::pool;
use super::linear;
use super::norm::layer_norm;
use super::portable;
use super::proof::has_bf16;
use crate::domain::recipe::Precision;

/// How layers are computed; the same numbers on each but for the order of sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Road {
    Tape,
    Folded,
    Portable,
}

impl Road {
    fn of(x: &Tensor, learns: bool) -> Road {
        match (x.device().is_cpu(), learns) {
            (false, _) => Road::Portable,
            (true, true) => Road::Tape,
            (true, false) if x.track_op() => Road::Portable,
            (true, false) => Road::Folded,
        }
    }

    /// `activation(x * weight^T + bias)` for `x (B, I)`, `weight (O, I)` or `(O, I, 1, 1)`, `bias (O)`. Gradients flow to
    /// all three. Errors when shapes do not fit.
    pub fn linear(self, x: &Tensor, weight: &Tensor, bias: &Tensor, activation: Activation) -> Result<Tensor> {
        linear::check(x, weight, bias)?;
        match self {
            Road::Portable => portable::linear(x, weight, bias, activation),
            Road::Tape | Road::Folded => linear::linear(x, weight, bias, activation),
        }
    }

    /// Layer norm over the last dimension of `x (..., D)`. Gradients flow to x, gamma and beta.
    pub fn layer_norm(self, x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<Tensor> {
        layer_norm::check(x, gamma, beta)?;
        match self {
            Road::Portable => portable::layer_norm(x, gamma, beta, eps),
            Road::Tape | Road::Folded => layer_norm::layer_norm(x, gamma, beta, eps),
        }
    }

    /// The mean over all pixels: `(B, H, W, C)` to `(B, C)`.
    pub fn global_average_pool(self, x: &Tensor) -> Result<Tensor> {
        pool::check(x)?;
        match self {
            Road::Portable => portable::global_average_pool(x),
            Road::Tape | Road::Folded => pool::global_average_pool(x),
        }
    }
}

/// How one pass is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass {
    pub road: Road,
    /// Of the products of layers.
    pub arithmetic: Arithmetic,
    /// How far running statistics follow the batch.
    pub momentum: f64,
    /// Whether those that learn normalise by their running statistics all the same.
    pub fixed_norms: bool,
}

impl Pass {
    /// The same for a stage that does not learn: what it answers must not hang on how others learn.
    pub fn frozen(self) -> Pass {
        Pass { arithmetic: Arithmetic { precision: Precision::F32, ..self.arithmetic }, ..self }
    }
}

/// What a network was told about its passes.
pub struct Settings {
    /// Whether passes that learn multiply bf16.
    rounds: AtomicBool,
    /// The bits of an f64.
    momentum: AtomicU64,
    fixed_norms: AtomicBool,
    #[cfg(test)]
    forced: Mutex<Forced>,
}

/// What tests want to compare.
#[cfg(test)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Forced {
    pub road: Option<Road>,
    pub backend: Option<backend::Choice>,
}

impl Settings {
    pub(crate) fn new() -> Settings {
        Settings {
            rounds: AtomicBool::new(false),
            momentum: AtomicU64::new(0.1f64.to_bits()),
            fixed_norms: AtomicBool::new(false),
            #[cfg(test)]
            forced: Mutex::default(),
        }
    }

    pub(crate) fn set_momentum(&self, momentum: f64) {
        self.momentum.store(momentum.to_bits(), Ordering::Relaxed);
    }

    /// From now on norms keep their running statistics.
    pub(crate) fn freeze_norms(&self) {
        self.fixed_norms.store(true, Ordering::Relaxed);
    }

    /// Of passes that learn on this device. Where another does not work, f32 stays, and the answer is why.
    pub(crate) fn set_precision(&self, precision: Precision, device: &Device) -> std::result::Result<(), String> {
        self.rounds.store(false, Ordering::Relaxed);
        if precision == Precision::Bf16 {
            has_bf16(device)?;
            self.rounds.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// How a pass that begins with `x` is made.
    pub(crate) fn pass(&self, x: &Tensor, learns: bool) -> Pass {
        let rounds = learns && self.rounds.load(Ordering::Relaxed);
        let pass = Pass {
            road: Road::of(x, learns),
            arithmetic: Arithmetic::new(backend::choice(), if rounds { Precision::Bf16 } else { Precision::F32 }),
            momentum: f64::from_bits(self.momentum.load(Ordering::Relaxed)),
            fixed_norms: self.fixed_norms.load(Ordering::Relaxed),
        };
        #[cfg(test)]
        let pass = self.forced.lock().unwrap_or_else(PoisonError::into_inner).apply(pass);
        pass
    }

    #[cfg(test)]
    pub(crate) fn force(&self, forced: Forced) {
        *self.forced.lock().unwrap_or_else(PoisonError::into_inner) = forced;
    }
}

#[cfg(test)]
impl Forced {
    fn apply(self, pass: Pass) -> Pass {
        let arithmetic = Arithmetic::new(self.backend.unwrap_or(pass.arithmetic.backend), pass.arithmetic.precision);
        Pass { road: self.road.unwrap_or(pass.road), arithmetic, ..pass }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;

    #[test]
    fn the_road_hangs_on_device_learning_and_the_input_alone() {
        let constant = Tensor::zeros((1, 2, 2, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
        let variable = Var::from_tensor(&constant).unwrap();
        let settings = Settings::new();
        let roads = [(&constant, true), (&constant, false), (variable.as_tensor(), true), (variable.as_tensor(), false)];
        let roads = roads.map(|(x, learns)| settings.pass(x, learns).road);
        assert_eq!(roads, [Road::Tape, Road::Folded, Road::Tape, Road::Portable]);
    }

    #[test]
    fn only_passes_that_learn_round_and_all_know_the_momentum() {
        let x = Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu).unwrap();
        let settings = Settings::new();
        assert_eq!(settings.pass(&x, true).momentum, 0.1);
        settings.set_momentum(0.25);
        let rounds = settings.set_precision(Precision::Bf16, &Device::Cpu).is_ok();
        let precision = if rounds { Precision::Bf16 } else { Precision::F32 };
        let (learning, answering) = (settings.pass(&x, true), settings.pass(&x, false));
        assert_eq!((learning.arithmetic.precision, learning.momentum), (precision, 0.25));
        assert_eq!((answering.arithmetic.precision, learning.frozen().arithmetic.precision), (Precision::F32, Precision::F32));
        settings.set_precision(Precision::F32, &Device::Cpu).unwrap();
        assert_eq!(settings.pass(&x, true).arithmetic.precision, Precision::F32);
    }
}
