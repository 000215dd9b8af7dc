//! Which image a file is about: by its folders, without those that say what kind of files they hold, and by its name.

use std::collections::HashMap;

use crate::data::labelled::Split;
use crate::data::layout::tree::Item;
use crate::data::layout::words;

/// What names of files with masks end in, beside the name of their image.
const ENDINGS: [&str; 12] =
    ["_masks", "_mask", "-mask", "_labels", "_label", "-label", "_seg", "_segmentation", "_gt", "_annotation", "_instances", "_l"];

fn file(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A path's last part without its ending.
pub fn stem(path: &str) -> &str {
    let file = file(path);
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}

fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.rsplit_once('/').map_or("", |(folders, _)| folders).split('/').filter(|folder| !folder.is_empty())
}

/// The folders that count, with a slash behind each.
fn home(path: &str) -> String {
    folders(path).map(words::without_kind).filter(|folder| !folder.is_empty()).map(|folder| folder + "/").collect()
}

/// Whether a folder on the way says that its files are said about images.
pub fn is_beside(path: &str) -> bool {
    folders(path).any(words::is_beside)
}

/// Whether a folder on the way says that its rasters tell objects apart.
pub fn is_of_instances(path: &str) -> bool {
    folders(path).any(|folder| {
        let plain: String = folder.to_lowercase().chars().filter(char::is_ascii_alphabetic).collect();
        plain.contains("instance") || plain.contains("segmentationobject")
    })
}

/// The split that a folder on the way says; training where none does.
pub fn split_of(path: &str) -> Split {
    folders(path).find_map(words::split_of).unwrap_or(Split::Train)
}

/// Images by what finds them.
pub struct Images<'a> {
    pub all: Vec<Item<'a>>,
    by_home: HashMap<String, usize>,
    /// Those whose name is given to no other.
    by_stem: HashMap<&'a str, Option<usize>>,
    by_path: HashMap<&'a str, usize>,
    /// By their path's last part.
    by_file: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Images<'a> {
    pub fn new(all: Vec<Item<'a>>) -> Images<'a> {
        let (mut by_home, mut by_stem) = (HashMap::new(), HashMap::new());
        for (at, item) in all.iter().enumerate() {
            by_home.entry(home(item.path) + stem(item.path)).or_insert(at);
            by_stem.entry(stem(item.path)).and_modify(|known| *known = None).or_insert(Some(at));
        }
        let by_path = all.iter().enumerate().map(|(at, item)| (item.path, at)).collect();
        let mut by_file: HashMap<&str, Vec<usize>> = HashMap::new();
        all.iter().enumerate().for_each(|(at, item)| by_file.entry(file(item.path)).or_default().push(at));
        Images { all, by_home, by_stem, by_path, by_file }
    }

    /// The image that a file beside it is about.
    pub fn about(&self, path: &str) -> Option<usize> {
        let (home, name) = (home(path), stem(path));
        let whole = |name: &str| self.by_home.get(&format!("{home}{name}")).copied();
        let alone = |name: &str| self.by_stem.get(name).copied().flatten();
        let lower = name.to_lowercase();
        // A name may be longer in small letters.
        let cut = |ending: &&str| name.len().checked_sub(ending.len()).filter(|at| name.is_char_boundary(*at));
        let short = ENDINGS.iter().filter(|ending| lower.ends_with(**ending)).find_map(|ending| Some(&name[..cut(ending)?]));
        whole(name).or_else(|| whole(short?)).or_else(|| alone(name)).or_else(|| alone(short?))
    }

    /// The image that a file names, whose own place is `by`: by its path from there, from a folder of images, or by its name alone.
    pub fn named(&self, written: &str, by: &str) -> Option<usize> {
        let written = written.replace('\\', "/");
        let written = written.trim_start_matches("./");
        let folder = by.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let beside = [format!("{folder}{written}"), written.to_owned(), format!("images/{written}"), format!("{folder}images/{written}")];
        let found = beside.iter().find_map(|path| self.by_path.get(path.as_str()).copied());
        let split = words::split_of(stem(by)).or_else(|| folders(by).find_map(words::split_of));
        let ends = || {
            let ending = format!("/{written}");
            let of_split = |item: &Item<'_>| split.is_none_or(|split| split_of(item.path) == split);
            let called = self.by_file.get(file(written)).into_iter().flatten().copied();
            let all: Vec<usize> = called.filter(|at| self.all[*at].path.ends_with(&ending)).collect();
            let near: Vec<usize> = all.iter().copied().filter(|at| of_split(&self.all[*at])).collect();
            match (near.as_slice(), all.as_slice()) {
                ([only], _) | (_, [only]) => Some(*only),
                _ => None,
            }
        };
        found.or_else(ends).or_else(|| self.by_stem.get(stem(written)).copied().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images<'a>(paths: &[&'a str]) -> Images<'a> {
        Images::new(paths.iter().enumerate().map(|(entry, path)| Item { path, entry }).collect())
    }

    #[test]
    fn files_find_their_images() {
        let all = images(&["images/train/a.jpg", "images/val/a.jpg", "VOC/JPEGImages/b.jpg", "test/images/c.png", "d.jpg"]);
        for (path, at) in [
            ("labels/train/a.txt", Some(0)),
            ("labels/val/a.txt", Some(1)),
            ("VOC/Annotations/b.xml", Some(2)),
            ("VOC/SegmentationClass/b.png", Some(2)),
            ("test/masks/c_mask.png", Some(3)),
            ("annots/d.xml", Some(4)),
            ("labels/a.txt", None),
            ("labels/train/z.txt", None),
        ] {
            assert_eq!(all.about(path), at, "{path}");
        }
        assert_eq!(all.named("a.jpg", "annotations/instances_val2017.json"), Some(1));
        assert_eq!(all.named("c.png", "test/_annotations.coco.json"), Some(3));
        assert_eq!(all.named("images/train/a.jpg", "train.json"), Some(0));
        assert_eq!(all.named("z.jpg", "train.json"), None);
    }
}
