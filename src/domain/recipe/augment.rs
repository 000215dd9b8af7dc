//! Random views for training.

use serde::{Deserialize, Serialize};

use super::{RecipeError, range, whole};

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
        range("augment.cutmix", self.cutmix, 0.0, 32.0)
    }

    /// Whether random views are not all the plain one.
    pub fn changes_views(&self) -> bool {
        let jitters = [self.brightness, self.contrast, self.saturation, self.hue].iter().any(|strength| *strength > 0.0);
        self.horizontal_flip || self.crop_min_area < 1.0 || self.policy != Policy::None || jitters || self.erase > 0.0
    }

    /// Whether items of a step are mixed with each other.
    pub fn mixes(&self) -> bool {
        self.mixup > 0.0 || self.cutmix > 0.0
    }

    /// What a random view follows from, beside its item and its numbers: all of it but what is done to whole steps.
    pub fn of_views(&self) -> Augment {
        Augment { views: 0, mixup: 0.0, cutmix: 0.0, ..self.clone() }
    }
}
