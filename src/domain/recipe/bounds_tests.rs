//! Every number of a recipe has bounds, and what is beyond them is refused by its name.

use serde_json::{Value, json};

use super::*;

/// Each number by its place in the JSON: the least and the greatest that are taken.
const BOUNDS: [(&str, f64, f64); 43] = [
    ("/lr", 1e-8, 10.0),
    ("/head_lr", 1e-8, 10.0),
    ("/weight_decay", 0.0, 1.0),
    ("/label_smoothing", 0.0, 0.9),
    ("/dropout", 0.0, 0.95),
    ("/warmup", 0.0, 0.9),
    ("/validation", 0.01, 0.9),
    ("/false_alarms", 0.0001, 0.5),
    ("/epochs", 1.0, 1_000.0),
    ("/batch_size", 1.0, 1_024.0),
    ("/frozen_stages", 0.0, 64.0),
    ("/patience", 0.0, 1_000.0),
    ("/threads", 0.0, 512.0),
    ("/image_size", 32.0, 640.0),
    ("/momentum", 0.0, 0.999),
    ("/betas/0", 0.0, 0.9999),
    ("/betas/1", 0.0, 0.999_999),
    ("/clip_norm", 0.0, 1e6),
    ("/accumulate", 1.0, 256.0),
    ("/ema", 0.0, 0.999_999),
    ("/lora_rank", 0.0, 256.0),
    ("/lora_alpha", 1e-3, 1_024.0),
    ("/shots", 0.0, 1_000.0),
    ("/draws", 1.0, 20.0),
    ("/confidence", 0.5, 0.999_999),
    ("/unlabelled_weight", 0.0, 10.0),
    ("/layer_decay", 0.1, 1.0),
    ("/augment/crop_min_area", 0.05, 1.0),
    ("/augment/views", 0.0, 32.0),
    ("/augment/rand_ops", 1.0, 8.0),
    ("/augment/rand_magnitude", 0.0, 30.0),
    ("/augment/brightness", 0.0, 2.0),
    ("/augment/contrast", 0.0, 2.0),
    ("/augment/saturation", 0.0, 2.0),
    ("/augment/hue", 0.0, 0.5),
    ("/augment/erase", 0.0, 1.0),
    ("/augment/mixup", 0.0, 32.0),
    ("/augment/cutmix", 0.0, 32.0),
    ("/augment/mosaic", 0.0, 1.0),
    ("/augment/multi_scale", 0.0, 0.75),
    ("/video/frames", 0.0, 64.0),
    ("/video/stride", 0.0, 64.0),
    ("/video/clips", 0.0, 16.0),
];

/// What any number does for.
const UNBOUNDED: [&str; 1] = ["/seed"];

fn plain() -> Value {
    // Several draws are of shots.
    serde_json::to_value(Recipe { shots: 5, ..Recipe::default() }).unwrap()
}

/// The recipe with `value` in that place, where it can be read at all.
fn with(place: &str, value: f64) -> Option<Recipe> {
    let mut recipe = plain();
    let is_whole = recipe.pointer(place).unwrap().is_u64();
    *recipe.pointer_mut(place).unwrap() = if is_whole && value.fract() == 0.0 { json!(value as i64) } else { json!(value) };
    serde_json::from_value(recipe).ok()
}

fn numbers(place: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(place.to_owned()),
        Value::Object(inner) => inner.iter().for_each(|(key, value)| numbers(&format!("{place}/{key}"), value, found)),
        Value::Array(inner) => inner.iter().enumerate().for_each(|(at, value)| numbers(&format!("{place}/{at}"), value, found)),
        _ => {}
    }
}

#[test]
fn every_number_is_taken_up_to_its_bounds_and_refused_by_name_beyond() {
    for (place, low, high) in BOUNDS {
        // `betas` are named together, parts of `augment` with their own.
        let name = place.trim_start_matches('/').replace('/', ".");
        let name = name.strip_suffix(".0").or(name.strip_suffix(".1")).unwrap_or(&name).to_owned();
        let whole = plain().pointer(place).unwrap().is_u64();
        for value in [low, high] {
            let recipe = with(place, value).unwrap();
            assert_eq!(recipe.check(), Ok(()), "{place} = {value}");
        }
        let step = if whole { 1.0 } else { high * 1e-3 + 1e-9 };
        for value in [high + step, if place == "/image_size" { 31.0 } else { low - step }, -1.0, high * 1e6 + 1.0] {
            // What is no number of that kind cannot be read, which names the place, too.
            if let Some(recipe) = with(place, value) {
                let refused = recipe.check().unwrap_err();
                assert_eq!(refused.setting, name, "{place} = {value}");
                assert!(refused.problem.contains("between"), "{refused}");
            }
        }
        if !whole {
            for value in ["NaN", "inf", "-inf"] {
                let mut recipe: Recipe = serde_json::from_value(plain()).unwrap();
                spoil(&mut recipe, place, value.parse().unwrap());
                assert_eq!(recipe.check().unwrap_err().setting, name, "{place} = {value}");
            }
        }
    }
}

/// JSON has no word for what is no number, but forms and programs do.
fn spoil(recipe: &mut Recipe, place: &str, value: f64) {
    let augment = &mut recipe.augment;
    let field = match place {
        "/lr" => &mut recipe.lr,
        "/head_lr" => &mut recipe.head_lr,
        "/weight_decay" => &mut recipe.weight_decay,
        "/label_smoothing" => &mut recipe.label_smoothing,
        "/dropout" => &mut recipe.dropout,
        "/warmup" => &mut recipe.warmup,
        "/validation" => &mut recipe.validation,
        "/false_alarms" => &mut recipe.false_alarms,
        "/momentum" => &mut recipe.momentum,
        "/betas/0" => &mut recipe.betas[0],
        "/betas/1" => &mut recipe.betas[1],
        "/clip_norm" => &mut recipe.clip_norm,
        "/ema" => &mut recipe.ema,
        "/lora_alpha" => &mut recipe.lora_alpha,
        "/confidence" => &mut recipe.confidence,
        "/unlabelled_weight" => &mut recipe.unlabelled_weight,
        "/layer_decay" => &mut recipe.layer_decay,
        "/augment/crop_min_area" => &mut augment.crop_min_area,
        "/augment/brightness" => &mut augment.brightness,
        "/augment/contrast" => &mut augment.contrast,
        "/augment/saturation" => &mut augment.saturation,
        "/augment/hue" => &mut augment.hue,
        "/augment/erase" => &mut augment.erase,
        "/augment/mixup" => &mut augment.mixup,
        "/augment/cutmix" => &mut augment.cutmix,
        "/augment/mosaic" => &mut augment.mosaic,
        "/augment/multi_scale" => &mut augment.multi_scale,
        other => panic!("{other} has no field here"),
    };
    *field = value;
}

#[test]
fn no_number_is_without_bounds() {
    let mut found = Vec::new();
    numbers("", &serde_json::to_value(Recipe::default()).unwrap(), &mut found);
    let known: Vec<&str> = BOUNDS.iter().map(|(place, ..)| *place).chain(UNBOUNDED).collect();
    for place in &found {
        assert!(known.contains(&place.as_str()), "{place} is a number of the recipe: bound it in `Recipe::check` and here");
    }
    assert_eq!(found.len(), known.len());
}
