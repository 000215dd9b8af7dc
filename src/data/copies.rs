//! Which items of a data set are the same: equal byte for byte, equal once decoded, or the same but for small changes. What
//! is the same must not stand on both sides of a hold-out.
//!
//! Near-copies are found by sketches of 64 bits: those that differ in few bits agree whole in one of six runs of them, which
//! are looked up. Each item is held against the first of a group and never against its other members, so that a chain of
//! small steps does not join what is unlike. The work grows with the number of items, whatever they are: of those with the
//! same run only so many are looked at.

use std::collections::{HashMap, HashSet};

use sha2::{Digest as _, Sha256};

use super::error::Refusal;
use super::modality::{Look, Modality, Seen};
use super::sample::Sample;
use crate::domain::copies::{Copies as Told, Leak};

/// The most bits in which the sketches of near-copies differ.
pub(crate) const RADIUS: u32 = 10;
/// First bit and number of bits of the runs that are looked up.
const RUNS: [(u32, u32); 6] = [(0, 11), (11, 11), (22, 11), (33, 11), (44, 10), (54, 10)];
/// Items with the same run that are looked at, and those of them that are compared in detail.
const LOOKED_AT: usize = 1_024;
const COMPARED: usize = 128;
/// Pairs that are named.
const NAMED: usize = 1_000;

/// What is remembered of an item.
#[derive(Debug, Clone)]
pub struct Print {
    /// sha256 of its bytes.
    pub hash: [u8; 32],
    /// Of what it decodes to; `None` of what cannot be read.
    pub look: Option<Look>,
}

impl Print {
    pub fn of(bytes: &[u8], seen: &Result<Seen, Refusal>) -> Print {
        Print { hash: Sha256::digest(bytes).into(), look: seen.as_ref().ok().map(|seen| seen.look.clone()) }
    }
}

/// The id of the first item that an item is equal to, and of the first that it looks the same as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct First {
    equal: u32,
    alike: u32,
}

/// Groups of items that are the same. An item that was not looked at is a group of its own.
#[derive(Debug, Clone, Default)]
pub struct Copies {
    /// By sample id, where it is not the item itself.
    first: HashMap<u32, First>,
}

impl Copies {
    /// Of items with their prints, in the same order.
    pub fn find<'a>(items: impl Iterator<Item = (&'a Sample, &'a Print)>, modality: &dyn Modality) -> Copies {
        let (mut by_hash, mut by_content) = (HashMap::new(), HashMap::new());
        let (mut first, mut index) = (HashMap::new(), Index::new(modality));
        for (sample, print) in items {
            let content = print.look.as_ref().map(|look| look.content);
            let twin = by_hash.get(&print.hash).or_else(|| by_content.get(&content?)).copied();
            let found = twin.unwrap_or_else(|| {
                let alike = print.look.as_ref().and_then(|look| index.find_or_add(sample.id, look));
                First { equal: sample.id, alike: alike.unwrap_or(sample.id) }
            });
            by_hash.entry(print.hash).or_insert(found);
            content.map(|content| by_content.entry(content).or_insert(found));
            if found.alike != sample.id {
                first.insert(sample.id, found);
            }
        }
        Copies { first }
    }

    fn first(&self, id: u32) -> First {
        self.first.get(&id).copied().unwrap_or(First { equal: id, alike: id })
    }

    /// Names the group of all items that are the same as this one.
    pub fn group(&self, id: u32) -> u32 {
        self.first(id).alike
    }

    /// Names the items that are equal to this one, without those that only look the same.
    pub fn equals(&self, id: u32) -> u32 {
        self.first(id).equal
    }

    /// How much of the later splits is also in one before them; `splits` go from what is learned from to what is measured on
    /// last.
    pub fn leaks(&self, splits: &[(&str, &[Sample])]) -> Vec<Leak> {
        let mut leaks = Vec::new();
        for (at, (split, samples)) in splits.iter().enumerate() {
            for (of, before) in &splits[..at] {
                let alike: HashSet<u32> = before.iter().map(|sample| self.group(sample.id)).collect();
                let equal: HashSet<u32> = before.iter().map(|sample| self.equals(sample.id)).collect();
                let found: Vec<_> = samples.iter().filter(|sample| alike.contains(&self.group(sample.id))).collect();
                let near = found.iter().filter(|sample| !equal.contains(&self.equals(sample.id))).count();
                if !found.is_empty() {
                    let (split, of) = ((*split).to_owned(), (*of).to_owned());
                    leaks.push(Leak { split, of, copies: found.len(), samples: samples.len(), near });
                }
            }
        }
        leaks
    }

    /// What is to be told of these items, which come split by split.
    pub fn tell(&self, samples: &[Sample]) -> Told {
        let mut told = Told::default();
        let (mut equal, mut alike) = (HashSet::new(), HashSet::new());
        let mut heads: HashMap<u32, &Sample> = HashMap::new();
        for sample in samples {
            let First { equal: twin, alike: group } = self.first(sample.id);
            let (again, seen) = (!equal.insert((sample.split, twin)), !alike.insert((sample.split, group)));
            told.equal += usize::from(again);
            told.near += usize::from(seen && !again);
            let head = *heads.entry(group).or_insert(sample);
            told.relabelled += usize::from(head.target != sample.target);
            if twin == sample.id && head.id != sample.id && told.pairs.len() < NAMED {
                told.pairs.push((head.path.clone(), sample.path.clone()));
            }
        }
        told
    }
}

