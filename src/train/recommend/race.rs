//! A race of the best few: short fine-tunes of the same length, of which the better half goes on for twice as long (successive halving;
//! Jamieson and Talwalkar 2016). Ranks by frozen features are guesses about fine-tunes; these are fine-tunes.

use std::path::Path;
use std::time::Instant;

use super::panel::{Candidate, Files, Panel, of_candidate};
use super::sample::in_order;
use crate::data::{Dataset, Split};
use crate::domain::config::ModelConfig;
use crate::domain::dataset_report::Problem;
use crate::domain::job_event::{Level, Progress};
use crate::domain::modality::Modality;
use crate::domain::recipe::{Recipe, Strategy};
use crate::domain::recommendation::{RACERS, RaceRun, Recommendation, Round};
use crate::nn::architectures;
use crate::train::error::Result;
use crate::train::strategy;
use crate::train::{Control, Event, Keep, Training, fit};

/// Epochs of the first round, where items are many or time is bounded.
const FIRST_EPOCHS: u32 = 2;
/// Fewer steps than this say more of the new head than of the backbone, so few items are seen more often.
const FIRST_STEPS: usize = 60;
const MOST_FIRST_EPOCHS: usize = 20;
/// Items of each split that a race works with.
pub const MOST_ITEMS: usize = 1_000;
const FEWEST_ITEMS: usize = 50;

/// The same data set with at most so many items in each split, classes in their shares.
pub fn limited(dataset: Dataset, most: usize) -> Dataset {
    let of_split = |split: Split| in_order(dataset.split(split.as_str())).into_iter().skip(most).map(|sample| sample.path);
    let left_out =
        [Split::Train, Split::Val].into_iter().flat_map(of_split).chain(dataset.split("test").into_iter().map(|sample| sample.path));
    let left_out: Vec<Problem> = left_out.map(|path| Problem { path, reason: String::new() }).collect();
    dataset.without(&left_out)
}

/// Lets the best few of `answer` race on the panel's data set, and puts them in the order in which they ended. What is wrong with a
/// racer is in its run.
///
/// # Errors
/// As [`super::panel::recommend`].
pub fn race(panel: &Panel, candidates: &[Candidate], answer: &mut Recommendation, sink: &mut dyn FnMut(Event) -> Control) -> Result<()> {
    let of = |model: &str| candidates.iter().find(|candidate| candidate.known.model == model);
    let named = answer.backbones.iter().filter(|backbone| backbone.place.is_some()).take(RACERS);
    let mut racers: Vec<&Candidate> = named.filter_map(|backbone| of(&backbone.known.model)).collect();
    let mut epochs = if panel.seconds.is_some() { FIRST_EPOCHS } else { first_epochs(panel.dataset.split("train").len()) };
    let mut behind: Vec<String> = Vec::new();
    while racers.len() > 1 {
        let mut runs = Vec::new();
        for racer in &racers {
            runs.push(run(panel, racer, epochs, sink)?);
        }
        let rises = panel.dataset.targets.task().primary().rises;
        let merit = |run: &RaceRun| run.value.map_or(f64::NEG_INFINITY, |value| if rises { value } else { -value });
        // Of equal ones the one that was better by its features stays ahead.
        runs.sort_by(|a, b| merit(b).total_cmp(&merit(a)));
        let kept = racers.len().div_ceil(2).min(racers.len() - 1);
        let fallen: Vec<String> = runs.iter().skip(kept).map(|run| run.model.clone()).collect();
        behind.splice(0..0, fallen);
        racers = runs.iter().take(kept).filter_map(|run| of(&run.model)).collect();
        answer.race.push(Round { epochs, items: panel.dataset.split("train").len(), runs });
        epochs *= 2;
    }
    let order: Vec<String> = racers.iter().map(|racer| racer.known.model.clone()).chain(behind).collect();
    // Those that did not race stay behind those that did.
    let place = |model: &str| order.iter().position(|known| known == model).unwrap_or(order.len());
    answer.backbones.sort_by_key(|backbone| place(&backbone.known.model));
    let placed = answer.backbones.iter_mut().filter(|backbone| backbone.place.is_some());
    placed.enumerate().for_each(|(at, backbone)| backbone.place = Some(at + 1));
    Ok(())
}

