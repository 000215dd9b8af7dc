//! What models say about items that come with the question: one, or as many as may be waited for. Models stay loaded while
//! they are asked for: the service's memory of them is bounded in bytes, and so is what waits for them. Items of several
//! requests are worked on together, see `line`.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::super::{Error, Result, Service};
use super::admit::{CONFIG, WEIGHTS, need, unfit};
use super::line::Line;
pub use super::line::Question;
use crate::data::{self, Items, Limits, Source};
use crate::domain::answers::{Answers, Content, MOST_BYTES, MOST_ITEMS, Reason, Said};
use crate::domain::digest::Digest;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::prediction::Answered;
use crate::domain::repo::Version;
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::train::{self, Device, Predictor, device};

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
    pub bytes: std::result::Result<Bytes, Reason>,
}

/// The models that are loaded, the one asked for last at the end.
pub(in crate::service) struct Models {
    loaded: Mutex<Vec<Slot>>,
    /// Batches that are worked on at a time.
    at_once: usize,
    turns: Arc<Semaphore>,
    places: Semaphore,
    bytes: Arc<Semaphore>,
}

#[derive(Clone)]
struct Slot {
    /// sha256 of the weights, and of what says how they are used: equal models in two repos are loaded once.
    key: (Digest, Digest),
    bytes: u64,
    line: Arc<OnceCell<Arc<Line>>>,
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
        let slot = known.unwrap_or_else(|| Slot { key, bytes, line: Arc::default() });
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

    /// The pooled features of an item, by a model the caller may read.
    pub async fn embed(&self, actor: &Actor, id: &RepoId, revision: &Revision, item: Bytes) -> Result<(Version, Vec<f32>)> {
        match self.ask_about_one(actor, id, revision, Question::Features, item).await? {
            (version, Content::Features { features }) => Ok((version, features)),
            _ => Err(Error::Internal("a model answered another question".into())),
        }
    }

    /// What a model says about an item; of classes the `top` likeliest.
    pub async fn predict(&self, actor: &Actor, id: &RepoId, revision: &Revision, item: Bytes, top: usize) -> Result<(Version, Answered)> {
        match self.ask_about_one(actor, id, revision, Question::Answer { top }, item).await? {
            (version, Content::Answer(answer)) => Ok((version, answer)),
            _ => Err(Error::Internal("a model answered another question".into())),
        }
    }

    async fn ask_about_one(
        &self,
        actor: &Actor,
        id: &RepoId,
        revision: &Revision,
        question: Question,
        item: Bytes,
    ) -> Result<(Version, Content)> {
        let (version, line) = self.line(actor, id, revision).await?;
        self.check_size(&item).map_err(|reason| {
            Error::too_large("image_too_large", reason.message, "send a smaller image, or let the administrator raise max_item_bytes")
        })?;
        let answered = self.ask_line(&line, question, vec![item]).await?.into_iter().flatten().next();
        let gone = || train::Error::Unsupported("the model gave no answer; ask again".into());
        Ok((version, answered.unwrap_or_else(|| Err(gone())).map_err(unfit)?))
    }

