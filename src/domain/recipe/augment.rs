//! Random views for training.

use serde::{Deserialize, Serialize};

use super::{Recipe, RecipeError, Strategy, range, whole};
use crate::domain::task::Task;

/// Sides of views are apart by this many pixels where they are drawn: the coarsest stride of the maps that are looked at.
const STEP: usize = 32;

/// Operations of geometry and colour, drawn anew for each view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    #[default]
    None,
    /// `rand_ops` operations at `rand_magnitude` (Cubuk et al. 2020).
    RandAugment,
    /// One operation at a magnitude that is drawn, too: the wide space (Müller and Hutter 2021).
    TrivialAugment,
}

/// Random views for training. Evaluation and prediction always see the plain view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Random resized crop: the smallest share of the image's area a crop may take; 1 switches it off. 0.6, by
    /// judgement: the usual 0.08 is meant for hundreds of epochs over a million images.
    pub crop_min_area: f64,
    /// On; switch it off where left and right mean something (digits, letters, road signs).
    pub horizontal_flip: bool,
    /// How many augmented views of each image take turns from epoch to epoch with its plain view, so that frozen
    /// stages are run once for each and never again. 0: with `head`, the plain view only; with `full`, new views in
    /// each epoch, for which frozen stages are run anew. Without frozen stages it is passed over.
    pub views: u32,
    /// None: they are meant for training from random weights over hundreds of epochs; no evidence for small data sets was found.
    pub policy: Policy,
    /// Of `rand-augment`: 2 (its paper, for ImageNet).
    pub rand_ops: u32,
    /// Of `rand-augment`, 0 to 30: 9 (its paper, for ImageNet).
    pub rand_magnitude: u32,
    /// How far brightness, contrast and saturation are drawn around 1, as torchvision's `ColorJitter` does. 0: colours are what
    /// many small data sets are told apart by.
    pub brightness: f64,
    pub contrast: f64,
    pub saturation: f64,
    /// How far hues are turned either way, as a share of the circle. 0, as those.
    pub hue: f64,
    /// The chance that a box of a view is set to the mean colour (Zhong et al. 2020). 0, as `policy`.
    pub erase: f64,
    /// Each step's images are mixed in pairs, by a share drawn from Beta(a, a) with this a (Zhang et al. 2018). 0: BiT mixes, at 0.1,
    /// from 20,000 images on.
    pub mixup: f64,
    /// The same with a box of the other image in place of a mixture (Yun et al. 2019). 0, as `mixup`. With both, each step draws one.
    pub cutmix: f64,
    /// Of places of images: the chance that a view shows parts of four images, with their targets (mosaic, Bochkovskiy et al. 2020). Off in the
    /// last tenth of the epochs. 0: objects are then about half as large as they are in what is answered about, which hurts small ones at small
    /// sides, and crops change scale and place already.
    pub mosaic: f64,
    /// Of objects in boxes: how far the sides of a step's views are drawn around the input's, as a share of it, in steps of 32 pixels (Redmon and
    /// Farhadi 2017). 0: crops change scale already, and answers are given at one side.
    pub multi_scale: f64,
}

impl Default for Augment {
    fn default() -> Self {
        Augment {
            crop_min_area: 0.6,
            horizontal_flip: true,
            views: 0,
            policy: Policy::None,
            rand_ops: 2,
            rand_magnitude: 9,
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            hue: 0.0,
            erase: 0.0,
            mixup: 0.0,
            cutmix: 0.0,
            mosaic: 0.0,
            multi_scale: 0.0,
        }
    }
}

impl Augment {
    /// No view but the plain one.
    pub fn none() -> Augment {
        Augment { crop_min_area: 1.0, horizontal_flip: false, ..Augment::default() }
    }

    pub(super) fn check(&self) -> Result<(), RecipeError> {
        range("augment.crop_min_area", self.crop_min_area, 0.05, 1.0)?;
        whole("augment.views", u64::from(self.views), 0, 32)?;
        whole("augment.rand_ops", u64::from(self.rand_ops), 1, 8)?;
        whole("augment.rand_magnitude", u64::from(self.rand_magnitude), 0, 30)?;
        range("augment.brightness", self.brightness, 0.0, 2.0)?;
        range("augment.contrast", self.contrast, 0.0, 2.0)?;
        range("augment.saturation", self.saturation, 0.0, 2.0)?;
        range("augment.hue", self.hue, 0.0, 0.5)?;
        range("augment.erase", self.erase, 0.0, 1.0)?;
        range("augment.mixup", self.mixup, 0.0, 32.0)?;
        range("augment.cutmix", self.cutmix, 0.0, 32.0)?;
        range("augment.mosaic", self.mosaic, 0.0, 1.0)?;
        range("augment.multi_scale", self.multi_scale, 0.0, 0.75)
    }

