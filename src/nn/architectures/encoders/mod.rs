//! Text encoders by Hugging Face's names and numbers. A family is a file here and a line in [`FAMILIES`]; its members differ in
//! sizes alone, so a member's name says them: `bert_l6_d384_h12_f1536_v30522_p512_t2_e12` has 6 layers (`num_hidden_layers`), 384
//! numbers per token (`hidden_size`), 12 heads (`num_attention_heads`), 1,536 numbers between a layer's two linear ones
//! (`intermediate_size`), 30,522 tokens (`vocab_size`), 512 places (`max_position_embeddings`), 2 types of tokens
//! (`type_vocab_size`) and 1e-12 in its norms (`layer_norm_eps`); `c1` at the end is what a sequence classifier stands on, `k1` what one of
//! each word does. Towers that share a space with one for images say its numbers (`o512`), their activation (`a2`) and the token by which
//! texts are filled (`z1`), too.
//! `domain::encoder_config` makes such names from a config.json.

mod bert;
mod distilbert;
mod modernbert;
mod mpnet;
mod names;
mod towers;

use std::collections::HashMap;

use parking_lot::Mutex;
use serde_json::Value;

use super::architecture::{Architecture, Member, TextInput, UsualInput};
use super::cost::StageCost;
use super::tensor::{Expected, Init};
use crate::domain::config::ModelConfig;
use crate::domain::encoder_config::Numbers;
use crate::domain::tower_config;
use crate::nn::backbone::Backbone;
use crate::nn::error::Result;
use crate::nn::executors::encoder::Encoder;
use crate::nn::executors::encoder::plan::{Layer, Plan};
use crate::nn::executors::pooling::{How, TokenPool};
use crate::nn::weights::Weights;

/// A line for each family.
static FAMILIES: &[&Family] = &[
    &bert::BERT,
    &bert::ROBERTA,
    &bert::XLM_ROBERTA,
    &bert::CAMEMBERT,
    &distilbert::DISTILBERT,
    &mpnet::MPNET,
    &modernbert::MODERNBERT,
    &towers::CLIP,
    &towers::SIGLIP,
];

/// Architectures of so many different sizes are known at most, for as long as the program runs.
const MOST_MEMBERS: usize = 4_096;

/// The module of a classifier of each word, in every family.
const TAGGER: &str = "classifier";

/// What the members of a family have in common.
#[derive(Debug)]
pub(super) struct Family {
    /// Hugging Face's `model_type`.
    pub name: &'static str,
    /// What tensors of a model with a head have before their name.
    pub prefix: &'static str,
    pub plan: fn(&Numbers) -> Plan,
    /// The module of a sequence classifier that ends in classes.
    pub classifier: &'static str,
    /// Settings of a config.json, each with the values it is built with, as JSON. What is left out is as built.
    pub settings: &'static [(&'static str, &'static [&'static str])],
    /// Modules of other heads, which features have no use for.
    pub others: &'static [&'static str],
}

/// One member.
#[derive(Debug)]
struct Sized {
    family: &'static Family,
    plan: Plan,
    /// Whether each word is answered about.
    tags: bool,
    /// Whether a sequence classifier of transformers stands upon it.
    classifies: bool,
}

/// What the families are called.
pub(super) fn families() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|family| family.name)
}

/// The member of that name. One that is asked for is kept, since architectures live as long as the program.
pub(super) fn find(name: &str) -> Option<&'static Architecture> {
    static KNOWN: Mutex<Option<HashMap<String, &'static Architecture>>> = Mutex::new(None);
    let numbers = Numbers::of_name(name)?;
    let family = FAMILIES.iter().find(|family| family.name == numbers.model_type)?;
    let mut known = KNOWN.lock();
    let known = known.get_or_insert_default();
    if let Some(found) = known.get(name) {
        return Some(found);
    }
    if known.len() >= MOST_MEMBERS || !numbers.fit() {
        return None;
    }
    let plan = (family.plan)(&numbers);
    let input = UsualInput::Text(TextInput { tokens: plan.longest });
    let (num_features, first_conv) = (plan.features(), plan.words.name.trim_end_matches(".weight").to_owned());
    let architecture = Architecture {
        name: Box::leak(name.to_owned().into_boxed_str()),
        family: family.name,
        num_features,
        first_conv: Box::leak(first_conv.into_boxed_str()),
        classifier: if numbers.tags { TAGGER } else { family.classifier },
        input,
        member: Box::leak(Box::new(Sized { family, plan, tags: numbers.tags, classifies: numbers.classifies })),
    };
    let found: &'static Architecture = Box::leak(Box::new(architecture));
    known.insert(name.to_owned(), found);
    Some(found)
}

