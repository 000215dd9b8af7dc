//! A model for images as one for clips: the folder that an import makes of it, with its weights inflated (`nn::architectures::inflate`).

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::error::{Error, Result};
use super::folder::{self, WEIGHTS_FILE};
use super::{Imported, Options, Progress};
use crate::domain::card::Card;
use crate::domain::config::ModelConfig;
use crate::domain::temporal_config::TEMPORAL;
use crate::nn::architectures::{self, Architecture, UsualInput};
use crate::nn::weights::Weights;

const TASKS: [(&str, &str); 2] = [("image-classification", "video-classification"), ("image-feature-extraction", "feature-extraction")];

/// What a config.json says of the clips that an architecture wants; nothing of others.
pub fn temporal(known: &Architecture) -> Option<(&'static str, Value)> {
    let UsualInput::Video(video) = known.input else { return None };
    Some((TEMPORAL, json!({"frames": video.frames, "sampling": "dense", "stride": video.every})))
}

/// Imports a model for images, and makes one for clips of it. Errors as [`super::import`] does, and where the network is none of
/// convolutions.
pub fn import(source: &Path, options: &Options, out: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Imported> {
    folder::refuse_occupied(out)?;
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
    let building = tempfile::Builder::new().prefix(".hub-inflate-").tempdir_in(parent).map_err(Error::io(parent))?;
    let images = building.path().join("model");
    let mut imported = super::import(source, &Options { inflate: false, ..options.clone() }, &images, progress)?;
    let known = inflate(&images)?;
    std::fs::rename(&images, out).map_err(Error::io(out))?;
    imported.notes.push(format!("{} sees clips of {} frames as it saw images", known.name, known.frames().unwrap_or(1)));
    let learned = known.expected(imported.num_classes).into_iter().filter(|tensor| !crate::domain::safetensors::is_buffer(&tensor.name));
    imported.parameters = learned.map(|tensor| tensor.count() as u64).sum();
    imported.architecture = known.name.to_owned();
    imported.files = imported.files.iter().filter_map(|file| file.file_name()).map(|name| out.join(name)).collect::<Vec<PathBuf>>();
    Ok(imported)
}

/// Makes the model of a folder one for clips.
fn inflate(folder: &Path) -> Result<&'static Architecture> {
    let [config_path, card_path, weights_path] = ["config.json", "README.md", WEIGHTS_FILE].map(|name| folder.join(name));
    let read = |path: &Path| std::fs::read_to_string(path).map_err(Error::io(path));
    let wrong = |error: crate::nn::Error| Error::Invalid { setting: "inflate", problem: error.to_string() };
    let mut config =
        ModelConfig::read(&read(&config_path)?).map_err(|error| Error::Invalid { setting: "config.json", problem: error.to_string() })?;
    let inflated = architectures::inflate(&config.architecture, &Weights::load(&weights_path).map_err(wrong)?).map_err(wrong)?;
    let known = inflated.architecture;
    config.architecture = known.name.to_owned();
    config.extra.extend(temporal(known).map(|(key, value)| (key.to_owned(), value)));
    let (mut card, _) = Card::read(&read(&card_path)?);
    let turned =
        |word: &String| TASKS.iter().find(|(image, _)| image == word).map_or_else(|| word.clone(), |(_, video)| (*video).to_owned());
    card.pipeline_tag = card.pipeline_tag.as_ref().map(turned);
    card.tags = card.tags.iter().filter(|tag| *tag != "timm").map(turned).collect();
    card.library_name = None;
    card.body.push_str(&format!(
        "\nInflated to `{}`: the first convolution of each block sees three frames, of which the middle one has the weights of the image \
         network, so that a clip of one repeated image gets the answer of the image.\n",
        known.name
    ));
    inflated.weights.save(&weights_path, &[]).map_err(wrong)?;
    let write = |path: &Path, text: String| std::fs::write(path, text).map_err(Error::io(path));
    write(&config_path, format!("{}\n", config.to_json()))?;
    write(&card_path, card.to_markdown())?;
    Ok(known)
}
