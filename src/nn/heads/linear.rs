//! What is trained on top of a backbone: dropout, then one linear layer.

use candle_core::{Device, Tensor, Var};

use crate::nn::backbone::Mode;
use crate::nn::error::{Error, Result};
use crate::nn::random::Draw;
use crate::nn::weights::{Weights, on_device};

/// A linear classifier `(B, num_features)` to `(B, num_classes)` with dropout before it.
pub struct Linear {
    name: String,
    weight: Var,
    bias: Var,
    dropout: f64,
    seed: u64,
}

impl Linear {
    /// A fresh head as PyTorch draws a linear layer: weights uniform within `1 / sqrt(num_features)`, zero bias.
    /// Errors when a size is 0 or dropout is not in `[0, 1)`.
    pub fn new(num_features: usize, num_classes: usize, dropout: f64, seed: u64) -> Result<Linear> {
        if num_features == 0 || num_classes == 0 {
            return Err(Error::Invalid(format!("a head needs features and classes, not {num_features} and {num_classes}")));
        }
        let bound = 1.0 / (num_features as f64).sqrt();
        // A stream of its own, apart from the backbone's tensors.
        let weight = Draw::new(seed, u64::MAX).uniform(num_features * num_classes, bound);
        let weight = Var::from_vec(weight, (num_classes, num_features), &Device::Cpu)?;
        let bias = Var::from_vec(vec![0f32; num_classes], num_classes, &Device::Cpu)?;
        Linear { name: "classifier".into(), weight, bias, dropout: 0.0, seed }.with_dropout(dropout, seed)
    }

    /// The head in `weights` under the module `name`, sharing its handles, without dropout.
    pub fn from_weights(name: &str, weights: &Weights) -> Result<Linear> {
        let get = |field: &str| {
            let name = format!("{name}.{field}");
            let missing = || Error::Missing { architecture: "a head".into(), name: name.clone(), shape: vec![] };
            weights.get(&name).cloned().ok_or_else(missing)
        };
        let (weight, bias) = (get("weight")?, get("bias")?);
        if weight.rank() != 2 || bias.dims() != [weight.dims()[0]] {
            return Err(Error::Invalid(format!("`{name}` has a weight of {:?} and a bias of {:?}", weight.dims(), bias.dims())));
        }
        Ok(Linear { name: name.into(), weight, bias, dropout: 0.0, seed: 0 })
    }

    /// With this share of features dropped while training; masks follow from `seed` and the step.
    pub fn with_dropout(self, dropout: f64, seed: u64) -> Result<Linear> {
        if !(0.0..1.0).contains(&dropout) {
            return Err(Error::Invalid(format!("dropout is a share from 0 up to but not 1, not {dropout}")));
        }
        Ok(Linear { dropout, seed, ..self })
    }

    /// On `device`.
    pub fn on(self, device: &Device) -> Result<Linear> {
        let (weight, bias) = (on_device(&self.weight, device)?, on_device(&self.bias, device)?);
        Ok(Linear { weight, bias, ..self })
    }

    /// Under another module name.
    pub fn named(self, name: &str) -> Linear {
        Linear { name: name.into(), ..self }
    }

    pub fn num_features(&self) -> usize {
        self.weight.dims()[1]
    }

    pub fn num_classes(&self) -> usize {
        self.weight.dims()[0]
    }

    /// Features `(B, num_features)` to logits `(B, num_classes)`. In eval mode the parameters are constants. The
    /// same `step` gives the same dropout mask.
    pub fn forward(&self, x: &Tensor, mode: Mode, step: u64) -> Result<Tensor> {
        let (weight, bias, x) = match mode {
            Mode::Train => (self.weight.as_tensor().clone(), self.bias.as_tensor().clone(), self.drop(x, step)?),
            Mode::Eval => (self.weight.detach(), self.bias.detach(), x.clone()),
        };
        Ok(x.matmul(&weight.t()?)?.broadcast_add(&bias)?)
    }

    fn drop(&self, x: &Tensor, step: u64) -> Result<Tensor> {
        if self.dropout == 0.0 {
            return Ok(x.clone());
        }
        let mut draw = Draw::new(self.seed, step);
        let kept = (1.0 / (1.0 - self.dropout)) as f32;
        let mask: Vec<f32> = (0..x.elem_count()).map(|_| if draw.unit() < self.dropout { 0.0 } else { kept }).collect();
        Ok((x * Tensor::from_vec(mask, x.shape(), &Device::Cpu)?.to_device(x.device())?)?)
    }

    /// Its tensors under their full names, such as `fc.weight`.
    pub fn parameters(&self) -> Vec<(String, &Var)> {
        vec![(format!("{}.weight", self.name), &self.weight), (format!("{}.bias", self.name), &self.bias)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropout_drops_its_share_keeps_the_mean_and_is_the_same_for_the_same_step() {
        let head = Linear::new(4000, 1, 0.25, 7).unwrap();
        let ones = Tensor::ones((1, 4000), candle_core::DType::F32, &Device::Cpu).unwrap();
        let dropped = head.drop(&ones, 3).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let zeros = dropped.iter().filter(|&&value| value == 0.0).count();
        assert!((900..1100).contains(&zeros), "{zeros} of 4000 dropped");
        assert!((dropped.iter().sum::<f32>() / 4000.0 - 1.0).abs() < 0.05);
        let again = |step| head.drop(&ones, step).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(again(3), dropped);
        assert_ne!(again(4), dropped);
    }

    #[test]
    fn eval_drops_nothing_and_keeps_no_graph() {
        let head = Linear::new(3, 2, 0.5, 0).unwrap();
        let x = Tensor::ones((2, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
        let logits = head.forward(&x, Mode::Eval, 0).unwrap();
        assert!(!logits.track_op());
        let weight = head.weight.to_vec2::<f32>().unwrap();
        let row: f32 = weight[0].iter().sum();
        assert!((logits.to_vec2::<f32>().unwrap()[0][0] - row).abs() < 1e-6);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Linear::new(0, 2, 0.0, 0).is_err());
        assert!(Linear::new(3, 2, 1.0, 0).is_err());
        assert!(Linear::new(3, 2, f64::NAN, 0).is_err());
    }
}
