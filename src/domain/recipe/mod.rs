//! A recipe: everything that decides a fine-tune. The same recipe, seed and thread count give the same weights.

mod asked;
mod augment;
#[cfg(test)]
mod bounds_tests;
mod comparison;
mod decoder;
mod optimizer;
mod strategy;
mod supervision;
mod usual;
mod video;

use serde::{Deserialize, Serialize};

pub use asked::Asked;
pub use augment::{Augment, Policy};
pub use comparison::Compare;
pub use decoder::Decoder;
pub use optimizer::{Optimizer, Precision, Schedule};
pub use strategy::{ClassWeights, HeadSolver, Norm, Sampling, Strategy};
pub use supervision::Unlabelled;
pub use video::{FramePool, FrameSampling, MOST_CLIPS, MOST_FRAMES, Video};

use super::modality::Modality;
use super::task::{Loss, Task};

/// Every default names what it rests on; `docs/FINETUNE.md` lists the sources. What nothing but judgement speaks for
/// says so. Rates are per step, sizes in images or pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// `auto`: the best head on the features as they are is the baseline that any fine-tune has to beat, and with 47 to 800 examples in
    /// all it does as well or better (Kornblith 2019); with more, fine-tuning from it beats both (Kumar 2022).
    pub strategy: Strategy,
    /// Stages frozen from the bottom (stem = 1); `head` freezes all. 0: `auto` chooses, the others freeze none.
    pub frozen_stages: usize,
    /// 10: 4,000 images make 1,250 steps; BiT takes 500 for small data sets at its batch of 512, Kornblith reports
    /// 1,151 steps to convergence.
    pub epochs: u32,
    /// `sgd`: what the rates below were measured with (BiT, Transfer Learning Library).
    pub optimizer: Optimizer,
    /// Learning rate of the backbone: 1e-3 (Transfer Learning Library; BiT has 1e-3 at a batch of 128).
    pub lr: f64,
    /// Learning rate of the head: 1e-2, ten times the backbone's (Transfer Learning Library), since it starts anew.
    /// With `head` it acts on features brought to unit variance, so that it fits every backbone alike.
    pub head_lr: f64,
    /// 32, by judgement: enough for batch norm's statistics, little enough for memory.
    pub batch_size: usize,
    /// 5e-4 (Transfer Learning Library). Not on biases and batch norm (Goyal 2017).
    pub weight_decay: f64,
    /// 0: no evidence for small data sets was found.
    pub label_smoothing: f64,
    /// 0: as label smoothing.
    pub dropout: f64,
    /// Linear warm-up, as a share of all steps; cosine decay follows. 0.05: BiT warms up for 500 steps of 10,000.
    pub warmup: f64,
    pub augment: Augment,
    /// Input side in pixels; 0 takes the model's own.
    pub image_size: usize,
    /// Share of the training images held out when the data set has no `val` split: 0.2, by judgement. With fewer
    /// than ten training images per class none are held out.
    pub validation: f64,
    /// Epochs without a better validation top-1 before stopping; 0 never stops early.
    pub patience: u32,
    pub seed: u64,
    /// Start from random weights instead of the backbone's (the honest comparison).
    pub from_scratch: bool,
    /// CPU threads; 0 takes what the machine has.
    pub threads: usize,
    /// `f32`. `bf16` is quicker where the processor multiplies it and changes the last digits of what is learnt;
    /// where it does not, f32 is used and the job says so.
    pub precision: Precision,
    /// What the items are: settings that nobody names are those that are usual for them ([`Recipe::usual`]). Admission writes it down.
    #[serde(skip_serializing_if = "is_default")]
    pub modality: Modality,
    /// What the head is to say; left out, what the data set's targets are for. Admission writes it down.
    pub task: Option<Task>,
    /// What is minimised; left out, the task's first choice.
    pub loss: Option<Loss>,
    /// `cosine`: what BiT's successors and timm's fine-tunes use; it has no moments to choose.
    pub schedule: Schedule,
    /// Of `sgd`: 0.9 (BiT, Transfer Learning Library).
    pub momentum: f64,
    /// Of `adamw`: 0.9 and 0.999 (Kingma and Ba 2015, PyTorch's default).
    pub betas: [f64; 2],
    /// The largest norm of all gradients together; what is longer is shortened to it. 0, off: nothing measured speaks for it
    /// at these rates; 1 is usual for transformers.
    pub clip_norm: f64,
    /// Batches whose gradients make one step, so that `accumulate` times `batch_size` items count as one batch. 1.
    pub accumulate: u32,
    /// Decay of a moving average of the weights, which is then what is measured and published; 0 is off: over the few
    /// hundred steps of a small data set the average is mostly older weights.
    pub ema: f64,
    /// Images are measured and predicted plain and mirrored, and what the head says of both is averaged. Off: it doubles what an answer
    /// costs, and where left and right mean something it is wrong.
    pub tta_flip: bool,
    /// Rank of low-rank adapters that learn in the place of a transformer's own weights and become part of them in the end; 0 is
    /// off, 8 is usual (Hu et al. 2021 has 4 to 8).
    pub lora_rank: usize,
    /// What adapters are multiplied by, over their rank: 16, twice the usual rank (Hu et al. 2021 sets it once and tunes the rate).
    pub lora_alpha: f64,
    /// Adapters beside the layers of perceptrons too, not of attention alone. Off (Hu et al. 2021 adapts attention).
    pub lora_perceptrons: bool,
    /// Training images of each class, drawn by `seed`; 0 takes all. Without a `val` split all others are measured on.
    pub shots: u32,
    /// So many draws of `shots` are trained and told with their mean and spread; the first is published. 1.
    pub draws: u32,
    /// What images without a class are for.
    pub unlabelled: Unlabelled,
    /// How sure an answer about such an image must be to be learned from: 0.95 (FixMatch, Sohn 2020).
    pub confidence: f64,
    /// How much they count beside those with a class: 1 (FixMatch).
    pub unlabelled_weight: f64,
    /// Share of good images that may be called anomalies: 0.05, by judgement; a line that stops for each asks for less.
    pub false_alarms: f64,
    /// `convex`: a head on frozen features has one optimum, which needs no rates and no epochs.
    pub head_solver: HeadSolver,
    /// `batch`: what stages that learn were made for; SimCLR's rule for the running statistics.
    pub norm: Norm,
    /// What each stage's rate is multiplied by for the one below it; 1, off: nothing measured here speaks for it with networks of
    /// convolutions (Clark 2020 and Bao 2022 use 0.65 to 0.9 with transformers).
    pub layer_decay: f64,
    /// `none`: accuracy over all items is what is asked for by default; macro F1 beside it says what small classes lost.
    pub class_weights: ClassWeights,
    /// `shuffled`, likewise.
    pub sampling: Sampling,
    /// `none`: training from random weights as well costs several times a fine-tune.
    pub compare: Compare,
    /// On: the best head on the base's features is found beside a run that does not start from it, so that the report can say whether
    /// training stages was worth it. It costs one pass forward over the items, where an epoch costs three.
    pub compare_probe: bool,
    /// Look for `lr` before training, on copies of the weights (Smith 2017); the other rates keep their ratio to it. Off: the default
    /// rates were measured, and what a test of a few steps finds moves with the seed.
    pub find_lr: bool,
    /// Where places of an image are answered about, the layers that do it. `auto`: a linear head with `head`, and otherwise one that is
    /// trained with the stages under it, from the linear one where the strategy starts from the probe.
    pub decoder: Decoder,
    /// Publish also what is not better than always the same answer. Off: such a model is of no use, and who finds it cannot know.
    pub publish_anyway: bool,
    /// Of videos: which frames are seen, and how what is said of each becomes one.
    pub video: Video,
}

