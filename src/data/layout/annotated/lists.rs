//! Lists of which images are of which split, as Pascal VOC has them: `ImageSets/Main/train.txt` with a name a line.

use std::collections::HashMap;

use super::Given;
use super::place::{self, Images};
use crate::data::error::Result;
use crate::data::labelled::Split;

/// The split of every image that a list of this folder of `ImageSets` names.
pub fn of(given: &Given<'_>, images: &Images<'_>, folder: &str) -> Result<HashMap<usize, Split>> {
    let mut found = HashMap::new();
    let place = format!("imagesets/{folder}/");
    // `trainval.txt` says no split; lists of one class (`cat_train.txt`) say the same again.
    for path in given.others("txt").into_iter().filter(|path| path.to_lowercase().contains(&place)) {
        let Some(split) = Split::parse(place::stem(path)) else { continue };
        let text = given.text(path)?.unwrap_or_default();
        let names = text.lines().filter_map(|line| line.split_whitespace().next());
        names.filter_map(|name| images.named(name, path)).for_each(|at| {
            found.entry(at).or_insert(split);
        });
    }
    Ok(found)
}
