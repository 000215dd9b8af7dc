//! What formats of boxes share: objects of an image, without those that cannot be used and those that are there twice.

use std::collections::BTreeSet;

use super::Given;
use crate::data::error::Result;
use crate::data::labelled::Split;
use crate::data::name;
use crate::data::targets::{self, Object, Objects, Target};
use crate::domain::annotation_facts::Fault;

/// An image with its objects, whose classes are places in a list of names.
pub struct Boxed {
    /// Its place among the images.
    pub at: usize,
    pub split: Split,
    pub objects: Vec<Object>,
    pub size: Option<[u32; 2]>,
    pub relative: bool,
}

const EMPTY: &str = "boxes of zero area were left out";
const TWICE: &str = "objects that are annotated twice were taken once";

/// A box for people.
pub fn shown(names: &[String], object: &Object) -> String {
    let [x, y, w, h] = object.bbox;
    let class = names.get(object.class as usize).map_or("?", String::as_str);
    format!("{class} at {x}, {y}, {w} wide and {h} high")
}

/// The target of an image; what was left out is told under its path.
pub fn target(boxed: Boxed, names: &[String], path: &str, faults: &mut Vec<Fault>) -> Target {
    let (mut kept, mut seen) = (Vec::<Object>::new(), BTreeSet::new());
    for object in boxed.objects {
        let [_, _, w, h] = object.bbox;
        if !(w > 0.0 && h > 0.0) || object.bbox.iter().any(|value| !value.is_finite()) {
            faults.push(Fault::new(path, EMPTY, shown(names, &object)));
        } else if seen.insert((object.class, object.bbox.map(f32::to_bits), object.crowd)) {
            kept.push(object);
        } else {
            faults.push(Fault::new(path, TWICE, shown(names, &object)));
        }
    }
    Target::Objects(Objects::new(kept, boxed.size, boxed.relative))
}

/// Names in the form in which classes are compared.
///
/// # Errors
/// Names that are not allowed, alike, or too many.
pub fn checked(names: Vec<String>, given: &Given<'_>) -> Result<Vec<String>> {
    let names: Vec<String> = names.iter().map(|name| name::class_text(name)).collect();
    targets::check_names(&names, given.limits)?;
    Ok(names)
}

/// Classes that a split says nothing of and another does, where names come with each split.
pub fn differing(of: &[(Split, BTreeSet<String>)]) -> Vec<String> {
    let mut told = Vec::new();
    for (at, (split, names)) in of.iter().enumerate() {
        for (other, others) in &of[at + 1..] {
            let listed = |names: Vec<&String>| names.iter().take(5).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let (only, missing) = (listed(names.difference(others).collect()), listed(others.difference(names).collect()));
            let side = |split: Split, names: &str| if names.is_empty() { String::new() } else { format!(" {split} alone has {names}") };
            let both: Vec<String> = [side(*split, &only), side(*other, &missing)].into_iter().filter(|side| !side.is_empty()).collect();
            if !both.is_empty() {
                told.push(format!("the class names of {split} and {other} differ:{}", both.join(",")));
            }
        }
    }
    told
}
