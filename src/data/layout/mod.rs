//! From paths to meaning: which entry is an item of which class in which split.
//!
//! What the card says is obeyed. Else a table is read where there is one, and folders are recognised: a folder per class, alone,
//! inside folders of splits or around them. Where folders could mean two things, nothing is guessed: the error shows what was
//! found and how to say what it is. [`known`] has other people's layouts, [`words`] what names say.

mod annotated;
pub(super) mod declared;
mod folders;
mod found;
mod known;
mod labels;
mod names;
mod paired;
mod tree;
mod unlabelled;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use self::annotated::Given;
use self::folders::{Part, Reading};
use self::tree::{Item, Top, Tree};
use self::words::Says;
use super::error::{Error, Result};
use super::labelled::{Kept, Layout, Split, warn_left_out};
use super::limits::Limits;
use super::listing::Listing;
use super::modality::Modality;
use super::{leftovers, metadata};
use crate::domain::dataset_layout::{DataLayout, Declared, SplitPaths};

/// Gives every item its split and the text of its target.
pub fn read(listing: &Listing, modality: &dyn Modality, declared: &Declared, limits: &Limits) -> Result<Layout> {
    let entries = listing.entries.iter().enumerate().filter(|(_, entry)| !leftovers::is_ignored(&entry.path));
    let mut kept: Kept<'_> = entries.map(|(index, entry)| (entry.path.as_str(), index)).collect();
    if !kept.is_empty() && !kept.keys().any(|path| modality.is_item(path)) {
        return Err(Error::NoItems { files: kept.len(), kinds: found::kinds(&kept) });
    }
    while let Some(top) = wrapping_folder(&kept) {
        kept = kept.into_iter().filter_map(|(path, index)| Some((below(path, &top)?, index))).collect();
    }
    let unlabelled = unlabelled::take(&mut kept, modality);
    let tree = Tree::new(&kept, modality);
    let by_table = matches!(declared.layout, None | Some(DataLayout::Table));
    let named = if by_table { declared::tables(&kept, &declared.splits) } else { Vec::new() };
    let tables = match named.is_empty() {
        true if by_table => metadata::find(&kept)?,
        _ => named,
    };
    let given = Given { tree: &tree, kept: &kept, listing, limits };
    let mut layout = match tables.is_empty() {
        _ if annotated::is_said(declared) => with_said_splits(annotated::said(&given, declared)?, &tree, listing, &declared.splits),
        false => by_tables(&tables, &kept, &tree, listing, declared, limits)?,
        true if declared.layout == Some(DataLayout::Table) => {
            return Err(unclear(&tree, "the card says that a table names the items, and there is no `metadata.csv` or `metadata.jsonl`"));
        }
        true => match by_folders(&tree, listing, declared) {
            Err(error) if declared.layout.is_none() && !modality.is_writing() => {
                with_said_splits(annotated_or(error, &given)?, &tree, listing, &declared.splits)
            }
            found => labels::several(found?, listing, declared, limits)?,
        },
    };
    if let Some(note) = unlabelled::note(&unlabelled, tree.many) {
        layout.warnings.push(note);
    }
    layout.unlabelled = unlabelled.into_iter().map(|(_, entry)| entry).collect();
    layout.warnings.extend(declared.odd.iter().cloned());
    Ok(layout)
}

fn below<'a>(path: &'a str, top: &str) -> Option<&'a str> {
    path.strip_prefix(top)?.strip_prefix('/')
}

/// The one folder everything lies in, if there are still classes inside it.
fn wrapping_folder(kept: &Kept<'_>) -> Option<String> {
    let (top, _) = kept.keys().next()?.split_once('/')?;
    let wraps = kept.keys().all(|path| below(path, top).is_some())
        && Split::parse(top).is_none()
        && kept.keys().any(|path| path.matches('/').count() >= 2 || metadata::is_table(&path[top.len() + 1..]));
    wraps.then(|| top.to_string())
}

