//! The confined process that trains: it has the files of one job and a folder, and nothing else; see [`crate::confine`]. It tells what
//! happens line by line and hears after each whether to go on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::order::{Order, Reply, Said, Why};
use super::{Error, Result};
use crate::confine::{self, last_word, speech::Speech};
use crate::data::{Dataset, Limits, Source};
use crate::domain::config::ModelConfig;
use crate::domain::job_event;
use crate::train::{self, Control, Event, FeatureStore, Keep, Training, backend, device};

/// Standard error, which the worker listens to.
const LAST_WORDS: i32 = 2;

/// Trains as the order on standard input says. To be called before there is a second thread.
///
/// # Errors
/// The worker is gone, or this process could not be confined as asked.
pub fn train() -> io::Result<()> {
    let mut speech = Speech::default();
    let order: Order = speech.hear()?;
    let held = confine::restrict(&order.grant)?;
    last_word::register(LAST_WORDS);
    say(&mut speech, &Said::Ready(held))?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(order.threads).build_global();
    pool.map_err(io::Error::other)?;
    if let Ok(choice) = order.backend.parse() {
        backend::choose(choice);
    }
    let last = match follow(&order, &mut speech) {
        Ok(headline) => Said::Done(headline),
        Err(error) => Said::Failed { why: Why::of(&error), message: error.to_string() },
    };
    say(&mut speech, &last).map(drop)
}

fn say(speech: &mut Speech, said: &Said) -> io::Result<Reply> {
    speech.say(said)?;
    speech.hear()
}

/// Trains, and writes the folder that is to be published; its headline.
fn follow(order: &Order, speech: &mut Speech) -> Result<serde_json::Value> {
    let config = read_config(&find(&order.base, "config.json")?)?;
    let weights = find(&order.base, "model.safetensors")?;
    let limits = Limits::of(&order.limits);
    let dataset = Arc::new(Dataset::open(&Source::Files(order.data.clone()), &limits).map_err(train::Error::from)?);
    let device = order.device.parse().and_then(device::open).map_err(|e| Error::Later(e.to_string()))?;
    let store = FeatureStore::new(&order.features, order.features_bytes);
    let training = Training {
        recipe: &order.recipe,
        config: &config,
        weights: &weights,
        dataset: &dataset,
        device: &device,
        scratch: &order.scratch,
        keep: Keep::Store(&store),
        resume: order.resume.as_deref(),
    };
    // A worker that is gone takes this process with it; until the kernel does, there is nothing to go on for.
    let mut sink = |event: Event| match say(speech, &as_said(event)) {
        Ok(Reply::GoOn) => Control::Continue,
        Ok(Reply::Stop) | Err(_) => Control::Stop,
    };
    let report = with_threads(order.recipe.threads, || train::fit(&training, &mut sink))?;
    train::write_folder(&report, &order.lineage, &order.result)?;
    Ok(report.outcome.headline())
}

fn as_said(event: Event) -> Said {
    let news = match event {
        Event::Log { level, message } => job_event::Event::Log { level, message },
        Event::Progress(progress) => job_event::Event::Progress(progress),
        Event::Epoch(numbers) => job_event::Event::Epoch(numbers),
        Event::Checkpoint { .. } => return Said::Checkpoint,
    };
    Said::Event { kind: news.kind().to_owned(), body: news.body() }
}

/// A recipe that names a number of threads gets that many, since the sum of floats depends on it.
fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> train::Result<T> + Send) -> Result<T> {
    if threads == 0 {
        return Ok(work()?);
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| Error::Later(format!("cannot start {threads} threads: {e}")))?;
    Ok(pool.install(work)?)
}

fn find(files: &[(String, PathBuf)], name: &str) -> Result<PathBuf> {
    let found = files.iter().find(|(path, _)| path == name).map(|(_, file)| file.clone());
    found.ok_or_else(|| Error::Never(format!("the base has no {name}; choose another base")))
}

fn read_config(path: &Path) -> Result<ModelConfig> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    ModelConfig::read(&text).map_err(|e| Error::Never(e.to_string()))
}
