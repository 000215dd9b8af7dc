//! The tensors of a model as a tree, by the parts of their names (`layer1.0.conv1.weight`): one level at a time, each line a tensor or all that lie
//! below a name.

use std::collections::BTreeMap;

use super::repo::TensorEntry;

/// A line of a level.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// From the root, as in names of tensors.
    pub name: String,
    /// The tensor, where it is one; else all below the name.
    pub tensor: Option<TensorEntry>,
    pub tensors: usize,
    pub parameters: u64,
    pub size_bytes: u64,
    /// Types below it, each once.
    pub dtypes: Vec<String>,
}

/// How many numbers a tensor holds.
pub fn count(tensor: &TensorEntry) -> u64 {
    tensor.shape.iter().fold(1, |all, side| all.saturating_mul(*side))
}

/// The lines below `under` (empty: the root), in the order of the file. Where they are no more than `flat` tensors, these themselves.
pub fn level(all: &[TensorEntry], under: &str, flat: usize) -> Vec<Branch> {
    let inside = |tensor: &&TensorEntry| {
        under.is_empty() || tensor.name == under || tensor.name.strip_prefix(under).is_some_and(|rest| rest.starts_with('.'))
    };
    let below: Vec<&TensorEntry> = all.iter().filter(inside).collect();
    if below.len() <= flat {
        return below.into_iter().map(|tensor| leaf(tensor, tensor.name.clone())).collect();
    }
    let mut at: BTreeMap<&str, usize> = BTreeMap::new();
    let mut lines: Vec<Branch> = Vec::new();
    for tensor in below {
        let name = part(&tensor.name, under);
        match at.get(name) {
            Some(place) => lines[*place].add(tensor),
            None => {
                at.insert(name, lines.len());
                lines.push(leaf(tensor, name.to_owned()));
            }
        }
    }
    lines
}

/// The name of a tensor up to the part behind `under`.
fn part<'a>(name: &'a str, under: &str) -> &'a str {
    let from = if under.is_empty() { 0 } else { (under.len() + 1).min(name.len()) };
    let end = name.get(from..).and_then(|rest| rest.find('.')).map_or(name.len(), |dot| from + dot);
    name.get(..end).unwrap_or(name)
}

fn leaf(tensor: &TensorEntry, name: String) -> Branch {
    let own = (tensor.name == name).then(|| tensor.clone());
    Branch { name, tensor: own, tensors: 1, parameters: count(tensor), size_bytes: tensor.size_bytes, dtypes: vec![tensor.dtype.clone()] }
}

impl Branch {
    fn add(&mut self, tensor: &TensorEntry) {
        self.tensor = None;
        self.tensors += 1;
        self.parameters = self.parameters.saturating_add(count(tensor));
        self.size_bytes = self.size_bytes.saturating_add(tensor.size_bytes);
        if !self.dtypes.contains(&tensor.dtype) {
            self.dtypes.push(tensor.dtype.clone());
        }
    }
}

/// What became of a base's tensors: as they were by name, shape and type, of another shape or type, new; and how many of the base's are gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Difference {
    pub same: usize,
    pub changed: usize,
    pub new: usize,
    pub gone: usize,
}

/// How a tensor stands beside the base's of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    Same,
    Changed,
    New,
}

/// Beside the base's tensors, which are found by their names.
pub fn beside(tensor: &TensorEntry, base: &BTreeMap<&str, &TensorEntry>) -> Beside {
    match base.get(tensor.name.as_str()) {
        None => Beside::New,
        Some(old) if old.shape == tensor.shape && old.dtype == tensor.dtype => Beside::Same,
        Some(_) => Beside::Changed,
    }
}

pub fn by_name(tensors: &[TensorEntry]) -> BTreeMap<&str, &TensorEntry> {
    tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect()
}

pub fn difference(tensors: &[TensorEntry], base: &BTreeMap<&str, &TensorEntry>) -> Difference {
    let mut found = Difference::default();
    for tensor in tensors {
        match beside(tensor, base) {
            Beside::Same => found.same += 1,
            Beside::Changed => found.changed += 1,
            Beside::New => found.new += 1,
        }
    }
    found.gone = base.len().saturating_sub(found.same + found.changed);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, shape: &[u64]) -> TensorEntry {
        TensorEntry {
            file: "f".into(),
            name: name.into(),
            dtype: "F32".into(),
            shape: shape.to_vec(),
            size_bytes: 4 * shape.iter().product::<u64>(),
        }
    }

    #[test]
    fn a_level_counts_what_lies_below() {
        let all =
            [tensor("stem.weight", &[4, 3]), tensor("body.0.weight", &[4, 4]), tensor("body.1.weight", &[4, 4]), tensor("head", &[2])];
        let shown = |under, flat| {
            level(&all, under, flat).into_iter().map(|b| (b.name, b.tensors, b.parameters, b.tensor.is_some())).collect::<Vec<_>>()
        };
        assert_eq!(shown("", 0), [("stem".into(), 1, 12, false), ("body".into(), 2, 32, false), ("head".into(), 1, 2, true)]);
        assert_eq!(shown("body", 0), [("body.0".into(), 1, 16, false), ("body.1".into(), 1, 16, false)]);
        assert_eq!(shown("body", 5), [("body.0.weight".into(), 1, 16, true), ("body.1.weight".into(), 1, 16, true)]);
        assert_eq!(level(&all, "nothing", 0), vec![]);
    }

    #[test]
    fn a_new_head_is_told() {
        let base = [tensor("stem", &[4]), tensor("head", &[10]), tensor("aux", &[1])];
        let tuned = [tensor("stem", &[4]), tensor("head", &[2]), tensor("bias", &[2])];
        let known = by_name(&base);
        assert_eq!(difference(&tuned, &known), Difference { same: 1, changed: 1, new: 1, gone: 1 });
    }
}
