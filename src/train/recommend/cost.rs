//! What an item costs a backbone: as its layers count it, and as this machine takes.

use std::time::Instant;

use super::panel::{Files, Panel};
use crate::domain::recipe::{Recipe, Strategy};
use crate::nn::kernels;
use crate::train::error::Result;
use crate::train::model::Model;
use crate::train::{Training, clips, feed};

/// Items sent through together, as a pass over features sends them.
const BATCH: usize = 8;
/// Passes of which the quickest counts: the first one sets up what the others find.
const PASSES: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// For one item, forward.
    pub multiply_adds: f64,
    /// For one item, forward, without opening it.
    pub seconds: f64,
}

/// # Errors
/// What is wrong with the backbone.
pub fn measure(panel: &Panel, files: &Files) -> Result<Cost> {
    let _workspace = kernels::Workspace::open();
    let recipe = Recipe { strategy: Strategy::Head, modality: panel.dataset.modality.name(), ..Recipe::default() };
    let Panel { dataset, device, scratch, keep, .. } = *panel;
    let Files { config, weights, beside } = files;
    let seen = clips::seen(config, &recipe)?;
    let config = seen.as_ref().unwrap_or(config);
    let training = Training { recipe: &recipe, config, weights, beside, dataset, device, scratch, keep, resume: None };
    let mut model = Model::load(&training, 1)?;
    model.classifier.backbone.settle();
    let blank = feed::input(model.views(&training, config)?.maker()?.blank())?;
    let item = blank.tensor().dims()[1..].to_vec();
    let mut repeats = vec![1; item.len() + 1];
    repeats[0] = BATCH;
    let batch = blank.with(blank.tensor().repeat(repeats)?);
    let mut seconds = f64::INFINITY;
    for _ in 0..PASSES {
        let began = Instant::now();
        model.below(&batch)?.flatten_all()?.to_vec1::<f32>()?;
        seconds = seconds.min(began.elapsed().as_secs_f64() / BATCH as f64);
    }
    // Of a network of images: one of the frames, as often as there are some.
    let images = clips::images(config);
    let one = match item.as_slice() {
        [channels, _, height, width] if images > 1.0 => vec![*channels, *height, *width],
        all => all.to_vec(),
    };
    let multiply_adds = images * model.architecture.costs(&one).iter().map(|stage| stage.multiply_adds).sum::<f64>();
    Ok(Cost { multiply_adds, seconds })
}
