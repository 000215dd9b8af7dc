//! Whether a run is better than a simpler one, in a word and a sentence.

use serde::{Deserialize, Serialize};

use super::statistics::{Spread, is_likely_gain, mean_recall, paired};
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

    /// By where the gain lies, and what it must be to be one.
    fn of(spread: Spread, least: f64) -> Word {
        match spread {
            Spread { low, .. } if low > least => Word::Better,
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
    /// Of squared errors, of which a few large ones leave a wide interval: nine of ten such measurements would show a gain, which is
    /// enough to publish.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub likely: bool,
    pub sentence: String,
}

/// The scores of two sets of answers to the same items, more being better, and the items' classes where they have one.
pub struct Scores<'a> {
    pub own: &'a [f64],
    pub other: &'a [f64],
    pub classes: Option<&'a [u32]>,
}

/// What two sets of answers to the same items are compared by.
pub enum Basis<'a> {
    /// Item by item, where the first measure is a mean over items.
    Items(Scores<'a>),
    /// The difference of the first measure over draws of the items (paired bootstrap, Efron 1979), above 0 where the run is better;
    /// none where so few items, or so many, cannot be drawn.
    Draws { spread: Option<Spread>, samples: u64 },
}

/// Fewer items than this say the same in too many draws for these to tell anything.
const FEWEST_DRAWN: u64 = 10;

impl Verdict {
    /// Of the first measure of both, and what they said about the same items.
    pub fn of(against: Compared, task: Task, values: (f64, f64), basis: &Basis) -> Verdict {
        let primary = task.primary();
        let (spread, by_class, likely, samples) = match basis {
            Basis::Items(scores) => {
                let differences: Vec<f64> = scores.own.iter().zip(scores.other).map(|(own, other)| own - other).collect();
                let by_class = scores.classes.filter(|_| primary.unit == Unit::Share);
                let by_class = by_class.and_then(|classes| mean_recall(&differences, classes));
                let likely = primary.is_of_squares() && is_likely_gain(&differences);
                (paired(&differences), by_class, likely, differences.len() as u64)
            }
            Basis::Draws { spread, samples } => (spread.filter(|_| *samples >= FEWEST_DRAWN), None, false, *samples),
        };
        let too_few = against == Compared::Baseline && basis.is_too_few(primary);
        let least = if against == Compared::Baseline { task.least_gain() } else { 0.0 };
        let word = spread.map_or_else(|| crude(primary, values, least), |spread| Word::of(spread, least));
        // A model that trades the most frequent class for the rare ones may lose right answers in all.
        let by_classes = word != Word::Better && by_class.is_some_and(|spread| spread.low > 0.0);
        let mut verdict = Verdict {
            likely: likely && word == Word::NotBetter,
            against,
            word: if by_classes { Word::Better } else { word },
            own: values.0,
            other: values.1,
            gain: spread.map(|spread| spread.mean),
            gain_95: spread.map(|spread| (spread.low, spread.high)),
            class_gain_95: by_class.map(|spread| (spread.low, spread.high)),
            samples,
            too_few,
            sentence: String::new(),
        };
        let in_measure = matches!(basis, Basis::Draws { .. });
        verdict.sentence = verdict.said(task, by_classes, in_measure);
        verdict
    }

    /// The same of a run that is the probe itself, because nothing it tried was better.
    pub fn of_probe_itself(mut self) -> Verdict {
        self.sentence += "; no epoch did better, so the probe is published";
        self
    }

    /// Whether so many items say that it loses answers that what it is held against had.
    pub fn is_worse(&self) -> bool {
        self.word == Word::Worse
    }

    /// Whether the run says more than what it is held against, as far as so many items can tell.
    pub fn is_worth_it(&self) -> bool {
        self.word == Word::Better || self.likely || (self.too_few && self.gain.is_some_and(|gain| gain > 0.0))
    }

    fn said(&self, task: Task, by_classes: bool, in_measure: bool) -> String {
        let primary = task.primary();
        let what = match self.against {
            Compared::Baseline => task.about().baseline.1,
            Compared::Probe => "a linear head on the base's features",
        };
        let (own, other) = (primary.show(self.own, 3), primary.show(self.other, 3));
        let mut text = format!("{} than {what}: {} {own} against {other} on {} items", self.word.as_str(), primary.title, self.samples);
        match (self.gain_95, primary.unit) {
            (Some((low, high)), Unit::Share) => {
                text += &format!(" (a gain of {:+.1} to {:+.1} points in 95 of 100 such measurements)", 100.0 * low, 100.0 * high);
            }
            (Some((low, high)), _) if in_measure => text += &format!(" (a gain of {low:+.3} to {high:+.3} in 95 of 100 such measurements)"),
            _ => {}
        }
        if let (true, Some((low, high))) = (by_classes, self.class_gain_95) {
            text += &format!(", and {:+.1} to {:+.1} points where every class weighs the same", 100.0 * low, 100.0 * high);
        }
        if self.against == Compared::Baseline && self.word == Word::NotBetter && task.least_gain() > 0.0 {
            text += &format!("; what gains less than {} is of no use", task.least_gain());
        }
        if self.likely {
            text += "; more images would tell, and nine of ten such measurements would show a gain";
        }
        if self.too_few && self.word == Word::NotBetter {
            text += "; so few images cannot tell any model from chance";
        }
        text
    }
}

impl Basis<'_> {
    /// Whether not even right answers alone could be told from chance.
    fn is_too_few(&self, primary: &Measure) -> bool {
        match self {
            Basis::Items(scores) => {
                let best: Vec<f64> = scores.other.iter().map(|other| 1.0 - other).collect();
                primary.unit == Unit::Share && paired(&best).is_none_or(|best| best.low <= 0.0)
            }
            Basis::Draws { samples, .. } => *samples < FEWEST_DRAWN,
        }
    }
}

