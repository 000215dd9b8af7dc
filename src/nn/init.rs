//! Fresh weights as timm draws them, seeded and the same on every machine: ChaCha8, one stream per tensor, and
//! normals by Box and Muller over `libm`, whose results do not depend on the C library.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Result;
use super::plan::{Init, Kind, Plan, Shortcut};
use super::registry::{self, Body};
use super::weights::Weights;

/// See [`Weights::random`].
pub(crate) fn random(architecture: &str, num_classes: usize, seed: u64) -> Result<Weights> {
    let known = registry::get(architecture)?;
    let body = known.body();
    let (init, silent) = match &body {
        Body::Convolutional(plan) => (plan.init, silent_norms(plan)),
        Body::Transformer(_) => (Init::Transformer, Vec::new()),
    };
    let mut tensors = HashMap::new();
    for (index, (name, shape, kind)) in registry::expected(architecture, num_classes)?.into_iter().enumerate() {
        let mut draw = Draw::new(seed, index as u64);
        let count = shape.iter().product();
        let values = match kind {
            Kind::NormScale if silent.contains(&name) => vec![0.0; count],
            Kind::NormScale | Kind::RunningVariance => vec![1.0; count],
            Kind::NormShift | Kind::RunningMean | Kind::LinearBias => vec![0.0; count],
            Kind::LinearWeight | Kind::Position => draw.normals(count, 0.02),
            Kind::ClassToken => draw.normals(count, 1e-6),
            Kind::Convolution | Kind::ConvolutionBias => convolution(&mut draw, init, kind, &body, &shape),
            Kind::HeadWeight | Kind::HeadBias => match (init, kind) {
                (Init::Mobile | Init::Transformer, Kind::HeadBias) => vec![0.0; count],
                (Init::Transformer, _) => draw.normals(count, 0.02),
                (Init::Mobile, _) => draw.uniform(count, 1.0 / (num_classes as f64).sqrt()),
                (Init::Residual, _) => draw.uniform(count, 1.0 / (known.num_features as f64).sqrt()),
            },
        };
        tensors.insert(name, Tensor::from_vec(values, shape, &Device::Cpu)?);
    }
    Weights::from_tensors(tensors)
}

fn convolution(draw: &mut Draw, init: Init, kind: Kind, body: &Body, shape: &[usize]) -> Vec<f32> {
    let count = shape.iter().product();
    match (init, body) {
        // PyTorch's own: weight and bias within the root of the fan-in.
        (_, Body::Transformer(vit)) => draw.uniform(count, 1.0 / ((3 * vit.patch * vit.patch) as f64).sqrt()),
        _ if kind == Kind::ConvolutionBias => vec![0.0; count],
        _ => {
            // Fan-out; in depthwise convolutions timm divides the outputs by the groups.
            let depthwise = init == Init::Mobile && shape[1] == 1 && shape[0] > 1;
            let outputs = if depthwise { 1 } else { shape[0] };
            draw.normals(count, (2.0 / (outputs * shape[2] * shape[3]) as f64).sqrt())
        }
    }
}

/// Scales that start at zero: the last norm of each residual branch, in families that do so.
fn silent_norms(plan: &Plan) -> Vec<String> {
    if plan.init != Init::Residual {
        return Vec::new();
    }
    let blocks = plan.stages.iter().flat_map(|stage| &stage.blocks).filter(|block| block.shortcut != Shortcut::None);
    blocks.filter_map(|block| block.units.last()).map(|unit| format!("{}.weight", unit.norm)).collect()
}

/// A stream of random numbers.
pub(crate) struct Draw {
    rng: ChaCha8Rng,
    spare: Option<f64>,
}

impl Draw {
    pub fn new(seed: u64, stream: u64) -> Draw {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Draw { rng, spare: None }
    }

    /// In `[0, 1)`, 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `count` values in `[-bound, bound)`.
    pub fn uniform(&mut self, count: usize, bound: f64) -> Vec<f32> {
        (0..count).map(|_| ((self.unit() * 2.0 - 1.0) * bound) as f32).collect()
    }

    /// `count` values of mean 0.
    pub fn normals(&mut self, count: usize, deviation: f64) -> Vec<f32> {
        (0..count).map(|_| (self.normal() * deviation) as f32).collect()
    }

    /// Mean 0, deviation 1.
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // 1 - u lies in (0, 1], so the logarithm is finite.
        let radius = (-2.0 * libm::log(1.0 - self.unit())).sqrt();
        let angle = 2.0 * std::f64::consts::PI * self.unit();
        self.spare = Some(radius * libm::sin(angle));
        radius * libm::cos(angle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normals_have_mean_zero_and_deviation_one_and_depend_on_seed_and_stream() {
        let draw = |seed, stream| {
            let mut draw = Draw::new(seed, stream);
            (0..20_000).map(|_| draw.normal()).collect::<Vec<_>>()
        };
        let values = draw(1, 0);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "mean {mean}, variance {variance}");
        assert_eq!(values, draw(1, 0));
        assert_ne!(values, draw(1, 1));
        assert_ne!(values, draw(2, 0));
    }

    #[test]
    fn transformers_are_drawn_as_timm_draws_them() {
        let weights = random("vit_tiny_patch16_224", 10, 0).unwrap();
        let values = |name: &str| weights.get(name).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let deviation = |name: &str| {
            let values = values(name);
            (values.iter().map(|value| f64::from(value * value)).sum::<f64>() / values.len() as f64).sqrt()
        };
        for name in ["blocks.3.attn.qkv.weight", "blocks.11.mlp.fc2.weight", "pos_embed", "head.weight"] {
            assert!((deviation(name) - 0.02).abs() < 1e-3, "{name}: {}", deviation(name));
        }
        assert!(deviation("cls_token") < 2e-6);
        // Uniform within 1 / sqrt(768).
        assert!((deviation("patch_embed.proj.weight") - 1.0 / (3.0f64 * 768.0).sqrt()).abs() < 1e-3);
        assert!(values("patch_embed.proj.bias").iter().any(|&value| value != 0.0));
        assert!(values("blocks.0.attn.qkv.bias").iter().all(|&value| value == 0.0));
    }

    #[test]
    fn residual_branches_start_silent() {
        let weights = random("resnet18", 10, 0).unwrap();
        let scale = |name: &str| weights.get(name).unwrap().to_vec1::<f32>().unwrap();
        assert!(scale("layer2.0.bn2.weight").iter().all(|&value| value == 0.0));
        assert!(scale("layer2.0.bn1.weight").iter().all(|&value| value == 1.0));
    }
}
