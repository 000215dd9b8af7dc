//! The tensors of a model folder under the names that its family has without a head.

use std::collections::HashSet;

use candle_core::{DType, Device, Tensor, Var};

use super::Family;
use crate::nn::executors::encoder::plan::{Plan, Pooler};
use crate::nn::weights::Weights;

/// Buffers that transformers saved once, and what features have no use for.
const NEVER: &[&str] = &["embeddings.position_ids", "embeddings.token_type_ids", "text_model.embeddings.position_ids"];

/// Prefixes are taken off, TensorFlow's old names of norms put right, and heads of other tasks left out. What is unknown stays, and is
/// refused by name when the network is built.
pub(super) fn adopt(family: &Family, plan: &Plan, weights: Weights) -> Weights {
    let expected: HashSet<String> = plan.stages().into_iter().flat_map(|(_, tensors)| tensors).map(|tensor| tensor.name).collect();
    let mut adopted = Weights::default();
    for (name, var) in weights.iter() {
        let plain = name.strip_prefix(family.prefix).unwrap_or(name);
        let plain = match plain.rsplit_once('.') {
            Some((module, "gamma")) => format!("{module}.weight"),
            Some((module, "beta")) => format!("{module}.bias"),
            _ => plain.to_owned(),
        };
        let of = |module: &str| plain.strip_prefix(module).is_some_and(|rest| rest.starts_with('.'));
        if !expected.contains(&plain) && !of(family.classifier) && leaves_out(family, &plain) {
            continue;
        }
        adopted.insert(plain, var.clone());
    }
    adopted
}

/// Whether it is of another head, or a buffer. Of what a network has itself nobody asks.
pub(super) fn leaves_out(family: &Family, tensor: &str) -> bool {
    let of = |module: &&str| tensor.strip_prefix(*module).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    NEVER.contains(&tensor) || family.others.iter().any(of)
}

/// What stands between tokens and classes where a base has nothing there: as little as that can be, the identity.
pub(super) fn begin(pooler: &Pooler, width: usize, weights: &mut Weights) {
    let mut put = |name: String, made: candle_core::Result<Tensor>| {
        if weights.get(&name).is_none()
            && let Ok(var) = made.and_then(|tensor| Var::from_tensor(&tensor))
        {
            weights.insert(name, var);
        }
    };
    put(pooler.dense.weight(), Tensor::eye(width, DType::F32, &Device::Cpu));
    if let Some(norm) = &pooler.norm {
        put(norm.weight(), Tensor::ones(width, DType::F32, &Device::Cpu));
    }
}

/// The way back, for a classifier of texts or of words: its body is a module of its own there, and what is trained upon that stands beside it.
pub(super) fn publish(family: &Family, weights: Weights) -> Weights {
    let mut published = Weights::default();
    for (name, var) in weights.iter() {
        let module = name.split('.').next().unwrap_or_default();
        let upon = ["classifier", "pre_classifier", "head"].contains(&module);
        published.insert(if upon { name.to_owned() } else { format!("{}{name}", family.prefix) }, var.clone());
    }
    published
}

#[cfg(test)]
mod tests {
    use crate::nn::Weights;
    use crate::nn::architectures::{find, published};

    #[test]
    fn a_sequence_classifier_has_transformers_names_and_comes_back() {
        for (name, known) in [
            ("bert_l1_d8_h2_f8_v9_p12_t2_e12_c1", ["bert.pooler.dense.weight", "classifier.bias", "bert.embeddings.LayerNorm.weight"]),
            ("distilbert_l1_d8_h2_f8_v9_p12_c1", ["pre_classifier.weight", "classifier.bias", "distilbert.embeddings.LayerNorm.weight"]),
            ("bert_l1_d8_h2_f8_v9_p12_t2_e12_k1", ["bert.encoder.layer.0.output.dense.bias", "classifier.bias", "classifier.weight"]),
            ("roberta_l1_d8_h2_f8_v9_p12_t1_e5_k1", ["roberta.embeddings.LayerNorm.weight", "classifier.bias", "classifier.weight"]),
            ("modernbert_l1_d8_h2_f8_v9_p12_e5_k1", ["model.embeddings.norm.weight", "head.dense.weight", "classifier.weight"]),
            (
                "roberta_l1_d8_h2_f8_v9_p12_t1_e5_c1",
                ["classifier.dense.weight", "classifier.out_proj.bias", "roberta.embeddings.LayerNorm.weight"],
            ),
        ] {
            let weights = Weights::random(name, 3, 7).unwrap();
            let given = published(name, &weights);
            assert!(
                known.iter().all(|tensor| given.get(tensor).is_some()),
                "{name}: {:?}",
                given.iter().map(|(name, _)| name).collect::<Vec<_>>()
            );
            let back = find(name).unwrap().fitted(given, 224).unwrap();
            let names = |weights: &Weights| weights.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
            assert_eq!(names(&back), names(&weights));
        }
        let bare = "bert_l1_d8_h2_f8_v9_p12_t2_e12";
        let weights = Weights::random(bare, 3, 7).unwrap();
        assert!(published(bare, &weights).get("embeddings.LayerNorm.weight").is_some(), "its head is none of transformers'");
    }
}
