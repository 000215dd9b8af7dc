//! Which architecture a state dict holds: the one whose tensors match entirely, name by name and shape by shape.

use std::collections::BTreeMap;

use super::error::{Error, Result};
use super::names::{Input, Mapping, Target, mappings};
use super::state_dict::StateDict;
use super::tensor::Tensor;
use crate::domain::safetensors::is_counter;
use crate::nn::architectures::{self, Expected};

/// How many problems a message lists.
const SHOWN: usize = 5;

/// A state dict under timm's names, proved complete.
#[derive(Debug)]
pub struct Match {
    pub architecture: String,
    pub num_classes: usize,
    pub num_features: usize,
    pub input: Input,
    /// The mapping's title.
    pub mapping: String,
    pub tensors: BTreeMap<String, Tensor>,
    /// Counters left out (`num_batches_tracked`), which no loader needs.
    pub dropped: usize,
}

/// What one mapping and architecture make of the names.
struct Attempt<'a> {
    mapping: &'a Mapping,
    target: &'a Target,
    num_classes: usize,
    problems: Vec<String>,
}

/// Finds mapping and architecture, and renames. `architecture`, when given, is the only one considered.
pub fn find(tensors: StateDict, architecture: Option<&str>) -> Result<Match> {
    let wanted = architecture.map(base_name);
    if let Some(name) = wanted
        && architectures::find(name).is_none()
    {
        return Err(Error::NoMatch(format!("architecture `{name}` is not known; known are {}", architectures::names())));
    }
    let (tensors, dropped) = without_counters(tensors);
    if tensors.is_empty() {
        return Err(Error::NoMatch("the file holds no weights".into()));
    }
    let mappings = mappings()?;
    let mut attempts = Vec::new();
    for mapping in &mappings {
        for target in mapping.architectures.iter().filter(|target| wanted.is_none_or(|wanted| target.name == wanted)) {
            attempts.push(attempt(mapping, target, &tensors)?);
        }
    }
    let (mapping, target, num_classes) = choose(&attempts)?;
    let rename = |(name, tensor): (String, Tensor)| Some((mapping.rename(target, &name)?, tensor));
    let num_features = architectures::find(&target.name).map_or(0, |known| known.num_features);
    Ok(Match {
        architecture: target.name.clone(),
        num_classes,
        num_features,
        input: mapping.input_of(target),
        mapping: mapping.title.clone(),
        tensors: tensors.into_iter().filter_map(rename).collect(),
        dropped,
    })
}

/// timm writes `architecture.tag`.
fn base_name(architecture: &str) -> &str {
    architecture.split('.').next().unwrap_or(architecture)
}

fn choose<'a>(attempts: &[Attempt<'a>]) -> Result<(&'a Mapping, &'a Target, usize)> {
    let complete: Vec<_> = attempts.iter().filter(|attempt| attempt.problems.is_empty()).collect();
    match complete.as_slice() {
        [only] => Ok((only.mapping, only.target, only.num_classes)),
        [] => Err(no_match(attempts)),
        several => {
            let names: Vec<_> = several.iter().map(|attempt| attempt.target.name.as_str()).collect();
            let problem = format!("these weights fit {} alike; say which one with --architecture", names.join(" and "));
            Err(Error::NoMatch(problem))
        }
    }
}

fn no_match(attempts: &[Attempt]) -> Error {
    let Some(closest) = attempts.iter().min_by_key(|attempt| attempt.problems.len()) else {
        return Error::NoMatch("there is no name mapping for this architecture; convert the names to timm's first".into());
    };
    let more = closest.problems.len().saturating_sub(SHOWN);
    let mut text = format!("no known architecture matches these tensors. Closest is {} ({}): ", closest.target.name, closest.mapping.title);
    text.push_str(&closest.problems[..closest.problems.len().min(SHOWN)].join("; "));
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    Error::NoMatch(text)
}

fn attempt<'a>(mapping: &'a Mapping, target: &'a Target, tensors: &StateDict) -> Result<Attempt<'a>> {
    let mut problems = Vec::new();
    let mut renamed: BTreeMap<String, (&str, &Tensor)> = BTreeMap::new();
    for (old, tensor) in tensors {
        match mapping.rename(target, old) {
            None => problems.push(format!("tensor `{old}` has no place in it")),
            Some(new) => {
                if let Some((other, _)) = renamed.insert(new, (old, tensor)) {
                    problems.push(format!("tensors `{other}` and `{old}` are the same one"));
                }
            }
        }
    }
    let classifier = mapping.input_of(target).classifier.unwrap_or_default();
    let head = renamed.get(&format!("{classifier}.weight"));
    let num_classes = head.and_then(|(_, tensor)| tensor.shape.first().copied()).unwrap_or(0);
    let expected = architectures::expected(&target.name, num_classes).map_err(|error| Error::NoMatch(error.to_string()))?;
    for Expected { name, shape, .. } in &expected {
        match renamed.remove(name) {
            None => problems.push(format!("tensor `{name}` is missing")),
            Some((old, tensor)) if tensor.shape != *shape => {
                problems.push(format!("tensor `{old}` has shape {:?} where {name} needs {shape:?}", tensor.shape));
            }
            Some((old, tensor)) if !tensor.dtype.is_float() => {
                problems.push(format!("tensor `{old}` holds whole numbers where {name} needs weights"));
            }
            Some(_) => {}
        }
    }
    problems.extend(renamed.values().map(|(old, _)| format!("tensor `{old}` has no place in it")));
    Ok(Attempt { mapping, target, num_classes, problems })
}

/// PyTorch counts batches beside every norm; evaluation and our training need no counter, and loaders of
/// safetensors files accept its absence.
fn without_counters(tensors: StateDict) -> (StateDict, usize) {
    let before = tensors.len();
    let kept: StateDict = tensors.into_iter().filter(|(name, _)| !is_counter(name)).collect();
    let dropped = before - kept.len();
    (kept, dropped)
}

#[cfg(test)]
#[path = "matching_tests.rs"]
mod tests;
