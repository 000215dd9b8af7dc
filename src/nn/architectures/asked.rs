//! What a model folder's config.json asks of an architecture. Each key is on a list: obeyed, harmless (of training, or of
//! other tools, and kept), or more than is built here; that is refused with the key and its value, never passed over.

use serde_json::{Value, json};

use super::architecture::Architecture;
use crate::domain::config::ModelConfig;
use crate::domain::modality::Modality;
use crate::domain::sentence::Sentence;
use crate::domain::shot_config::SHOTS;
use crate::domain::temporal_config::Temporal;
use crate::nn::executors::frames::FramesPool;
use crate::nn::executors::pooling::{How, Pool, TokenPool};

/// Arguments that change nothing of what a finished network answers: dropout, initialisation, how it is stored or traced.
#[rustfmt::skip]
const HARMLESS: &[&str] = &[
    "drop_rate", "drop_path_rate", "drop_block_rate", "drop_connect_rate", "attn_drop_rate", "proj_drop_rate", "pos_drop_rate", "patch_drop_rate",
    "head_drop_rate", "weight_init", "zero_init_last", "fix_init", "head_init_scale", "scriptable", "exportable", "no_jit", "pretrained", "checkpoint_path", "cache_dir",
    "bn_momentum", "grad_checkpointing", "fix_group_fanout",
];

/// How the config wants features pooled.
///
/// # Errors
/// A pooling that the architecture does not have, in words.
pub fn pool_of(config: &ModelConfig) -> Result<Pool, String> {
    if config.labels_places() {
        return Ok(Pool::Places);
    }
    // What was said of whole texts is nothing to their words.
    if config.tags_words() {
        return Ok(Pool::Usual);
    }
    if let Some(pooling) = &config.sentence {
        return pool_of_tokens(config, pooling);
    }
    let Some(known) = super::find(&config.architecture) else { return Ok(Pool::Usual) };
    let pool = pool_of_maps(config, known)?;
    match config.temporal().filter(|_| known.modality() == Modality::Image) {
        Some(Temporal { frames, pool: over, .. }) if pool == Pool::Usual => {
            Ok(Pool::Frames(FramesPool { frames, over: over.unwrap_or_default() }))
        }
        Some(_) => Err(unobeyed("global_pool", &json!(config.global_pool), "frames of a video are pooled by their mean alone")),
        None => Ok(pool),
    }
}

/// How each of its maps is pooled.
fn pool_of_maps(config: &ModelConfig, known: &Architecture) -> Result<Pool, String> {
    let argument = config.model_args.as_ref().and_then(|arguments| arguments.get("global_pool")).filter(|value| !value.is_null());
    let (key, word) = match (argument, &config.global_pool) {
        (Some(Value::String(word)), _) => ("model_args.global_pool", word.as_str()),
        (Some(other), _) => return Err(unobeyed("model_args.global_pool", other, "a word such as \"avg\" belongs there")),
        (None, Some(word)) => ("global_pool", word.as_str()),
        (None, None) => return Ok(Pool::Usual),
    };
    let pools = known.member.pools();
    let plain = word.strip_prefix("fast").map_or(word, |rest| if rest.is_empty() { "avg" } else { rest });
    match pools.iter().position(|pool| *pool == plain) {
        Some(0) => Ok(Pool::Usual),
        // Earlier imports wrote this at the top whatever the architecture; timm reads the arguments alone.
        None if key == "global_pool" && plain == "avg" => Ok(Pool::Usual),
        Some(_) if plain == "max" => Ok(Pool::Max),
        Some(_) if plain == "avgmax" => Ok(Pool::AvgMax),
        Some(_) if plain == "catavgmax" => Ok(Pool::CatAvgMax),
        _ => Err(unobeyed(key, &json!(word), &format!("{} is pooled here by {}", known.name, pools.join(", ")))),
    }
}

/// What sentence-transformers' files beside the config say.
fn pool_of_tokens(config: &ModelConfig, sentence: &Sentence) -> Result<Pool, String> {
    let Some(known) = super::find(&config.architecture) else { return Ok(Pool::Usual) };
    if let Some(problem) = &sentence.problem {
        return Err(format!("{problem}, which is not obeyed here"));
    }
    let how = match sentence.pooling.as_deref() {
        None if !sentence.normalize => return Ok(Pool::Usual),
        None | Some("mean") => How::Mean,
        Some("cls") => How::First,
        Some("max") => How::Max,
        Some("mean_sqrt_len_tokens") => How::MeanBySqrt,
        Some("lasttoken") => How::Last,
        Some(other) => {
            return Err(unobeyed(
                "pooling",
                &json!(other),
                &format!("{} is pooled here by {}", known.name, known.member.pools().join(", ")),
            ));
        }
    };
    Ok(Pool::Tokens(TokenPool { how, normalised: sentence.normalize }))
}

