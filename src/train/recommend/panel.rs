//! Several backbones before one data set: each is timed and scored on the same items, with its own preprocessing, and they are put in
//! an order. One that cannot be run is a row with its reason.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::distances::{self, Distances};
use super::rank::{Measure, order, standings};
use super::sample::{Drawn, draw, truth};
use super::{Scores, ahead, cost, score};
use crate::data::{Dataset, Sample};
use crate::domain::config::ModelConfig;
use crate::domain::recommendation::{self as answer, Backbone, Known, MOST_ITEMS, Recommendation};
use crate::domain::task::Task;
use crate::nn::device;
use crate::train::error::{Error, Result};
use crate::train::{Control, Device, Event, Keep, Subject, embed};

/// Items of the first round where time is bounded; each further round has four times as many.
const FIRST_ITEMS: usize = 64;
const GROWTH: usize = 4;
/// A weak word for size, where nothing better is known.
const PARAMETERS_WEIGHT: f64 = 0.25;
/// Models on the very data set say as much as the three scores of features together, by judgement: they are what the scores foretell.
const EVIDENCE_WEIGHT: f64 = 3.0;
/// One number instead of three scores, and the very one that a run of the task is judged by.
const AUROC_WEIGHT: f64 = 3.0;
/// Of 95 of 100 such samples, the difference of a pair lies within so many standard errors.
const APART: f64 = 1.96;

/// Of a data set for anomalies that has none to choose by: those of the test split are there to measure on.
const NOTHING_MEASURED: &str = "nothing was measured: outside of the test split there are no anomalies to tell from good items, so the \
                                order is by what is known of the backbones before; publish the data set with some anomalies in a validation \
                                split, or try two or three bases and hold their AUROC against each other with `hub compare`";

/// A backbone to be tried.
pub struct Candidate {
    pub known: Known,
    /// Or why they are not there.
    pub files: std::result::Result<Files, String>,
}

/// A backbone's `config.json`, its `model.safetensors`, and files by which its items are read, each by its name.
pub struct Files {
    pub config: ModelConfig,
    pub weights: PathBuf,
    pub beside: Vec<(&'static str, PathBuf)>,
}

/// What backbones are tried on, and with.
#[derive(Clone, Copy)]
pub struct Panel<'a> {
    pub dataset: &'a Arc<Dataset>,
    /// `namespace/name@version`.
    pub name: &'a str,
    pub device: &'a Device,
    pub scratch: &'a Path,
    pub keep: Keep<'a>,
    /// How long the features may take, if that is bounded.
    pub seconds: Option<f64>,
}

/// What a round tells of a backbone.
enum Found {
    Scores(Scores),
    /// Of a data set for anomalies.
    Distances(Distances),
}

impl Found {
    fn scores(&self) -> Option<&Scores> {
        if let Found::Scores(scores) = self { Some(scores) } else { None }
    }

    fn auroc(&self) -> Option<f64> {
        if let Found::Distances(distances) = self { distances.auroc() } else { None }
    }

    /// By how much it is ahead of another on the same items, and the standard error of that.
    fn ahead(&self, other: &Found) -> (f64, f64) {
        match (self, other) {
            (Found::Scores(own), Found::Scores(other)) => ahead(&own.merits, &other.merits),
            (Found::Distances(own), Found::Distances(other)) => own.ahead(other),
            _ => (0.0, 0.0),
        }
    }
}

/// A backbone's row in the making.
struct Trial {
    cost: Option<cost::Cost>,
    /// What the last round it was in told, or why there is nothing.
    found: std::result::Result<Option<Found>, String>,
}

/// Tries all candidates, in their order, and answers with the order of their places.
///
/// # Errors
/// [`Error::NothingToLearn`] where the data set gives nothing to choose by, those of reading it, [`Error::NoRoom`] and
/// [`Error::Cancelled`]. What is wrong with a candidate is in its row.
pub fn recommend(panel: &Panel, candidates: &[Candidate], sink: &mut dyn FnMut(Event) -> Control) -> Result<Recommendation> {
    let began = Instant::now();
    let drawn = draw(panel.dataset, MOST_ITEMS)?;
    let mut trials = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let cost = match &candidate.files {
            Ok(files) => of_candidate(cost::measure(panel, files))?,
            Err(why) => Err(why.clone()),
        };
        trials.push(match cost {
            Ok(cost) => Trial { cost: Some(cost), found: Ok(None) },
            Err(why) => Trial { cost: None, found: Err(why) },
        });
    }
    let (items, notes) = rounds(panel, candidates, &drawn, (&mut trials, began), sink)?;
    let task = panel.dataset.targets.task();
    let mut notes = notes;
    notes.extend(counted(&trials));
    let backbones = placed(candidates, trials, task);
    notes.extend(told(&backbones));
    Ok(Recommendation {
        dataset: panel.name.to_owned(),
        task: panel.dataset.targets.task(),
        items,
        of_items: drawn.of_items,
        seconds: began.elapsed().as_secs_f64(),
        device: device::describe(panel.device),
        notes,
        backbones,
        race: Vec::new(),
    })
}

