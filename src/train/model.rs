//! The network of a run: a base's backbone (or a random one), a new head, and which of its tensors learn.

use std::sync::Arc;

use candle_core::{Device, Tensor, Var};

use super::Training;
use super::error::{Error, Result};
use super::estimate::check_adapters;
use super::features::{Scale, packed};
use super::feed::{Fed, Step};
use super::optim::Group;
use super::predict::obeyed;
use super::strategy::slice;
use super::tasks::Task;
use crate::data::modality::{Beside, Views};
use crate::domain::config::ModelConfig;
use crate::domain::recipe::{Norm, Optimizer, Recipe, RecipeError};
use crate::nn::architectures::{self, Architecture, Pool};
use crate::nn::heads::dense::{self, Below, Design};
use crate::nn::{Classifier, Dense, Head, Input, LowRank, Mode, Weights};

/// Tells the head's and adapters' random numbers from the backbone's and the data's.
const HEAD_SEED: u64 = 0x6865_6164;
const ADAPTER_SEED: u64 = 0x6c6f_7261;
const TIME_SEED: u64 = 0x7469_6d65;

pub struct Model {
    pub classifier: Classifier,
    /// Stages frozen from the bottom; all of them when only the head learns.
    pub frozen: usize,
    pub architecture: &'static Architecture,
    /// Where it lives, and where whatever it is given is taken to.
    pub device: Device,
    /// Digest of the backbone's weights before training.
    pub base_digest: [u8; 32],
    /// Everything a checkpoint must hold: parameters that learn, and the running statistics of trained stages.
    learned: Vec<(String, Var)>,
}

impl Model {
    /// Loads the base without its old head, or draws random weights, and puts a new head on.
    pub fn load(training: &Training, outputs: usize) -> Result<Model> {
        let recipe = training.recipe;
        obeyed(training.config)?;
        let architecture = architectures::get(&training.config.architecture)?;
        let (takes, given) = (architecture.modality(), training.dataset.modality.name());
        if !takes.serves(given) {
            return Err(Error::Unsupported(format!(
                "the base takes {}, and the data set holds {}; choose another one of the two",
                takes.items(),
                given.items()
            )));
        }
        let pool = architectures::pool_of(training.config).map_err(Error::Unsupported)?;
        let side = if recipe.image_size > 0 { recipe.image_size } else { training.config.preprocessing().height };
        let weights = match recipe.is_from_scratch() {
            true => Weights::random_at(architecture.name, side, recipe.seed)?,
            false => {
                let base = Weights::load(training.weights)?.without_head(dense::MODULE);
                architecture.fitted(base, side)?.without_head(architecture.classifier)
            }
        };
        let weights = architectures::with_time(architecture.name, weights, pool, recipe.seed ^ TIME_SEED)?;
        if let Some(name) = first_not_finite(weights.iter())? {
            return Err(Error::NonFinite { epoch: 0, step: 0, what: format!("the base's tensor `{name}`") });
        }
        let base_digest = pooled_digest(weights.digest()?, pool);
        let mut backbone = architectures::build_pooled(architecture.name, pool, &weights.to_device(training.device)?)?;
        if let Some((rank, perceptrons)) = recipe.adapters() {
            check_adapters(recipe, architecture)?;
            backbone.adapt(&LowRank { rank, alpha: recipe.lora_alpha, perceptrons, seed: recipe.seed ^ ADAPTER_SEED })?;
        }
        let head = Head::new(backbone.num_features(), outputs, recipe.dropout, recipe.seed ^ HEAD_SEED)?;
        let classifier = Classifier::new(architecture, backbone, head.on(training.device)?)?;
        let frozen = classifier.backbone.stages().len();
        let mut model = Model { classifier, frozen, architecture, device: training.device.clone(), base_digest, learned: Vec::new() };
        model.learn_above(frozen);
        Ok(model)
    }

    /// How items become views for it, by a config.
    pub fn views(&self, training: &Training, config: &ModelConfig) -> Result<Arc<dyn Views>> {
        let beside = Beside { files: training.beside, longest: self.architecture.longest() };
        Ok(training.dataset.modality.views_by(config, &beside)?)
    }

    /// From now on so many stages are frozen, and what is above them may change; what is below never does again.
    pub fn learn_above(&mut self, frozen: usize) {
        self.frozen = frozen;
        let above = || self.classifier.backbone.stages().iter().take(self.top()).skip(frozen);
        let parameters = above().flat_map(|stage| &stage.parameters);
        let body = parameters.chain(above().flat_map(|stage| &stage.buffers)).map(String::as_str);
        let weights = self.classifier.weights();
        let head = self.classifier.head.tensors().into_iter().map(|(name, _)| name);
        let names = body.map(str::to_owned).chain(head);
        self.learned = names.filter_map(|name| weights.get(&name).map(|var| (name.clone(), var.clone()))).collect();
    }

