//! How much of the backbone learns, in which order, and what it starts from.

use serde::{Deserialize, Serialize};

use super::{Recipe, RecipeError, range};

/// How much of the backbone learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The probe first (the best head on the features as they are); then, where the data set is large enough and there is something
    /// to gain, the upper stages too, from the probe. Never ends below the probe.
    Auto,
    /// The backbone stays frozen; only the head learns, on cached features.
    Head,
    /// Everything above `frozen_stages` learns, from a new head.
    Full,
    /// As `full`, with `frozen_stages` named.
    Freeze,
    /// Everything above `frozen_stages` learns, from the probe's head.
    LpFt,
    /// From the probe's head one stage after the other joins in, from the top down to `frozen_stages`.
    Gradual,
    /// From the probe's head, low-rank adapters beside every linear layer of a transformer learn, and all else stays.
    Lora,
    /// For a few items of each class: everything above `frozen_stages` learns to bring items of one class together and others apart,
    /// then the best head is found on the features that come of it (Tunstall et al. 2022, SetFit). Never ends below the probe.
    Contrast,
    /// Everything learns, from random weights.
    Scratch,
}
crate::domain::user::words!(
    Strategy,
    Auto = "auto",
    Head = "head",
    Full = "full",
    Freeze = "freeze",
    LpFt = "lp-ft",
    Gradual = "gradual",
    Lora = "lora",
    Contrast = "contrast",
    Scratch = "scratch"
);

impl Strategy {
    pub const ALL: [Strategy; 9] = [
        Strategy::Auto,
        Strategy::Head,
        Strategy::Full,
        Strategy::Freeze,
        Strategy::LpFt,
        Strategy::Gradual,
        Strategy::Lora,
        Strategy::Contrast,
        Strategy::Scratch,
    ];
}

/// How a head on frozen features is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadSolver {
    /// Its optimum, by L-BFGS or in closed form, with the penalty that does best on what is not learned from.
    #[default]
    Convex,
    /// By the recipe's optimiser over `epochs`, as the backbone learns.
    Sgd,
    /// Not learned at all: the class whose mean features are nearest (Mensink et al. 2013, Snell et al. 2017), written as a linear head.
    #[serde(rename = "nearest_mean")]
    NearestMean,
}

/// Rank of the strategy `lora` unless the recipe says another: Hu et al. 2021 have 4 to 8.
const RANK: usize = 8;

/// What batch norms of stages that learn normalise by. Those of frozen stages keep what they were published with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// The batch's mean and variance; the running ones follow it.
    #[default]
    Batch,
    /// The running mean and variance that the base was published with: batches may be as small as one item.
    Frozen,
}

/// How much items count by the size of their class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeights {
    #[default]
    None,
    /// Every class counts alike: items by one over the size of their class.
    Balanced,
    /// Half way there: by one over its square root.
    Sqrt,
}

/// Which items an epoch shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// Each once, in a new order.
    #[default]
    Shuffled,
    /// As many, drawn with replacement so that every class comes as often.
    Balanced,
}

impl Recipe {
    /// Whether the backbone starts from random weights.
    pub fn is_from_scratch(&self) -> bool {
        self.from_scratch || self.strategy == Strategy::Scratch
    }

    /// The rank of low-rank adapters and whether they stand beside perceptrons, too, where there are any.
    pub fn adapters(&self) -> Option<(usize, bool)> {
        let rank = if self.lora_rank == 0 && self.strategy == Strategy::Lora { RANK } else { self.lora_rank };
        (rank > 0).then_some((rank, self.lora_perceptrons || self.strategy == Strategy::Lora))
    }

