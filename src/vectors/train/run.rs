//! A training from its corpus to its model folder.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::json;

use super::checkpoint::{self, Plan, Position};
use super::kernel::{Shared, Tables, Worker};
use super::prepare::{self, Ids, WORDS_FILE};
use super::sampling::{self, Alias, Random};
use super::weights::Weights;
use super::{Corpus, GoOn, Progress, Settings, Trained};
use crate::vectors::Dtype;
use crate::vectors::error::{Error, Result};
use crate::vectors::model::{Files, WordVectors};
use crate::vectors::store::Store;
use crate::vectors::vocabulary::Vocabulary;

/// Between two reports.
const REPORT: Duration = Duration::from_millis(250);
/// Between two looks at whether the threads are done.
const POLL: Duration = Duration::from_millis(10);
/// Least time between two checkpoints; where writing one takes longer than a thirtieth of that, so much more.
const CHECKPOINT: Duration = Duration::from_secs(120);

/// What is to be trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub corpus: Vec<PathBuf>,
    pub settings: Settings,
    /// A model whose words and vectors are the beginning.
    pub from: Option<Files>,
    pub threads: usize,
    /// How far a run of the same settings, corpus and beginning was elsewhere: the file that it wrote into its working folder. Used where the
    /// working folder here knows of nothing.
    pub resume: Option<PathBuf>,
    /// Where the run keeps what it needs to go on; made where it is not there, and the caller's to remove.
    pub work: PathBuf,
    pub dtype: Dtype,
}

/// Trains, or goes on with, what `request` says, and writes the model into `out`, an existing folder.
///
/// # Errors
/// [`Error::Invalid`] for settings that cannot be, for a working folder of another training, and where `report` asked to end: the working
/// folder then holds what the same call needs to go on.
pub fn train(request: &Request, out: &Path, report: &mut dyn FnMut(Progress) -> GoOn) -> Result<Trained> {
    request.settings.check()?;
    let settings = &request.settings;
    std::fs::create_dir_all(&request.work).map_err(Error::io(&request.work))?;
    let from = request.from.as_ref().map(WordVectors::open_files).transpose()?;
    if let Some(from) = from.as_ref().filter(|from| from.width() != settings.width) {
        return Err(Error::invalid("width", format!("the vectors it goes on from are {} wide", from.width())));
    }
    let plan = planned(request, from.as_ref(), report)?;
    let vocabulary = Vocabulary::open(&request.work.join(WORDS_FILE))?;
    let ids = Ids::open(&request.work, plan.counted.corpus_vocabulary)?;
    let mut input = Weights::zeros(vocabulary.len(), settings.width);
    let mut output = Weights::zeros(plan.counted.corpus_vocabulary, settings.width);
    let taken_over = begin(settings, &vocabulary, &plan, from.as_ref(), &mut input)?;
    let states = [Some(checkpoint::state_file(&request.work)), request.resume.clone()].into_iter().flatten();
    let position = match states.into_iter().find(|state| state.exists()) {
        Some(state) => checkpoint::load(&state, &mut input, &mut output)?,
        None => Position::default(),
    };
    let run = Run { request, plan: &plan, ids: &ids, vocabulary: &vocabulary };
    let speed = run.all(position, &mut input, &mut output, report)?;
    let stored = run.store(&mut input, out)?;
    let counted = &plan.counted;
    Ok(Trained {
        stored,
        corpus_words: counted.corpus_words,
        known_words: counted.known_words,
        taken_over,
        words_per_second: speed,
        notes: counted.notes.clone(),
    })
}

/// The plan of the working folder, which must be this one, or a new one.
fn planned(request: &Request, from: Option<&WordVectors>, report: &mut dyn FnMut(Progress) -> GoOn) -> Result<Plan> {
    let corpus = Corpus::of(&request.corpus)?;
    let described = corpus.describe()?;
    let named = request.from.as_ref().map(|files| files.weights.display().to_string());
    if let Some(plan) = Plan::read(&request.work)? {
        let is_same = plan.settings == request.settings && plan.corpus == described && plan.from == named;
        let problem = || format!("{} holds a run with other settings or another corpus; remove it to begin anew", request.work.display());
        return if is_same { Ok(plan) } else { Err(Error::invalid("training", problem())) };
    }
    let counted = prepare::prepare(&corpus, &request.settings, from.map(|from| &from.vocabulary), &request.work, report)?;
    let plan = Plan { settings: request.settings.clone(), corpus: described, from: named, counted };
    plan.write(&request.work)?;
    Ok(plan)
}

