//! What `embed` and `predict` are asked about, where that is not the body itself, and what they answer.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::boxes::BoxesAnswer;
use super::shots::ShotsAnswer;
use crate::domain::answers::{Answers, MOST_ITEMS, Tokens};
use crate::domain::prediction::{Answer, Answered, Area, Entity, Head, Mask};

/// Several items in one body, or a whole data set. One of the two.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskedAbout {
    /// At most 1,024.
    #[serde(default, deserialize_with = "few", skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ItemSent>,
    /// Texts as they are, for models that read them; at most 1,024 with the items.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<String>,
    /// Pairs of texts, each an item: for models that compare two texts or read both as one; at most 1,024 with the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<Vec<String>>,
    /// `namespace/name[@revision]`: a job, which leaves its answers as a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Of the data set: `train`, `val` or `test`; all items if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemSent {
    /// What its answer is called; `item 1` and so on if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The file as base64, or as a `data:` address.
    pub data: String,
}

/// One more than may be asked about says that there are too many; the rest is not kept.
fn few<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ItemSent>, D::Error> {
    struct Few;

    impl<'de> Visitor<'de> for Few {
        type Value = Vec<ItemSent>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of items")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<ItemSent>, A::Error> {
            let mut items = Vec::new();
            while items.len() <= MOST_ITEMS {
                let Some(item) = list.next_element()? else { return Ok(items) };
                items.push(item);
            }
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(items)
        }
    }

    deserializer.deserialize_seq(Few)
}

/// What was said about several items, in their order.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AnswersBody {
    /// How many have an answer.
    pub answered: usize,
    /// How many have none, and say why.
    pub failed: usize,
    #[serde(flatten)]
    #[schema(value_type = AnsweredItems)]
    pub answers: Answers,
}

/// About one item that was the body itself, or about several.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum Embeddings {
    One(Embedding),
    Several(AnswersBody),
}

/// About one item that was the body itself, or about several.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum Predictions {
    One(Box<Prediction>),
    Several(AnswersBody),
}

/// How the answers of [`AnswersBody`] are written.
#[derive(ToSchema)]
#[expect(dead_code, reason = "says in the description of the API what `Answers` writes")]
pub struct AnsweredItems {
    /// `namespace/name@version`
    model: String,
    items: Vec<AnsweredItem>,
}

/// One of `classes`, `values`, `heads`, `anomaly`, `entities`, `mask`, `boxes`, `shots`, `features` or `error`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "says in the description of the API what `Answers` writes")]
struct AnsweredItem {
    name: String,
    classes: Option<Vec<ClassScore>>,
    values: Option<Vec<NamedValue>>,
    heads: Option<Vec<HeadAnswer>>,
    anomaly: Option<AnomalyScore>,
    entities: Option<Vec<NamedEntity>>,
    mask: Option<MaskAnswer>,
    boxes: Option<BoxesAnswer>,
    shots: Option<ShotsAnswer>,
    features: Option<Vec<f32>>,
    tokens: Option<TokensRead>,
    known: Option<bool>,
    unknown_score: Option<f32>,
    unknown_threshold: Option<f32>,
    error: Option<UnansweredItem>,
}

/// Why there is no answer about an item.
#[derive(ToSchema)]
#[expect(dead_code, reason = "says in the description of the API what `Answers` writes")]
struct UnansweredItem {
    code: String,
    message: String,
}

impl From<Answers> for AnswersBody {
    fn from(answers: Answers) -> AnswersBody {
        let failed = answers.failed();
        AnswersBody { answered: answers.items.len() - failed, failed, answers }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Embedding {
    /// `namespace/name@version`
    pub model: String,
    /// The pooled features.
    pub features: Vec<f32>,
    /// Of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokensRead>,
}

/// How much of a text was read: a network takes so many tokens, and what is longer loses its end.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct TokensRead {
    pub read: usize,
    /// That the whole text has.
    pub of: usize,
}

impl From<Tokens> for TokensRead {
    fn from(Tokens { read, of }: Tokens) -> TokensRead {
        TokensRead { read, of }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Prediction {
    /// `namespace/name@version`
    pub model: String,
    /// Of a classifier, best first; of a model with labels all of them; else empty.
    #[serde(default)]
    pub classes: Vec<ClassScore>,
    /// Of a model that answers numbers; left out by others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<NamedValue>,
    /// Of a model with several heads, what each says; left out by others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heads: Vec<HeadAnswer>,
    /// Of a model that tells anomalies from good items; left out by others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anomaly: Option<AnomalyScore>,
    /// Of a model that finds entities in texts, those it found; left out by others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entities: Option<Vec<NamedEntity>>,
    /// Of a model that says a class about each pixel; left out by others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<MaskAnswer>,
    /// Of a model that finds objects in images, those it found; left out by others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxes: Option<BoxesAnswer>,
    /// Of a model that finds shots of films, all of them; left out by others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shots: Option<ShotsAnswer>,
    /// Whether the item is of a kind that the model was trained on; left out by models that cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<bool>,
    /// How unlike all it was trained on: 0 not at all, 1 wholly; and the bound beyond which an item is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_score: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_threshold: Option<f32>,
}

/// A stretch of a text that names something.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NamedEntity {
    pub text: String,
    /// Its type, such as `PER`.
    pub label: String,
    /// Its first character and the one behind its last, counted in characters from 0.
    pub start: usize,
    pub end: usize,
    /// The mean probability of its words' tags.
    pub score: f32,
}

/// How unlike the good items an item is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AnomalyScore {
    /// 0 is like a good item, 1 like none.
    pub score: f32,
    /// A score above it is called an anomaly.
    pub threshold: f32,
    pub is_anomaly: bool,
}

/// What one of several heads says.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HeadAnswer {
    pub name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassScore>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<NamedValue>,
}

