//! Which architecture a file holds: the one whose tensors match entirely, name by name and shape by shape, in whichever of
//! the file's dicts and behind whatever prefix.

use std::collections::{BTreeMap, BTreeSet};

use super::attempt::{Attempt, Place};
use super::error::{Error, Result};
use super::names::{Input, Target, mappings, of_unlisted};
use super::prefixes;
use super::state_dict::{Candidate, Checkpoint, Found, StateDict, shown};
use crate::domain::safetensors::is_counter;
use crate::nn::architectures;

/// How many problems a message lists.
const SHOWN: usize = 5;
/// How many names a note lists.
const NAMED: usize = 8;

/// A state dict under timm's names, proved complete.
#[derive(Debug)]
pub struct Match {
    pub architecture: String,
    pub num_classes: usize,
    pub num_features: usize,
    pub input: Input,
    /// The mapping's title.
    pub mapping: String,
    /// By timm's names, with the shapes that the architecture gives them.
    pub tensors: BTreeMap<String, Found>,
    /// Added to the running variances, where the project divides by another epsilon than timm.
    pub add_to_variances: f32,
    /// Counters left out (`num_batches_tracked`), which no loader needs.
    pub dropped: usize,
    /// What was taken and what was left, in sentences.
    pub notes: Vec<String>,
}

/// Finds dict, prefix, mapping and architecture, and renames. `architecture`, when given, is the only one considered; `key`
/// names the dict or the prefix.
pub fn find(file: &Checkpoint, architecture: Option<&str>, key: Option<&str>) -> Result<Match> {
    let wanted = architecture.map(base_name);
    if let Some(name) = wanted
        && architectures::find(name).is_none()
    {
        return Err(Error::NoMatch(format!("architecture `{name}` is not known; known are {}", architectures::names())));
    }
    let dicts: Vec<(Candidate, usize)> = file.candidates.iter().cloned().map(without_counters).collect();
    let places = places(&dicts, key)?;
    let mut mappings = mappings()?;
    mappings.extend(wanted.and_then(of_unlisted));
    let (mut complete, mut closest): (Vec<Attempt>, Option<Attempt>) = (Vec::new(), None);
    for place in &places {
        for mapping in &mappings {
            let asked = |target: &&Target| wanted.is_none_or(|wanted| target.name == wanted);
            for target in mapping.architectures.iter().filter(asked) {
                if !place.prefix.is_empty() && !place.begins(mapping, target) {
                    continue;
                }
                let attempt = Attempt::make(mapping, target, place)?;
                if attempt.problems.is_empty() {
                    complete.push(attempt);
                } else if closest.as_ref().is_none_or(|best| attempt.problems.len() < best.problems.len()) {
                    closest = Some(attempt);
                }
            }
        }
    }
    let chosen = choose(&complete)?.ok_or_else(|| no_match(closest.as_ref()))?;
    let input = chosen.mapping.input_of(chosen.target);
    let dropped = dicts.iter().find(|(dict, _)| dict.key == chosen.place.key).map_or(0, |(_, dropped)| *dropped);
    Ok(Match {
        architecture: chosen.target.name.clone(),
        num_classes: chosen.num_classes,
        num_features: architectures::find(&chosen.target.name).map_or(0, |known| known.num_features),
        input: Input { size: chosen.side.or(input.size), ..input },
        mapping: chosen.mapping.title.clone(),
        tensors: chosen.tensors.clone(),
        add_to_variances: chosen.mapping.add_to_variances,
        dropped,
        notes: notes(file, chosen, &complete),
    })
}

/// timm writes `architecture.tag`.
fn base_name(architecture: &str) -> &str {
    architecture.split('.').next().unwrap_or(architecture)
}

/// Every dict behind every prefix, or those that `key` names.
fn places<'a>(dicts: &'a [(Candidate, usize)], key: Option<&str>) -> Result<Vec<Place<'a>>> {
    let mut places = Vec::new();
    for (dict, _) in dicts.iter().filter(|(dict, _)| !dict.tensors.is_empty()) {
        for prefix in prefixes::of(&dict.tensors) {
            let (inside, outside) = prefixes::split(&dict.tensors, &prefix);
            places.push(Place { key: &dict.key, prefix, inside, outside });
        }
    }
    if places.is_empty() {
        return Err(Error::NoMatch("the file holds no weights".into()));
    }
    let Some(key) = key else { return Ok(places) };
    // The dicts; of a file that is one dict itself, what its names begin with.
    let name = |place: &Place| if place.key.is_empty() { place.name() } else { place.key.to_owned() };
    let all: BTreeSet<String> = places.iter().map(name).filter(|name| !name.is_empty()).map(|name| shown(&name)).collect();
    let key = key.trim_end_matches('.');
    let named = |place: &Place| place.key == key || place.name() == key || place.prefix.trim_end_matches('.') == key;
    places.retain(named);
    if places.is_empty() {
        let there = all.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
        return Err(Error::Invalid { setting: "key", problem: format!("the file has no weights under {}; there are {there}", shown(key)) });
    }
    Ok(places)
}