    /// Parameters with their rates: the body at `lr`, perhaps less further down, the head at `head_lr`.
    pub fn groups(&self, recipe: &Recipe, task: &dyn Task) -> Vec<Group> {
        let weights = self.classifier.backbone.weights();
        let decays = |name: &str, rank: usize| self.architecture.decays(name, rank);
        let stages = self.classifier.backbone.stages();
        let of = |stage: usize| stages[stage].parameters.iter().filter_map(|name| weights.get(name).map(|var| (name.clone(), var.clone())));
        let top = self.top();
        // What is learned over time starts anew, as the head does.
        let over_time: Vec<_> = (self.frozen..top).filter(|stage| stages[*stage].name == architectures::TIME).flat_map(of).collect();
        let above = self.frozen..stages.iter().position(|stage| stage.name == architectures::TIME).unwrap_or(top).max(self.frozen);
        let body: Vec<Group> = match above.clone().all(|stage| slice(recipe, stage, stages.len()) == 1.0) {
            true => Group::split(recipe.lr, recipe.weight_decay, above.flat_map(of).collect(), decays).into(),
            false => above
                .flat_map(|stage| {
                    let rate = recipe.lr * slice(recipe, stage, stages.len());
                    Group::split(rate, recipe.weight_decay, of(stage).collect(), decays)
                })
                .collect(),
        };
        let head = self.classifier.head.parameters().into_iter().map(|(name, var)| (name, var.clone())).chain(over_time).collect();
        // Adam's steps do not depend on the size of gradients.
        let factor = if recipe.optimizer == Optimizer::Sgd { task.head_rate(self.classifier.head.num_features()) } else { 1.0 };
        body.into_iter().chain(Group::split(recipe.head_lr * factor, recipe.weight_decay, head, decays)).collect()
    }

    /// Whether nothing above the freeze boundary belongs to the backbone.
    pub fn is_head_only(&self) -> bool {
        self.frozen >= self.top()
    }

    /// Stages that what is said hangs on: all, or those whose maps a head over maps looks at.
    pub fn top(&self) -> usize {
        let backbone = &*self.classifier.backbone;
        self.classifier.head.dense().map_or(backbone.stages().len(), |head| head.top(backbone))
    }

    /// Whether its head is one over maps.
    pub fn is_dense(&self) -> bool {
        self.classifier.head.dense().is_some()
    }

    /// Puts a head over maps on, in the place of the one it has; with the linear head it has beside it where it is to start from that.
    ///
    /// # Errors
    /// There is none of this name, or the network has no maps for it.
    pub fn put_dense(&mut self, name: &str, outputs: usize, (config, recipe): (&ModelConfig, &Recipe), from_linear: bool) -> Result<()> {
        if recipe.augment.multi_scale > 0.0 && self.classifier.backbone.patches().is_some() {
            let problem = "the network's positions are those of one side; set it to 0, or choose a network of convolutions";
            return Err(RecipeError { setting: "augment.multi_scale", problem: problem.into() }.into());
        }
        let (prepared, scales) = (config.preprocessing(), self.classifier.backbone.scales());
        let design = Design { scales, outputs, view: (prepared.height, prepared.width), shortcut: from_linear };
        let head = Dense::fresh(name, &design, recipe.seed ^ HEAD_SEED, &self.device)?;
        if from_linear && let [(_, weight), (_, bias)] = self.classifier.head.parameters().as_slice() {
            dense::start_from(&head, scales, weight, bias)?;
        }
        self.classifier.head = Head::Dense(Box::new(head));
        Ok(())
    }

    /// The fewest items a training step can do with: as many as the stages that learn need, or one.
    pub fn least_items(&self, recipe: &Recipe) -> usize {
        if self.is_head_only() || recipe.norm == Norm::Frozen { 1 } else { self.architecture.fewest_items() }
    }

    /// Puts another head on: `weight (outputs, features)` row by row, `bias (outputs)`.
    pub fn set_head(&self, weight: &[f32], bias: &[f32]) -> Result<()> {
        let parameters = self.classifier.head.parameters();
        let [(_, own), (_, shift)] = parameters.as_slice() else { return Ok(()) };
        own.set(&Tensor::from_slice(weight, own.shape(), own.device())?)?;
        shift.set(&Tensor::from_slice(bias, shift.shape(), shift.device())?)?;
        Ok(())
    }