impl Default for Recipe {
    fn default() -> Self {
        Recipe {
            strategy: Strategy::Auto,
            frozen_stages: 0,
            epochs: 10,
            optimizer: Optimizer::Sgd,
            lr: 1e-3,
            head_lr: 1e-2,
            batch_size: 32,
            weight_decay: 5e-4,
            label_smoothing: 0.0,
            dropout: 0.0,
            warmup: 0.05,
            augment: Augment::default(),
            image_size: 0,
            validation: 0.2,
            patience: 0,
            seed: 0,
            from_scratch: false,
            threads: 0,
            precision: Precision::F32,
            modality: Modality::default(),
            task: None,
            loss: None,
            schedule: Schedule::default(),
            momentum: 0.9,
            betas: [0.9, 0.999],
            clip_norm: 0.0,
            accumulate: 1,
            ema: 0.0,
            tta_flip: false,
            lora_rank: 0,
            lora_alpha: 16.0,
            lora_perceptrons: false,
            shots: 0,
            draws: 1,
            unlabelled: Unlabelled::Ignore,
            confidence: 0.95,
            unlabelled_weight: 1.0,
            false_alarms: 0.05,
            head_solver: HeadSolver::Convex,
            norm: Norm::Batch,
            layer_decay: 1.0,
            class_weights: ClassWeights::None,
            sampling: Sampling::Shuffled,
            compare: Compare::None,
            compare_probe: true,
            find_lr: false,
            decoder: Decoder::Auto,
            publish_anyway: false,
            video: Video::default(),
        }
    }
}

