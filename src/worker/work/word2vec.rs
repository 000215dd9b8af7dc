//! A training of Word2Vec on the text of a data set: counts it, trains, and writes the folder that is to be published.
//!
//! What another attempt needs to go on is the checkpoint that the worker keeps: both matrices and how far it is. The corpus is counted again,
//! which gives the same words in the same order.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use super::{Kind, LARGEST_PAPER, Leaves, Sink, find};
use crate::domain::job_event::{Level, Progress as Told};
use crate::domain::word2vec::Settings;
use crate::domain::work::{BASE, DATASET, TrainWord2vec};
use crate::train::{Control, Event, checkpoint};
use crate::vectors::folder::{self, About};
use crate::vectors::train::{GoOn, PLAN_FILE, Progress, Request, STATE_FILE, Trained, train};
use crate::vectors::{Dtype, Error as Refusal, Files, VOCABULARY_FILE, WEIGHTS_FILE};
use crate::worker::order::Order;
use crate::worker::{Error, Result};

const PAPERS: [&str; 2] = ["README.md", "config.json"];
/// The most that a file of the result may have: as many words as a model may have of usual widths.
const LARGEST_VECTORS: u64 = 256 << 30;
/// Files of a data set that are about it.
const ABOUT_IT: [&str; 3] = ["README.md", ".gitattributes", ".gitignore"];

impl Kind for TrainWord2vec {
    fn run(&self, order: &Order, sink: Sink<'_>) -> Result<Value> {
        // What an attempt before has left here is not asked: its checkpoint is with the job.
        [PLAN_FILE, STATE_FILE].iter().for_each(|name| drop(std::fs::remove_file(order.scratch.join(name))));
        let texts = order.given(DATASET)?.iter().filter(|(path, _)| !ABOUT_IT.contains(&path.as_str()));
        let request = Request {
            corpus: texts.map(|(_, file)| file.clone()).collect(),
            settings: self.settings.clone(),
            from: self.from.as_ref().map(|_| base(order)).transpose()?,
            resume: order.resume.clone(),
            threads: if self.threads == 0 { order.threads.max(1) } else { self.threads },
            work: order.scratch.clone(),
            dtype: Dtype::parse(&self.dtype).unwrap_or_default(),
        };
        let mut teller = Teller::new(&self.settings, order, sink);
        let mut trained = None;
        let built = folder::build(&order.result, &self.about(), |folder| {
            let done = train(&request, folder, &mut |progress| teller.tell(progress))?;
            let stored = done.stored.clone();
            trained = Some(done);
            Ok(stored)
        });
        let stopped = teller.stopped;
        if let Err(error) = built {
            return Err(if stopped { Error::Cancelled } else { failed(error, order.resume.as_deref()) });
        }
        let trained = trained.ok_or_else(|| Error::Never("the training made nothing: please report it".into()))?;
        for note in trained.notes.iter().chain(&trained.stored.notes) {
            teller.log(Level::Warn, shown_note(note));
        }
        Ok(headline(&trained))
    }

    fn publishes(&self, _order: &Order) -> Vec<Leaves> {
        let papers = PAPERS.iter().map(|name| Leaves::always(name, LARGEST_PAPER));
        papers.chain([WEIGHTS_FILE, VOCABULARY_FILE].iter().map(|name| Leaves::always(name, LARGEST_VECTORS))).collect()
    }
}

impl TrainWord2vec {
    fn about(&self) -> About {
        let Settings { architecture, window, negative, epochs, seed, .. } = &self.settings;
        let rate = self.settings.rate();
        let corpus = format!("{}@{}", self.dataset, self.dataset_version);
        let rows = [
            ("trained by", "a job of this hub".to_owned()),
            ("corpus", corpus.clone()),
            ("model", format!("{}, window {window}, {negative} negative samples", architecture.as_str())),
            ("epochs", format!("{epochs}, learning rate from {rate}, seed {seed}")),
        ];
        About {
            title: Some(self.name.name().to_string()),
            license: self.license.clone(),
            datasets: vec![corpus],
            base_model: self.from.iter().map(|(id, version)| format!("{id}@{version}")).collect(),
            description: None,
            provenance: rows.map(|(key, value)| (key.to_owned(), value)).to_vec(),
        }
    }
}

/// The vectors to go on from.
fn base(order: &Order) -> Result<Files> {
    let files = order.given(BASE)?;
    Ok(Files { config: find(files, PAPERS[1])?, vocabulary: find(files, VOCABULARY_FILE)?, weights: find(files, WEIGHTS_FILE)? })
}

