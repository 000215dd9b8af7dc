//! The config.json of two networks that share one space, as Hugging Face's transformers write it: a tower for images and one for texts,
//! each with its sizes (Radford et al. 2021; Zhai et al. 2023). The tower for images is the architecture of such a folder; from the
//! sizes of both come the names by which `nn::architectures` knows them. What a config leaves out is transformers' default.

use serde_json::{Map, Value, json};

use super::encoder_config::{Numbers, exponent, lettered, small};

/// transformers' words for activations, and the place of each, counted from one, is how names say it.
pub const ACTIVATIONS: [&str; 3] = ["gelu", "quick_gelu", "gelu_pytorch_tanh"];

/// What two towers of one kind have in common.
struct Kind {
    /// transformers' `model_type` of both, of the tower for images, and of that for texts.
    names: [&'static str; 3],
    /// The one that a config may leave out.
    activation: &'static str,
    eps: u32,
    /// Of images: numbers per token, numbers in between, layers, heads; side and patch in pixels.
    image: [usize; 6],
    /// Of texts: the same four; tokens, places.
    text: [usize; 6],
    /// Numbers of the space that both are projected into; `None` where they end in it.
    projects: Option<usize>,
    /// Whether texts are filled to their greatest length, by a token whose number is this where nothing is said.
    fills: Option<usize>,
    /// Mean and deviation of pixels, and timm's word for how an image is cut to a square.
    pixels: ([f64; 3], [f64; 3], &'static str),
}

const KINDS: [Kind; 2] = [
    Kind {
        names: ["clip", "clip_vision_model", "clip_text_model"],
        activation: "quick_gelu",
        eps: 5,
        image: [768, 3072, 12, 12, 224, 32],
        text: [512, 2048, 12, 8, 49_408, 77],
        projects: Some(512),
        fills: None,
        pixels: ([0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_58, 0.275_777_11], "center"),
    },
    Kind {
        names: ["siglip", "siglip_vision_model", "siglip_text_model"],
        activation: "gelu_pytorch_tanh",
        eps: 6,
        image: [768, 3072, 12, 12, 224, 16],
        text: [768, 3072, 12, 12, 32_000, 64],
        projects: None,
        fills: Some(1),
        pixels: ([0.5; 3], [0.5; 3], "squash"),
    },
];

/// Keys of a config.json that speak of both towers, which a result that has one of them alone no longer has.
pub const OF_BOTH: [&str; 7] =
    ["text_config", "vision_config", "model_type", "projection_dim", "logit_scale_init_value", "initializer_factor", "architectures"];

/// The sizes of a tower for images, as they stand in its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageTower {
    /// transformers' `model_type` of it.
    pub model_type: String,
    pub layers: usize,
    pub width: usize,
    pub heads: usize,
    pub hidden: usize,
    /// Of an image, in pixels.
    pub side: usize,
    pub patch: usize,
    /// 5 stands for an epsilon of 1e-5 in layer norms.
    pub eps: u32,
    /// The place of its activation in [`ACTIVATIONS`], counted from one.
    pub activation: usize,
    /// Numbers of the space that it is projected into; `None` where its own are those.
    pub outputs: Option<usize>,
}

impl ImageTower {
    /// What a config.json says, of both towers or of this one alone; `None` where it is of something else.
    pub fn of_config(config: &Map<String, Value>) -> Option<ImageTower> {
        let model_type = config.get("model_type")?.as_str()?;
        let kind = KINDS.iter().find(|kind| kind.names[..2].contains(&model_type))?;
        let (own, projects) = match model_type == kind.names[0] {
            true => (part(config, "vision_config")?, true),
            false => (config, class_of(config).ends_with("WithProjection")),
        };
        let [width, hidden, layers, heads, side, patch] = kind.image;
        let number = |key: &str, usual: usize| number(own, key, usual);
        Some(ImageTower {
            model_type: kind.names[1].into(),
            layers: number("num_hidden_layers", layers)?,
            width: number("hidden_size", width)?,
            heads: number("num_attention_heads", heads)?,
            hidden: number("intermediate_size", hidden)?,
            side: number("image_size", side)?,
            patch: number("patch_size", patch)?,
            eps: eps(own, kind),
            activation: activation(own, kind)?,
            outputs: outputs(config, kind, projects),
        })
    }

