//! Labels: each sample's text lists any number of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::{Target, Targets, classes};
use crate::data::error::{Error, Result};
use crate::data::labelled::Labelled;
use crate::data::limits::Limits;
use crate::data::name;

pub const WANTED: &str = "a list of strings or whole numbers";

const HINT: &str = "list each item's labels in the column `labels`, as `red;round` or as a JSON list; an item without any has an empty one";
/// What labels of one text are divided at; the first that any text has is taken for all.
const DIVIDERS: [char; 3] = [';', '|', ','];
/// Most labels of one item.
const MOST: usize = 1_000;

pub fn text(field: &Value) -> Option<String> {
    match field {
        Value::Array(all) => {
            let words: Option<Vec<String>> = all.iter().map(classes::text).collect();
            words.map(|words| serde_json::json!(words).to_string())
        }
        Value::Null => Some("[]".into()),
        one => classes::text(one),
    }
}

/// Texts as lists of labels; a text that is no list is divided at what divides any of them.
pub fn lists(texts: &[&str]) -> Result<Vec<Vec<String>>> {
    let plain = |text: &&&str| !text.trim_start().starts_with('[');
    let divider = DIVIDERS.into_iter().find(|divider| texts.iter().filter(plain).any(|text| text.contains(*divider)));
    let list = |text: &&str| -> Result<Vec<String>> {
        let words: Vec<String> = match listed(text) {
            Some(words) => words?,
            None => text.split(|c| Some(c) == divider).map(str::to_owned).collect(),
        };
        let words: BTreeSet<String> = words.iter().map(|word| name::class_text(word.trim())).filter(|word| !word.is_empty()).collect();
        if words.len() > MOST {
            let reason = format!("an item has {} labels, at most {MOST} are taken", words.len());
            return Err(Error::BadTargets { reason, hint: HINT });
        }
        Ok(words.into_iter().collect())
    };
    texts.iter().map(list).collect()
}

/// A JSON list, or one as Python writes it.
fn listed(text: &str) -> Option<Result<Vec<String>>> {
    let text = text.trim();
    if !text.starts_with('[') {
        return None;
    }
    let parse = |text: &str| serde_json::from_str::<Vec<Value>>(text).ok();
    let words = parse(text).or_else(|| parse(&text.replace('\'', "\""))).and_then(|all| all.iter().map(classes::text).collect());
    let bad = || Error::BadTargets { reason: format!("`{}` is not a list of labels", name::shown(text.as_bytes())), hint: HINT };
    Some(words.ok_or_else(bad))
}

pub fn read(samples: &[Labelled], limits: &Limits) -> Result<(Targets, Vec<Target>)> {
    let texts: Vec<&str> = samples.iter().map(|sample| sample.text.as_str()).collect();
    let lists = lists(&texts)?;
    let (names, targets) = indexed(&lists, limits)?;
    if names.is_empty() {
        return Err(Error::BadTargets { reason: "no item has a label".into(), hint: HINT });
    }
    let everywhere = |label: &u32| targets.iter().all(|target| target.labels().contains(label));
    if (0..names.len() as u32).all(|label| everywhere(&label)) {
        let reason = format!("every item has the same labels ({}), from which nothing can be learned", names.join(", "));
        return Err(Error::BadTargets { reason, hint: HINT });
    }
    Ok((Targets::Labels(names), targets))
}

/// The names of all labels, sorted, and each list by their indexes.
pub fn indexed(lists: &[Vec<String>], limits: &Limits) -> Result<(Vec<String>, Vec<Target>)> {
    let names = classes::names(&lists.concat(), limits)?;
    let index = |word: &String| names.binary_search(word).unwrap_or_default() as u32;
    let target = |list: &Vec<String>| {
        let mut found: Vec<u32> = list.iter().map(index).collect();
        found.sort_unstable();
        Target::Labels(Arc::from(found))
    };
    let targets = lists.iter().map(target).collect();
    Ok((names, targets))
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
    fn lists_are_read_in_every_form() {
        let labels = |of: &[u32]| Target::Labels(of.into());
        let wanted = (Targets::Labels(vec!["blue".into(), "red".into()]), vec![labels(&[0, 1]), labels(&[1]), labels(&[])]);
        for form in
            [["red;blue", "red", ""], ["red, blue", "red", ""], ["red|blue|red", " red ", "|"], [r#"["blue","red"]"#, r#"["red"]"#, "[]"]]
        {
            assert_eq!(read_all(&form).unwrap(), wanted, "{form:?}");
        }
        assert_eq!(read_all(&["['blue', 'red']", "['red']", "[]"]).unwrap(), wanted, "as Python writes it");
        let Targets::Labels(names) = read_all(&["black, white; red", "red"]).unwrap().0 else { panic!() };
        assert_eq!(names, ["black, white", "red"], "one divider for all");
    }

    #[test]
    fn what_teaches_nothing_is_refused_in_words() {
        let refused = |texts: &[&str]| read_all(texts).unwrap_err().to_string();
        assert!(refused(&["[]", ""]).contains("no item has a label"));
        assert!(refused(&["a;b", "b;a"]).contains("every item has the same labels (a, b)"));
        assert!(refused(&["[1, {}]", "[2]"]).contains("`[1, {}]` is not a list of labels"));
        assert!(refused(&["Cat", "cat"]).contains("upper and lower case"));
    }
}
