//! The model folder that a result becomes: config.json, model.safetensors, README.md, metrics.json.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::card;
use super::error::{Error, Result};
use super::report::{Lineage, Report};
use super::tasks::Task;
use crate::domain::config::{ModelConfig, PretrainedCfg};
use crate::domain::findings;
use crate::domain::recipe::Recipe;
use crate::domain::tower_config::OF_BOTH;
use crate::nn::architectures::{self, Architecture, Pool};

/// The file beside the weights with the known items of a model that measures distances.
pub use crate::domain::model_files::DISTANCES;

/// Writes the folder that is published: what timm and `huggingface_hub` read, and `metrics.json` with every number.
/// The same report and lineage give the same `model.safetensors`, byte for byte.
pub fn write_folder(report: &Report, lineage: &Lineage, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io("cannot create", folder))?;
    architectures::published(&report.config.architecture, &report.weights).save(&folder.join("model.safetensors"), &[])?;
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(Error::io("cannot write", path))
    };
    write("config.json", report.config.to_json() + "\n")?;
    write("README.md", card::of(report, lineage).to_markdown())?;
    if let Some(reject) = &report.reject {
        reject.save(folder)?;
    }
    if let Some(distances) = &report.distances {
        distances.tensors()?.save(&folder.join(DISTANCES), &[])?;
    }
    let numbers = serde_json::to_string_pretty(&metrics(report, lineage)).unwrap_or_default();
    write("metrics.json", numbers + "\n")
}

/// Every number, as `metrics.json` and the report have it.
pub(super) fn metrics(report: &Report, lineage: &Lineage) -> Map<String, Value> {
    let outcome = &report.outcome;
    let mut metrics = Map::new();
    let mut put = |more: Value| {
        if let Value::Object(more) = more {
            metrics.extend(more);
        }
    };
    put(json!(report.found));
    put(json!({
        "changed_settings": findings::changes(&report.recipe),
        "base": lineage.base,
        "dataset": lineage.dataset,
        "base_chosen": lineage.chosen,
        "dataset_digest": report.dataset_digest,
        "recipe": report.recipe,
        "classes": report.config.label_names,
        "train_images": report.train_samples,
        "best_epoch": outcome.best_epoch,
        "stopped": outcome.stopped,
        "seconds": outcome.seconds,
        "frozen_stages_run": report.frozen.as_str(),
        "kept_stages": report.kept_stages,
        "probe": probe(report),
        "choice": report.probe.as_ref().and_then(|probed| probed.choice.as_ref()),
        "weights_digest": report.digest.to_hex(),
        (outcome.task().about().baseline.0): outcome.baseline,
        "validated_on": outcome.validated_on,
        "validation": outcome.validation,
        "test": outcome.test,
        "leaks": outcome.leaks,
        "data_findings": report.findings,
        "epochs": report.epochs,
        "skipped": report.skipped,
        "rounds": report.rounds,
    }));
    metrics
}

/// What the best head on the base's features reaches, and whether it is what is published.
fn probe(report: &Report) -> Option<Value> {
    let probed = report.probe.as_ref()?;
    let mut numbers = json!(probed.evaluation);
    if let Some(numbers) = numbers.as_object_mut() {
        numbers.insert("l2".into(), json!(probed.l2));
        numbers.insert("l2_chosen_by".into(), json!(probed.chosen_by));
        numbers.insert("published".into(), json!(report.published_probe()));
    }
    Some(numbers)
}

/// The base's config with what the head's outputs mean and the input side that was trained at. What described the base's
/// own weights (where they lie, their test settings) no longer holds and is left out.
pub(super) fn config_of_result(base: &ModelConfig, recipe: &Recipe, task: &dyn Task) -> ModelConfig {
    let mut config = base.clone();
    let known = architectures::find(&base.architecture);
    super::tasks::MEANINGS.into_iter().for_each(|stale| drop(config.extra.shift_remove(stale)));
    task.configure(&mut config);
    config.num_features = known.map(|architecture| architecture.num_features).or(base.num_features);
    config.label_descriptions = None;
    config.extra.shift_remove("label_description");
    // The result has one of two networks: what a config says of both would be said of a network that is not there.
    if config.text_tower().is_some() {
        OF_BOTH.into_iter().for_each(|stale| drop(config.extra.shift_remove(stale)));
    }
    // Of the base's own answers.
    config.extra.shift_remove(AVERAGED);
    if recipe.tta_flip {
        config.extra.insert(AVERAGED.into(), true.into());
    }
    let cfg = &mut config.pretrained_cfg;
    for stale in ["url", "file", "hf_hub_id", "hf_hub_filename", "tag", "source", "test_input_size", "test_crop_pct", "label_offset"] {
        cfg.extra.shift_remove(stale);
    }
    // timm refuses a config with others in it.
    cfg.extra.retain(|key, _| KNOWN_TO_TIMM.contains(&key.as_str()));
    if let Some(known) = known {
        // timm asks where the ends are, also when the base had no head to say it of.
        cfg.first_conv = Some(known.first_conv.into());
        cfg.classifier = Some(known.classifier.into());
        // What is said here is said of images.
        if config.is_encoder() {
            config.name_labels();
        } else {
            state_input(&mut config.pretrained_cfg, known);
            state_pooling(&mut config, known);
        }
    }
    if recipe.image_size > 0 {
        let cfg = &mut config.pretrained_cfg;
        cfg.input_size = Some([3, recipe.image_size, recipe.image_size]);
        cfg.extra.shift_remove("pool_size");
        // Whose positions are those of one size: timm is to make a network of this one.
        if known.is_some_and(|known| known.fixed_side().is_some()) {
            cfg.fixed_input_size = Some(true);
            config.model_args.get_or_insert_default().insert("img_size".into(), recipe.image_size.into());
        }
    }
    config
}

