//! YOLO: beside each image a text file with a line for each object, `CLASS X Y WIDTH HEIGHT` (of the box's middle, in shares of the image's
//! sides) or `CLASS X Y X Y X Y ...` (an outline). `data.yaml`, or a list of names beside it, says what the numbers are called.

use std::collections::{BTreeMap, HashMap};

use super::boxes::{self, Boxed};
use super::classes::{self, DataYaml};
use super::place::{self, Images};
use super::{Annotation, Given, Read};
use crate::data::error::Result;
use crate::data::labelled::Split;
use crate::data::targets::{Object, Outline, Targets};
use crate::domain::annotation_facts::Fault;

const WITHOUT: &str = "images without a file of boxes are taken for images with nothing in them";
const STRAY: &str = "files of boxes without an image were left out";
const UNREAD: &str = "lines that are no box were left out";
/// Of the first lines that are looked at, to tell such a file from other texts.
const LOOKED_AT: usize = 20;

/// The boxes of one line.
fn line(text: &str) -> std::result::Result<Object, &'static str> {
    let mut words = text.split_whitespace();
    // `3.0` is a number of a class, too.
    let class =
        words.next().and_then(|word| word.parse::<f64>().ok()).filter(|class| *class >= 0.0 && class.fract() == 0.0 && *class < 1e6);
    let Some(class) = class else { return Err("its class is no number") };
    let numbers: Option<Vec<f32>> = words.map(|word| word.parse().ok()).collect();
    let object = |bbox: [f32; 4], outline| Object { class: class as u32, bbox, area: None, crowd: false, outline };
    match numbers.as_deref() {
        Some([x, y, w, h]) if [x, y, w, h].iter().all(|value| value.abs() <= 2.0) => Ok(object([x - w / 2.0, y - h / 2.0, *w, *h], None)),
        Some([_, _, _, _]) => Err("its numbers are no shares of the image's sides"),
        Some(points) if points.len() >= 6 && points.len().is_multiple_of(2) => {
            let outline = Outline::Polygons(Box::new([points.into()]));
            outline.bbox().map(|bbox| object(bbox, Some(outline))).ok_or("its outline has no points")
        }
        Some(_) => Err("it has neither four numbers nor the points of an outline"),
        None => Err("it holds what is no number"),
    }
}

/// Whether a text could be a file of boxes.
fn is_one(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty()).take(LOOKED_AT);
    lines.all(|text| line(text).is_ok())
}

pub fn read(given: &Given<'_>) -> Result<Option<Read>> {
    let images = Images::new(given.images());
    let (mut files, mut strays) = (HashMap::new(), Vec::new());
    for path in given.others("txt").into_iter().filter(|path| !classes::is_list(path)) {
        match images.about(path) {
            Some(at) => drop(files.insert(at, path)),
            None if place::is_beside(path) => strays.push(path),
            None => {}
        }
    }
    let texts: HashMap<usize, String> =
        files.iter().map(|(at, path)| Ok((*at, given.text(path)?.unwrap_or_default()))).collect::<Result<_>>()?;
    // Captions lie beside images in the same way.
    let boxes = texts.values().filter(|text| is_one(text)).count();
    if boxes == 0 || 2 * boxes < texts.len() || texts.values().all(|text| text.trim().is_empty()) {
        return Ok(None);
    }
    let mut notes = Vec::new();
    let yaml = yaml(given)?;
    let split_of = splits(given, &yaml, &images)?;
    let mut faults: Vec<Fault> = strays.into_iter().map(|path| Fault::new(path, STRAY, "")).collect();
    let mut boxed: Vec<Boxed> = Vec::new();
    for (at, item) in images.all.iter().enumerate() {
        let path = given.shown(item);
        let mut objects = Vec::new();
        match texts.get(&at) {
            None => faults.push(Fault::new(&path, WITHOUT, "")),
            Some(text) => {
                for (number, written) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
                    match line(written) {
                        Ok(object) => objects.push(object),
                        Err(why) => faults.push(Fault::new(files[&at], UNREAD, format!("line {number}: {why}"))),
                    }
                }
            }
        }
        let split = split_of.get(&at).copied().unwrap_or_else(|| place::split_of(item.path));
        boxed.push(Boxed { at, split, objects, size: None, relative: true });
    }
    let names = names(given, yaml.names, &mut boxed, &images, &mut faults, &mut notes)?;
    let annotation = |one: Boxed| {
        let (item, split) = (&images.all[one.at], one.split);
        Annotation { entry: item.entry, split, target: boxes::target(one, &names, &given.shown(item), &mut faults) }
    };
    let all = boxed.into_iter().map(annotation).collect();
    Ok(Some(Read { targets: Targets::Objects(names), images: all, faults, notes }))
}

