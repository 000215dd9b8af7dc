//! The config.json of a text encoder as Hugging Face's transformers write it: no `architecture` stands there, but a `model_type` and
//! sizes. From them comes the name by which `nn::architectures` knows it.

use serde_json::{Map, Value};

use super::tower_config;

/// What transformers' names of classes end in that classify each word, and what they begin with, by `model_type`.
const TOKEN_CLASS: &str = "ForTokenClassification";
const CLASSES: [(&str, &str); 7] = [
    ("bert", "Bert"),
    ("roberta", "Roberta"),
    ("xlm-roberta", "XLMRoberta"),
    ("camembert", "Camembert"),
    ("distilbert", "DistilBert"),
    ("mpnet", "MPNet"),
    ("modernbert", "ModernBert"),
];

/// The sizes of a member of a family, as they stand in its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbers {
    pub model_type: String,
    pub layers: usize,
    pub width: usize,
    pub heads: usize,
    pub hidden: usize,
    pub vocabulary: usize,
    pub places: usize,
    /// Types of tokens, where the config says.
    pub types: Option<usize>,
    /// 12 stands for an epsilon of 1e-12 in layer norms; where the config says.
    pub eps: Option<u32>,
    /// Whether a sequence classifier is trained upon it, with a layer between features and classes.
    pub classifies: bool,
    /// Whether that one takes the mean of all tokens instead of the first.
    pub classifies_mean: bool,
    /// Whether a classifier of each word is trained upon it, which stands on the tokens themselves.
    pub tags: bool,
    /// Numbers of a space that is shared with another network, where it has one.
    pub outputs: Option<usize>,
    /// Which activation, of those that a family may have: its place in [`tower_config::ACTIVATIONS`], counted from one.
    pub activation: Option<usize>,
    /// The token by which sequences are made as long as they may be.
    pub filled: Option<usize>,
}

/// The letters at the end of a name with the number behind each, and what stands before: `bert` of `bert_l6_d384`.
pub(super) fn lettered(name: &str) -> Option<(&str, [Option<usize>; 26])> {
    let (mut rest, mut numbers) = (name, [None; 26]);
    while let Some((before, part)) = rest.rsplit_once('_') {
        let letter = part.chars().next().filter(char::is_ascii_lowercase)?;
        let digits = &part[1..];
        if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            break;
        }
        let place = &mut numbers[letter as usize - 'a' as usize];
        if place.replace(digits.parse::<usize>().ok()?).is_some() {
            return None;
        }
        rest = before;
    }
    Some((rest, numbers))
}

impl Numbers {
    /// What a config.json says; `None` where it is not that of a network over tokens.
    pub fn of_config(config: &Map<String, Value>) -> Option<Numbers> {
        if let Some(numbers) = tower_config::text_alone(config) {
            return Some(numbers);
        }
        let number = |keys: &[&str]| keys.iter().find_map(|key| config.get(*key)?.as_u64()).map(|number| number as usize);
        let class = config.get("architectures").and_then(|names| names.get(0)).and_then(Value::as_str).unwrap_or_default();
        let classifies = class.ends_with("ForSequenceClassification");
        Some(Numbers {
            model_type: config.get("model_type")?.as_str()?.to_owned(),
            layers: number(&["num_hidden_layers", "n_layers"])?,
            width: number(&["hidden_size", "dim"])?,
            heads: number(&["num_attention_heads", "n_heads"])?,
            hidden: number(&["intermediate_size", "hidden_dim"])?,
            vocabulary: number(&["vocab_size"])?,
            places: number(&["max_position_embeddings"])?,
            types: number(&["type_vocab_size"]),
            eps: ["layer_norm_eps", "norm_eps"].iter().find_map(|key| config.get(*key)?.as_f64()).and_then(exponent),
            classifies,
            classifies_mean: classifies && config.get("classifier_pooling").is_some_and(|how| how == "mean"),
            tags: class.ends_with(TOKEN_CLASS),
            outputs: None,
            activation: None,
            filled: None,
        })
    }

    /// The name of such an architecture.
    pub fn name(&self) -> String {
        let Numbers { model_type, layers, width, heads, hidden, vocabulary, places, .. } = self;
        let mut name = format!("{model_type}_l{layers}_d{width}_h{heads}_f{hidden}_v{vocabulary}_p{places}");
        let mut also = |letter: char, number: Option<usize>| {
            if let Some(number) = number {
                name.push_str(&format!("_{letter}{number}"));
            }
        };
        also('t', self.types);
        also('e', self.eps.map(|eps| eps as usize));
        also('c', self.classifies.then_some(if self.classifies_mean { 2 } else { 1 }));
        also('k', self.tags.then_some(1));
        also('o', self.outputs);
        also('a', self.activation);
        also('z', self.filled);
        name
    }

