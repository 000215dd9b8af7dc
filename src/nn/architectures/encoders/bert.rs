//! BERT (Devlin et al. 2019) and those that share its layers: MiniLM, BGE, E5 and GTE are BERTs of other sizes; RoBERTa (Liu et al.
//! 2019), XLM-R (Conneau et al. 2020) and CamemBERT count places from two and have one type of tokens.

use super::Family;
use crate::domain::encoder_config::Numbers;
use crate::nn::executors::encoder::plan::{Bend, Layer, Module, Plan, Pooler, Table};
use crate::nn::executors::pooling::How;
use crate::nn::kernels::Activation;

/// What transformers' switches must say, of all of them.
const SETTINGS: &[(&str, &[&str])] = &[
    ("hidden_act", &["\"gelu\""]),
    ("position_embedding_type", &["\"absolute\""]),
    ("is_decoder", &["false"]),
    ("add_cross_attention", &["false"]),
];

pub(super) static BERT: Family = Family {
    name: "bert",
    prefix: "bert.",
    plan: |numbers| plan(numbers, 0, "pooler.dense"),
    classifier: "classifier",
    settings: SETTINGS,
    others: &["pooler", "cls"],
};

pub(super) static ROBERTA: Family = ROBERTA_LIKE;

pub(super) static XLM_ROBERTA: Family = Family { name: "xlm-roberta", ..ROBERTA_LIKE };

pub(super) static CAMEMBERT: Family = Family { name: "camembert", ..ROBERTA_LIKE };

const ROBERTA_LIKE: Family = Family {
    name: "roberta",
    prefix: "roberta.",
    plan: |numbers| plan(numbers, FIRST_PLACE, "classifier.dense"),
    classifier: "classifier.out_proj",
    settings: SETTINGS,
    others: &["pooler", "lm_head", "classifier.dense"],
};

/// One behind the number of the padding token.
const FIRST_PLACE: usize = 2;

fn plan(numbers: &Numbers, first: usize, pooler: &str) -> Plan {
    let layer = |index: usize| {
        let name = format!("encoder.layer.{index}");
        let module = |module: &str| Module::new(format!("{name}.{module}"));
        Layer {
            attention_norm: Some(module("attention.output.LayerNorm")),
            qkv: ["query", "key", "value"].map(|part| module(&format!("attention.self.{part}"))).into(),
            output: module("attention.output.dense"),
            mlp_norm: module("output.LayerNorm"),
            up: module("intermediate.dense"),
            down: module("output.dense"),
            rotary: None,
            reach: None,
            name,
        }
    };
    let pooler = || Pooler { dense: Module::new(pooler), activation: Bend::Tanh, norm: None, outputs: numbers.width };
    Plan {
        width: numbers.width,
        heads: numbers.heads,
        hidden: numbers.hidden,
        eps: numbers.eps(12),
        words: Table::new("embeddings.word_embeddings.weight", numbers.vocabulary),
        positions: Some((Table::new("embeddings.position_embeddings.weight", numbers.places), first)),
        types: Some(Table::new("embeddings.token_type_embeddings.weight", numbers.types.unwrap_or(2))),
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
        longest: numbers.places.saturating_sub(first),
    }
}
