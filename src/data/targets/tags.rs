//! A tag for each word of a text: where entities begin and go on (IOB1, IOB2, BIOES, BILOU). Each sample's text has them in the order of
//! the words, with spaces between.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::{Target, Targets, classes};
use crate::data::error::{Error, Result};
use crate::data::labelled::Labelled;
use crate::data::limits::Limits;
use crate::data::name;

pub const WANTED: &str = "a list of tags";

/// What a word that belongs to no entity is tagged.
pub const OUTSIDE: &str = "O";

const HINT: &str =
    "tag each word as B-TYPE where an entity begins, I-TYPE where it goes on and O elsewhere (IOB2; IOB1, BIOES and BILOU are read, too)";

/// Tags that a sentence names.
const NAMED: usize = 5;

/// Of the words of one item.
#[derive(Debug, Clone, PartialEq)]
pub struct Tags {
    /// Of each word, an index into [`Targets::Tags`].
    pub each: Arc<[u32]>,
    /// Those that are there, rising, each once.
    pub kinds: Arc<[u32]>,
}

impl Tags {
    pub fn new(each: Vec<u32>) -> Tags {
        let kinds: BTreeSet<u32> = each.iter().copied().collect();
        Tags { each: each.into(), kinds: kinds.into_iter().collect() }
    }
}

/// Where a word stands in an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Outside,
    Begin,
    Inside,
    End,
    /// The only one.
    Single,
}

/// What a tag says: a place, and a type where there is one. `None` of what belongs to no scheme.
pub fn parse(tag: &str) -> Option<(Place, &str)> {
    if tag == OUTSIDE {
        return Some((Place::Outside, ""));
    }
    let (place, kind) = tag.split_once(['-', '_'])?;
    let place = match place {
        "B" => Place::Begin,
        "I" | "M" => Place::Inside,
        "E" | "L" => Place::End,
        "S" | "U" | "W" => Place::Single,
        _ => return None,
    };
    (!kind.is_empty()).then_some((place, kind))
}

pub fn text(field: &Value) -> Option<String> {
    let tags: Option<Vec<String>> = field.as_array()?.iter().map(classes::text).collect();
    Some(tags?.join(" "))
}

pub fn read(samples: &[Labelled], limits: &Limits) -> Result<(Targets, Vec<Target>)> {
    let lists: Vec<Vec<&str>> = samples.iter().map(|sample| sample.text.split(' ').collect()).collect();
    let different: BTreeSet<&str> = lists.iter().flatten().copied().collect();
    let strangers: Vec<&str> = different.iter().copied().filter(|tag| parse(tag).is_none()).collect();
    if !strangers.is_empty() {
        return Err(Error::BadTargets { reason: unknown(&strangers), hint: HINT });
    }
    let names: Vec<String> = different.iter().map(|tag| name::class_text(tag)).collect();
    let mut names = classes::names(&names, limits)?;
    // Where nothing begins is the first, as libraries have it.
    if let Some(at) = names.iter().position(|name| name == OUTSIDE) {
        names[..=at].rotate_right(1);
    }
    if !names.iter().any(|tag| tag != OUTSIDE) {
        let reason = format!("every word is tagged `{OUTSIDE}`, from which nothing can be learned");
        return Err(Error::BadTargets { reason, hint: HINT });
    }
    let index = |tag: &&str| names.iter().position(|known| known == tag).unwrap_or_default() as u32;
    let targets = lists.iter().map(|tags| Target::Tags(Tags::new(tags.iter().map(index).collect()))).collect();
    Ok((Targets::Tags(names), targets))
}

fn unknown(tags: &[&str]) -> String {
    let named = tags.iter().take(NAMED).map(|tag| format!("`{}`", name::shown(tag.as_bytes()))).collect::<Vec<_>>().join(", ");
    let more = if tags.len() > NAMED { ", ..." } else { "" };
    let numbers = tags.iter().all(|tag| tag.parse::<i64>().is_ok());
    let why = if numbers { " (they are numbers without names; write the names, or a ClassLabel with them)" } else { "" };
    format!("the tags {named}{more} belong to no scheme that is known{why}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::labelled::Split;

    fn read_all(texts: &[&str]) -> Result<(Targets, Vec<Target>)> {
        let samples: Vec<Labelled> = texts.iter().map(|text| Labelled { entry: 0, split: Split::Train, text: (*text).into() }).collect();
        read(&samples, &Limits::default())
    }

    #[test]
    fn tags_are_indexed_with_outside_first() {
        let (targets, found) = read_all(&["O B-PER I-PER O", "B-LOC"]).unwrap();
        assert_eq!(targets, Targets::Tags(["O", "B-LOC", "B-PER", "I-PER"].map(String::from).into()));
        assert_eq!(found, [Target::Tags(Tags::new(vec![0, 2, 3, 0])), Target::Tags(Tags::new(vec![1]))]);
        assert_eq!((targets.word(&found[0]).as_str(), found[0].labels()), ("O B-PER I-PER O", &[0, 2, 3][..]));
    }

    #[test]
    fn tags_of_no_scheme_are_named() {
        let refused = |texts: &[&str]| read_all(texts).unwrap_err().to_string();
        assert!(refused(&["DET NOUN", "O"]).contains("`DET`, `NOUN` belong to no scheme"));
        assert!(refused(&["0 3 4"]).contains("numbers without names"));
        assert!(refused(&["O O"]).contains("every word is tagged `O`"));
        assert_eq!(
            (parse("U-LOC"), parse("E-a-b"), parse("B-"), parse("PER")),
            (Some((Place::Single, "LOC")), Some((Place::End, "a-b")), None, None)
        );
    }
}
