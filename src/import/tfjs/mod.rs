//! Graph models of TensorFlow.js: a model.json with the operations and the list of tensors, and shards with their bytes. A graph is not run as it
//! stands: it is gone through along the [table](layers) of each network that is known, and what fits none is refused with the first layer
//! that differs.

mod convolutions;
mod follow;
mod graph;
mod layers;
mod manifest;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use self::graph::Graph;
use self::layers::Known;
use self::manifest::{Group, Numbers, Shards};
use super::error::{Error, Result, corrupt};
use super::matching::Match;
use super::names::Input;
use super::source::{Source, read_whole};
use super::{Options, Progress, Step, state_dict};
use crate::domain::config::ModelConfig;
use crate::nn::architectures::{self, Architecture, UsualInput};

/// The form's name.
pub const FORM: &str = "TensorFlow.js graph model";

/// Name of the file in a folder.
const MODEL: &str = "model.json";
const MAX_MODEL_BYTES: u64 = 64 << 20;
/// What a model.json says, beside whatever else.
const KEYED: [&str; 2] = ["modelTopology", "weightsManifest"];

/// A graph model, in a folder or as the .json file itself, under our names; `None` of whatever is something else.
///
/// # Errors
/// A graph that fits no table, files that are missing or contradict themselves: each by its name.
pub fn read(source: &Path, options: &Options, progress: &mut dyn FnMut(Progress)) -> Result<Option<(Source, Match)>> {
    let Some((path, model)) = model_at(source)? else { return Ok(None) };
    let topology = &model[KEYED[0]];
    if topology.get("node").is_none() {
        let problem = "this is a layers model of TensorFlow.js (Keras), of which only graph models are read; convert it with \
                       tensorflowjs_converter --input_format=tfjs_layers_model --output_format=tfjs_graph_model";
        return Err(Error::Unsupported { path, problem: problem.into() });
    }
    let groups: Vec<Group> =
        serde_json::from_value(model[KEYED[1]].clone()).map_err(|error| corrupt(format!("weightsManifest: {error}")))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let (weights, shards) = manifest::read(folder, &groups, progress)?;
    progress(Progress { step: Step::Matching, done: 0, total: shards.size_bytes });
    let (known, tensors) = recognised(&Graph::read(topology, weights)?)?;
    if let Some(asked) = options.architecture.as_ref().filter(|asked| **asked != known.architecture) {
        let problem = format!("this is the graph of {}, and not `{asked}`; leave it out", known.title);
        return Err(Error::Invalid { setting: "architecture", problem });
    }
    made(&path, &known, &tensors, shards).map(Some)
}

/// The model.json that is meant, and what it says.
fn model_at(source: &Path) -> Result<Option<(PathBuf, Value)>> {
    let path = if source.is_dir() { source.join(MODEL) } else { source.to_owned() };
    if !path.is_file() || path.extension().is_none_or(|ending| ending != "json") {
        return Ok(None);
    }
    if path.metadata().map_err(Error::io(&path))?.len() > MAX_MODEL_BYTES {
        return Err(Error::TooLarge(format!("{} has more than {MAX_MODEL_BYTES} bytes", path.display())));
    }
    let bytes = read_whole(&path, MAX_MODEL_BYTES, &mut |_| {})?;
    let Ok(model) = serde_json::from_slice::<Value>(&bytes) else { return Ok(None) };
    Ok(KEYED.iter().all(|key| model.get(key).is_some()).then_some((path, model)))
}

/// The network whose graph this is, with its tensors; of none, what the nearest has and this has not.
fn recognised(graph: &Graph) -> Result<(Known, BTreeMap<String, Numbers>)> {
    let mut nearest: Option<(usize, Error)> = None;
    for known in layers::known()? {
        match follow::follow(graph, &known)? {
            Ok(tensors) => return Ok((known, tensors)),
            Err((reached, _)) if nearest.as_ref().is_some_and(|(most, _)| *most >= reached) => {}
            Err(differs) => nearest = Some(differs),
        }
    }
    Err(nearest.map_or_else(|| Error::NoMatch("no graph is known".into()), |(_, error)| error))
}

/// The source as others are, and the tensors in it.
fn made(path: &Path, known: &Known, tensors: &BTreeMap<String, Numbers>, shards: Shards) -> Result<(Source, Match)> {
    let wrong = Error::NoMatch;
    let architecture = architectures::get(&known.architecture).map_err(|error| wrong(error.to_string()))?;
    let bytes = |numbers: &Numbers| numbers.values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let all: Vec<(&String, &Numbers, Vec<u8>)> = tensors.iter().map(|(name, numbers)| (name, numbers, bytes(numbers))).collect();
    let mut views = Vec::with_capacity(all.len());
    for (name, numbers, bytes) in &all {
        let view = TensorView::new(Dtype::F32, numbers.shape.clone(), bytes).map_err(|error| wrong(error.to_string()))?;
        views.push((name.as_str(), view));
    }
    let whole = safetensors::serialize(views, None).map_err(|error| wrong(error.to_string()))?;
    let file = state_dict::from_safetensors(whole)?;
    let found = Match {
        architecture: known.architecture.clone(),
        num_classes: known.labels.len(),
        num_features: architecture.num_features,
        input: Input { first_conv: Some(architecture.first_conv.into()), ..Input::default() },
        mapping: known.title.clone(),
        tensors: file.candidates.iter().flat_map(|dict| dict.tensors.clone()).collect(),
        add_to_variances: 0.0,
        dropped: 0,
        notes: vec![format!("the graph is that of {}; its head `{}` answers, and is not trained here", known.title, known.decoder)],
    };
    let source = Source {
        file,
        file_name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        folder: path.parent().map(Path::to_owned),
        size_bytes: shards.size_bytes,
        sha256: shards.sha256,
        form: FORM,
        config: Some(config(known, architecture)?),
        card: None,
    };
    Ok((source, found))
}

/// What says how images become input and what the answers mean.
fn config(known: &Known, architecture: &Architecture) -> Result<ModelConfig> {
    let UsualInput::Image(input) = &architecture.input else {
        return Err(Error::NoMatch(format!("{} takes no images", architecture.name)));
    };
    let said = json!({
        "architecture": known.architecture,
        "num_classes": known.labels.len(),
        "label_names": known.labels,
        "task": known.task,
        "decoder": {"name": known.decoder, "outputs": known.outputs},
        "pretrained_cfg": {
            "input_size": [3, input.size, input.size],
            "interpolation": input.interpolation,
            "crop_pct": input.crop_pct,
            // Images are seen whole, each side brought to the input's by itself.
            "crop_mode": "squash",
            "mean": input.mean,
            "std": input.std,
        },
    });
    ModelConfig::read(&said.to_string()).map_err(|error| Error::Invalid { setting: "config.json", problem: error.to_string() })
}
