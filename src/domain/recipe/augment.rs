//! Random views for training.

use serde::{Deserialize, Serialize};

use super::{RecipeError, range, whole};

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
}

impl Default for Augment {
    fn default() -> Self {
        Augment { crop_min_area: 0.6, horizontal_flip: true, views: 0 }
    }
}

impl Augment {
    pub(super) fn check(&self) -> Result<(), RecipeError> {
        range("augment.crop_min_area", self.crop_min_area, 0.05, 1.0)?;
        whole("augment.views", u64::from(self.views), 0, 32)
    }
}
