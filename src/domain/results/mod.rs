//! Numbers that say how good, how large and how quick a model is, each with where it comes from: what its card says, what a table says that
//! an administrator took over, and what this hub measured itself.

pub mod table;

use super::recommendation::is_imagenet;
use super::repo::Facts;

/// The share of first answers that are right.
pub const TOP1: &str = "top1";
pub const TOP5: &str = "top5";
/// Billions of multiplications with an addition for one item.
pub const GMACS: &str = "gmacs";
/// Items that go through the backbone in a second.
pub const SPEED: &str = "items_per_second";
/// The side of the image that goes in.
pub const INPUT: &str = "input";

/// Where a number comes from. Ordered: what comes later is believed before what comes earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Its card says so, which nobody here has checked.
    Claimed,
    /// A table that an administrator took over.
    Imported,
    /// This hub measured it.
    Measured,
}
super::user::words!(Origin, Claimed = "claimed", Imported = "imported", Measured = "measured");

/// One number of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelResult {
    /// As cards call it; shares are 0 to 1.
    pub measure: String,
    /// As it is written; empty where it is about none.
    pub dataset: String,
    pub value: f64,
    pub origin: Origin,
    /// The table, or the job; empty for cards.
    pub source: String,
}

/// Names by which cards mean the share of first answers that are right.
pub fn is_top1(name: &str) -> bool {
    matches!(name, "top1" | "top-1" | "accuracy" | "acc1" | "acc@1")
}

/// A measure by the name it has here.
pub fn measure_name(written: &str) -> String {
    let name = written.trim().to_lowercase();
    if is_top1(&name) { TOP1.to_owned() } else { name }
}

/// The bare name of a data set as pages and filters write it: `imagenet-1k` for what is ImageNet's thousand classes.
pub fn dataset_name(written: &str) -> String {
    if is_imagenet(written) {
        return "imagenet-1k".to_owned();
    }
    let name = written.trim().split('@').next().unwrap_or_default();
    let folded: String = name.chars().map(|c| if matches!(c, '.' | '_') { '-' } else { c.to_ascii_lowercase() }).collect();
    folded.strip_prefix("library/").map(str::to_owned).unwrap_or(folded)
}

/// What facts say, as results: the numbers of the card, and what was counted in the files.
pub fn of_facts(facts: &Facts) -> Vec<ModelResult> {
    let result = |measure: String, dataset: String, value: f64| {
        let value = if measure == TOP1 && (1.0..=100.0).contains(&value) && value > 1.0 { value / 100.0 } else { value };
        ModelResult { measure, dataset, value, origin: Origin::Claimed, source: String::new() }
    };
    let card = facts.metrics.iter().filter(|metric| metric.value.is_finite());
    let card = card.map(|metric| result(measure_name(&metric.name), dataset_name(&metric.dataset), metric.value));
    let counted = [(GMACS, facts.gmacs), (INPUT, facts.image_size as f64)].into_iter().filter(|(_, value)| *value > 0.0);
    card.chain(counted.map(|(measure, value)| result(measure.to_owned(), String::new(), value))).collect()
}

/// The number that stands for a measure: of the most believed origin; on ImageNet's thousand classes where it was taken there, else the first.
pub fn best<'a>(results: &'a [ModelResult], measure: &str) -> Option<&'a ModelResult> {
    let of_it = || results.iter().filter(|result| result.measure == measure);
    let usual = first_of_best(of_it().filter(|result| result.dataset == "imagenet-1k"));
    usual.or_else(|| first_of_best(of_it()))
}

/// The same on one data set, by [`dataset_name`].
pub fn best_on<'a>(results: &'a [ModelResult], measure: &str, dataset: &str) -> Option<&'a ModelResult> {
    first_of_best(results.iter().filter(|result| result.measure == measure && result.dataset == dataset))
}

fn first_of_best<'a>(results: impl Iterator<Item = &'a ModelResult>) -> Option<&'a ModelResult> {
    results.fold(None, |best: Option<&ModelResult>, next| match best {
        Some(best) if best.origin >= next.origin => Some(best),
        _ => Some(next),
    })
}

#[cfg(test)]
mod tests {
    use super::super::repo::Metric;
    use super::*;

    fn result(measure: &str, dataset: &str, value: f64, origin: Origin) -> ModelResult {
        ModelResult { measure: measure.into(), dataset: dataset.into(), value, origin, source: String::new() }
    }

    #[test]
    fn what_is_believed_more_stands_for_a_measure() {
        let claimed = result(TOP1, "imagenet-1k", 0.9, Origin::Claimed);
        let imported = result(TOP1, "imagenet-1k", 0.8, Origin::Imported);
        let elsewhere = result(TOP1, "flowers", 0.7, Origin::Measured);
        let all = [claimed.clone(), imported.clone(), elsewhere.clone()];
        assert_eq!(best(&all, TOP1), Some(&imported), "on the usual data set, by the table");
        assert_eq!(best_on(&all, TOP1, "flowers"), Some(&elsewhere));
        assert_eq!(best(std::slice::from_ref(&elsewhere), TOP1), Some(&elsewhere));
        assert_eq!(
            best(&[claimed.clone(), result(TOP1, "imagenet-1k", 0.1, Origin::Claimed)], TOP1),
            Some(&claimed),
            "a card's first word"
        );
        assert_eq!(best(&all, GMACS), None);
    }

    #[test]
    fn cards_names_are_read_as_one() {
        let metric = |dataset: &str, name: &str, value| Metric { dataset: dataset.into(), name: name.into(), value };
        let facts = Facts {
            metrics: vec![metric("timm/imagenet-1k", "Accuracy", 81.2), metric("Acme/Cats@2", "f1", 0.5)],
            gmacs: 4.1,
            ..Facts::default()
        };
        let results = of_facts(&facts);
        let seen: Vec<_> = results.iter().map(|r| (r.measure.as_str(), r.dataset.as_str(), r.value)).collect();
        assert_eq!(seen, [(TOP1, "imagenet-1k", 0.812), ("f1", "acme/cats", 0.5), (GMACS, "", 4.1)]);
    }
}