    /// The setting by which adapters are asked for.
    pub fn asks_for_adapters(&self) -> &'static str {
        if self.strategy == Strategy::Lora { "strategy" } else { "lora_rank" }
    }

    /// Whether anything is asked for that only classes have.
    pub(super) fn balances(&self) -> Option<&'static str> {
        match (self.class_weights, self.sampling) {
            (ClassWeights::None, Sampling::Shuffled) => None,
            (ClassWeights::None, _) => Some("sampling"),
            _ => Some("class_weights"),
        }
    }

    pub(super) fn check_strategy(&self) -> Result<(), RecipeError> {
        let refuse = |setting, problem: &str| Err(RecipeError { setting, problem: problem.into() });
        range("layer_decay", self.layer_decay, 0.1, 1.0)?;
        match self.strategy {
            Strategy::Freeze if self.frozen_stages == 0 => refuse(
                "frozen_stages",
                "`freeze` keeps this many stages from the input as they are: 1 or more; or choose the strategy `full`",
            ),
            Strategy::Scratch if self.frozen_stages > 0 => {
                refuse("frozen_stages", "stages of random weights that never learn are of no use to `scratch`; set it to 0")
            }
            Strategy::Lora if self.from_scratch => refuse(
                "from_scratch",
                "adapters change little, and there is nothing in random weights to keep; choose the strategy `scratch`",
            ),
            Strategy::Contrast if self.from_scratch => {
                refuse("from_scratch", "a few items teach random weights nothing; choose the strategy `scratch` and more of them")
            }
            Strategy::Contrast if self.augment.mixes() => {
                refuse("augment", "mixtures belong to no class that could be told from others; set mixup and cutmix to 0")
            }
            Strategy::Contrast if self.unlabelled != super::Unlabelled::Ignore => {
                refuse("unlabelled", "`contrast` learns from items of known classes alone; set it to ignore")
            }
            Strategy::Head if self.find_lr && self.head_solver != HeadSolver::Sgd => {
                refuse("find_lr", "the head is solved for and takes no rate; leave it out, or set head_solver to `sgd`")
            }
            Strategy::Gradual if self.from_scratch => {
                refuse("from_scratch", "there is nothing to unfreeze gradually in random weights; choose the strategy `scratch`")
            }
            _ if self.class_weights != ClassWeights::None && self.sampling != Sampling::Shuffled => {
                refuse("sampling", "balanced sampling and class weights do the same twice; choose one of them")
            }
            _ if self.is_from_scratch() && self.norm == Norm::Frozen => {
                refuse("norm", "random weights have no running statistics to keep; set it to `batch`")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_strategy_has_its_word() {
        for strategy in Strategy::ALL {
            assert_eq!(Strategy::parse(strategy.as_str()), Some(strategy));
            assert_eq!(serde_json::to_value(strategy).unwrap(), strategy.as_str());
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused_by_name() {
        type Spoil = fn(&mut Recipe);
        let bad: [(&str, Spoil); 12] = [
            ("from_scratch", |r| (r.strategy, r.from_scratch) = (Strategy::Lora, true)),
            ("from_scratch", |r| (r.strategy, r.from_scratch) = (Strategy::Contrast, true)),
            ("augment", |r| (r.strategy, r.augment.mixup) = (Strategy::Contrast, 0.2)),
            ("unlabelled", |r| (r.strategy, r.unlabelled) = (Strategy::Contrast, crate::domain::recipe::Unlabelled::Pseudo)),
            ("find_lr", |r| (r.strategy, r.find_lr) = (Strategy::Head, true)),
            ("lora_rank", |r| (r.strategy, r.lora_rank) = (Strategy::Head, 8)),
            ("layer_decay", |r| r.layer_decay = 0.0),
            ("frozen_stages", |r| r.strategy = Strategy::Freeze),
            ("frozen_stages", |r| (r.strategy, r.frozen_stages) = (Strategy::Scratch, 1)),
            ("from_scratch", |r| (r.strategy, r.from_scratch) = (Strategy::Gradual, true)),
            ("sampling", |r| (r.class_weights, r.sampling) = (ClassWeights::Sqrt, Sampling::Balanced)),
            ("norm", |r| (r.from_scratch, r.norm) = (true, Norm::Frozen)),
        ];
        for (setting, spoil) in bad {
            let mut recipe = Recipe::default();
            spoil(&mut recipe);
            assert_eq!(recipe.check().unwrap_err().setting, setting);
        }
        let adapters = |strategy, lora_rank| Recipe { strategy, lora_rank, ..Recipe::default() }.adapters();
        assert_eq!([adapters(Strategy::Full, 0), adapters(Strategy::Full, 4)], [None, Some((4, false))]);
        assert_eq!([adapters(Strategy::Lora, 0), adapters(Strategy::Lora, 4)], [Some((8, true)), Some((4, true))]);
        let numbers = Recipe { class_weights: ClassWeights::Balanced, ..Recipe::default() };
        let without = crate::domain::task::Task::ALL.into_iter().find(|task| !task.about().one_class).unwrap();
        assert_eq!(numbers.check_task(without).unwrap_err().setting, "class_weights");
        let means = Recipe { head_solver: HeadSolver::NearestMean, ..Recipe::default() };
        assert_eq!(means.check_task(without).unwrap_err().setting, "head_solver");
        assert_eq!(serde_json::to_value(HeadSolver::NearestMean).unwrap(), "nearest_mean");
    }
}
