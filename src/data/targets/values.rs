//! Numbers: each sample's text is one, written with a point.

use serde_json::Value;

use super::{Target, Targets};
use crate::data::error::{Error, Result};
use crate::data::labelled::Labelled;
use crate::data::name;

/// What a number is called where its column is `target`.
pub const NAME: &str = "target";

pub const WANTED: &str = "a number";

const HINT: &str = "give each image its number in the column `target`, such as 3.5 or 1e-3; classes belong in the column `label`";

pub fn text(field: &Value) -> Option<String> {
    match field {
        Value::String(text) => Some(text.trim().to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

pub fn read(samples: &[Labelled]) -> Result<(Targets, Vec<Target>)> {
    let targets = samples.iter().map(number).collect::<Result<Vec<_>>>()?;
    if let [Target::Value(first), rest @ ..] = targets.as_slice()
        && rest.iter().all(|target| *target == Target::Value(*first))
    {
        return Err(Error::BadTargets { reason: format!("all of them are {first}, from which nothing can be learned"), hint: HINT });
    }
    Ok((Targets::Values(vec![NAME.into()]), targets))
}

fn number(sample: &Labelled) -> Result<Target> {
    let value = sample.text.parse::<f32>().ok().filter(|value| value.is_finite());
    let reason = || format!("`{}` is not a finite number", name::shown(sample.text.as_bytes()));
    value.map(Target::Value).ok_or_else(|| Error::BadTargets { reason: reason(), hint: HINT })
}
