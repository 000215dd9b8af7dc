//! Folders that look like classes and are pairs: what lies in one is said about what lies in the other, file by file.

use std::collections::{BTreeMap, HashSet};

use super::words::{self, Says};
use crate::data::labelled::Labelled;
use crate::data::listing::Listing;

/// Two of the classes, of which one is called as a kind of files (`images`) and half of whose files have the same names as those of the
/// other; `None` where there are none.
pub fn kinds(samples: &[Labelled], listing: &Listing) -> Option<(String, String)> {
    let mut stems: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
    for sample in samples {
        let file = listing.entries[sample.entry].path.rsplit('/').next().unwrap_or_default();
        stems.entry(&sample.text).or_default().insert(file.rsplit_once('.').map_or(file, |(stem, _)| stem));
    }
    let kind = stems.keys().copied().find(|class| words::judge_one(class) == Says::Kind)?;
    let own = &stems[kind];
    let same =
        |(class, other): &(&&str, &HashSet<&str>)| **class != kind && 2 * own.intersection(other).count() >= own.len().min(other.len());
    stems.iter().find(same).map(|(other, _)| (kind.to_owned(), (*other).to_owned()))
}
