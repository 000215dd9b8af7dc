//! A close look at all answers of a published classifier: calibration, areas, average precision, and how sure each number is.

use super::classification::argmax;
use crate::domain::evaluation::More;
use crate::train::measures::{self, Ranked, mean_of};

/// Of `probabilities` `(items, classes)` row by row, and the true classes. Of two classes the second is the one to be found.
pub fn of_classes(probabilities: &[f32], truths: &[u32], classes: usize) -> More {
    let items = truths.len();
    let mut more = More::default();
    if items == 0 || classes < 2 {
        return more;
    }
    let rows: Vec<&[f32]> = probabilities.chunks_exact(classes).collect();
    let pairs: Vec<(u32, u32)> = rows.iter().zip(truths).map(|(row, truth)| (*truth, argmax(row) as u32)).collect();
    let sure: Vec<(f32, bool)> = rows.iter().zip(&pairs).map(|(row, (truth, answer))| (row[*answer as usize], truth == answer)).collect();
    let ranked = |class: usize| {
        let scores = probabilities.iter().skip(class).step_by(classes).copied();
        Ranked::new(scores, truths.iter().map(|truth| *truth as usize == class).collect())
    };
    let told: Vec<Ranked> = (if classes == 2 { 1..2 } else { 0..classes }).map(ranked).filter(Ranked::has_both).collect();
    let values = |weights: &[f32]| {
        vec![
            measures::calibration_error(&sure, weights),
            mean_of(told.iter().map(|ranked| ranked.area(weights))),
            mean_of(told.iter().map(|ranked| ranked.average_precision(weights))),
            measures::macro_f1(&pairs, classes, weights),
        ]
    };
    let found = values(&measures::even(items));
    // Where only one class was there, nothing could be told apart.
    let keys = ["ece", "auroc", "map"];
    more.measures =
        keys.into_iter().zip(found).filter(|(key, _)| *key == "ece" || !told.is_empty()).map(|(k, v)| (k.to_owned(), v)).collect();
    let work = items * (2 * told.len() + 3) + classes;
    let intervals = measures::intervals(items, work as u64, values);
    let keys = ["ece", "auroc", "map", "macro_f1"].into_iter().filter(|key| more.measures.contains_key(*key) || *key == "macro_f1");
    let all = ["ece", "auroc", "map", "macro_f1"].into_iter().zip(intervals.into_iter().flatten());
    let keys: Vec<&str> = keys.collect();
    more.intervals = all.filter(|(key, _)| keys.contains(key)).map(|(key, pair)| (key.to_owned(), pair)).collect();
    more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_precision_and_calibration_are_those_of_a_worked_example() {
        // Of two classes: the probabilities of the second are .1 .4 .35 .8, true are 0 0 1 1.
        let probabilities = [0.9, 0.1, 0.6, 0.4, 0.65, 0.35, 0.2, 0.8];
        let more = of_classes(&probabilities, &[0, 0, 1, 1], 2);
        assert!((more.measures["auroc"] - 0.75).abs() < 1e-9 && (more.measures["map"] - 5.0 / 6.0).abs() < 1e-9, "{more:?}");
        // Sure by .9 .6 .65 .8, of which the third is wrong: in bins (.6 and .65 share one) .1, .125 twice, .2.
        assert!((more.measures["ece"] - (0.1 + 2.0 * 0.125 + 0.2) / 4.0).abs() < 1e-6, "{more:?}");
        let (low, high) = more.intervals["auroc"];
        assert!((0.0..=0.75).contains(&low) && (0.75..=1.0).contains(&high));
        let one = of_classes(&[0.9, 0.1], &[0], 2);
        assert!(!one.measures.contains_key("auroc") && one.measures.contains_key("ece"), "one class has no area: {one:?}");
    }
}