/// Where folders give no classes: labelled places of images, if they are there.
fn annotated_or(error: Error, given: &Given<'_>) -> Result<Layout> {
    let Error::LayoutUnclear { reason, found } = error else { return Err(error) };
    match annotated::recognised(given) {
        Ok(Some(layout)) => Ok(layout),
        Ok(None) => Err(Error::LayoutUnclear { reason, found }),
        Err(why) => Err(Error::LayoutUnclear { reason: format!("{reason}; {why}"), found }),
    }
}

/// With the splits that the card says of the items.
fn with_said_splits(mut layout: Layout, tree: &Tree<'_>, listing: &Listing, said: &[SplitPaths]) -> Layout {
    let (parts, _, notes) = declared::parts(tree, listing, said);
    let splits: BTreeMap<usize, Split> =
        parts.iter().flat_map(|part| part.items.iter().map(|(_, item)| (item.entry, part.split))).collect();
    layout.samples.iter_mut().for_each(|sample| sample.split = splits.get(&sample.entry).copied().unwrap_or(sample.split));
    layout.warnings.extend(notes);
    layout
}

fn by_tables(
    tables: &[metadata::Table],
    kept: &Kept<'_>,
    tree: &Tree<'_>,
    listing: &Listing,
    declared: &Declared,
    limits: &Limits,
) -> Result<Layout> {
    let layout = metadata::read(tables, kept, listing, declared, limits)?;
    // Where the config names the tables themselves, it says nothing of the items.
    let named = declared::tables(kept, &declared.splits);
    let of_items =
        if named.iter().any(|table| tables.iter().any(|read| read.entry() == table.entry())) { &[][..] } else { &declared.splits };
    let layout = with_said_splits(layout, tree, listing, of_items);
    match layout.samples.is_empty() {
        true => Err(unclear(tree, "the table has no rows")),
        false => Ok(layout),
    }
}

fn by_folders(tree: &Tree<'_>, listing: &Listing, declared: &Declared) -> Result<Layout> {
    let (parts, mut others, mut notes) = declared::parts(tree, listing, &declared.splits);
    let inner = descend(tree);
    let mut reading = match (declared.layout, parts.is_empty()) {
        (Some(DataLayout::Names), false) => folders::classes_in_names(parts),
        (_, false) => folders::classes_in(parts),
        (layout, true) => {
            others.clear();
            said(layout, &inner).unwrap_or_else(|| recognise(&inner, tree))?
        }
    };
    if reading.samples.is_empty() {
        return Err(match tree.items.is_empty() {
            true => Error::NoImages { left_out: tree.others.iter().take(3).copied().collect::<Vec<_>>().join(", ") },
            false => unclear(tree, &format!("no {} lies in a folder of its class", tree.item)),
        });
    }
    let classes: BTreeSet<&str> = reading.samples.iter().map(|sample| sample.text.as_str()).collect();
    if let ([only], None) = (classes.iter().collect::<Vec<_>>().as_slice(), declared.layout)
        && (words::judge_one(only) != Says::Nothing || known::recognise(tree).is_some())
    {
        return Err(unclear(tree, &format!("all {} lie in `{only}`", tree.many)));
    }
    if declared.layout.is_none()
        && let Some((kind, other)) = paired::kinds(&reading.samples, listing)
    {
        let reason = format!("`{kind}` and `{other}` hold files of the same names: one may be about the other, and neither be a class");
        return Err(unclear(tree, &reason));
    }
    let mut layout = Layout { samples: std::mem::take(&mut reading.samples), ..Layout::default() };
    notes.append(&mut reading.notes);
    layout.warnings.append(&mut notes);
    warn_left_out(&others, "outside of the folders that the card names", &mut layout.warnings);
    warn_left_out(&reading.without, "since they lie in no class folder", &mut layout.warnings);
    warn_left_out(&tree.others, &format!("which are not {}", tree.many), &mut layout.warnings);
    let empty = empty_classes(&layout, listing);
    match empty.as_slice() {
        [] => {}
        [class] => layout.warnings.push(format!("class `{class}` has no {} and is left out", tree.many)),
        [first, rest @ ..] => {
            layout.warnings.push(format!("class `{first}` and {} more have no {} and are left out", rest.len(), tree.many))
        }
    }
    Ok(layout)
}

