//! A folder of two networks that share a space, one for images and one for texts, as transformers writes it: its tensors keep their names,
//! so that both are opened from one file here and there.

use std::path::Path;

use super::error::{Error, Result};
use super::matching::Match;
use super::names::Input;
use super::source::Source;
use crate::domain::config::ModelConfig;
use crate::nn::Weights;
use crate::nn::architectures::{self, Architecture};

/// What tensors of both begin with.
const IMAGES: &str = "vision_model.";
const TEXTS: &str = "text_model.";

/// Whether a source's config speaks of both.
pub fn are_in(config: Option<&ModelConfig>) -> bool {
    config.is_some_and(|config| config.text_tower().is_some())
}

/// All tensors of the dict that holds both, as they are called; whole numbers are places, which every loader makes anew. `None` of what
/// is something else.
pub fn find(source: &Source) -> Option<Result<Match>> {
    let config = source.config.as_ref().filter(|config| are_in(Some(config)))?;
    let both = |names: &mut dyn Iterator<Item = &String>| {
        let (images, texts) =
            names.fold((false, false), |(images, texts), name| (images || name.starts_with(IMAGES), texts || name.starts_with(TEXTS)));
        images && texts
    };
    let Some(dict) = source.file.candidates.iter().find(|dict| both(&mut dict.tensors.keys())) else {
        let what =
            "config.json speaks of a network for images and one for texts, and no dict of the file holds `vision_model.` and `text_model.`";
        return Some(Err(Error::NoMatch(what.into())));
    };
    let tensors = dict.tensors.iter().filter(|(_, found)| found.dtype.is_float());
    Some(Ok(Match {
        architecture: config.architecture.clone(),
        num_classes: 0,
        num_features: config.num_features.unwrap_or_default(),
        input: Input::default(),
        mapping: "names of transformers".into(),
        tensors: tensors.map(|(name, found)| (name.clone(), found.clone())).collect(),
        add_to_variances: 0.0,
        dropped: 0,
        notes: Vec::new(),
    }))
}

/// Both networks of a folder that was made are whole.
///
/// # Errors
/// The first tensor that is missing, misshaped or a stranger.
pub fn check(config: &ModelConfig, weights: &Path) -> Result<()> {
    let wrong = |error: crate::nn::Error| Error::NoMatch(error.to_string());
    let all = Weights::load(weights).map_err(wrong)?;
    let check = |name: &str, side: usize| {
        let known: &Architecture = architectures::get(name).map_err(wrong)?;
        architectures::check(known.name, 0, &known.fitted(all.clone(), side).map_err(wrong)?).map_err(wrong)
    };
    check(&config.architecture, config.preprocessing().height)?;
    config.text_tower().map_or(Ok(()), |texts| check(&texts, 0))
}
