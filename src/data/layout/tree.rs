//! The files that may count, as the readers of layouts see them: items and all others, below the folders wrapped around them.

use std::collections::{BTreeMap, BTreeSet};

use crate::data::labelled::Kept;
use crate::data::modality::Modality;

/// An item before it has a target.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    pub path: &'a str,
    pub entry: usize,
}

#[derive(Debug, Default)]
pub struct Tree<'a> {
    pub items: Vec<Item<'a>>,
    pub others: Vec<&'a str>,
    /// What people call an item, and several.
    pub item: &'static str,
    pub many: &'static str,
}

/// What lies in one top folder.
#[derive(Debug, Default)]
pub struct Top<'a> {
    /// Items directly in it, and deeper.
    pub direct: usize,
    pub deep: usize,
    /// The folders in it that hold items, with how many lie directly there.
    pub folders: BTreeMap<&'a str, usize>,
}

impl<'a> Tree<'a> {
    pub fn new(kept: &Kept<'a>, modality: &dyn Modality) -> Tree<'a> {
        let mut tree = Tree { item: modality.name().item(), many: modality.name().items(), ..Tree::default() };
        let top = |path: &'a str| path.split_once('/').map_or("", |(top, _)| top);
        let ending = |path: &str| path.rsplit('/').next().is_some_and(|file| file.contains('.'));
        // A file without an ending may be an item; not in a folder of such files beside others whose items have one.
        let plain: BTreeSet<&str> = kept.keys().filter(|path| ending(path) && modality.is_item(path)).map(|path| top(path)).collect();
        for (path, entry) in kept {
            let is_item = modality.is_item(path) && (ending(path) || plain.is_empty() || plain.contains(top(path)));
            if is_item { tree.items.push(Item { path, entry: *entry }) } else { tree.others.push(path) }
        }
        tree
    }

    /// The top folders that hold items.
    pub fn tops(&self) -> BTreeMap<&'a str, Top<'a>> {
        let mut tops: BTreeMap<&str, Top<'_>> = BTreeMap::new();
        for item in &self.items {
            let Some((top, rest)) = item.path.split_once('/') else { continue };
            let top = tops.entry(top).or_default();
            match rest.split_once('/') {
                None => top.direct += 1,
                Some((folder, below)) => {
                    top.deep += 1;
                    *top.folders.entry(folder).or_default() += usize::from(!below.contains('/'));
                }
            }
        }
        tops
    }

    /// Whether some folder is called one of these, in small letters.
    pub fn has_folder(&self, names: &[&str]) -> bool {
        let folders = |path: &'a str| path.rsplit_once('/').map_or("", |(folders, _)| folders).split('/');
        let paths = self.items.iter().map(|item| item.path).chain(self.others.iter().copied());
        paths.flat_map(folders).any(|folder| names.contains(&folder.to_lowercase().as_str()))
    }

    /// Whether some file that is no item has such a name, in small letters.
    pub fn others_named(&self, is: impl Fn(&str) -> bool) -> bool {
        self.others.iter().filter_map(|path| path.rsplit('/').next()).any(|name| is(&name.to_lowercase()))
    }
}
