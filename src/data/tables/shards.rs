//! Which table belongs to which split, by the names that the Hugging Face libraries write: `data/train-00000-of-00002.parquet`,
//! `train.parquet`, `train/0000.parquet`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::data::error::{Error, Result};
use crate::data::labelled::{Split, warn_left_out};

/// One table and what its rows are for.
pub struct Shard<'a> {
    pub path: &'a str,
    pub local: &'a Path,
    pub split: Split,
}

/// Gives every table its split. Where no name tells one, all are for training; where some do, the others are left out, and said so.
pub fn sort<'a>(tables: &[(&'a str, &'a Path)], warnings: &mut Vec<String>) -> Result<Vec<Shard<'a>>> {
    one_configuration(tables)?;
    let told: Vec<(&str, &Path, Option<Split>)> = tables.iter().map(|(path, local)| (*path, *local, split_of(path))).collect();
    let any = told.iter().any(|(.., split)| split.is_some());
    let left_out: Vec<&str> = told.iter().filter(|(.., split)| any && split.is_none()).map(|(path, ..)| *path).collect();
    warn_left_out(&left_out, "tables whose names tell no split (train, val, test)", warnings);
    let mut shards: Vec<Shard<'a>> = told
        .into_iter()
        .filter(|(.., split)| !any || split.is_some())
        .map(|(path, local, split)| Shard { path, local, split: split.unwrap_or(Split::Train) })
        .collect();
    shards.sort_by_key(|shard| (shard.split, shard.path));
    Ok(shards)
}

/// Tables in several folders are several data sets; which is meant is not guessed.
fn one_configuration(tables: &[(&str, &Path)]) -> Result<()> {
    let mut folders: BTreeMap<String, &str> = BTreeMap::new();
    for (path, _) in tables {
        let (folder, _) = path.rsplit_once('/').unwrap_or(("", path));
        let kept: Vec<&str> = folder.split('/').filter(|part| Split::parse(part).is_none() && !part.is_empty()).collect();
        folders.entry(kept.join("/")).or_insert(path);
    }
    if folders.len() > 1 {
        let names = folders.values().take(5).map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ");
        let reason = format!("its tables lie in {} folders as several data sets do ({names}); publish each as a data set", folders.len());
        return Err(Error::NotImages { reason });
    }
    Ok(())
}

/// The name up to its number, or the folder nearest to it that is called after a split.
fn split_of(path: &str) -> Option<Split> {
    let mut parts = path.rsplit('/');
    let file = parts.next().unwrap_or_default();
    let stem = file.split(['-', '.']).next().unwrap_or(file);
    Split::parse(stem).or_else(|| parts.find_map(Split::parse))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(paths: &[&str]) -> (Vec<(String, Split)>, Vec<String>) {
        let tables: Vec<_> = paths.iter().map(|path| (*path, Path::new("x"))).collect();
        let mut warnings = Vec::new();
        let shards = sort(&tables, &mut warnings).unwrap();
        (shards.iter().map(|shard| (shard.path.to_owned(), shard.split)).collect(), warnings)
    }

    #[test]
    fn names_tell_the_split() {
        for (path, split) in [
            ("data/train-00000-of-00002.parquet", Split::Train),
            ("data/validation-00000-of-00001-0123456789abcdef.parquet", Split::Val),
            ("test.parquet", Split::Test),
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
        assert!(matches!(sort(&tables, &mut Vec::new()), Err(Error::NotImages { .. })));
    }
}
