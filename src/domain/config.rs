//! `config.json` in timm's form: which architecture a model folder holds and how its input is prepared.
//!
//! Unknown keys are kept (`extra`), because other tools write theirs beside ours; inside `pretrained_cfg`
//! we never add keys of our own, since timm feeds that object to a dataclass that refuses strangers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::encoder_config::Numbers;
use super::json;
use super::sentence::Sentence;
use super::tower_config::{self, ImageTower};

/// The whole `config.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// timm's architecture name, such as `mobilenetv2_100`.
    pub architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_classes: Option<usize>,
    /// Width of the pooled feature vector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_features: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_pool: Option<String>,
    /// Class names in the order of the classifier's rows. timm takes a map from the row's number as well.
    #[serde(default, deserialize_with = "in_order", skip_serializing_if = "Option::is_none")]
    pub label_names: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_descriptions: Option<Value>,
    /// transformers' word for what the outputs mean: `regression`, `single_label_classification` ... Whatever else stands
    /// there says nothing to us.
    #[serde(default, deserialize_with = "word_or_nothing", skip_serializing_if = "Option::is_none")]
    pub problem_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_args: Option<Map<String, Value>>,
    #[serde(default)]
    pub pretrained_cfg: PretrainedCfg,
    /// What sentence-transformers' files beside this one say.
    #[serde(default, rename = "sentence_transformers", skip_serializing_if = "Option::is_none")]
    pub sentence: Option<Sentence>,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// timm's `pretrained_cfg`: how images were prepared when the weights were made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PretrainedCfg {
    /// `[channels, height, width]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_size: Option<[usize; 3]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_input_size: Option<bool>,
    /// `bicubic` or `bilinear`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpolation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop_pct: Option<f64>,
    /// `center`, `squash` or `border`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop_mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<[f32; 3]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub std: Option<[f32; 3]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_classes: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_conv: Option<Value>,
    /// Name(s) of the classifier module, such as `fc` or `classifier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classifier: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn word_or_nothing<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_str().map(String::from))
}

fn in_order<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    label_names(&Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// A list of texts, or a map from `0`, `1` ... to them.
fn label_names(value: &Value) -> Result<Option<Vec<String>>, &'static str> {
    let text = |value: &Value| value.as_str().map(String::from).ok_or("`label_names` holds something that is no text");
    match value {
        Value::Null => Ok(None),
        Value::Array(names) => names.iter().map(text).collect::<Result<_, _>>().map(Some),
        Value::Object(map) => {
            let named = (0..map.len()).map(|row| map.get(&row.to_string()).ok_or("the keys of `label_names` are not 0, 1, 2 ..."));
            named.map(|name| text(name?)).collect::<Result<_, _>>().map(Some)
        }
        _ => Err("`label_names` is neither a list nor a map"),
    }
}

/// How an image becomes network input; timm's defaults fill what a config leaves out.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessing {
    pub height: usize,
    pub width: usize,
    /// PIL's names, such as `bicubic`; timm's `random` is taken for that.
    pub interpolation: String,
    /// The image is resized so that the crop covers this share of its side.
    pub crop_pct: f64,
    /// `center`, `squash` or `border`.
    pub crop_mode: String,
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

/// Longest config.json in bytes; 21,000 class names fit well inside.
pub const MAX_CONFIG_BYTES: usize = 4 * 1024 * 1024;
/// Most classes a classifier may have.
pub const MAX_CLASSES: usize = 100_000;

/// Why a config.json is not one we can work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("config.json has {bytes} bytes, more than the {MAX_CONFIG_BYTES} allowed")]
    TooLarge { bytes: usize },
    #[error("config.json is not what timm writes: {0}; export the model again or correct the file")]
    Json(String),
    #[error("config.json, `{setting}`: {problem}")]
    Setting { setting: &'static str, problem: String },
}

