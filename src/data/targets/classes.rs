//! Class names: each sample's text is one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Target, Targets};
use crate::data::error::{Error, Result};
use crate::data::labelled::Labelled;
use crate::data::limits::Limits;
use crate::data::name;

pub const WANTED: &str = "a string or whole number";

/// A class is no fraction: `1.0` and `1` would be two.
pub fn text(field: &Value) -> Option<String> {
    match field {
        Value::String(text) => Some(text.trim().to_string()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

pub fn read(samples: &[Labelled], limits: &Limits) -> Result<(Targets, Vec<Target>)> {
    let texts: Vec<String> = samples.iter().map(|sample| name::class_text(&sample.text)).collect();
    let classes = names(&texts, limits)?;
    if let [only] = classes.as_slice() {
        return Err(Error::OneClass { class: only.clone() });
    }
    let index = |text: &String| classes.binary_search(text).unwrap_or_default();
    let targets = texts.iter().map(|text| Target::Class(index(text) as u32)).collect();
    Ok((Targets::Classes(classes), targets))
}

fn names(texts: &[String], limits: &Limits) -> Result<Vec<String>> {
    let classes: BTreeSet<&str> = texts.iter().map(String::as_str).collect();
    if classes.len() > limits.classes {
        return Err(Error::TooManyClasses { count: classes.len(), limit: limits.classes });
    }
    let counted = |class: &str| format!("`{class}` ({} items)", texts.iter().filter(|text| *text == class).count());
    let mut folded = BTreeMap::new();
    for class in &classes {
        name::class_name(class).map_err(|reason| Error::ClassName { name: name::shown(class.as_bytes()), reason })?;
        if let Some(first) = folded.insert(name::folded(class), class) {
            return Err(Error::ClassesAlike { first: counted(first), second: counted(class) });
        }
    }
    Ok(classes.into_iter().map(String::from).collect())
}
