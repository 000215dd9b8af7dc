//! Which backbones suit a data set, as a job leaves it, the API gives it and pages and terminals show it: one JSON form.

use serde::{Deserialize, Serialize};

use super::task::Task;

/// The file a job leaves it in.
pub const FILE: &str = "recommendation.json";
/// Items that are looked at, unless time bounds them further.
pub const MOST_ITEMS: usize = 5_000;
/// Backbones that are tried in one job.
pub const MOST_BACKBONES: usize = 24;
/// Of the race, and how it is halved.
pub const RACERS: usize = 3;

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// `namespace/name@version`.
    pub dataset: String,
    pub task: Task,
    /// Items that were looked at, of so many that can be trained on.
    pub items: usize,
    pub of_items: usize,
    /// How long it took here.
    pub seconds: f64,
    /// Where networks ran.
    pub device: String,
    /// What a person should know before believing the order.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The best first; those that were not tried last.
    pub backbones: Vec<Backbone>,
    /// The rounds of the race, if there was one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub race: Vec<Round>,
}

/// What is known of a backbone before it is tried.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// `namespace/name@version`.
    pub model: String,
    #[serde(default)]
    pub architecture: String,
    /// Of the backbone, without a classifier.
    #[serde(default)]
    pub parameters: u64,
    #[serde(default)]
    pub license: String,
    /// What it was trained on, as its card names it.
    #[serde(default)]
    pub source_datasets: Vec<String>,
    /// On ImageNet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Accuracy>,
    /// On this data set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// What a backbone, or a model made from it, has reached on this data set before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Which one did, `namespace/name@version`.
    pub model: String,
    /// The name of the task's first measure in JSON, and its value.
    pub measure: String,
    pub value: f64,
    pub split: String,
    /// Whether this hub measured it afterwards (`hub evaluate`), and not the fine-tune itself.
    pub measured: bool,
}

/// Top-1 on ImageNet, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    pub top1: f64,
    /// Whether this hub measured it; a card only claims it.
    pub measured: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backbone {
    #[serde(flatten)]
    pub known: Known,
    /// From 1; `None` of one that could not be tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<usize>,
    /// Why it could not be tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Billions of multiply-adds for one item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gmacs: Option<f64>,
    /// For one item through the backbone, on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milliseconds_per_item: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<Scores>,
    /// Of a data set for anomalies instead: how well the distance to good items tells anomalies from others of them; `None` where there is
    /// no anomaly to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auroc: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
}

/// Of its features on these items; more is better. Of classes, `knn` and `ridge` are shares of items said rightly; of numbers, R².
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    pub logme: f64,
    pub knn: f64,
    pub ridge: f64,
}

/// Beside the others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The mean of its ranks by all scores and by what is known of it; 1 is the best of all by each.
    pub mean_rank: f64,
    /// The mean of its z-scores.
    pub z: f64,
    /// The deviation of its ranks: how far the scores disagree.
    pub spread: f64,
    /// By how much its ridge score, or its AUROC, is behind the first one's on the same items, and the standard error of that.
    pub behind: f64,
    pub behind_error: f64,
    /// Whether these items do not tell it from the first.
    pub tied: bool,
}

/// A round of the race: short fine-tunes of the same length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    pub epochs: u32,
    /// Items that were trained on.
    pub items: usize,
    /// The best first.
    pub runs: Vec<RaceRun>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RaceRun {
    pub model: String,
    /// The task's first measure on the validation items; `None` of one that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub seconds: f64,
}

/// Why a fine-tune starts from the base it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// The job that chose.
    pub job: String,
    pub why: String,
    /// All that were considered, the best first; those that could not be tried with their reasons.
    pub considered: Vec<String>,
}

impl Recommendation {
    /// The one to start from, if any could be tried.
    pub fn first(&self) -> Option<&Backbone> {
        self.backbones.iter().find(|backbone| backbone.place == Some(1))
    }

    /// As a fine-tune remembers it.
    pub fn chosen(&self, job: &str) -> Chosen {
        let line = |backbone: &Backbone| match (&backbone.reason, backbone.standing) {
            (Some(reason), _) => format!("{}: {reason}", backbone.known.model),
            (None, Some(standing)) => format!("{}: mean rank {:.2}", backbone.known.model, standing.mean_rank),
            (None, None) => backbone.known.model.clone(),
        };
        Chosen { job: job.to_owned(), why: self.why(), considered: self.backbones.iter().map(line).collect() }
    }

