//! Folds of the items trained on, each left out once: class by class, and copies together.

use std::collections::{BTreeMap, HashMap};

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// As many as are usual (Kohavi 1995 has five to ten).
pub const FOLDS: usize = 5;

/// For each item in which of `count` folds it is left out. `items` are their classes, where they have one, and their groups of
/// copies: those stand in one fold.
pub fn folds(items: &[(Option<u32>, u32)], count: usize, seed: u64) -> Vec<u8> {
    let mut by_class: BTreeMap<Option<u32>, Vec<u32>> = BTreeMap::new();
    let mut seen: HashMap<u32, u8> = HashMap::new();
    for (class, group) in items {
        if seen.insert(*group, 0).is_none() {
            by_class.entry(*class).or_default().push(*group);
        }
    }
    let count = count.clamp(2, 255).min(seen.len().max(2));
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut next = 0;
    for groups in by_class.values_mut() {
        groups.shuffle(&mut random);
        for group in groups.iter() {
            seen.insert(*group, next as u8);
            next = (next + 1) % count;
        }
    }
    items.iter().map(|(_, group)| seen.get(group).copied().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_spread_evenly_and_copies_stay_together() {
        let items: Vec<(Option<u32>, u32)> = (0..40).map(|at| (Some(at % 2), if at < 6 { at % 2 } else { at })).collect();
        let found = folds(&items, FOLDS, 3);
        assert_eq!(found, folds(&items, FOLDS, 3));
        assert_ne!(found, folds(&items, FOLDS, 4));
        assert!(found[0] == found[2] && found[2] == found[4], "copies of one class");
        for fold in 0..5u8 {
            for class in 0..2 {
                let mut groups: Vec<u32> =
                    items.iter().zip(&found).filter(|((c, _), f)| *c == Some(class) && **f == fold).map(|((_, g), _)| *g).collect();
                groups.dedup();
                assert!((3..=4).contains(&groups.len()), "{fold} {class}: {groups:?}");
            }
        }
        assert_eq!(folds(&[(None, 1), (None, 2), (None, 3)], FOLDS, 0).iter().max(), Some(&2), "no more folds than groups");
    }
}
