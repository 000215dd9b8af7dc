//! What a model says about places of an image, drawn over it: frames around objects, with the names of their classes, and colours over pixels; as
//! a picture of its own, and as SVG.

use std::fmt::Write;
use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, RgbImage};

use super::decode::{Refusal, decode};
use super::draw;
use super::letters;
use super::thumbnail;
use crate::data::limits::Limits;
use crate::data::modality::Picture;
use crate::data::targets::{Boxes, Labels, Outline, UNSAID};
use crate::domain::prediction::{Answer, FoundBox};

/// Pixels between the truth and the answer beside it.
const GAP: u32 = 4;
/// A frame is this part of the longer side thick, and a pixel at least.
const THIN: u32 = 200;
/// Letters of eight pixels are made larger by how often the longer side has so many pixels.
const SMALL: u32 = 640;

/// An object's frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Framed {
    pub class: u32,
    /// Left, top, width and height, in pixels of the image.
    pub bbox: [f32; 4],
    /// What is written in its corner: a name and a score; perhaps nothing.
    pub words: String,
}

/// What may lie over an image.
#[derive(Debug, Clone, PartialEq)]
pub enum Overlay {
    Boxes(Vec<Framed>),
    /// A class for each pixel; the first is what is left where there is nothing.
    Labels(Labels),
}

impl Overlay {
    /// What is said surely enough of an image of this width and height; `None` of answers that are about no places, or about another image.
    pub fn of(answer: &Answer, (width, height): (u32, u32)) -> Option<Overlay> {
        if let Some(boxes) = answer.boxes() {
            let framed = |found: &FoundBox| Framed {
                class: found.index as u32,
                bbox: found.bbox,
                words: format!("{} {:.2}", found.label, found.score),
            };
            return Some(Overlay::Boxes(boxes.present().map(framed).collect()));
        }
        // Whoever answers may be a stranger's hub.
        let mask = answer.mask().filter(|mask| (mask.width, mask.height) == (width, height))?;
        let mut values = vec![0u8; width as usize * height as usize];
        for area in mask.classes.iter().filter(|area| (1..=254).contains(&area.index)) {
            let Some(runs) = &area.runs else { continue };
            let raster = Outline::packed(&runs.counts, [runs.size[1], runs.size[0]])?.raster(width, height);
            values.iter_mut().zip(raster).filter(|(_, on)| *on).for_each(|(value, _)| *value = area.index as u8);
        }
        Some(Overlay::Labels(Labels { width, height, values }))
    }

    /// The objects of a view, in pixels of its image.
    pub fn of_boxes(boxes: &Boxes) -> Overlay {
        let [across, down] = boxes.scale();
        let placed = |bbox: [f32; 4]| [bbox[0] * across, bbox[1] * down, bbox[2] * across, bbox[3] * down];
        Overlay::frames(boxes.list.iter().map(|object| (object.class, placed(object.bbox))))
    }

    /// Frames without words around objects, each told by its class and its box.
    pub fn frames(objects: impl Iterator<Item = (u32, [f32; 4])>) -> Overlay {
        Overlay::Boxes(objects.map(|(class, bbox)| Framed { class, bbox, words: String::new() }).collect())
    }

    fn draw(&self, image: &mut RgbImage) {
        let (width, height) = image.dimensions();
        match self {
            Overlay::Boxes(boxes) => {
                let thick = (width.max(height) / THIN).max(1);
                boxes.iter().for_each(|framed| draw::frame(image, framed.bbox, framed.class, thick));
                // Words last: no frame goes through them, and the surest stand above the others.
                for framed in boxes.iter().rev().filter(|framed| !framed.words.is_empty()) {
                    let corner = [framed.bbox[0], framed.bbox[1]].map(|side| side.round().max(0.0) as u32);
                    letters::write(image, &framed.words, corner, (width.max(height) / SMALL).max(1), draw::colour(framed.class));
                }
            }
            Overlay::Labels(labels) => {
                // Those of a view, brought to the image by the nearest pixel.
                let place = |at: usize, to: u32, from: u32| (at as u64 * u64::from(from) / u64::from(to.max(1))) as usize;
                draw::tint(image, |at| {
                    let (x, y) = (at % width as usize, at / width as usize);
                    let place = place(y, height, labels.height) * labels.width as usize + place(x, width, labels.width);
                    labels.values.get(place).copied().filter(|value| !(*value == 0 || *value == UNSAID)).map(u32::from)
                });
            }
        }
    }
}