    /// What a model the caller may read says about many items: an answer for each, or why there is none.
    pub async fn ask(&self, actor: &Actor, id: &RepoId, revision: &Revision, question: Question, items: Vec<Item>) -> Result<Answers> {
        let (version, line) = self.line(actor, id, revision).await?;
        let model = format!("{id}@{}", version.number);
        if items.len() > MOST_ITEMS {
            let message = format!("{} items came at once, and {MOST_ITEMS} may", items.len());
            return Err(Error::too_large("too_many_items", message, ASK_IN_PARTS));
        }
        let checked = |item: Item| (item.name, item.bytes.and_then(|bytes| self.check_size(&bytes).map(|()| bytes)));
        let items: Vec<_> = items.into_iter().map(checked).collect();
        let asked: Vec<Bytes> = items.iter().filter_map(|(_, bytes)| bytes.as_ref().ok().cloned()).collect();
        let mut answers = self.ask_line(&line, question, asked).await?.into_iter();
        let said = |(name, bytes): (String, std::result::Result<Bytes, Reason>)| match bytes {
            Err(error) => Said { name, content: Content::Unanswered { error } },
            Ok(_) => said(name, answers.next().flatten()),
        };
        Ok(Answers { model, items: items.into_iter().map(said).collect() })
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

    fn check_size(&self, item: &Bytes) -> std::result::Result<(), Reason> {
        let (bytes, limit) = (item.len(), self.policy().data_limits.item_bytes);
        if bytes as u64 <= limit {
            return Ok(());
        }
        Err(Reason { code: "image_too_large".into(), message: format!("the image has {bytes} bytes, and {limit} are allowed") })
    }

    /// Waits for the answers to all items, in their order.
    async fn ask_line(&self, line: &Arc<Line>, question: Question, items: Vec<Bytes>) -> Result<Vec<Option<train::Result<Content>>>> {
        if question != Question::Features {
            line.model.need_head().map_err(unfit)?;
        }
        let full = |_| Error::busy("busy", "too many images wait for their turn", "try again in a moment");
        let _place = self.models.places.try_acquire().map_err(full)?;
        let _bytes = self.room_for(items.iter().map(Bytes::len).sum())?;
        let mut answers: Vec<_> = items.iter().map(|_| None).collect();
        let mut replies = line.ask(question, items);
        while let Some((at, reply)) = replies.recv().await {
            if let Some(answer) = answers.get_mut(at) {
                *answer = Some(reply);
            }
        }
        Ok(answers)
    }

    fn room_for(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let full = |_| Error::busy("busy", "too many images wait for their turn", "try again in a moment, or send fewer at once");
        self.models.bytes.clone().try_acquire_many_owned(units).map_err(full)
    }

    /// The line before a model that the caller may read.
    async fn line(&self, actor: &Actor, id: &RepoId, revision: &Revision) -> Result<(Version, Arc<Line>)> {
        let (version, manifest) = self.manifest(actor, RepoKind::Model, id, revision).await?;
        let config = self.model_config(id, &version, &manifest).await?;
        let weights = need(&manifest, WEIGHTS, id, &version)?;
        let bytes = manifest.find(WEIGHTS).map_or(0, |entry| entry.size_bytes);
        let reject = manifest.find(train::REJECT).map(|entry| entry.digest);
        let papers = [Some(need(&manifest, CONFIG, id, &version)?), reject];
        let papers = Digest::of(papers.iter().flatten().map(Digest::to_hex).collect::<String>().as_bytes());
        let slot = self.models.slot((weights, papers), bytes);
        let load = || async {
            let folder = tempfile::tempdir().map_err(|e| Error::of_file("no temporary folder", &e))?;
            let path: PathBuf = self.local_file(&weights, folder.path()).await?;
            let reject = match &reject {
                Some(digest) => Some(self.local_file(digest, folder.path()).await?),
                None => None,
            };
            let (device, limits) = (self.device.clone(), self.policy().data_limits);
            let closed = |_| Error::Internal("the queue of images is closed".into());
            let _turn = self.models.turns.acquire().await.map_err(closed)?;
            let loaded = tokio::task::spawn_blocking(move || {
                Ok(Predictor::open(&config, &path, &device)?.with_reject(reject.as_deref())?.within(&limits))
            })
            .await;
            let model = loaded.map_err(|e| Error::Internal(format!("loading a model was stopped: {e}")))?.map_err(unfit)?;
            Ok::<_, Error>(Arc::new(Line::new(model, self.models.turns.clone(), self.models.at_once)))
        };
        let line = slot.line.get_or_try_init(load).await?.clone();
        Ok((version, line))
    }
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
    let item = |(at, path): (usize, &str)| Item { name: path.to_owned(), bytes: items.read(at).map_err(damaged) };
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
