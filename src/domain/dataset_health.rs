//! What a look over a data set found out beyond what is in it: how even its classes are, how its items spread in what is
//! measured of them, which show nothing and which are unlike all others. Each finding says what to do.

use serde::{Deserialize, Serialize};

use super::human;
use super::modality::Modality;

/// Classes with fewer training items than this are tiny: no measure on them means much.
pub const TINY: usize = 10;
/// From this many times more items in the largest class than in the smallest on, a data set is uneven.
pub const UNEVEN: f64 = 10.0;
/// Items that a sentence names.
const NAMED: usize = 3;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// Items that were measured.
    pub samples: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<Balance>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub histograms: Vec<Histogram>,
    /// Items in which nothing is to be seen. Where most are such, it is their kind: samples of colour, say.
    #[serde(skip_serializing_if = "Noted::is_empty")]
    pub blank: Noted,
    /// Items that are far from all others in what is measured of them.
    #[serde(skip_serializing_if = "Noted::is_empty")]
    pub odd: Noted,
}

/// How even the classes are, in the split that is learned from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Balance {
    pub split: String,
    /// The largest class and the smallest that has items.
    pub largest: (String, usize),
    pub smallest: (String, usize),
    /// How many times more items the largest has.
    pub ratio: f64,
    /// What always answering the largest class would score, from 0 to 1.
    pub majority: f64,
    /// The classes that count, by the entropy of their shares, over all of them: 1 where all are alike.
    pub evenness: f64,
    /// Classes with items, but fewer than [`TINY`]; the first hundred.
    pub tiny: Vec<(String, usize)>,
    pub tiny_count: usize,
    /// Classes without items there.
    pub empty_count: usize,
}

/// Most of what one list of a report names.
pub const LISTED: usize = 100;

impl Balance {
    /// Of items by class; nothing where no class has any.
    pub fn of(split: &str, classes: &[String], per_class: &[usize]) -> Option<Balance> {
        let counted: Vec<(&String, usize)> = classes.iter().zip(per_class.iter().copied()).filter(|(_, count)| *count > 0).collect();
        // The first of several that are alike.
        let largest = counted.iter().rev().max_by_key(|(_, count)| *count)?;
        let smallest = counted.iter().min_by_key(|(_, count)| *count)?;
        let total = counted.iter().map(|(_, count)| count).sum::<usize>() as f64;
        let entropy: f64 = counted.iter().map(|(_, count)| *count as f64 / total).map(|share| -share * share.ln()).sum();
        let tiny = counted.iter().filter(|(_, count)| *count < TINY);
        let named = |(class, count): &(&String, usize)| ((*class).clone(), *count);
        Some(Balance {
            split: split.into(),
            largest: named(largest),
            smallest: named(smallest),
            ratio: largest.1 as f64 / smallest.1 as f64,
            majority: largest.1 as f64 / total,
            evenness: entropy.exp() / classes.len() as f64,
            tiny_count: tiny.clone().count(),
            tiny: tiny.take(LISTED).map(named).collect(),
            empty_count: classes.len() - counted.len(),
        })
    }

    pub fn is_uneven(&self) -> bool {
        self.ratio >= UNEVEN
    }

    /// What a person should know of it before a training, with what to do.
    pub fn sentences(&self, items: &str) -> Vec<String> {
        let mut said = Vec::new();
        if self.is_uneven() {
            let ((large, most), (small, least)) = (&self.largest, &self.smallest);
            said.push(format!(
                "the classes are uneven, {:.0} to 1: `{large}` has {most} {items}, `{small}` {least}; always answering `{large}` would be \
                 right {:.1} % of the time, so look at macro F1, and weigh the classes or collect more of the small ones",
                self.ratio,
                100.0 * self.majority
            ));
        }
        said
    }
}

/// How often something measured fell between two bounds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Histogram {
    /// What is measured: of images `width`, `brightness` ...
    pub name: String,
    /// One more than `counts`, rising; a value on a bound counts above it, one on the last bound below.
    pub edges: Vec<f64>,
    pub counts: Vec<u64>,
}

