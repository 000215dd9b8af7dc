//! ModernBERT (Warner et al. 2024): norms before the halves of a layer, rotary positions, gated perceptrons, no biases; of three layers
//! one sees everything and two see 64 tokens to either side.

use super::Family;
use crate::domain::encoder_config::Numbers;
use crate::nn::executors::encoder::plan::{Bend, Layer, Module, Plan, Pooler, Table};
use crate::nn::executors::pooling::How;
use crate::nn::kernels::Activation;

/// Each so manieth layer sees everything.
const GLOBAL_EVERY: usize = 3;
/// Tokens to either side that the others see.
const REACH: usize = 64;
/// The bases of rotary positions of both.
const GLOBAL_BASE: f64 = 160_000.0;
const LOCAL_BASE: f64 = 10_000.0;

pub(super) static MODERNBERT: Family = Family {
    name: "modernbert",
    prefix: "model.",
    plan,
    classifier: "classifier",
    settings: &[
        ("hidden_activation", &["\"gelu\""]),
        ("classifier_activation", &["\"gelu\""]),
        ("classifier_pooling", &["\"cls\"", "\"mean\""]),
        ("attention_bias", &["false"]),
        ("mlp_bias", &["false"]),
        ("norm_bias", &["false"]),
        ("classifier_bias", &["false"]),
        ("global_attn_every_n_layers", &["3"]),
        ("local_attention", &["128"]),
        ("global_rope_theta", &["160000.0", "160000"]),
        ("local_rope_theta", &["10000.0", "10000"]),
        (
            "rope_parameters",
            &[
                r#"{"full_attention": {"rope_theta": 160000.0, "rope_type": "default"}, "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"}}"#,
            ],
        ),
    ],
    others: &["head", "decoder"],
};

fn plan(numbers: &Numbers) -> Plan {
    let layer = |index: usize| {
        let name = format!("layers.{index}");
        let module = |module: &str| Module::plain(format!("{name}.{module}"));
        let global = index.is_multiple_of(GLOBAL_EVERY);
        Layer {
            attention_norm: (index > 0).then(|| module("attn_norm")),
            qkv: vec![module("attn.Wqkv")],
            output: module("attn.Wo"),
            mlp_norm: module("mlp_norm"),
            up: module("mlp.Wi"),
            down: module("mlp.Wo"),
            rotary: Some(if global { GLOBAL_BASE } else { LOCAL_BASE }),
            reach: (!global).then_some(REACH),
            name,
        }
    };
    let pooler = || Pooler {
        dense: Module::plain("head.dense"),
        activation: Bend::Gelu,
        norm: Some(Module::plain("head.norm")),
        outputs: numbers.width,
    };
    Plan {
        width: numbers.width,
        heads: numbers.heads,
        hidden: numbers.hidden,
        eps: numbers.eps(5),
        words: Table::new("embeddings.tok_embeddings.weight", numbers.vocabulary),
        positions: None,
        types: None,
        norm: Some(Module::plain("embeddings.norm")),
        layers: (0..numbers.layers).map(layer).collect(),
        pre_norm: true,
        gated: true,
        activation: Activation::Gelu,
        causal: false,
        filled: None,
        distances: None,
        last_norm: Some(Module::plain("final_norm")),
        // Of each word, too, where words are classified.
        pooler: (numbers.classifies || numbers.tags).then(pooler),
        usual: if numbers.classifies && !numbers.classifies_mean { How::First } else { How::Mean },
        longest: numbers.places,
    }
}