    /// The sizes that such a name says.
    pub fn of_name(name: &str) -> Option<Numbers> {
        let (rest, numbers) = lettered(name)?;
        let at = |letter: char| numbers[letter as usize - 'a' as usize];
        Some(Numbers {
            model_type: rest.to_owned(),
            layers: at('l')?,
            width: at('d')?,
            heads: at('h')?,
            hidden: at('f')?,
            vocabulary: at('v')?,
            places: at('p')?,
            types: at('t'),
            eps: at('e').map(|eps| eps as u32),
            classifies: at('c').is_some(),
            classifies_mean: at('c') == Some(2),
            tags: at('k').is_some(),
            outputs: at('o'),
            activation: at('a'),
            filled: at('z'),
        })
        .filter(|numbers| numbers.name() == name)
    }

    /// The same with a classifier of each word upon it.
    pub fn tagging(self) -> Numbers {
        Numbers { classifies: false, classifies_mean: false, tags: true, ..self }
    }

    /// transformers' class of such a network with a classifier of each word.
    pub fn token_class(&self) -> Option<String> {
        let (_, stem) = CLASSES.into_iter().find(|(model_type, _)| *model_type == self.model_type)?;
        Some(format!("{stem}{TOKEN_CLASS}"))
    }

    /// Whether a network can have such sizes, and a machine hold it.
    pub fn fit(&self) -> bool {
        let Numbers { layers, width, heads, hidden, vocabulary, places, .. } = *self;
        let sound = |number: usize, most: usize| (1..=most).contains(&number);
        sound(layers, 512)
            && sound(width, 65_536)
            && sound(heads, width)
            && width % heads == 0
            && (width / heads) % 2 == 0
            && sound(hidden, 1 << 20)
            && sound(vocabulary, 1 << 24)
            && sound(places, 1 << 20)
            && self.types.is_none_or(|types| sound(types, 1_024))
            && self.eps.is_none_or(|eps| eps <= 30)
            && self.outputs.is_none_or(|outputs| sound(outputs, 65_536))
            && self.filled.is_none_or(|token| token < vocabulary)
    }

    /// What is added to variances in layer norm; `1e-usual` where the config does not say.
    pub fn eps(&self, usual: u32) -> f64 {
        small(self.eps.unwrap_or(usual))
    }
}

/// 1e-12 of 12.
pub(super) fn small(exponent: u32) -> f64 {
    // As people write it: a power of ten has digits of its own in binary.
    format!("1e-{exponent}").parse().unwrap_or(1e-12)
}

/// 12 of 1e-12; `None` of what is no such number.
pub(super) fn exponent(eps: f64) -> Option<u32> {
    let exponent = (-eps.log10()).round();
    let same = eps > 0.0 && (eps.log10() + exponent).abs() < 1e-6;
    (same && (1.0..=30.0).contains(&exponent)).then_some(exponent as u32)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(config: Value) -> Option<Numbers> {
        Numbers::of_config(config.as_object().unwrap())
    }

    #[test]
    fn a_config_has_a_name_and_the_name_has_its_numbers() {
        let minilm = of(json!({
            "architectures": ["BertModel"], "model_type": "bert", "hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6,
            "num_attention_heads": 12, "vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12
        }));
        let minilm = minilm.unwrap();
        assert_eq!(minilm.name(), "bert_l6_d384_h12_f1536_v30522_p512_t2_e12");
        assert_eq!(Numbers::of_name(&minilm.name()), Some(minilm.clone()));
        assert!(minilm.fit() && minilm.eps(5) == 1e-12);
        let distilled = of(json!({
            "architectures": ["DistilBertForSequenceClassification"], "model_type": "distilbert", "dim": 768, "hidden_dim": 3072, "n_layers": 6,
            "n_heads": 12, "vocab_size": 30522, "max_position_embeddings": 512
        }));
        assert_eq!(distilled.unwrap().name(), "distilbert_l6_d768_h12_f3072_v30522_p512_c1");
        assert_eq!(of(json!({"model_type": "resnet", "hidden_size": 3})), None);
        let tagging = minilm.tagging();
        assert_eq!(tagging.name(), "bert_l6_d384_h12_f1536_v30522_p512_t2_e12_k1");
        assert_eq!(Numbers::of_name(&tagging.name()), Some(tagging.clone()));
        assert_eq!(tagging.token_class().as_deref(), Some("BertForTokenClassification"));
    }

    #[test]
    fn names_of_other_things_say_nothing() {
        for name in ["resnet50", "vit_tiny_patch16_224", "bert_l6", "bert_l6_l6_d4_h2_f8_v9_p9", "bert_p9_l6_d4_h2_f8_v9", "", "_", "é_é"]
        {
            assert_eq!(Numbers::of_name(name), None, "{name}");
        }
        assert!(!Numbers::of_name("bert_l6_d385_h12_f8_v9_p9").unwrap().fit(), "heads must share the width");
    }

    #[test]
    fn only_powers_of_ten_are_told() {
        assert_eq!([1e-12, 1e-5, 1e-6, 2e-5, 0.0, -1.0].map(exponent), [Some(12), Some(5), Some(6), None, None, None]);
    }
}
