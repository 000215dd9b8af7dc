//! Fresh weights as timm draws them, seeded and the same on every machine: one stream of random numbers per tensor.

use std::collections::HashMap;

use candle_core::{Device, Tensor};

use super::architectures::{self, Expected, Init};
use super::error::Result;
use super::random::Draw;
use super::weights::Weights;

impl Weights {
    /// Fresh weights as timm draws them for this family, the same on every machine. `num_classes` 0 leaves out the
    /// classifier.
    pub fn random(architecture: &str, num_classes: usize, seed: u64) -> Result<Weights> {
        Weights::drawn(architectures::expected(architecture, num_classes)?, seed)
    }

    /// The same of a backbone for images of that side, in pixels, where its tensors hang on it.
    pub fn random_at(architecture: &str, side: usize, seed: u64) -> Result<Weights> {
        Weights::drawn(architectures::get(architecture)?.expected_at(side, 0), seed)
    }

    fn drawn(expected: Vec<Expected>, seed: u64) -> Result<Weights> {
        let mut tensors = HashMap::new();
        for (index, tensor) in expected.into_iter().enumerate() {
            let (mut draw, count) = (Draw::new(seed, index as u64), tensor.count());
            let values = match tensor.init {
                Init::Constant(value) => vec![value; count],
                Init::Uniform(bound) => draw.uniform(count, bound),
                Init::Normal(deviation) => draw.normals(count, deviation),
            };
            tensors.insert(tensor.name, Tensor::from_vec(values, tensor.shape, &Device::Cpu)?);
        }
        Weights::from_tensors(tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transformers_are_drawn_as_timm_draws_them() {
        let weights = Weights::random("vit_tiny_patch16_224", 10, 0).unwrap();
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
        let weights = Weights::random("resnet18", 10, 0).unwrap();
        let scale = |name: &str| weights.get(name).unwrap().to_vec1::<f32>().unwrap();
        assert!(scale("layer2.0.bn2.weight").iter().all(|&value| value == 0.0));
        assert!(scale("layer2.0.bn1.weight").iter().all(|&value| value == 1.0));
    }
}
