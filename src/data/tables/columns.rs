//! Which columns hold the images or texts and what is to be said about them, by the schema and by the description that the Hugging
//! Face libraries write into a table's metadata.

use parquet::basic::{ConvertedType, Type};
use parquet::file::metadata::ParquetMetaData;
use parquet::schema::types::ColumnDescPtr;
use serde_json::Value;

use crate::data::error::{Error, Result};
use crate::data::metadata::column_name;
use crate::data::records;
use crate::data::records::columns::{Chosen, Wanted};
use crate::data::targets::Form;
use crate::domain::dataset_layout::Declared;

/// The columns that are read, by the places of their leaves in the schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    /// That of the images, or of the texts, or the two of a pair.
    pub items: Vec<usize>,
    pub targets: Vec<TargetColumn>,
    /// Of tables of texts: how their columns were chosen.
    pub texts: Option<Chosen>,
    item_name: String,
    numbers: bool,
    unread: Vec<String>,
}

/// A column with what is to be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetColumn {
    pub at: usize,
    name: String,
    /// Of class numbers.
    classes: Vec<String>,
    /// Where each row has a list of targets: the levels at which the list itself is there, and at which it has something.
    pub list: Option<(i16, i16)>,
}

/// Columns that hold a class or a number where no description says so.
const TARGETS: [&str; 6] = ["label", "labels", "class", "category", "target", "targets"];
/// The task is to answer numbers where the target is called so.
const VALUES: [&str; 2] = ["target", "targets"];
const IMAGES: [&str; 6] = ["image", "img", "picture", "photo", "jpg", "png"];

struct Leaf {
    at: usize,
    column: String,
    field: String,
    kind: Type,
    text: bool,
    list: Option<(i16, i16)>,
}

/// Finds them: images before texts, unless the card names columns of texts.
///
/// # Errors
/// [`Error::NotImages`] where one of them is missing.
pub fn find(metadata: &ParquetMetaData, declared: &Declared) -> Result<Columns> {
    let features = features(metadata);
    let leaves = leaves(metadata);
    match image_of(&leaves, &features).filter(|_| declared.texts.is_empty()) {
        Some((image, others)) => of_images(&leaves, &features, image, others),
        None => of_texts(&leaves, &features, declared).map_err(|reason| {
            let images = if declared.texts.is_empty() {
                "its tables have no column of images, and as one of texts each"
            } else {
                "each of its tables"
            };
            Error::NotImages { reason: format!("{images} {reason}") }
        }),
    }
}

fn of_images(leaves: &[Leaf], features: &Value, image: &Leaf, others: Vec<String>) -> Result<Columns> {
    let missing = |reason: &str| Error::NotImages { reason: reason.into() };
    let named = |name: &str| features.get(name).and_then(label_of).is_some();
    let whole = || leaves.iter().filter(|leaf| leaf.field.is_empty() && leaf.column != image.column);
    let by_name = |name: &&str| whole().find(|leaf| leaf.column == **name);
    let labels: Vec<&Leaf> = whole().filter(|leaf| named(&leaf.column)).collect();
    let target = labels.iter().copied().find(|leaf| TARGETS.contains(&leaf.column.as_str())).or(labels.first().copied());
    let target = target.or_else(|| TARGETS.iter().find_map(by_name));
    let target =
        target.ok_or_else(|| missing("its tables have images and no column of labels (`label` or a ClassLabel; `target` for numbers)"))?;
    let unread = labels.iter().map(|leaf| leaf.column.clone()).chain(others).filter(|name| *name != target.column).collect();
    let column = TargetColumn::of(target, features);
    let fraction = matches!(target.kind, Type::FLOAT | Type::DOUBLE);
    Ok(Columns {
        items: vec![image.at],
        texts: None,
        item_name: image.column.clone(),
        numbers: column.classes.is_empty()
            && (fraction || VALUES.contains(&target.column.as_str()) && matches!(target.kind, Type::INT32 | Type::INT64)),
        targets: vec![column],
        unread,
    })
}