    /// Puts on the head over maps of this name that is among published weights, where there is one; with tensors of its own.
    ///
    /// # Errors
    /// Tensors are missing or misshaped.
    pub fn take_dense(&mut self, name: &str, outputs: usize, config: &ModelConfig, weights: &Weights) -> Result<bool> {
        let (_, of_head) = weights.clone().split(dense::MODULE);
        if of_head.is_empty() {
            return Ok(false);
        }
        let (prepared, scales) = (config.preprocessing(), self.classifier.backbone.scales());
        let design = Design { scales, outputs, view: (prepared.height, prepared.width), shortcut: false };
        let head = Dense::given(name, &design, &of_head.deep_copy()?.to_device(&self.device)?)?;
        self.classifier.head = Head::Dense(Box::new(head));
        Ok(true)
    }

    /// Features that the frozen stages compute for views: maps `(B, H, W, C)`, channels last, of clips `(B, T, H, W, C)`, tokens `(B, N, D)`, or pooled features
    /// `(B, D)` where all stages are frozen. Constants, in eval mode.
    pub fn below(&self, views: &Input) -> Result<Tensor> {
        let (backbone, views) = (&self.classifier.backbone, views.to_device(&self.device)?);
        if self.is_dense() {
            let below = Below::nothing(&views).up_to(&**backbone, self.frozen, self.frozen, Mode::Eval)?;
            return packed::packed(&below, &**backbone);
        }
        if self.is_head_only() {
            return Ok(self.classifier.pooled(&views)?);
        }
        let mut x = views.tensor().clone();
        for stage in 0..self.frozen {
            x = backbone.forward_stage(stage, &x, Mode::Eval)?.detach();
        }
        Ok(match x.rank() {
            4 => x.permute((0, 2, 3, 1))?,
            5 => x.permute((0, 2, 3, 4, 1))?,
            _ => x,
        })
    }

    /// The head's outputs for the input of a step, with the stages it has not been through; where the items are seen in other views, too, the
    /// mean of all.
    pub fn outputs(&self, step: &Step, mode: Mode, number: u64) -> Result<Tensor> {
        let mut sum = self.outputs_of(&step.input, mode, number, false)?;
        // Rows of places under a linear head stand in another order in a mirror; it is measured on the plain view.
        let averages = self.is_dense() || self.classifier.backbone.scales().is_empty();
        if step.others.is_empty() || !averages {
            return Ok(sum);
        }
        for other in &step.others {
            // The other view of an image whose places are answered about is its mirror.
            sum = (sum + self.outputs_of(other, mode, number, self.is_dense())?)?;
        }
        Ok((sum / (step.others.len() + 1) as f64)?)
    }

    fn outputs_of(&self, input: &Fed, mode: Mode, number: u64, mirrored: bool) -> Result<Tensor> {
        let Classifier { backbone, head } = &self.classifier;
        if self.is_dense() {
            let below = match input {
                Fed::Views(views) => Below::nothing(&views.to_device(&self.device)?),
                Fed::Features(rows, passed) => packed::unpacked(rows, *passed, &**backbone, &self.device)?,
            };
            return Ok(self.classifier.of_places(below, self.frozen, mode, mirrored)?);
        }
        Ok(match input {
            Fed::Views(views) => self.classifier.forward(&views.to_device(&self.device)?, self.frozen, mode, number)?,
            Fed::Features(pooled, passed) if *passed == backbone.stages().len() => {
                head.forward(&pooled.to_device(&self.device)?, mode, number)?
            }
            Fed::Features(maps, passed) => {
                let maps = backbone.features_from(*passed, &maps.to_device(&self.device)?, self.frozen, mode)?;
                head.forward(&backbone.pool(&maps)?, mode, number)?
            }
        })
    }

    /// The same of views, as they are answered.
    pub fn outputs_of_views(&self, views: Input) -> Result<Tensor> {
        self.outputs_of(&Fed::Views(views), Mode::Eval, 0, false)
    }

    /// What is said about the input of a step, and the pooled features that it was said by, where it was.
    pub fn examined(&self, step: &Step) -> Result<(Tensor, Option<Tensor>)> {
        if self.is_dense() {
            return Ok((self.outputs(step, Mode::Eval, 0)?, None));
        }
        let pooled = self.pooled(step)?;
        // Over several views there is more to it than these features.
        let outputs = match step.others.is_empty() {
            false => self.outputs(step, Mode::Eval, 0)?,
            true => self.classifier.head.forward(&pooled, Mode::Eval, 0)?,
        };
        Ok((outputs, Some(pooled)))
    }

