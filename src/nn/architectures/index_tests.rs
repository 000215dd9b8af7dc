//! What the library's index says of networks that are built here, held against what is built.

use super::*;
use crate::domain::encoder_config::Numbers;
use crate::domain::library::{Entry, Index, ModelEntry};
use crate::domain::modality::Modality;
use crate::domain::safetensors::is_buffer;

/// Families whose makers' files hold a pooler, which is counted there and not needed here.
const WITH_POOLER: [&str; 4] = ["bert", "roberta", "xlm-roberta", "mpnet"];

fn listed() -> Vec<(ModelEntry, &'static Architecture)> {
    let models = Index::shipped().unwrap().entries.into_iter().filter_map(|entry| match entry {
        Entry::Model(model) => Some(*model),
        Entry::Dataset(_) => None,
    });
    models.filter_map(|model| find(&model.architecture).map(|known| (model, known))).collect()
}

#[test]
fn parameters_and_features_are_those_of_the_network() {
    for (model, known) in listed() {
        let learned = known.expected(model.classes as usize).into_iter().filter(|tensor| !is_buffer(&tensor.name));
        let own: usize = learned.map(|tensor| tensor.count()).sum();
        let width = known.num_features;
        let pooler = if WITH_POOLER.contains(&known.family) { width * width + width } else { 0 };
        assert_eq!(model.parameters, (own + pooler) as u64, "{}", model.name);
        assert_eq!(model.features, width as u64, "{}", model.name);
        assert_eq!(model.modality, known.modality().as_str(), "{}", model.name);
    }
}

#[test]
fn inputs_are_taken() {
    for (model, known) in listed() {
        match known.modality() {
            Modality::Image => {
                let [channels, height, width] = <[u64; 3]>::try_from(model.input.clone()).unwrap();
                assert!(channels == 3 && height == width && model.mean.len() == 3 && model.std.len() == 3, "{}", model.name);
                assert_eq!(known.refuses_side(height as usize), None, "{}", model.name);
            }
            Modality::Video => {
                let [channels, frames, height, width] = <[u64; 4]>::try_from(model.input.clone()).unwrap();
                assert!(channels == 3 && frames > 0 && height == width && model.mean.len() == 3 && model.std.len() == 3, "{}", model.name);
            }
            _ => assert!((1..=known.longest() as u64).contains(&model.tokens), "{}", model.name),
        }
    }
}

/// Of networks whose attention sees a whole image, tables leave out what attention multiplies, or do not.
#[test]
fn multiply_adds_are_those_of_the_network() {
    let counted = |(model, known): &(ModelEntry, &Architecture)| model.gmacs > 0.0 && known.member.positions().is_none();
    let listed: Vec<_> = listed().into_iter().filter(counted).collect();
    assert!(listed.len() > 90, "{}", listed.len());
    for (model, known) in listed {
        let item: Vec<usize> = model.input.iter().map(|side| *side as usize).collect();
        let own = known.costs(&item).iter().map(|cost| cost.multiply_adds).sum::<f64>() / 1e9;
        // Tables are rounded to a hundredth, and count pooling and the classifier.
        assert!((own - model.gmacs).abs() < 0.06 * model.gmacs + 0.01, "{}: {} listed, {own} counted", model.name, model.gmacs);
    }
}

#[test]
fn text_encoders_and_what_comes_of_their_configs_have_one_name() {
    let texts: Vec<_> = listed().into_iter().filter(|(_, known)| known.modality() == Modality::Text).collect();
    assert!(texts.len() >= 28, "{}", texts.len());
    for (model, known) in texts {
        let numbers = Numbers::of_name(&model.architecture).unwrap();
        assert!(numbers.fit() && numbers.name() == model.architecture && numbers.model_type == known.family, "{}", model.name);
    }
    // The config.json of sentence-transformers/all-MiniLM-L6-v2, of which the rest says nothing of sizes.
    let config = serde_json::json!({
        "architectures": ["BertModel"], "hidden_size": 384, "intermediate_size": 1536, "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512, "model_type": "bert", "num_attention_heads": 12, "num_hidden_layers": 6, "type_vocab_size": 2,
        "vocab_size": 30522
    });
    let minilm = Numbers::of_config(config.as_object().unwrap()).unwrap().name();
    let index = Index::shipped().unwrap();
    let is_it = |entry: &Entry| matches!(entry, Entry::Model(model) if model.name == "all-MiniLM-L6-v2" && model.architecture == minilm);
    assert!(index.entries.iter().any(is_it), "{minilm}");
}

#[test]
fn how_many_can_be_run_is_what_the_documentation_says() {
    let (listed, index) = (listed().len(), Index::shipped().unwrap());
    let models = index.entries.iter().filter(|entry| matches!(entry, Entry::Model(_))).count();
    let said = include_str!("../../../docs/LIBRARY.md");
    let datasets = index.entries.len() - models;
    let sentence = format!("{models} models, {listed} of them of an architecture that this build runs, and {datasets} data sets");
    assert!(said.contains(&sentence), "docs/LIBRARY.md does not say: {sentence}");
}
