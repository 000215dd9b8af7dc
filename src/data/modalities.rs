//! Which modalities there are, and how the files of a data set tell which it is of.

use super::image::Images;
use super::modality::Modality;
use super::records;
use super::text::Texts;
use super::video::Videos;
use crate::domain::modality::Modality as Name;

/// Folders of pictures that show something about a data set.
const FIGURES: [&str; 8] = ["assets", "asset", "figures", "figure", "figs", "docs", "doc", "media"];

/// Every modality whose data sets this build reads, those whose files say more about a data set before others.
pub static ALL: [&dyn Modality; 3] = [&Images, &Videos, &Texts];

/// The one of that name.
pub fn find(name: Name) -> Option<&'static dyn Modality> {
    ALL.into_iter().find(|modality| modality.name() == name)
}

/// The one whose items these files are. Texts lie beside pictures and recordings as notes, licences, boxes and captions, so that one file
/// of another kind that we read is enough: then they are no texts. Of files that may be anything (without an ending, or with one
/// that is not read), those count that lie in a folder, as items do; the first where nothing tells.
pub fn of_files<'a>(paths: impl Iterator<Item = &'a str> + Clone) -> &'static dyn Modality {
    // Rows of a table are texts too.
    let is_readable = |modality: &dyn Modality, path: &str| modality.is_readable(path) || modality.is_writing() && records::is_table(path);
    let readable = |modality: &dyn Modality| paths.clone().filter(|path| is_readable(modality, path)).count();
    // Figures of a paper beside tables are no items either.
    let has_tables = paths.clone().any(records::is_table);
    let is_figure = |path: &str| has_tables && path.split_once('/').is_some_and(|(top, _)| FIGURES.contains(&top.to_lowercase().as_str()));
    let shown = |modality: &dyn Modality| paths.clone().filter(|path| modality.is_readable(path) && !is_figure(path)).count();
    // Pictures beside films are their covers, films beside pictures show something about them: the most are meant.
    let media = ALL.into_iter().filter(|modality| !modality.is_writing());
    let first = media.rev().max_by_key(|modality| shown(*modality)).filter(|modality| shown(*modality) > 0);
    let perhaps =
        |modality: &dyn Modality| paths.clone().filter(|path| path.contains('/') && modality.is_item(path) && !is_figure(path)).count();
    let others = ALL.into_iter().filter(|modality| !modality.is_writing()).map(perhaps).max().unwrap_or(0);
    first.or_else(|| ALL.into_iter().find(|modality| modality.is_writing() && readable(*modality) > others)).unwrap_or(ALL[0])
}

/// Whether a file of this name is meant as an item of some modality.
pub fn is_item(path: &str) -> bool {
    ALL.iter().any(|modality| modality.is_item(path))
}

/// Whether the ending is that of some modality's items in a format we read.
pub fn is_readable(path: &str) -> bool {
    ALL.iter().any(|modality| modality.is_readable(path))
}

/// As [`is_readable`], of items that are no writing.
pub fn is_media(path: &str) -> bool {
    ALL.iter().any(|modality| !modality.is_writing() && modality.is_readable(path))
}

/// As [`is_item`], of items that are no writing.
pub fn may_be_media(path: &str) -> bool {
    ALL.iter().any(|modality| !modality.is_writing() && modality.is_item(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_beside_pictures_make_no_texts() {
        for (paths, name) in [
            (&["cat/1.png", "cat/1.txt", "dog/2.txt", "classes.txt", "train.csv"][..], "image"),
            (&["images/1.jpg", "labels/1.txt", "labels/2.txt", "labels/3.txt"], "image"),
            (&["spam/1.txt", "ham/2.txt", "vocabulary"], "text"),
            (&["train.csv", "test.csv", "LICENSE", "Makefile"], "text"),
            (&["train.jsonl.gz"], "text"),
            (&["data/train.jsonl", "assets/figure.png"], "text"),
            (&["assets/cat/1.png", "assets/dog/2.png", "notes.txt"], "image"),
            (&["cat/1", "dog/2", "classes.txt"], "image"),
            (&["cat/1.heic", "dog/2.heic", "notes.txt"], "image"),
            (&["weights.npy", "notes.md"], "image"),
            (&[], "image"),
            (&["run/1.mp4", "walk/2.webm", "walk/cover.jpg", "notes.txt"], "video"),
            (&["cat/1.png", "cat/2.png", "demo.mp4"], "image"),
            (&["run/1.mp4", "labels.csv"], "video"),
        ] {
            assert_eq!(of_files(paths.iter().copied()).name().as_str(), name, "{paths:?}");
        }
    }
}
