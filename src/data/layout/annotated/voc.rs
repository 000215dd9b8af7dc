//! Pascal VOC: beside each image an XML file with its objects. Corners count pixels from 1, both included, so that a box from 1 to 1 is one
//! pixel wide; where a corner of the data set is 0 they count from 0.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rayon::prelude::*;

use super::boxes::{self, Boxed};
use super::place::{self, Images};
use super::voc_xml::{self, Annotated};
use super::{Annotation, Given, Read, lists};
use crate::data::error::Result;
use crate::data::labelled::Split;
use crate::data::name;
use crate::data::targets::{Object, Targets};
use crate::domain::annotation_facts::Fault;

const WITHOUT: &str = "images without an annotation were left out";
const STRAY: &str = "annotations of images that are not there were left out";
const BROKEN: &str = "annotations that are no XML were left out with their images";
const CORNERLESS: &str = "objects without four corners or without a name were left out";
const AGAIN: &str = "second annotations of one image were left out";

pub fn read(given: &Given<'_>) -> Result<Option<Read>> {
    let images = Images::new(given.images());
    let paths = given.others("xml");
    let texts: Vec<Option<String>> = paths.par_iter().map(|path| given.text(path)).collect::<Result<_>>()?;
    let mut faults = Vec::new();
    let mut found: BTreeMap<usize, Annotated> = BTreeMap::new();
    let mut read_any = false;
    for (path, text) in paths.iter().zip(texts) {
        match voc_xml::read(&text.unwrap_or_default()) {
            Ok(None) => {}
            Err(why) => faults.push(Fault::new(*path, BROKEN, why)),
            Ok(Some(annotated)) => {
                read_any = true;
                let at = images.about(path).or_else(|| images.named(&annotated.filename, path));
                match at {
                    None => faults.push(Fault::new(*path, STRAY, name::shown(annotated.filename.as_bytes()))),
                    Some(at) if found.contains_key(&at) => faults.push(Fault::new(*path, AGAIN, "")),
                    Some(at) => drop(found.insert(at, annotated)),
                }
            }
        }
    }
    if !read_any || found.is_empty() {
        return Ok(None);
    }
    let listed = lists::of(given, &images, "main")?;
    let without = images.all.iter().enumerate().filter(|(at, _)| !found.contains_key(at));
    faults.extend(without.map(|(_, item)| Fault::new(given.shown(item), WITHOUT, "")));
    let mut notes = Vec::new();
    if !listed.is_empty() {
        notes.push(format!("the splits of {} images are those of the lists in `ImageSets/Main`", listed.len()));
    }
    let (names, of_split) = names(&found, &images, &listed, given)?;
    notes.extend(boxes::differing(&of_split));
    let first = first_pixel(&found);
    if first == 0.0 {
        notes.push("a corner is 0, so corners were read as counting from 0".into());
    }
    let mut all = Vec::with_capacity(found.len());
    for (at, annotated) in found {
        let item = &images.all[at];
        let path = given.shown(item);
        let objects = objects(&annotated, &names, first, &path, &mut faults);
        let split = split_of(&listed, at, item.path);
        let boxed = Boxed { at, split, objects, size: annotated.size, relative: false };
        all.push(Annotation { entry: item.entry, split, target: boxes::target(boxed, &names, &path, &mut faults) });
    }
    Ok(Some(Read { targets: Targets::Objects(names), images: all, faults, notes }))
}

fn split_of(listed: &HashMap<usize, Split>, at: usize, path: &str) -> Split {
    listed.get(&at).copied().unwrap_or_else(|| place::split_of(path))
}

/// All names, sorted, and those of each split.
type Names = (Vec<String>, Vec<(Split, BTreeSet<String>)>);

fn names(found: &BTreeMap<usize, Annotated>, images: &Images<'_>, listed: &HashMap<usize, Split>, given: &Given<'_>) -> Result<Names> {
    let mut of_split: BTreeMap<Split, BTreeSet<String>> = BTreeMap::new();
    for (at, annotated) in found {
        let here = of_split.entry(split_of(listed, *at, images.all[*at].path)).or_default();
        here.extend(annotated.objects.iter().map(|object| name::class_text(&object.name)).filter(|name| !name.is_empty()));
    }
    let all: BTreeSet<&String> = of_split.values().flatten().collect();
    let names = boxes::checked(all.into_iter().cloned().collect(), given)?;
    Ok((names, of_split.into_iter().collect()))
}

/// What the first pixel is called.
fn first_pixel(found: &BTreeMap<usize, Annotated>) -> f32 {
    let corners = |object: &voc_xml::Boxed| object.corners.iter().flatten().any(|corner| *corner == 0.0);
    let any = found.values().any(|annotated| annotated.objects.iter().any(corners));
    if any { 0.0 } else { 1.0 }
}

fn objects(annotated: &Annotated, names: &[String], first: f32, path: &str, faults: &mut Vec<Fault>) -> Vec<Object> {
    let mut objects = Vec::new();
    for object in &annotated.objects {
        let class = names.binary_search(&name::class_text(&object.name));
        match (class, object.corners) {
            (Ok(class), [Some(left), Some(top), Some(right), Some(bottom)]) => {
                let bbox = [left - first, top - first, right - left + first, bottom - top + first];
                objects.push(Object { class: class as u32, bbox, area: None, crowd: object.difficult, outline: None });
            }
            _ => faults.push(Fault::new(path, CORNERLESS, name::shown(object.name.as_bytes()))),
        }
    }
    objects
}