/// Columns of texts are chosen as those of any table; a `ClassLabel` is the label where no name tells.
fn of_texts(leaves: &[Leaf], features: &Value, declared: &Declared) -> std::result::Result<Columns, String> {
    let whole = || leaves.iter().filter(|leaf| leaf.field.is_empty());
    let names: Vec<String> = whole().map(|leaf| column_name(&leaf.column)).collect();
    let described = whole().find(|leaf| features.get(&leaf.column).and_then(label_of).is_some());
    let chosen = records::columns::choose(&names, declared).or_else(|reason| match described {
        Some(label) if declared.targets.is_empty() => {
            let said = Declared { targets: vec![label.column.clone()], ..declared.clone() };
            records::columns::choose(&names, &said).map_err(|_| reason)
        }
        _ => Err(reason),
    })?;
    let leaf = |name: &String| whole().find(|leaf| column_name(&leaf.column) == *name).ok_or_else(|| format!("has no column `{name}`"));
    if chosen.is_of_words() {
        return of_words(chosen, leaf, features);
    }
    let mut items = Vec::new();
    for name in &chosen.texts {
        let found = leaf(name)?;
        if found.kind != Type::BYTE_ARRAY || found.list.is_some() {
            return Err(format!("has no texts in its column `{name}`"));
        }
        items.push(found.at);
    }
    let targets = chosen
        .targets
        .iter()
        .map(|name| leaf(name).map(|leaf| TargetColumn::of(leaf, features)))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(Columns { items, targets, item_name: chosen.texts.join("`, `"), texts: Some(chosen), numbers: false, unread: Vec::new() })
}

/// Lists of words and lists of their tags, both among the targets.
fn of_words<'a>(
    chosen: Chosen,
    leaf: impl Fn(&String) -> std::result::Result<&'a Leaf, String>,
    features: &Value,
) -> std::result::Result<Columns, String> {
    let mut targets = Vec::new();
    for name in chosen.texts.iter().chain(&chosen.targets) {
        let found = leaf(name)?;
        if found.list.is_none() {
            return Err(format!("has no lists in its column `{name}`"));
        }
        targets.push(TargetColumn::of(found, features));
    }
    let item_name = chosen.texts.join("`, `");
    Ok(Columns { items: Vec::new(), targets, item_name, texts: Some(chosen), numbers: false, unread: Vec::new() })
}

/// The first column of images, the one that is called so before others, and the names of the others.
fn image_of<'a>(leaves: &'a [Leaf], features: &Value) -> Option<(&'a Leaf, Vec<String>)> {
    let is_image = |leaf: &&Leaf| {
        let described = features.get(&leaf.column).map(|feature| feature.get("_type").and_then(Value::as_str) == Some("Image"));
        let bytes = leaf.kind == Type::BYTE_ARRAY && !leaf.text && leaf.list.is_none();
        bytes
            && match (leaf.field.as_str(), described) {
                ("bytes" | "", Some(described)) => described,
                ("bytes", None) => true,
                ("", None) => IMAGES.contains(&leaf.column.to_lowercase().as_str()),
                _ => false,
            }
    };
    let images: Vec<&Leaf> = leaves.iter().filter(is_image).collect();
    let chosen = images.iter().copied().find(|leaf| IMAGES.contains(&leaf.column.as_str())).or(images.first().copied())?;
    let others = images.iter().filter(|leaf| leaf.at != chosen.at).map(|leaf| leaf.column.clone()).collect();
    Some((chosen, others))
}

/// What a `ClassLabel` says, of a column of them or of lists of them; in every form in which the libraries have written lists.
fn label_of(feature: &Value) -> Option<&Value> {
    let inner = match feature {
        Value::Array(of) => of.first(),
        _ => feature.get("feature"),
    };
    [Some(feature), inner].into_iter().flatten().find(|one| one.get("_type").and_then(Value::as_str) == Some("ClassLabel"))
}

