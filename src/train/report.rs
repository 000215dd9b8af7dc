//! What a run hands back, and the model folder it becomes: config.json, model.safetensors, README.md, metrics.json.

use std::path::Path;

use serde_json::json;

use super::card;
use super::error::{Error, Result};
use super::event::EpochNumbers;
use super::frozen::Frozen;
use super::metrics::Evaluation;
use super::split::Held;
use crate::domain::config::ModelConfig;
use crate::domain::digest::Digest;
use crate::domain::recipe::Recipe;
use crate::nn::Weights;
use crate::nn::architectures;

/// Confusion matrices of more classes are written as a list of the pairs that happened.
const LARGEST_MATRIX: usize = 256;

/// Why training ended. (A cancelled or diverged run has no report.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// After the last epoch of the recipe.
    Finished,
    /// Validation had not improved for as many epochs as the recipe's patience.
    Early,
}

impl Stopped {
    pub fn as_str(self) -> &'static str {
        match self {
            Stopped::Finished => "finished",
            Stopped::Early => "early",
        }
    }
}

/// The result of a fine-tune. Its weights are those of the best epoch, and all of them are finite numbers.
#[derive(Debug, Clone)]
pub struct Report {
    pub epochs: Vec<EpochNumbers>,
    /// From 1.
    pub best_epoch: u32,
    /// Of the published weights.
    pub validation: Evaluation,
    pub validated_on: Held,
    /// On the data set's `test` split, if it has one; looked at once, at the end.
    pub test: Option<Evaluation>,
    /// Validation top-1 of always answering the most frequent training class.
    pub majority_top1: f64,
    /// Backbone and head under timm's names.
    pub weights: Weights,
    /// Of [`Self::weights`]; see [`Weights::digest`].
    pub digest: Digest,
    pub config: ModelConfig,
    pub recipe: Recipe,
    pub train_images: usize,
    /// See [`crate::data::Dataset::digest`].
    pub dataset_digest: String,
    /// Spent on training, over all attempts.
    pub seconds: f64,
    pub frozen: Frozen,
    pub stopped: Stopped,
    /// Images that could not be decoded, `path: reason`.
    pub skipped: Vec<String>,
}

/// Where a result comes from, for its card.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage {
    /// The result's own `namespace/name`.
    pub name: String,
    /// The base, `namespace/name@version`.
    pub base: String,
    /// The data set, `namespace/name@version`.
    pub dataset: String,
    /// The base's licence, which binds what is derived from it.
    pub license: Option<String>,
    pub license_name: Option<String>,
    pub license_link: Option<String>,
}

/// Writes the folder that is published: what timm and `huggingface_hub` read, and `metrics.json` with every number.
/// The same report and lineage give the same `model.safetensors`, byte for byte.
pub fn write_folder(report: &Report, lineage: &Lineage, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io("cannot create", folder))?;
    report.weights.save(&folder.join("model.safetensors"), &[])?;
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(Error::io("cannot write", path))
    };
    write("config.json", report.config.to_json() + "\n")?;
    write("README.md", card::of(report, lineage).to_markdown())?;
    let numbers = serde_json::to_string_pretty(&metrics(report, lineage)).unwrap_or_default();
    write("metrics.json", numbers + "\n")
}

fn metrics(report: &Report, lineage: &Lineage) -> serde_json::Value {
    json!({
        "base": lineage.base,
        "dataset": lineage.dataset,
        "dataset_digest": report.dataset_digest,
        "recipe": report.recipe,
        "classes": report.config.label_names,
        "train_images": report.train_images,
        "best_epoch": report.best_epoch,
        "stopped": report.stopped.as_str(),
        "seconds": report.seconds,
        "frozen_stages_run": report.frozen.as_str(),
        "weights_digest": report.digest.to_hex(),
        "majority_top1": report.majority_top1,
        "validated_on": report.validated_on,
        "validation": numbers(&report.validation),
        "test": report.test.as_ref().map(numbers),
        "epochs": report.epochs,
        "skipped": report.skipped,
    })
}

fn numbers(evaluation: &Evaluation) -> serde_json::Value {
    let mut value = json!(evaluation);
    if evaluation.per_class.len() <= LARGEST_MATRIX {
        value["confusion"] = json!(evaluation.confusion_matrix());
    }
    value
}

/// The base's config with the data set's classes and the input side that was trained at. What described the base's
/// own weights (where they lie, their test settings) no longer holds and is left out.
pub(super) fn config_of_result(base: &ModelConfig, recipe: &Recipe, classes: &[String]) -> ModelConfig {
    let mut config = base.clone();
    let known = architectures::find(&base.architecture);
    config.num_classes = Some(classes.len());
    config.num_features = known.map(|architecture| architecture.num_features).or(base.num_features);
    config.label_names = Some(classes.to_vec());
    config.label_descriptions = None;
    config.extra.shift_remove("label_description");
    let cfg = &mut config.pretrained_cfg;
    cfg.num_classes = Some(classes.len());
    for stale in ["url", "file", "hf_hub_id", "hf_hub_filename", "tag", "source", "test_input_size", "test_crop_pct", "label_offset"] {
        cfg.extra.shift_remove(stale);
    }
    if recipe.image_size > 0 {
        cfg.input_size = Some([3, recipe.image_size, recipe.image_size]);
        cfg.extra.shift_remove("pool_size");
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_config_speaks_of_the_result() {
        let base = r#"{"architecture": "resnet18", "num_classes": 1000, "label_names": null, "custom": 1,
            "pretrained_cfg": {"tag": "a1_in1k", "hf_hub_id": "timm/resnet18.a1_in1k", "input_size": [3, 224, 224],
            "pool_size": [7, 7], "num_classes": 1000, "crop_pct": 0.95, "license": "apache-2.0"}}"#;
        let base = ModelConfig::read(base).unwrap();
        let recipe = Recipe { image_size: 64, ..Recipe::default() };
        let config = config_of_result(&base, &recipe, &["cat".into(), "dog".into()]);
        config.check().unwrap();
        assert_eq!((config.num_classes, config.pretrained_cfg.num_classes, config.num_features), (Some(2), Some(2), Some(512)));
        assert_eq!(config.preprocessing().height, 64);
        assert_eq!(config.preprocessing().crop_pct, 0.95);
        assert_eq!(config.extra["custom"], 1);
        let text = config.to_json();
        assert!(!text.contains("a1_in1k") && !text.contains("pool_size"), "{text}");
        assert_eq!(ModelConfig::read(&text).unwrap(), config);
    }
}