/// Says in `config.json` that outputs are averaged over the plain view and the mirrored one.
pub(super) const AVERAGED: &str = "tta_flip";

/// Keys of timm's `pretrained_cfg`, besides those that have a field, that a result may keep.
const KNOWN_TO_TIMM: [&str; 9] =
    ["architecture", "custom_load", "min_input_size", "pool_size", "description", "origin_url", "paper_name", "paper_ids", "notes"];

/// Writes down what was prepared by default, so that no other default takes its place.
fn state_input(cfg: &mut PretrainedCfg, known: &Architecture) {
    let prepared = ModelConfig { pretrained_cfg: cfg.clone(), ..ModelConfig::default() }.preprocessing();
    cfg.input_size = Some([3, prepared.height, prepared.width]);
    cfg.fixed_input_size.get_or_insert(known.fixed_side().is_some());
    cfg.interpolation = Some(prepared.interpolation);
    cfg.crop_pct = Some(prepared.crop_pct);
    cfg.crop_mode = Some(prepared.crop_mode);
    (cfg.mean, cfg.std) = (Some(prepared.mean), Some(prepared.std));
}

/// timm reads the pooling among the arguments, people at the top.
fn state_pooling(config: &mut ModelConfig, known: &Architecture) {
    let pool = architectures::pool_of(config).unwrap_or_default();
    config.num_features = Some(pool.width(known.num_features));
    let arguments = config.model_args.get_or_insert_default();
    for spoken_for in ["num_classes", "pretrained"] {
        arguments.shift_remove(spoken_for);
    }
    let told = arguments.get("global_pool").and_then(Value::as_str).map(String::from).or_else(|| config.global_pool.clone());
    if pool != Pool::Usual
        && let Some(word) = told
    {
        arguments.insert("global_pool".into(), word.clone().into());
        config.global_pool = Some(word);
    }
    if config.model_args.as_ref().is_some_and(serde_json::Map::is_empty) {
        config.model_args = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tasks::Classification;
    use super::*;

    #[test]
    fn the_results_config_speaks_of_the_result() {
        let base = r#"{"architecture": "resnet18", "num_classes": 1000, "label_names": null, "custom": 1,
            "pretrained_cfg": {"tag": "a1_in1k", "hf_hub_id": "timm/resnet18.a1_in1k", "input_size": [3, 224, 224],
            "pool_size": [7, 7], "num_classes": 1000, "crop_pct": 0.95, "license": "apache-2.0"}}"#;
        let base = ModelConfig::read(base).unwrap();
        let recipe = Recipe { image_size: 64, ..Recipe::default() };
        let task = Classification::new(&["cat".into(), "dog".into()]);
        let config = config_of_result(&base, &recipe, &task);
        config.check().unwrap();
        assert_eq!((config.num_classes, config.pretrained_cfg.num_classes, config.num_features), (Some(2), Some(2), Some(512)));
        assert_eq!(config.preprocessing().height, 64);
        assert_eq!(config.preprocessing().crop_pct, 0.95);
        assert_eq!(config.extra["custom"], 1);
        assert_eq!(
            (config.pretrained_cfg.first_conv.clone(), config.pretrained_cfg.classifier.clone()),
            (Some("conv1".into()), Some("fc".into()))
        );
        assert_eq!(config.pretrained_cfg.crop_mode.as_deref(), Some("center"));
        let pooled = ModelConfig { global_pool: Some("catavgmax".into()), ..config.clone() };
        let pooled = config_of_result(&pooled, &recipe, &task);
        assert_eq!((pooled.num_features, &pooled.model_args.unwrap()["global_pool"]), (Some(1024), &json!("catavgmax")));
        let text = config.to_json();
        assert!(!text.contains("a1_in1k") && !text.contains("pool_size"), "{text}");
        assert_eq!(ModelConfig::read(&text).unwrap(), config);
    }
}
