//! Class names: each sample's text is one.

use std::collections::BTreeSet;

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
    let classes = names(samples, limits)?;
    if let [only] = classes.as_slice() {
        return Err(Error::OneClass { class: only.clone() });
    }
    let index = |sample: &Labelled| classes.binary_search(&sample.text).unwrap_or_default();
    let targets = samples.iter().map(|sample| Target::Class(index(sample) as u32)).collect();
    Ok((Targets::Classes(classes), targets))
}

fn names(samples: &[Labelled], limits: &Limits) -> Result<Vec<String>> {
    let classes: BTreeSet<&str> = samples.iter().map(|s| s.text.as_str()).collect();
    if classes.len() > limits.classes {
        return Err(Error::TooManyClasses { count: classes.len(), limit: limits.classes });
    }
    let mut folded = BTreeSet::new();
    for class in &classes {
        let refuse = |reason| Error::ClassName { name: name::shown(class.as_bytes()), reason };
        name::class_name(class).map_err(refuse)?;
        if !folded.insert(name::folded(class)) {
            return Err(refuse("another class differs from it only in upper and lower case"));
        }
    }
    Ok(classes.into_iter().map(String::from).collect())
}