/// The best of what is complete: by the words of its place, with a classifier, made for images of this side, with the fewest left out.
fn choose<'a, 'b>(complete: &'b [Attempt<'a>]) -> Result<Option<&'b Attempt<'a>>> {
    let by = |attempt: &&Attempt| {
        let place = attempt.place.name();
        (prefixes::rank(&place), attempt.num_classes == 0, attempt.side.is_some(), attempt.left_out.len(), place)
    };
    let Some(best) = complete.iter().min_by_key(by) else { return Ok(None) };
    let twin = |other: &&Attempt| other.place.name() == best.place.name() && other.side.is_some() == best.side.is_some();
    let twins: BTreeSet<&str> = complete.iter().filter(twin).map(|other| other.target.name.as_str()).collect();
    if twins.len() > 1 {
        let names = twins.into_iter().collect::<Vec<_>>().join(" and ");
        return Err(Error::NoMatch(format!("these weights fit {names} alike; say which one with --architecture")));
    }
    Ok(Some(best))
}

fn no_match(closest: Option<&Attempt>) -> Error {
    let Some(closest) = closest else {
        return Error::NoMatch("there is no name mapping for this architecture; convert the names to timm's first".into());
    };
    let more = closest.problems.len().saturating_sub(SHOWN);
    let place = closest.place.name();
    let place = if place.is_empty() { String::new() } else { format!(" under {}", shown(&place)) };
    let mut text =
        format!("no known architecture matches these tensors. Closest is {} ({}){place}: ", closest.target.name, closest.mapping.title);
    text.push_str(&closest.problems[..closest.problems.len().min(SHOWN)].join("; "));
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    Error::NoMatch(text)
}

/// Which dict and prefix were taken where there was a choice, and what of the file was left.
fn notes(file: &Checkpoint, chosen: &Attempt, complete: &[Attempt]) -> Vec<String> {
    let taken = chosen.place.name();
    let others: BTreeSet<String> = complete.iter().map(|other| other.place.name()).filter(|name| *name != taken).collect();
    let mut notes = Vec::new();
    if !others.is_empty() {
        let why = if prefixes::rank(&taken) == 0 { " (what is averaged or meant for use goes first, as in timm)" } else { "" };
        let others: Vec<String> = others.iter().map(|name| if name.is_empty() { "the file's top".into() } else { shown(name) }).collect();
        notes.push(format!(
            "the weights under {} were taken{why}; others lie under {}: choose with --key",
            shown(&taken),
            others.join(", ")
        ));
    } else if !taken.is_empty() {
        notes.push(format!("the weights lie under {}", shown(&taken)));
    }
    if let Some(side) = chosen.side {
        notes.push(format!("the positions are those of images of {side} pixels, which is the side it is written with"));
    }
    if let Some(module) = &chosen.adopted {
        notes.push(format!("{} was taken for the classifier", shown(module)));
    }
    // The copies that were just named are not named tensor by tensor.
    let copies: Vec<&str> = complete
        .iter()
        .filter(|other| other.place.key == chosen.place.key && !other.place.prefix.is_empty() && other.place.prefix != chosen.place.prefix)
        .map(|other| other.place.prefix.as_str())
        .collect();
    let outside: Vec<String> =
        chosen.left_out.iter().filter(|name| !copies.iter().any(|copy| name.starts_with(copy))).map(|name| shown(name)).collect();
    let dicts: BTreeSet<&str> = file.candidates.iter().map(|dict| dict.key.as_str()).collect();
    let beside = file.beside.iter().cloned().chain(
        dicts.into_iter().filter(|key| *key != chosen.place.key && !key.is_empty() && !chosen.place.key.starts_with(*key)).map(shown),
    );
    for (what, names) in [("tensors that are no part of the network", outside), ("what lies beside the weights", beside.collect())] {
        if !names.is_empty() {
            let more = names.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            notes.push(format!("left out, {what}: {}{more}", names[..names.len().min(NAMED)].join(", ")));
        }
    }
    notes
}

/// PyTorch counts batches beside every norm; evaluation and our training need no counter, and loaders of
/// safetensors files accept its absence.
fn without_counters(mut dict: Candidate) -> (Candidate, usize) {
    let before = dict.tensors.len();
    let kept: StateDict = dict.tensors.into_iter().filter(|(name, _)| !is_counter(name)).collect();
    dict.tensors = kept;
    let dropped = before - dict.tensors.len();
    (dict, dropped)
}

#[cfg(test)]
#[path = "matching_tests.rs"]
mod tests;
