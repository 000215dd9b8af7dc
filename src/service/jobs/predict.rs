//! Features of one image, and what a model says about it. Models stay loaded while they are asked for: the store's memory of
//! them is bounded in bytes, and so is the number of images worked on at a time.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore};

use super::super::{Error, Result, Service};
use super::admit::{CONFIG, WEIGHTS, need, unfit};
use crate::domain::digest::Digest;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::prediction::Answer;
use crate::domain::repo::Version;
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::train::{Device, Predictor, device};

/// Bytes of weights kept loaded.
const LOADED_BYTES: u64 = 2 << 30;
/// Requests that may wait for their turn; more are told to come back.
const WAITING: usize = 64;

/// The models that are loaded, the one asked for last at the end.
pub(in crate::service) struct Models {
    loaded: Mutex<Vec<Slot>>,
    turns: Semaphore,
    queue: Semaphore,
}

#[derive(Clone)]
struct Slot {
    /// sha256 of the weights and of the config: equal models in two repos are loaded once.
    key: (Digest, Digest),
    bytes: u64,
    model: Arc<OnceCell<Arc<Predictor>>>,
}

impl Default for Models {
    fn default() -> Self {
        Models::of(std::thread::available_parallelism().map_or(1, usize::from))
    }
}

impl Models {
    /// So many images are worked on at a time.
    fn of(at_once: usize) -> Models {
        Models { loaded: Mutex::default(), turns: Semaphore::new(at_once), queue: Semaphore::new(at_once + WAITING) }
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

    /// The pooled features of an image, by a model the caller may read.
    pub async fn embed(&self, actor: &Actor, id: &RepoId, revision: &Revision, image: Bytes) -> Result<(Version, Vec<f32>)> {
        let (version, model) = self.predictor(actor, id, revision, &image).await?;
        Ok((version, self.take_turn(move || model.embed(&image)).await?))
    }

    /// What a model says about an image; of classes the `top` likeliest.
    pub async fn predict(&self, actor: &Actor, id: &RepoId, revision: &Revision, image: Bytes, top: usize) -> Result<(Version, Answer)> {
        let (version, model) = self.predictor(actor, id, revision, &image).await?;
        Ok((version, self.take_turn(move || model.predict(&image, top)).await?))
    }

    async fn predictor(&self, actor: &Actor, id: &RepoId, revision: &Revision, image: &Bytes) -> Result<(Version, Arc<Predictor>)> {
        let (version, manifest) = self.manifest(actor, RepoKind::Model, id, revision).await?;
        let limit = self.policy().data_limits.item_bytes;
        if image.len() as u64 > limit {
            let message = format!("the image has {} bytes, and {limit} are allowed", image.len());
            return Err(Error::too_large(
                "image_too_large",
                message,
                "send a smaller image, or let the administrator raise max_item_bytes",
            ));
        }
        let config = self.model_config(id, &version, &manifest).await?;
        let weights = need(&manifest, WEIGHTS, id, &version)?;
        let bytes = manifest.find(WEIGHTS).map_or(0, |entry| entry.size_bytes);
        let slot = self.models.slot((weights, need(&manifest, CONFIG, id, &version)?), bytes);
        let load = || async {
            let folder = tempfile::tempdir().map_err(|e| Error::of_file("no temporary folder", &e))?;
            let path: PathBuf = self.local_file(&weights, folder.path()).await?;
            let device = self.device.clone();
            let limits = self.policy().data_limits;
            self.take_turn(move || Ok(Predictor::open(&config, &path, &device)?.within(&limits))).await.map(Arc::new)
        };
        let model = slot.model.get_or_try_init(load).await?.clone();
        Ok((version, model))
    }

    /// Runs heavy work off the async threads, a few at a time.
    async fn take_turn<T: Send + 'static>(&self, work: impl FnOnce() -> crate::train::Result<T> + Send + 'static) -> Result<T> {
        let full = |_| Error::busy("busy", "too many images wait for their turn", "try again in a moment");
        let _place = self.models.queue.try_acquire().map_err(full)?;
        let closed = |_| Error::Internal("the queue of images is closed".into());
        let _turn = self.models.turns.acquire().await.map_err(closed)?;
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|e| Error::Internal(format!("a prediction was stopped: {e}")))?.map_err(unfit)
    }
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
