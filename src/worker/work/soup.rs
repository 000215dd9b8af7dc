//! The soup of a sweep: its best trials, averaged on the data set they learned from.

use std::sync::Arc;

use super::fine_tune::with_threads;
use super::sweep::Given;
use super::{Sink, find, open_dataset, open_device, read_config, reading};
use crate::domain::job_event::{EpochNumbers, Level};
use crate::domain::recipe::Recipe;
use crate::domain::trial::{Concluded, SPLIT, WEIGHTS, given_name};
use crate::domain::work::BASE;
use crate::train::soup::{Averaged, Ingredient, of_trials};
use crate::train::{Event, FeatureStore, Keep, Report, Training};
use crate::worker::order::Order;
use crate::worker::{Error, Result};

/// What came of it, and its report where it is better than the best trial. `recipe` and `epochs` are those of the best.
pub(super) fn average(given: &Given, (recipe, epochs): (&Recipe, Vec<EpochNumbers>), sink: Sink<'_>) -> Result<(Averaged, Option<Report>)> {
    let order = given.order;
    let base = order.given(BASE)?;
    let (config, weights) = (read_config(base)?, find(base, WEIGHTS)?);
    let beside = reading(base);
    let (dataset, device) = (Arc::new(open_dataset(order)?), open_device(order)?);
    let store = FeatureStore::new(&order.features, order.features_bytes);
    let training = Training {
        recipe,
        config: &config,
        weights: &weights,
        beside: &beside,
        dataset: &dataset,
        device: &device,
        scratch: &order.scratch,
        keep: Keep::Store(&store),
        resume: None,
    };
    let ingredients = ingredients(given, recipe, &mut *sink)?;
    let (averaged, report) = with_threads(recipe.threads, || of_trials(&training, ingredients, epochs, &mut *sink))?;
    let primary = recipe.task.unwrap_or_default().primary();
    let (alone, reached, members) = (primary.show(averaged.alone, 4), primary.show(averaged.reached, 4), averaged.members.join("; "));
    let message = match report {
        Some(_) => {
            format!("the average of {members} reaches {} {reached}, the best alone {alone}: the average is published", primary.title)
        }
        None => format!(
            "no average of the {} best trials is better than the best alone ({} {alone}), which is published",
            averaged.tried.len(),
            primary.title
        ),
    };
    let _ = sink(Event::Log { level: Level::Info, message });
    Ok((averaged, report))
}

/// The trials whose models were sent, as far as they were measured on the very items that the best was.
fn ingredients(given: &Given, recipe: &Recipe, sink: Sink<'_>) -> Result<Vec<Ingredient>> {
    let rises = recipe.task.unwrap_or_default().primary().rises;
    let split = |trial: u32| split_of(given.order, trial);
    let (own, mut list) = (split(given.number)?, Vec::new());
    for standing in &given.concluded.standing {
        let (trial, reached) = (standing.trial, standing.reached);
        let name = named(&given.concluded, trial);
        if split(trial)? != own {
            let message = format!("{name} was measured on other items than the best and stays out of the average");
            let _ = sink(Event::Log { level: Level::Info, message });
            continue;
        }
        let file = find(&given.order.sent, &given_name(trial, WEIGHTS))?;
        list.push(Ingredient::load(name, &file, if rises { reached } else { -reached })?);
    }
    Ok(list)
}

fn split_of(order: &Order, trial: u32) -> Result<Vec<u8>> {
    let file = find(&order.sent, &given_name(trial, SPLIT))?;
    std::fs::read(&file).map_err(Error::io(&file))
}

/// `trial 3 (lr=0.001)`
fn named(concluded: &Concluded, trial: u32) -> String {
    let settings = concluded.trials.iter().find(|tried| tried.trial == trial).map(|tried| tried.settings.as_str());
    format!("trial {trial} ({})", settings.unwrap_or_default())
}
