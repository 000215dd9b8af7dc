//! `config.json` in timm's form: which architecture a model folder holds and how its input is prepared.
//!
//! Unknown keys are kept (`extra`), because other tools write theirs beside ours; inside `pretrained_cfg`
//! we never add keys of our own, since timm feeds that object to a dataclass that refuses strangers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The whole `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// Class names in the order of the classifier's rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_names: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_descriptions: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_args: Option<Map<String, Value>>,
    #[serde(default)]
    pub pretrained_cfg: PretrainedCfg,
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

/// How an image becomes network input; timm's defaults fill what a config leaves out.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessing {
    pub height: usize,
    pub width: usize,
    /// `bicubic` or `bilinear`.
    pub interpolation: String,
    /// The image is resized so that the crop covers this share of its shorter side.
    pub crop_pct: f64,
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

impl ModelConfig {
    /// Reads `config.json`. Both timm's present form and its older flat one (the `pretrained_cfg` fields at
    /// top level) are understood.
    pub fn parse(text: &str) -> Result<ModelConfig, serde_json::Error> {
        let mut value: Value = serde_json::from_str(text)?;
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

    /// Pretty JSON as timm would write it.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    pub fn preprocessing(&self) -> Preprocessing {
        let cfg = &self.pretrained_cfg;
        let [_, height, width] = cfg.input_size.unwrap_or([3, 224, 224]);
        Preprocessing {
            height,
            width,
            interpolation: cfg.interpolation.clone().unwrap_or_else(|| "bicubic".into()),
            crop_pct: cfg.crop_pct.unwrap_or(0.875),
            mean: cfg.mean.unwrap_or([0.485, 0.456, 0.406]),
            std: cfg.std.unwrap_or([0.229, 0.224, 0.225]),
        }
    }
}
