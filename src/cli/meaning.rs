//! What the files of a data set mean, said on the command line: it is written into the card that is published with them, so
//! that everyone who reads the version, a training too, reads the same.

use clap::Args;

use super::output::{CliError, Result};
use super::remote::Remote;
use crate::client::{Folder, LocalFile};
use crate::domain::card::Card;
use crate::domain::dataset_layout::{self, DataLayout, Declared, VideoLayout};
use crate::domain::name::RepoKind;
use crate::domain::path::RepoPath;

const CARD: &str = "README.md";

#[derive(Debug, Default, Args)]
pub struct Meaning {
    /// With --dataset: what its folders are: folders (one per class), splits (with a folder per class in each), classes/splits, names (cat.0.jpg is a cat), table (metadata.csv), coco, voc or yolo (boxes of objects), masks (a raster beside each image) or none
    #[arg(long, value_name = "LAYOUT")]
    layout: Option<String>,
    /// With --dataset: which folders are which split, such as train=seg_train,validation=seg_test
    #[arg(long, value_name = "SPLIT=FOLDER,...")]
    split_names: Option<String>,
    /// With --dataset: keep the files as they are, without classes; as --layout none
    #[arg(long, conflicts_with_all = ["layout", "split_names"])]
    as_is: bool,
    /// With --dataset: an image may have several labels; its copies in several class folders are one image
    #[arg(long)]
    multi_label: bool,
    /// With --dataset: the classes from the lowest to the highest, where they have an order
    #[arg(long, value_name = "CLASS,...", conflicts_with = "multi_label")]
    ordered: Option<String>,
    /// With --dataset: the class of the good images; all others are anomalies, and only the good ones are trained on
    #[arg(long, value_name = "CLASS", conflicts_with_all = ["multi_label", "ordered", "targets"])]
    good: Option<String>,
    /// With --dataset: the columns of a table that hold targets, such as colour=class,tags=labels,size=number
    #[arg(long, value_name = "COLUMN,...", conflicts_with_all = ["ordered", "multi_label"])]
    targets: Option<String>,
    /// With --dataset: the column of a table that holds texts, or the two of a pair, such as premise,hypothesis
    #[arg(long, value_name = "COLUMN[,COLUMN]", conflicts_with = "as_is")]
    texts: Option<String>,
    /// With --dataset: its pictures are videos: strips (square frames side by side in one), frames (a folder for each video, a picture for each frame) or files (GIF)
    #[arg(long, value_name = "HOW", conflicts_with_all = ["as_is", "texts"])]
    video: Option<String>,
    /// With --dataset: the encoding of the names in a zip that says none, such as shift_jis, gbk or euc-kr
    #[arg(long, value_name = "ENCODING")]
    zip_encoding: Option<String>,
}

impl Meaning {
    fn declared(&self) -> Result<Declared> {
        let layout = self.layout.as_deref().map(|text| {
            let unknown = || CliError::usage(format!("there is no layout '{text}'"), format!("choose one of {}", dataset_layout::names()));
            DataLayout::parse(text).ok_or_else(unknown)
        });
        let splits = self.split_names.as_deref().map(dataset_layout::parse_split_names).transpose();
        let splits = splits.map_err(|e| CliError::usage(format!("--split-names: {e}"), "write it as train=FOLDER,validation=FOLDER"))?;
        let layout = layout.transpose()?.or(self.as_is.then_some(DataLayout::Kept));
        let video = self.video.as_deref().map(|text| {
            let unknown = || CliError::usage(format!("there is no --video '{text}'"), "choose one of strips, frames and files");
            VideoLayout::parse(text).ok_or_else(unknown)
        });
        let targets = listed(&self.targets);
        crate::data::targets::check_declared(&targets)
            .map_err(|e| CliError::usage(format!("--targets: {e}"), "write it as colour=class,size=number"))?;
        Ok(Declared {
            layout,
            splits: splits.unwrap_or_default(),
            multi_label: self.multi_label,
            ordered: listed(&self.ordered),
            good: self.good.clone(),
            targets,
            texts: listed(&self.texts),
            video: video.transpose()?,
            zip_encoding: self.zip_encoding.clone(),
            odd: Vec::new(),
        })
    }