/// How many, and the first of them with what is to be said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Noted {
    pub count: usize,
    /// (path, why); at most [`LISTED`].
    pub first: Vec<(String, String)>,
}

impl Noted {
    pub fn add(&mut self, path: &str, why: String) {
        self.count += 1;
        if self.first.len() < LISTED {
            self.first.push((path.to_owned(), why));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Health {
    pub fn is_empty(&self) -> bool {
        *self == Health::default()
    }

    /// A few sentences for people, however much there is.
    pub fn sentences(&self, items: &str) -> Vec<String> {
        let item = Modality::of_items(items).item();
        let mut said = self.balance.as_ref().map(|balance| balance.sentences(items)).unwrap_or_default();
        if !self.blank.is_empty() && self.blank.count <= self.samples / 2 {
            let first: Vec<String> = self.blank.first.iter().take(NAMED).map(|(path, _)| format!("`{path}`")).collect();
            let listed = shortened(&first, self.blank.count);
            let what = format!("nothing but one colour ({listed}): leave");
            let (one, many) = (format!("{item} shows {what} it out"), format!("{items} show {what} them out"));
            said.push(human::of_one_or_many(self.blank.count, &one, &many));
        }
        if !self.odd.is_empty() {
            let first: Vec<String> = self.odd.first.iter().take(NAMED).map(|(path, why)| format!("`{path}`: {why}")).collect();
            let listed = shortened(&first, self.odd.count);
            let measured = Modality::of_items(items).measured();
            let what = format!("far from the others in {measured} ({listed}): look at");
            let (one, many) = (format!("{item} is {what} it"), format!("{items} are {what} them"));
            said.push(human::of_one_or_many(self.odd.count, &one, &many));
        }
        said
    }
}

fn shortened(first: &[String], count: usize) -> String {
    let more = if count > first.len() { ", ..." } else { "" };
    format!("{}{more}", first.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(per_class: &[usize]) -> Balance {
        let classes: Vec<String> = (0..per_class.len()).map(|at| format!("c{at}")).collect();
        Balance::of("train", &classes, per_class).unwrap()
    }

    #[test]
    fn classes_are_weighed_against_each_other() {
        let even = balance(&[50, 50]);
        assert_eq!((even.ratio, even.majority, even.tiny_count), (1.0, 0.5, 0));
        assert!((even.evenness - 1.0).abs() < 1e-12 && even.sentences("images").is_empty());
        let uneven = balance(&[300, 3, 0, 9]);
        assert_eq!((&uneven.largest, &uneven.smallest), (&("c0".to_owned(), 300), &("c1".to_owned(), 3)));
        assert_eq!((uneven.ratio, uneven.tiny_count, uneven.empty_count), (100.0, 2, 1));
        let said = balance(&[300, 3, 0, 9]).sentences("images");
        assert!(
            said[0]
                .starts_with("the classes are uneven, 100 to 1: `c0` has 300 images, `c1` 3; always answering `c0` would be right 96.2 %")
        );
        assert_eq!(uneven.tiny, [("c1".to_owned(), 3), ("c3".to_owned(), 9)]);
        assert_eq!(Balance::of("train", &["a".into()], &[0]), None);
    }

    #[test]
    fn lists_are_bounded_and_told_in_one_sentence() {
        let mut health = Health { samples: 20_000, ..Health::default() };
        (0..5_000).for_each(|at| health.blank.add(&format!("{at}.png"), String::new()));
        assert_eq!((health.blank.count, health.blank.first.len()), (5_000, LISTED));
        assert_eq!(
            health.sentences("images"),
            ["5000 images show nothing but one colour (`0.png`, `1.png`, `2.png`, ...): leave them out"]
        );
        assert!(Health { samples: 5_000, ..health }.sentences("images").is_empty(), "where all are such, it is their kind");
    }
}
