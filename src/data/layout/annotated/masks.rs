//! Masks: beside each image a raster of its size whose values are classes: indices (with a list of their names), colours (with a
//! palette), or 0 and one other value. Rasters in which each object has a value of its own (`instances/`) tell how many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rayon::prelude::*;

use super::place::{self, Images};
use super::{Annotation, Given, Read, boxes, classes, lists, palette};
use crate::data::error::{Error, Result};
use crate::data::image::raster::{self, Raster};
use crate::data::layout::tree::Item;
use crate::data::targets::{Mask, Reading, Target, Targets, UNSAID};
use crate::domain::annotation_facts::Fault;

const WITHOUT: &str = "images without a mask were left out";
const STRAY: &str = "masks without an image were left out";
const AGAIN: &str = "second masks of one image were left out";
const UNREAD: &str = "masks that cannot be read were left out with their images";
const SIZES: &str = "rasters of objects that differ in size from the mask were left out, and the masks kept";

/// Values that are remembered of all masks together: more are none of classes.
const MOST_VALUES: usize = 4_096;
/// Names where there are no others.
const PLAIN: [&str; 2] = ["background", "object"];

const HINT: &str = "save masks as PNG whose values are the indices of classes, named in `classes.txt` (a name a line, from 0), or whose colours are \
                    named in a palette file (`class_dict.csv` with name,r,g,b), each as large as its image; docs/DATA.md";

/// Rasters by the place of their image.
struct Pairs<'a> {
    masks: BTreeMap<usize, Item<'a>>,
    instances: BTreeMap<usize, Item<'a>>,
}

pub fn read(given: &Given<'_>) -> Result<Option<Read>> {
    let images = Images::new(given.images());
    let mut faults = Vec::new();
    let pairs = pair(given, &images, &mut faults);
    let only_objects = pairs.masks.is_empty();
    let rasters = if only_objects { &pairs.instances } else { &pairs.masks };
    if rasters.is_empty() {
        return Ok(None);
    }
    let mut notes = Vec::new();
    let all: Vec<Item<'_>> = rasters.values().copied().collect();
    let (reading, names) = if only_objects { (Reading::Instances, plain()) } else { reading(given, &all, &mut notes)? };
    let (names, reading) = (boxes::checked(names, given)?, Arc::new(reading));
    let listed = lists::of(given, &images, "segmentation")?;
    let places: Vec<(usize, Item<'_>)> = rasters.iter().map(|(at, item)| (*at, *item)).collect();
    let opened: Vec<_> = places
        .par_iter()
        .map(|(at, item)| {
            let objects = pairs.instances.get(at).map(|item| count(given, item)).transpose()?.flatten();
            let (size, counted) = objects.unzip();
            let mask = Mask::open(&given.listing.entries[item.entry], &reading, counted, given.limits)?;
            Ok((mask, size))
        })
        .collect::<Result<Vec<_>>>()?;
    let mut found = Vec::with_capacity(opened.len());
    let mut unread = 0;
    for ((at, item), (mask, size)) in places.iter().zip(opened) {
        let image = &images.all[*at];
        match mask {
            Err(refusal) => {
                unread += 1;
                faults.push(Fault::new(given.shown(item), UNREAD, refusal.0));
            }
            Ok(mut mask) => {
                if size.is_some_and(|size| size != [mask.width, mask.height]) {
                    faults.push(Fault::new(given.shown(image), SIZES, ""));
                    mask.instances = None;
                }
                let split = listed.get(at).copied().unwrap_or_else(|| place::split_of(image.path));
                found.push(Annotation { entry: image.entry, split, target: Target::Mask(mask) });
            }
        }
    }
    check_unread(unread, places.len(), given, &faults)?;
    let without = images.all.iter().enumerate().filter(|(at, _)| !rasters.contains_key(at));
    faults.extend(without.map(|(_, item)| Fault::new(given.shown(item), WITHOUT, "")));
    Ok(Some(Read { targets: Targets::Masks(names), images: found, faults, notes }))
}

fn plain() -> Vec<String> {
    PLAIN.map(str::to_owned).into()
}

fn pair<'a>(given: &Given<'a>, images: &Images<'a>, faults: &mut Vec<Fault>) -> Pairs<'a> {
    let mut pairs = Pairs { masks: BTreeMap::new(), instances: BTreeMap::new() };
    for item in &given.tree.items {
        let objects = place::is_of_instances(item.path);
        if !objects && !place::is_beside(item.path) {
            continue;
        }
        let of = if objects { &mut pairs.instances } else { &mut pairs.masks };
        match images.about(item.path) {
            None => faults.push(Fault::new(given.shown(item), STRAY, "")),
            Some(at) if of.contains_key(&at) => faults.push(Fault::new(given.shown(item), AGAIN, "")),
            Some(at) => drop(of.insert(at, *item)),
        }
    }
    pairs
}

/// More than a few that cannot be read mean that they are no masks of this kind.
fn check_unread(unread: usize, of: usize, given: &Given<'_>, faults: &[Fault]) -> Result<()> {
    if unread as f64 <= given.limits.unreadable_share * of as f64 {
        return Ok(());
    }
    let first = faults.iter().filter(|fault| fault.problem == UNREAD).take(3).map(|fault| format!("`{}`: {}", fault.path, fault.detail));
    let reason = format!("{unread} of {of} masks cannot be read: {}", first.collect::<Vec<_>>().join("; "));
    Err(Error::BadTargets { reason, hint: HINT })
}

/// The size of a raster of objects, and how many there are; `None` of one that cannot be read, which costs only the count.
fn count(given: &Given<'_>, item: &Item<'_>) -> Result<Option<([u32; 2], usize)>> {
    let bytes = given.listing.entries[item.entry].read(given.limits)?;
    Ok(raster::decode(&bytes, given.limits).ok().map(|raster| {
        let size = [raster.width(), raster.height()];
        let objects = match raster {
            Raster::Values { values, .. } => values.into_iter().filter(|value| *value > 0).collect::<BTreeSet<u16>>().len(),
            Raster::Colours { values, .. } => values.into_iter().filter(|colour| *colour != [0; 3]).collect::<BTreeSet<_>>().len(),
        };
        (size, objects)
    }))
}

/// How the values of masks are to be read, and what their classes are called.
fn reading(given: &Given<'_>, masks: &[Item<'_>], notes: &mut Vec<String>) -> Result<(Reading, Vec<String>)> {
    let named = classes::find(given)?;
    if let Some((found, file)) = palette::find(given)? {
        if !found.void.is_empty() {
            notes.push(format!("pixels of {} say nothing, as their names in `{file}` say", found.void.join(", ")));
        }
        // A palette may name the colours in which indices are shown.
        if !is_indexed(given, masks)? {
            return Ok((Reading::Palette(found.colours), found.names));
        }
        return Ok((Reading::Indices(found.names.len()), found.names));
    }
    if let Some((names, file)) = named.as_ref().filter(|(names, _)| names.len() > 2) {
        notes.push(format!("the classes of masks are those of `{file}`"));
        return Ok((Reading::Indices(names.len()), names.clone()));
    }
    let values = values(given, masks)?;
    let most = values.iter().next_back().copied().unwrap_or_default();
    let is_binary = values.len() <= 2 && values.iter().all(|value| *value == 0 || *value == most) && most > 0;
    match named {
        Some((names, _)) if names.len() == 2 && is_binary => Ok((Reading::Binary, names)),
        Some((names, _)) => Ok((Reading::Indices(names.len()), names)),
        None if is_binary => Ok((Reading::Binary, plain())),
        None => numbered(values, most, notes),
    }
}