    /// The name of such an architecture: `clip_vision_model_l12_d768_h12_f3072_i224_q32_e5_a2_o512`.
    pub fn name(&self) -> String {
        let ImageTower { model_type, layers, width, heads, hidden, side, patch, eps, activation, .. } = self;
        let outputs = self.outputs.map(|outputs| format!("_o{outputs}")).unwrap_or_default();
        format!("{model_type}_l{layers}_d{width}_h{heads}_f{hidden}_i{side}_q{patch}_e{eps}_a{activation}{outputs}")
    }

    /// The sizes that such a name says.
    pub fn of_name(name: &str) -> Option<ImageTower> {
        let (rest, numbers) = lettered(name)?;
        let at = |letter: char| numbers[letter as usize - 'a' as usize];
        let tower = ImageTower {
            model_type: rest.to_owned(),
            layers: at('l')?,
            width: at('d')?,
            heads: at('h')?,
            hidden: at('f')?,
            side: at('i')?,
            patch: at('q')?,
            eps: u32::try_from(at('e')?).ok()?,
            activation: at('a')?,
            outputs: at('o'),
        };
        let known = KINDS.iter().any(|kind| kind.names[1] == tower.model_type);
        Some(tower).filter(|tower| known && tower.name() == name)
    }

    /// Whether a network can have such sizes, and a machine hold it.
    pub fn fit(&self) -> bool {
        let sound = |number: usize, most: usize| (1..=most).contains(&number);
        sound(self.layers, 512)
            && sound(self.width, 65_536)
            && sound(self.heads, self.width)
            && self.width.is_multiple_of(self.heads)
            && sound(self.hidden, 1 << 20)
            && sound(self.side, 2_048)
            && sound(self.patch, self.side)
            && self.side.is_multiple_of(self.patch)
            && self.eps <= 30
            && sound(self.activation, ACTIVATIONS.len())
            && self.outputs.is_none_or(|outputs| sound(outputs, 65_536))
    }

    /// Numbers of its features.
    pub fn features(&self) -> usize {
        self.outputs.unwrap_or(self.width)
    }

    /// What is added to variances in layer norm.
    pub fn eps(&self) -> f64 {
        small(self.eps)
    }

    /// Whether a class token is what is pooled; else attention pools.
    pub fn has_class_token(&self) -> bool {
        self.kind().is_none_or(|kind| kind.projects.is_some())
    }

    fn kind(&self) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.names[1] == self.model_type)
    }

    /// Mean and deviation of pixels, and how an image is cut to a square.
    pub fn pixels(&self) -> ([f64; 3], [f64; 3], &'static str) {
        self.kind().unwrap_or(&KINDS[0]).pixels
    }
}

/// Adds to such a config what timm's form has for it. Images are made as the processors of both kinds make them unless told otherwise.
pub(super) fn complete(config: &mut Map<String, Value>) {
    let Some(tower) = ImageTower::of_config(config) else { return };
    config.insert("architecture".into(), tower.name().into());
    config.entry("num_features").or_insert(tower.features().into());
    config.entry("num_classes").or_insert(0.into());
    let (mean, std, crop_mode) = tower.pixels();
    config.entry("pretrained_cfg").or_insert(json!({
        "input_size": [3, tower.side, tower.side], "interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": crop_mode,
        "mean": mean, "std": std, "num_classes": 0
    }));
}