/// A number that a model answers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NamedValue {
    pub name: String,
    /// In the units of the data set it was trained on.
    pub value: f32,
}

impl Prediction {
    /// What `model` answered.
    pub fn new(model: String, answered: &Answered) -> Prediction {
        let (answer, familiarity) = (&answered.answer, answered.familiarity);
        let head = |head: &Head| HeadAnswer { name: head.name.clone(), classes: classes(&head.answer), values: values(&head.answer) };
        Prediction {
            model,
            classes: classes(answer),
            values: values(answer),
            heads: answer.heads().iter().map(head).collect(),
            anomaly: answer.anomaly().map(|a| AnomalyScore { score: a.score, threshold: a.threshold, is_anomaly: a.is_anomaly }),
            entities: answer.entities().map(|all| all.iter().map(NamedEntity::of).collect()),
            mask: answer.mask().map(MaskAnswer::of),
            boxes: answer.boxes().map(BoxesAnswer::of),
            shots: answer.shots().map(ShotsAnswer::of),
            known: familiarity.map(|familiarity| familiarity.known),
            unknown_score: familiarity.map(|familiarity| familiarity.unknown_score),
            unknown_threshold: familiarity.map(|familiarity| familiarity.unknown_threshold),
        }
    }
}

/// Classes over an image, of its width and height.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MaskAnswer {
    pub width: u32,
    pub height: u32,
    /// All classes, in the order of their indices.
    pub classes: Vec<MaskArea>,
    /// The indices as a PNG with a palette, in standard base64.
    pub png: String,
}

/// What a class has of an image.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MaskArea {
    pub index: usize,
    pub label: String,
    /// Of all pixels, 0 to 1.
    pub share: f32,
    /// How many objects there are of it, told apart by the distance from their edges; left out of the first class and of large images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<usize>,
    /// Which pixels; left out where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<MaskRuns>,
}

/// Run lengths as COCO's tools pack them.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MaskRuns {
    /// Height and width.
    pub size: [u32; 2],
    pub counts: String,
}

impl MaskAnswer {
    fn of(mask: &Mask) -> MaskAnswer {
        let area = |area: &Area| MaskArea {
            index: area.index,
            label: area.label.clone(),
            share: area.share,
            objects: area.objects,
            runs: area.runs.as_ref().map(|runs| MaskRuns { size: runs.size, counts: runs.counts.clone() }),
        };
        MaskAnswer { width: mask.width, height: mask.height, classes: mask.classes.iter().map(area).collect(), png: mask.png.clone() }
    }
}

impl NamedEntity {
    fn of(entity: &Entity) -> NamedEntity {
        let Entity { text, label, start, end, score } = entity.clone();
        NamedEntity { text, label, start, end, score }
    }
}

fn classes(answer: &Answer) -> Vec<ClassScore> {
    let class = |c: &crate::domain::prediction::Class| ClassScore {
        index: c.index,
        label: c.label.clone(),
        probability: c.probability,
        threshold: c.threshold,
        present: c.present,
    };
    answer.classes().iter().map(class).collect()
}

fn values(answer: &Answer) -> Vec<NamedValue> {
    let value = |v: &crate::domain::prediction::Value| NamedValue { name: v.name.clone(), value: v.value };
    answer.values().iter().map(value).collect()
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ClassScore {
    pub index: usize,
    pub label: String,
    /// 0 to 1: of classes they sum to 1, each label has its own.
    pub probability: f32,
    /// Of a label: from which probability on it counts as there. Left out of classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// Of a label: whether the item has it. Left out of classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present: Option<bool>,
}

/// The items of a data set that are nearest to one that was shown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NeighborsBody {
    /// `namespace/name@version`
    pub model: String,
    /// `namespace/name@version`
    pub dataset: String,
    /// Nearest first.
    pub neighbors: Vec<NeighborBody>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NeighborBody {
    /// In the data set.
    pub path: String,
    pub split: String,
    /// What the data set says about it.
    pub target: String,
    /// Cosine of the angle between the features, -1 to 1.
    pub similarity: f32,
}
