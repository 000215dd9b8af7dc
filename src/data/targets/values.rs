//! Numbers: each sample's text is one, written with a point.

use super::{Target, Targets};
use crate::data::error::{Error, Result};
use crate::data::name;
use crate::data::sample::Labelled;

pub fn read(samples: &[Labelled]) -> Result<(Targets, Vec<Target>)> {
    let targets = samples.iter().map(number).collect::<Result<Vec<_>>>()?;
    if let [Target::Value(first), rest @ ..] = targets.as_slice()
        && rest.iter().all(|target| *target == Target::Value(*first))
    {
        return Err(Error::OneValue { value: first.to_string() });
    }
    Ok((Targets::Values, targets))
}

fn number(sample: &Labelled) -> Result<Target> {
    let value = sample.text.parse::<f32>().ok().filter(|value| value.is_finite());
    value.map(Target::Value).ok_or_else(|| Error::NotANumber { text: name::shown(sample.text.as_bytes()) })
}