/// Each key of the config that asks for more than is built here, in words; of an architecture that is not known, none.
pub fn unobeyed_in(config: &ModelConfig) -> Vec<String> {
    let Some(known) = super::find(&config.architecture) else { return Vec::new() };
    let mut found: Vec<String> = pool_of(config).err().into_iter().chain(config.odd_temporal()).chain(config.odd_shots()).collect();
    for (key, value) in config.model_args.iter().flatten() {
        if let Some(why) = refused(known, config, key, value) {
            found.push(unobeyed(&format!("model_args.{key}"), value, &why));
        }
    }
    if config.shots().is_some() && known.shots().is_none() {
        found.push(unobeyed(SHOTS, &config.extra[SHOTS], &format!("{} finds no shots", known.name)));
    }
    found.extend(known.member.refused(config).iter().map(|(key, value, why)| unobeyed(key, value, why)));
    let cfg = &config.pretrained_cfg;
    if let (Some([_, height, width]), Some(_)) = (cfg.input_size, known.fixed_side()) {
        let not_square = || (height != width).then(|| format!("{} takes square images", known.name));
        if let Some(why) = known.refuses_side(height).or_else(not_square) {
            found.push(unobeyed("pretrained_cfg.input_size", &json!(cfg.input_size), &why));
        }
    }
    if let Some(offset) = cfg.extra.get("label_offset").filter(|offset| !offset.is_null() && **offset != 0) {
        found.push(unobeyed("pretrained_cfg.label_offset", offset, "the rows of the classifier are taken as they are"));
    }
    found
}

/// Why an argument is not obeyed, if it is not.
fn refused(known: &Architecture, config: &ModelConfig, key: &str, value: &Value) -> Option<String> {
    if value.is_null() || key == "global_pool" || HARMLESS.contains(&key) {
        return None;
    }
    let usual = |yes: bool, why: String| if yes { None } else { Some(why) };
    match key {
        "in_chans" => usual(*value == 3, "only colour images (3 channels) are understood".into()),
        "num_classes" => {
            let classes = config.num_classes.or(config.pretrained_cfg.num_classes);
            usual(classes.is_none_or(|classes| *value == classes), format!("`num_classes` is {}", classes.unwrap_or_default()))
        }
        "img_size" => {
            // As large as the images it is given.
            let side = known.fixed_side().map(|own| config.pretrained_cfg.input_size.map_or(own, |[_, height, _]| height));
            let same = side.is_some_and(|side| *value == side || *value == json!([side, side]));
            usual(same, side.map_or("it has no such argument".into(), |side| format!("images are made {side} pixels large")))
        }
        "act_layer" => {
            let activations = known.member.activations();
            let word = value.as_str().unwrap_or_default().to_ascii_lowercase();
            let word = word.strip_prefix("nn.").unwrap_or(&word);
            usual(activations.contains(&word), format!("{} is built with {} here", known.name, activations.first().unwrap_or(&"its own")))
        }
        _ => usual(
            known.member.arguments().iter().any(|(name, usual)| *name == key && is(value, usual)),
            format!("{} is built here as timm does without it", known.name),
        ),
    }
}

/// Whether a value is the one that an architecture has without being told: written as JSON.
fn is(value: &Value, usual: &str) -> bool {
    serde_json::from_str::<Value>(usual).is_ok_and(|usual| usual == *value)
}

/// Rows that the classifier has in the file, where the config counts others; the tensors are those of the weights' header.
pub fn rows_differ<'a>(config: &ModelConfig, mut tensors: impl Iterator<Item = (&'a str, &'a [usize])>) -> Option<String> {
    let known = super::find(&config.architecture)?;
    let classes = config.num_classes.or(config.pretrained_cfg.num_classes)?;
    let name = format!("{}.weight", known.classifier);
    let rows = tensors.find(|(tensor, _)| *tensor == name).and_then(|(_, shape)| shape.first().copied())?;
    (rows != classes).then(|| rows_in_words(known, rows, classes))
}

/// The words for a classifier of another size than the config says.
pub fn rows_in_words(known: &Architecture, rows: usize, classes: usize) -> String {
    unobeyed("num_classes", &json!(classes), &format!("the classifier `{}` has {rows} rows", known.classifier))
}

