//! What a recipe's strategy means for a network of so many stages: whether the probe comes first, what the head starts from, which
//! stages learn in which epochs, and at which rates.

mod choice;

pub use choice::{Choice, ENOUGH_ITEMS, Facts, TOP, choose, choose_decoder, noise};

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use crate::domain::recipe::{HeadSolver, Recipe, RecipeError, Strategy, Unlabelled};

/// Rates of `gradual` reach from a hundredth at the bottom to the whole at the top (Howard and Gugger 2020, `slice(lr/100, lr)`).
const SLICES: f64 = 100.0;

/// So many epochs with so many stages frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    pub frozen: usize,
    pub epochs: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Whether the best head on the base's features is found first; the head then starts from it.
    pub probe: bool,
    /// Frozen stages never become more. None: the probe is all.
    pub phases: Vec<Phase>,
}

impl Plan {
    /// Of a recipe for a backbone of so many stages; `convex` says whether the task's head can be solved for. What `auto` comes to is
    /// seen after the probe: here it is the probe alone.
    ///
    /// # Errors
    /// More frozen stages than there are.
    pub fn of(recipe: &Recipe, stages: usize, convex: bool, name: &str) -> Result<Plan> {
        let strategy = recipe.strategy;
        if strategy != Strategy::Head && recipe.frozen_stages > stages {
            let problem = format!("{name} has {stages} stages, {} cannot be frozen", recipe.frozen_stages);
            return Err(Error::Recipe(RecipeError { setting: "frozen_stages", problem }));
        }
        let solved = convex && recipe.head_solver != HeadSolver::Sgd;
        let (frozen, epochs) = (recipe.frozen_stages, recipe.epochs);
        let one = |probe, frozen| Plan { probe, phases: vec![Phase { frozen, epochs }] };
        Ok(match strategy {
            Strategy::Auto if recipe.from_scratch => one(false, frozen),
            // Views of items without a target teach stages, not a head.
            Strategy::Auto if solved && recipe.unlabelled == Unlabelled::Fixmatch => Plan::tuned(recipe, stages),
            Strategy::Auto | Strategy::Head if solved => Plan { probe: true, phases: Vec::new() },
            Strategy::Auto | Strategy::Head => one(false, stages),
            Strategy::Full | Strategy::Freeze | Strategy::Scratch | Strategy::Contrast => one(false, frozen),
            Strategy::LpFt if solved => one(true, frozen),
            Strategy::Lora => one(solved, frozen),
            Strategy::LpFt => Plan { probe: false, phases: head_first(stages, frozen, epochs) },
            Strategy::Gradual => Plan { probe: solved, phases: gradual(stages, frozen, epochs, !solved) },
        })
    }

    /// Of a task that has no head to find or to learn: stages learn from the base's features as they are.
    ///
    /// # Errors
    /// Nothing would learn.
    pub fn without_head(recipe: &Recipe, stages: usize) -> Result<Plan> {
        let (strategy, frozen) = (recipe.strategy, recipe.frozen_stages);
        let refuse = |setting, problem: String| Err(Error::Recipe(RecipeError { setting, problem }));
        if strategy == Strategy::Head {
            return refuse("strategy", "there is no head to learn where features are compared; choose full, lora or auto".into());
        }
        if frozen >= stages {
            return refuse("frozen_stages", format!("there are {stages} stages, and with {frozen} of them frozen nothing learns"));
        }
        let phases = match strategy {
            Strategy::Gradual => gradual(stages, frozen, recipe.epochs, false),
            _ => vec![Phase { frozen, epochs: recipe.epochs }],
        };
        Ok(Plan { probe: false, phases })
    }

    /// What `auto` goes on with where it does.
    pub fn tuned(recipe: &Recipe, stages: usize) -> Plan {
        Plan { probe: true, phases: vec![Phase { frozen: top(recipe, stages), epochs: recipe.epochs }] }
    }

