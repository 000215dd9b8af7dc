//! What an item costs a backbone: as its layers count it, and as this machine takes.

use std::path::Path;
use std::time::Instant;

use super::panel::Panel;
use crate::domain::config::ModelConfig;
use crate::domain::recipe::{Recipe, Strategy};
use crate::nn::{Input, kernels};
use crate::train::error::Result;
use crate::train::model::Model;
use crate::train::{Training, feed};

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
pub fn measure(panel: &Panel, config: &ModelConfig, weights: &Path) -> Result<Cost> {
    let _workspace = kernels::Workspace::open();
    let recipe = Recipe { strategy: Strategy::Head, ..Recipe::default() };
    let Panel { dataset, device, scratch, keep, .. } = *panel;
    let training = Training { recipe: &recipe, config, weights, dataset, device, scratch, keep, resume: None };
    let model = Model::load(&training, 1)?;
    let blank = feed::input(dataset.modality.views(config)?.maker()?.blank())?;
    let item = blank.tensor().dims()[1..].to_vec();
    let mut repeats = vec![1; item.len() + 1];
    repeats[0] = BATCH;
    let batch = Input::from(&blank.tensor().repeat(repeats)?);
    let mut seconds = f64::INFINITY;
    for _ in 0..PASSES {
        let began = Instant::now();
        model.below(&batch)?.flatten_all()?.to_vec1::<f32>()?;
        seconds = seconds.min(began.elapsed().as_secs_f64() / BATCH as f64);
    }
    let multiply_adds = model.architecture.costs(&item).iter().map(|stage| stage.multiply_adds).sum();
    Ok(Cost { multiply_adds, seconds })
}