/// Which setting of a recipe is out of bounds, and what would do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct RecipeError {
    pub setting: &'static str,
    pub problem: String,
}

impl Recipe {
    /// Refuses what could not train or would never end.
    pub fn check(&self) -> Result<(), RecipeError> {
        range("lr", self.lr, 1e-8, 10.0)?;
        range("head_lr", self.head_lr, 1e-8, 10.0)?;
        range("weight_decay", self.weight_decay, 0.0, 1.0)?;
        range("label_smoothing", self.label_smoothing, 0.0, 0.9)?;
        range("dropout", self.dropout, 0.0, 0.95)?;
        range("warmup", self.warmup, 0.0, 0.9)?;
        range("validation", self.validation, 0.01, 0.9)?;
        whole("epochs", u64::from(self.epochs), 1, 1_000)?;
        whole("batch_size", self.batch_size as u64, 1, 1_024)?;
        whole("frozen_stages", self.frozen_stages as u64, 0, 64)?;
        whole("patience", u64::from(self.patience), 0, 1_000)?;
        self.augment.check()?;
        self.video.check()?;
        self.check_modality()?;
        optimizer::check(self)?;
        supervision::check(self)?;
        self.check_strategy()?;
        if self.augment.mixes() && self.strategy == Strategy::Head {
            let (setting, problem) = ("augment", "mixup and cutmix mix images, and the strategy head learns from features".into());
            return Err(RecipeError { setting, problem });
        }
        whole("threads", self.threads as u64, 0, 512)?;
        if self.image_size != 0 {
            whole("image_size", self.image_size as u64, 32, 640)?;
        }
        self.task.map_or(Ok(()), |task| self.check_task(task).map(drop))
    }

    /// What is trained for on targets of this task; refuses settings that belong to another.
    pub fn check_task(&self, targets: Task) -> Result<Task, RecipeError> {
        let refuse = |setting, problem| Err(RecipeError { setting, problem });
        let Some(task) = targets.asked(self.task.unwrap_or(targets)) else {
            return refuse("task", format!("the data set's targets are for {targets}; leave it out, or publish targets of another kind"));
        };
        if let Some(loss) = self.loss.filter(|loss| !task.about().losses.contains(loss)) {
            let known: Vec<_> = task.about().losses.iter().map(|loss| loss.as_str()).collect();
            return refuse("loss", format!("{loss} is not a loss of {task}, which takes {}", known.join(" or ")));
        }
        if self.label_smoothing > 0.0 && !task.about().one_class {
            return refuse("label_smoothing", format!("there are no classes to spread over in {task}; set it to 0"));
        }
        supervision::check_task(self, task)?;
        self.check_decoder(task)?;
        self.augment.check_task(self, task)?;
        // Pixels may count by their classes; images are not drawn by those.
        let weighs = task.is_of_pixels() && self.decoder_of(task).is_some();
        if let (Some(setting), false) = (self.balances().filter(|setting| !weighs || *setting == "sampling"), task.about().one_class) {
            return refuse(setting, format!("there are no classes to balance in {task}; leave it out"));
        }
        Ok(task)
    }

