//! A network of convolutions whose heads over maps look at chosen places of it: at what a stage has made, or at what the first layer above
//! would make of that (the widened maps within an inverted residual, which no stage ends with).

use candle_core::{Tensor, Var};

use super::convolutional::Convolutional;
use super::parameter::{handle, parameter};
use crate::domain::recipe::Precision;
use crate::nn::architectures::plan::Unit;
use crate::nn::backbone::{Backbone, Mode, Scale, Stage, StageMap};
use crate::nn::error::{Error, Result};
use crate::nn::input::Input;
use crate::nn::kernels::ops::Settings;
use crate::nn::kernels::{Activation, Maps, Spec};
use crate::nn::weights::Weights;

/// A place that is looked at.
pub(crate) struct Tap {
    pub scale: Scale,
    /// A pointwise layer with a bias, of a stage above, through which its maps are seen.
    pub through: Option<Unit>,
}

/// The same layer with its tensors.
struct Through {
    weight: Var,
    bias: Var,
    activation: Activation,
}

pub(crate) struct Tapped {
    inner: Convolutional,
    scales: Vec<Scale>,
    through: Vec<Option<Through>>,
    settings: Settings,
}

impl Tapped {
    /// # Errors
    /// The network lacks a layer that is looked through, or it is none of this kind.
    pub fn on(inner: Convolutional, taps: &[Tap]) -> Result<Tapped> {
        let through = |tap: &Tap| {
            let Some(unit) = &tap.through else { return Ok(None) };
            if unit.kernel != [1, 1] || unit.stride != 1 || unit.groups != 1 || !unit.bias || unit.norm.is_some() {
                return Err(Error::Invalid(format!("{} cannot be looked through", unit.conv)));
            }
            let get = |field: &str| handle(&format!("{}.{field}", unit.conv), inner.weights(), inner.architecture());
            Ok(Some(Through { weight: get("weight")?, bias: get("bias")?, activation: unit.activation }))
        };
        let through = taps.iter().map(through).collect::<Result<_>>()?;
        Ok(Tapped { inner, scales: taps.iter().map(|tap| tap.scale).collect(), through, settings: Settings::new() })
    }
}

impl Backbone for Tapped {
    fn architecture(&self) -> &str {
        self.inner.architecture()
    }

    fn num_features(&self) -> usize {
        self.inner.num_features()
    }

    fn stages(&self) -> &[Stage] {
        self.inner.stages()
    }

    fn weights(&self) -> &Weights {
        self.inner.weights()
    }

    fn forward_stage(&self, stage: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.inner.forward_stage(stage, x, mode)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        self.inner.pool(features)
    }

    fn scales(&self) -> &[Scale] {
        &self.scales
    }

    fn shown(&self, stage: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let at = self.scales.iter().position(|scale| scale.stage == stage);
        let Some(layer) = at.and_then(|at| self.through[at].as_ref()) else { return Ok(x.clone()) };
        let pass = self.settings.pass(x, mode == Mode::Train);
        let maps = Maps::enter(&x.permute((0, 2, 3, 1))?, &pass)?;
        let parameters = (&parameter(&layer.weight, mode), &parameter(&layer.bias, mode));
        Ok(maps.conv_bias(parameters, &Spec::POINTWISE, layer.activation)?.leave()?.permute((0, 3, 1, 2))?)
    }

    fn shows_all(&self) -> bool {
        self.through.iter().all(Option::is_none)
    }

    fn maps(&self, input: &Input, frozen_stages: usize, mode: Mode) -> Result<Vec<StageMap>> {
        let mut maps = self.inner.maps(input, frozen_stages, mode)?;
        for scale in &self.scales {
            let (map, mode) = (&mut maps[scale.stage], if scale.stage < frozen_stages { Mode::Eval } else { mode });
            map.values = self.shown(scale.stage, &map.values, mode)?;
        }
        Ok(maps)
    }

    fn features_from(&self, from: usize, x: &Tensor, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        self.inner.features_from(from, x, frozen_stages, mode)
    }

    fn pooled(&self, input: &Input, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        self.inner.pooled(input, frozen_stages, mode)
    }

    fn set_norm_momentum(&self, momentum: f64) {
        self.inner.set_norm_momentum(momentum);
    }

    fn freeze_norms(&self) {
        self.inner.freeze_norms();
    }

    fn set_precision(&self, precision: Precision) -> std::result::Result<(), String> {
        self.inner.set_precision(precision)?;
        self.settings.set_precision(precision, &self.inner.weights().device())
    }

    fn settle(&mut self) {
        self.inner.settle();
    }

    fn unsettle(&mut self) {
        self.inner.unsettle();
    }

    #[cfg(test)]
    fn settings(&self) -> &Settings {
        self.inner.settings()
    }
}
