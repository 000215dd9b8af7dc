//! Classes by folders: a folder per class, inside or around the folders of splits, or the names of files.

use std::collections::{BTreeMap, BTreeSet};

use super::words::{self, Says};
use super::{Item, Tree, names, unlabelled};
use crate::data::labelled::{Labelled, Split};

/// Items of one split, by their path below the folder that stands for it.
pub struct Part<'a> {
    pub split: Split,
    /// The folder's name.
    pub name: &'a str,
    pub items: Vec<(&'a str, Item<'a>)>,
}

/// What a reader made of the items.
#[derive(Debug, Default)]
pub struct Reading<'a> {
    pub samples: Vec<Labelled>,
    /// Items that got no class.
    pub without: Vec<&'a str>,
    pub notes: Vec<String>,
}

impl<'a> Reading<'a> {
    fn add(&mut self, item: Item<'a>, split: Split, class: Option<&str>) {
        match class {
            Some(class) => self.samples.push(Labelled { entry: item.entry, split, text: class.to_owned() }),
            None => self.without.push(item.path),
        }
    }

    /// The text of every sample of this split.
    pub fn classes(&self, split: Split) -> BTreeSet<&str> {
        self.samples.iter().filter(|sample| sample.split == split).map(|sample| sample.text.as_str()).collect()
    }
}

fn first_folder(path: &str) -> Option<&str> {
    path.split_once('/').map(|(folder, _)| folder)
}

/// The class is the top folder.
pub fn classes<'a>(tree: &Tree<'a>) -> Reading<'a> {
    let mut reading = Reading::default();
    tree.items.iter().for_each(|item| reading.add(*item, Split::Train, first_folder(item.path)));
    reading
}

/// The class is the first folder in a part. A part that is one folder which is no class is looked through (`seg_train/seg_train`).
pub fn classes_in<'a>(parts: Vec<Part<'a>>) -> Reading<'a> {
    let mut reading = Reading::default();
    for Part { split, name, mut items } in parts {
        while let Some(inner) = inner_folder(name, &items) {
            items = items.into_iter().filter_map(|(path, item)| Some((path.strip_prefix(inner)?.strip_prefix('/')?, item))).collect();
        }
        let only: BTreeSet<&str> = items.iter().filter_map(|(path, _)| first_folder(path)).collect();
        // One folder called `images` holds items, and says nothing about them.
        let no_class = only.len() == 1 && only.iter().all(|folder| *folder == name || words::judge_one(folder) != Says::Nothing);
        items.iter().for_each(|(path, item)| {
            reading.add(*item, split, first_folder(path).filter(|folder| !no_class && !unlabelled::is_called(folder)))
        });
    }
    reading
}

fn inner_folder<'a>(name: &str, items: &[(&'a str, Item<'a>)]) -> Option<&'a str> {
    let inner = first_folder(items.first()?.0)?;
    let wraps =
        items.iter().all(|(path, _)| first_folder(path) == Some(inner)) && items.iter().any(|(path, _)| path.matches('/').count() >= 2);
    (wraps && (inner == name || words::judge_one(inner) != Says::Nothing)).then_some(inner)
}

/// The class is the top folder, the split the folder in it.
pub fn splits_in_classes<'a>(tree: &Tree<'a>) -> Reading<'a> {
    let mut reading = Reading::default();
    for item in &tree.items {
        let mut folders = item.path.split('/');
        let (class, split) = (folders.next(), folders.next().and_then(Split::parse));
        match split {
            Some(split) => reading.add(*item, split, class),
            None => reading.without.push(item.path),
        }
    }
    reading
}

/// The class is in the file's name.
pub fn classes_in_names<'a>(parts: Vec<Part<'a>>) -> Reading<'a> {
    let mut reading = Reading::default();
    for part in parts {
        part.items.iter().for_each(|(path, item)| reading.add(*item, part.split, names::class_of(path)));
    }
    reading
}

/// All items as one part for training.
pub fn one_part<'a>(tree: &Tree<'a>) -> Vec<Part<'a>> {
    vec![Part { split: Split::Train, name: "", items: tree.items.iter().map(|item| (item.path, *item)).collect() }]
}

/// The top folders whose names say which split they are, and the items in all others.
pub fn parts_by_words<'a>(tree: &Tree<'a>) -> (Vec<Part<'a>>, Vec<&'a str>) {
    let tops: Vec<&str> = tree.tops().into_keys().collect();
    let says: BTreeMap<&str, Says> = tops.iter().copied().zip(words::judge(&tops)).collect();
    let (mut parts, mut others): (BTreeMap<&str, Part<'a>>, Vec<&str>) = Default::default();
    for item in &tree.items {
        let placed = item.path.split_once('/').and_then(|(top, rest)| match says.get(top)? {
            Says::Split(split) => Some((top, *split, rest)),
            _ => None,
        });
        match placed {
            Some((name, split, rest)) => {
                parts.entry(name).or_insert_with(|| Part { split, name, items: Vec::new() }).items.push((rest, *item));
            }
            None => others.push(item.path),
        }
    }
    (parts.into_values().collect(), others)
}
