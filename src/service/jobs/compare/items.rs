//! Two tables of what was said about items, held against each other: the items in common, the draws, the test.

use std::collections::HashMap;

use super::{Compared, Comparison, Measure};
use crate::domain::findings::PREDICTIONS;
use crate::domain::id::JobId;
use crate::domain::name::RepoId;
use crate::service::{Error, Result};
use crate::train::measures::{paired, weighted_mean};

/// What a table says of an item.
struct Line {
    truth: String,
    score: f64,
}

/// By split and path.
type Table = HashMap<(String, String), Line>;

fn read(text: &[u8]) -> Result<(Table, bool)> {
    let broken = || Error::Internal(format!("a job left a {PREDICTIONS} that cannot be read"));
    let mut reader = csv::Reader::from_reader(text);
    let head = reader.headers().map_err(|_| broken())?.clone();
    let at = |name: &str| head.iter().position(|column| column == name).ok_or_else(broken);
    let (path, split, truth, confidence, score) = (at("path")?, at("split")?, at("truth")?, at("confidence")?, at("score")?);
    let (mut table, mut sure) = (Table::new(), false);
    for record in reader.records() {
        let record = record.map_err(|_| broken())?;
        let cell = |at: usize| record.get(at).unwrap_or_default();
        let value: f64 = cell(score).parse().map_err(|_| broken())?;
        sure |= !cell(confidence).is_empty();
        table.insert((cell(split).to_owned(), cell(path).to_owned()), Line { truth: cell(truth).to_owned(), score: value });
    }
    Ok((table, sure))
}

pub(super) fn compare(sides: [(JobId, Option<(RepoId, u32)>); 2], dataset: (RepoId, u32), a: &[u8], b: &[u8]) -> Result<Comparison> {
    let ((first, a_sure), (second, b_sure)) = (read(a)?, read(b)?);
    let mut keys: Vec<_> = first.keys().filter(|key| second.contains_key(*key)).collect();
    // Draws follow from the order of the items.
    keys.sort();
    if let Some(other) = keys.iter().find(|key| first[**key].truth != second[**key].truth) {
        let message = format!("'{}' is '{}' for one and '{}' for the other", other.1, first[*other].truth, second[*other].truth);
        return Err(Error::invalid("different_items", message, "measure both on one version of a data set with `hub evaluate`"));
    }
    if keys.len() < 2 {
        let message =
            format!("of the {} and {} items that the two were measured on, {} are the same", first.len(), second.len(), keys.len());
        return Err(Error::invalid("different_items", message, "measure both on the same split with `hub evaluate MODEL --split SPLIT`"));
    }
    let scores: Vec<(f64, f64)> = keys.iter().map(|key| (first[*key].score, second[*key].score)).collect();
    let all = || scores.iter().flat_map(|(a, b)| [*a, *b]);
    let measure = match (all().all(|score| score == 0.0 || score == 1.0), a_sure || b_sure || all().any(|score| score > 0.0)) {
        (true, true) => Measure::ShareRight,
        (_, false) => Measure::RootMeanSquare,
        (false, true) => Measure::MeanScore,
    };
    let mean = |of: fn(&(f64, f64)) -> f64, weights: &[f32]| {
        let mean = weighted_mean(scores.iter().map(of), weights);
        if measure == Measure::RootMeanSquare { (-mean).max(0.0).sqrt() } else { mean }
    };
    let both = |weights: &[f32]| (mean(|pair| pair.0, weights), mean(|pair| pair.1, weights));
    let drawn = paired(scores.len(), 2 * scores.len() as u64, both);
    let drawn =
        drawn.ok_or_else(|| Error::too_large("too_many_items", "there are too many items to draw from", "compare a smaller split"))?;
    let alone = |right: fn(&(f64, f64)) -> bool| scores.iter().filter(|pair| right(pair)).count() as u64;
    let right = measure == Measure::ShareRight;
    let (only_a, only_b) = if right { (alone(|pair| pair.0 > pair.1), alone(|pair| pair.1 > pair.0)) } else { (0, 0) };
    let (value_a, value_b) = both(&vec![1.0; scores.len()]);
    let items = scores.len() as u64;
    let [(job_a, model_a), (job_b, model_b)] = sides;
    let rises = measure != Measure::RootMeanSquare;
    Ok(Comparison {
        dataset,
        items,
        measure,
        difference: drawn.difference,
        interval_95: drawn.interval,
        b_better: if rises { drawn.above } else { 1.0 - drawn.above },
        p: right.then(|| mcnemar(only_a, only_b)),
        a: Compared { job: job_a, model: model_a, value: value_a, left_out: first.len() as u64 - items, alone_right: only_a },
        b: Compared { job: job_b, model: model_b, value: value_b, left_out: second.len() as u64 - items, alone_right: only_b },
    })
}

