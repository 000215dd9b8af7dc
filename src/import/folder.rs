//! Writes a model folder: config.json in timm's form, model.safetensors, README.md. All of it or nothing: the
//! folder is built beside its place and renamed into it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;

use super::card;
use super::error::{Error, Result};
use super::matching::Match;
use super::source::Source;
use super::tensor::Tensor;
use super::{Options, inflated, labels, texts, towers};
use crate::domain::config::{ModelConfig, PretrainedCfg};
use crate::domain::shot_config::SHOTS;
use crate::nn::architectures;

/// Name of the weights file that timm looks for.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// Writes the folder `out`, which must not exist or be empty.
pub fn write(source: Source, found: &Match, options: &Options, out: &Path) -> Result<()> {
    refuse_occupied(out)?;
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
    let building = tempfile::Builder::new().prefix(".hub-import-").tempdir_in(parent).map_err(Error::io(parent))?;
    let folder = building.path();

    let labels = options.labels.as_deref().map(labels::read).transpose()?;
    let both = towers::are_in(source.config.as_ref());
    let config = match both || texts::is_encoder(&found.architecture) {
        true => texts::config(&source, found, labels),
        false => config(&source, found, options, labels)?,
    };
    if let Some(beside) = source.folder.as_deref().filter(|_| both || texts::is_encoder(&found.architecture)) {
        texts::carry(beside, folder)?;
    }
    config.check().map_err(|error| Error::Invalid { setting: "config.json", problem: error.to_string() })?;
    write_text(&folder.join("config.json"), &format!("{}\n", config.to_json()))?;
    write_text(&folder.join("README.md"), &card::card(&source, found, options).to_markdown())?;
    let tensors = source.file.take(found.tensors.clone(), source.size_bytes)?;
    write_weights(&folder.join(WEIGHTS_FILE), &tensors, found.add_to_variances)?;
    drop(tensors);
    if both {
        towers::check(&config, &folder.join(WEIGHTS_FILE))?;
    }

    // Temporary files and folders are private to their maker; a model folder is as open as any other.
    #[cfg(unix)]
    for (path, mode) in [(folder.join(WEIGHTS_FILE), 0o644), (folder.to_owned(), 0o755)] {
        use std::os::unix::fs::PermissionsExt;
        match std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)) {
            // A confined process sets no rights; what it makes is for the server that started it.
            Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {}
            set => set.map_err(Error::io(&path))?,
        }
    }
    std::fs::rename(folder, out).map_err(Error::io(out))?;
    Ok(())
}

/// # Errors
/// There is something already.
pub fn refuse_occupied(out: &Path) -> Result<()> {
    let occupied = match std::fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => out.exists(),
    };
    if occupied {
        return Err(Error::Invalid { setting: "out", problem: format!("{} exists and is not an empty folder", out.display()) });
    }
    Ok(())
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(Error::io(path))
}

/// config.json: the source's own where it has one, the mapping's facts elsewhere.
fn config(source: &Source, found: &Match, options: &Options, labels: Option<Vec<String>>) -> Result<ModelConfig> {
    let given = source.config.clone();
    let known = architectures::find(&found.architecture);
    let usual_pool = known.map_or("avg", |known| known.usual_pool());
    let input = &found.input;
    let classes = found.num_classes;
    let own = given.as_ref().map(|config| config.pretrained_cfg.clone()).unwrap_or_default();
    let size = input.size.unwrap_or(224);
    // Frames that are no squares are squeezed, whatever they were.
    let sides = known.and_then(|known| known.frame_sides());
    let [height, width] = sides.unwrap_or([size; 2]);
    let classifier = (classes > 0).then(|| input.classifier.clone()).flatten();
    let pretrained_cfg = PretrainedCfg {
        input_size: own.input_size.or(Some([3, height, width])),
        fixed_input_size: own.fixed_input_size.or_else(|| Some(known.is_some_and(|known| known.fixed_side().is_some()))),
        interpolation: own.interpolation.or_else(|| input.interpolation.clone()),
        crop_pct: own.crop_pct.or(input.crop_pct),
        crop_mode: own.crop_mode.or_else(|| Some(if sides.is_some() { "squash" } else { "center" }.into())),
        mean: own.mean.or(input.mean),
        std: own.std.or(input.std),
        num_classes: Some(classes),
        first_conv: own.first_conv.or_else(|| input.first_conv.clone().map(Value::from)),
        classifier: own.classifier.or_else(|| classifier.map(Value::from)),
        license: options.license.clone().or(own.license),
        extra: own.extra,
    };
    let mut extra = given.as_ref().map(|config| config.extra.clone()).unwrap_or_default();
    if let Some((key, value)) = known.and_then(inflated::temporal) {
        extra.entry(key).or_insert(value);
    }
    if let Some(shots) = known.and_then(|known| known.shots()) {
        extra.entry(SHOTS).or_insert(serde_json::to_value(shots).unwrap_or(Value::Null));
    }
    let label_names = labels.or_else(|| given.as_ref().and_then(|config| config.label_names.clone()));
    if let Some(names) = &label_names
        && names.len() != classes
    {
        return Err(Error::Invalid {
            setting: "labels",
            problem: format!("{} names for {classes} classes; give one per class", names.len()),
        });
    }
    Ok(ModelConfig {
        architecture: found.architecture.clone(),
        num_classes: Some(classes),
        num_features: Some(found.num_features),
        global_pool: given.as_ref().and_then(|config| config.global_pool.clone()).or_else(|| Some(usual_pool.into())),
        label_names,
        problem_type: given.as_ref().and_then(|config| config.problem_type.clone()),
        label_descriptions: given.as_ref().and_then(|config| config.label_descriptions.clone()),
        model_args: given.as_ref().and_then(|config| config.model_args.clone()),
        pretrained_cfg,
        sentence: given.as_ref().and_then(|config| config.sentence.clone()),
        extra,
    })
}

/// model.safetensors: f32, sorted by name, `format: pt` so that every loader takes it.
fn write_weights(path: &Path, tensors: &BTreeMap<String, Tensor>, add_to_variances: f32) -> Result<()> {
    let mut converted = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let mut values = tensor.to_f32().ok_or_else(|| Error::NoMatch(format!("tensor `{name}` holds no weights")))?;
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            let problem = format!("tensor `{name}` holds {} at position {index}; the weights are of no use", values[index]);
            return Err(Error::NoMatch(problem));
        }
        if add_to_variances != 0.0 && name.ends_with(".running_var") {
            values.iter_mut().for_each(|value| *value += add_to_variances);
        }
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        converted.push((name, &tensor.shape, bytes));
    }
    let failed =
        |error: safetensors::SafeTensorError| Error::Io { path: path.to_owned(), source: std::io::Error::other(error.to_string()) };
    let mut views = Vec::with_capacity(converted.len());
    for (name, shape, bytes) in &converted {
        views.push((name.as_str(), TensorView::new(Dtype::F32, shape.to_vec(), bytes).map_err(failed)?));
    }
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(views, Some(metadata), path).map_err(failed)
}
