//! MPNet (Song et al. 2020): BERT's layers with biases by distance, which all of them share.

use super::Family;
use crate::domain::encoder_config::Numbers;
use crate::nn::executors::encoder::plan::{Bend, Distances, Layer, Module, Plan, Pooler, Table};
use crate::nn::executors::pooling::How;
use crate::nn::kernels::Activation;

/// Buckets of distances, and from where on all share the last.
const BUCKETS: usize = 32;
const FARTHEST: usize = 128;

pub(super) static MPNET: Family = Family {
    name: "mpnet",
    prefix: "mpnet.",
    plan,
    classifier: "classifier.out_proj",
    settings: &[("hidden_act", &["\"gelu\""]), ("relative_attention_num_buckets", &["32"])],
    others: &["pooler", "lm_head", "classifier.dense"],
};

fn plan(numbers: &Numbers) -> Plan {
    let layer = |index: usize| {
        let name = format!("encoder.layer.{index}");
        let module = |module: &str| Module::new(format!("{name}.{module}"));
        Layer {
            attention_norm: Some(module("attention.LayerNorm")),
            qkv: ["q", "k", "v"].map(|part| module(&format!("attention.attn.{part}"))).into(),
            output: module("attention.attn.o"),
            mlp_norm: module("output.LayerNorm"),
            up: module("intermediate.dense"),
            down: module("output.dense"),
            rotary: None,
            reach: None,
            name,
        }
    };
    let pooler = || Pooler { dense: Module::new("classifier.dense"), activation: Bend::Tanh, norm: None, outputs: numbers.width };
    Plan {
        width: numbers.width,
        heads: numbers.heads,
        hidden: numbers.hidden,
        eps: numbers.eps(12),
        words: Table::new("embeddings.word_embeddings.weight", numbers.vocabulary),
        // One behind the number of the padding token.
        positions: Some((Table::new("embeddings.position_embeddings.weight", numbers.places), 2)),
        types: None,
        norm: Some(Module::new("embeddings.LayerNorm")),
        layers: (0..numbers.layers).map(layer).collect(),
        pre_norm: false,
        gated: false,
        activation: Activation::Gelu,
        causal: false,
        filled: None,
        distances: Some(Distances { table: Table::new("encoder.relative_attention_bias.weight", BUCKETS), farthest: FARTHEST }),
        last_norm: None,
        pooler: numbers.classifies.then(pooler),
        usual: if numbers.classifies { How::First } else { How::Mean },
        longest: numbers.places.saturating_sub(2),
    }
}