    /// Why the first is first, in a sentence.
    pub fn why(&self) -> String {
        let tried = self.backbones.iter().filter(|backbone| backbone.place.is_some()).count();
        let Some(first) = self.first() else { return "no backbone could be tried".into() };
        let model = &first.known.model;
        let tied: Vec<&str> = self
            .backbones
            .iter()
            .filter(|b| b.place > Some(1) && b.standing.is_some_and(|s| s.tied))
            .map(|b| b.known.model.as_str())
            .collect();
        let apart = match tied.as_slice() {
            [] => String::new(),
            _ => format!("; these items do not tell it from {}", tied.join(", ")),
        };
        if let Some(last) = self.race.last() {
            return format!(
                "{model} won the race of the best {} of {tried} backbones, over {} epochs at last",
                self.race[0].runs.len(),
                last.epochs
            );
        }
        let scores = match (first.scores, first.auroc) {
            (Some(s), _) => format!(" (ridge {:.3}, k-NN {:.3}, LogME {:.3})", s.ridge, s.knn, s.logme),
            (None, Some(auroc)) => format!(" (AUROC of distances {auroc:.3})"),
            (None, None) => {
                return format!(
                    "{model} stands first of {tried} backbones by what is known of them before; nothing was measured on this data set"
                );
            }
        };
        format!("{model} stands first of {tried} backbones by its features of {} items{scores}{apart}", self.items)
    }
}

/// Whether a name means ImageNet's usual thousand classes.
pub fn is_imagenet(dataset: &str) -> bool {
    let folded: String = dataset.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let name = folded.strip_prefix("library").unwrap_or(&folded);
    matches!(name, "imagenet" | "imagenet1k" | "ilsvrc2012" | "ilsvrcimagenet1k" | "imagenetilsvrc2012" | "imagenet2012" | "timmimagenet1k")
}

/// A card's number as a share: some write 71.9, some 0.719.
pub fn share(value: f64) -> Option<f64> {
    match value {
        v if !v.is_finite() || v <= 0.0 || v > 100.0 => None,
        // As the digits of the claim say it.
        v if v > 1.0 => Some((v * 1e7).round() / 1e9),
        v => Some(v),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_claims_are_read_as_shares_of_imagenet() {
        assert_eq!((share(71.9), share(0.719), share(0.0), share(f64::NAN), share(719.0)), (Some(0.719), Some(0.719), None, None, None));
        for name in ["imagenet-1k", "ImageNet", "library/imagenet-1k", "ILSVRC/imagenet-1k", "timm/imagenet-1k", "imagenet_2012"] {
            assert!(is_imagenet(name), "{name}");
        }
        for name in ["imagenet-21k", "imagenet-a", "tiny-imagenet", "cifar10", ""] {
            assert!(!is_imagenet(name), "{name}");
        }
    }

    #[test]
    fn an_answer_says_why() {
        let backbone = |model: &str, place: Option<usize>, tied: bool| Backbone {
            known: Known { model: model.into(), ..Known::default() },
            place,
            reason: place.is_none().then(|| "its weights are not there".to_owned()),
            gmacs: None,
            milliseconds_per_item: None,
            scores: place.map(|_| Scores { logme: 0.5, knn: 0.75, ridge: 0.8 }),
            auroc: None,
            standing: place.map(|_| Standing { mean_rank: 1.0, z: 0.0, spread: 0.0, behind: 0.0, behind_error: 0.0, tied }),
        };
        let mut answer = Recommendation {
            dataset: "ada/cats@1".into(),
            task: Task::Classification,
            items: 40,
            of_items: 40,
            seconds: 1.0,
            device: "cpu".into(),
            notes: vec![],
            backbones: vec![backbone("a@1", Some(1), true), backbone("b@1", Some(2), true), backbone("c@1", None, false)],
            race: vec![],
        };
        assert_eq!(
            answer.why(),
            "a@1 stands first of 2 backbones by its features of 40 items (ridge 0.800, k-NN 0.750, LogME 0.500); these items do not tell it from b@1"
        );
        let back: Recommendation = serde_json::from_str(&serde_json::to_string(&answer).unwrap()).unwrap();
        assert_eq!(back, answer);
        let run = |model: &str| RaceRun { model: model.into(), value: Some(0.9), reason: None, seconds: 1.0 };
        answer.race = vec![Round { epochs: 2, items: 30, runs: vec![run("a@1"), run("b@1")] }];
        assert!(answer.why().contains("won the race of the best 2 of 2"), "{}", answer.why());
        answer.race.clear();
        answer.backbones = vec![Backbone { scores: None, auroc: Some(0.9), ..backbone("a@1", Some(1), false) }];
        assert_eq!(answer.why(), "a@1 stands first of 1 backbones by its features of 40 items (AUROC of distances 0.900)");
        answer.backbones[0].auroc = None;
        assert!(answer.why().ends_with("by what is known of them before; nothing was measured on this data set"), "{}", answer.why());
        answer.backbones = vec![backbone("c@1", None, false)];
        assert_eq!(answer.why(), "no backbone could be tried");
    }
}
