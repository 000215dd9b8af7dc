//! Which table belongs to which split, by the names that the Hugging Face libraries write: `data/train-00000-of-00002.parquet`,
//! `train.parquet`, `train/0000.parquet`; or by what the card's config says.

use std::collections::BTreeMap;
#[cfg(test)]
use std::path::Path;

use crate::data::error::{Error, Result};
use crate::data::labelled::{Split, warn_left_out};
use crate::data::layout::declared::{Pattern, patterns};
use crate::domain::dataset_layout::SplitPaths;

/// One table, where it lies, and what its rows are for.
pub struct Shard<'a, Place> {
    pub path: &'a str,
    pub local: Place,
    pub split: Split,
}

/// Gives every table its split: that of the card's config; where it names none of them, that of its name. Where no name tells one,
/// all are for training; where some do, the others are left out, and said so.
pub fn sort<'a, Place: Copy>(
    tables: &[(&'a str, Place)],
    said: &[SplitPaths],
    warnings: &mut Vec<String>,
) -> Result<Vec<Shard<'a, Place>>> {
    if let Some(shards) = by_config(tables, said, warnings) {
        return Ok(shards);
    }
    one_configuration(tables)?;
    let told: Vec<(&str, Place, Option<Split>)> = tables.iter().map(|(path, local)| (*path, *local, split_of(path))).collect();
    let any = told.iter().any(|(.., split)| split.is_some());
    let left_out: Vec<&str> = told.iter().filter(|(.., split)| any && split.is_none()).map(|(path, ..)| *path).collect();
    warn_left_out(&left_out, "tables whose names tell no split (train, val, test)", warnings);
    let mut shards: Vec<Shard<'a, Place>> = told
        .into_iter()
        .filter(|(.., split)| !any || split.is_some())
        .map(|(path, local, split)| Shard { path, local, split: split.unwrap_or(Split::Train) })
        .collect();
    shards.sort_by_key(|shard| (shard.split, shard.path));
    Ok(shards)
}

/// The tables that the config names; `None` where it names none for a split of ours.
fn by_config<'a, Place: Copy>(
    tables: &[(&'a str, Place)],
    said: &[SplitPaths],
    warnings: &mut Vec<String>,
) -> Option<Vec<Shard<'a, Place>>> {
    let patterns = patterns(said);
    let (mut shards, mut others, mut nowhere) = (Vec::new(), Vec::new(), Vec::new());
    for (path, local) in tables {
        match patterns.iter().find(|pattern| pattern.is_match(path)) {
            None => others.push(*path),
            Some(Pattern { split: None, .. }) => nowhere.push(*path),
            Some(Pattern { split: Some(split), .. }) => shards.push(Shard { path, local: *local, split: *split }),
        }
    }
    if shards.is_empty() {
        if !said.is_empty() {
            warnings.push("the card's `configs` names none of the tables: their own names told the splits".into());
        }
        return None;
    }
    warn_left_out(&others, "tables of other configs than the one that the card makes the default", warnings);
    warn_left_out(&nowhere, "tables of splits other than train, validation and test", warnings);
    shards.sort_by_key(|shard| (shard.split, shard.path));
    Some(shards)
}

/// Tables in several folders are several data sets; which is meant is not guessed.
fn one_configuration<Place>(tables: &[(&str, Place)]) -> Result<()> {
    let mut folders: BTreeMap<String, &str> = BTreeMap::new();
    for (path, _) in tables {
        let (folder, _) = path.rsplit_once('/').unwrap_or(("", path));
        let kept: Vec<&str> = folder.split('/').filter(|part| Split::parse(part).is_none() && !part.is_empty()).collect();
        folders.entry(kept.join("/")).or_insert(path);
    }
    if folders.len() > 1 {
        let names = folders.values().take(5).map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ");
        let reason = format!(
            "its tables lie in {} folders as several data sets do ({names}); publish each as a data set, or name one in the card's `configs` (docs/DATA.md)",
            folders.len()
        );
        return Err(Error::NotImages { reason });
    }
    Ok(())
}

/// The name up to its number, or a word in it, or the folder nearest to it that is called after a split.
fn split_of(path: &str) -> Option<Split> {
    let mut parts = path.rsplit('/');
    let file = parts.next().unwrap_or_default();
    let stem = file.split(['-', '.']).next().unwrap_or(file);
    let mut words = file.split(|c: char| !c.is_alphanumeric()).filter_map(Split::parse);
    let word = words.next().filter(|_| words.next().is_none());
    Split::parse(stem).or(word).or_else(|| parts.find_map(Split::parse))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(paths: &[&str]) -> (Vec<(String, Split)>, Vec<String>) {
        let tables: Vec<_> = paths.iter().map(|path| (*path, Path::new("x"))).collect();
        let mut warnings = Vec::new();
        let shards = sort(&tables, &[], &mut warnings).unwrap();
        (shards.iter().map(|shard| (shard.path.to_owned(), shard.split)).collect(), warnings)
    }

    #[test]
    fn names_tell_the_split() {
        for (path, split) in [
            ("data/train-00000-of-00002.parquet", Split::Train),
            ("data/validation-00000-of-00001-0123456789abcdef.parquet", Split::Val),
            ("test.parquet", Split::Test),
            ("stsb-en-dev.csv", Split::Val),
            ("reviews_test.jsonl.gz", Split::Test),
            ("default/train/0000.parquet", Split::Train),
        ] {
            assert_eq!(sorted(&[path]), (vec![(path.into(), split)], Vec::new()));
        }
        assert_eq!(sorted(&["images.parquet"]).0, [("images.parquet".into(), Split::Train)]);
        let (kept, warnings) = sorted(&["data/extra-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"]);
        assert_eq!((kept.len(), warnings.len()), (1, 1));
        assert!(warnings[0].contains("`data/extra-00000-of-00001.parquet`"), "{warnings:?}");
    }

    #[test]
    fn several_configurations_are_not_guessed_among() {
        let tables = [("plain/train-0.parquet", Path::new("x")), ("fancy/train-0.parquet", Path::new("x"))];
        assert!(matches!(sort(&tables, &[], &mut Vec::new()), Err(Error::NotImages { .. })));
    }

    #[test]
    fn the_cards_config_chooses_tables_and_splits() {
        let paths = ["plain/train-0.parquet", "fancy/train-0.parquet", "fancy/held-0.parquet", "fancy/extra-0.parquet"];
        let tables: Vec<_> = paths.iter().map(|path| (*path, Path::new("x"))).collect();
        let said = |split: &str, path: &str| SplitPaths { split: split.into(), paths: vec![path.into()] };
        let fancy = [said("train", "fancy/train-*"), said("test", "fancy/held-*"), said("extra", "fancy/extra-*")];
        let mut warnings = Vec::new();
        let shards = sort(&tables, &fancy, &mut warnings).unwrap();
        let found: Vec<_> = shards.iter().map(|shard| (shard.path, shard.split)).collect();
        assert_eq!(found, [("fancy/train-0.parquet", Split::Train), ("fancy/held-0.parquet", Split::Test)]);
        assert!(warnings[0].contains("plain/train-0.parquet") && warnings[1].contains("fancy/extra-0.parquet"), "{warnings:?}");
        let mut warnings = Vec::new();
        assert_eq!(sort(&tables[..1], &[said("train", "other/*")], &mut warnings).unwrap()[0].path, "plain/train-0.parquet");
        assert!(warnings[0].contains("names none of the tables"), "{warnings:?}");
    }
}