fn headline(trained: &Trained) -> Value {
    json!({
        "words": trained.stored.words, "width": trained.stored.width, "corpus_words": trained.corpus_words, "known_words": trained.known_words,
        "taken_over": trained.taken_over.0, "words_per_second": trained.words_per_second.round(),
    })
}

/// A note names files of the corpus by where they lie on this machine, which is nobody's business.
fn shown_note(note: &str) -> String {
    note.split("; the first: ").next().unwrap_or_default().to_owned()
}

/// What the training refuses, by what the worker does next.
fn failed(error: Refusal, resume: Option<&Path>) -> Error {
    match error {
        // Of another release, or not whole: from the beginning, then.
        Refusal::Corrupt { path, problem, .. } if resume.is_some_and(|resume| resume == path) => {
            Error::Checkpoint(format!("the checkpoint cannot be used: {problem}"))
        }
        Refusal::Io { path, source } => Error::Io { path, source },
        Refusal::Corrupt { offset, problem, .. } => Error::Never(format!("the vectors to go on from: at byte {offset}: {problem}")),
        Refusal::Unsupported { problem, .. } => Error::Never(problem),
        other => Error::Never(other.to_string()),
    }
}

/// Turns the training's reports into a job's events.
struct Teller<'a, 'b> {
    settings: &'a Settings,
    sink: Sink<'b>,
    /// Where a run writes its state, and where the worker takes it from.
    state: PathBuf,
    checkpoint: PathBuf,
    epoch: usize,
    began: Option<(Instant, u64)>,
    stopped: bool,
}

impl<'a, 'b> Teller<'a, 'b> {
    fn new(settings: &'a Settings, order: &Order, sink: Sink<'b>) -> Teller<'a, 'b> {
        let (state, checkpoint) = (order.scratch.join(STATE_FILE), order.scratch.join(checkpoint::FILE_NAME));
        Teller { settings, sink, state, checkpoint, epoch: 0, began: None, stopped: false }
    }

    fn send(&mut self, event: Event) -> GoOn {
        if (self.sink)(event) == Control::Stop {
            self.stopped = true;
        }
        if self.stopped { GoOn::No } else { GoOn::Yes }
    }

    fn log(&mut self, level: Level, message: String) {
        self.send(Event::Log { level, message });
    }

    fn tell(&mut self, progress: Progress) -> GoOn {
        let event = match progress {
            Progress::Counting { words, .. } => {
                let stage = format!("counting the corpus: {words} words");
                Event::Progress(Told { stage, step: 0, total_steps: 0, samples_per_second: 0.0, eta_seconds: 0.0 })
            }
            Progress::Training { words, total, epoch, loss, words_per_second } => {
                if epoch > self.epoch {
                    let (done, of) = (epoch, self.settings.epochs);
                    self.log(Level::Info, format!("epoch {done} of {of} is done: loss {loss:.4}, {words_per_second:.0} words/s"));
                    self.epoch = epoch;
                }
                let (began, before) = *self.began.get_or_insert_with(|| (Instant::now(), words));
                let pace = words.saturating_sub(before) as f64 / began.elapsed().as_secs_f64().max(1e-3);
                let eta_seconds = if pace > 0.0 { total.saturating_sub(words) as f64 / pace } else { 0.0 };
                let stage = format!("epoch {} of {}", epoch + 1, self.settings.epochs);
                Event::Progress(Told { stage, step: words, total_steps: total, samples_per_second: words_per_second, eta_seconds })
            }
            Progress::Checkpoint => {
                // The run holds it in memory; the worker wants a file of one name only. Both lie in one folder: a confined process moves
                // nothing from one to another.
                if std::fs::rename(&self.state, &self.checkpoint).is_err() {
                    return GoOn::Yes;
                }
                Event::Checkpoint { path: self.checkpoint.clone(), epoch: self.epoch as u32 }
            }
        };
        self.send(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_without_this_machines_places() {
        let at = PathBuf::from("/data/blobs/ab/cd");
        let corrupt = || Refusal::Corrupt { path: at.clone(), offset: 8, problem: "it is short".into() };
        assert!(matches!(failed(corrupt(), Some(&at)), Error::Checkpoint(_)), "a checkpoint that is no good is left aside");
        for resume in [None, Some(Path::new("/other"))] {
            let Error::Never(said) = failed(corrupt(), resume) else { panic!("another end") };
            assert!(said.contains("at byte 8: it is short") && !said.contains("/data"), "{said}");
        }
        let note = shown_note("3 lines are no UTF-8; the first: /data/blobs/ab/cd, at byte 7");
        assert_eq!(note, "3 lines are no UTF-8");
    }
}
