//! Gathers what is measured of each item of a data set, and tells how it spreads and which items are far from the rest. A few
//! numbers an item are kept, whatever the items are.

use std::collections::BTreeMap;

use super::modality::{Scale, Seen, Trait};
use super::sample::Sample;
use crate::domain::dataset_health::{Health, Histogram, Noted};

/// Bars of a histogram.
const BARS: usize = 16;
/// Beyond so many scaled median deviations from the median a value is an outlier (Iglewicz and Hoaglin 1993).
const FAR: f32 = 3.5;
/// Turns a median deviation into a standard deviation, for a normal spread.
const NORMAL: f32 = 1.4826;
/// More than this share far away is no outlier but another kind of item.
const RARE: f64 = 0.05;

/// The items' places in the list of paths, with their values.
type Values = Vec<(u32, f32)>;

#[derive(Debug, Default)]
pub struct Gathered {
    /// By what is measured: how, and what was.
    traits: BTreeMap<&'static str, (Scale, Values)>,
    blank: Noted,
    samples: usize,
}

impl Gathered {
    /// Adds item number `at` of the readable ones.
    pub fn add(&mut self, at: usize, sample: &Sample, seen: &Seen) {
        self.samples += 1;
        for Trait { name, value, scale } in &seen.traits {
            let measured = self.traits.entry(name).or_insert_with(|| (*scale, Vec::new()));
            measured.1.push((at as u32, *value));
        }
        if seen.blank {
            self.blank.add(&sample.path, "shows nothing but one colour".into());
        }
    }

    /// `path` names an item by its number.
    pub fn into_health<'a>(self, path: impl Fn(usize) -> &'a str) -> Health {
        let mut far: BTreeMap<u32, String> = BTreeMap::new();
        let mut histograms = Vec::new();
        for (name, (scale, values)) in self.traits {
            histograms.push(histogram(name, scale, &values));
            for (at, why) in outliers(name, scale, &values) {
                far.entry(at).or_insert(why);
            }
        }
        let mut odd = Noted::default();
        far.into_iter().for_each(|(at, why)| odd.add(path(at as usize), why));
        Health { samples: self.samples, balance: None, histograms, blank: self.blank, odd }
    }
}

/// Bars of equal width, or of equal ratio.
fn histogram(name: &str, scale: Scale, values: &[(u32, f32)]) -> Histogram {
    let (low, high) = match scale {
        Scale::Between(low, high) => (low, high),
        Scale::Ratio { .. } => {
            let logs = values.iter().map(|(_, value)| value.max(f32::MIN_POSITIVE).log2());
            let (low, high) = logs.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), log| (low.min(log), high.max(log)));
            // Whole powers of two, and halves or quarters of them between.
            (low.floor(), high.ceil().max(low.floor() + 1.0))
        }
    };
    let place = |value: f32| match scale {
        Scale::Between(..) => value,
        Scale::Ratio { .. } => value.max(f32::MIN_POSITIVE).log2(),
    };
    let mut counts = vec![0; BARS];
    for (_, value) in values {
        let bar = ((place(*value) - low) / (high - low) * BARS as f32) as usize;
        counts[bar.min(BARS - 1)] += 1;
    }
    let edge = |at: usize| {
        let edge = f64::from(low) + f64::from(high - low) * at as f64 / BARS as f64;
        short(if matches!(scale, Scale::Between(..)) { edge } else { edge.exp2() })
    };
    Histogram { name: name.into(), edges: (0..=BARS).map(edge).collect(), counts }
}

/// Six digits, which come back from JSON as they were.
fn short(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// Items that are far away by ratio from the middle of all, at least by the trait's own measure of what is odd.
fn outliers(name: &str, scale: Scale, values: &[(u32, f32)]) -> Vec<(u32, String)> {
    let Scale::Ratio { odd } = scale else { return Vec::new() };
    let logs: Vec<f32> = values.iter().map(|(_, value)| value.max(f32::MIN_POSITIVE).log2()).collect();
    let middle = median(logs.clone());
    let spread = NORMAL * median(logs.iter().map(|log| (log - middle).abs()).collect());
    let beyond = (FAR * spread).max(odd.log2());
    let far: Vec<(u32, f32)> =
        values.iter().zip(&logs).filter(|(_, log)| (**log - middle).abs() > beyond).map(|(value, _)| *value).collect();
    if far.len() as f64 > RARE * values.len() as f64 {
        return Vec::new();
    }
    let usual = shown(middle.exp2());
    far.into_iter().map(|(at, value)| (at, format!("{name} {}, where {usual} is usual", shown(value)))).collect()
}

fn shown(value: f32) -> String {
    if value >= 10.0 || value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn median(mut values: Vec<f32>) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATIO: Scale = Scale::Ratio { odd: 4.0 };

    fn values(of: &[f32]) -> Vec<(u32, f32)> {
        of.iter().enumerate().map(|(at, value)| (at as u32, *value)).collect()
    }

    #[test]
    fn what_is_far_from_the_rest_is_told_unless_it_is_a_kind_of_its_own() {
        let mut widths = vec![100.0; 60];
        widths.extend([130.0, 90.0, 399.0, 2_000.0, 5.0]);
        let found = outliers("width", RATIO, &values(&widths));
        assert_eq!(found, [(63, "width 2000, where 100 is usual".to_owned()), (64, "width 5, where 100 is usual".to_owned())]);
        let two_kinds: Vec<f32> = (0..100).map(|at| if at % 10 == 0 { 1_000.0 } else { 100.0 }).collect();
        assert!(outliers("width", RATIO, &values(&two_kinds)).is_empty());
        let spread: Vec<f32> = (0..100).map(|at| 100.0 * 1.1f32.powi(at)).collect();
        assert!(outliers("width", RATIO, &values(&spread)).is_empty(), "sizes that spread evenly have no outliers");
        assert!(outliers("width", RATIO, &[]).is_empty());
    }

    #[test]
    fn histograms_hold_every_value() {
        let bars = histogram("brightness", Scale::Between(0.0, 256.0), &values(&[0.0, 15.9, 16.0, 255.0, 256.0]));
        assert_eq!((bars.edges.len(), bars.edges[1], bars.counts[0], bars.counts[1], bars.counts[15]), (17, 16.0, 2, 1, 2));
        let bars = histogram("width", RATIO, &values(&[64.0, 64.0, 1_024.0]));
        assert_eq!((bars.edges[0], bars.edges[16], bars.counts[0], bars.counts[15]), (64.0, 1_024.0, 2, 1));
        let bars = histogram("width", RATIO, &values(&[28.0, 28.0]));
        assert_eq!((bars.edges[0], bars.edges[16], bars.counts.iter().sum::<u64>()), (16.0, 32.0, 2));
    }
}
