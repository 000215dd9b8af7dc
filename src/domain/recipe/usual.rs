//! What a recipe's settings are where nobody names them, by what its items are, and which settings are for images alone. Whoever wants
//! other defaults for a modality writes them here and nowhere else.

use super::{Augment, Norm, Optimizer, Recipe, RecipeError, Unlabelled};
use crate::domain::modality::Modality;
use crate::domain::task::Task;

impl Recipe {
    /// The settings that are taken where nobody names any, for items of this kind.
    ///
    /// Of texts: what BERT's authors fine-tune with (Devlin et al. 2019, A.3: Adam at 2e-5 to 5e-5, 2 to 4 epochs, batches of 16 or 32,
    /// a decay of 0.01 and a warm-up of a tenth of the steps, A.2) and what was found to keep it from failing (Mosbach et al. 2021: 2e-5,
    /// warm-up, gradients of norm 1 at most). A new head starts from nothing: its rate is that of Adam itself. Texts have no views
    /// but the plain one.
    pub fn usual(modality: Modality) -> Recipe {
        let general = Recipe { modality, ..Recipe::default() };
        match modality {
            Modality::Text => Recipe {
                epochs: 3,
                optimizer: Optimizer::Adamw,
                lr: 2e-5,
                head_lr: 1e-3,
                weight_decay: 0.01,
                warmup: 0.1,
                clip_norm: 1.0,
                augment: Augment::none(),
                ..general
            },
            Modality::Image | Modality::Video | Modality::Audio => general,
        }
    }

    /// The same where targets are for this task and `asked` was asked for, so far as it decides what is usual.
    ///
    /// Of places of images, where a head over maps is trained: AdamW, by which a new head of several layers gets going in few steps, at a rate
    /// that is usual for it over networks of convolutions (Liu et al. 2022 have 1e-4 for UPerNet on ConvNeXt; the data sets here are smaller);
    /// batches of 8, since maps of all scales are kept; 40 epochs, since such data sets have tens to hundreds of images. By judgement.
    pub fn usual_for(modality: Modality, task: Task, asked: &Recipe) -> Recipe {
        let usual = Recipe::usual(modality);
        if !task.is_of_places() || (task.is_of_pixels() && asked.decoder_of(task).is_none()) {
            return usual;
        }
        let decoded =
            Recipe { epochs: 40, optimizer: Optimizer::Adamw, lr: 3e-4, head_lr: 1e-3, batch_size: 8, weight_decay: 0.01, ..usual };
        if task.is_of_pixels() { decoded } else { decoded.of_boxes(asked) }
    }

    /// The same for objects in boxes.
    ///
    /// Towers start from nothing and see thousands of places an image, nearly all of them ground: a warm-up of a tenth of the steps and
    /// gradients of norm 10 at most keep the first steps from throwing the base's stages about, as in torchvision's and detectron2's recipes,
    /// and so does a norm that stays the base's (their frozen batch norms), where there is one to keep. Sides of 320 pixels are what light
    /// detectors are trained at (SSDlite, NanoDet); windows of half of an image or more are the jitter of scale and place. 30 epochs: 90
    /// blood smears had come to rest after 20 (a mAP50 of .92, see docs/TASKS.md).
    fn of_boxes(self, asked: &Recipe) -> Recipe {
        let augment = Augment { crop_min_area: 0.5, brightness: 0.2, contrast: 0.2, ..self.augment.clone() };
        let norm = if asked.is_from_scratch() { self.norm } else { Norm::Frozen };
        Recipe { epochs: 30, lr: 5e-4, head_lr: 2e-3, warmup: 0.1, clip_norm: 10.0, image_size: 320, augment, norm, ..self }
    }

    /// The settings that it would have if nobody had named any.
    pub fn without_asked(&self) -> Recipe {
        self.task.map_or_else(|| Recipe::usual(self.modality), |task| Recipe::usual_for(self.modality, task, self))
    }

    /// Refuses settings that change pictures where the items are none.
    pub(super) fn check_modality(&self) -> Result<(), RecipeError> {
        if self.modality != Modality::Text {
            return Ok(());
        }
        let refuse = |setting, what: &str| {
            let problem = format!("{what}, and {} have no views but the plain one; leave it out", self.modality.items());
            Err(RecipeError { setting, problem })
        };
        if let Some(setting) = self.augment.differs(&Augment::none()) {
            return refuse("augment", &format!("augment.{setting} changes images"));
        }
        if self.image_size != 0 {
            return refuse("image_size", "it is a side in pixels");
        }
        if self.tta_flip {
            return refuse("tta_flip", "it mirrors images");
        }
        if self.unlabelled == Unlabelled::Fixmatch {
            return refuse("unlabelled", "fixmatch learns from random views");
        }
        Ok(())
    }
}

impl Augment {
    /// The first setting that is another one there.
    fn differs(&self, other: &Augment) -> Option<String> {
        let (own, other) = (serde_json::to_value(self).ok()?, serde_json::to_value(other).ok()?);
        own.as_object()?.iter().find(|(key, value)| other.get(key.as_str()) != Some(*value)).map(|(key, _)| key.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_their_own_defaults_and_images_those_of_old() {
        let texts = Recipe::usual(Modality::Text);
        texts.check().unwrap();
        assert_eq!((texts.optimizer, texts.lr, texts.epochs, texts.augment.changes_views()), (Optimizer::Adamw, 2e-5, 3, false));
        assert_eq!(Recipe::usual(Modality::Image), Recipe::default());
        let text = serde_json::to_string(&texts).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), texts);
        assert!(!serde_json::to_string(&Recipe::default()).unwrap().contains("modality"));
    }

    #[test]
    fn heads_over_maps_have_their_own_defaults() {
        let task = Task::ALL.into_iter().find(|task| task.is_of_pixels()).unwrap();
        let of = |asked: &Recipe| Recipe::usual_for(Modality::Image, task, asked);
        let trained = of(&Recipe::default());
        trained.check().unwrap();
        trained.check_task(task).unwrap();
        assert_eq!((trained.optimizer, trained.batch_size), (Optimizer::Adamw, 8));
        let head = Recipe { strategy: crate::domain::recipe::Strategy::Head, ..Recipe::default() };
        assert_eq!(of(&head), Recipe::default(), "a linear head has none");
        assert_eq!(Recipe::usual_for(Modality::Image, Task::default(), &Recipe::default()), Recipe::default());
        assert_eq!(Recipe { task: Some(task), ..trained.clone() }.without_asked(), trained);
    }

    #[test]
    fn what_changes_pictures_is_refused_by_name() {
        type Spoil = fn(&mut Recipe);
        let bad: [(&str, &str, Spoil); 6] = [
            ("augment", "crop_min_area", |r| r.augment.crop_min_area = 0.6),
            ("augment", "horizontal_flip", |r| r.augment.horizontal_flip = true),
            ("augment", "mixup", |r| r.augment.mixup = 0.2),
            ("image_size", "pixels", |r| r.image_size = 96),
            ("tta_flip", "mirrors", |r| r.tta_flip = true),
            ("unlabelled", "random views", |r| r.unlabelled = Unlabelled::Fixmatch),
        ];
        for (setting, word, spoil) in bad {
            let mut recipe = Recipe::usual(Modality::Text);
            spoil(&mut recipe);
            let error = recipe.check().unwrap_err();
            assert!(error.setting == setting && error.problem.contains(word), "{error}");
            recipe.modality = Modality::Image;
            recipe.check().unwrap();
        }
    }
}
