//! Which columns hold the images and what is to be said about them, by the schema and by the description that the Hugging Face
//! libraries write into a table's metadata.

use parquet::basic::{ConvertedType, Type};
use parquet::file::metadata::ParquetMetaData;
use serde_json::Value;

use crate::data::error::{Error, Result};
use crate::data::targets::COLUMNS;
use crate::domain::task::Task;

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
    unread: Vec<String>,
}

/// Columns that hold a class or a number where no description says so.
const TARGETS: [&str; 5] = ["label", "labels", "class", "category", "target"];
/// The task is to answer numbers where the target is called so.
const VALUES: &str = "target";
const IMAGES: [&str; 6] = ["image", "img", "picture", "photo", "jpg", "png"];

struct Leaf {
    at: usize,
    column: String,
    field: String,
    kind: Type,
    text: bool,
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
    let named = |name: &str| features.get(name).and_then(|feature| feature.get("_type")).and_then(Value::as_str) == Some("ClassLabel");
    let whole = || leaves.iter().filter(|leaf| leaf.field.is_empty() && leaf.column != image.column);
    let by_name = |name: &&str| whole().find(|leaf| leaf.column == **name);
    let labels: Vec<&Leaf> = whole().filter(|leaf| named(&leaf.column)).collect();
    let target = labels.iter().copied().find(|leaf| TARGETS.contains(&leaf.column.as_str())).or(labels.first().copied());
    let target = target.or_else(|| TARGETS.iter().find_map(by_name));
    let target =
        target.ok_or_else(|| missing("its tables have images and no column of labels (`label` or a ClassLabel; `target` for numbers)"))?;
    let classes = if named(&target.column) { class_names(&features[&target.column]) } else { Vec::new() };
    let unread = labels.iter().map(|leaf| leaf.column.clone()).chain(others).filter(|name| *name != target.column).collect();
    let fraction = matches!(target.kind, Type::FLOAT | Type::DOUBLE);
    Ok(Columns {
        image: image.at,
        target: target.at,
        image_name: image.column.clone(),
        target_name: target.column.clone(),
        numbers: classes.is_empty() && (fraction || target.column == VALUES && matches!(target.kind, Type::INT32 | Type::INT64)),
        classes,
        unread,
    })
}

/// The first column of images, the one that is called so before others, and the names of the others.
fn image_of<'a>(leaves: &'a [Leaf], features: &Value) -> Option<(&'a Leaf, Vec<String>)> {
    let is_image = |leaf: &&Leaf| {
        let described = features.get(&leaf.column).map(|feature| feature.get("_type").and_then(Value::as_str) == Some("Image"));
        let bytes = leaf.kind == Type::BYTE_ARRAY && !leaf.text;
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

/// The columns that have one value a row: at the top, or a field of a group there.
fn leaves(metadata: &ParquetMetaData) -> Vec<Leaf> {
    let columns = metadata.file_metadata().schema_descr().columns().iter().enumerate();
    let flat = columns.filter(|(_, column)| column.max_rep_level() == 0 && column.path().parts().len() <= 2);
    flat.map(|(at, column)| {
        let mut parts = column.path().parts().iter().cloned();
        let (column_name, field) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        Leaf { at, column: column_name, field, kind: column.physical_type(), text: column.converted_type() == ConvertedType::UTF8 }
    })
    .collect()
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
    pub fn task(&self) -> Task {
        let column = if self.numbers { VALUES } else { TARGETS[0] };
        COLUMNS.iter().find(|(name, _)| *name == column).map_or_else(Task::default, |(_, task)| *task)
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
