//! What models say about items that come with the question: one, or as many as may be waited for. Models stay loaded while
//! they are asked for: the service's memory of them is bounded in bytes, and so is what waits for them. Items of several
//! requests are worked on together, see `line`; what is special to texts is in `texts`, word vectors in `words`.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::super::{Error, Result, Service};
use super::admit::{CONFIG, WEIGHTS, need, unfit};
use super::line::{Line, bytes_of};
pub use super::line::{Question, Sent};
use super::texts::Wish;
use super::words::{self, Words};
use crate::data::text::pair;
use crate::data::{self, Items, Limits, Source};
use crate::domain::answers::{Answers, Content, MOST_BYTES, MOST_ITEMS, Reason, Said};
use crate::domain::config::ModelConfig;
use crate::domain::digest::Digest;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::prediction::Answered;
use crate::domain::repo::Version;
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::train::{self, Device, Predictor, device};
use crate::vectors;

/// Bytes of weights kept loaded.
const LOADED_BYTES: u64 = 2 << 30;
/// Requests that may wait for their turn; more are told to come back.
const WAITING: usize = 64;
/// Bytes of items that may wait, in units that a semaphore counts.
const WAITING_UNITS: usize = (512 << 20) / UNIT;
const UNIT: usize = 1 << 10;

/// What is to be done by those who ask about more.
const ASK_IN_PARTS: &str =
    "ask in several requests (`hub predict` and `hub embed` do so by themselves), or publish the items as a data set and ask about that";

/// An item that comes with the question, by the name its answer will have; or why it could not be taken from the request.
#[derive(Debug, Clone)]
pub struct Item {
    pub name: String,
    pub bytes: std::result::Result<Sent, Reason>,
}

impl Item {
    pub fn new(name: impl Into<String>, bytes: impl Into<Bytes>) -> Item {
        Item { name: name.into(), bytes: Ok(bytes.into().into()) }
    }

    /// Two texts as one item.
    pub fn of_pair(name: String, first: &str, second: &str) -> Item {
        Item::new(name, pair(first.as_bytes(), second.as_bytes()))
    }
}

/// The models that are loaded, the one asked for last at the end.
pub(in crate::service) struct Models {
    loaded: Mutex<Vec<Slot>>,
    /// What examples of classes came to; see `support`.
    pub(super) supports: super::support::Remembered,
    /// Batches that are worked on at a time.
    at_once: usize,
    pub(super) turns: Arc<Semaphore>,
    pub(super) places: Semaphore,
    bytes: Arc<Semaphore>,
}

#[derive(Clone)]
struct Slot {
    /// sha256 of the weights, and of what says how they are used: equal models in two repos are loaded once.
    key: (Digest, Digest),
    bytes: u64,
    model: Arc<OnceCell<Opened>>,
}

/// A model that is loaded: a network behind its line, or word vectors in their files.
#[derive(Clone)]
pub(super) enum Opened {
    Network(Arc<Line>),
    Words(Arc<Words>),
}

impl Default for Models {
    fn default() -> Self {
        Models::of(std::thread::available_parallelism().map_or(1, usize::from))
    }
}

impl Models {
    /// So many batches are worked on at a time.
    fn of(at_once: usize) -> Models {
        Models {
            loaded: Mutex::default(),
            supports: Mutex::default(),
            at_once,
            turns: Arc::new(Semaphore::new(at_once)),
            places: Semaphore::new(at_once + WAITING),
            bytes: Arc::new(Semaphore::new(WAITING_UNITS)),
        }
    }

    /// The slot of a model, made if need be; the longest unused ones go when the bytes run out.
    fn slot(&self, key: (Digest, Digest), bytes: u64) -> Slot {
        let mut loaded = self.loaded.lock();
        let known = loaded.iter().position(|slot| slot.key == key).map(|at| loaded.remove(at));
        let slot = known.unwrap_or_else(|| Slot { key, bytes, model: Arc::default() });
        loaded.push(slot.clone());
        while loaded.len() > 1 && loaded.iter().map(|slot| slot.bytes).sum::<u64>() > LOADED_BYTES {
            loaded.remove(0);
        }
        slot
    }
}

