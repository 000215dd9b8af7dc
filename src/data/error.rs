//! What can be wrong with a data set. Each variant has a stable code for the API and a hint that says what to do next.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::domain::dataset_report::Problem;
use crate::domain::disk;

pub type Result<T> = std::result::Result<T, Error>;

/// Why an item was refused, in words for the person who sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::Image { path: "the image sent".into(), reason: refusal.0 }
    }
}

/// The message (`Display`) names the entry and the trouble; [`Error::hint`] says what to do; [`Error::code`] never changes.
/// Names from archives are shown with control characters escaped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read `{}`: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("`{name}` is {}", what.map_or("not an archive we read".into(), |what| format!("{what}, which is not read here")))]
    ArchiveUnknown { name: String, what: Option<&'static str> },
    #[error("`{name}` is a packed file that holds no other files")]
    PackedFile { name: String },
    #[error("the archive is damaged at `{entry}`: {reason}")]
    ArchiveBroken { entry: String, reason: String },
    #[error("the archive contradicts itself at `{entry}`: {reason}")]
    ArchiveInconsistent { entry: String, reason: String },
    #[error("the entry `{entry}` has a path that is not allowed: {reason}")]
    ArchivePath { entry: String, reason: &'static str },
    #[error("the entry `{entry}` is a {kind}, and only plain files and folders are taken")]
    ArchiveEntryKind { entry: String, kind: &'static str },
    #[error("the entries `{first}` and `{second}` have the same name on a disk that ignores case")]
    ArchiveCollision { first: String, second: String },
    #[error("the entry `{entry}` is itself an archive")]
    ArchiveNested { entry: String },
    #[error("the entry `{entry}` unpacks to more than {ratio} times its packed size")]
    ArchiveBomb { entry: String, ratio: u64 },
    #[error("`{entry}` is larger than the limit of {limit_bytes} bytes")]
    TooLarge { entry: String, limit_bytes: u64 },
    #[error("more than {limit} files, the last one seen is `{entry}`")]
    TooManyFiles { entry: String, limit: usize },
    #[error("`{file}` line {line}: {reason}")]
    BadMetadata { file: String, line: usize, reason: String },
    #[error("the table `{file}` cannot be read: {reason}")]
    BadTable { file: String, reason: String },
    /// Sound tables of something that is not checked here.
    #[error("{reason}")]
    NotImages { reason: String },
    /// Writing that does not say what is to be learned of it.
    #[error("no data set of texts was found in it: {reason}")]
    NotTexts { reason: String },
    #[error("the folders cannot be read as classes: {reason}")]
    BadLayout { reason: String },
    #[error("it cannot be told which folders are classes: {reason}. Found: {found}")]
    LayoutUnclear { reason: String, found: String },
    #[error("its card says `layout: none`: the files are kept as they are and have no classes")]
    KeptAsIs,
    #[error("the class name `{name}` is not allowed: {reason}")]
    ClassName { name: String, reason: &'static str },
    #[error("the classes {first} and {second} differ only in upper and lower case")]
    ClassesAlike { first: String, second: String },
    #[error("{count} classes, at most {limit} are taken")]
    TooManyClasses { count: usize, limit: usize },
    #[error("no image was found{}", if .left_out.is_empty() { String::new() } else { format!(" (left out: {})", .left_out) })]
    NoImages { left_out: String },
    /// Other data than any that is checked here.
    #[error("none of its {files} files is an image ({kinds})")]
    NoItems { files: usize, kinds: String },
    #[error("all items belong to one class, `{class}`")]
    OneClass { class: String },
    /// What is wrong with targets of another kind than classes.
    #[error("the targets cannot be used: {reason}")]
    BadTargets { reason: String, hint: &'static str },
    #[error("{} of {total} {items} cannot be read: {}", problems.len(), grouped(problems))]
    TooManyUnreadable { problems: Vec<Problem>, total: usize, items: &'static str },
    #[error("the image `{path}` cannot be read: {reason}")]
    Image { path: String, reason: String },
    #[error("the video `{path}` cannot be read: {reason}")]
    Video { path: String, reason: String },
    #[error("the text `{path}` cannot be read: {reason}")]
    Text { path: String, reason: String },
    #[error("the data set has no file `{path}`")]
    NoSuchFile { path: String },
    #[error("the model's preprocessing cannot be used: {reason}")]
    BadPreprocessing { reason: String },
}

/// Every word that [`Error::code`] may answer, for those who hear it from elsewhere.
pub const CODES: &[&str] = &[
    "io",
    "archive_unknown",
    "packed_file",
    "archive_broken",
    "archive_inconsistent",
    "archive_path",
    "archive_entry_kind",
    "archive_collision",
    "archive_nested",
    "archive_bomb",
    "too_large",
    "too_many_files",
    "bad_metadata",
    "bad_table",
    "not_images",
    "not_texts",
    "bad_layout",
    "layout_unclear",
    "kept_as_is",
    "class_name",
    "classes_alike",
    "too_many_classes",
    "no_images",
    "no_items",
    "one_class",
    "bad_targets",
    "too_many_unreadable",
    "image_unreadable",
    "video_unreadable",
    "text_unreadable",
    "no_such_file",
    "bad_preprocessing",
];

impl Error {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Io { .. } => "io",
            Error::ArchiveUnknown { .. } => "archive_unknown",
            Error::PackedFile { .. } => "packed_file",
            Error::ArchiveBroken { .. } => "archive_broken",
            Error::ArchiveInconsistent { .. } => "archive_inconsistent",
            Error::ArchivePath { .. } => "archive_path",
            Error::ArchiveEntryKind { .. } => "archive_entry_kind",
            Error::ArchiveCollision { .. } => "archive_collision",
            Error::ArchiveNested { .. } => "archive_nested",
            Error::ArchiveBomb { .. } => "archive_bomb",
            Error::TooLarge { .. } => "too_large",
            Error::TooManyFiles { .. } => "too_many_files",
            Error::BadMetadata { .. } => "bad_metadata",
            Error::BadTable { .. } => "bad_table",
            Error::NotImages { .. } => "not_images",
            Error::NotTexts { .. } => "not_texts",
            Error::BadLayout { .. } => "bad_layout",
            Error::LayoutUnclear { .. } => "layout_unclear",
            Error::KeptAsIs => "kept_as_is",
            Error::ClassName { .. } => "class_name",
            Error::ClassesAlike { .. } => "classes_alike",
            Error::TooManyClasses { .. } => "too_many_classes",
            Error::NoImages { .. } => "no_images",
            Error::NoItems { .. } => "no_items",
            Error::OneClass { .. } => "one_class",
            Error::BadTargets { .. } => "bad_targets",
            Error::TooManyUnreadable { .. } => "too_many_unreadable",
            Error::Image { .. } => "image_unreadable",
            Error::Video { .. } => "video_unreadable",
            Error::Text { .. } => "text_unreadable",
            Error::NoSuchFile { .. } => "no_such_file",
            Error::BadPreprocessing { .. } => "bad_preprocessing",
        }
    }

    /// What the person who sees this can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Error::Io { source, .. } => disk::advice(source),
            Error::ArchiveUnknown { .. } => "send a .zip, a .tar (also packed by gzip, zstd, xz, bzip2 or lz4), or a folder",
            Error::PackedFile { .. } => "pack the images of the data set as a .zip or .tar, or send a folder",
            Error::ArchiveBroken { .. } => "the file may be cut short: pack it again and compare its size before sending",
            Error::ArchiveInconsistent { .. } => "pack the files again with a plain zip or tar program",
            Error::ArchivePath { .. } => "rename the entry to a relative path of plain names with forward slashes, and pack again",
            Error::ArchiveEntryKind { .. } => "replace it by a plain, unencrypted file and pack again",
            Error::ArchiveCollision { .. } => "rename or remove one of the two and pack again",
            Error::ArchiveNested { .. } => "unpack the inner archive and pack its images directly",
            Error::ArchiveBomb { .. } => "send the files as a folder, or in several archives",
            Error::TooLarge { .. } => {
                "make the file smaller or split the data set, or let the administrator raise max_item_bytes or max_dataset_bytes"
            }
            Error::TooManyFiles { .. } => {
                "split the data set or remove what is not needed, or let the administrator raise max_dataset_files"
            }
            Error::BadMetadata { .. } => {
                "give a header `file_name,label` and optionally `split`, and one row or JSON object per image that is there (docs/DATA.md)"
            }
            Error::BadTable { .. } => "write the table again, as `datasets` does on `push_to_hub`, and compare its size before sending",
            Error::NotImages { .. } => {
                "give the tables a column of images (`image`) or texts (`text`) and one of labels (`label`), as `datasets` writes them"
            }
            Error::NotTexts { .. } => {
                "give the table a column of texts (`text`) and one of labels (`label`), or name them: `hub publish --texts COLUMN --targets COLUMN`, \
                 or `texts:` and `targets:` in README.md (docs/DATA.md); or put the texts into one folder per class"
            }
            Error::BadLayout { .. } => {
                "use one folder per class (cat/1.jpg, dog/1.jpg), optionally inside train/, val/ and test/, or a metadata.csv"
            }
            Error::LayoutUnclear { .. } => {
                "say what it is: `hub publish --layout folders|splits|classes/splits|names|table|coco|voc|yolo|masks`, `--split-names train=FOLDER,validation=FOLDER`, \
                 or `--as-is` to keep the files without classes; or `layout:` and `configs:` in README.md (docs/DATA.md)"
            }
            Error::KeptAsIs => "publish it again with another `layout` in README.md, or with `hub publish --layout`",
            Error::ClassName { .. } => "rename the class to at most 100 visible characters",
            Error::ClassesAlike { .. } => "if they are one class, write it in one way everywhere; if not, give one of them another name",
            Error::TooManyClasses { .. } => "check that the folders are classes, not single images",
            Error::NoItems { .. } | Error::NoImages { .. } => "add JPEG, PNG, GIF, WebP or BMP images in one folder per class",
            Error::OneClass { .. } => {
                "add a second class: use one folder per class, or labels in metadata.csv; where all other images are anomalies, write `good: CLASS` into README.md"
            }
            Error::BadTargets { hint, .. } => hint,
            Error::TooManyUnreadable { .. } => "repair or remove the listed files and publish again",
            Error::Text { .. } => "save the text as UTF-8 (`iconv -f WINDOWS-1252 -t UTF-8 FILE`), and leave out what is empty or no text",
            Error::Video { .. } => {
                "play it in a viewer and save it again as mp4 (`ffmpeg -i FILE -c:v libx264 OUT.mp4`), or send GIF, strips or folders of frames; films need ffmpeg on the machine that reads them"
            }
            Error::Image { .. } => "open the image in a viewer and save it again as JPEG or PNG, or remove it",
            Error::NoSuchFile { .. } => "choose a path from the data set's list of files",
            Error::BadPreprocessing { .. } => {
                "correct `pretrained_cfg` in the model's config.json (input_size, interpolation, crop_pct, mean, std)"
            }
        }
    }

    /// Whether the files were read and only do not say what a training needs: nothing is unsafe about them.
    pub fn is_about_meaning(&self) -> bool {
        matches!(
            self,
            Error::BadMetadata { .. }
                | Error::BadLayout { .. }
                | Error::LayoutUnclear { .. }
                | Error::KeptAsIs
                | Error::ClassName { .. }
                | Error::ClassesAlike { .. }
                | Error::TooManyClasses { .. }
                | Error::NoImages { .. }
                | Error::OneClass { .. }
                | Error::BadTargets { .. }
                | Error::TooManyUnreadable { .. }
        )
    }

    /// Whether it ended because a disk has no room.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Error::Io { source, .. } if disk::is_full(source))
    }

    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, source }
    }
}

