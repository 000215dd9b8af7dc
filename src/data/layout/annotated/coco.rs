//! COCO: a JSON file for each split, which names the images and has a box for each object, often with an outline.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::boxes::{self, Boxed};
use super::coco_json::{self, File, Id};
use super::place::{self, Images};
use super::{Annotation, Given, Read};
use crate::data::error::{Error, Result};
use crate::data::labelled::Split;
use crate::data::layout::words;
use crate::data::name;
use crate::data::targets::{Object, Targets};
use crate::domain::annotation_facts::Fault;

const WITHOUT: &str = "images that no annotation file names were left out";
const MISSING: &str = "images that are annotated and not there were left out";
const TWICE: &str = "images that are named twice keep what was said first";
const NOWHERE: &str = "annotations of images that the file does not name were left out";
const UNKNOWN: &str = "annotations of a category that the file does not name were left out";
const BOXLESS: &str = "annotations without a box or an outline were left out";
const UNREAD: &str = "outlines that cannot be read were left out, and their boxes kept";

/// Files of captions and the like, which name the same images again.
const OTHERS: [&str; 6] = ["captions", "panoptic", "stuff", "image_info", "person_keypoints", "sentences"];

/// Whether a file is called as such files are: what is wrong with it is then told.
fn is_called_so(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    file.contains("coco") || file.starts_with("instances") || file.starts_with("_annotations")
}

/// An image with what the files say of it.
struct Found {
    split: Split,
    size: Option<[u32; 2]>,
    objects: Vec<Object>,
}

/// What the files said so far.
struct Reading<'a> {
    given: &'a Given<'a>,
    images: Images<'a>,
    names: Vec<String>,
    found: BTreeMap<usize, Found>,
    faults: Vec<Fault>,
    of_split: BTreeMap<Split, BTreeSet<String>>,
}

pub fn read(given: &Given<'_>) -> Result<Option<Read>> {
    let mut paths: Vec<&str> = given.others("json");
    let called =
        |path: &&str| !OTHERS.iter().any(|start| path.rsplit('/').next().is_some_and(|file| file.to_lowercase().starts_with(start)));
    if paths.iter().any(called) {
        paths.retain(called);
    }
    let mut files: Vec<(&str, File)> = Vec::new();
    for path in paths {
        let Some(entry) = given.entry(path).map(|at| &given.listing.entries[at]) else { continue };
        match coco_json::read(entry.stream(given.limits)?) {
            Ok(file) if file.images.is_some() && file.annotations.is_some() && file.categories.is_some() => files.push((path, file)),
            Err(error) if is_called_so(path) => {
                return Err(Error::BadMetadata { file: path.into(), line: error.line(), reason: error.to_string() });
            }
            _ => {}
        }
    }
    if files.is_empty() {
        return Ok(None);
    }
    let names = names(&files, given)?;
    let mut reading = Reading {
        given,
        images: Images::new(given.images()),
        names,
        found: BTreeMap::new(),
        faults: Vec::new(),
        of_split: BTreeMap::new(),
    };
    let several = files.len() > 1;
    for (path, file) in files {
        reading.add(path, file, several);
    }
    Ok(reading.finish())
}

/// Names of categories in the order of their ids, those of the first file first.
fn names(files: &[(&str, File)], given: &Given<'_>) -> Result<Vec<String>> {
    let mut all: Vec<String> = Vec::new();
    for (_, file) in files {
        let mut categories: Vec<_> = file.categories.iter().flatten().map(|one| (&one.id, name::class_text(&one.name))).collect();
        categories.sort();
        for (_, name) in categories {
            if !all.contains(&name) {
                all.push(name);
            }
        }
    }
    boxes::checked(all, given)
}

impl<'a> Reading<'a> {
    fn fault(&mut self, path: &str, problem: &str, detail: impl Into<String>) {
        self.faults.push(Fault::new(path, problem, detail));
    }