impl Service {
    /// Answers predictions on the device that the setting names; a card works on one image at a time.
    ///
    /// # Errors
    /// A card was asked for by name and cannot be had.
    pub fn on_device(mut self, setting: &str) -> Result<Service> {
        let refused = |e: String| Error::invalid("device", e, "set device (HUB_DEVICE) to auto or cpu to do without");
        self.device = setting.parse().and_then(device::open).map_err(|e| refused(e.to_string()))?;
        if !self.device.is_cpu() {
            tracing::info!(device = device::describe(&self.device), "networks run on a card");
            self.models = Arc::new(Models::of(1));
        }
        Ok(self)
    }

    /// Where networks run.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What a model says about an item; of classes the `top` likeliest.
    pub async fn predict(&self, actor: &Actor, id: &RepoId, revision: &Revision, item: Bytes, top: usize) -> Result<(Version, Answered)> {
        match self.ask_about_one(actor, id, revision, Question::Answer { top }, item).await? {
            (version, Content::Answer(answer)) => Ok((version, answer)),
            _ => Err(Error::Internal("a model answered another question".into())),
        }
    }

    pub(super) async fn ask_about_one(
        &self,
        actor: &Actor,
        id: &RepoId,
        revision: &Revision,
        question: Question,
        item: Bytes,
    ) -> Result<(Version, Content)> {
        let (version, line) = self.line(actor, id, revision).await?;
        Ok((version, self.ask_line_about_one(&line, question, item).await?))
    }

    pub(super) async fn ask_line_about_one(&self, line: &Arc<Line>, question: Question, item: Bytes) -> Result<Content> {
        self.check_size(&item).map_err(too_large)?;
        let answered = self.ask_line(line, question, vec![item.into()]).await?.into_iter().flatten().next();
        let gone = || train::Error::Unsupported("the model gave no answer; ask again".into());
        answered.unwrap_or_else(|| Err(gone())).map_err(unfit)
    }

    /// What a model the caller may read says about many items: an answer for each, or why there is none.
    pub async fn ask(&self, actor: &Actor, id: &RepoId, revision: &Revision, question: Question, items: Vec<Item>) -> Result<Answers> {
        if question == Question::Features {
            return self.embed_all(actor, id, revision, &Wish::default(), items).await;
        }
        let (version, line) = self.line(actor, id, revision).await?;
        self.ask_line_about_all(&line, format!("{id}@{}", version.number), question, items).await
    }

    /// The rows of all items, by a model of that name.
    pub(super) async fn ask_line_about_all(
        &self,
        line: &Arc<Line>,
        model: String,
        question: Question,
        items: Vec<Item>,
    ) -> Result<Answers> {
        let items = self.checked(items)?;
        let asked: Vec<Sent> = items.iter().filter_map(|(_, bytes)| bytes.as_ref().ok().cloned()).collect();
        let mut answers = self.ask_line(line, question, asked).await?.into_iter();
        let said = |(name, bytes): (String, std::result::Result<Sent, Reason>)| match bytes {
            Err(error) => Said { name, content: Content::Unanswered { error } },
            Ok(_) => said(name, answers.next().flatten()),
        };
        Ok(Answers { model, items: items.into_iter().map(said).collect() })
    }

    /// Items by their names, each with what keeps it from being asked about; not more than may be.
    pub(super) fn checked(&self, items: Vec<Item>) -> Result<Vec<(String, std::result::Result<Sent, Reason>)>> {
        if items.len() > MOST_ITEMS {
            let message = format!("{} items came at once, and {MOST_ITEMS} may", items.len());
            return Err(Error::too_large("too_many_items", message, ASK_IN_PARTS));
        }
        let checked = |item: Item| (item.name, item.bytes.and_then(|sent| self.check_size(sent.whole()).map(|()| sent)));
        Ok(items.into_iter().map(checked).collect())
    }

