//! Numbers: each sample's text is one, written with a point.

use std::sync::Arc;

use serde_json::Value;

use super::{Target, Targets};
use crate::data::error::{Error, Result};
use crate::data::labelled::Labelled;
use crate::data::name;

/// What a number is called where its column is `target`.
pub const NAME: &str = "target";

pub const WANTED: &str = "a number";

const HINT: &str = "give each item its number in the column `target`, such as 3.5 or 1e-3; classes belong in the column `label`";

/// Most numbers of one item.
const MOST: usize = 256;

pub fn text(field: &Value) -> Option<String> {
    match field {
        Value::String(text) => Some(text.trim().to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(all) if all.iter().all(|one| matches!(one, Value::Number(_))) => Some(field.to_string()),
        _ => None,
    }
}

pub fn read(samples: &[Labelled]) -> Result<(Targets, Vec<Target>)> {
    if samples.first().is_some_and(|sample| sample.text.starts_with('[')) {
        return lists(samples);
    }
    let targets = samples.iter().map(number).collect::<Result<Vec<_>>>()?;
    if let [Target::Value(first), rest @ ..] = targets.as_slice()
        && rest.iter().all(|target| *target == Target::Value(*first))
    {
        return Err(Error::BadTargets { reason: format!("all of them are {first}, from which nothing can be learned"), hint: HINT });
    }
    Ok((Targets::Values(vec![NAME.into()]), targets))
}

pub fn parse(text: &str) -> Option<f32> {
    text.trim().parse::<f32>().ok().filter(|value| value.is_finite())
}

fn bad(text: &str, wanted: &str) -> Error {
    Error::BadTargets { reason: format!("`{}` is not {wanted}", name::shown(text.as_bytes())), hint: HINT }
}

fn number(sample: &Labelled) -> Result<Target> {
    parse(&sample.text).map(Target::Value).ok_or_else(|| bad(&sample.text, "a finite number"))
}

/// A JSON list of as many numbers for every item.
fn lists(samples: &[Labelled]) -> Result<(Targets, Vec<Target>)> {
    let list = |sample: &Labelled| {
        let numbers = serde_json::from_str::<Vec<f32>>(&sample.text).ok().filter(|list| list.iter().all(|number| number.is_finite()));
        numbers.ok_or_else(|| bad(&sample.text, "a list of finite numbers"))
    };
    let rows = samples.iter().map(list).collect::<Result<Vec<_>>>()?;
    let width = rows.first().map_or(0, Vec::len);
    if let Some(at) = rows.iter().position(|row| row.len() != width) {
        let reason = format!("the first list has {width} numbers and `{}` has {}", samples[at].text, rows[at].len());
        return Err(Error::BadTargets { reason, hint: HINT });
    }
    if width == 0 || width > MOST {
        let reason = format!("their lists have {width} numbers, and between 1 and {MOST} can be learned");
        return Err(Error::BadTargets { reason, hint: HINT });
    }
    several((0..width).map(|at| format!("{NAME}_{at}")).collect(), rows)
}

/// Rows of numbers under names; of one name they are single numbers.
pub fn several(names: Vec<String>, rows: Vec<Vec<f32>>) -> Result<(Targets, Vec<Target>)> {
    for (at, name) in names.iter().enumerate() {
        let mut column = rows.iter().filter_map(|row| row.get(at));
        let first = column.next();
        if let Some(first) = first.filter(|first| column.all(|value| value == *first)) {
            let reason = format!("all of `{name}` are {first}, from which nothing can be learned");
            return Err(Error::BadTargets { reason, hint: HINT });
        }
    }
    let single = names.len() == 1;
    let target = |row: Vec<f32>| if single { Target::Value(row[0]) } else { Target::Values(Arc::from(row)) };
    Ok((Targets::Values(names), rows.into_iter().map(target).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::labelled::Split;

    fn read_all(texts: &[&str]) -> Result<(Targets, Vec<Target>)> {
        read(&texts.iter().map(|text| Labelled { entry: 0, split: Split::Train, text: (*text).into() }).collect::<Vec<_>>())
    }

    #[test]
    fn lists_of_numbers_have_one_length_and_are_finite() {
        let (targets, found) = read_all(&["[1, 2.5]", "[3, 4]"]).unwrap();
        assert_eq!(targets, Targets::Values(vec!["target_0".into(), "target_1".into()]));
        assert_eq!(found[0].values(), [1.0, 2.5]);
        for (texts, why) in [
            (&["[1, 2]", "[3]"][..], "the first list has 2 numbers"),
            (&["[1, 2]", "[1e99, 2]"], "is not a list of finite numbers"),
            (&["[]", "[]"], "have 0 numbers"),
            (&["[1, 2]", "[1, 3]"], "all of `target_0` are 1"),
            (&["NaN", "1"], "`NaN` is not a finite number"),
        ] {
            let refused = read_all(texts).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
