//! Good items and anomalies, which are whatever is not good. Only good items are trained on, so a data set whose training split
//! holds one class and calls it by a word for what is in order is read so: the layout of MVTec AD and of those that follow it,
//! `train/good`, `test/good`, `test/scratch` (Bergmann et al. 2019). A card's `good: CLASS` says it of any other.

use std::collections::BTreeSet;

use super::{Target, Targets, classes};
use crate::data::error::{Error, Result};
use crate::data::labelled::{Labelled, Split};
use crate::data::limits::Limits;
use crate::data::name;

/// What data sets of the field call items that are in order.
const WORDS: [&str; 12] = [
    "good",
    "normal",
    "ok",
    "okay",
    "nominal",
    "fine",
    "intact",
    "defect free",
    "no defect",
    "no anomaly",
    "non defective",
    "anomaly free",
];

const HINT: &str = "name the class of the good items in the card's `good` as it is written in the data set";

/// The class of the good items, where the training split holds nothing else and its name says so.
pub fn recognised(samples: &[Labelled]) -> Option<String> {
    let trained: BTreeSet<&str> = samples.iter().filter(|sample| sample.split == Split::Train).map(|sample| sample.text.as_str()).collect();
    let [only] = trained.iter().collect::<Vec<_>>()[..] else { return None };
    let plain = only.trim().to_lowercase().replace(['_', '-'], " ");
    WORDS.contains(&plain.as_str()).then(|| (*only).to_owned())
}

/// Every class other than `good` is a kind of anomaly.
pub fn read(good: &str, samples: &[Labelled], limits: &Limits) -> Result<(Targets, Vec<Target>)> {
    let good = name::class_text(good);
    let texts: Vec<String> = samples.iter().map(|sample| name::class_text(&sample.text)).collect();
    let mut names = classes::names(&texts, limits)?;
    let Some(at) = names.iter().position(|name| *name == good) else {
        let listed = names.iter().take(5).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        return Err(Error::BadTargets { reason: format!("no item is of the class `{good}`; there are {listed}"), hint: HINT });
    };
    names[..=at].rotate_right(1);
    let index = |text: &String| if *text == good { 0 } else { 1 + names[1..].binary_search(text).unwrap_or_default() };
    let targets = texts.iter().map(|text| Target::Class(index(text) as u32)).collect();
    Ok((Targets::Anomalies(names), targets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(all: &[(Split, &str)]) -> Vec<Labelled> {
        all.iter().map(|(split, text)| Labelled { entry: 0, split: *split, text: (*text).into() }).collect()
    }

    #[test]
    fn good_items_alone_in_training_are_recognised_and_stand_first() {
        let mvtec = samples(&[(Split::Train, "good"), (Split::Test, "scratch"), (Split::Test, "good"), (Split::Test, "cut")]);
        assert_eq!(recognised(&mvtec).as_deref(), Some("good"));
        let (targets, found) = read("good", &mvtec, &Limits::default()).unwrap();
        assert_eq!(targets, Targets::Anomalies(["good", "cut", "scratch"].map(String::from).into()));
        assert_eq!(found, [0, 2, 0, 1].map(Target::Class));
        assert_eq!(recognised(&samples(&[(Split::Train, "Defect_Free")])).as_deref(), Some("Defect_Free"));
        assert_eq!(recognised(&samples(&[(Split::Train, "good"), (Split::Train, "bad")])), None, "both can be learned");
        assert_eq!(recognised(&samples(&[(Split::Train, "cat"), (Split::Test, "good")])), None);
        assert!(read("fine", &mvtec, &Limits::default()).unwrap_err().to_string().contains("no item is of the class `fine`"));
    }
}