/// Scores all on more and more items while there is time; the number of items of the last whole round, and what is to be said about it.
fn rounds(
    panel: &Panel,
    candidates: &[Candidate],
    drawn: &Drawn,
    (trials, began): (&mut Vec<Trial>, Instant),
    sink: &mut dyn FnMut(Event) -> Control,
) -> Result<(usize, Vec<String>)> {
    let all = drawn.samples.len();
    let mut items = if panel.seconds.is_some() { FIRST_ITEMS.max(2 * panel.dataset.classes().len()).min(all) } else { all };
    let (mut done, mut notes) = (0, Vec::new());
    loop {
        let round_began = Instant::now();
        let Some(scores) = round(panel, candidates, (drawn, items), (trials, began, done == 0), sink)? else { break };
        trials.iter_mut().zip(scores).for_each(|(trial, found)| {
            if let Some(found) = found {
                trial.found = found.map(Some);
            }
        });
        done = items;
        let next = (items * GROWTH).min(all);
        let foreseen = round_began.elapsed().as_secs_f64() * (next - items) as f64 / items as f64;
        if items == all || panel.seconds.is_some_and(|allowed| began.elapsed().as_secs_f64() + foreseen > allowed) {
            break;
        }
        items = next;
    }
    if done < all {
        let allowed = panel.seconds.unwrap_or_default();
        notes.push(format!(
            "{done} of {all} items were looked at in the {allowed:.0} seconds allowed; more time makes the order more certain"
        ));
    }
    Ok((done, notes))
}

type RoundScores = Vec<Option<std::result::Result<Found, String>>>;

/// Scores all on so many items; `None` where time is up before the end of a round that is not the first.
fn round(
    panel: &Panel,
    candidates: &[Candidate],
    (drawn, items): (&Drawn, usize),
    (trials, began, first): (&[Trial], Instant, bool),
    sink: &mut dyn FnMut(Event) -> Control,
) -> Result<Option<RoundScores>> {
    let mut scores = Vec::with_capacity(candidates.len());
    let mut tried = 0;
    for (at, (candidate, trial)) in candidates.iter().zip(trials).enumerate() {
        let (Ok(files), Ok(_)) = (&candidate.files, &trial.found) else {
            scores.push(None);
            continue;
        };
        if panel.seconds.is_some_and(|allowed| began.elapsed().as_secs_f64() > allowed) && tried > 0 {
            if !first {
                return Ok(None);
            }
            scores.push(Some(Err("not tried: the time allowed was used up before; allow more seconds or fewer backbones".into())));
            continue;
        }
        tried += 1;
        let stage = format!("features of {} ({} of {})", candidate.known.model, at + 1, candidates.len());
        let mut named = |event: Event| match event {
            Event::Progress(progress) => sink(Event::Progress(crate::domain::job_event::Progress { stage: stage.clone(), ..progress })),
            Event::Log { .. } => Control::Continue,
            other => sink(other),
        };
        scores.push(Some(of_candidate(score_one(panel, files, (&drawn.samples[..items], &drawn.hashes), &mut named))?));
    }
    Ok(Some(scores))
}

fn score_one(
    panel: &Panel,
    files: &Files,
    (samples, hashes): (&[Sample], &[[u8; 32]]),
    sink: &mut dyn FnMut(Event) -> Control,
) -> Result<Found> {
    let Panel { dataset, device, scratch, keep, .. } = *panel;
    let Files { config, weights, beside } = files;
    let subject = Subject { config, weights, beside, dataset, device, scratch, keep };
    let features = embed(&subject, samples, hashes, sink)?;
    if features.rows.iter().any(|value| !value.is_finite()) {
        return Err(Error::Unsupported(
            "its features of these items are not finite numbers; its weights are damaged or not those of its config.json".into(),
        ));
    }
    let by_id: BTreeMap<u32, &Sample> = samples.iter().map(|sample| (sample.id, sample)).collect();
    let read: Vec<&Sample> = features.ids.iter().filter_map(|id| by_id.get(id).copied()).collect();
    if read.len() < 4 {
        return Err(Error::NothingToLearn("fewer than four items of the sample can be read; check that they open in a viewer".into()));
    }
    if dataset.targets.task().about().good_only {
        return distances::measure(&features.rows, features.width, &read).map(Found::Distances);
    }
    score(&features.rows, features.width, &truth(&read, &dataset.targets)).map(Found::Scores)
}

