//! Towers for texts that share a space with one for images: CLIP's (Radford et al. 2021), whose tokens see those before them and whose
//! last one is projected, and SigLIP's (Zhai et al. 2023), whose texts are all made equally long.

use super::Family;
use crate::domain::encoder_config::Numbers;
use crate::nn::architectures::towers::activation;
use crate::nn::executors::encoder::plan::{Bend, Layer, Module, Plan, Pooler, Table};
use crate::nn::executors::pooling::How;

pub(super) static CLIP: Family = CLIP_LIKE;

pub(super) static SIGLIP: Family =
    Family { name: "siglip_text_model", plan: |numbers| plan(numbers, false, Module::new("head")), ..CLIP_LIKE };

const CLIP_LIKE: Family = Family {
    name: "clip_text_model",
    prefix: "text_model.",
    plan: |numbers| plan(numbers, true, Module::plain("text_projection")),
    classifier: "classifier",
    settings: &[],
    others: OTHERS,
};

/// The tower for images, and what brings both together.
const OTHERS: &[&str] = &["vision_model", "visual_projection", "text_projection", "logit_scale", "logit_bias"];

fn plan(numbers: &Numbers, causal: bool, projection: Module) -> Plan {
    let layer = |index: usize| {
        let name = format!("encoder.layers.{index}");
        let module = |module: &str| Module::new(format!("{name}.{module}"));
        Layer {
            attention_norm: Some(module("layer_norm1")),
            qkv: ["q_proj", "k_proj", "v_proj"].map(|part| module(&format!("self_attn.{part}"))).into(),
            output: module("self_attn.out_proj"),
            mlp_norm: module("layer_norm2"),
            up: module("mlp.fc1"),
            down: module("mlp.fc2"),
            rotary: None,
            reach: None,
            name,
        }
    };
    let pooler = |outputs| Pooler { dense: projection, activation: Bend::None, norm: None, outputs };
    Plan {
        width: numbers.width,
        heads: numbers.heads,
        hidden: numbers.hidden,
        eps: numbers.eps(5),
        words: Table::new("embeddings.token_embedding.weight", numbers.vocabulary),
        positions: Some((Table::new("embeddings.position_embedding.weight", numbers.places), 0)),
        types: None,
        norm: None,
        layers: (0..numbers.layers).map(layer).collect(),
        pre_norm: true,
        gated: false,
        activation: activation(numbers.activation.unwrap_or(1)),
        causal,
        filled: numbers.filled.and_then(|token| u32::try_from(token).ok()),
        distances: None,
        last_norm: Some(Module::new("final_layer_norm")),
        pooler: numbers.outputs.map(pooler),
        // The end of a text, which is the last of its tokens.
        usual: How::Last,
        longest: numbers.places,
    }
}