fn unobeyed(key: &str, value: &Value, why: &str) -> String {
    let shown: String = value.to_string().chars().take(60).collect();
    format!("config.json says `{key}`: {shown}, which is not obeyed here: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        unobeyed_in(&ModelConfig::read(text).unwrap())
    }

    #[test]
    fn what_asks_for_more_than_is_built_is_named_with_its_value() {
        let arguments =
            |architecture: &str, arguments: &str| problems(&format!(r#"{{"architecture": "{architecture}", "model_args": {arguments}}}"#));
        for (architecture, asked) in [
            ("resnet18", r#"{"act_layer": "silu"}"#),
            ("efficientnet_b0", r#"{"act_layer": "relu"}"#),
            ("vit_tiny_patch16_224", r#"{"img_size": 384}"#),
            ("vit_tiny_patch16_224", r#"{"global_pool": "avg"}"#),
            ("resnet18", r#"{"in_chans": 1}"#),
            ("resnet18", r#"{"img_size": 224}"#),
            ("resnet18", r#"{"output_stride": 8}"#),
            ("resnet18", r#"{"global_pool": ""}"#),
            ("resnet18", r#"{"global_pool": 3}"#),
            ("convnext_atto", r#"{"global_pool": "max"}"#),
            ("resnet18", r#"{"block_args": {"attn_layer": "se"}}"#),
            ("convnext_atto", r#"{"ls_init_value": null, "use_grn": true}"#),
        ] {
            let found = arguments(architecture, asked);
            assert_eq!(found.len(), 1, "{architecture} {asked}: {found:?}");
            assert!(found[0].contains("`model_args.") && found[0].contains("not obeyed here"), "{found:?}");
        }
        for (architecture, asked) in [
            (
                "resnet18",
                r#"{"act_layer": "relu", "drop_rate": 0.2, "in_chans": 3, "drop_path_rate": 0.1, "output_stride": 32, "act_layer": null}"#,
            ),
            ("vit_tiny_patch16_224", r#"{"img_size": [224, 224], "global_pool": "token", "dynamic_img_size": false, "act_layer": "gelu"}"#),
            ("resnet18", r#"{"global_pool": "fastavg"}"#),
            ("mobilenetv2_100", r#"{"global_pool": "catavgmax"}"#),
            ("of_another_house", r#"{"act_layer": "silu"}"#),
        ] {
            assert!(arguments(architecture, asked).is_empty(), "{architecture} {asked}");
        }
        let offset = problems(r#"{"architecture": "resnet18", "pretrained_cfg": {"label_offset": 1}}"#);
        assert!(offset[0].contains("label_offset`: 1"), "{offset:?}");
        let sized = |architecture: &str, size: &str| {
            problems(&format!(r#"{{"architecture": "{architecture}", "pretrained_cfg": {{"input_size": {size}}}}}"#))
        };
        assert!(sized("vit_tiny_patch16_224", "[3, 384, 384]").is_empty(), "positions are interpolated");
        assert!(sized("vit_tiny_patch16_224", "[3, 390, 390]")[0].contains("such as 384, not 390"));
        assert!(sized("vit_tiny_patch16_224", "[3, 224, 384]")[0].contains("square"));
    }

    #[test]
    fn poolings_are_read_where_timm_reads_them_first() {
        let pool = |text: &str| pool_of(&ModelConfig::read(text).unwrap());
        assert_eq!(pool(r#"{"architecture": "resnet18"}"#), Ok(Pool::Usual));
        assert_eq!(pool(r#"{"architecture": "resnet18", "global_pool": "avg"}"#), Ok(Pool::Usual));
        assert_eq!(pool(r#"{"architecture": "resnet18", "global_pool": "max"}"#), Ok(Pool::Max));
        assert_eq!(
            pool(r#"{"architecture": "resnet18", "global_pool": "avg", "model_args": {"global_pool": "avgmax"}}"#),
            Ok(Pool::AvgMax)
        );
        assert_eq!(pool(r#"{"architecture": "vit_tiny_patch16_224", "global_pool": "avg"}"#), Ok(Pool::Usual));
        assert!(pool(r#"{"architecture": "mobilenetv3_small_100", "global_pool": "max"}"#).unwrap_err().contains("`global_pool`: \"max\""));
    }

    #[test]
    fn classifiers_are_counted() {
        let config = ModelConfig::read(r#"{"architecture": "resnet18", "num_classes": 10}"#).unwrap();
        let rows = |rows: usize| {
            let shape = [rows, 512];
            rows_differ(&config, [("conv1.weight", &[64usize, 3, 7, 7][..]), ("fc.weight", &shape[..])].into_iter())
        };
        assert_eq!(rows(10), None);
        assert!(rows(7).unwrap().contains("`num_classes`: 10") && rows(7).unwrap().contains("7 rows"));
    }
}
