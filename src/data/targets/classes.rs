//! Class names: each sample's text is one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Target, Targets};
use crate::data::error::{Error, Result};
use crate::data::labelled::Labelled;
use crate::data::limits::Limits;
use crate::data::name;

pub const WANTED: &str = "a string or whole number";

const ORDER_HINT: &str = "name every class in the card's `ordered`, from the lowest to the highest, as it is written in the data set";

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

/// Classes in the order in which they were declared.
pub fn ranked(order: &[String], samples: &[Labelled], limits: &Limits) -> Result<(Targets, Vec<Target>)> {
    let order: Vec<String> = order.iter().map(|class| name::class_text(class)).collect();
    let (found, targets) = read(samples, limits)?;
    let place = |class: &String| order.iter().position(|known| known == class);
    if let Some(stranger) = found.classes().iter().find(|class| place(class).is_none()) {
        let reason = format!("the class `{stranger}` is not among the `ordered` ones ({})", order.join(", "));
        return Err(Error::BadTargets { reason, hint: ORDER_HINT });
    }
    if let Some(twice) = order.iter().enumerate().find(|(at, class)| order[..*at].contains(class)) {
        return Err(Error::BadTargets { reason: format!("the class `{}` is `ordered` twice", twice.1), hint: ORDER_HINT });
    }
    let rank = |target: Target| target.class().and_then(|class| place(&found.classes()[class as usize])).unwrap_or_default() as u32;
    let targets = targets.into_iter().map(|target| Target::Class(rank(target))).collect();
    Ok((Targets::Ranks(order), targets))
}

pub fn names(texts: &[String], limits: &Limits) -> Result<Vec<String>> {
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
