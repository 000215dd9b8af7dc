//! Holding samples out for validation, class by class.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::sample::Sample;

/// (kept, held out), both in the order of ids.
pub fn stratified(samples: Vec<Sample>, fraction: f64, seed: u64) -> (Vec<Sample>, Vec<Sample>) {
    // Where there are no classes, all are of one.
    let mut by_class: BTreeMap<Option<u32>, Vec<Sample>> = BTreeMap::new();
    for sample in samples {
        by_class.entry(sample.target.class()).or_default().push(sample);
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut kept, mut held) = (Vec::new(), Vec::new());
    for (_, mut class) in by_class {
        class.shuffle(&mut random);
        let count = held_out(class.len(), fraction);
        held.extend(class.drain(..count));
        kept.extend(class);
    }
    kept.sort_by_key(|s| s.id);
    held.sort_by_key(|s| s.id);
    (kept, held)
}

fn held_out(count: usize, fraction: f64) -> usize {
    if count < 2 || fraction.is_nan() || fraction <= 0.0 {
        return 0;
    }
    ((count as f64 * fraction).round() as usize).clamp(1, count - 1)
}

#[cfg(test)]
mod tests {
    use super::super::labelled::Split;
    use super::super::targets::Target;
    use super::*;

    fn samples(per_class: &[usize]) -> Vec<Sample> {
        let labels = per_class.iter().enumerate().flat_map(|(label, n)| std::iter::repeat_n(label as u32, *n));
        let sample = |(id, label)| Sample { id: id as u32, target: Target::Class(label), split: Split::Train, path: format!("{id}") };
        labels.enumerate().map(sample).collect()
    }

    #[test]
    fn every_class_is_divided_alike() {
        let (kept, held) = stratified(samples(&[100, 10, 2, 1]), 0.2, 7);
        let count = |set: &[Sample], label| set.iter().filter(|s| s.target == Target::Class(label)).count();
        assert_eq!([0, 1, 2, 3].map(|l| count(&held, l)), [20, 2, 1, 0]);
        assert_eq!([0, 1, 2, 3].map(|l| count(&kept, l)), [80, 8, 1, 1]);
    }

    #[test]
    fn a_seed_divides_the_same_way_and_another_differently() {
        let held = |seed| stratified(samples(&[50, 50]), 0.3, seed).1;
        assert_eq!(held(1), held(1));
        assert_ne!(held(1), held(2));
    }
}
