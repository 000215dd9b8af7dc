//! Which columns hold the images and what is to be said about them, by the schema and by the description that the Hugging Face
//! libraries write into a table's metadata.

use parquet::basic::{ConvertedType, Type};
use parquet::file::metadata::ParquetMetaData;
use parquet::schema::types::ColumnDescPtr;
use serde_json::Value;

use crate::data::error::{Error, Result};
use crate::data::targets::Form;
use crate::domain::dataset_layout::Declared;

/// The columns that are read, by the place of their leaf in the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    pub image: usize,
    pub target: usize,
    image_name: String,
    target_name: String,
    /// Of a column of class numbers.
    pub classes: Vec<String>,
    numbers: bool,
    /// Where each row has a list of targets: the levels at which the list itself is there, and at which it has something.
    pub list: Option<(i16, i16)>,
    unread: Vec<String>,
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

/// Finds them.
///
/// # Errors
/// [`Error::NotImages`] where one of them is missing.
pub fn find(metadata: &ParquetMetaData) -> Result<Columns> {
    let features = features(metadata);
    let leaves = leaves(metadata);
    let missing = |reason: &str| Error::NotImages { reason: reason.into() };
    let (image, others) = image_of(&leaves, &features).ok_or_else(|| missing("its tables have no column of images"))?;
    let named = |name: &str| features.get(name).and_then(label_of).is_some();
    let whole = || leaves.iter().filter(|leaf| leaf.field.is_empty() && leaf.column != image.column);
    let by_name = |name: &&str| whole().find(|leaf| leaf.column == **name);
    let labels: Vec<&Leaf> = whole().filter(|leaf| named(&leaf.column)).collect();
    let target = labels.iter().copied().find(|leaf| TARGETS.contains(&leaf.column.as_str())).or(labels.first().copied());
    let target = target.or_else(|| TARGETS.iter().find_map(by_name));
    let target =
        target.ok_or_else(|| missing("its tables have images and no column of labels (`label` or a ClassLabel; `target` for numbers)"))?;
    let classes = features.get(&target.column).and_then(label_of).map(class_names).unwrap_or_default();
    let unread = labels.iter().map(|leaf| leaf.column.clone()).chain(others).filter(|name| *name != target.column).collect();
    let fraction = matches!(target.kind, Type::FLOAT | Type::DOUBLE);
    Ok(Columns {
        image: image.at,
        target: target.at,
        image_name: image.column.clone(),
        target_name: target.column.clone(),
        numbers: classes.is_empty()
            && (fraction || VALUES.contains(&target.column.as_str()) && matches!(target.kind, Type::INT32 | Type::INT64)),
        classes,
        list: target.list,
        unread,
    })
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
    pub fn form(&self, declared: &Declared) -> Form {
        match (self.numbers, self.list.is_some() || declared.multi_label) {
            (true, _) => Form::number(),
            (false, true) => Form::Labels,
            (false, false) if !declared.ordered.is_empty() => Form::Ranked(declared.ordered.clone()),
            (false, false) => Form::default(),
        }
    }

    /// What stands in the tables and is not read.
    pub fn warnings(&self) -> Option<String> {
        let names = self.unread.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let read = (&self.image_name, &self.target_name);
        (!self.unread.is_empty()).then(|| format!("the columns `{}` and `{}` were read, and {names} not", read.0, read.1))
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
        name.map(Some)
            .ok_or_else(|| format!("its column `{}` holds {number}, and {} classes have names", self.target_name, self.classes.len()))
    }
}