/// Folders that stand among those of the classes and hold no items.
fn empty_classes(layout: &Layout, listing: &Listing) -> Vec<String> {
    let classes: BTreeSet<&str> = layout.samples.iter().map(|sample| sample.text.as_str()).collect();
    let parent = |path: &str, class: &str| match path.strip_prefix(class) {
        Some(rest) if rest.starts_with('/') => Some(String::new()),
        _ => path.find(&format!("/{class}/")).map(|at| path[..at].to_owned()),
    };
    let parents: BTreeSet<String> =
        layout.samples.iter().filter_map(|sample| parent(&listing.entries[sample.entry].path, &sample.text)).collect();
    let named = listing.folders.iter().filter(|folder| !leftovers::is_ignored(folder));
    let split = named.map(|folder| folder.rsplit_once('/').unwrap_or(("", folder)));
    let empty = split.filter(|(parent, name)| parents.contains(*parent) && !classes.contains(name) && Split::parse(name).is_none());
    let names: BTreeSet<&str> = empty.map(|(_, name)| name).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// What the card or the command line says it is, read so.
fn said<'a>(layout: Option<DataLayout>, tree: &Tree<'a>) -> Option<Result<Reading<'a>>> {
    let by_words = |read: fn(Vec<Part<'a>>) -> Reading<'a>| {
        let (parts, others) = folders::parts_by_words(tree);
        let mut reading = read(parts);
        reading.without.extend(others);
        reading
    };
    Some(Ok(match layout? {
        DataLayout::Folders => folders::classes(tree),
        DataLayout::Splits => by_words(folders::classes_in),
        DataLayout::ClassSplits => folders::splits_in_classes(tree),
        DataLayout::Names if folders::parts_by_words(tree).0.is_empty() => folders::classes_in_names(folders::one_part(tree)),
        DataLayout::Names => by_words(folders::classes_in_names),
        DataLayout::Table | DataLayout::Kept | DataLayout::Coco | DataLayout::Voc | DataLayout::Yolo | DataLayout::Masks => return None,
    }))
}

/// The tree below the folders that all items lie in, whatever else lies beside: `images/` with a folder for each class.
fn descend<'a>(tree: &Tree<'a>) -> Tree<'a> {
    let mut inner = Tree { items: tree.items.clone(), others: Vec::new(), ..*tree };
    loop {
        let tops = inner.tops();
        let loose = inner.items.iter().any(|item| !item.path.contains('/'));
        match tops.iter().next() {
            Some((top, held)) if tops.len() == 1 && !loose && held.direct == 0 && Split::parse(top).is_none() => {
                inner.items.iter_mut().for_each(|item| item.path = below(item.path, top).unwrap_or(item.path));
            }
            _ => return inner,
        }
    }
}

/// Folders that mean one thing are read; all others are asked about.
fn recognise<'a>(tree: &Tree<'a>, whole: &Tree<'_>) -> Result<Reading<'a>> {
    let tops = tree.tops();
    let names: Vec<&str> = tops.keys().copied().collect();
    let says = words::judge(&names);
    let listed = |names: &[&str]| names.iter().take(5).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.is_empty() {
        return if tree.items.is_empty() {
            Ok(Reading::default())
        } else {
            Err(unclear(whole, &format!("the {} lie in no folders", whole.many)))
        };
    }
    if says.iter().all(|says| *says != Says::Nothing) {
        return splits(tree, whole, &names, &says);
    }
    let is_split = |says: &Says| matches!(says, Says::Split(_));
    let of_splits: Vec<&str> = names.iter().zip(&says).filter(|(_, says)| is_split(says)).map(|(name, _)| *name).collect();
    let different: BTreeSet<Split> =
        says.iter().filter_map(|says| if let Says::Split(split) = says { Some(*split) } else { None }).collect();
    if different.len() >= 2 || of_splits.iter().any(|name| tops[name].deep > 0) {
        let other = names.iter().find(|name| !of_splits.contains(name)).unwrap_or(&"");
        return Err(unclear(whole, &format!("`{other}` stands beside the split folders {}", listed(&of_splits))));
    }
    let within = |top: &Top<'_>| top.folders.keys().filter_map(|folder| Split::parse(folder)).collect::<BTreeSet<_>>();
    let only_splits =
        |top: &Top<'_>| top.direct == 0 && top.folders.iter().all(|(name, direct)| Split::parse(name).is_some() && *direct > 0);
    let all: BTreeSet<Split> = tops.values().flat_map(within).collect();
    if all.len() >= 2 && tops.values().all(only_splits) && tops.values().all(|top| top.deep == top.folders.values().sum::<usize>()) {
        let mut reading = folders::splits_in_classes(tree);
        reading.notes.push("the top folders were read as classes, the folders in them as splits".into());
        return Ok(reading);
    }
    let within_all = tops.values().all(|top| top.direct == 0 && within(top).len() == top.folders.len());
    if let Some((top, _)) = tops.iter().find(|(_, top)| within(top).len() >= 2 || within_all) {
        return Err(unclear(whole, &format!("`{top}` has split folders in it, and other folders stand beside it or in them")));
    }
    let first: BTreeSet<&str> = tops.values().next().map(|top| top.folders.keys().copied().collect()).unwrap_or_default();
    let same = |top: &Top<'_>| top.direct == 0 && top.folders.len() == first.len() && top.folders.keys().all(|name| first.contains(name));
    if names.len() >= 2 && first.len() >= 2 && tops.values().all(same) {
        let inside: Vec<&str> = first.iter().copied().collect();
        let reason = format!("{} have the same folders {} in them: either could be the classes", listed(&names), listed(&inside));
        return Err(unclear(whole, &reason));
    }
    Ok(folders::classes(tree))
}

