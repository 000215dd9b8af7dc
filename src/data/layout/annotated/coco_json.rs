//! COCO's JSON as it is written: lists of images, of categories and of annotations that name both by their ids.

use std::io::{BufReader, Read};

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::data::targets::Outline;

/// One file. What it lacks tells that it is JSON of something else.
#[derive(Debug, Deserialize)]
pub struct File {
    pub images: Option<Vec<Image>>,
    pub annotations: Option<Vec<Annotation>>,
    pub categories: Option<Vec<Category>>,
}

/// Numbers mostly; some tools write texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(untagged)]
pub enum Id {
    Number(i64),
    Text(String),
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Id::Number(number) => write!(f, "{number}"),
            Id::Text(text) => f.write_str(&crate::data::name::shown(text.as_bytes())),
        }
    }
}

#[derive(Debug, Deserialize)]
pub struct Image {
    pub id: Id,
    pub file_name: String,
    pub width: Option<f64>,
    pub height: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub struct Category {
    pub id: Id,
    pub name: String,
}

#[derive(Debug, Deserialize)]
pub struct Annotation {
    pub image_id: Id,
    pub category_id: Option<Id>,
    pub bbox: Option<Vec<f32>>,
    pub area: Option<f32>,
    #[serde(default)]
    pub iscrowd: Flag,
    pub segmentation: Option<Segmentation>,
}

/// 0 and 1, or false and true.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
pub enum Flag {
    Number(f64),
    Truth(bool),
    #[default]
    None,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Segmentation {
    Polygons(Vec<Vec<f32>>),
    /// Sizes are height and width.
    Packed {
        counts: String,
        size: [u32; 2],
    },
    Runs {
        counts: Vec<u32>,
        size: [u32; 2],
    },
    Other(IgnoredAny),
}

impl Flag {
    pub fn is_set(&self) -> bool {
        matches!(self, Flag::Truth(true)) || matches!(self, Flag::Number(number) if *number != 0.0)
    }
}

impl Image {
    pub fn size(&self) -> Option<[u32; 2]> {
        let side = |value: Option<f64>| value.filter(|value| *value >= 1.0 && *value < 1e6).map(|value| value as u32);
        Some([side(self.width)?, side(self.height)?])
    }
}

impl Segmentation {
    /// `None` of what cannot be read; the inner one of an empty list, which says nothing.
    pub fn outline(&self) -> Option<Option<Outline>> {
        match self {
            Segmentation::Polygons(all) if all.is_empty() => Some(None),
            Segmentation::Polygons(all) => {
                let whole =
                    |points: &Vec<f32>| points.len() >= 6 && points.len().is_multiple_of(2) && points.iter().all(|value| value.is_finite());
                all.iter().all(whole).then(|| Some(Outline::Polygons(all.iter().map(|points| points.as_slice().into()).collect())))
            }
            Segmentation::Packed { counts, size: [height, width] } => Outline::packed(counts, [*width, *height]).map(Some),
            Segmentation::Runs { counts, size: [height, width] } => Outline::runs(counts.clone(), [*width, *height]).map(Some),
            Segmentation::Other(_) => None,
        }
    }
}

/// Reads a file as it comes.
///
/// # Errors
/// What is no JSON of this form, with line and column.
pub fn read(bytes: impl Read) -> Result<File, serde_json::Error> {
    serde_json::from_reader(BufReader::with_capacity(1 << 20, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_outline_is_read() {
        let text = r#"{"info": {}, "images": [{"id": 1, "file_name": "a.jpg", "width": 4, "height": 3.0}], "categories": [{"id": "c", "name": "cat"}],
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": "c", "bbox": [0, 1, 2, 3], "segmentation": [[0, 0, 1, 0, 1, 1]], "iscrowd": 0, "area": 1.5},
                {"id": 2, "image_id": 1, "category_id": "c", "bbox": [0, 1, 2, 3], "segmentation": {"counts": [5, 2, 5], "size": [3, 4]}, "iscrowd": true},
                {"id": 3, "image_id": 1, "category_id": "c", "bbox": [0, 1, 2, 3], "segmentation": {"counts": "525", "size": [3, 4]}},
                {"id": 4, "image_id": 1, "category_id": "c", "bbox": [0, 1, 2, 3], "segmentation": {"counts": [1], "size": [3, 4]}, "iscrowd": null},
                {"id": 5, "image_id": 1, "category_id": "c", "bbox": [0, 1, 2, 3], "segmentation": "x"}]}"#;
        let file = read(text.as_bytes()).unwrap();
        let annotations = file.annotations.unwrap();
        assert_eq!(file.images.unwrap()[0].size(), Some([4, 3]));
        let outlines: Vec<_> = annotations.iter().map(|one| one.segmentation.as_ref().and_then(Segmentation::outline)).collect();
        assert!(matches!(outlines[0], Some(Some(Outline::Polygons(_)))));
        let runs = Some(Some(Outline::Runs { lengths: [5, 2, 5].into(), size: [4, 3] }));
        assert_eq!((&outlines[1], &outlines[2]), (&runs, &runs));
        assert_eq!((&outlines[3], &outlines[4]), (&None, &None));
        assert_eq!(annotations.iter().map(|one| one.iscrowd.is_set()).collect::<Vec<_>>(), [false, true, false, false, false]);
        assert!(read(&b"{\"images\": ["[..]).is_err());
    }
}