/// Finds looks by parts of their sketches.
pub(super) struct Index<'a> {
    modality: &'a dyn Modality,
    known: Vec<(u32, u64, Look)>,
    /// Places in `known` by the run's number and its bits.
    runs: HashMap<(usize, u64), Vec<usize>>,
}

impl<'a> Index<'a> {
    pub fn new(modality: &'a dyn Modality) -> Index<'a> {
        Index { modality, known: Vec::new(), runs: HashMap::new() }
    }

    /// The item that looks the same; where there is none, this one is known from now on.
    pub fn find_or_add(&mut self, id: u32, look: &Look) -> Option<u32> {
        let keys = look.keys?;
        let found = self.find(keys, look);
        if found.is_none() {
            for (number, part) in parts(keys[0]) {
                self.runs.entry((number, part)).or_default().push(self.known.len());
            }
            self.known.push((id, keys[0], look.clone()));
        }
        found
    }

    /// The item known that looks the same.
    pub fn find(&self, keys: [u64; 2], look: &Look) -> Option<u32> {
        let mut tried = HashSet::new();
        // What has no mirror image has one key twice.
        let keys = if keys[0] == keys[1] { &keys[..1] } else { &keys[..] };
        for &key in keys {
            for run in parts(key) {
                for &at in self.runs.get(&run).into_iter().flatten().take(LOOKED_AT) {
                    let (id, other, known) = &self.known[at];
                    if (key ^ other).count_ones() > RADIUS || tried.len() >= COMPARED || !tried.insert(at) {
                        continue;
                    }
                    if self.modality.are_alike(known, look) {
                        return Some(*id);
                    }
                }
            }
        }
        None
    }
}

fn parts(key: u64) -> impl Iterator<Item = (usize, u64)> {
    RUNS.into_iter().enumerate().map(move |(number, (from, bits))| (number, key >> from & ((1 << bits) - 1)))
}

#[cfg(test)]
mod tests {
    use super::super::image::Images;
    use super::super::labelled::Split;
    use super::super::targets::Target;
    use super::*;

    fn sample(id: u32, class: u32, split: Split) -> Sample {
        Sample { id, target: Target::Class(class), split, path: format!("{id}.png") }
    }

    fn print(hash: u8, content: u64) -> Print {
        Print { hash: [hash; 32], look: Some(Look { content, ..Look::default() }) }
    }

    #[test]
    fn equal_bytes_and_equal_content_make_a_group_and_are_counted_where_they_stand() {
        use Split::{Test, Train, Val};
        let samples: Vec<Sample> = [(0, 0, Train), (1, 0, Train), (2, 1, Train), (3, 0, Val), (4, 1, Val), (5, 1, Test)]
            .map(|(id, class, split)| sample(id, class, split))
            .into();
        // 0, 1 and 5 are equal byte for byte, 2 and 3 once decoded.
        let prints = [print(1, 1), print(1, 1), print(2, 2), print(3, 2), print(4, 4), print(1, 1)];
        let copies = Copies::find(samples.iter().zip(&prints), &Images);
        assert_eq!([0, 1, 2, 3, 4, 5].map(|id| copies.group(id)), [0, 0, 2, 2, 4, 0]);
        let (train, val, test) = (&samples[..3], &samples[3..5], &samples[5..]);
        let leaks = copies.leaks(&[("train", train), ("val", val), ("test", test)]);
        let told: Vec<String> = leaks.iter().map(|leak| leak.sentence("images")).collect();
        assert_eq!(told, ["1 of 2 validation images is also in train", "1 of 1 test images is also in train"]);
        let told = copies.tell(&samples);
        assert_eq!((told.equal, told.near, told.relabelled), (1, 0, 2), "{told:?}");
    }

    #[test]
    fn many_that_are_alike_by_their_sketches_only_are_told_apart() {
        let look = |id: u32| Look { content: u64::from(id), keys: Some([7, 7]), detail: Box::default() };
        let samples: Vec<Sample> = (0..10_000).map(|id| sample(id, 0, Split::Train)).collect();
        let prints: Vec<Print> =
            (0..10_000u32).map(|id| Print { hash: Sha256::digest(id.to_le_bytes()).into(), look: Some(look(id)) }).collect();
        let copies = Copies::find(samples.iter().zip(&prints), &Images);
        assert!((0..10_000).all(|id| copies.group(id) == id), "their details say that they are not");
    }
}
