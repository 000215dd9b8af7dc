//! How many of the items have a target that is learned from, and what those without one are for.

use serde::{Deserialize, Serialize};

use super::{Compare, HeadSolver, Policy, Recipe, RecipeError, Strategy, range, whole};
use crate::domain::task::{Loss, Task};

/// What items without a target are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unlabelled {
    /// Nothing.
    #[default]
    Ignore,
    /// A model is trained without them and answers about them; where it is sure, its answers are learned from as if they were true.
    Pseudo,
    /// What a model is sure about in a weak view of an item it learns for a strong view of the same item, as it goes along.
    Fixmatch,
}
crate::domain::user::words!(Unlabelled, Ignore = "ignore", Pseudo = "pseudo", Fixmatch = "fixmatch");

pub(super) fn check(recipe: &Recipe) -> Result<(), RecipeError> {
    whole("shots", u64::from(recipe.shots), 0, 1_000)?;
    whole("draws", u64::from(recipe.draws), 1, 20)?;
    range("confidence", recipe.confidence, 0.5, 0.999_999)?;
    range("unlabelled_weight", recipe.unlabelled_weight, 0.0, 10.0)?;
    range("false_alarms", recipe.false_alarms, 0.0001, 0.5)?;
    if recipe.unlabelled == Unlabelled::Fixmatch && recipe.strategy == Strategy::Head {
        let problem =
            "fixmatch learns from views of images, and a head learns from features: set pseudo, or a strategy that trains stages".into();
        return Err(RecipeError { setting: "unlabelled", problem });
    }
    if recipe.draws > 1 && recipe.shots == 0 {
        let problem = "several draws are of so many images a class: set shots too".into();
        return Err(RecipeError { setting: "draws", problem });
    }
    Ok(())
}

/// What cannot be where places of an image are answered about.
fn of_places(recipe: &Recipe, task: Task) -> Result<(), RecipeError> {
    let refuse = |setting, why: &str| Err(RecipeError { setting, problem: format!("{task} is about places of an image; {why}") });
    match () {
        () if matches!(recipe.strategy, Strategy::Lora | Strategy::Contrast) => {
            refuse("strategy", "choose auto, head, full, freeze, lp-ft, gradual or scratch")
        }
        () if recipe.augment.mixes() => refuse("augment", "images cannot be mixed; set mixup and cutmix to 0"),
        () if recipe.augment.policy != Policy::None => {
            refuse("augment.policy", "shears and turns do not move targets along; set it to none, and crops, mirrors and colours do")
        }
        () if task.is_of_pixels() && recipe.decoder_of(task).is_none() => of_linear(recipe, task),
        () => Ok(()),
    }
}

/// Of pixels a linear head learns on features of the plain views, under which masks lie still.
fn of_linear(recipe: &Recipe, task: Task) -> Result<(), RecipeError> {
    let refuse = |setting, why: &str| {
        let problem = format!("{task} learns a linear head on features of whole images; {why}, or choose another decoder");
        Err(RecipeError { setting, problem })
    };
    match () {
        () if !matches!(recipe.strategy, Strategy::Auto | Strategy::Head) => refuse("strategy", "choose auto or head"),
        () if recipe.from_scratch => refuse("from_scratch", "no stage learns; leave it out"),
        () if recipe.loss.is_some_and(|loss| loss != Loss::CrossEntropy) => refuse("loss", "it is found by cross-entropy; leave it out"),
        () if recipe.augment.views > 0 => refuse("augment.views", "set it to 0"),
        () if recipe.tta_flip => refuse("tta_flip", "masks are not mirrored; set it to false"),
        () if recipe.compare != Compare::None => refuse("compare", "there is no curve to compare; leave it out"),
        () => Ok(()),
    }
}

pub(super) fn check_task(recipe: &Recipe, task: Task) -> Result<(), RecipeError> {
    let about = task.about();
    if about.good_only && !matches!(recipe.strategy, Strategy::Auto | Strategy::Head) {
        let problem =
            format!("{task} measures distances between features as the base makes them, and no stage learns; choose auto or head");
        return Err(RecipeError { setting: "strategy", problem });
    }
    if about.good_only && recipe.compare != Compare::None {
        let problem = format!("there is no curve of {task} to compare; leave it out, or set from_scratch to see what random features give");
        return Err(RecipeError { setting: "compare", problem });
    }
    if recipe.strategy == Strategy::Contrast && !about.one_class {
        let problem = format!("it brings items of one class together, and an item of {task} has not one class; choose another strategy");
        return Err(RecipeError { setting: "strategy", problem });
    }
    if recipe.shots > 0 && !about.one_class {
        let problem = format!("it counts images of a class, and an item of {task} has not one class; set it to 0");
        return Err(RecipeError { setting: "shots", problem });
    }
    if recipe.head_solver == HeadSolver::NearestMean && !about.one_class {
        let problem = format!("only classes have means, and an item of {task} has not one class; set it to convex");
        return Err(RecipeError { setting: "head_solver", problem });
    }
    if recipe.unlabelled != Unlabelled::Ignore && !about.one_class {
        let problem = format!("only probabilities of classes say how sure an answer is, and {task} has none; set it to ignore");
        return Err(RecipeError { setting: "unlabelled", problem });
    }
    if task.is_of_places() { of_places(recipe, task) } else { Ok(()) }
}