    /// The same where a decoder over maps goes on from a linear head: all stages learn with it but those that the recipe freezes.
    pub fn decoded(recipe: &Recipe) -> Plan {
        Plan { probe: true, phases: vec![Phase { frozen: recipe.frozen_stages, epochs: recipe.epochs }] }
    }

    /// Of a head over maps that nothing can be solved for: it learns from the first step with all stages but those that the recipe freezes.
    pub fn from_nothing(recipe: &Recipe) -> Plan {
        Plan { probe: false, ..Plan::decoded(recipe) }
    }

    /// Epochs in all; the probe alone counts as one.
    pub fn epochs(&self) -> u32 {
        self.phases.iter().map(|phase| phase.epochs).sum::<u32>().max(1)
    }

    /// Stages that never learn, of so many.
    pub fn lowest(&self, stages: usize) -> usize {
        self.phases.iter().map(|phase| phase.frozen).min().unwrap_or(stages)
    }

    /// Stages that are frozen in the epoch after so many.
    pub fn frozen_after(&self, epochs: u32, stages: usize) -> usize {
        let mut ends = 0;
        let is_in = |phase: &&Phase| {
            ends += phase.epochs;
            epochs < ends
        };
        self.phases.iter().find(is_in).or(self.phases.last()).map_or(stages, |phase| phase.frozen)
    }
}

/// Stages that `auto` keeps as they are.
pub fn top(recipe: &Recipe, stages: usize) -> usize {
    if recipe.frozen_stages > 0 { recipe.frozen_stages.min(stages) } else { stages.saturating_sub(TOP) }
}

/// A third of the epochs for the head alone, at least one, then all that is to learn.
fn head_first(stages: usize, frozen: usize, epochs: u32) -> Vec<Phase> {
    let first = (epochs / 3).max(1);
    let phases = [Phase { frozen: stages, epochs: first }, Phase { frozen, epochs: epochs - first }];
    phases.into_iter().filter(|phase| phase.epochs > 0).collect()
}

/// One stage more in each phase, the last phase the longest; with fewer epochs than stages some phases let several in at once.
fn gradual(stages: usize, frozen: usize, epochs: u32, head_alone: bool) -> Vec<Phase> {
    let joining = stages - frozen;
    let steps = (joining + usize::from(head_alone)).clamp(1, epochs as usize);
    let each = epochs / steps as u32;
    let boundary = |step: usize| {
        let joined = if head_alone { step * joining / steps.saturating_sub(1).max(1) } else { (step + 1) * joining / steps };
        stages - joined.min(joining)
    };
    let mut phases: Vec<Phase> = (0..steps).map(|step| Phase { frozen: boundary(step), epochs: each }).collect();
    if let Some(last) = phases.last_mut() {
        *last = Phase { frozen, epochs: epochs - each * (steps as u32 - 1) };
    }
    phases
}

