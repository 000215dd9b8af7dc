//! What one item costs a network, of whatever kind it is: an image, a text of so many tokens, the frames of a clip.

use super::Volume;
use crate::domain::config::ModelConfig;
use crate::domain::recipe::{Recipe, RecipeError};
use crate::nn::architectures::{self, Architecture, StageCost};
use crate::train::clips;
use crate::train::error::Result;

/// Maps of all scales together beside the pooled features, in numbers.
const WIDER: f64 = 2.0;
/// Characters that become a token: three to five are usual, and of a text of odd words two.
const CHARACTERS: f64 = 3.0;
const FEWEST_CHARACTERS: f64 = 2.0;
/// Tokens that frame a text.
const FRAME: f64 = 2.0;

/// Tokens of a usual text and of the longest, as far as the model reads them.
pub fn tokens(config: &ModelConfig, architecture: &Architecture, volume: &Volume) -> (usize, usize) {
    let asked = config.sentence.as_ref().and_then(|sentence| sentence.max_seq_length);
    let longest = asked.unwrap_or(usize::MAX).min(architecture.longest());
    let cut = |characters: f64, each: f64| ((characters / each + FRAME).ceil() as usize).clamp(1, longest);
    volume.characters.map_or((longest, longest), |(mean, most)| (cut(mean, CHARACTERS), cut(most, FEWEST_CHARACTERS)))
}

/// Vectors of an item of so many tokens, or of an image of this side: where words are answered about, each has one, and no text has more
/// words than tokens; where pixels are, each cell of the grid has one, which is wider than a pooled one.
pub fn rows_of(recipe: &Recipe, tokens: usize, side: usize) -> f64 {
    match recipe.task {
        Some(task) if task.is_of_words() => tokens as f64,
        Some(task) if task.is_of_pixels() => WIDER * side.div_ceil(architectures::CELL).pow(2) as f64,
        _ => 1.0,
    }
}

/// Of images: the side that is trained at.
pub fn side(recipe: &Recipe, config: &ModelConfig, architecture: &Architecture) -> Result<usize> {
    let preprocessing = config.preprocessing();
    // Frames that are no squares are told of by their lines.
    let own = if architecture.frame_sides().is_some() { preprocessing.height } else { preprocessing.height.max(preprocessing.width) };
    let side = if recipe.image_size > 0 { recipe.image_size } else { own };
    match architecture.refuses_side(side) {
        Some(problem) => Err(RecipeError { setting: "image_size", problem }.into()),
        None => Ok(side),
    }
}

/// Bytes of the tokens that frozen stages keep of a text; pictures are told of by their pooled features.
pub fn kept_of_text(architecture: &Architecture, item: &[usize], tokens: usize) -> f64 {
    if item.len() == 1 { (tokens * architecture.num_features) as f64 * 4.0 } else { 0.0 }
}

/// Items before a network.
pub struct Items {
    /// Images that a network of images sees of one.
    pub images: f64,
    /// Numbers that the head takes in.
    pub width: usize,
    /// The shape of the largest, without the batch.
    pub item: Vec<usize>,
    /// What each stage costs over a usual one, which decides the time, and over the largest, which decides the memory.
    pub usual: Vec<StageCost>,
    pub largest: Vec<StageCost>,
}

impl Items {
    pub fn of(recipe: &Recipe, config: &ModelConfig, known: &Architecture, side: usize, (usual, longest): (usize, usize)) -> Result<Items> {
        let seen = clips::seen(config, recipe)?;
        let config = seen.as_ref().unwrap_or(config);
        let images = clips::images(config);
        let costs = |item: &[usize]| known.costs(item).into_iter().map(|cost| cost.times(images)).collect::<Vec<_>>();
        let item = known.item(side, longest);
        let (usual, largest) = (costs(&known.item(side, usual)), costs(&item));
        Ok(Items { images, width: clips::width(config, known), item, usual, largest })
    }
}
