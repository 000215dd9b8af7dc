//! An examination of a whole data set, part by part where it is large: features by a base, and what they say of the labels.

use std::time::Instant;

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use super::{AT_ONCE, Items, examine};
use crate::data::{Sample, Survey};
use crate::domain::examination::{Examination, KEPT, Outlier, Suspect};
use crate::train::embedding::{Embedding, Subject, embed};
use crate::train::error::{Error, Result};
use crate::train::progress::{Control, Event, ProgressReporter};

/// Suspects and outliers that are told at most.
const MOST: usize = 50_000;
/// The share of items that is told as suspect, where no more labels are counted as wrong.
const TOLD: f64 = 0.1;
/// Small pictures among the first suspects.
const PREVIEWS: usize = 24;
const SEED: u64 = 0;

/// An examination with all that is told of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Examined {
    /// The head of it, as it is kept with the data set.
    pub examination: Examination,
    pub suspects: Vec<Suspect>,
    pub outliers: Vec<Outlier>,
}

/// Examines the labels of all items that have a class, whatever split they are in.
///
/// # Errors
/// [`Error::Unsupported`] of targets that are no classes; those of [`embed`].
pub fn examine_dataset(subject: &Subject, survey: &Survey, sink: &mut dyn FnMut(Event) -> Control) -> Result<Examined> {
    let dataset = subject.dataset;
    let mut samples: Vec<Sample> = dataset.samples().iter().filter(|sample| sample.target.class().is_some()).cloned().collect();
    if samples.is_empty() {
        return Err(Error::Unsupported("labels are examined where each item has one class; the items of this data set have not".into()));
    }
    samples.shuffle(&mut ChaCha8Rng::seed_from_u64(SEED));
    let (mut found, mut agreed, mut seconds) = (Examined::default(), 0.0, 0.0);
    // The width is known once something was embedded; a first part of this size is small whatever it is.
    let mut part = 8_192;
    let mut rest = samples.as_slice();
    while !rest.is_empty() {
        let (first, after) = rest.split_at(part.min(rest.len()));
        let features = embed(subject, first, &survey.hashes, sink)?;
        part = (AT_ONCE / features.width.max(1)).max(1_024);
        rest = after;
        let began = Instant::now();
        agreed += judge(subject, survey, first, &features, &mut found, sink)?;
        seconds += began.elapsed().as_secs_f64();
    }
    found.suspects.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.path.cmp(&b.path)));
    found.outliers.sort_by(|a, b| b.times.total_cmp(&a.times).then_with(|| a.path.cmp(&b.path)));
    found.suspects.truncate(MOST);
    found.outliers.truncate(MOST);
    for suspect in found.suspects.iter_mut().take(PREVIEWS) {
        suspect.preview = preview(subject, &suspect.path);
    }
    let examination = &mut found.examination;
    examination.agreement = agreed / examination.items.max(1) as f64;
    examination.outlier_count = found.outliers.len();
    examination.seconds = seconds;
    examination.suspects = found.suspects.iter().take(KEPT).cloned().collect();
    examination.outliers = found.outliers.iter().take(KEPT).cloned().collect();
    Ok(found)
}

/// Adds what is found in one part; how many of its items have the class that a head would give them.
fn judge(
    subject: &Subject,
    survey: &Survey,
    samples: &[Sample],
    features: &Embedding,
    found: &mut Examined,
    sink: &mut dyn FnMut(Event) -> Control,
) -> Result<f64> {
    let dataset = subject.dataset;
    // Those that could not be read are left out, in the order they were asked for.
    let mut ids = features.ids.iter().peekable();
    let read: Vec<&Sample> = samples.iter().filter(|sample| ids.next_if(|id| **id == sample.id).is_some()).collect();
    let labels: Vec<u32> = read.iter().filter_map(|sample| sample.target.class()).collect();
    let groups: Vec<u32> = read.iter().map(|sample| survey.copies.group(sample.id)).collect();
    let items = Items { width: features.width, rows: &features.rows, labels: &labels, groups: &groups, classes: dataset.classes().len() };
    let mut reporter = ProgressReporter::new(sink);
    reporter.stage("examining labels", 0)?;
    let told = examine(&items, SEED, &mut || reporter.tick())?;
    let word = |class: u32| dataset.classes().get(class as usize).cloned().unwrap_or_default();
    let most = told.wrong.max((TOLD * read.len() as f64).ceil() as usize).min(MOST);
    found.suspects.extend(told.judged.iter().take(most).map(|judged| Suspect {
        path: read[judged.item].path.clone(),
        split: read[judged.item].split.to_string(),
        given: word(judged.given),
        suggested: word(judged.suggested),
        score: f64::from(judged.score),
        confident: judged.confident,
        preview: String::new(),
    }));
    found.outliers.extend(told.outliers.iter().take(MOST).map(|(item, times)| Outlier {
        path: read[*item].path.clone(),
        class: word(labels[*item]),
        times: f64::from(*times),
    }));
    found.examination.items += read.len();
    found.examination.wrong += told.wrong;
    Ok(told.agreement * read.len() as f64)
}

/// A small picture as an address that holds it; nothing where there is none.
fn preview(subject: &Subject, path: &str) -> String {
    use base64::Engine as _;
    let dataset = subject.dataset;
    let Some(bytes) = dataset.find(path).and_then(|sample| dataset.encoded(sample)).ok() else { return String::new() };
    let Some(picture) = dataset.modality.inspect(&bytes, dataset.limits(), true).ok().and_then(|seen| seen.preview) else {
        return String::new();
    };
    format!("data:{};base64,{}", picture.media_type, base64::engine::general_purpose::STANDARD.encode(picture.bytes))
}
