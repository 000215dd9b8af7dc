//! What a fine-tune is run beside.

use serde::{Deserialize, Serialize};

use super::{Norm, Recipe, Strategy};

/// What else is trained, to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compare {
    /// Nothing.
    #[default]
    None,
    /// The whole network from random weights, over the same items and as many epochs: what the base saved, and whether it ended higher.
    Scratch,
}
crate::domain::user::words!(Compare, None = "none", Scratch = "scratch");

impl Recipe {
    /// The recipe of a run from random weights with the budget of this one. All of it learns, at the rate of what starts anew.
    pub fn scratch(&self) -> Recipe {
        Recipe {
            strategy: Strategy::Full,
            frozen_stages: 0,
            from_scratch: true,
            lr: self.head_lr,
            patience: 0,
            draws: 1,
            compare: Compare::None,
            find_lr: false,
            // There is no norm of a base to keep.
            norm: Norm::Batch,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_that_of_the_fine_tune() {
        let recipe = Recipe { epochs: 7, seed: 3, head_lr: 0.02, compare: Compare::Scratch, patience: 2, ..Recipe::default() };
        let scratch = recipe.scratch();
        assert_eq!((scratch.epochs, scratch.seed, scratch.lr, scratch.patience), (7, 3, 0.02, 0));
        assert!(scratch.from_scratch && scratch.strategy == Strategy::Full && scratch.compare == Compare::None);
        scratch.check().unwrap();
    }
}