impl ModelConfig {
    /// Reads and checks `config.json`: what a publish and an import do.
    pub fn read(text: &str) -> Result<ModelConfig, ConfigError> {
        if text.len() > MAX_CONFIG_BYTES {
            return Err(ConfigError::TooLarge { bytes: text.len() });
        }
        let config = ModelConfig::parse(text).map_err(|error| ConfigError::Json(error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// What a file says that is not one we can work with: of each setting that catalogs show, the value where it is one.
    pub fn salvage(value: &Value) -> ModelConfig {
        let at = |key: &str| value.get(key);
        let cfg = |key: &str| value.get("pretrained_cfg").and_then(|cfg| cfg.get(key)).or_else(|| value.get(key));
        let count = |value: Option<&Value>, most: usize| {
            value.and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok()).filter(|count| *count <= most)
        };
        let word = |value: Option<&Value>| value.and_then(Value::as_str).map(String::from);
        let side = |side: &usize| (1..=2048).contains(side);
        let size = cfg("input_size").and_then(|size| serde_json::from_value::<[usize; 3]>(size.clone()).ok());
        ModelConfig {
            architecture: word(at("architecture")).filter(|name| check_architecture(name).is_ok()).unwrap_or_default(),
            num_classes: count(at("num_classes"), MAX_CLASSES),
            num_features: count(at("num_features"), 65_536),
            label_names: at("label_names")
                .and_then(|names| label_names(names).ok().flatten())
                .filter(|names| names.iter().all(|name| good_label(name))),
            problem_type: word(at("problem_type")),
            pretrained_cfg: PretrainedCfg {
                input_size: size.filter(|[_, height, width]| side(height) && side(width)),
                num_classes: count(cfg("num_classes"), MAX_CLASSES),
                license: word(cfg("license")).filter(|license| license.len() < 200 && !license.chars().any(char::is_control)),
                ..PretrainedCfg::default()
            },
            ..ModelConfig::default()
        }
    }

    /// Reads `config.json`. Both timm's present form and its older flat one (the `pretrained_cfg` fields at
    /// top level) are understood.
    pub fn parse(text: &str) -> Result<ModelConfig, serde_json::Error> {
        let mut value: Value = json::read(text)?;
        if let Some(object) = value.as_object_mut()
            && !object.contains_key("architecture")
        {
            of_encoder(object);
            tower_config::complete(object);
        }
        if let Some(object) = value.as_object_mut()
            && !object.contains_key("pretrained_cfg")
        {
            let flat = Value::Object(object.clone());
            let cfg: PretrainedCfg = serde_json::from_value(flat)?;
            let cfg = PretrainedCfg { extra: Map::new(), ..cfg };
            object.insert("pretrained_cfg".into(), serde_json::to_value(cfg)?);
        }
        serde_json::from_value(value)
    }

    /// Refuses values that no model has, before anything allocates by them.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_architecture(&self.architecture)?;
        let cfg = &self.pretrained_cfg;
        for (setting, value) in [("num_classes", self.num_classes), ("pretrained_cfg.num_classes", cfg.num_classes)] {
            if value.is_some_and(|classes| classes > MAX_CLASSES) {
                return refuse(setting, format!("more than the {MAX_CLASSES} allowed"));
            }
        }
        if self.num_features.is_some_and(|features| !(1..=65_536).contains(&features)) {
            return refuse("num_features", "not between 1 and 65536".into());
        }
        if let Some(names) = &self.label_names {
            let classes = self.num_classes.or(cfg.num_classes).unwrap_or(names.len());
            if names.len() != classes {
                return refuse("label_names", format!("{} names for {classes} classes; give one per class", names.len()));
            }
            if let Some(bad) = names.iter().find(|name| !good_label(name)) {
                let bad: String = bad.chars().take(40).collect();
                return refuse("label_names", format!("{bad:?} is empty, too long or holds control characters"));
            }
        }
        cfg.check()
    }

    /// Whether it is a text encoder's, as transformers writes it.
    pub fn is_encoder(&self) -> bool {
        Numbers::of_name(&self.architecture).is_some()
    }

    /// The architecture of the network for texts that shares its space with the one for images, where the folder has both.
    pub fn text_tower(&self) -> Option<String> {
        ImageTower::of_name(&self.architecture)?;
        Some(tower_config::text_beside(&self.extra)?.name())
    }

    /// Whether it is that of a text encoder with a classifier of each word.
    pub fn tags_words(&self) -> bool {
        Numbers::of_name(&self.architecture).is_some_and(|numbers| numbers.tags)
    }

    /// A text encoder's config with a classifier of each word in the place of any other head; `None` of other networks.
    pub fn tagging(&self) -> Option<ModelConfig> {
        let numbers = Numbers::of_name(&self.architecture)?.tagging();
        let mut config = ModelConfig { architecture: numbers.name(), ..self.clone() };
        if let Some(class) = numbers.token_class() {
            config.extra.insert("architectures".into(), vec![class].into());
        }
        Some(config)
    }

    /// A text encoder's config without a classifier of each word.
    pub fn untagged(&self) -> Option<ModelConfig> {
        let numbers = Numbers { tags: false, ..Numbers::of_name(&self.architecture)? };
        let mut config = ModelConfig { architecture: numbers.name(), ..self.clone() };
        config.extra.shift_remove("architectures");
        Some(config)
    }

    /// The library whose form it has.
    pub fn library(&self) -> &'static str {
        match (self.is_encoder(), &self.sentence) {
            (false, _) if ImageTower::of_name(&self.architecture).is_some() => "transformers",
            (false, _) => "timm",
            (true, _) if self.tags_words() => "transformers",
            (true, None) => "transformers",
            (true, Some(_)) => "sentence-transformers",
        }
    }