    /// All that changes.
    pub fn learned(&self) -> &[(String, Var)] {
        &self.learned
    }

    /// Makes what adapters have learned part of the weights they stand beside; nothing learns after that.
    pub fn merge_adapters(&mut self) -> Result<()> {
        self.classifier.backbone.merge_adapters()?;
        let weights = self.classifier.weights();
        self.learned.retain(|(name, _)| weights.get(name).is_some());
        Ok(())
    }

    /// Pooled features `(B, D)` for the input of a step, as the head takes them in when it answers.
    pub fn pooled(&self, step: &Step) -> Result<Tensor> {
        let backbone = &self.classifier.backbone;
        Ok(match &step.input {
            Fed::Views(views) => return self.pooled_views(views),
            Fed::Features(pooled, passed) if *passed == backbone.stages().len() => pooled.to_device(&self.device)?,
            Fed::Features(maps, passed) => {
                backbone.pool(&backbone.features_from(*passed, &maps.to_device(&self.device)?, self.frozen, Mode::Eval)?)?
            }
        })
    }

    /// The same for views.
    pub fn pooled_views(&self, views: &Input) -> Result<Tensor> {
        Ok(self.classifier.backbone.pooled(&views.to_device(&self.device)?, self.frozen, Mode::Eval)?)
    }

    /// Copies of all that has changed since the base.
    pub fn snapshot(&self) -> Result<Vec<(String, Tensor)>> {
        let copy = |(name, var): &(String, Var)| Ok((name.clone(), var.as_tensor().detach().copy()?));
        self.learned.iter().map(copy).collect()
    }

    /// Puts a snapshot back. Answers the name of a tensor that is missing or misshaped.
    pub fn restore(&self, mut take: impl FnMut(&str) -> Option<Tensor>) -> std::result::Result<(), String> {
        for (name, var) in &self.learned {
            take(name).and_then(|tensor| var.set(&tensor).ok()).ok_or_else(|| name.clone())?;
        }
        Ok(())
    }

    /// The first tensor that learns and holds something that is no number.
    pub fn first_not_finite(&self) -> Result<Option<String>> {
        first_not_finite(self.learned.iter().map(|(name, var)| (name.as_str(), var)))
    }

    /// Makes a head that answers in one unit one that answers in another: `w' = f w`, `b' = f b + s` with a factor and a shift
    /// for each of its rows.
    pub fn fold_outputs(&self, units: &[(f64, f64)]) -> Result<()> {
        let parameters = self.classifier.head.parameters();
        let [(_, weight), (_, bias)] = parameters.as_slice() else { return Ok(()) };
        let device = weight.device();
        let list = |of: fn(&(f64, f64)) -> f64| Tensor::new(units.iter().map(|unit| of(unit) as f32).collect::<Vec<_>>(), device);
        let (factors, shifts) = (list(|unit| unit.0)?, list(|unit| unit.1)?);
        weight.set(&weight.as_tensor().detach().broadcast_mul(&factors.unsqueeze(1)?)?)?;
        bias.set(&((bias.as_tensor().detach() * factors)? + shifts)?)?;
        Ok(())
    }

    /// Makes a head that learned on scaled features one for the features as they are: `W' = W s`, `b' = b - W' m`.
    pub fn fold(&self, scale: &Scale) -> Result<()> {
        let parameters = self.classifier.head.parameters();
        let [(_, weight), (_, bias)] = parameters.as_slice() else { return Ok(()) };
        let (mut rows, mut shifts) = (weight.to_vec2::<f32>()?, bias.to_vec1::<f32>()?);
        for (row, shift) in rows.iter_mut().zip(&mut shifts) {
            let mut moved = f64::from(*shift);
            for ((w, inverse), mean) in row.iter_mut().zip(&scale.inverse).zip(&scale.mean) {
                let folded = f64::from(*w) * inverse;
                moved -= folded * mean;
                *w = folded as f32;
            }
            *shift = moved as f32;
        }
        weight.set(&Tensor::new(rows, weight.device())?)?;
        bias.set(&Tensor::new(shifts, bias.device())?)?;
        Ok(())
    }
}

/// The same weights with another pooling make other features.
fn pooled_digest(mut digest: [u8; 32], pool: Pool) -> [u8; 32] {
    digest[0] ^= pool.key();
    digest
}

fn first_not_finite<'a>(tensors: impl Iterator<Item = (&'a str, &'a Var)>) -> Result<Option<String>> {
    for (name, var) in tensors {
        if var.flatten_all()?.to_vec1::<f32>()?.iter().any(|value| !value.is_finite()) {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}