    /// The loss to minimise in this task.
    pub fn loss_of(&self, task: Task) -> Loss {
        self.loss.unwrap_or(task.about().losses[0])
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn range(setting: &'static str, value: f64, low: f64, high: f64) -> Result<(), RecipeError> {
    if value.is_finite() && (low..=high).contains(&value) {
        return Ok(());
    }
    Err(RecipeError { setting, problem: format!("{value} is not a number between {low} and {high}") })
}

fn whole(setting: &'static str, value: u64, low: u64, high: u64) -> Result<(), RecipeError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(RecipeError { setting, problem: format!("{value} is not between {low} and {high}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_bounds_and_survive_json() {
        let recipe = Recipe::default();
        recipe.check().unwrap();
        let text = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), recipe);
        assert_eq!(serde_json::from_str::<Recipe>("{}").unwrap(), recipe);
        let some: Recipe = serde_json::from_str(r#"{"strategy": "full", "augment": {"views": 3}}"#).unwrap();
        assert_eq!((some.strategy, some.augment.views, some.augment.horizontal_flip), (Strategy::Full, 3, true));
        assert!(serde_json::from_str::<Recipe>(r#"{"learning_rate": 1}"#).is_err(), "a misspelt setting is not passed over");
    }

    #[test]
    fn settings_out_of_bounds_are_named() {
        type Spoil = (&'static str, fn(&mut Recipe));
        let bad: &[Spoil] = &[
            ("lr", |r| r.lr = f64::NAN),
            ("lr", |r| r.lr = -1.0),
            ("head_lr", |r| r.head_lr = f64::INFINITY),
            ("weight_decay", |r| r.weight_decay = 1.5),
            ("label_smoothing", |r| r.label_smoothing = 1.0),
            ("warmup", |r| r.warmup = -0.1),
            ("validation", |r| r.validation = 1.0),
            ("augment.crop_min_area", |r| r.augment.crop_min_area = 0.0),
            ("epochs", |r| r.epochs = 1_000_000_000),
            ("epochs", |r| r.epochs = 0),
            ("batch_size", |r| r.batch_size = 0),
            ("image_size", |r| r.image_size = 31),
            ("augment.rand_magnitude", |r| r.augment.rand_magnitude = 31),
            ("augment.rand_ops", |r| r.augment.rand_ops = 0),
            ("augment.hue", |r| r.augment.hue = 0.6),
            ("augment.brightness", |r| r.augment.brightness = f64::NAN),
            ("augment.erase", |r| r.augment.erase = 1.1),
            ("augment.mixup", |r| r.augment.mixup = -0.1),
            ("augment.cutmix", |r| r.augment.cutmix = f64::INFINITY),
            ("lora_rank", |r| r.lora_rank = 1_000),
            ("lora_rank", |r| (r.strategy, r.lora_rank) = (Strategy::Head, 8)),
            ("lora_alpha", |r| r.lora_alpha = 0.0),
            ("momentum", |r| r.momentum = 1.0),
            ("betas", |r| r.betas = [0.9, 1.0]),
            ("clip_norm", |r| r.clip_norm = -1.0),
            ("accumulate", |r| r.accumulate = 0),
            ("ema", |r| r.ema = 1.0),
        ];
        for (setting, spoil) in bad {
            let mut recipe = Recipe::default();
            spoil(&mut recipe);
            assert_eq!(recipe.check().unwrap_err().setting, *setting);
        }
    }
}
