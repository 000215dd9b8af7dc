//! Holding samples out for validation, class by class, and never one whose copy is trained on.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::copies::Copies;
use super::sample::Sample;

/// Copies that are drawn together.
struct Group {
    /// Places in the list of samples.
    members: Vec<usize>,
    /// How many of each class.
    classes: BTreeMap<Option<u32>, usize>,
}

/// (kept, held out), both in the order of ids. Copies stay together, so that a class is divided as well as its groups allow;
/// of each class with two groups one is held out, and each keeps an item.
pub fn stratified(samples: Vec<Sample>, copies: &Copies, fraction: f64, seed: u64) -> (Vec<Sample>, Vec<Sample>) {
    let mut totals: BTreeMap<Option<u32>, usize> = BTreeMap::new();
    samples.iter().for_each(|sample| *totals.entry(sample.target.class()).or_default() += 1);
    let groups = groups(&samples, copies);
    let mut by_class: BTreeMap<Option<u32>, Vec<usize>> = BTreeMap::new();
    for (at, group) in groups.iter().enumerate() {
        by_class.entry(samples[group.members[0]].target.class()).or_default().push(at);
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = Draw { groups: &groups, totals: &totals, held: BTreeMap::new(), drawn: vec![false; groups.len()] };
    for (class, total) in &totals {
        let mut own = by_class.remove(class).unwrap_or_default();
        own.shuffle(&mut random);
        draw.hold_out(*class, &own, held_out(*total, fraction));
    }
    let is_held: BTreeSet<usize> =
        groups.iter().zip(&draw.drawn).filter(|(_, drawn)| **drawn).flat_map(|(group, _)| group.members.iter().copied()).collect();
    let (mut kept, mut held) = (Vec::new(), Vec::new());
    for (at, sample) in samples.into_iter().enumerate() {
        if is_held.contains(&at) { held.push(sample) } else { kept.push(sample) }
    }
    kept.sort_by_key(|s| s.id);
    held.sort_by_key(|s| s.id);
    (kept, held)
}

/// Groups in the order of their first members. Where a whole class looks the same (frames of a film, scans of one form), no
/// part of it could be held out: there only what is equal stays together.
fn groups(samples: &[Sample], copies: &Copies) -> Vec<Group> {
    let mut of_class: BTreeMap<Option<u32>, BTreeSet<u32>> = BTreeMap::new();
    for sample in samples {
        of_class.entry(sample.target.class()).or_default().insert(copies.group(sample.id));
    }
    let whole: BTreeSet<u32> = of_class.values().filter(|groups| groups.len() == 1).flatten().copied().collect();
    let mut places: HashMap<u32, usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    for (at, sample) in samples.iter().enumerate() {
        let group = copies.group(sample.id);
        let name = if whole.contains(&group) { copies.equals(sample.id) } else { group };
        let place = *places.entry(name).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Group { members: Vec::new(), classes: BTreeMap::new() });
        }
        groups[place].members.push(at);
        *groups[place].classes.entry(sample.target.class()).or_default() += 1;
    }
    groups
}

struct Draw<'a> {
    groups: &'a [Group],
    totals: &'a BTreeMap<Option<u32>, usize>,
    held: BTreeMap<Option<u32>, usize>,
    drawn: Vec<bool>,
}

impl Draw<'_> {
    fn held(&self, class: Option<u32>) -> usize {
        self.held.get(&class).copied().unwrap_or(0)
    }

    /// Whether every class keeps an item without this group.
    fn may_go(&self, at: usize) -> bool {
        let keeps = |(class, count): (&Option<u32>, &usize)| self.held(*class) + count < self.totals.get(class).copied().unwrap_or(0);
        !self.drawn[at] && self.groups[at].classes.iter().all(keeps)
    }

    fn take(&mut self, at: usize) {
        self.drawn[at] = true;
        for (class, count) in &self.groups[at].classes {
            *self.held.entry(*class).or_default() += count;
        }
    }

    /// Holds out groups of a class, in the order given, until about so many of its items are held out.
    fn hold_out(&mut self, class: Option<u32>, own: &[usize], wanted: usize) {
        let size = |at: usize, groups: &[Group]| groups[at].classes.get(&class).copied().unwrap_or(0);
        for at in own {
            let missing = wanted.saturating_sub(self.held(class));
            // A large group is taken where that comes nearer than leaving it.
            if missing > 0 && size(*at, self.groups) < 2 * missing && self.may_go(*at) {
                self.take(*at);
            }
        }
        if wanted > 0 && self.held(class) == 0 {
            let others = (0..self.groups.len()).filter(|at| size(*at, self.groups) > 0 && self.may_go(*at));
            if let Some(smallest) = others.min_by_key(|at| self.groups[*at].members.len()) {
                self.take(smallest);
            }
        }
    }
}