/// An image with what is said about it drawn over it, as PNG of its own size; `None` of answers that are about no places.
///
/// # Errors
/// The image cannot be read.
pub fn drawn(item: &[u8], answer: &Answer, limits: &Limits) -> Result<Option<Vec<u8>>, Refusal> {
    let mut image = decode(item, limits)?;
    let Some(overlay) = Overlay::of(answer, image.dimensions()) else { return Ok(None) };
    overlay.draw(&mut image);
    png(&image).map(Some)
}

/// The same as SVG of the image's size with the name and the score of each object; the picture in it has a longer side of `side` at most.
///
/// # Errors
/// The image cannot be read.
pub fn svg(item: &[u8], answer: &Answer, limits: &Limits, side: u32) -> Result<Option<String>, Refusal> {
    let mut image = decode(item, limits)?;
    let (width, height) = image.dimensions();
    let Some(overlay) = Overlay::of(answer, (width, height)) else { return Ok(None) };
    if answer.boxes().is_none() {
        overlay.draw(&mut image);
    }
    let picture = thumbnail::of_image(&image, side)?;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" role=\"img\" aria-label=\"The picture with what was found\">\n\
         <image href=\"data:{};base64,{}\" width=\"{width}\" height=\"{height}\"/>\n",
        picture.media_type,
        STANDARD.encode(&picture.bytes)
    );
    let size = (f64::from(width.max(height)) / 50.0).max(8.0);
    for found in answer.boxes().into_iter().flat_map(|boxes| boxes.present()) {
        let FoundBox { label, score, bbox: [x, y, w, h], index, .. } = found;
        let (colour, below) = (draw::hex(*index as u32), f64::from(*y) + size);
        let _ = writeln!(
            text,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{:.1}\"/>\
             <text x=\"{:.1}\" y=\"{below:.1}\" font-size=\"{size:.1}\" fill=\"{colour}\" stroke=\"#000\" stroke-width=\"3\" paint-order=\"stroke\">{} {score:.2}</text>",
            size / 8.0,
            f64::from(*x) + size / 4.0,
            escaped(label)
        );
    }
    text += "</svg>\n";
    Ok(Some(text))
}

/// The truth and the answer side by side, small: each side at most so long. `None` where the image cannot be read.
pub fn beside(item: &[u8], truth: &Overlay, answer: &Overlay, side: u32, limits: &Limits) -> Option<Picture> {
    let image = decode(item, limits).ok()?;
    let (width, height) = image.dimensions();
    let mut both = RgbImage::from_pixel(width.checked_mul(2)?.checked_add(GAP)?, height, image::Rgb([255; 3]));
    for (overlay, left) in [(truth, 0), (answer, width + GAP)] {
        let mut own = image.clone();
        overlay.draw(&mut own);
        image::imageops::replace(&mut both, &own, i64::from(left), 0);
    }
    thumbnail::of_image(&both, side.saturating_mul(2)).ok()
}

fn png(image: &RgbImage) -> Result<Vec<u8>, Refusal> {
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, ImageFormat::Png).map_err(|e| Refusal(format!("it cannot be drawn on ({e})")))?;
    Ok(out.into_inner())
}