/// McNemar's test on the items that only one has right (McNemar 1947), exactly, by the binomial distribution with a half: how likely one
/// side has as many of them, or as few, by chance.
fn mcnemar(only_a: u64, only_b: u64) -> f64 {
    let (fewer, all) = (only_a.min(only_b), only_a + only_b);
    // Each term from the one before, in logarithms: a half to the power of thousands is nothing.
    let mut term = -(all as f64) * std::f64::consts::LN_2;
    let mut tail = term.exp();
    for k in 1..=fewer {
        term += ((all - k + 1) as f64).ln() - (k as f64).ln();
        tail += term.exp();
    }
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::domain::time::Timestamp;

    fn sides() -> [(JobId, Option<(RepoId, u32)>); 2] {
        let id = |n: i64| JobId::new(Timestamp::from_unix_ms(n), [0; 10]);
        [(id(1), Some((RepoId::parse("ada/one").unwrap(), 1))), (id(2), None)]
    }

    fn table(rows: impl Iterator<Item = (usize, &'static str, f64)>, confidence: &str) -> Vec<u8> {
        let lines: String = rows.map(|(n, truth, score)| format!("{n}.png,val,{truth},x,{confidence},{score},0\n")).collect();
        format!("path,split,truth,answer,confidence,score,loss\n{lines}").into_bytes()
    }

    fn on() -> (RepoId, u32) {
        (RepoId::parse("ada/cats").unwrap(), 1)
    }

    #[test]
    fn a_clear_difference_is_told_from_none() {
        let right = |every: usize| table((0..100).map(move |n| (n, "cat", f64::from(u8::from(n % every != 0)))), "0.9");
        let found = compare(sides(), on(), &right(2), &right(10)).unwrap();
        assert_eq!((found.items, found.measure, found.a.alone_right, found.b.alone_right), (100, Measure::ShareRight, 0, 40));
        assert!((found.difference - 0.4).abs() < 1e-9 && found.verdict() == Verdict::B && found.p.unwrap() < 1e-10);
        assert!(found.sentence().contains("is better than ada/one@1: 50.00 % against 90.00 % (share right)"), "{}", found.sentence());
        let same = compare(sides(), on(), &right(2), &right(2)).unwrap();
        assert_eq!((same.verdict(), same.p, same.difference), (Verdict::Neither, Some(1.0), 0.0));
    }

    #[test]
    fn of_numbers_less_error_is_better() {
        let squared = |error: f64| table((0..50).map(move |n| (n, "3.5", -error * (1.0 + (n % 3) as f64))), "");
        let found = compare(sides(), on(), &squared(4.0), &squared(1.0)).unwrap();
        assert_eq!((found.measure, found.verdict(), found.p), (Measure::RootMeanSquare, Verdict::B, None));
        assert!(found.difference < 0.0 && found.b_better > 0.99, "{found:?}");
    }

    #[test]
    fn items_that_differ_are_not_compared_and_those_in_common_are() {
        let some = |from: usize, truth: &'static str| table((from..from + 10).map(move |n| (n, truth, 1.0)), "0.9");
        let found = compare(sides(), on(), &some(0, "cat"), &some(4, "cat")).unwrap();
        assert_eq!((found.items, found.a.left_out, found.b.left_out), (6, 4, 4));
        for (a, b) in [(some(0, "cat"), some(50, "cat")), (some(0, "cat"), some(0, "dog"))] {
            let Err(Error::Invalid(problem)) = compare(sides(), on(), &a, &b) else { panic!("compared") };
            assert_eq!(problem.code, "different_items", "{}", problem.message);
        }
    }

    #[test]
    fn chance_is_told_by_the_exact_test() {
        // 8 of 8 one way: 2 / 2^8. 1 and 9: 2 (1 + 10) / 2^10.
        assert!((mcnemar(0, 8) - 2.0 / 256.0).abs() < 1e-12);
        assert!((mcnemar(9, 1) - 22.0 / 1024.0).abs() < 1e-12);
        assert_eq!((mcnemar(0, 0), mcnemar(5, 5)), (1.0, 1.0));
        assert!(mcnemar(2_000, 3_000) < 1e-40);
    }
}