/// The tower for texts of a config that speaks of both.
pub fn text_beside(config: &Map<String, Value>) -> Option<Numbers> {
    let model_type = config.get("model_type")?.as_str()?;
    let kind = KINDS.iter().find(|kind| kind.names[0] == model_type)?;
    text(part(config, "text_config")?, kind, outputs(config, kind, true))
}

/// The tower for texts of a config that speaks of it alone.
pub(super) fn text_alone(config: &Map<String, Value>) -> Option<Numbers> {
    let model_type = config.get("model_type")?.as_str()?;
    let kind = KINDS.iter().find(|kind| kind.names[2] == model_type)?;
    text(config, kind, outputs(config, kind, class_of(config).ends_with("WithProjection")))
}

/// What both towers ask for that is not built here, by the part of the config it stands in: key, value and why.
pub fn refused(config: &Map<String, Value>) -> Vec<(String, Value, String)> {
    let both = |part: &'static str| config.get(part).and_then(Value::as_object).map(|own| (format!("{part}."), own));
    let alone = std::iter::once((String::new(), config));
    let mut found = Vec::new();
    for (before, own) in alone.chain(["vision_config", "text_config"].into_iter().filter_map(both)) {
        let mut refuse = |key: &str, good: &dyn Fn(&Value) -> bool, why: String| {
            if let Some(value) = own.get(key).filter(|value| !value.is_null() && !good(value)) {
                found.push((format!("{before}{key}"), value.clone(), why));
            }
        };
        let known = |value: &Value| value.as_str().is_some_and(|word| ACTIVATIONS.contains(&word));
        refuse("hidden_act", &known, format!("towers are built here with {}", ACTIVATIONS.join(", ")));
        let ten = |value: &Value| value.as_f64().is_some_and(|eps| exponent(eps).is_some_and(|known| small(known) == eps));
        refuse("layer_norm_eps", &ten, "only powers of ten are".into());
        refuse("num_channels", &|value| *value == 3, "only colour images (3 channels) are understood".into());
        refuse("vision_use_head", &|value| *value == true, "what is pooled is the pool of attention".into());
    }
    found
}

fn text(own: &Map<String, Value>, kind: &Kind, outputs: Option<usize>) -> Option<Numbers> {
    let [width, hidden, layers, heads, vocabulary, places] = kind.text;
    let number = |key: &str, usual: usize| number(own, key, usual);
    let width = number("hidden_size", width)?;
    Some(Numbers {
        model_type: kind.names[2].into(),
        layers: number("num_hidden_layers", layers)?,
        width,
        heads: number("num_attention_heads", heads)?,
        hidden: number("intermediate_size", hidden)?,
        vocabulary: number("vocab_size", vocabulary)?,
        places: number("max_position_embeddings", places)?,
        types: None,
        eps: Some(eps(own, kind)),
        classifies: false,
        classifies_mean: false,
        tags: false,
        outputs: match kind.projects {
            Some(_) => outputs,
            None => Some(number("projection_size", width)?),
        },
        activation: Some(activation(own, kind)?),
        filled: match kind.fills {
            Some(usual) => Some(number("pad_token_id", usual)?),
            None => None,
        },
    })
}

/// The part of a config; what is left out is empty.
fn part<'a>(config: &'a Map<String, Value>, key: &str) -> Option<&'a Map<String, Value>> {
    config.get(key)?.as_object()
}

fn class_of(config: &Map<String, Value>) -> &str {
    config.get("architectures").and_then(|names| names.get(0)).and_then(Value::as_str).unwrap_or_default()
}

/// `None` of what is there and no number.
fn number(own: &Map<String, Value>, key: &str, usual: usize) -> Option<usize> {
    match own.get(key) {
        None | Some(Value::Null) => Some(usual),
        Some(value) => value.as_u64().and_then(|number| usize::try_from(number).ok()),
    }
}

fn eps(own: &Map<String, Value>, kind: &Kind) -> u32 {
    own.get("layer_norm_eps").and_then(Value::as_f64).and_then(exponent).unwrap_or(kind.eps)
}