fn run(panel: &Panel, racer: &Candidate, epochs: u32, sink: &mut dyn FnMut(Event) -> Control) -> Result<RaceRun> {
    let (model, began) = (racer.known.model.clone(), Instant::now());
    let found = match &racer.files {
        Ok(files) => of_candidate(short(panel, (&model, files), epochs, sink))?,
        Err(why) => Err(why.clone()),
    };
    let seconds = began.elapsed().as_secs_f64();
    let (value, reason) = match found {
        Ok(value) => (Some(value), None),
        Err(why) => (None, Some(why)),
    };
    let said = value.map_or_else(|| "failed".to_owned(), |value| panel.dataset.targets.task().primary().show(value, 4));
    let message = format!("race: {model}, {epochs} epochs: {said}");
    match sink(Event::Log { level: Level::Info, message }) {
        Control::Continue => Ok(RaceRun { model, value, reason, seconds }),
        Control::Stop => Err(crate::train::Error::Cancelled),
    }
}

/// The first measure of a short fine-tune from the best head on the racer's features, on its validation items.
fn short(panel: &Panel, (model, files): (&str, &Files), epochs: u32, sink: &mut dyn FnMut(Event) -> Control) -> Result<f64> {
    let Files { config, weights, beside } = files;
    let recipe = recipe(epochs, config, panel.dataset.modality.name());
    let own = tempfile::tempdir_in(panel.scratch).map_err(crate::train::Error::io("cannot make a folder in", panel.scratch))?;
    let scratch: &Path = own.path();
    let training = Training {
        recipe: &recipe,
        config,
        weights,
        beside,
        dataset: panel.dataset,
        device: panel.device,
        scratch,
        keep: Keep::Scratch,
        resume: None,
    };
    let mut quiet = |event: Event| match event {
        Event::Progress(progress) => sink(Event::Progress(Progress { stage: format!("race: {model}, {}", progress.stage), ..progress })),
        // Epochs, logs and checkpoints of a racer are not the job's.
        _ => Control::Continue,
    };
    Ok(fit(&training, &mut quiet)?.outcome.validation.primary())
}

fn first_epochs(items: usize) -> u32 {
    let steps = items.div_ceil(Recipe::default().batch_size).max(1);
    FIRST_STEPS.div_ceil(steps).clamp(FIRST_EPOCHS as usize, MOST_FIRST_EPOCHS) as u32
}

/// What a job of the default strategy would run where it goes on from its probe: the same stages learn from the same head. So a backbone
/// does not lose the race by what a new head does to it.
fn recipe(epochs: u32, config: &ModelConfig, modality: Modality) -> Recipe {
    let plain = Recipe::usual(modality);
    let frozen_stages = architectures::find(&config.architecture).map_or(0, |known| strategy::top(&plain, known.stage_count()));
    Recipe { strategy: Strategy::LpFt, frozen_stages, epochs, ..plain }
}

/// How many items of each split a race may work with to end in about so many seconds: forward and back cost three times as much as
/// forward alone; three racers see each item in the epochs of the first round, two of them in those of the second. In each round every
/// racer's head comes first, which takes a pass forward.
pub fn affordable(answer: &Recommendation, seconds: Option<f64>) -> usize {
    let Some(seconds) = seconds else { return MOST_ITEMS };
    let racers = answer.backbones.iter().filter(|backbone| backbone.place.is_some()).take(RACERS);
    let slowest = racers.filter_map(|backbone| backbone.milliseconds_per_item).fold(0.1, f64::max) / 1e3;
    let passes = f64::from(3 * (FIRST_EPOCHS * RACERS as u32 + 2 * FIRST_EPOCHS * 2) + RACERS as u32 + 2);
    ((seconds.max(0.0) / (slowest * passes)) as usize).clamp(FEWEST_ITEMS, MOST_ITEMS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_items_are_seen_more_often_and_never_without_end() {
        assert_eq!([1, 36, 270, 960, 1_000, 50_000].map(first_epochs), [20, 20, 7, 2, 2, 2]);
    }

    #[test]
    fn racers_learn_what_a_job_that_goes_on_from_its_probe_would() {
        for (architecture, stages) in [("resnet18", 5), ("mobilenetv2_100", 9)] {
            let config = ModelConfig::parse(&format!(r#"{{"architecture": "{architecture}"}}"#)).unwrap();
            let raced = recipe(3, &config, Modality::default());
            raced.check().unwrap();
            let own = strategy::Plan::of(&raced, stages, true, architecture).unwrap();
            assert_eq!(own, strategy::Plan::tuned(&Recipe { epochs: 3, ..Recipe::default() }, stages), "{architecture}");
            assert!(own.probe && own.lowest(stages) == stages - strategy::TOP);
        }
    }
}