fn yaml(given: &Given<'_>) -> Result<DataYaml> {
    let mut files: Vec<&str> = given.others("yaml").into_iter().chain(given.others("yml")).collect();
    files.sort_by_key(|path| (path.matches('/').count(), *path));
    for path in files {
        let found = given.text(path)?.map(|text| classes::data_yaml(&text)).unwrap_or_default();
        if found.names.is_some() {
            return Ok(found);
        }
    }
    Ok(DataYaml::default())
}

/// The splits that `data.yaml` says: of images in a folder, or named in a list.
fn splits(given: &Given<'_>, yaml: &DataYaml, images: &Images<'_>) -> Result<HashMap<usize, Split>> {
    let mut found = HashMap::new();
    for (word, paths) in &yaml.splits {
        let Some(split) = Split::parse(word) else { continue };
        for path in paths {
            if path.ends_with(".txt") {
                let Some(text) = given.text(path)? else { continue };
                let named = text.lines().map(str::trim).filter(|line| !line.is_empty()).filter_map(|line| images.named(line, path));
                named.for_each(|at| {
                    found.entry(at).or_insert(split);
                });
                continue;
            }
            let within = |item: &str| item.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('/'));
            let inside = images.all.iter().enumerate().filter(|(_, item)| within(item.path));
            inside.for_each(|(at, _)| {
                found.entry(at).or_insert(split);
            });
        }
    }
    Ok(found)
}

/// The names of the classes; objects of numbers without one are left out where there is a list, and called by their number where there
/// is none.
fn names(
    given: &Given<'_>,
    of_yaml: Option<Vec<String>>,
    boxed: &mut [Boxed],
    images: &Images<'_>,
    faults: &mut Vec<Fault>,
    notes: &mut Vec<String>,
) -> Result<Vec<String>> {
    const UNKNOWN: &str = "objects of a class without a name were left out";
    let listed = match of_yaml {
        Some(names) => Some(names),
        None => classes::find(given)?.map(|(names, _)| names),
    };
    if let Some(names) = listed {
        let names = boxes::checked(names, given)?;
        for one in boxed {
            let path = given.shown(&images.all[one.at]);
            one.objects.retain(|object| {
                let known = (object.class as usize) < names.len();
                if !known {
                    faults.push(Fault::new(&path, UNKNOWN, format!("class {} of {}", object.class, names.len())));
                }
                known
            });
        }
        return Ok(names);
    }
    let numbers: std::collections::BTreeSet<u32> = boxed.iter().flat_map(|one| &one.objects).map(|object| object.class).collect();
    let place: BTreeMap<u32, u32> = numbers.iter().copied().zip(0..).collect();
    boxed.iter_mut().flat_map(|one| &mut one.objects).for_each(|object| object.class = place[&object.class]);
    notes.push(
        "no file names the classes, so they are called by their numbers; a `data.yaml` with `names` or a `classes.txt` names them".into(),
    );
    boxes::checked(numbers.iter().map(u32::to_string).collect(), given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_boxes_or_outlines() {
        let object = line("2 0.5 0.5 0.25 0.5").unwrap();
        assert_eq!((object.class, object.bbox), (2, [0.375, 0.25, 0.25, 0.5]));
        let outline = line("0 0.1 0.1 0.5 0.1 0.5 0.75").unwrap();
        assert_eq!(outline.bbox, [0.1, 0.1, 0.4, 0.65]);
        assert!(matches!(outline.outline, Some(Outline::Polygons(_))));
        for wrong in ["cat 0.5 0.5 0.1 0.1", "0 12 40 100 200", "0 0.5 0.5", "-1 0.5 0.5 0.1 0.1", "0 a b c d"] {
            assert!(line(wrong).is_err(), "{wrong}");
        }
        assert!(is_one("0 0.5 0.5 0.1 0.1\n\n") && is_one("") && !is_one("a photo of a cat"));
    }
}