    /// The items of an archive that came with a question.
    ///
    /// # Errors
    /// It is none, or holds more than may be asked at once.
    pub async fn items_of_archive(&self, archive: Bytes) -> Result<Vec<Item>> {
        let limits = Limits { total_bytes: MOST_BYTES as u64, entries: 2 * MOST_ITEMS, ..Limits::of(&self.policy().data_limits) };
        let limits = Limits { entry_bytes: limits.entry_bytes.min(limits.total_bytes), ..limits };
        let unpacked = tokio::task::spawn_blocking(move || unpacked(&archive, &limits)).await;
        unpacked.map_err(|e| Error::Internal(format!("reading an archive was stopped: {e}")))?
    }

    pub(super) fn check_size(&self, item: &Bytes) -> std::result::Result<(), Reason> {
        let (bytes, limit) = (item.len(), self.policy().data_limits.item_bytes);
        if bytes as u64 <= limit {
            return Ok(());
        }
        Err(Reason { code: "image_too_large".into(), message: format!("the image has {bytes} bytes, and {limit} are allowed") })
    }

    /// Waits for the answers to all items, in their order.
    async fn ask_line(&self, line: &Arc<Line>, question: Question, items: Vec<Sent>) -> Result<Vec<Option<train::Result<Content>>>> {
        if matches!(question, Question::Answer { .. } | Question::PromptedAnswer { .. }) {
            line.model.need_answer().map_err(unfit)?;
        }
        let full = |_| Error::busy("busy", "too many images wait for their turn", "try again in a moment");
        let _place = self.models.places.try_acquire().map_err(full)?;
        let _bytes = self.room_for(bytes_of(&items))?;
        let mut answers: Vec<_> = items.iter().map(|_| None).collect();
        let mut replies = line.ask(question, items);
        while let Some((at, reply)) = replies.recv().await {
            if let Some(answer) = answers.get_mut(at) {
                *answer = Some(reply);
            }
        }
        Ok(answers)
    }

    pub(super) fn room_for(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let full = |_| Error::busy("busy", "too many images wait for their turn", "try again in a moment, or send fewer at once");
        self.models.bytes.clone().try_acquire_many_owned(units).map_err(full)
    }

    /// The line before a network that the caller may read.
    pub(super) async fn line(&self, actor: &Actor, id: &RepoId, revision: &Revision) -> Result<(Version, Arc<Line>)> {
        match self.opened(actor, id, revision).await? {
            (version, Opened::Network(line)) => Ok((version, line)),
            (_, Opened::Words(_)) => Err(words::no_network(id)),
        }
    }