impl Sized {
    /// As it is pooled unless told otherwise: by the mean, as sentence-transformers does; what a classifier or another network stands
    /// on, by its own way.
    fn usual_pool(&self) -> TokenPool {
        if self.tags {
            return TokenPool { how: How::Words, normalised: false };
        }
        TokenPool { how: self.plan.usual, normalised: false }
    }
}

impl Member for Sized {
    fn stages(&self) -> Vec<(String, Vec<Expected>)> {
        self.plan.stages()
    }

    fn classifier(&self, _num_features: usize, _num_classes: usize) -> [Init; 2] {
        [Init::Normal(0.02), Init::ZEROS]
    }

    fn build(&self, architecture: &str, weights: Weights) -> Result<Box<dyn Backbone>> {
        Ok(Box::new(Encoder::build(architecture, self.plan.clone(), self.usual_pool(), weights)?))
    }

    /// Of a text of so many tokens.
    fn costs(&self, item: &[usize]) -> Vec<StageCost> {
        let tokens = item.iter().product::<usize>() as f64;
        let (width, hidden) = (self.plan.width as f64, self.plan.hidden as f64);
        let matrices = if self.plan.gated { 3.0 } else { 2.0 };
        let embeddings = StageCost { multiply_adds: 0.0, outputs: tokens * width, widest: tokens * width };
        let layer = StageCost {
            multiply_adds: tokens * width * (4.0 * width + matrices * hidden) + 2.0 * tokens * tokens * width,
            outputs: tokens * (6.0 * width + (matrices - 1.0) * hidden),
            widest: tokens * hidden.max(3.0 * width),
        };
        std::iter::once(embeddings).chain(std::iter::repeat_n(layer, self.plan.layers.len())).collect()
    }

    fn fewest_items(&self) -> usize {
        1
    }

    fn decays(&self, name: &str, rank: usize) -> bool {
        let tables = [Some(&self.plan.words), self.plan.positions.as_ref().map(|(table, _)| table), self.plan.types.as_ref()];
        rank > 1 && tables.into_iter().flatten().all(|table| table.name != name)
    }

    fn takes_adapters(&self) -> bool {
        true
    }

    fn pools(&self) -> &'static [&'static str] {
        &["mean", "cls", "max", "mean_sqrt_len_tokens", "lasttoken"]
    }

    fn activations(&self) -> &'static [&'static str] {
        &["gelu"]
    }

    fn adopt(&self, weights: Weights) -> Weights {
        let mut adopted = names::adopt(self.family, &self.plan, weights);
        if let Some(pooler) = self.plan.pooler.as_ref().filter(|_| self.tags) {
            names::begin(pooler, self.plan.width, &mut adopted);
        }
        adopted
    }

    fn published(&self, weights: Weights) -> Weights {
        if self.classifies || self.tags { names::publish(self.family, weights) } else { weights }
    }

    fn leaves_out(&self, tensor: &str) -> bool {
        names::leaves_out(self.family, tensor)
    }

    fn refused(&self, config: &ModelConfig) -> Vec<(String, Value, String)> {
        let other = |(key, built): &(&str, &[&str])| {
            let value = config.extra.get(*key)?;
            let same = value.is_null() || built.iter().any(|text| serde_json::from_str::<Value>(text).is_ok_and(|text| text == *value));
            (!same).then(|| ((*key).to_owned(), value.clone(), format!("{} is built here with {}", self.family.name, built.join(" or "))))
        };
        let eps = ["layer_norm_eps", "norm_eps"].iter().find_map(|key| Some((*key, config.extra.get(*key)?)));
        let eps = eps.filter(|(_, value)| value.as_f64().is_none_or(|eps| eps != self.plan.eps));
        let eps = eps.map(|(key, value)| (key.to_owned(), value.clone(), "only powers of ten are".to_owned()));
        let kind = |layer: &Layer| if layer.reach.is_some() { "sliding_attention" } else { "full_attention" };
        let kinds = Value::from(self.plan.layers.iter().map(kind).collect::<Vec<_>>());
        let layers = config.extra.get("layer_types").filter(|value| !value.is_null() && **value != kinds);
        let layers =
            layers.map(|value| ("layer_types".to_owned(), value.clone(), format!("{} is built here with {kinds}", self.family.name)));
        let of_tower = if self.plan.norm.is_none() { tower_config::refused(&config.extra) } else { Vec::new() };
        self.family.settings.iter().filter_map(other).chain(eps).chain(layers).chain(of_tower).collect()
    }
}
