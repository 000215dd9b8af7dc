//! A published model answers: the features of an item, or what its head says about it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use parking_lot::{Mutex, MutexGuard};

use super::error::{Error, Result, in_order};
use super::model_folder::{AVERAGED, DISTANCES};
use super::places;
use super::reject::Reject;
use super::support::Support;
use super::tasks;
use super::texts::papers_in;
use super::towers::TextTower;
use crate::data::modality::{Beside, Modality, ViewMaker, Views};
use crate::data::{Limits, modalities};
use crate::domain::answers::{Content, Shape};
use crate::domain::config::{MAX_CONFIG_BYTES, ModelConfig};
use crate::domain::data_limits::DataLimits;
use crate::domain::model_files::TOKENIZER;
use crate::domain::prediction::{Answered, Familiarity};
use crate::nn::heads::dense;
use crate::nn::{Backbone, Distance, Head, Input, Mode, Weights, architectures};

/// Refuses a config that asks for more than is built here.
pub(super) fn obeyed(config: &ModelConfig) -> Result<()> {
    match architectures::unobeyed_in(config).into_iter().next() {
        Some(problem) => Err(Error::Unsupported(problem)),
        None => Ok(()),
    }
}

const HEADLESS: &str = "this model has no head, only features; ask for an embedding, or fine-tune it on a data set first";

/// Files beside the weights that tell more about an item than a linear head does, or how items are taken apart.
pub use crate::domain::model_files::BESIDE;

/// A larger one is not read.
const LARGEST_BESIDE: u64 = 64 << 20;

/// Items that are worked on at once, and what their views may take.
const MOST_ITEMS: usize = 32;
const BATCH_BYTES: usize = 64 << 20;
/// Items whose views are smaller than this together are quicker in one batch than one by one, on a processor, too.
const TURN_BYTES: usize = 128 << 10;