    fn add(&mut self, path: &str, file: File, several: bool) {
        let said = words::split_of(place::stem(path)).or_else(|| Some(place::split_of(path)).filter(|split| *split != Split::Train));
        let categories: HashMap<&Id, u32> =
            file.categories.iter().flatten().filter_map(|one| Some((&one.id, self.class(&one.name)?))).collect();
        let mut places: HashMap<&Id, Option<usize>> = HashMap::new();
        for image in file.images.iter().flatten() {
            let at = self.images.named(&image.file_name, path);
            let twice = at.is_some_and(|at| self.found.contains_key(&at));
            match at {
                None => self.fault(path, MISSING, name::shown(image.file_name.as_bytes())),
                Some(_) if twice => self.fault(path, TWICE, name::shown(image.file_name.as_bytes())),
                Some(at) => {
                    // One file for all images says no split; their folders may.
                    let split = said.filter(|_| several).unwrap_or_else(|| match place::split_of(self.images.all[at].path) {
                        Split::Train => said.unwrap_or(Split::Train),
                        split => split,
                    });
                    self.found.insert(at, Found { split, size: image.size(), objects: Vec::new() });
                    let names = file.categories.iter().flatten().map(|one| name::class_text(&one.name));
                    if self.of_split.get(&split).is_none_or(BTreeSet::is_empty) {
                        self.of_split.insert(split, names.collect());
                    }
                }
            }
            places.insert(&image.id, at.filter(|_| !twice));
        }
        for annotation in file.annotations.iter().flatten() {
            self.annotate(path, annotation, &places, &categories);
        }
    }

    fn class(&self, written: &str) -> Option<u32> {
        let name = name::class_text(written);
        self.names.iter().position(|known| *known == name).map(|at| at as u32)
    }

    fn annotate(
        &mut self,
        path: &str,
        annotation: &coco_json::Annotation,
        places: &HashMap<&Id, Option<usize>>,
        categories: &HashMap<&Id, u32>,
    ) {
        let at = match places.get(&annotation.image_id) {
            Some(Some(at)) => *at,
            // The image itself was told.
            Some(None) => return,
            None => return self.fault(path, NOWHERE, format!("image {}", annotation.image_id)),
        };
        let shown = self.given.shown(&self.images.all[at]);
        let Some(class) = annotation.category_id.as_ref().and_then(|id| categories.get(id)).copied() else {
            return self.fault(&shown, UNKNOWN, annotation.category_id.as_ref().map_or_else(String::new, |id| format!("category {id}")));
        };
        let outline = match annotation.segmentation.as_ref().map(coco_json::Segmentation::outline) {
            Some(None) => {
                self.fault(&shown, UNREAD, self.names[class as usize].clone());
                None
            }
            outline => outline.flatten().flatten(),
        };
        let written = annotation.bbox.as_deref().and_then(|bbox| <[f32; 4]>::try_from(bbox).ok());
        let Some(bbox) = written.or_else(|| outline.as_ref()?.bbox()) else {
            return self.fault(&shown, BOXLESS, self.names[class as usize].clone());
        };
        let object = Object { class, bbox, area: annotation.area, crowd: annotation.iscrowd.is_set(), outline };
        if let Some(found) = self.found.get_mut(&at) {
            found.objects.push(object);
        }
    }

    fn finish(mut self) -> Option<Read> {
        if self.found.is_empty() {
            return None;
        }
        let without = self.images.all.iter().enumerate().filter(|(at, _)| !self.found.contains_key(at));
        self.faults.extend(without.map(|(_, item)| Fault::new(self.given.shown(item), WITHOUT, "")));
        let notes = boxes::differing(&self.of_split.into_iter().collect::<Vec<_>>());
        let mut all = Vec::with_capacity(self.found.len());
        for (at, Found { split, size, objects }) in self.found {
            let item = &self.images.all[at];
            let boxed = Boxed { at, split, objects, size, relative: false };
            let target = boxes::target(boxed, &self.names, &self.given.shown(item), &mut self.faults);
            all.push(Annotation { entry: item.entry, split, target });
        }
        Some(Read { targets: Targets::Objects(self.names), images: all, faults: self.faults, notes })
    }
}