    /// The library that loads it with the head it has, where one does: transformers has sequence classifiers of its own, each on a
    /// layer between features and classes.
    pub fn loads_with_head(&self) -> Option<&'static str> {
        match Numbers::of_name(&self.architecture) {
            None if ImageTower::of_name(&self.architecture).is_some() => None,
            // Its head takes in maps of all scales.
            None if self.labels_places() => None,
            // Its head takes in the frames of a clip.
            None if self.temporal().is_some() => None,
            None => Some("timm"),
            Some(numbers) => (numbers.classifies || numbers.tags).then_some("transformers"),
        }
    }

    /// Says the names of its labels in transformers' words, too: `id2label` and `label2id`.
    pub fn name_labels(&mut self) {
        for stale in ["id2label", "label2id", "num_labels"] {
            self.extra.shift_remove(stale);
        }
        let Some(names) = self.label_names.clone().or_else(|| Some(vec!["LABEL_0".into(); self.num_classes.filter(|rows| *rows == 1)?]))
        else {
            return;
        };
        let of = names.iter().enumerate();
        let labels: Map<String, Value> = of.clone().map(|(row, name)| (row.to_string(), name.as_str().into())).collect();
        let rows: Map<String, Value> = of.map(|(row, name)| (name.clone(), row.into())).collect();
        self.extra.insert("id2label".into(), labels.into());
        self.extra.insert("label2id".into(), rows.into());
    }

    /// The same with what sentence-transformers' files say beside it, each by its path; those of other networks have none.
    pub fn with_papers(self, papers: &[(String, String)]) -> ModelConfig {
        if self.sentence.is_some() || !self.is_encoder() {
            return self;
        }
        ModelConfig { sentence: Sentence::of_papers(papers), ..self }
    }

    /// Pretty JSON as timm would write it.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// How images become input, with timm's defaults where the file says nothing.
    pub fn preprocessing(&self) -> Preprocessing {
        let cfg = &self.pretrained_cfg;
        let [_, height, width] = cfg.input_size.unwrap_or([3, 224, 224]);
        Preprocessing {
            height,
            width,
            interpolation: cfg.interpolation.clone().unwrap_or_else(|| "bicubic".into()),
            crop_pct: cfg.crop_pct.unwrap_or(0.875),
            crop_mode: cfg.crop_mode.clone().unwrap_or_else(|| "center".into()),
            mean: cfg.mean.unwrap_or([0.485, 0.456, 0.406]),
            std: cfg.std.unwrap_or([0.229, 0.224, 0.225]),
        }
    }
}

impl PretrainedCfg {
    fn check(&self) -> Result<(), ConfigError> {
        if let Some([channels, height, width]) = self.input_size {
            if channels != 3 {
                return refuse("pretrained_cfg.input_size", format!("{channels} channels; only colour images (3) are understood"));
            }
            if !(1..=2048).contains(&height) || !(1..=2048).contains(&width) {
                return refuse("pretrained_cfg.input_size", format!("{height} x {width} is not between 1 and 2048 pixels"));
            }
        }
        if self.crop_pct.is_some_and(|share| !(share.is_finite() && share > 0.0 && share <= 2.0)) {
            return refuse("pretrained_cfg.crop_pct", "not a share above 0 and up to 2".into());
        }
        if self.mean.is_some_and(|mean| mean.iter().any(|value| !value.is_finite() || value.abs() > 1.0)) {
            return refuse(
                "pretrained_cfg.mean",
                format!("{:?} is not three numbers from -1 to 1, of pixels from 0 to 1", self.mean.unwrap_or_default()),
            );
        }
        if self.std.is_some_and(|std| std.iter().any(|value| !value.is_finite() || !(1e-6..=4.0).contains(value))) {
            return refuse(
                "pretrained_cfg.std",
                format!("{:?} is not three numbers above 0 and up to 4, of pixels from 0 to 1", self.std.unwrap_or_default()),
            );
        }
        for (setting, word) in [("pretrained_cfg.interpolation", &self.interpolation), ("pretrained_cfg.crop_mode", &self.crop_mode)] {
            if word.as_ref().is_some_and(|word| word.len() > 32 || !word.chars().all(|c| c.is_ascii_lowercase())) {
                return refuse(setting, "not one of timm's words, such as `bicubic` or `center`".into());
            }
        }
        Ok(())
    }
}

/// Adds to a text encoder's config of transformers what timm's form has for it.
fn of_encoder(config: &mut Map<String, Value>) {
    let Some(numbers) = Numbers::of_config(config) else { return };
    config.insert("architecture".into(), numbers.name().into());
    config.entry("num_features").or_insert(numbers.outputs.unwrap_or(numbers.width).into());
    let classes = config.get("id2label").and_then(Value::as_object).filter(|_| numbers.classifies || numbers.tags);
    match classes.map(|classes| (classes.len(), Value::from(classes.clone()))) {
        Some((count, names)) => {
            config.entry("num_classes").or_insert(count.into());
            config.entry("label_names").or_insert(names);
        }
        None => drop(config.entry("num_classes").or_insert(0.into())),
    }
}

fn good_label(name: &str) -> bool {
    !name.is_empty() && name.len() <= 1_000 && !name.chars().any(char::is_control)
}

/// timm's names: `mobilenetv2_100`, `resnet50.a1_in1k`, `vit_small_patch14_reg4_dinov2.lvd142m`.
fn check_architecture(name: &str) -> Result<(), ConfigError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let starts = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if starts && name.len() <= 128 && name.chars().all(good) {
        return Ok(());
    }
    refuse("architecture", "not a timm name, such as `mobilenetv2_100`".into())
}

fn refuse(setting: &'static str, problem: String) -> Result<(), ConfigError> {
    Err(ConfigError::Setting { setting, problem })
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
