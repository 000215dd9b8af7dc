//! Whether a run is better than a simpler one, in a word and a sentence.

use serde::{Deserialize, Serialize};

use super::statistics::{Spread, mean_recall, paired};
use crate::domain::task::{Measure, Task, Unit};

/// What a run is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compared {
    /// Always the same answer: the most frequent class, the mean.
    Baseline,
    /// The best linear head on the base's features.
    Probe,
}

/// How it came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    #[serde(rename = "better")]
    Better,
    /// Chance alone could have made the difference, or there is none.
    #[serde(rename = "not better")]
    NotBetter,
    #[serde(rename = "worse")]
    Worse,
}

impl Word {
    pub fn as_str(self) -> &'static str {
        match self {
            Word::Better => "better",
            Word::NotBetter => "not better",
            Word::Worse => "worse",
        }
    }

    fn of(spread: Spread) -> Word {
        match spread {
            Spread { low, .. } if low > 0.0 => Word::Better,
            Spread { high, .. } if high < 0.0 => Word::Worse,
            _ => Word::NotBetter,
        }
    }
}

/// A run against a simpler one, on the same items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub against: Compared,
    pub word: Word,
    /// The task's first measure, of the run and of what it is held against.
    pub own: f64,
    pub other: f64,
    /// The mean gain an item, above 0 where the run is better, and where it lies in 95 of 100 such measurements: of right answers a
    /// share, of numbers in squared units of the targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gain: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gain_95: Option<(f64, f64)>,
    /// The same with every class weighing as much as any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_gain_95: Option<(f64, f64)>,
    #[serde(rename = "images")]
    pub samples: u64,
    /// So few items that not even right answers alone could be told from chance.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub too_few: bool,
    pub sentence: String,
}

/// The scores of two sets of answers to the same items, more being better, and the items' classes where they have one.
pub struct Scores<'a> {
    pub own: &'a [f64],
    pub other: &'a [f64],
    pub classes: Option<&'a [u32]>,
}

impl Verdict {
    /// Against always the same answer, item by item; `values` are the first measure of both.
    pub fn against_baseline(task: Task, values: (f64, f64), scores: &Scores) -> Verdict {
        let differences: Vec<f64> = scores.own.iter().zip(scores.other).map(|(own, other)| own - other).collect();
        let spread = paired(&differences);
        let by_class = scores.classes.and_then(|classes| mean_recall(&differences, classes));
        let best: Vec<f64> = scores.other.iter().map(|other| 1.0 - other).collect();
        let shares = task.primary().unit == Unit::Share;
        let too_few = shares && paired(&best).is_none_or(|best| best.low <= 0.0);
        let word = spread.map_or_else(|| crude(task.primary(), values), Word::of);
        // A model that trades the most frequent class for the rare ones may lose right answers in all.
        let by_classes = word != Word::Better && by_class.is_some_and(|spread| spread.low > 0.0);
        let mut verdict = Verdict {
            against: Compared::Baseline,
            word: if by_classes { Word::Better } else { word },
            own: values.0,
            other: values.1,
            gain: spread.map(|spread| spread.mean),
            gain_95: spread.map(|spread| (spread.low, spread.high)),
            class_gain_95: by_class.map(|spread| (spread.low, spread.high)),
            samples: differences.len() as u64,
            too_few,
            sentence: String::new(),
        };
        verdict.sentence = verdict.said(task, by_classes);
        verdict
    }

    /// Against the first measure that a probe reached on the same items; `interval` is that of the run's own.
    pub fn against_probe(task: Task, values: (f64, f64), interval: Option<(f64, f64)>, samples: u64) -> Verdict {
        let word = match interval {
            Some((low, _)) if values.1 < low => Word::Better,
            Some((_, high)) if values.1 > high => Word::Worse,
            Some(_) => Word::NotBetter,
            None => crude(task.primary(), values),
        };
        let (against, too_few) = (Compared::Probe, false);
        let (gain, gain_95, class_gain_95, sentence) = (None, None, None, String::new());
        let mut verdict =
            Verdict { against, word, own: values.0, other: values.1, gain, gain_95, class_gain_95, samples, too_few, sentence };
        verdict.sentence = verdict.said(task, false);
        verdict
    }

    /// Whether the run says more than what it is held against, as far as so many items can tell.
    pub fn is_worth_it(&self) -> bool {
        self.word == Word::Better || (self.too_few && self.gain.is_some_and(|gain| gain > 0.0))
    }