/// What the rate of a stage (from 0, the stem) of so many is multiplied by.
pub fn slice(recipe: &Recipe, stage: usize, stages: usize) -> f64 {
    let below = stages.saturating_sub(stage + 1);
    let decay = recipe.layer_decay.powi(below as i32);
    match recipe.strategy {
        Strategy::Gradual if stages > 1 => decay * SLICES.powf(-(below as f64) / (stages - 1) as f64),
        _ => decay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(strategy: Strategy, frozen_stages: usize, epochs: u32, convex: bool) -> Plan {
        Plan::of(&Recipe { strategy, frozen_stages, epochs, ..Recipe::default() }, 5, convex, "net").unwrap()
    }

    fn phases(plan: &Plan) -> Vec<(usize, u32)> {
        plan.phases.iter().map(|phase| (phase.frozen, phase.epochs)).collect()
    }

    #[test]
    fn strategies_say_who_learns_when() {
        assert_eq!(plan(Strategy::Head, 0, 10, true), Plan { probe: true, phases: vec![] });
        assert_eq!(phases(&plan(Strategy::Head, 0, 10, false)), [(5, 10)]);
        assert_eq!(phases(&plan(Strategy::Full, 2, 10, true)), [(2, 10)]);
        assert!(!plan(Strategy::Freeze, 2, 10, true).probe && plan(Strategy::LpFt, 2, 10, true).probe);
        let lora = plan(Strategy::Lora, 1, 10, true);
        assert!(lora.probe && phases(&lora) == [(1, 10)] && !plan(Strategy::Lora, 1, 10, false).probe);
        assert_eq!(phases(&plan(Strategy::LpFt, 2, 10, false)), [(5, 3), (2, 7)]);
        assert_eq!(phases(&plan(Strategy::LpFt, 2, 1, false)), [(5, 1)]);
        assert_eq!(phases(&plan(Strategy::Gradual, 0, 10, true)), [(4, 2), (3, 2), (2, 2), (1, 2), (0, 2)]);
        assert_eq!(phases(&plan(Strategy::Gradual, 0, 14, false)), [(5, 2), (4, 2), (3, 2), (2, 2), (1, 2), (0, 4)]);
        assert_eq!(phases(&plan(Strategy::Gradual, 3, 7, true)), [(4, 3), (3, 4)]);
        assert_eq!(phases(&plan(Strategy::Gradual, 0, 2, true)), [(3, 1), (0, 1)]);
        assert_eq!(phases(&plan(Strategy::Gradual, 5, 3, true)), [(5, 3)]);
        for (epochs, frozen, convex) in [(1, 0, true), (1, 0, false), (3, 1, false), (100, 0, true), (9, 4, false)] {
            let plan = plan(Strategy::Gradual, frozen, epochs, convex);
            assert!(plan.phases.windows(2).all(|pair| pair[0].frozen > pair[1].frozen), "{plan:?}");
            assert_eq!((plan.epochs(), plan.lowest(5)), (epochs, frozen), "{plan:?}");
        }
        assert!(Plan::of(&Recipe { frozen_stages: 6, ..Recipe::default() }, 5, true, "net").is_err());
        let bare = |strategy, frozen_stages| Plan::without_head(&Recipe { strategy, frozen_stages, ..Recipe::default() }, 5);
        assert_eq!(phases(&bare(Strategy::Auto, 0).unwrap()), [(0, 10)]);
        assert_eq!(phases(&bare(Strategy::Gradual, 3).unwrap()), [(4, 5), (3, 5)]);
        assert!(bare(Strategy::Head, 0).is_err() && bare(Strategy::Full, 5).is_err());
    }

    #[test]
    fn epochs_find_their_phase() {
        let plan = plan(Strategy::Gradual, 3, 7, true);
        assert_eq!((0..8).map(|epoch| plan.frozen_after(epoch, 5)).collect::<Vec<_>>(), [4, 4, 4, 3, 3, 3, 3, 3]);
        assert_eq!(Plan { probe: true, phases: vec![] }.frozen_after(0, 5), 5);
        assert_eq!(top(&Recipe { frozen_stages: 2, ..Recipe::default() }, 5), 2);
    }

    #[test]
    fn lower_stages_learn_more_slowly_where_asked() {
        let decayed = Recipe { layer_decay: 0.5, ..Recipe::default() };
        assert_eq!([0, 3, 4].map(|stage| slice(&decayed, stage, 5)), [0.0625, 0.5, 1.0]);
        assert_eq!(slice(&Recipe::default(), 0, 5), 1.0);
        let gradual = Recipe { strategy: Strategy::Gradual, ..Recipe::default() };
        assert!((slice(&gradual, 0, 5) - 0.01).abs() < 1e-12 && (slice(&gradual, 2, 5) - 0.1).abs() < 1e-12);
        assert_eq!((slice(&gradual, 4, 5), slice(&gradual, 0, 1)), (1.0, 1.0));
    }
}