/// The columns that have one value a row, at the top or a field of a group there; and the lists of such values at the top.
fn leaves(metadata: &ParquetMetaData) -> Vec<Leaf> {
    let columns = metadata.file_metadata().schema_descr().columns().iter().enumerate();
    let leaf = |(at, column): (usize, &ColumnDescPtr)| {
        let parts = column.path().parts();
        let deepest = column.max_def_level();
        // `labels.list.element`: the level below the last is that of an element that is null, the one below of an empty list.
        let (field, list) = match (column.max_rep_level(), parts) {
            (0, [_]) => (String::new(), None),
            (0, [_, field]) => (field.clone(), None),
            (1, [_, _, _]) => {
                let optional = column.self_type().is_optional();
                (String::new(), Some((deepest - 1 - i16::from(optional), deepest)))
            }
            _ => return None,
        };
        let text = column.converted_type() == ConvertedType::UTF8;
        Some(Leaf { at, column: parts[0].clone(), field, kind: column.physical_type(), text, list })
    };
    columns.filter_map(leaf).collect()
}

fn features(metadata: &ParquetMetaData) -> Value {
    let pairs = metadata.file_metadata().key_value_metadata();
    let text = pairs.into_iter().flatten().find(|pair| pair.key == "huggingface").and_then(|pair| pair.value.as_deref());
    let value: Value = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    value.pointer("/info/features").cloned().unwrap_or_default()
}

fn class_names(feature: &Value) -> Vec<String> {
    let names = feature.get("names").and_then(Value::as_array).into_iter().flatten();
    names.map(|name| name.as_str().map_or_else(|| name.to_string(), str::to_owned)).collect()
}

impl Columns {
    /// How the targets of images are read.
    pub fn form(&self, declared: &Declared) -> Form {
        let listed = self.targets.iter().any(|column| column.list.is_some());
        match (self.numbers, listed || declared.multi_label) {
            (true, _) => Form::number(),
            (false, true) => Form::Labels,
            (false, false) if !declared.ordered.is_empty() => Form::Ranked(declared.ordered.clone()),
            (false, false) => declared.good.clone().map_or_else(Form::default, Form::Anomalies),
        }
    }

    /// How those of texts are; classes with names are classes, also where these are numbers.
    pub fn wanted(&self) -> Wanted {
        let Some(chosen) = &self.texts else { return Wanted::Either };
        match (self.targets.as_slice(), &chosen.wanted) {
            ([column], Wanted::Either | Wanted::Perhaps) if !column.classes.is_empty() => match column.list {
                Some(_) => Wanted::Form(Form::Labels),
                None => Wanted::Form(Form::default()),
            },
            (_, wanted) => wanted.clone(),
        }
    }

    /// Whether rows are lists of words and of their tags.
    pub fn is_of_words(&self) -> bool {
        self.texts.as_ref().is_some_and(Chosen::is_of_words)
    }

    /// What stands in the tables and is not read.
    pub fn warnings(&self) -> Option<String> {
        if let Some(chosen) = &self.texts {
            return chosen.note.clone();
        }
        let names = self.unread.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let target = self.targets.first().map_or("", |column| &column.name);
        (!self.unread.is_empty()).then(|| format!("the columns `{}` and `{target}` were read, and {names} not", self.item_name))
    }
}

impl TargetColumn {
    fn of(leaf: &Leaf, features: &Value) -> TargetColumn {
        let classes = features.get(&leaf.column).and_then(label_of).map(class_names).unwrap_or_default();
        TargetColumn { at: leaf.at, name: leaf.column.clone(), classes, list: leaf.list }
    }

    /// A class number as its name, where it has one; one below zero says that there is no class.
    ///
    /// # Errors
    /// The number has no name.
    pub fn class(&self, number: i64) -> std::result::Result<Option<String>, String> {
        if self.classes.is_empty() {
            return Ok(Some(number.to_string()));
        }
        let Ok(at) = usize::try_from(number) else { return Ok(None) };
        let name = self.classes.get(at).cloned();
        name.map(Some).ok_or_else(|| format!("its column `{}` holds {number}, and {} classes have names", self.name, self.classes.len()))
    }
}
