//! Tasks: what a head is trained to say about an item, what it may be trained by, and the measures that tell how well
//! it does. Everything that shows numbers (cards, pages, the command line, the wire) reads the names, units and order of
//! measures here, so that a task adds its line to [`Task::about`] and nothing else to them.

use serde::{Deserialize, Serialize};

use super::human;
use super::modality::Modality;

mod about;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// One class an item.
    #[default]
    Classification,
    /// One number an item.
    Regression,
    /// Any number of labels an item.
    MultiLabel,
    /// Several numbers an item.
    MultiRegression,
    /// One class an item, of classes that have an order.
    Ordinal,
    /// Several of these about each item, some of which may be unknown.
    MultiTask,
    /// How unlike an item is the good ones, which are all that is trained on.
    Anomaly,
    /// How alike the two texts of an item are, by the cosine of their features.
    Similarity,
    /// A tag for each word of a text, of which names and other entities are made.
    TokenClassification,
    /// Boxes around objects, each with a class.
    ObjectDetection,
    /// A class for each pixel.
    SemanticSegmentation,
}
super::user::words!(
    Task,
    Classification = "classification",
    Regression = "regression",
    MultiLabel = "multi-label",
    MultiRegression = "multi-regression",
    Ordinal = "ordinal",
    MultiTask = "multi-task",
    Anomaly = "anomaly",
    Similarity = "similarity",
    TokenClassification = "token-classification",
    ObjectDetection = "object-detection",
    SemanticSegmentation = "semantic-segmentation"
);

/// What is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    CrossEntropy,
    /// Cross entropy of each label's being there and not being there.
    BinaryCrossEntropy,
    /// Cross entropy of each "higher than this class?", from the summed probabilities of the classes above it.
    Cumulative,
    /// The mean of squared errors.
    Mse,
    /// Squared up to one standard deviation of the targets, straight beyond it (Huber 1964): strays pull less.
    Huber,
    /// The sum of the heads' own.
    Heads,
    /// Nothing is minimised: what is told is the mean distance of the good items.
    Distance,
    /// The squared error of cosines, against targets between 0 and 1 (Reimers and Gurevych 2019).
    Cosine,
    /// Cross entropy of each first text's own partner against those of all other pairs of the step (Henderson et al. 2017).
    Ranking,
    /// Focal loss of classes, generalised IoU of boxes and cross entropy of how near the middle a place is (Tian et al. 2019).
    Boxes,
    /// One less Dice's coefficient of probabilities, class by class (Milletari et al. 2016).
    Dice,
    /// Cross entropy in which what is known already counts little (Lin et al. 2017).
    Focal,
    /// The sum of cross entropy and Dice's.
    CrossEntropyDice,
    /// The sum of the focal one and Dice's.
    FocalDice,
}
super::user::words!(
    Loss,
    CrossEntropy = "cross-entropy",
    BinaryCrossEntropy = "binary-cross-entropy",
    Cumulative = "cumulative",
    Mse = "mse",
    Huber = "huber",
    Heads = "heads",
    Distance = "distance",
    Cosine = "cosine",
    Ranking = "ranking",
    Boxes = "boxes",
    Dice = "dice",
    Focal = "focal",
    CrossEntropyDice = "cross-entropy-dice",
    FocalDice = "focal-dice"
);

/// How a measure is written for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// 0 to 1, shown in per cent.
    Share,
    /// 0 to 1 or so, shown as it is.
    Score,
    /// In units of the targets.
    OfTarget,
}

/// A number that tells how good answers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// Its name in JSON.
    pub key: &'static str,
    /// Its name in the JSON of an epoch.
    pub epoch_key: &'static str,
    /// Its name for people, within a sentence.
    pub title: &'static str,
    /// Its name in a model card's `model-index`.
    pub card: &'static str,
    pub unit: Unit,
    /// Whether more is better.
    pub rises: bool,
}

impl Measure {
    /// Whether it is made of squared errors, of which a few large ones decide.
    pub fn is_of_squares(&self) -> bool {
        self.key == "rmse"
    }
}

/// Stands in the place of a number that there was nothing to measure by.
pub const NOT_MEASURED: &str = "not measured";

/// What is known of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// Whether its targets are classes or labels.
    pub classes: bool,
    /// The fewest of them that something can be learned from.
    pub least_classes: usize,
    /// Whether an item has one class, which labels may be smoothed over.
    pub one_class: bool,
    /// Whether only items of the first class are trained on, and those of all others are told from them.
    pub good_only: bool,
    /// The first one decides which epoch is the best.
    pub measures: &'static [Measure],
    /// Told of what is published, beside those: they take every answer at once.
    pub further: &'static [Measure],
    /// The first one unless a recipe names another.
    pub losses: &'static [Loss],
    /// What the simplest answer, always the same, would reach by the first measure: its name in JSON, its name for people,
    /// and a sentence with `{}` for the number.
    pub baseline: (&'static str, &'static str, &'static str),
    /// What Hugging Face's task names end in: `image-classification`.
    pub suffix: &'static str,
    /// transformers' `problem_type`, where a config must tell it from single-label classification.
    pub problem_type: Option<&'static str>,
}