/// Names of classes are other people's.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::prediction::{Area, Boxes as Said, Mask, Runs};

    fn item() -> Vec<u8> {
        png(&RgbImage::from_pixel(16, 8, image::Rgb([9, 9, 9]))).unwrap()
    }

    fn boxes() -> Answer {
        let found = |label: &str, present| FoundBox { index: 1, label: label.into(), score: 0.875, bbox: [2.0, 1.0, 6.0, 5.0], present };
        Answer::Boxes(Said {
            width: 16,
            height: 8,
            found: vec![found("<b>&c", true), FoundBox { bbox: [10.0, 1.0, 3.0, 3.0], ..found("no", false) }],
        })
    }

    #[test]
    fn what_is_sure_is_drawn_and_named() {
        let limits = Limits::default();
        // Of an image as small as this one words would cover everything.
        let mut image = decode(&item(), &limits).unwrap();
        Overlay::frames(std::iter::once((1, [2.0, 1.0, 6.0, 5.0]))).draw(&mut image);
        assert_eq!((image.get_pixel(2, 1).0, image.get_pixel(4, 3).0, image.get_pixel(10, 1).0), (draw::colour(1), [9; 3], [9; 3]));
        let large = png(&RgbImage::from_pixel(200, 100, image::Rgb([9, 9, 9]))).unwrap();
        let Answer::Boxes(said) = boxes() else { panic!("boxes") };
        let found: Vec<FoundBox> =
            said.found.iter().map(|found| FoundBox { bbox: found.bbox.map(|side| 10.0 * side), ..found.clone() }).collect();
        let said = Answer::Boxes(Said { width: 200, height: 100, found });
        let image = decode(&drawn(&large, &said, &limits).unwrap().unwrap(), &limits).unwrap();
        let grounds = (21..79).filter(|x| image.get_pixel(*x, 13).0 != [9; 3]).count();
        assert!(grounds == 58 && image.get_pixel(40, 40).0 == [9; 3] && image.get_pixel(105, 13).0 == [9; 3], "{grounds}");
        let text = svg(&item(), &boxes(), &limits, 64).unwrap().unwrap();
        assert!(text.contains("&lt;b&gt;&amp;c 0.88") && text.matches("<rect").count() == 1 && text.contains(&draw::hex(1)), "{text}");
        assert_eq!(drawn(&item(), &Answer::Classes(vec![]), &limits).unwrap(), None);
        assert!(drawn(b"x", &boxes(), &limits).is_err());
    }

    #[test]
    fn masks_lie_over_their_pixels() {
        let limits = Limits::default();
        let labels = Labels { width: 16, height: 8, values: (0..128).map(|at| u8::from(at % 16 >= 8)).collect() };
        let runs = |class: u8| Outline::of_class(&labels, class).letters().map(|counts| Runs { size: [8, 16], counts });
        let area = |index: usize| Area { index, label: index.to_string(), share: 0.5, objects: None, runs: runs(index as u8) };
        let answer = Answer::Mask(Mask { width: 16, height: 8, classes: vec![area(0), area(1)], png: String::new() });
        assert_eq!(Overlay::of(&answer, (16, 8)), Some(Overlay::Labels(labels)));
        assert_eq!(Overlay::of(&answer, (16, 9)), None, "of another image");
        let image = decode(&drawn(&item(), &answer, &limits).unwrap().unwrap(), &limits).unwrap();
        assert!(image.get_pixel(1, 1).0 == [9; 3] && image.get_pixel(9, 1).0 != [9; 3]);
        assert!(svg(&item(), &answer, &limits, 64).unwrap().unwrap().contains("<image"));
    }

    #[test]
    fn truth_and_answer_stand_side_by_side() {
        let truth = Overlay::frames(std::iter::once((0, [0.0, 0.0, 4.0, 4.0])));
        let both = beside(&item(), &truth, &Overlay::Boxes(vec![]), 64, &Limits::default()).unwrap();
        assert_eq!((both.width, both.height), (16 * 2 + GAP, 8));
        let image = decode(&both.bytes, &Limits::default()).unwrap();
        assert_eq!((image.get_pixel(0, 0).0, image.get_pixel(16 + GAP, 0).0), (draw::colour(0), [9; 3]));
        assert!(beside(b"x", &truth, &truth, 64, &Limits::default()).is_none());
    }
}
