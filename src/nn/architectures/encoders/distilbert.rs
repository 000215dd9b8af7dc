//! DistilBERT (Sanh et al. 2019): BERT's layers under other names, without types of tokens.

use super::Family;
use crate::domain::encoder_config::Numbers;
use crate::nn::executors::encoder::plan::{Bend, Layer, Module, Plan, Pooler, Table};
use crate::nn::executors::pooling::How;
use crate::nn::kernels::Activation;

pub(super) static DISTILBERT: Family = Family {
    name: "distilbert",
    prefix: "distilbert.",
    plan,
    classifier: "classifier",
    settings: &[("activation", &["\"gelu\""])],
    others: &["pre_classifier", "vocab_transform", "vocab_layer_norm", "vocab_projector"],
};

fn plan(numbers: &Numbers) -> Plan {
    let layer = |index: usize| {
        let name = format!("transformer.layer.{index}");
        let module = |module: &str| Module::new(format!("{name}.{module}"));
        Layer {
            attention_norm: Some(module("sa_layer_norm")),
            qkv: ["q_lin", "k_lin", "v_lin"].map(|part| module(&format!("attention.{part}"))).into(),
            output: module("attention.out_lin"),
            mlp_norm: module("output_layer_norm"),
            up: module("ffn.lin1"),
            down: module("ffn.lin2"),
            rotary: None,
            reach: None,
            name,
        }
    };
    let pooler = || Pooler { dense: Module::new("pre_classifier"), activation: Bend::Relu, norm: None, outputs: numbers.width };
    Plan {
        width: numbers.width,
        heads: numbers.heads,
        hidden: numbers.hidden,
        // It is not in the config.
        eps: 1e-12,
        words: Table::new("embeddings.word_embeddings.weight", numbers.vocabulary),
        positions: Some((Table::new("embeddings.position_embeddings.weight", numbers.places), 0)),
        types: None,
        norm: Some(Module::new("embeddings.LayerNorm")),
        layers: (0..numbers.layers).map(layer).collect(),
        pre_norm: false,
        gated: false,
        activation: Activation::Gelu,
        causal: false,
        filled: None,
        distances: None,
        last_norm: None,
        pooler: numbers.classifies.then(pooler),
        usual: if numbers.classifies { How::First } else { How::Mean },
        longest: numbers.places,
    }
}