/// What is not known is taken for the usual one, and refused by [`refused`].
fn activation(own: &Map<String, Value>, kind: &Kind) -> Option<usize> {
    let place = |word: &str| ACTIVATIONS.iter().position(|known| *known == word).map(|at| at + 1);
    own.get("hidden_act").and_then(Value::as_str).and_then(place).or_else(|| place(kind.activation))
}

fn outputs(config: &Map<String, Value>, kind: &Kind, projects: bool) -> Option<usize> {
    kind.projects.filter(|_| projects).and_then(|usual| number(config, "projection_dim", usual))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::config::ModelConfig;

    #[test]
    fn a_config_of_two_towers_has_two_names_and_the_names_have_their_numbers() {
        let text = r#"{"architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": 12, "logit_scale_init_value": 2.6592,
            "text_config": {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 41,
            "max_position_embeddings": 12, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "projection_dim": 512},
            "vision_config": {"hidden_size": 20, "intermediate_size": 28, "num_hidden_layers": 2, "num_attention_heads": 2,
            "image_size": 16, "patch_size": 4, "hidden_act": "gelu"}}"#;
        let config = ModelConfig::read(text).unwrap();
        assert_eq!(config.architecture, "clip_vision_model_l2_d20_h2_f28_i16_q4_e5_a1_o12");
        assert_eq!((config.num_features, config.num_classes), (Some(12), Some(0)));
        assert_eq!(config.preprocessing().height, 16);
        let tower = ImageTower::of_name(&config.architecture).unwrap();
        assert!(tower.fit() && tower.has_class_token() && tower.eps() == 1e-5);
        assert_eq!(config.text_tower().as_deref(), Some("clip_text_model_l2_d16_h2_f24_v41_p12_e5_o12_a2"));
        assert!(!config.is_encoder() && config.library() == "transformers" && refused(&config.extra).is_empty());
        assert_eq!(ModelConfig::read(&config.to_json()).unwrap(), config);
    }

    #[test]
    fn what_a_config_leaves_out_is_as_transformers_has_it() {
        let config = ModelConfig::read(r#"{"model_type": "siglip", "text_config": {}, "vision_config": {"patch_size": 14}}"#).unwrap();
        assert_eq!(config.architecture, "siglip_vision_model_l12_d768_h12_f3072_i224_q14_e6_a3");
        assert_eq!(config.text_tower().as_deref(), Some("siglip_text_model_l12_d768_h12_f3072_v32000_p64_e6_o768_a3_z1"));
        assert_eq!(config.pretrained_cfg.crop_mode.as_deref(), Some("squash"));
        let alone = |text: &str| ModelConfig::read(text).unwrap().architecture;
        assert_eq!(
            alone(r#"{"model_type": "clip_text_model", "architectures": ["CLIPTextModelWithProjection"]}"#),
            "clip_text_model_l12_d512_h8_f2048_v49408_p77_e5_o512_a2"
        );
        assert_eq!(alone(r#"{"model_type": "clip_vision_model"}"#), "clip_vision_model_l12_d768_h12_f3072_i224_q32_e5_a2");
    }

    #[test]
    fn what_is_not_built_is_refused_by_the_part_it_stands_in() {
        let text = r#"{"model_type": "clip", "text_config": {"hidden_act": "relu"}, "vision_config": {"layer_norm_eps": 2e-5, "num_channels": 1}}"#;
        let keys: Vec<String> = refused(&ModelConfig::read(text).unwrap().extra).into_iter().map(|(key, ..)| key).collect();
        assert_eq!(keys, ["vision_config.layer_norm_eps", "vision_config.num_channels", "text_config.hidden_act"]);
        for name in ["clip_vision_model", "clip_vision_model_l2", "bert_l1_d8_h2_f8_i9_q3_e5_a1", "resnet50"] {
            assert_eq!(ImageTower::of_name(name), None, "{name}");
        }
    }
}