    fn said(&self, task: Task, by_classes: bool) -> String {
        let primary = task.primary();
        let what = match self.against {
            Compared::Baseline => task.about().baseline.1,
            Compared::Probe => "a linear head on the base's features",
        };
        let (own, other) = (primary.show(self.own, 3), primary.show(self.other, 3));
        let mut text = format!("{} than {what}: {} {own} against {other} on {} images", self.word.as_str(), primary.title, self.samples);
        if let (Some((low, high)), Unit::Share) = (self.gain_95, primary.unit) {
            text += &format!(" (a gain of {:+.1} to {:+.1} points in 95 of 100 such measurements)", 100.0 * low, 100.0 * high);
        }
        if let (true, Some((low, high))) = (by_classes, self.class_gain_95) {
            text += &format!(", and {:+.1} to {:+.1} points where every class weighs the same", 100.0 * low, 100.0 * high);
        }
        if self.too_few && self.word == Word::NotBetter {
            text += "; so few images cannot tell any model from chance";
        }
        text
    }
}

/// By the two numbers alone.
fn crude(primary: &Measure, (own, other): (f64, f64)) -> Word {
    let gain = if primary.rises { own - other } else { other - own };
    if gain > 0.0 { Word::Better } else { Word::NotBetter }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(right: usize, all: usize) -> Vec<f64> {
        (0..all).map(|item| f64::from(u8::from(item < right))).collect()
    }

    fn judged(own: &[f64], other: &[f64], classes: Option<&[u32]>) -> Verdict {
        let share = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len() as f64;
        Verdict::against_baseline(Task::Classification, (share(own), share(other)), &Scores { own, other, classes })
    }

    #[test]
    fn a_model_is_better_only_beyond_chance() {
        let better = judged(&scores(90, 100), &scores(50, 100), None);
        assert_eq!((better.word, better.too_few, better.is_worth_it()), (Word::Better, false, true));
        assert!(
            better.sentence.starts_with("better than always the largest class: top-1 90.00 % against 50.00 % on 100 images"),
            "{better:?}"
        );
        let chance = judged(&scores(52, 100), &scores(50, 100), None);
        assert_eq!((chance.word, chance.is_worth_it()), (Word::NotBetter, false), "{chance:?}");
        let same = judged(&scores(50, 100), &scores(50, 100), None);
        assert_eq!((same.word, same.is_worth_it()), (Word::NotBetter, false));
        let worse = judged(&scores(30, 100), &scores(50, 100), None);
        assert_eq!((worse.word, worse.is_worth_it()), (Word::Worse, false));
    }

    #[test]
    fn of_too_few_items_the_numbers_alone_decide_and_it_is_said() {
        let few = judged(&scores(4, 4), &scores(2, 4), None);
        assert_eq!((few.word, few.too_few, few.is_worth_it()), (Word::NotBetter, true, true));
        assert!(few.sentence.ends_with("so few images cannot tell any model from chance"), "{}", few.sentence);
        assert!(!judged(&scores(2, 4), &scores(2, 4), None).is_worth_it());
    }

    #[test]
    fn rare_classes_are_worth_some_answers_of_the_common_one() {
        // 190 of the common class, of which 12 are lost; 10 of the rare one, of which 8 are found.
        let classes: Vec<u32> = (0..200).map(|item| u32::from(item >= 190)).collect();
        let own: Vec<f64> = (0..200).map(|item| f64::from(u8::from((12..190).contains(&item) || item >= 192))).collect();
        let found = judged(&own, &scores(190, 200), Some(&classes));
        assert_eq!(found.word, Word::Better, "{found:?}");
        assert!(found.sentence.contains("where every class weighs the same"), "{}", found.sentence);
        assert_eq!(judged(&own, &scores(190, 200), None).word, Word::NotBetter);
    }

    #[test]
    fn a_probe_is_held_against_the_runs_own_interval() {
        let against = |other| Verdict::against_probe(Task::Classification, (0.9, other), Some((0.85, 0.94)), 100).word;
        assert_eq!([against(0.8), against(0.9), against(0.95)], [Word::Better, Word::NotBetter, Word::Worse]);
        let numbers = |own, other| Verdict::against_probe(Task::Regression, (own, other), None, 100);
        assert_eq!((numbers(2.0, 3.0).word, numbers(3.0, 2.0).word), (Word::Better, Word::NotBetter));
        let text = serde_json::to_value(numbers(3.0, 2.0)).unwrap();
        assert_eq!((&text["against"], &text["word"]), (&serde_json::json!("probe"), &serde_json::json!("not better")));
    }
}