impl Task {
    pub const ALL: [Task; 11] = [
        Task::Classification,
        Task::Regression,
        Task::MultiLabel,
        Task::MultiRegression,
        Task::Ordinal,
        Task::MultiTask,
        Task::Anomaly,
        Task::Similarity,
        Task::TokenClassification,
        Task::ObjectDetection,
        Task::SemanticSegmentation,
    ];

    pub const fn about(self) -> &'static About {
        match self {
            Task::Classification => &about::CLASSIFICATION,
            Task::Regression => &about::REGRESSION,
            Task::MultiLabel => &about::MULTI_LABEL,
            Task::MultiRegression => &about::MULTI_REGRESSION,
            Task::Ordinal => &about::ORDINAL,
            Task::MultiTask => &about::MULTI_TASK,
            Task::Anomaly => &about::ANOMALY,
            Task::Similarity => &about::SIMILARITY,
            Task::TokenClassification => &about::TOKEN_CLASSIFICATION,
            Task::ObjectDetection => &about::OBJECT_DETECTION,
            Task::SemanticSegmentation => &about::SEMANTIC_SEGMENTATION,
        }
    }

    pub fn measures(self) -> &'static [Measure] {
        self.about().measures
    }

    /// The measure that decides.
    pub fn primary(self) -> &'static Measure {
        &self.about().measures[0]
    }

    /// What training is for where the targets are for this task and `asked` was asked for: classes may be taken for ranks,
    /// and regression is of one number or of several.
    pub fn asked(self, asked: Task) -> Option<Task> {
        match (self, asked) {
            (Task::Classification, Task::Ordinal) => Some(Task::Ordinal),
            (Task::Regression, Task::Similarity) => Some(Task::Similarity),
            (Task::MultiRegression, Task::Regression) => Some(self),
            _ => (self == asked).then_some(self),
        }
    }

    /// What is trained for unless something else is asked, where items are pairs of texts: of pairs with a score, how alike they are.
    pub fn of_pairs(self) -> Task {
        if self == Task::Regression { Task::Similarity } else { self }
    }

    /// Whether something is said about each word of an item, instead of about the item.
    pub const fn is_of_words(self) -> bool {
        matches!(self, Task::TokenClassification)
    }

    /// Whether something is said about places of an item, instead of about the item.
    pub const fn is_of_places(self) -> bool {
        matches!(self, Task::ObjectDetection | Task::SemanticSegmentation)
    }

    /// Whether a class is said about each pixel.
    pub const fn is_of_pixels(self) -> bool {
        matches!(self, Task::SemanticSegmentation)
    }

    /// Whether an item has several rows of outputs: one for each of its words or places.
    pub const fn is_of_parts(self) -> bool {
        self.is_of_words() || self.is_of_places()
    }

    /// What its classes are counted in, where that is not the items.
    pub const fn counted(self) -> Option<&'static str> {
        match self {
            Task::TokenClassification => Some("entities"),
            Task::SemanticSegmentation => Some("pixels"),
            Task::ObjectDetection => Some("objects"),
            _ => None,
        }
    }

    /// Its place among [`Self::measures`].
    pub fn measure(self, key: &str) -> Option<usize> {
        self.measures().iter().position(|measure| measure.key == key)
    }

    /// Hugging Face's name for it, such as `image-classification`.
    pub fn pipeline_tag(self, modality: Modality) -> String {
        match self {
            // Of texts alone, and called so.
            Task::Similarity => format!("sentence-{}", self.about().suffix),
            Task::TokenClassification => format!("token-{}", self.about().suffix),
            // Of images alone.
            Task::ObjectDetection => format!("object-{}", self.about().suffix),
            _ => format!("{modality}-{}", self.about().suffix),
        }
    }

    /// The task whose [`Self::pipeline_tag`] this is, of any modality.
    pub fn of_pipeline_tag(tag: &str) -> Option<Task> {
        let named = [Task::Similarity, Task::TokenClassification, Task::ObjectDetection];
        let of_one = named.into_iter().find(|task| task.pipeline_tag(Modality::default()) == tag);
        let ends = |task: &Task| {
            *task != Task::ObjectDetection && tag.strip_suffix(task.about().suffix).is_some_and(|before| before.ends_with('-'))
        };
        of_one.or_else(|| Task::ALL.into_iter().find(ends))
    }

    /// Whether a model of this [`Self::pipeline_tag`] answers with classes; the outputs of one that answers with numbers are
    /// none. One that says nothing does.
    pub fn has_classes(tag: &str) -> bool {
        Task::of_pipeline_tag(tag).is_none_or(|task| task.about().classes)
    }

    /// The task of a config that says `problem_type`; what we do not know is single-label classification, as
    /// transformers has it.
    pub fn of_problem_type(word: Option<&str>) -> Task {
        Task::ALL.into_iter().find(|task| word.is_some() && task.about().problem_type == word).unwrap_or_default()
    }
}