    /// A model that the caller may read, loaded.
    pub(super) async fn opened(&self, actor: &Actor, id: &RepoId, revision: &Revision) -> Result<(Version, Opened)> {
        let (version, manifest) = self.manifest(actor, RepoKind::Model, id, revision).await?;
        let config = self.model_config(id, &version, &manifest).await?;
        let weights = need(&manifest, WEIGHTS, id, &version)?;
        let bytes = manifest.find(WEIGHTS).map_or(0, |entry| entry.size_bytes);
        let of_words = words::are_in(&config, &manifest);
        let files: &[&'static str] = if of_words { &[vectors::VOCABULARY_FILE] } else { &train::BESIDE };
        let beside = files.iter().filter_map(|name| Some((*name, manifest.find(name)?.digest))).collect::<Vec<_>>();
        let papers = std::iter::once(need(&manifest, CONFIG, id, &version)?).chain(beside.iter().map(|(_, digest)| *digest));
        let papers = papers.map(|digest| digest.to_hex()).chain(config.sentence.iter().map(|sentence| format!("{sentence:?}")));
        let papers = Digest::of(papers.collect::<String>().as_bytes());
        let slot = self.models.slot((weights, papers), if of_words { words::weight(bytes) } else { bytes });
        let load = || async {
            let folder = tempfile::tempdir().map_err(|e| Error::of_file("no temporary folder", &e))?;
            let path: PathBuf = self.local_file(&weights, folder.path()).await?;
            let mut files = Vec::new();
            for (name, digest) in &beside {
                files.push((*name, self.local_file(digest, folder.path()).await?));
            }
            match of_words {
                true => self.open_words(config, path, files).await.map(Opened::Words),
                false => self.load_network(config, path, files).await.map(Opened::Network),
            }
        };
        Ok((version, slot.model.get_or_try_init(load).await?.clone()))
    }

    async fn load_network(&self, config: ModelConfig, weights: PathBuf, files: Vec<(&'static str, PathBuf)>) -> Result<Arc<Line>> {
        let (device, limits) = (self.device.clone(), self.policy().data_limits);
        let closed = |_| Error::Internal("the queue of images is closed".into());
        let _turn = self.models.turns.acquire().await.map_err(closed)?;
        let loaded =
            tokio::task::spawn_blocking(move || Ok(Predictor::open(&config, &weights, &device)?.with(&files)?.within(&limits))).await;
        let model = loaded.map_err(|e| Error::Internal(format!("loading a model was stopped: {e}")))?.map_err(unfit)?;
        Ok(Arc::new(Line::new(model, self.models.turns.clone(), self.models.at_once)))
    }
}

pub(super) fn too_large(reason: Reason) -> Error {
    Error::too_large("image_too_large", reason.message, "send a smaller image, or let the administrator raise max_item_bytes")
}

/// The row of an item.
fn said(name: String, answer: Option<train::Result<Content>>) -> Said {
    match answer {
        Some(Ok(content)) => Said { name, content },
        Some(Err(error)) => Said::unanswered(name, error.code(), error.reason()),
        None => Said::unanswered(name, "no_answer", "the model gave no answer; ask again"),
    }
}

/// Entry by entry, each under the name it has there.
fn unpacked(archive: &Bytes, limits: &Limits) -> Result<Vec<Item>> {
    let failed = |e: std::io::Error| Error::of_file("no temporary file", &e);
    let file = tempfile::NamedTempFile::new().map_err(failed)?;
    std::fs::write(file.path(), archive).map_err(failed)?;
    let refused = |error: data::Error| match &error {
        data::Error::TooLarge { .. } | data::Error::TooManyFiles { .. } => {
            let message = format!("the archive holds more than {MOST_ITEMS} items or {MOST_BYTES} bytes: {error}");
            Error::too_large("too_many_items", message, ASK_IN_PARTS)
        }
        _ => unfit(error.into()),
    };
    let items = Items::open(&Source::Archive(file.path().into()), limits).map_err(refused)?;
    if items.len() > MOST_ITEMS {
        let message = format!("the archive holds {} items, and {MOST_ITEMS} may be asked about at once", items.len());
        return Err(Error::too_large("too_many_items", message, ASK_IN_PARTS));
    }
    let damaged = |error: data::Error| Reason { code: error.code().into(), message: error.to_string() };
    let item = |(at, path): (usize, &str)| Item { name: path.to_owned(), bytes: items.read(at).map(Sent::from).map_err(damaged) };
    Ok(items.paths().enumerate().map(item).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_model_leaves_first() {
        let models = Models::default();
        let key = |n: u8| (Digest::of(&[n]), Digest::of(b"config"));
        for n in 0..3 {
            models.slot(key(n), LOADED_BYTES / 4);
        }
        models.slot(key(0), LOADED_BYTES / 4);
        models.slot(key(3), LOADED_BYTES / 2);
        let kept: Vec<_> = models.loaded.lock().iter().map(|slot| slot.key).collect();
        assert_eq!(kept, [key(2), key(0), key(3)]);
        models.slot(key(4), LOADED_BYTES * 2);
        assert_eq!(models.loaded.lock().len(), 1, "one model is always kept, however large");
    }
}
