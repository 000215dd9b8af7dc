//! Pseudo-labels: a run without the items that have no target answers about them, and where it is sure a second run learns its
//! answers beside the targets (Lee 2013). The better of both by the validation items is published.

use serde::{Deserialize, Serialize};

use super::beside;
use crate::data::{Dataset, Sample, Target};
use crate::domain::job_event::Level;
use crate::domain::recipe::{Recipe, Unlabelled};
use crate::train::error::{Error, Result};
use crate::train::fit::once;
use crate::train::progress::{Control, Event};
use crate::train::report::Report;
use crate::train::{Predictor, Training};

/// Items answered about at a time.
const AT_ONCE: usize = 32;

/// How the items without a target served.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Taught {
    /// Items without a target.
    pub items: usize,
    /// Of them, those that were answered surely enough to be learned from.
    pub learned: usize,
    /// The task's first measure on the validation items, without and with them.
    pub without: f64,
    pub with: f64,
    /// Whether what was learned with them is published.
    pub published: bool,
}

pub fn teach(training: &Training, sink: &mut dyn FnMut(Event) -> Control) -> Result<Report> {
    let (recipe, dataset) = (training.recipe, training.dataset);
    let items = dataset.unlabelled().len();
    if items == 0 {
        let what = "there is no folder `unlabeled` with items to learn from; add one, or set unlabelled to ignore";
        return Err(Error::NothingToLearn(what.into()));
    }
    let mut say = |level, message: String| match sink(Event::Log { level, message }) {
        Control::Continue => Ok(()),
        Control::Stop => Err(Error::Cancelled),
    };
    say(Level::Info, format!("first without the {items} {} that have no class", recipe.modality.items()))?;
    let teacher = beside(training, &Recipe { unlabelled: Unlabelled::Ignore, draws: 1, ..recipe.clone() }, "teacher", sink)?;
    let answers = answers(training, &teacher, recipe.confidence)?;
    let learned = answers.len();
    let mut say = |level, message: String| match sink(Event::Log { level, message }) {
        Control::Continue => Ok(()),
        Control::Stop => Err(Error::Cancelled),
    };
    say(
        Level::Info,
        format!(
            "{learned} of {items} {} without a class were answered with {} or more and are learned from",
            recipe.modality.items(),
            recipe.confidence
        ),
    )?;
    let without = teacher.outcome.validation.primary();
    let told = |with: f64, published: bool| Some(Taught { items, learned, without, with, published });
    if learned == 0 {
        let mut report = Report { recipe: recipe.clone(), ..teacher };
        report.rounds.taught = told(without, false);
        return Ok(report);
    }
    let taught = std::sync::Arc::new(dataset.taught(answers));
    let student = once(&Training { dataset: &taught, ..*training }, sink)?;
    let with = student.outcome.validation.primary();
    let rises = student.outcome.task().primary().rises;
    let better = if rises { with >= without } else { with <= without };
    let mut report = if better { student } else { Report { recipe: recipe.clone(), ..teacher } };
    report.rounds.taught = told(with, better);
    Ok(report)
}

/// The teacher's answers that it is sure enough of, by the ids of their items.
fn answers(training: &Training, teacher: &Report, confidence: f64) -> Result<Vec<(u32, Target)>> {
    let path = training.scratch.join("teacher").join("model.safetensors");
    teacher.weights.save(&path, &[])?;
    let predictor = Predictor::open(&teacher.config, &path, training.device)?.with(training.beside)?;
    let mut found = Vec::new();
    for chunk in training.dataset.unlabelled().chunks(AT_ONCE) {
        let items = chunk.iter().map(|sample| training.dataset.encoded(sample)).collect::<std::result::Result<Vec<_>, _>>()?;
        // What cannot be read teaches nothing.
        for (sample, answer) in chunk.iter().zip(predictor.predict_batch(&items, 1)?) {
            let first = answer.ok().and_then(|answer| answer.classes().first().cloned());
            if let Some(class) = first.filter(|class| f64::from(class.probability) >= confidence) {
                found.extend(target(training.dataset, sample, &class.label));
            }
        }
    }
    Ok(found)
}

fn target(dataset: &Dataset, sample: &Sample, label: &str) -> Option<(u32, Target)> {
    let class = dataset.classes().iter().position(|class| class == label)?;
    Some((sample.id, Target::Class(class as u32)))
}
