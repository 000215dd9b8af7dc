//! How far a measure would scatter over other items of the same kind: the items that were measured are drawn anew, with
//! repetition, many times (Efron 1979). The draws follow from a fixed seed, so that equal answers have equal intervals.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const SEED: u64 = 0x6974_656d;
/// Items looked at in all draws together; a measure that would need more has fewer draws.
const WORK: u64 = 200_000_000;
const MOST: u64 = 1_000;
/// Fewer draws say nothing of the last 2.5 per cent.
const FEWEST: u64 = 100;

/// Where each of a measure's numbers lies in 95 of 100 draws of so many items. `work` is what one draw looks at. `None` where
/// there are too few items, or so many that it would take too long.
pub fn intervals(items: usize, work: u64, measures: impl Fn(&[f32]) -> Vec<f64>) -> Option<Vec<(f64, f64)>> {
    let draws = draws_for(items, work)?;
    let mut drawn: Vec<Vec<f64>> = Vec::new();
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    for _ in 0..draws {
        drawn.push(measures(&weights(items, &mut random)));
    }
    let width = drawn.first().map_or(0, Vec::len);
    Some((0..width).map(|at| middle(drawn.iter().map(|values| values[at]).collect())).collect())
}

/// How two runs that answered about the same items differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paired {
    /// The second's measure less the first's.
    pub difference: f64,
    /// Where the difference lies in 95 of 100 draws.
    pub interval: (f64, f64),
    /// In what share of the draws the second is above the first, ties counting half.
    pub above: f64,
}

impl Paired {
    /// Whether the difference is more than chance would explain: its interval does not hold 0.
    pub fn is_clear(&self) -> bool {
        self.interval.0 > 0.0 || self.interval.1 < 0.0
    }
}

/// Compares two runs on the same items, in the same order: each draw asks both about the same ones, so that what is hard for
/// both does not count as noise.
pub fn paired(items: usize, work: u64, measures: impl Fn(&[f32]) -> (f64, f64)) -> Option<Paired> {
    let draws = draws_for(items, work)?;
    let (first, second) = measures(&super::even(items));
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let differences: Vec<f64> = (0..draws).map(|_| measures(&weights(items, &mut random))).map(|(a, b)| b - a).collect();
    let share = |is: fn(&f64) -> bool| differences.iter().filter(|value| is(value)).count() as f64 / draws as f64;
    let above = share(|value| *value > 0.0) + share(|value| *value == 0.0) / 2.0;
    Some(Paired { difference: second - first, interval: middle(differences), above })
}

fn draws_for(items: usize, work: u64) -> Option<u64> {
    let draws = (WORK / work.max(1)).min(MOST);
    (items >= 2 && draws >= FEWEST).then_some(draws)
}

/// How often each item was drawn.
fn weights(items: usize, random: &mut ChaCha8Rng) -> Vec<f32> {
    let mut weights = vec![0.0; items];
    for _ in 0..items {
        let at = (u64::from(random.next_u32()) * items as u64) >> 32;
        weights[at as usize] += 1.0;
    }
    weights
}

/// The middle 95 per cent.
fn middle(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[(share * (values.len() - 1) as f64).round() as usize];
    (at(0.025), at(0.975))
}

#[cfg(test)]
mod tests {
    use super::super::weighted_mean;
    use super::*;

    #[test]
    fn an_interval_of_a_mean_is_about_two_standard_errors() {
        let values: Vec<f64> = (0..400).map(|n| f64::from(n % 2)).collect();
        let found = intervals(400, 400, |weights| vec![weighted_mean(values.iter().copied(), weights)]).unwrap()[0];
        // 0.5 plus and minus 1.96 times 0.5 / 20.
        assert!((found.0 - 0.451).abs() < 0.012 && (found.1 - 0.549).abs() < 0.012, "{found:?}");
        assert_eq!(intervals(1, 1, |_| vec![0.0]), None);
        assert_eq!(intervals(10, WORK, |_| vec![0.0]), None, "one draw would be no interval");
    }

    #[test]
    fn pairs_see_what_alone_is_lost_in_noise() {
        // The second is right wherever the first is, and on ten more of 200 items.
        let first: Vec<f64> = (0..200).map(|n| f64::from(u8::from(n % 2 == 0))).collect();
        let second: Vec<f64> = (0..200).map(|n| f64::from(u8::from(n % 2 == 0 || n < 20))).collect();
        let both = |weights: &[f32]| (weighted_mean(first.iter().copied(), weights), weighted_mean(second.iter().copied(), weights));
        let paired = super::paired(200, 400, both).unwrap();
        assert!((paired.difference - 0.05).abs() < 1e-9 && paired.is_clear() && paired.above > 0.99, "{paired:?}");
        let same = super::paired(200, 400, |weights| (both(weights).0, both(weights).0)).unwrap();
        assert!(!same.is_clear() && same.above == 0.5, "{same:?}");
    }
}
