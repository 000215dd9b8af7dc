//! One try: the names of one dict behind one prefix, read by one mapping as one architecture.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::error::{Error, Result};
use super::names::{Mapping, Target};
use super::prefixes::Names;
use super::state_dict::Found;
use crate::nn::architectures::{self, Architecture};

/// A dict of the file behind a prefix.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    pub key: &'a str,
    pub prefix: String,
    /// By the rest of their names.
    pub inside: Names<'a>,
    /// The dict's other tensors, by their whole names.
    pub outside: Names<'a>,
}

/// What one mapping and architecture make of a place.
#[derive(Debug, Clone)]
pub struct Attempt<'a> {
    pub place: &'a Place<'a>,
    pub mapping: &'a Mapping,
    pub target: &'a Target,
    pub num_classes: usize,
    /// Of the images whose patches the weights know, in pixels, where it is another than the architecture's.
    pub side: Option<usize>,
    /// By timm's names.
    pub tensors: BTreeMap<String, Found>,
    pub problems: Vec<String>,
    /// Tensors that are no part of the network.
    pub left_out: Vec<String>,
    /// The module that became the classifier though its name is another.
    pub adopted: Option<String>,
}

/// What the file calls a tensor, and the tensor.
type Old<'a> = (&'a str, Cow<'a, Found>);
/// By timm's names.
type Renamed<'a> = BTreeMap<String, Old<'a>>;

/// Modules that training and other heads leave beside a network, and single tensors of losses and augmentations.
#[rustfmt::skip]
const BESIDE: &[&str] = &[
    "head", "heads", "fc", "classifier", "last", "linear", "logits", "projector", "projection", "proj", "predictor", "prototypes", "queue",
    "criterion", "loss", "class", "center", "centers", "mean", "std", "normalize", "normalizer", "preprocessor", "metric", "arcface", "aux",
    "n", "averaged", "ema", "weights", "score", "cls", "teacher", "student", "temperature", "decoder", "neck", "logit",
];
/// What a classifier may be called.
const CLASSIFIERS: &[&str] =
    &["head", "heads", "fc", "classifier", "linear", "logits", "last_linear", "cls_head", "score", "out", "output", "cls"];

