//! So many training images of each class, drawn by a seed: what few-shot learning has to do with.

use std::collections::{BTreeMap, HashSet};

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::data::{Copies, Sample};

/// (drawn, the rest), both in the order of ids. Of each class as many as `shots`, or all; no copies of what was drawn are among them
/// while there are others, and none among the rest.
pub fn drawn(samples: &[Sample], copies: &Copies, shots: usize, seed: u64) -> (Vec<Sample>, Vec<Sample>) {
    let mut by_class: BTreeMap<Option<u32>, Vec<&Sample>> = BTreeMap::new();
    samples.iter().for_each(|sample| by_class.entry(sample.target.class()).or_default().push(sample));
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x7368_6f74);
    let (mut ids, mut groups) = (HashSet::new(), HashSet::new());
    for mut own in by_class.into_values() {
        own.sort_by_key(|sample| sample.id);
        own.shuffle(&mut random);
        let (fresh, again): (Vec<&Sample>, Vec<&Sample>) = own.into_iter().partition(|sample| groups.insert(copies.group(sample.id)));
        for sample in fresh.iter().chain(&again).take(shots) {
            ids.insert(sample.id);
        }
        // What was not drawn after all does not keep its copies from being measured on.
        for sample in fresh.iter().skip(shots) {
            groups.remove(&copies.group(sample.id));
        }
    }
    let taken: Vec<Sample> = samples.iter().filter(|sample| ids.contains(&sample.id)).cloned().collect();
    let shown: HashSet<u32> = taken.iter().map(|sample| copies.group(sample.id)).collect();
    let rest = samples.iter().filter(|sample| !shown.contains(&copies.group(sample.id))).cloned().collect();
    (taken, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Split, Target};

    #[test]
    fn each_class_gives_so_many_and_another_seed_others() {
        let sample = |id: u32| Sample { id, target: Target::Class(id % 3), split: Split::Train, path: id.to_string() };
        let samples: Vec<Sample> = (0..60).map(sample).collect();
        let draw = |seed| drawn(&samples, &Copies::default(), 5, seed);
        let (taken, rest) = draw(1);
        let count = |set: &[Sample], class| set.iter().filter(|sample| sample.target == Target::Class(class)).count();
        assert_eq!([0, 1, 2].map(|class| count(&taken, class)), [5, 5, 5]);
        assert_eq!((taken.len() + rest.len(), draw(1) == (taken.clone(), rest)), (60, true));
        assert_ne!(draw(2).0, taken);
        assert_eq!(drawn(&samples, &Copies::default(), 1_000, 1).0.len(), 60, "all there are");
    }
}
