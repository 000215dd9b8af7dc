//! Videos before a network: how one that takes images, or clips itself, is prepared for them.

use super::Training;
use super::error::{Error, Result};
use crate::domain::config::ModelConfig;
use crate::domain::modality::Modality;
use crate::domain::recipe::{Augment, FramePool, Recipe, RecipeError, Strategy};
use crate::nn::architectures::{self, Architecture, Pool, UsualInput};

/// Features of a config, at most (`num_features` of a config.json).
const WIDEST: usize = 65_536;

/// Whether a model of this config can be used on items of that kind: on its own, or on the frames of a video one by one.
pub fn takes(config: &ModelConfig, items: Modality) -> bool {
    architectures::find(&config.architecture).is_none_or(|known| known.modality().serves(items))
}

/// What a model of this config takes in: videos where an architecture of images is told how to see them.
pub fn modality(config: &ModelConfig) -> Modality {
    let known = architectures::find(&config.architecture).map_or_else(Modality::default, Architecture::modality);
    match config.temporal() {
        Some(_) if known.serves(videos()) => videos(),
        _ => known,
    }
}

fn videos() -> Modality {
    Modality::of_items("videos")
}

/// The base's config and the recipe where the base's does not say of the data set's items what it must: how videos are seen; and without that where
/// there are none. Where something is learned over time, `head` means that alone on frames' features as they are: they are made once.
///
/// # Errors
/// The recipe names frames of what has none, or the features would be too wide.
pub fn prepared(training: &Training) -> Result<Option<(ModelConfig, Recipe)>> {
    let recipe = Recipe { modality: training.dataset.modality.name(), ..training.recipe.clone() };
    recipe.check_frames()?;
    let Some(config) = seen(training.config, &recipe)? else { return Ok(None) };
    let images = architectures::get(&config.architecture)?.stage_count();
    let learns = matches!(architectures::pool_of(&config), Ok(Pool::Frames(pool)) if learns_over_time(pool.over));
    Ok(Some((config, if learns { over_time(training.recipe, images) } else { training.recipe.clone() })))
}

fn learns_over_time(pool: FramePool) -> bool {
    matches!(pool, FramePool::Attention | FramePool::Conv)
}

/// The recipe where so many stages of images lie below one over time.
fn over_time(recipe: &Recipe, images: usize) -> Recipe {
    let frozen_stages = if recipe.frozen_stages > 0 { recipe.frozen_stages } else { images };
    match recipe.strategy {
        Strategy::Auto => Recipe { frozen_stages, ..recipe.clone() },
        Strategy::Head => {
            let augment = if recipe.augment.views == 0 { Augment::none() } else { recipe.augment.clone() };
            Recipe { strategy: Strategy::LpFt, frozen_stages: images, augment, ..recipe.clone() }
        }
        _ => recipe.clone(),
    }
}

/// The same of a recipe whose modality is that of the items.
///
/// # Errors
/// The features would be too wide.
pub fn seen(config: &ModelConfig, recipe: &Recipe) -> Result<Option<ModelConfig>> {
    let Some(known) = architectures::find(&config.architecture) else { return Ok(None) };
    if !recipe.modality.has_frames() {
        return Ok(config.temporal().filter(|_| !known.modality().has_frames()).map(|_| config.seeing_images()));
    }
    if !known.modality().serves(recipe.modality) {
        return Ok(None);
    }
    let pools = !known.modality().has_frames();
    let config = config.seeing_videos(&recipe.video, known.frames(), pools);
    let width = architectures::pool_of(&config).map_err(Error::Unsupported)?.width(known.num_features);
    if width > WIDEST {
        let problem = format!(
            "{} numbers of each frame one behind the other are {width}, more than the {WIDEST} that a head takes in; choose fewer frames, or the pool mean, max, attention, conv or tsm",
            known.num_features
        );
        return Err(RecipeError { setting: "video.frames", problem }.into());
    }
    Ok(Some(config))
}

/// How many images a network of images sees of an item: the frames of a clip, or the one.
pub fn images(config: &ModelConfig) -> f64 {
    let of_images = architectures::find(&config.architecture).is_some_and(|known| matches!(known.input, UsualInput::Image(_)));
    config.temporal().filter(|_| of_images).map_or(1.0, |temporal| temporal.frames as f64)
}

/// How wide a clip's features are by the config.
pub fn width(config: &ModelConfig, known: &Architecture) -> usize {
    match architectures::pool_of(config) {
        Ok(pool @ Pool::Frames(_)) => pool.width(known.num_features),
        _ => known.num_features,
    }
}
