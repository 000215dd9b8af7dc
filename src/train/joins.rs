//! What is done to whole steps of training before a network sees them: views that show several items, and sides that change from step to step.

use crate::domain::recipe::{Augment, Recipe};

/// The part of the epochs, the last, in which each view shows one item: what is answered about is no mosaic, and a network gets used to what it
/// will see (Ge et al. 2021, YOLOX, leave it out of the last 15 of 300 epochs; RTMDet, Lyu et al. 2022, of the last 20 of 300; fewer epochs
/// have more of them).
const ALONE: u32 = 10;

/// By the recipe.
#[derive(Debug, Clone, Copy)]
pub struct Joins {
    mosaic: f64,
    multi_scale: f64,
    epochs: u32,
}

impl Joins {
    pub fn of(recipe: &Recipe) -> Joins {
        Joins { mosaic: recipe.augment.mosaic, multi_scale: recipe.augment.multi_scale, epochs: recipe.epochs }
    }

    /// Views of an epoch (from 1) that are otherwise these.
    pub fn in_epoch(self, augment: &Augment, epoch: u32) -> Augment {
        let alone = self.epochs.div_ceil(ALONE);
        let mosaic = if epoch + alone > self.epochs { 0.0 } else { self.mosaic };
        Augment { mosaic, multi_scale: self.multi_scale, ..augment.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_epochs_show_each_item_alone() {
        let augment = Augment { mosaic: 0.5, multi_scale: 0.25, ..Augment::default() };
        let of = |epochs: u32| {
            let joins = Joins::of(&Recipe { augment: augment.clone(), epochs, ..Recipe::default() });
            let views = (1..=epochs).map(|epoch| joins.in_epoch(&augment.of_items(), epoch)).collect::<Vec<_>>();
            assert!(views.iter().all(|augment| augment.multi_scale == 0.25));
            views.iter().filter(|augment| augment.mosaic > 0.0).count()
        };
        assert_eq!([30, 25, 10, 2, 1].map(of), [27, 22, 9, 1, 0]);
    }
}