/// The vectors before the first step: small random ones, and those that are taken over. Answers how many words were taken over, and
/// how many of them the corpus has.
fn begin(
    settings: &Settings,
    vocabulary: &Vocabulary,
    plan: &Plan,
    from: Option<&WordVectors>,
    input: &mut Weights,
) -> Result<(usize, usize)> {
    let mut random = Random::of(settings.seed, usize::MAX, 0);
    let (mut taken_over, mut in_corpus) = (0, 0);
    for row in 0..vocabulary.len() {
        let values = input.get(row);
        // From -1 to 1 divided by the width, as gensim begins.
        values.iter_mut().for_each(|value| *value = ((random.next() >> 40) as f32 / (1u32 << 23) as f32 - 1.0) / settings.width as f32);
        if let Some(from) = from
            && let Some(of) = from.vocabulary.find(vocabulary.word(row)?)
        {
            from.vectors.read(of, values);
            taken_over += 1;
            in_corpus += usize::from(row < plan.counted.corpus_vocabulary);
        }
    }
    Ok((taken_over, in_corpus))
}

struct Run<'a> {
    request: &'a Request,
    plan: &'a Plan,
    ids: &'a Ids,
    vocabulary: &'a Vocabulary,
}

/// What threads of a stretch share: the next batch, words, the loss of lately, and whether to end.
struct Stretch {
    next: AtomicUsize,
    words: AtomicU64,
    is_over: AtomicBool,
    losses: Mutex<(f64, u64)>,
    /// Which batch is the first of the epoch, the second ...
    order: Vec<u32>,
}