/// Classes that nothing names are called by their numbers.
fn numbered(values: BTreeSet<u16>, most: u16, notes: &mut Vec<String>) -> Result<(Reading, Vec<String>)> {
    let last = values.iter().rev().copied().find(|value| *value != u16::from(UNSAID)).unwrap_or_default();
    if most > u16::from(UNSAID) || values.len() >= MOST_VALUES {
        let reason = format!(
            "the masks have {} values up to {most}, which are more than classes: objects that are told apart belong into `instances/`",
            values.len()
        );
        return Err(Error::BadTargets { reason, hint: HINT });
    }
    notes.push(
        "no file names the classes of masks, so they are called by their numbers; `classes.txt` with a name a line names them".into(),
    );
    Ok((Reading::Indices(usize::from(last) + 1), (0..=last).map(|value| value.to_string()).collect()))
}

/// Whether masks hold numbers, as the first that can be read does.
fn is_indexed(given: &Given<'_>, masks: &[Item<'_>]) -> Result<bool> {
    for item in masks {
        let bytes = given.listing.entries[item.entry].read(given.limits)?;
        if let Ok(raster) = raster::decode(&bytes, given.limits) {
            return Ok(matches!(raster, Raster::Values { palette, .. } if palette.is_empty()));
        }
    }
    Ok(false)
}

/// All values of all masks.
fn values(given: &Given<'_>, masks: &[Item<'_>]) -> Result<BTreeSet<u16>> {
    let of = |item: &Item<'_>| -> Result<BTreeSet<u16>> {
        let bytes = given.listing.entries[item.entry].read(given.limits)?;
        let mut seen = vec![false; usize::from(u16::MAX) + 1];
        if let Ok(Raster::Values { values, .. }) = raster::decode(&bytes, given.limits) {
            values.into_iter().for_each(|value| seen[usize::from(value)] = true);
        }
        Ok((0..=u16::MAX).filter(|value| seen[usize::from(*value)]).take(MOST_VALUES).collect())
    };
    let join = |mut all: BTreeSet<u16>, more: BTreeSet<u16>| {
        all.extend(more);
        Ok(all)
    };
    masks.par_iter().map(of).try_reduce(BTreeSet::new, join)
}
