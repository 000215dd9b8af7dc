//! Answers as COCO's tools read results (`pycocotools.COCO.loadRes`): one list with an entry for each box that was found, or for each class of
//! a mask but the first, of all images.
//!
//! ```text
//! {"image_id": 139, "category_id": 1, "bbox": [left, top, width, height], "score": 0.9, "file_name": "000000000139.jpg", "category_name": "cat"}
//! ```
//!
//! `image_id` is the number that the file is called by, as COCO's are, and else its name; `category_id` counts the classes of the model
//! from 1. Images without an answer, or with nothing in them, have no entry.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::writer::Form;
use super::{Said, Shape};
use crate::domain::prediction::{Area, FoundBox};

/// More digits are no number of an image.
const MOST_DIGITS: usize = 15;

pub(super) struct Coco<'a> {
    out: &'a mut (dyn Write + Send),
    any: bool,
}

impl<'a> Coco<'a> {
    pub fn begin(out: &'a mut (dyn Write + Send)) -> io::Result<Coco<'a>> {
        out.write_all(b"[")?;
        Ok(Coco { out, any: false })
    }

    fn put(&mut self, entry: &Value) -> io::Result<()> {
        if std::mem::replace(&mut self.any, true) {
            self.out.write_all(b",\n")?;
        }
        serde_json::to_writer(&mut self.out, entry).map_err(io::Error::from)
    }
}

impl Form for Coco<'_> {
    fn add(&mut self, _shape: &Shape, item: Said) -> io::Result<()> {
        if item.reason().is_some() {
            return Ok(());
        }
        let places = item.content.answer().filter(|answer| answer.boxes().is_some() || answer.mask().is_some());
        let Some(answer) = places else {
            return Err(io::Error::other("this form holds boxes and masks, and the model answers neither; choose another form"));
        };
        let id = image_id(&item.name);
        let boxed = |found: &FoundBox| {
            json!({
                "image_id": id, "category_id": found.index + 1, "bbox": found.bbox, "score": found.score,
                "file_name": item.name, "category_name": found.label,
            })
        };
        let area = |area: &Area| {
            let runs = area.runs.as_ref().filter(|_| area.index > 0)?;
            Some(json!({
                "image_id": id, "category_id": area.index + 1, "segmentation": { "size": runs.size, "counts": runs.counts }, "score": 1.0,
                "file_name": item.name, "category_name": area.label,
            }))
        };
        let boxes = answer.boxes().into_iter().flat_map(|boxes| boxes.found.iter().map(boxed));
        let areas = answer.mask().into_iter().flat_map(|mask| mask.classes.iter().filter_map(area));
        boxes.chain(areas).try_for_each(|entry| self.put(&entry))
    }

    fn finish(self: Box<Self>, _shape: &Shape) -> io::Result<()> {
        self.out.write_all(b"]\n")
    }
}

fn image_id(name: &str) -> Value {
    let file = name.rsplit('/').next().unwrap_or(name);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let digits = (1..=MOST_DIGITS).contains(&stem.len()) && stem.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| stem.parse::<u64>().ok()).flatten().map_or_else(|| Value::from(name), Value::from)
}

#[cfg(test)]
mod tests {
    use super::super::{Answers, Content, Format};
    use super::*;
    use crate::domain::prediction::{Answer, Boxes, Mask, Runs};

    fn found(index: usize, label: &str, bbox: [f32; 4], score: f32) -> FoundBox {
        FoundBox { index, label: label.into(), score, bbox, present: score > 0.5 }
    }

    fn said(name: &str, answer: Answer) -> Said {
        Said { name: name.into(), content: Content::Answer(answer.into()) }
    }

    #[test]
    fn boxes_come_back_from_what_was_written() {
        let first = Boxes {
            width: 64,
            height: 48,
            found: vec![found(1, "dog", [1.5, 2.0, 3.0, 4.25], 0.75), found(0, "cat", [0.0, 0.0, 8.0, 8.0], 0.25)],
        };
        let items = vec![
            said("val/000000000139.jpg", Answer::Boxes(first.clone())),
            said("7.png", Answer::Boxes(Boxes::default())),
            Said::unanswered("8.png", "image_unreadable", "no image"),
            said("b.png", Answer::Boxes(Boxes { found: first.found[..1].to_vec(), ..first.clone() })),
        ];
        let written = Answers { model: "ada/net@1".into(), items }.write(Format::Coco).unwrap();
        let entries: Vec<Value> = serde_json::from_slice(&written).unwrap();
        assert_eq!(entries.iter().map(|entry| entry["image_id"].clone()).collect::<Vec<_>>(), [json!(139), json!(139), json!("b.png")]);
        let back = |entry: &Value| {
            let bbox: [f32; 4] = serde_json::from_value(entry["bbox"].clone()).unwrap();
            found(
                entry["category_id"].as_u64().unwrap() as usize - 1,
                entry["category_name"].as_str().unwrap(),
                bbox,
                entry["score"].as_f64().unwrap() as f32,
            )
        };
        assert_eq!(entries[..2].iter().map(back).collect::<Vec<_>>(), first.found);
        assert_eq!(entries[0]["file_name"], "val/000000000139.jpg");
    }

    #[test]
    fn masks_are_entries_too_and_other_answers_have_no_place() {
        let area = |index, runs| Area { index, label: format!("c{index}"), share: 0.5, objects: None, runs };
        let runs = Runs { size: [2, 4], counts: "04".into() };
        let mask = Mask {
            width: 4,
            height: 2,
            classes: vec![area(0, Some(runs.clone())), area(1, Some(runs)), area(2, None)],
            png: String::new(),
        };
        let written = Answers { model: "m".into(), items: vec![said("12.png", Answer::Mask(mask))] }.write(Format::Coco).unwrap();
        let entries: Vec<Value> = serde_json::from_slice(&written).unwrap();
        assert_eq!((entries.len(), &entries[0]["segmentation"]), (1, &json!({ "size": [2, 4], "counts": "04" })));
        let refused = Answers { model: "m".into(), items: vec![said("a.png", Answer::Classes(Vec::new()))] }.write(Format::Coco);
        assert!(refused.unwrap_err().contains("boxes and masks"));
        assert_eq!(Answers { model: "m".into(), items: vec![] }.write(Format::Coco).unwrap(), b"[]\n");
    }
}