    /// Refuses what is made of whole steps where a task or a strategy has no place for it.
    pub(super) fn check_task(&self, recipe: &Recipe, task: Task) -> Result<(), RecipeError> {
        let refuse = |setting, why: String| Err(RecipeError { setting, problem: format!("{why}; set it to 0") });
        let learns_views = recipe.strategy != Strategy::Head && recipe.decoder_of(task).is_some();
        match () {
            () if self.mosaic > 0.0 && !task.is_of_places() => {
                refuse("augment.mosaic", format!("targets of {task} do not move with parts of an image"))
            }
            () if self.multi_scale > 0.0 && (!task.is_of_places() || task.is_of_pixels()) => {
                refuse("augment.multi_scale", format!("it is for objects in boxes, and {task} is answered at one side"))
            }
            () if (self.mosaic > 0.0 || self.multi_scale > 0.0) && !learns_views => {
                refuse(self.of_steps(), "a head that learns alone does so from maps of plain views that are kept".into())
            }
            () => Ok(()),
        }
    }

    /// The setting by which views are made of whole steps.
    fn of_steps(&self) -> &'static str {
        if self.mosaic > 0.0 { "augment.mosaic" } else { "augment.multi_scale" }
    }

    /// What is done to whole steps is left out of it: views of items alone.
    pub fn of_items(&self) -> Augment {
        Augment { mosaic: 0.0, multi_scale: 0.0, ..self.clone() }
    }

    /// How many steps of 32 pixels either way the sides of views are drawn around this one.
    pub fn steps_around(&self, side: usize) -> usize {
        (self.multi_scale * side as f64 / STEP as f64) as usize
    }

    /// Pixels that so many steps are.
    pub const fn pixels_of(steps: i64) -> i64 {
        steps * STEP as i64
    }

    /// The longest side that is drawn around this one.
    pub fn longest_side(&self, side: usize) -> usize {
        side + STEP * self.steps_around(side)
    }

    /// Whether random views are not all the plain one.
    pub fn changes_views(&self) -> bool {
        let jitters = [self.brightness, self.contrast, self.saturation, self.hue].iter().any(|strength| *strength > 0.0);
        let of_steps = self.mosaic > 0.0 || self.multi_scale > 0.0;
        self.horizontal_flip || self.crop_min_area < 1.0 || self.policy != Policy::None || jitters || self.erase > 0.0 || of_steps
    }

    /// Whether items of a step are mixed with each other.
    pub fn mixes(&self) -> bool {
        self.mixup > 0.0 || self.cutmix > 0.0
    }

    /// What a random view follows from, beside its item and its numbers: all of it but what is done to whole steps.
    pub fn of_views(&self) -> Augment {
        Augment { views: 0, mixup: 0.0, cutmix: 0.0, ..self.of_items() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_steps_around_the_inputs() {
        let of = |multi_scale| Augment { multi_scale, ..Augment::default() };
        assert_eq!([0.0, 0.09, 0.1, 0.25].map(|share| of(share).steps_around(320)), [0, 0, 1, 2]);
        assert_eq!((of(0.25).longest_side(320), of(0.0).longest_side(320), Augment::pixels_of(-2)), (384, 320, -64));
        assert_eq!(of(0.5).of_items(), Augment::default());
        assert!(of(0.5).changes_views() && of(2.0).check().is_err() && Augment { mosaic: 1.5, ..Augment::default() }.check().is_err());
    }

    #[test]
    fn what_is_made_of_whole_steps_is_for_heads_over_maps_that_learn() {
        let with = |mosaic, multi_scale| Augment { mosaic, multi_scale, ..Augment::default() };
        let of =
            |augment: Augment, strategy, task| Recipe { augment, strategy, ..Recipe::default() }.check_task(task).map_err(|e| e.setting);
        let pixels = Task::ALL.into_iter().find(|task| task.is_of_pixels()).unwrap();
        let boxes = Task::ALL.into_iter().find(|task| task.is_of_places() && !task.is_of_pixels()).unwrap();
        assert_eq!(of(with(0.5, 0.3), Strategy::Full, boxes), Ok(boxes));
        assert_eq!(of(with(0.5, 0.0), Strategy::Full, pixels), Ok(pixels));
        assert_eq!(of(with(0.5, 0.3), Strategy::Full, pixels), Err("augment.multi_scale"));
        assert_eq!(of(with(0.5, 0.0), Strategy::Full, Task::default()), Err("augment.mosaic"));
        assert_eq!(of(with(0.0, 0.3), Strategy::Head, boxes), Err("augment.multi_scale"));
        assert_eq!(of(with(0.5, 0.0), Strategy::Head, pixels), Err("augment.mosaic"), "a linear head");
    }
}