impl<'a> Attempt<'a> {
    pub fn make(mapping: &'a Mapping, target: &'a Target, place: &'a Place<'a>) -> Result<Attempt<'a>> {
        let known = architectures::get(&target.name).map_err(|error| Error::NoMatch(error.to_string()))?;
        let mut attempt = Attempt {
            place,
            mapping,
            target,
            num_classes: 0,
            side: None,
            tensors: BTreeMap::new(),
            problems: Vec::new(),
            left_out: place.outside.keys().map(|name| (*name).to_owned()).collect(),
            adopted: None,
        };
        let mut strangers = BTreeSet::new();
        let renamed = attempt.rename(&mut strangers);
        attempt.take(known, renamed, &mut strangers);
        attempt.judge(strangers);
        if attempt.problems.is_empty() && attempt.num_classes == 0 {
            attempt.adopt(known);
        }
        Ok(attempt)
    }

    fn rename(&mut self, strangers: &mut BTreeSet<&'a str>) -> Renamed<'a> {
        let mut renamed = Renamed::new();
        for (&old, &found) in &self.place.inside {
            match self.mapping.rename(self.target, old) {
                None => drop(strangers.insert(old)),
                Some(new) => {
                    if let Some((other, _)) = renamed.insert(new, (old, self.mapping.laid_out(found))) {
                        self.problems.push(format!("tensors `{other}` and `{old}` are the same one"));
                    }
                }
            }
        }
        renamed
    }

    /// Takes what the architecture has; what is left over is a stranger too.
    fn take(&mut self, known: &Architecture, mut renamed: Renamed<'a>, strangers: &mut BTreeSet<&'a str>) {
        let classifier = |field: &str| format!("{}.{field}", known.classifier);
        // Another head of that name may have other widths: it is left out, not a fault of the backbone.
        let head = renamed.get(&classifier("weight")).zip(renamed.get(&classifier("bias")));
        let fits = |(weight, bias): &(&Old<'a>, &Old<'a>)| matches!(weight.1.shape.as_slice(), [rows, width] | [rows, width, 1, 1, 1] if *width == known.num_features && bias.1.shape == [*rows] && *rows > 0);
        self.num_classes = head.filter(fits).map_or(0, |(weight, _)| weight.1.shape[0]);
        self.side = renamed.iter().find_map(|(name, (_, found))| known.other_side(name, &found.shape));
        let expected = match self.side {
            Some(side) => known.expected_at(side, self.num_classes),
            None => known.expected(self.num_classes),
        };
        for expected in expected {
            let name = &expected.name;
            match renamed.remove(name) {
                None => match self.mapping.implied(name, &expected.shape) {
                    Some(found) => drop(self.tensors.insert(name.clone(), found)),
                    None => self.problems.push(format!("tensor `{name}` is missing")),
                },
                Some((old, found)) if !same_numbers(&found.shape, &expected.shape) => {
                    self.problems.push(misshaped(old, &found, &expected.shape, name, known));
                }
                Some((old, found)) if !found.dtype.is_float() => {
                    self.problems.push(format!("tensor `{old}` holds whole numbers where {name} needs weights"));
                }
                Some((_, found)) => drop(self.tensors.insert(name.clone(), found.shaped(expected.shape))),
            }
        }
        let (aside, left): (Vec<_>, Vec<_>) = renamed.into_iter().partition(|(name, _)| known.leaves_aside(name));
        self.left_out.extend(aside.into_iter().map(|(_, (old, _))| format!("{}{old}", self.place.prefix)));
        strangers.extend(left.into_iter().map(|(_, (old, _))| old));
    }

    /// What a network of its kind has no place for is a fault, unless it is known to lie beside networks.
    fn judge(&mut self, strangers: BTreeSet<&str>) {
        let used: BTreeSet<&str> = self.place.inside.keys().filter(|name| !strangers.contains(*name)).map(|name| first(name)).collect();
        for old in strangers {
            let module = first(old);
            if !used.contains(module) && module.split(['_', '-']).any(|word| BESIDE.contains(&word.to_ascii_lowercase().as_str())) {
                self.left_out.push(format!("{}{old}", self.place.prefix));
            } else {
                self.problems.push(format!("tensor `{old}` has no place in it"));
            }
        }
    }

    /// A linear layer of the right width among what was left out, if there is one of such a name: the head of a network
    /// whose backbone is called otherwise (`backbone.layer4...`, `head.fc`).
    fn adopt(&mut self, known: &Architecture) {
        let place = self.place;
        let tensor = |name: &str| match name.strip_prefix(place.prefix.as_str()) {
            Some(inside) => place.inside.get(inside).copied(),
            None => place.outside.get(name).copied(),
        };
        let mut linear = Vec::new();
        for name in &self.left_out {
            let Some(module) = name.strip_suffix(".weight") else { continue };
            let bias = format!("{module}.bias");
            let Some((weight, bias)) = tensor(name).zip(tensor(&bias)) else { continue };
            let called = module.split('.').any(|part| CLASSIFIERS.contains(&part));
            if called && matches!(weight.shape.as_slice(), [rows, width] if *width == known.num_features && bias.shape == [*rows]) {
                linear.push((module.to_owned(), weight.clone(), bias.clone()));
            }
        }
        let Ok([(module, weight, bias)]) = <[_; 1]>::try_from(linear) else { return };
        self.num_classes = weight.shape[0];
        self.left_out.retain(|name| *name != format!("{module}.weight") && *name != format!("{module}.bias"));
        self.tensors.insert(format!("{}.weight", known.classifier), weight);
        self.tensors.insert(format!("{}.bias", known.classifier), bias);
        self.adopted = Some(module);
    }
}

impl Place<'_> {
    /// Whether the architecture's first module is here: what has it not is not worth a try.
    pub fn begins(&self, mapping: &Mapping, target: &Target) -> bool {
        let first = architectures::find(&target.name).map(|known| format!("{}.weight", known.first_conv));
        first.and_then(|name| mapping.original(target, &name)).is_some_and(|name| self.inside.contains_key(name.as_str()))
    }

    /// Key and prefix as a person may write them.
    pub fn name(&self) -> String {
        let prefix = self.prefix.trim_end_matches('.');
        match (self.key.is_empty(), prefix.is_empty()) {
            (_, true) => self.key.to_owned(),
            (true, false) => prefix.to_owned(),
            (false, false) => format!("{}.{prefix}", self.key),
        }
    }
}

fn first(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// Whether two shapes are the same but for sides of one at the end, a linear layer and a convolution over one pixel; or those of a linear
/// layer over whole maps and of a convolution as large as they are.
fn same_numbers(a: &[usize], b: &[usize]) -> bool {
    fn plain(shape: &[usize]) -> &[usize] {
        let kept = shape.iter().rposition(|&side| side != 1).map_or(0, |last| last + 1);
        &shape[..kept]
    }
    let is_whole =
        matches!((a, b), (&[rows, width], &[outputs, channels, height, side]) if rows == outputs && width == channels * height * side);
    plain(a) == plain(b) || is_whole
}

fn misshaped(old: &str, found: &Found, expected: &[usize], name: &str, known: &Architecture) -> String {
    let told = format!("tensor `{old}` has shape {:?} where {name} needs {expected:?}", found.shape);
    match (found.shape.as_slice(), expected) {
        ([a, channels, rest @ ..], [b, wanted, others @ ..])
            if a == b && rest == others && channels != wanted && name == format!("{}.weight", known.first_conv) =>
        {
            format!("{told}: it takes images of {channels} channels, and only {wanted} are understood")
        }
        _ => told,
    }
}
