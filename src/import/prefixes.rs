//! What wrapping modules leave in front of a network's names (`module.`, `_orig_mod.`, `backbone.`): any dotted beginning that
//! many names share may be one, and a match with an architecture decides.

use std::collections::BTreeMap;

use super::state_dict::{Found, StateDict};

/// Most beginnings that are tried.
const MOST: usize = 16;
/// Parts of the longest beginning, such as `module.encoder_q.`.
const DEEPEST: usize = 5;

/// The beginnings to try, the empty one first, then by how many names share them.
pub fn of(tensors: &StateDict) -> Vec<String> {
    let mut shared: BTreeMap<&str, usize> = BTreeMap::new();
    for name in tensors.keys() {
        for (at, _) in name.match_indices('.').take(DEEPEST) {
            *shared.entry(&name[..=at]).or_default() += 1;
        }
    }
    let enough = (tensors.len() / 6).max(2);
    let mut common: Vec<(&str, usize)> = shared.into_iter().filter(|(_, count)| *count >= enough).collect();
    // Of two with as many names the longer one: what both have in front belongs to neither.
    common.sort_by_key(|(prefix, count)| (std::cmp::Reverse(*count), std::cmp::Reverse(prefix.len())));
    std::iter::once(String::new()).chain(common.into_iter().take(MOST).map(|(prefix, _)| prefix.to_owned())).collect()
}

/// Tensors by name.
pub type Names<'a> = BTreeMap<&'a str, &'a Found>;

/// The tensors behind a beginning under the rest of their names, and those that do not have it under their own.
pub fn split<'a>(tensors: &'a StateDict, prefix: &str) -> (Names<'a>, Names<'a>) {
    let (mut inside, mut outside) = (BTreeMap::new(), BTreeMap::new());
    for (name, found) in tensors {
        match name.strip_prefix(prefix) {
            Some(rest) => inside.insert(rest, found),
            None => outside.insert(name.as_str(), found),
        };
    }
    (inside, outside)
}

/// How good a place for weights is, by the words in its key and prefix; the least is the best. Averaged weights are what
/// people report and timm takes first; the second copy that contrastive training keeps is not meant to be used.
pub fn rank(place: &str) -> u8 {
    let place = place.to_ascii_lowercase();
    let has = |words: &[&str]| place.split(['.', '_', '-']).any(|word| words.contains(&word));
    if has(&["ema", "teacher", "averaged", "swa"]) || place.contains("encoder_q") {
        return 0;
    }
    if has(&["student", "momentum", "target", "optimizer", "opt", "best"]) || place.contains("encoder_k") {
        return 2;
    }
    1
}