fn held_out(count: usize, fraction: f64) -> usize {
    if count < 2 || fraction.is_nan() || fraction <= 0.0 {
        return 0;
    }
    ((count as f64 * fraction).round() as usize).clamp(1, count - 1)
}

#[cfg(test)]
mod tests {
    use super::super::copies::Print;
    use super::super::labelled::Split;
    use super::super::modalities;
    use super::super::targets::Target;
    use super::*;

    fn samples(per_class: &[usize]) -> Vec<Sample> {
        let labels = per_class.iter().enumerate().flat_map(|(label, n)| std::iter::repeat_n(label as u32, *n));
        let sample = |(id, label)| Sample { id: id as u32, target: Target::Class(label), split: Split::Train, path: format!("{id}") };
        labels.enumerate().map(sample).collect()
    }

    #[test]
    fn every_class_is_divided_alike() {
        let (kept, held) = stratified(samples(&[100, 10, 2, 1]), &Copies::default(), 0.2, 7);
        let count = |set: &[Sample], label| set.iter().filter(|s| s.target == Target::Class(label)).count();
        assert_eq!([0, 1, 2, 3].map(|l| count(&held, l)), [20, 2, 1, 0]);
        assert_eq!([0, 1, 2, 3].map(|l| count(&kept, l)), [80, 8, 1, 1]);
    }

    #[test]
    fn a_seed_divides_the_same_way_and_another_differently() {
        let held = |seed| stratified(samples(&[50, 50]), &Copies::default(), 0.3, seed).1;
        assert_eq!(held(1), held(1));
        assert_ne!(held(1), held(2));
    }

    /// Copies of which `group` names the group of each sample.
    fn copies(samples: &[Sample], group: impl Fn(u32) -> u8) -> Copies {
        let prints: Vec<Print> = samples.iter().map(|s| Print { hash: [group(s.id); 32], look: None }).collect();
        Copies::find(samples.iter().zip(&prints), modalities::ALL[0])
    }

    #[test]
    fn copies_stay_on_one_side_and_classes_are_still_divided_alike() {
        let samples = samples(&[100, 60, 5]);
        // Fives of copies; the last class is one picture five times.
        let copies = copies(&samples, |id| (id / 5) as u8);
        for seed in 0..20 {
            let (kept, held) = stratified(samples.clone(), &copies, 0.2, seed);
            let groups = |set: &[Sample]| set.iter().map(|s| copies.group(s.id)).collect::<BTreeSet<_>>();
            assert!(groups(&kept).is_disjoint(&groups(&held)), "{seed}");
            let count = |set: &[Sample], label| set.iter().filter(|s| s.target == Target::Class(label)).count();
            assert_eq!([0, 1, 2].map(|l| count(&held, l)), [20, 10, 0], "{seed}");
            assert_eq!(kept.len() + held.len(), samples.len());
        }
        assert_ne!(stratified(samples.clone(), &copies, 0.2, 1).1, stratified(samples, &copies, 0.2, 2).1);
    }

    #[test]
    fn copies_over_two_classes_go_together_and_every_class_keeps_one() {
        let samples = samples(&[10, 10]);
        // Each picture stands in both classes.
        let copies = copies(&samples, |id| (id % 10) as u8);
        let (kept, held) = stratified(samples, &copies, 0.3, 3);
        let classes = |set: &[Sample]| set.iter().filter(|s| s.target == Target::Class(0)).count();
        assert_eq!((held.len(), classes(&held), classes(&kept)), (6, 3, 7));
        let uneven = self::samples(&[3, 2]);
        // The second class has one copy of its own in the first and one alone.
        let copies = self::copies(&uneven, |id| [0, 1, 2, 0, 4][id as usize]);
        for seed in 0..20 {
            let (kept, _) = stratified(uneven.clone(), &copies, 0.5, seed);
            assert!([0, 1].iter().all(|label| kept.iter().any(|s| s.target == Target::Class(*label))), "{seed}");
        }
    }
}