/// By the two numbers alone.
fn crude(primary: &Measure, (own, other): (f64, f64), least: f64) -> Word {
    let gain = if primary.rises { own - other } else { other - own };
    if gain > least { Word::Better } else { Word::NotBetter }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(right: usize, all: usize) -> Vec<f64> {
        (0..all).map(|item| f64::from(u8::from(item < right))).collect()
    }

    fn judged(own: &[f64], other: &[f64], classes: Option<&[u32]>) -> Verdict {
        let share = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len() as f64;
        let basis = Basis::Items(Scores { own, other, classes });
        Verdict::of(Compared::Baseline, Task::Classification, (share(own), share(other)), &basis)
    }

    #[test]
    fn a_model_is_better_only_beyond_chance() {
        let better = judged(&scores(90, 100), &scores(50, 100), None);
        assert_eq!((better.word, better.too_few, better.is_worth_it()), (Word::Better, false, true));
        assert!(
            better.sentence.starts_with("better than always the largest class: top-1 90.00 % against 50.00 % on 100 items"),
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
    fn a_probe_is_beaten_only_beyond_chance_too() {
        let against = |own: &[f64], other: &[f64]| {
            let basis = Basis::Items(Scores { own, other, classes: None });
            Verdict::of(Compared::Probe, Task::Classification, (0.9, 0.8), &basis)
        };
        let words = [(95, 60), (80, 79), (60, 95)].map(|(own, other)| against(&scores(own, 100), &scores(other, 100)).word);
        assert_eq!(words, [Word::Better, Word::NotBetter, Word::Worse]);
        assert!(!against(&scores(4, 4), &scores(3, 4)).too_few, "a good probe leaves little to gain, which is no want of items");
        let itself = against(&scores(80, 100), &scores(80, 100)).of_probe_itself();
        assert!(itself.sentence.ends_with("the probe is published") && !itself.is_worse(), "{}", itself.sentence);
        let text = serde_json::to_value(itself).unwrap();
        assert_eq!((&text["against"], &text["word"]), (&serde_json::json!("probe"), &serde_json::json!("not better")));
    }

    #[test]
    fn of_numbers_a_gain_in_nine_of_ten_measurements_is_enough() {
        // Errors of the mean are small but for a few items, as counts have it.
        let other: Vec<f64> = (0..30).map(|item| if item == 0 { -3000.0 } else { -80.0 }).collect();
        let judged = |left: f64| {
            let own: Vec<f64> = other.iter().map(|error| error * left).collect();
            Verdict::of(Compared::Baseline, Task::Regression, (1.0, 2.0), &Basis::Items(Scores { own: &own, other: &other, classes: None }))
        };
        let gained = judged(0.4);
        assert!(gained.likely && gained.is_worth_it() && gained.word == Word::NotBetter, "{gained:?}");
        assert!(gained.sentence.contains("nine of ten"), "{}", gained.sentence);
        let lost = judged(1.4);
        assert!(!lost.likely && !lost.is_worth_it(), "{lost:?}");
        // As often a gain as a loss.
        let own: Vec<f64> = other.iter().zip(0..).map(|(error, item)| if item % 2 == 0 { error * 0.9 } else { error * 1.1 }).collect();
        let chance = Basis::Items(Scores { own: &own, other: &other, classes: None });
        assert!(!Verdict::of(Compared::Baseline, Task::Regression, (2.0, 2.0), &chance).is_worth_it());
    }

    #[test]
    fn what_is_found_by_chance_is_no_gain() {
        let task = Task::ALL.into_iter().find(|task| task.least_gain() > 0.0).unwrap();
        let of = |own: f64, spread| Verdict::of(Compared::Baseline, task, (own, 0.0), &Basis::Draws { spread, samples: 50 });
        let chance = of(0.004, Some(Spread { mean: 0.004, low: 0.002, high: 0.006 }));
        assert!(chance.word == Word::NotBetter && !chance.is_worth_it() && chance.sentence.contains("of no use"), "{}", chance.sentence);
        assert_eq!(of(0.4, Some(Spread { mean: 0.4, low: 0.3, high: 0.5 })).word, Word::Better);
        assert_eq!([0.004, 0.4].map(|own| of(own, None).word), [Word::NotBetter, Word::Better]);
        let probe = Basis::Draws { spread: Some(Spread { mean: 0.004, low: 0.002, high: 0.006 }), samples: 50 };
        assert_eq!(Verdict::of(Compared::Probe, task, (0.404, 0.4), &probe).word, Word::Better);
    }

    #[test]
    fn measures_over_all_items_are_compared_by_draws() {
        let label = Task::ALL.into_iter().find(|task| task.primary().unit == Unit::Score && task.primary().rises).unwrap();
        let of = |spread, samples| Verdict::of(Compared::Baseline, label, (0.8, 0.5), &Basis::Draws { spread, samples });
        let better = of(Some(Spread { mean: 0.3, low: 0.2, high: 0.4 }), 50);
        assert!(better.word == Word::Better && better.sentence.contains("a gain of +0.200 to +0.400"), "{}", better.sentence);
        assert_eq!(of(Some(Spread { mean: 0.3, low: -0.1, high: 0.4 }), 50).word, Word::NotBetter);
        let few = of(Some(Spread { mean: 0.3, low: 0.3, high: 0.3 }), 4);
        assert!(few.too_few && few.word == Word::Better && few.gain.is_none(), "the numbers alone decide: {few:?}");
        assert_eq!(of(None, 1_000_000).word, Word::Better);
    }
}
