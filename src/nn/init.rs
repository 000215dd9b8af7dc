//! Fresh weights as timm draws them, seeded and the same on every machine: one stream of random numbers per tensor.

use std::collections::HashMap;

use super::architectures::plan::{Init, Kind, Plan, Shortcut};
use super::architectures::{self, Body};
use super::error::Result;
use super::random::Draw;
use super::weights::Weights;
use candle_core::{Device, Tensor};

impl Weights {
    /// Fresh weights as timm draws them for this family, the same on every machine. `num_classes` 0 leaves out the
    /// classifier.
    pub fn random(architecture: &str, num_classes: usize, seed: u64) -> Result<Weights> {
        random(architecture, num_classes, seed)
    }
}

fn random(architecture: &str, num_classes: usize, seed: u64) -> Result<Weights> {
    let known = architectures::get(architecture)?;
    let body = known.body();
    let (init, silent) = match &body {
        Body::Convolutional(plan) => (plan.init, silent_norms(plan)),
        Body::Transformer(_) => (Init::Transformer, Vec::new()),
    };
    let mut tensors = HashMap::new();
    for (index, (name, shape, kind)) in architectures::expected(architecture, num_classes)?.into_iter().enumerate() {
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

#[cfg(test)]
mod tests {
    use super::*;

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