/// Reasons told apart, and files named for each.
const REASONS: usize = 20;
const NAMED: usize = 50;

/// Every file with what is wrong with it; files with the same trouble together, and beyond [`NAMED`] of them the number of the rest.
pub(super) fn grouped(problems: &[Problem]) -> String {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for problem in problems {
        let at = *known.entry(&problem.reason).or_insert(groups.len());
        if at == groups.len() {
            groups.push((&problem.reason, Vec::new()));
        }
        groups[at].1.push(&problem.path);
    }
    let group = |(reason, paths): &(&str, Vec<&str>)| {
        let names: Vec<_> = paths.iter().take(NAMED).map(|path| format!("`{path}`")).collect();
        let more = if paths.len() > NAMED { format!(" and {} more", paths.len() - NAMED) } else { String::new() };
        format!("{}{more}: {reason}", names.join(", "))
    };
    let mut told: Vec<_> = groups.iter().take(REASONS).map(group).collect();
    let rest: usize = groups.iter().skip(REASONS).map(|(_, paths)| paths.len()).sum();
    told.extend((rest > 0).then(|| format!("{rest} more for other reasons")));
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_listed() {
        let source = include_str!("error.rs");
        let body = source.split("pub fn code(").nth(1).and_then(|rest| rest.split("\n    }\n").next()).unwrap();
        let said: Vec<&str> = body.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(said, CODES);
    }

    #[test]
    fn every_file_is_named_and_equal_troubles_stand_together() {
        let problem = |path: String, reason: &str| Problem { path, reason: reason.into() };
        let few = [("a", "x"), ("b", "y"), ("c", "x")].map(|(path, reason)| problem(path.into(), reason));
        assert_eq!(grouped(&few), "`a`, `c`: x; `b`: y");
        let many: Vec<_> = (0..5_000).map(|i| problem(format!("{i}.png"), "x")).collect();
        let text = grouped(&many);
        assert!(text.ends_with("`49.png` and 4950 more: x"), "{text}");
        let each: Vec<_> = (0..500).map(|i| problem(format!("{i}.png"), &format!("reason {i}"))).collect();
        assert!(grouped(&each).ends_with("; 480 more for other reasons"));
    }
}