/// Every top folder's name is one of a split, or of a kind of files.
fn splits<'a>(tree: &Tree<'a>, whole: &Tree<'_>, names: &[&str], says: &[Says]) -> Result<Reading<'a>> {
    let listed = names.iter().take(5).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if let Some((name, _)) = names.iter().zip(says).find(|(_, says)| **says == Says::SomeSplit) {
        return Err(unclear(whole, &format!("`{name}` names a part of the data, and not what it is for")));
    }
    let mut folders_of: BTreeMap<Split, Vec<&str>> = BTreeMap::new();
    for (name, says) in names.iter().zip(says) {
        if let Says::Split(split) = says {
            folders_of.entry(*split).or_default().push(name);
        }
    }
    if folders_of.is_empty() {
        return Err(unclear(whole, &format!("the names {listed} say what kind of files lies there, and no class")));
    }
    if let Some((split, twice)) = folders_of.iter().find(|(_, names)| names.len() > 1) {
        return Err(unclear(whole, &format!("`{}` and `{}` could both be {split}", twice[0], twice[1])));
    }
    let (parts, others) = folders::parts_by_words(tree);
    let mut reading = folders::classes_in(parts);
    reading.without.extend(others);
    if reading.samples.is_empty() {
        return Err(unclear(whole, &format!("the {} of {listed} lie in no class folders", whole.many)));
    }
    for split in folders_of.keys() {
        let classes: Vec<&str> = reading.classes(*split).into_iter().collect();
        if !classes.is_empty() && words::judge(&classes).iter().all(|says| *says != Says::Nothing) {
            return Err(unclear(whole, &format!("the folders `{}` in {split} are no classes by their names", classes.join("`, `"))));
        }
    }
    let read_as =
        |(split, names): (&Split, &Vec<&str>)| Split::parse(names[0]).is_none().then(|| format!("`{}` was read as {split}", names[0]));
    reading.notes.extend(folders_of.iter().filter_map(read_as));
    Ok(reading)
}

/// The refusal that asks: what was seen, what it looks like, what lies there.
fn unclear(tree: &Tree<'_>, reason: &str) -> Error {
    let mut reason = reason.to_owned();
    if let Some(what) = known::recognise(tree) {
        reason = format!("this looks like {what}; it could not be read so. In it {reason}");
    } else if let Some(hint) = names::hint(tree) {
        reason = format!("{reason}; {hint}");
    }
    if let Some(table) = metadata::unread_table(&tree.others) {
        reason = format!("{reason}; `{table}` may be a table of labels: call it metadata.csv, with the columns `file_name` and `label`");
    }
    Error::LayoutUnclear { reason, found: found::describe(tree) }
}
