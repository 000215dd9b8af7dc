//! What a config says of networks that say a class about each pixel.

use serde_json::Value;

use super::config::ModelConfig;
use super::task::Task;

/// The key of `config.json` that names a task for which transformers' `problem_type` has no word.
pub const TASK: &str = "task";

impl ModelConfig {
    /// Whether it is that of a network with a classifier of each pixel.
    pub fn labels_pixels(&self) -> bool {
        self.extra.get(TASK).and_then(Value::as_str).and_then(Task::parse).is_some_and(Task::is_of_pixels)
    }

    /// The same for a classifier of each pixel: images are seen whole, each side brought to the input's by itself.
    pub fn labelling_pixels(&self, task: Task) -> ModelConfig {
        let mut config = self.clone();
        config.extra.insert(TASK.into(), task.as_str().into());
        config.pretrained_cfg.crop_mode = Some("squash".into());
        config.pretrained_cfg.crop_pct = Some(1.0);
        config
    }

    /// The same without a classifier of each pixel.
    pub fn unlabelling_pixels(&self) -> ModelConfig {
        let mut config = self.clone();
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
        let labelling = config.labelling_pixels(task);
        assert!(!config.labels_pixels() && labelling.labels_pixels() && !labelling.unlabelling_pixels().labels_pixels());
        assert_eq!((labelling.preprocessing().crop_mode.as_str(), labelling.preprocessing().crop_pct), ("squash", 1.0));
    }
}
