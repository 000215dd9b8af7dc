//! A published model answers: features of an image, or the classes it most likely shows.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{Device, Tensor};
use image::RgbImage;

use super::error::{Error, Result};
use super::metrics::softmax;
use crate::data::transform::Transformer;
use crate::data::{Limits, decode};
use crate::domain::config::{MAX_CONFIG_BYTES, ModelConfig, Preprocessing};
use crate::nn::{Backbone, Head, Mode, Weights, architectures};

/// A model that was loaded once and answers many times, from any thread.
pub struct Predictor {
    backbone: Box<dyn Backbone>,
    head: Option<Head>,
    labels: Vec<String>,
    preprocessing: Preprocessing,
    limits: Limits,
    device: Device,
    /// Taken where the device is a card: threads would share its matrix library's workspace.
    turn: Mutex<()>,
    bytes: u64,
}

/// One class and how sure the model is: (row of the head, name, share of 1).
pub type Answer = (usize, String, f32);

impl Predictor {
    /// Loads `config.json` and `model.safetensors` of a model folder, to answer on `device`.
    ///
    /// # Errors
    /// A file that is missing or unsound, an unknown architecture, tensors that do not fit it (named).
    pub fn load(folder: &Path, device: &Device) -> Result<Predictor> {
        let path = folder.join("config.json");
        let failed = Error::io("cannot read", &path);
        let text = match std::fs::metadata(&path) {
            Ok(about) if about.len() > MAX_CONFIG_BYTES as u64 => {
                return Err(Error::Unsupported(format!("{} is larger than a config.json may be", path.display())));
            }
            _ => std::fs::read_to_string(&path).map_err(failed)?,
        };
        let config = ModelConfig::read(&text).map_err(|error| Error::Unsupported(error.to_string()))?;
        Predictor::open(&config, &folder.join("model.safetensors"), device)
    }

    /// Loads weights for a config.
    ///
    /// # Errors
    /// As [`Predictor::load`].
    pub fn open(config: &ModelConfig, weights: &Path, device: &Device) -> Result<Predictor> {
        let architecture = architectures::get(&config.architecture)?;
        let weights = Weights::load(weights)?.to_device(device)?;
        let classes = architectures::num_classes(architecture.name, &weights)?;
        let bytes = weights.iter().map(|(_, var)| 4 * var.elem_count() as u64).sum();
        // Whoever answers may be another thread, which would not wait for what this one has begun.
        device.synchronize()?;
        let (backbone, head) = match classes {
            0 => (architectures::build(architecture.name, &weights)?, None),
            _ => {
                let classifier = architectures::build_classifier(architecture.name, classes, &weights)?;
                (classifier.backbone, Some(classifier.head))
            }
        };
        let labels = config.label_names.clone().filter(|names| names.len() == classes);
        let labels = labels.unwrap_or_else(|| (0..classes).map(|row| format!("class {row}")).collect());
        let preprocessing = config.preprocessing();
        Transformer::new(&preprocessing)?;
        Ok(Predictor {
            backbone,
            head,
            labels,
            preprocessing,
            limits: Limits::default(),
            device: device.clone(),
            turn: Mutex::new(()),
            bytes,
        })
    }

    /// Width of an embedding.
    pub fn num_features(&self) -> usize {
        self.backbone.num_features()
    }

    /// Class names by row of the head; empty without a head.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Memory the weights take.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The pooled features (length [`Self::num_features`]) of an encoded image.
    ///
    /// # Errors
    /// The bytes are not an image we read, with the reason.
    pub fn embed(&self, image: &[u8]) -> Result<Vec<f32>> {
        Ok(self.embed_batch(&[image])?.remove(0))
    }

    /// [`Self::embed`] for many images at once; one bad image refuses all.
    pub fn embed_batch<B: AsRef<[u8]>>(&self, images: &[B]) -> Result<Vec<Vec<f32>>> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let decoded = self.decode(images)?;
        let _turn = self.turn();
        Ok(self.pooled(&decoded)?.to_vec2()?)
    }

    /// The `top` likeliest classes of an encoded image, likeliest first.
    ///
    /// # Errors
    /// The bytes are not an image we read, or the model has no head.
    pub fn classify(&self, image: &[u8], top: usize) -> Result<Vec<Answer>> {
        Ok(self.classify_batch(&[image], top)?.remove(0))
    }

    /// [`Self::classify`] for many images at once; one bad image refuses all.
    pub fn classify_batch<B: AsRef<[u8]>>(&self, images: &[B], top: usize) -> Result<Vec<Vec<Answer>>> {
        let Some(head) = &self.head else {
            let what = "this model has no classifier, only features; ask for an embedding, or fine-tune it on a data set first";
            return Err(Error::Unsupported(what.into()));
        };
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let decoded = self.decode(images)?;
        let turn = self.turn();
        let logits = head.forward(&self.pooled(&decoded)?, Mode::Eval, 0)?.to_vec2::<f32>()?;
        drop(turn);
        Ok(logits.iter().map(|row| self.answers(row, top)).collect())
    }

    fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        (!self.device.is_cpu()).then(|| self.turn.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn answers(&self, logits: &[f32], top: usize) -> Vec<Answer> {
        let shares = softmax(logits);
        let mut order: Vec<usize> = (0..shares.len()).collect();
        // The sort is stable, so among equals the smaller row comes first.
        order.sort_by(|a, b| shares[*b].total_cmp(&shares[*a]));
        order.truncate(top);
        order.into_iter().map(|row| (row, self.labels[row].clone(), shares[row])).collect()
    }

    fn decode<B: AsRef<[u8]>>(&self, images: &[B]) -> Result<Vec<RgbImage>> {
        let unreadable = |at: usize, reason: String| crate::data::Error::Image { path: format!("image {}", at + 1), reason };
        let decoded = images.iter().enumerate();
        let decoded = decoded.map(|(at, bytes)| decode::decode(bytes.as_ref(), &self.limits).map_err(|refusal| unreadable(at, refusal.0)));
        Ok(decoded.collect::<crate::data::Result<_>>()?)
    }

    /// Decoded images to `(B, num_features)`.
    fn pooled(&self, images: &[RgbImage]) -> Result<Tensor> {
        let mut transformer = Transformer::new(&self.preprocessing)?;
        let mut values = vec![0.0; images.len() * transformer.len()];
        for (image, out) in images.iter().zip(values.chunks_exact_mut(transformer.len())) {
            transformer.eval(image, out)?;
        }
        let shape = (images.len(), 3, self.preprocessing.height, self.preprocessing.width);
        let input = Tensor::from_vec(values, shape, &self.device)?;
        Ok(self.backbone.pooled(&input, self.backbone.stages().len(), Mode::Eval)?)
    }
}
