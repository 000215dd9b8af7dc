//! What a config says of networks that say something about places of an image: a class about each pixel, or where objects are.

use serde_json::Value;

use super::config::ModelConfig;
use super::task::Task;

/// The key of `config.json` that names a task for which transformers' `problem_type` has no word.
pub const TASK: &str = "task";

/// The key of `config.json` that names a head over maps: `{"name": "unet", "outputs": 2}`, as many numbers about each place.
pub const DECODER: &str = "decoder";

/// The key of `config.json` with the usual width and height of the images that a decoder learned from: larger ones are answered about window
/// by window of this size.
pub const WINDOW: &str = "window";

impl ModelConfig {
    /// See [`WINDOW`].
    pub fn window(&self) -> Option<[u32; 2]> {
        serde_json::from_value(self.extra.get(WINDOW)?.clone()).ok().filter(|sides: &[u32; 2]| !sides.contains(&0))
    }

    /// Says it, or says nothing of it.
    pub fn set_window(&mut self, sides: Option<[u32; 2]>) {
        self.extra.shift_remove(WINDOW);
        if let Some(sides) = sides {
            self.extra.insert(WINDOW.into(), serde_json::json!(sides));
        }
    }

    /// Whether it is that of a network that says something about places of an image.
    pub fn labels_places(&self) -> bool {
        self.extra.get(TASK).and_then(Value::as_str).and_then(Task::parse).is_some_and(Task::is_of_places)
    }

    /// The head over maps that it has, and how many numbers that says about each place.
    pub fn decoder(&self) -> Option<(&str, usize)> {
        let decoder = self.extra.get(DECODER)?;
        Some((decoder.get("name")?.as_str()?, usize::try_from(decoder.get("outputs")?.as_u64()?).ok()?))
    }

    /// Says that it has such a head, or has none.
    pub fn set_decoder(&mut self, decoder: Option<(&str, usize)>) {
        self.extra.shift_remove(DECODER);
        if let Some((name, outputs)) = decoder {
            self.extra.insert(DECODER.into(), serde_json::json!({"name": name, "outputs": outputs}));
        }
    }

    /// Whether it is that of a network with a classifier of each pixel.
    pub fn labels_pixels(&self) -> bool {
        self.extra.get(TASK).and_then(Value::as_str).and_then(Task::parse).is_some_and(Task::is_of_pixels)
    }

    /// The same for answers about places: images are seen whole, each side brought to the input's by itself.
    pub fn labelling_places(&self, task: Task) -> ModelConfig {
        let mut config = self.clone();
        config.set_decoder(None);
        config.set_window(None);
        config.extra.insert(TASK.into(), task.as_str().into());
        config.pretrained_cfg.crop_mode = Some("squash".into());
        config.pretrained_cfg.crop_pct = Some(1.0);
        config
    }

    /// The same without answers about places.
    pub fn unlabelling_places(&self) -> ModelConfig {
        let mut config = self.clone();
        config.set_decoder(None);
        config.set_window(None);
        config.extra.shift_remove(TASK);
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_says_that_pixels_are_labelled_and_forgets_it() {
        let config = ModelConfig::read(r#"{"architecture": "resnet18"}"#).unwrap();
        let task = Task::ALL.into_iter().find(|task| task.is_of_pixels()).unwrap();
        let mut labelling = config.labelling_places(task);
        assert!(!config.labels_pixels() && labelling.labels_pixels() && !labelling.unlabelling_places().labels_pixels());
        assert!(labelling.labels_places() && !config.labels_places() && labelling.decoder().is_none());
        labelling.set_decoder(Some(("unet", 3)));
        let read = ModelConfig::read(&labelling.to_json()).unwrap();
        assert_eq!((labelling.window(), read.window()), (None, None));
        labelling.set_window(Some([640, 480]));
        assert_eq!(ModelConfig::read(&labelling.to_json()).unwrap().window(), Some([640, 480]));
        assert_eq!((read.decoder(), read.unlabelling_places().decoder()), (Some(("unet", 3)), None));
        assert_eq!((labelling.preprocessing().crop_mode.as_str(), labelling.preprocessing().crop_pct), ("squash", 1.0));
    }
}