impl Run<'_> {
    fn total(&self) -> u64 {
        self.plan.counted.known_words * self.request.settings.epochs as u64
    }

    /// All epochs from `position` on; answers words per second.
    fn all(
        &self,
        mut position: Position,
        input: &mut Weights,
        output: &mut Weights,
        report: &mut dyn FnMut(Progress) -> GoOn,
    ) -> Result<f64> {
        let settings = &self.request.settings;
        let counts: Vec<u64> = (0..output.rows).map(|row| self.vocabulary.count(row).unwrap_or(0)).collect();
        let weights: Vec<f64> = counts.iter().map(|count| (*count as f64).powf(settings.ns_exponent)).collect();
        let (negatives, keep, tables) = (Alias::of(&weights), keep(&counts, settings.sample), Tables::new());
        let (began, before) = (Instant::now(), position.words);
        let mut due = began + CHECKPOINT;
        while position.epoch < settings.epochs {
            let shared = Shared { settings, input: &*input, output: &*output, negatives: &negatives, keep: &keep, tables: &tables };
            let goes_on = self.stretch(&shared, &mut position, due, report);
            if position.batch == self.ids.batches() {
                position = Position { epoch: position.epoch + 1, batch: 0, words: position.words };
            }
            let is_last = position.epoch == settings.epochs;
            if goes_on == GoOn::No || !is_last && Instant::now() > due {
                let writing = Instant::now();
                checkpoint::save(&self.request.work, position, input, output)?;
                due = Instant::now() + CHECKPOINT.max(30 * writing.elapsed());
                report(Progress::Checkpoint);
            }
            if goes_on == GoOn::No && !is_last {
                return Err(Error::invalid("training", "it was ended; the same command goes on from where it is"));
            }
        }
        Ok((position.words - before) as f64 / began.elapsed().as_secs_f64().max(1e-9))
    }

    /// Some batches of an epoch on all threads: to its end, or until a checkpoint is due.
    fn stretch(&self, shared: &Shared, position: &mut Position, due: Instant, report: &mut dyn FnMut(Progress) -> GoOn) -> GoOn {
        let (began, epoch, before) = (Instant::now(), position.epoch, position.words);
        let state = Stretch {
            next: AtomicUsize::new(position.batch),
            words: AtomicU64::new(before),
            is_over: AtomicBool::new(false),
            losses: Mutex::new((0.0, 0)),
            order: sampling::order(self.request.settings.seed, epoch, self.ids.batches()),
        };
        let mut goes_on = GoOn::Yes;
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.request.threads.max(1)).map(|_| scope.spawn(|| self.work(shared, epoch, &state))).collect();
            let mut told = None::<Instant>;
            while !threads.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                if told.is_none_or(|told| told.elapsed() >= REPORT) {
                    goes_on = self.tell(&state, epoch, began, before, report);
                    told = Some(Instant::now());
                }
                if goes_on == GoOn::No || Instant::now() > due {
                    state.is_over.store(true, Ordering::Relaxed);
                }
                std::thread::sleep(POLL);
            }
        });
        position.batch = state.next.load(Ordering::Relaxed).min(self.ids.batches());
        position.words = state.words.load(Ordering::Relaxed);
        goes_on
    }

    fn tell(&self, state: &Stretch, epoch: usize, began: Instant, before: u64, report: &mut dyn FnMut(Progress) -> GoOn) -> GoOn {
        let words = state.words.load(Ordering::Relaxed);
        // What was before counts half as much with each report.
        let (loss, predictions) = {
            let mut losses = state.losses.lock();
            let sum = *losses;
            *losses = (sum.0 / 2.0, sum.1 / 2);
            sum
        };
        let words_per_second = (words - before) as f64 / began.elapsed().as_secs_f64().max(1e-9);
        let loss = loss / predictions.max(1) as f64;
        report(Progress::Training { words, total: self.total(), epoch, loss, words_per_second })
    }

    /// One thread: batch after batch until there is none or the stretch is over, one at least. A batch that was taken is finished.
    fn work(&self, shared: &Shared, epoch: usize, state: &Stretch) {
        let (mut worker, mut batch) = (Worker::new(shared.input.padded()), Vec::new());
        let settings = shared.settings;
        loop {
            let taken =
                state.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| (next < self.ids.batches()).then_some(next + 1));
            let Ok(index) = taken.map(|place| state.order[place] as usize) else { return };
            self.ids.batch(index, &mut batch);
            let done = state.words.load(Ordering::Relaxed) as f32 / self.total().max(1) as f32;
            let rate = (settings.rate() - (settings.rate() - settings.min_rate) * done).max(settings.min_rate);
            worker.train(shared, &batch, rate, Random::of(settings.seed, epoch, index));
            let words = batch.iter().filter(|id| **id != prepare::END).count();
            state.words.fetch_add(words as u64, Ordering::Relaxed);
            let mut losses = state.losses.lock();
            losses.0 += std::mem::take(&mut worker.loss);
            losses.1 += std::mem::take(&mut worker.predictions);
            if state.is_over.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// The model folder's files.
    fn store(&self, input: &mut Weights, out: &Path) -> Result<crate::vectors::Stored> {
        let settings = &self.request.settings;
        let mut store = Store::begin(out, Path::new("corpus"), self.request.dtype, settings.width)?;
        for row in 0..input.rows {
            let word = self.vocabulary.word(row)?.as_bytes();
            store.push(word, Some(self.vocabulary.count(row).unwrap_or(0)), input.get(row), 0)?;
        }
        let args = json!({
            "model": settings.architecture.as_str(), "loss": "negative sampling", "window": settings.window, "negative": settings.negative,
            "ns_exponent": settings.ns_exponent, "sample": settings.sample, "epochs": settings.epochs, "min_count": settings.min_count,
            "rate": settings.rate(), "min_rate": settings.min_rate, "seed": settings.seed, "tokenizer": settings.tokenizer,
            "phrases": settings.phrases, "corpus_words": self.plan.counted.corpus_words, "threads": self.request.threads.max(1),
        });
        store.finish("word2vec", args.as_object().cloned().unwrap_or_default(), None)
    }
}

/// Of each word, below which 32 random bits it stays: sqrt(t / f) + t / f of Mikolov's program, f its share of the words of the vocabulary.
fn keep(counts: &[u64], sample: f64) -> Vec<u32> {
    let total: u64 = counts.iter().sum();
    let share = |count: u64| match sample * total as f64 / count.max(1) as f64 {
        _ if sample <= 0.0 => 1.0,
        ratio => (ratio.sqrt() + ratio).min(1.0),
    };
    counts.iter().map(|count| (share(*count) * f64::from(u32::MAX)) as u32).collect()
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