impl Measure {
    /// The one that a card's `model-index` calls `name`.
    pub fn of_card(name: &str) -> Option<&'static Measure> {
        Task::ALL.into_iter().flat_map(Task::measures).find(|measure| measure.card == name)
    }

    /// A number of a card's `model-index` as pages and terminals write it; of a measure we do not know, what could be a share
    /// is one.
    pub fn of_card_shown(name: &str, value: f64) -> String {
        match Measure::of_card(name) {
            Some(measure) if measure.unit != Unit::Share => measure.show(value, 3),
            None if !(0.0..=1.0).contains(&value) => format!("{value:.3}"),
            _ => human::percent(value),
        }
    }

    /// `92.30 %`, `0.8125` or `3.142`: with `digits` after the point where it is no share. What there was nothing to measure by is no
    /// number.
    pub fn show(&self, value: f64, digits: usize) -> String {
        match self.unit {
            _ if value.is_nan() => NOT_MEASURED.into(),
            Unit::Share => format!("{:.2} %", 100.0 * value),
            Unit::Score => format!("{value:.digits$}"),
            Unit::OfTarget => significant(value),
        }
    }

    /// [`Self::title`] as it stands alone.
    pub fn label(&self) -> String {
        capitalised(self.title)
    }
}

/// With a capital letter at the start.
pub fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Four significant digits: targets may be millimetres or millions.
pub fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let before = value.abs().log10().floor() as i32 + 1;
    if !(-3..=9).contains(&before) {
        return format!("{value:.3e}");
    }
    format!("{value:.*}", (4 - before).max(0) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_has_measures_and_losses_of_its_own_names() {
        let mut known: std::collections::BTreeMap<&str, Measure> = std::collections::BTreeMap::new();
        for task in Task::ALL {
            assert_eq!(Task::parse(task.as_str()), Some(task));
            let about = task.about();
            assert!(!about.measures.is_empty() && !about.losses.is_empty());
            for measure in about.measures.iter().chain(about.further) {
                assert_eq!(known.entry(measure.key).or_insert(*measure), measure, "{} is one thing in every task", measure.key);
            }
            assert_eq!(Task::of_problem_type(about.problem_type).about().problem_type, about.problem_type);
        }
        assert_eq!(Task::of_problem_type(Some("multi_label_classification")), Task::MultiLabel);
        assert_eq!(Task::of_problem_type(Some("single_label_classification")), Task::Classification);
        assert_eq!(Task::Classification.asked(Task::Ordinal), Some(Task::Ordinal));
        assert_eq!(Task::Classification.asked(Task::Regression), None);
        assert_eq!(Task::Regression.pipeline_tag(Modality::Image), "image-regression");
        assert_eq!(Task::of_pipeline_tag("tabular-regression"), Some(Task::Regression));
        assert_eq!((Task::of_pipeline_tag("image-feature-extraction"), Task::of_pipeline_tag("")), (None, None));
        assert_eq!(Task::of_pipeline_tag("image-anomaly-detection"), Some(Task::Anomaly));
        assert_eq!(Task::of_pipeline_tag("object-detection"), Some(Task::ObjectDetection));
        assert_eq!(Task::of_pipeline_tag("image-segmentation"), Some(Task::SemanticSegmentation));
        assert_eq!(Task::of_pipeline_tag("depth-estimation"), None);
        assert_eq!(Task::of_pipeline_tag("token-classification"), Some(Task::TokenClassification));
        assert_eq!(Task::of_pipeline_tag("text-classification"), Some(Task::Classification));
        assert_eq!(Measure::of_card("accuracy").map(|measure| measure.key), Some("top1"));
        assert_eq!(Measure::of_card("bleu"), None);
    }

    #[test]
    fn numbers_are_written_for_people() {
        let show = |key: &str, value: f64| {
            let task = Task::ALL.into_iter().find(|task| task.measure(key).is_some()).unwrap();
            task.measures()[task.measure(key).unwrap()].show(value, 4)
        };
        assert_eq!(show("top1", 0.92304), "92.30 %");
        assert_eq!(show("macro_f1", 0.5), "0.5000");
        assert_eq!(show("rmse", 0.001_234_56), "0.001235");
        assert_eq!(show("mae", 12_345.6), "12346");
        assert_eq!(show("mae", 0.0), "0");
        assert_eq!(show("mae", 1.5e12), "1.500e12");
        assert_eq!((show("rmse", f64::NAN), show("top1", f64::NAN)), ("not measured".to_owned(), "not measured".to_owned()));
        let card = [("accuracy", 0.838), ("rmse", 0.4), ("r2", 0.5), ("bleu", 0.5), ("bleu", 31.25)];
        let shown = card.map(|(name, value)| Measure::of_card_shown(name, value));
        assert_eq!(shown, ["83.8 %", "0.4000", "0.500", "50.0 %", "31.250"]);
        assert!(Task::has_classes("image-classification") && Task::has_classes("") && !Task::has_classes("image-regression"));
        assert_eq!(Task::Classification.primary().label(), "Top-1");
        assert_eq!(Task::Regression.primary().label(), "RMSE");
    }
}