    /// The folder with a card that says it. The second value keeps that card's file.
    pub fn write_into(&self, mut folder: Folder, kind: RepoKind, remote: &Remote) -> Result<(Folder, Option<tempfile::TempDir>)> {
        let declared = self.declared()?;
        if declared == Declared::default() {
            return Ok((folder, None));
        }
        if kind == RepoKind::Model {
            return Err(CliError::usage(
                "--layout, --split-names, --multi-label, --ordered, --good, --targets, --texts, --video, --as-is and --zip-encoding are about data sets",
                "add --dataset, or leave them out",
            ));
        }
        let failed =
            |e: std::io::Error| CliError::new(1, "card", format!("cannot write a card: {e}"), "check the folder for temporary files");
        let card = folder.files.iter().find(|file| file.path.as_str() == CARD);
        let before = card.map_or(Ok(String::new()), |file| std::fs::read_to_string(&file.source)).map_err(failed)?;
        let text = card_saying(&before, &declared);
        let place = tempfile::tempdir().map_err(failed)?;
        let source = place.path().join(CARD);
        std::fs::write(&source, &text).map_err(failed)?;
        let path = RepoPath::parse(CARD).map_err(|e| CliError::usage(e.to_string(), "choose another card"))?;
        folder.files.retain(|file| file.path.as_str() != CARD);
        folder.files.push(LocalFile { path, source, size_bytes: text.len() as u64 });
        folder.files.sort_by(|a, b| a.path.cmp(&b.path));
        remote
            .reporter
            .note(&format!("the published {CARD} says what the files are; to keep that, write it into your own:\n{}", front(&declared)));
        Ok((folder, Some(place)))
    }
}

/// What commas divide.
fn listed(text: &Option<String>) -> Vec<String> {
    text.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The lines of front matter that say it.
fn front(declared: &Declared) -> String {
    let mut card = Card::default();
    declared.write(&mut card.extra);
    card.to_markdown().trim_start_matches("---\n").trim_end_matches("---\n").to_owned()
}

/// The card with these lines in its front matter; all else stays as it is written, unless it says something else in their place.
fn card_saying(before: &str, declared: &Declared) -> String {
    let (mut card, _) = Card::read(before);
    let mut said = serde_json::Map::new();
    declared.write(&mut said);
    let plain = before.strip_prefix('\u{feff}').unwrap_or(before);
    let opened = plain.split_once('\n').filter(|(first, _)| first.trim_end() == "---");
    match opened {
        None => format!("---\n{}---\n{plain}", front(declared)),
        Some((_, rest)) if said.keys().all(|key| !card.extra.contains_key(key)) => format!("---\n{}{rest}", front(declared)),
        Some(_) => {
            declared.write(&mut card.extra);
            card.to_markdown()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(layout: Option<&str>, split_names: Option<&str>) -> Meaning {
        Meaning { layout: layout.map(Into::into), split_names: split_names.map(Into::into), ..Meaning::default() }
    }

    #[test]
    fn a_card_keeps_its_words_and_says_the_layout() {
        let declared = meaning(Some("flat"), Some("train=a,validation=b")).declared().unwrap();
        for before in ["", "# Pets\n", "---\nlicense: mit # ours\n---\n# Pets\n", "---\nlayout: folders\nlicense: mit\n---\n# Pets\n"] {
            let text = card_saying(before, &declared);
            let (card, _) = Card::read(&text);
            let read = Declared::of_front(&card.extra);
            assert_eq!((read.layout, read.splits.len()), (Some(DataLayout::Names), 2), "{text}");
            assert_eq!(card.license.is_some(), before.contains("license"));
            assert_eq!(text.contains("# ours"), before.contains("# ours"), "{text}");
            assert!(text.ends_with("# Pets\n") || before.is_empty(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_a_matter_of_usage() {
        let targets = Meaning { targets: Some("size=length".into()), ..Meaning::default() };
        let video = Meaning { video: Some("reels".into()), ..Meaning::default() };
        for odd in [meaning(Some("sideways"), None), meaning(None, Some("train")), targets, video] {
            assert!(odd.declared().is_err());
        }
        assert_eq!(Meaning { as_is: true, ..Meaning::default() }.declared().unwrap().layout, Some(DataLayout::Kept));
    }
}