/// A model that was loaded once and answers many times, from any thread.
pub struct Predictor {
    pub(super) backbone: Box<dyn Backbone>,
    pub(super) head: Option<Head>,
    pub(super) answer: tasks::Answerer,
    reject: Option<Reject>,
    pub(super) config: ModelConfig,
    pub(super) modality: &'static dyn Modality,
    /// Of items that have a length, the most the network takes.
    longest: usize,
    /// None while a file is missing that the modality needs for them.
    pub(super) views: Option<Arc<dyn Views>>,
    /// The same without the prompt that is put before every text, where there is one and others may be named.
    pub(super) bare: Option<Arc<dyn Views>>,
    pub(super) limits: Limits,
    device: Device,
    /// Taken where the device is a GPU: threads would share its matrix library's workspace.
    turn: Mutex<()>,
    bytes: u64,
    /// Whether its config says that outputs are averaged over plain and mirrored views.
    pub(super) mirrors: bool,
    /// The network for texts in the same space, where there is one.
    pub(super) texts: Option<TextTower>,
}

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
        let config = config.with_papers(&papers_in(folder));
        let beside: Vec<_> = BESIDE.into_iter().map(|name| (name, folder.join(name))).filter(|(_, file)| file.exists()).collect();
        Predictor::open(&config, &folder.join("model.safetensors"), device)?.with(&beside)
    }

    /// Loads weights for a config.
    ///
    /// # Errors
    /// As [`Predictor::load`].
    pub fn open(config: &ModelConfig, weights: &Path, device: &Device) -> Result<Predictor> {
        obeyed(config)?;
        let architecture = architectures::get(&config.architecture)?;
        let pool = architectures::pool_of(config).map_err(Error::Unsupported)?;
        let weights = Weights::load(weights)?;
        let texts = TextTower::open(config, &weights, device)?;
        let (weights, over_maps) = weights.split(dense::MODULE);
        let weights = architecture.fitted(weights, config.preprocessing().height)?.to_device(device)?;
        let classes = architectures::num_classes(architecture.name, &weights)?;
        let said = config.num_classes.or(config.pretrained_cfg.num_classes);
        if let Some(said) = said.filter(|said| *said != classes && classes > 0) {
            return Err(Error::Unsupported(architectures::rows_in_words(architecture, classes, said)));
        }
        let bytes = weights.iter().map(|(_, var)| 4 * var.elem_count() as u64).sum::<u64>() + texts.as_ref().map_or(0, |tower| tower.bytes);
        let bytes = bytes + over_maps.iter().map(|(_, var)| 4 * var.elem_count() as u64).sum::<u64>();
        // Whoever answers may be another thread, which would not wait for what this one has begun.
        device.synchronize()?;
        let (mut backbone, head) = match classes {
            _ if config.decoder().is_some() => {
                let backbone = architectures::build_pooled(architecture.name, pool, &weights)?;
                let head = places::decoder(config, &*backbone, &over_maps.to_device(device)?)?;
                (backbone, Some(head))
            }
            0 => {
                let backbone = architectures::build_pooled(architecture.name, pool, &weights)?;
                let head = tasks::bare_head(config, backbone.num_features());
                (backbone, head)
            }
            _ => {
                let classifier = architectures::build_classifier_pooled(architecture.name, classes, pool, &weights)?;
                (classifier.backbone, Some(classifier.head))
            }
        };
        backbone.settle();
        let name = super::clips::modality(config);
        let modality = modalities::find(name).ok_or_else(|| Error::Unsupported(format!("this build opens no {}", name.items())))?;
        Ok(Predictor {
            backbone,
            head,
            answer: tasks::answerer(config, config.decoder().map_or(classes, |(_, outputs)| outputs)),
            reject: None,
            config: config.clone(),
            modality,
            longest: architecture.longest(),
            views: if modality.needs().is_none() { Some(modality.views(config)?) } else { None },
            bare: None,
            limits: Limits::default(),
            device: device.clone(),
            turn: Mutex::new(()),
            bytes,
            mirrors: config.extra.get(AVERAGED).and_then(serde_json::Value::as_bool).unwrap_or(false),
            texts,
        })
    }

    /// The same with what some of the files of [`BESIDE`] tell, each under its name: which items are unknown, which are good.
    ///
    /// # Errors
    /// One does not fit the model.
    pub fn with(mut self, files: &[(&str, PathBuf)]) -> Result<Predictor> {
        let width = self.num_features();
        for (name, file) in files {
            let unfit = || Error::Unsupported(format!("{name} does not fit the model; fine-tune it again"));
            if std::fs::metadata(file).map_err(Error::io("cannot read", file))?.len() > LARGEST_BESIDE {
                return Err(unfit());
            }
            match *name {
                DISTANCES => {
                    let head = Distance::from_tensors(&Weights::load(file)?, width);
                    self.head = Some(Head::Distance(head.ok_or_else(unfit)?));
                }
                TOKENIZER => {
                    if let Some(tower) = &mut self.texts {
                        tower.read_by(&self.config, files)?;
                    }
                    if self.modality.needs() == Some(TOKENIZER) {
                        let beside = Beside { files, longest: self.longest };
                        self.views = Some(self.modality.views_by(&self.config, &beside)?);
                        self.bare = self.without_prompt().map(|config| self.modality.views_by(&config, &beside)).transpose()?;
                    }
                }
                _ => self.reject = Reject::load(file, width)?,
            }
        }
        Ok(self)
    }

    /// The same with the classes of a support set in the place of what its head says.
    pub fn by_support(self, support: Support) -> Predictor {
        let names = support.names().to_vec();
        let answer: tasks::Answerer = Box::new(move |row, top| tasks::of_classes(row, &names, top));
        Predictor { head: Some(Head::Means(support.into_head())), answer, reject: None, ..self }
    }

    /// The same under other limits on the items it is asked about.
    pub fn within(self, limits: &DataLimits) -> Predictor {
        Predictor { limits: Limits::of(limits), ..self }
    }

    /// Width of an embedding.
    pub fn num_features(&self) -> usize {
        self.backbone.num_features()
    }

    /// Memory the weights take.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// As many items as one of several threads that ask at the same time is best served with. A processor answers most when each of its
    /// cores works on an item of its own: the cores of one batch wait for each other after every layer.
    pub fn turn_items(&self) -> usize {
        if self.device.is_cpu() { self.batch_items().min((TURN_BYTES / self.view_bytes().max(1)).max(1)) } else { self.batch_items() }
    }

    /// What one view takes at most.
    fn view_bytes(&self) -> usize {
        self.maker_of(self.views.as_ref()).map_or(usize::MAX, |maker| maker.blank().bytes())
    }

    pub(super) fn maker_of(&self, views: Option<&Arc<dyn Views>>) -> Result<Box<dyn ViewMaker>> {
        let missing = || {
            let needs = self.modality.needs().unwrap_or("file");
            Error::Unsupported(format!(
                "the model has no {needs}, without which {} cannot be read; publish it with that file",
                self.modality.name().items()
            ))
        };
        Ok(views.ok_or_else(missing)?.maker()?)
    }

    /// Whether it says anything about items: by a head, or since its network finds shots; [`Self::embed`] needs neither.
    ///
    /// # Errors
    /// It does not, with what to do.
    pub fn need_answer(&self) -> Result<()> {
        if self.config.shots().is_some() { Ok(()) } else { self.need_head() }
    }

    /// Whether it has a head, by which it can be measured.
    ///
    /// # Errors
    /// The model has none, with what to do.
    pub fn need_head(&self) -> Result<()> {
        match self.head {
            Some(_) => Ok(()),
            None => Err(Error::Unsupported(HEADLESS.into())),
        }
    }

    /// As many items as are best worked on at once: the views of more would take much memory.
    pub fn batch_items(&self) -> usize {
        (BATCH_BYTES / self.view_bytes().max(1)).clamp(1, MOST_ITEMS)
    }

    /// The pooled features (length [`Self::num_features`]) of an encoded item.
    ///
    /// # Errors
    /// The bytes are no item we read, with the reason.
    pub fn embed(&self, item: &[u8]) -> Result<Vec<f32>> {
        self.embed_batch(&[item])?.remove(0)
    }

    /// [`Self::embed`] for many items at once, in their order; what cannot be read takes no answer from the others.
    ///
    /// # Errors
    /// The model cannot answer at all.
    pub fn embed_batch<B: AsRef<[u8]> + Sync>(&self, items: &[B]) -> Result<Vec<Result<Vec<f32>>>> {
        self.need_vector()?;
        let (views, unreadable) = self.views_of(items)?;
        let answers = match views {
            None => Vec::new(),
            Some(views) => {
                let _turn = self.turn();
                self.pooled(&views)?.to_vec2()?
            }
        };
        Ok(in_order(unreadable, answers))
    }

    /// What the head says about an encoded item; of classes the `top` likeliest.
    ///
    /// # Errors
    /// The bytes are no item we read, or the model has no head.
    pub fn predict(&self, item: &[u8], top: usize) -> Result<Answered> {
        self.predict_batch(&[item], top)?.remove(0)
    }

    /// [`Self::predict`] for many items at once, in their order; what cannot be read takes no answer from the others.
    ///
    /// # Errors
    /// The model has no head.
    pub fn predict_batch<B: AsRef<[u8]> + Sync>(&self, items: &[B], top: usize) -> Result<Vec<Result<Answered>>> {
        if let Some(said) = self.shots_of(items) {
            return said;
        }
        let Some(head) = &self.head else { return Err(Error::Unsupported(HEADLESS.into())) };
        if head.is_of_pairs() {
            let said = |row: Vec<f32>| Answered { answer: (self.answer)(&row, top), familiarity: None };
            return Ok(self.compared(items)?.into_iter().map(|row| row.map(said)).collect());
        }
        if let Some(said) = self.said_of_parts(items) {
            return said;
        }
        let (views, unreadable) = self.views_of(items)?;
        let others = self.other_clips(items)?;
        let (outputs, features) = match views {
            None => (Vec::new(), Vec::new()),
            Some(views) => {
                let _turn = self.turn();
                let pooled = self.pooled(&views)?;
                let features = if self.reject.is_some() { pooled.to_vec2::<f32>()? } else { Vec::new() };
                (self.said_of_all(head, (&views, &pooled), &others)?.to_vec2::<f32>()?, features)
            }
        };
        let answered = |(at, row): (usize, &Vec<f32>)| Answered {
            answer: (self.answer)(row, top),
            familiarity: features.get(at).and_then(|features| self.familiarity(features)),
        };
        Ok(in_order(unreadable, outputs.iter().enumerate().map(answered).collect()))
    }

    /// What rows of answers hold where the `top` likeliest classes are asked for; of features where none are.
    pub fn shape(&self, top: Option<usize>) -> Shape {
        let Some(top) = top else { return Shape::of(std::iter::once(&Content::features_of(vec![0.0; self.num_features()]))) };
        let said = |top: usize| (self.answer)(&vec![0.0; self.outputs()], top);
        let familiarity = self.familiarity(&vec![0.0; self.num_features()]);
        let whole = Content::Answer(Answered { answer: said(usize::MAX), familiarity });
        Shape::of(std::iter::once(&whole)).told(said(top).classes().len())
    }

    pub(super) fn familiarity(&self, features: &[f32]) -> Option<Familiarity> {
        let reject = self.reject.as_ref()?;
        let unknown_score = reject.score(features);
        Some(Familiarity { known: reject.knows(unknown_score), unknown_score, unknown_threshold: reject.threshold() })
    }

    /// Numbers that the head gives for each item; none without a head.
    pub fn outputs(&self) -> usize {
        self.head.as_ref().map_or(0, |head| head.num_classes())
    }

    /// The head's numbers for many items at once, as they are measured.
    pub(super) fn outputs_batch<B: AsRef<[u8]> + Sync>(&self, items: &[B]) -> Result<Vec<Result<Vec<f32>>>> {
        let Some(head) = &self.head else { return Err(Error::Unsupported(HEADLESS.into())) };
        if head.is_of_pairs() {
            return self.compared(items);
        }
        if let Some(rows) = self.rows_of_parts(items) {
            return rows;
        }
        let (views, unreadable) = self.views_of(items)?;
        let others = self.other_clips(items)?;
        let outputs = match views {
            None => Vec::new(),
            Some(views) => {
                let _turn = self.turn();
                let pooled = self.pooled(&views)?;
                self.said_of_all(head, (&views, &pooled), &others)?.to_vec2::<f32>()?
            }
        };
        Ok(in_order(unreadable, outputs))
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    pub(super) fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        (!self.device.is_cpu()).then(|| self.turn.lock())
    }

    /// As they were measured: of models that say so the mean over the views and what a mirror shows of them.
    fn said(&self, head: &Head, views: &Input, pooled: &Tensor) -> Result<Tensor> {
        let plain = head.forward(pooled, Mode::Eval, 0)?;
        if !self.mirrors {
            return Ok(plain);
        }
        Ok(((plain + head.forward(&self.pooled(&views.mirrored()?)?, Mode::Eval, 0)?)? * 0.5)?)
    }

    /// The same, over other clips of the items, too.
    fn said_of_all(&self, head: &Head, (views, pooled): (&Input, &Tensor), others: &[Input]) -> Result<Tensor> {
        let mut sum = self.said(head, views, pooled)?;
        for clip in others {
            sum = (sum + self.said(head, clip, &self.pooled(clip)?)?)?;
        }
        Ok(if others.is_empty() { sum } else { (sum / (others.len() + 1) as f64)? })
    }

    /// To `(B, num_features)`.
    pub(super) fn pooled(&self, views: &Input) -> Result<Tensor> {
        let views = views.to_device(&self.device)?;
        Ok(self.backbone.pooled(&views, self.backbone.stages().len(), Mode::Eval)?)
    }
}