/// What is wrong with a backbone is told in its row; what is wrong with all ends the work.
pub(super) fn of_candidate<T>(result: Result<T>) -> Result<std::result::Result<T, String>> {
    match result {
        Ok(found) => Ok(Ok(found)),
        Err(error) if error.is_disk_full() => Err(error),
        Err(error @ (Error::Cancelled | Error::Data(_) | Error::NothingToLearn(_))) => Err(error),
        Err(error) => Ok(Err(error.to_string())),
    }
}

/// Rows in the order of their places; those without scores last.
fn placed(candidates: &[Candidate], trials: Vec<Trial>, task: Task) -> Vec<Backbone> {
    let (scored, others): (Vec<_>, Vec<_>) = candidates.iter().zip(&trials).partition(|(_, trial)| matches!(trial.found, Ok(Some(_))));
    let found: Vec<&Found> = scored.iter().filter_map(|(_, trial)| trial.found.as_ref().ok()?.as_ref()).collect();
    let of = |value: &dyn Fn(usize) -> Option<f64>| (0..found.len()).map(value).collect::<Vec<_>>();
    let known = |at: usize| &scored[at].0.known;
    // The ranks take more for better.
    let reached = |evidence: &answer::Evidence| if task.primary().rises { evidence.value } else { -evidence.value };
    let measures = [
        Measure { weight: EVIDENCE_WEIGHT, values: of(&|at| known(at).evidence.as_ref().map(reached)) },
        Measure { weight: AUROC_WEIGHT, values: of(&|at| found[at].auroc()) },
        Measure { weight: 1.0, values: of(&|at| Some(found[at].scores()?.ridge)) },
        Measure { weight: 1.0, values: of(&|at| Some(found[at].scores()?.knn)) },
        Measure { weight: 1.0, values: of(&|at| Some(found[at].scores()?.logme)) },
        Measure { weight: 1.0, values: of(&|at| known(at).accuracy.map(|accuracy| accuracy.top1)) },
        Measure { weight: PARAMETERS_WEIGHT, values: of(&|at| Some((known(at).parameters.max(1) as f64).ln())) },
    ];
    let standing = standings(&measures, found.len());
    let order = order(&standing);
    let row = |(place, at): (usize, &usize)| {
        let (own, stands) = (found[*at], standing[*at]);
        let (behind, behind_error) = order.first().map_or((0.0, 0.0), |first| found[*first].ahead(own));
        Backbone {
            place: Some(place + 1),
            scores: own.scores().map(|scores| answer::Scores { logme: scores.logme, knn: scores.knn, ridge: scores.ridge }),
            auroc: own.auroc(),
            standing: Some(answer::Standing {
                mean_rank: stands.rank,
                z: stands.z,
                spread: stands.spread,
                behind,
                behind_error,
                tied: place > 0 && behind <= APART * behind_error,
            }),
            ..bare(scored[*at].0, scored[*at].1)
        }
    };
    order.iter().enumerate().map(row).chain(others.iter().map(|(candidate, trial)| bare(candidate, trial))).collect()
}

/// Of anomalies, what the distances were measured by, or that nothing was.
fn counted(trials: &[Trial]) -> Option<String> {
    let of = |trial: &Trial| match trial.found.as_ref().ok()?.as_ref()? {
        Found::Distances(distances) => Some(distances.counts()),
        Found::Scores(_) => None,
    };
    let (anomalies, good) = trials.iter().find_map(of)?;
    Some(match (anomalies, good) {
        (0, _) | (_, 0) => NOTHING_MEASURED.to_owned(),
        _ => format!("distances to good items were measured by {anomalies} anomalies and {good} good items; none of the test split"),
    })
}

/// That models on this very data set have a say in the order, if they have.
fn told(backbones: &[Backbone]) -> Option<String> {
    let known: Vec<String> = backbones
        .iter()
        .filter(|backbone| backbone.place.is_some())
        .filter_map(|backbone| Some((&backbone.known, backbone.known.evidence.as_ref()?)))
        .map(|(known, evidence)| {
            let by = if evidence.measured { "measured here" } else { "by its fine-tune" };
            format!("{:.3} by {} of {} ({by}, {})", evidence.value, evidence.model, known.model, evidence.split)
        })
        .collect();
    match known.len() {
        0 => None,
        1 => Some(format!("one of them has been on this data set before, which says nothing beside others: {}", known[0])),
        _ => Some(format!("what was reached on this data set before counts in the order: {}", known.join("; "))),
    }
}

fn bare(candidate: &Candidate, trial: &Trial) -> Backbone {
    Backbone {
        known: candidate.known.clone(),
        place: None,
        reason: trial.found.as_ref().err().cloned(),
        gmacs: trial.cost.as_ref().map(|cost| cost.multiply_adds / 1e9),
        milliseconds_per_item: trial.cost.as_ref().map(|cost| cost.seconds * 1e3),
        scores: None,
        auroc: None,
        standing: None,
    }
}
