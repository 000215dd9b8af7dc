//! A folder of items without targets, beside those that have some: `unlabeled/`.

use super::Kept;
use crate::data::modality::Modality;

const NAMES: [&str; 3] = ["unlabeled", "unlabelled", "unsup"];

/// Whether a folder of this name among those of classes holds what has none.
pub fn is_called(folder: &str) -> bool {
    NAMES.contains(&folder.to_ascii_lowercase().as_str())
}

/// Takes what lies in such a folder at the top out of the rest: the path and the entry of each item. Where nothing else is there,
/// it is left, since then it says nothing.
pub fn take<'a>(kept: &mut Kept<'a>, modality: &dyn Modality) -> Vec<(&'a str, usize)> {
    let within = |path: &str| path.split_once('/').is_some_and(|(top, _)| is_called(top));
    let others = kept.keys().any(|path| !within(path) && modality.is_item(path));
    if !others {
        return Vec::new();
    }
    let found: Vec<(&str, usize)> = kept.iter().filter(|(path, _)| within(path) && modality.is_item(path)).map(|(p, e)| (*p, *e)).collect();
    kept.retain(|path, _| !within(path));
    found
}

/// What was made of them.
pub fn note(found: &[(&str, usize)], many: &str) -> Option<String> {
    let (folder, _) = found.first()?.0.split_once('/')?;
    Some(format!("the {} {many} in `{folder}` have no class; `unlabelled` in a recipe learns from them too", found.len()))
}
