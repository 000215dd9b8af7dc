//! Objects of an image as a network sees them: boxes in the pixels of its view.

use std::sync::Arc;

use super::objects::{Object, Objects};
use crate::data::modality::Geometry;

/// An object in a view.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Boxed {
    /// An index into [`super::Targets::Objects`].
    pub class: u32,
    /// Left, top, width and height, in pixels of the view.
    pub bbox: [f32; 4],
    /// Pixels that it covers in the image itself.
    pub area: f32,
    /// Whether what is found in it is neither right nor wrong.
    pub crowd: bool,
}

/// All objects of one view; perhaps none.
#[derive(Debug, Clone, PartialEq)]
pub struct Boxes {
    pub list: Arc<[Boxed]>,
    /// Classes that are there, rising, each once.
    pub kinds: Arc<[u32]>,
    /// Width and height of the view, and of the image that it shows.
    pub view: [u32; 2],
    pub image: [u32; 2],
}

impl Boxes {
    pub fn new(list: Vec<Boxed>, view: [u32; 2], image: [u32; 2]) -> Boxes {
        let mut kinds: Vec<u32> = list.iter().map(|object| object.class).collect();
        kinds.sort_unstable();
        kinds.dedup();
        Boxes { list: list.into(), kinds: kinds.into(), view, image }
    }

    /// The objects of an image in a view that shows all of it, each side brought to the view's by itself.
    pub fn of(objects: &Objects, image: [u32; 2], view: [u32; 2]) -> Boxes {
        let (kept, _) = objects.on(image[0], image[1]);
        let by = [view[0] as f32 / image[0].max(1) as f32, view[1] as f32 / image[1].max(1) as f32];
        let boxed = |object: &Object| {
            let [x, y, w, h] = object.bbox;
            let area = object.area.filter(|area| !objects.relative && *area > 0.0).unwrap_or(w * h);
            Boxed { class: object.class, bbox: [x * by[0], y * by[1], w * by[0], h * by[1]], area, crowd: object.crowd }
        };
        Boxes::new(kept.iter().map(boxed).collect(), view, image)
    }

    /// The same in a view that shows another part of the image, turned around perhaps, which is all there is of it then. These must be those
    /// of a view that shows the whole of it.
    pub fn moved(&self, geometry: &Geometry) -> Boxes {
        let object = |boxed: &Boxed| Object { class: boxed.class, bbox: boxed.bbox, area: None, crowd: boxed.crowd, outline: None };
        let moved = Objects::new(self.list.iter().map(object).collect(), Some(self.view), false).moved(geometry);
        Boxes::of(&moved, self.view, self.view)
    }

    /// The same in a view of another width and height, which is all there is of the image then.
    pub fn at_size(&self, view: [u32; 2]) -> Boxes {
        let by = [0, 1].map(|side| view[side] as f32 / self.view[side].max(1) as f32);
        let boxed = |object: &Boxed| {
            let [x, y, w, h] = object.bbox;
            Boxed { bbox: [x * by[0], y * by[1], w * by[0], h * by[1]], area: object.area * by[0] * by[1], ..*object }
        };
        Boxes::new(self.list.iter().map(boxed).collect(), view, view)
    }

    /// Pixels of the image along each side for one of the view.
    pub fn scale(&self) -> [f32; 2] {
        [0, 1].map(|side| self.image[side] as f32 / self.view[side].max(1) as f32)
    }

    /// How many there are of each class, such as `2 cat, 1 dog`.
    pub fn told(&self, names: &[String]) -> String {
        counted(self.list.iter().map(|object| object.class), names)
    }
}

/// How many there are of each class, in the order of the classes: `2 cat, 1 dog`; `nothing` of none.
pub fn counted(classes: impl Iterator<Item = u32>, names: &[String]) -> String {
    let mut counts = std::collections::BTreeMap::<u32, usize>::new();
    classes.for_each(|class| *counts.entry(class).or_default() += 1);
    let name = |class: u32| names.get(class as usize).map_or_else(|| class.to_string(), Clone::clone);
    let told: Vec<String> = counts.into_iter().map(|(class, count)| format!("{count} {}", name(class))).collect();
    if told.is_empty() { "nothing".into() } else { told.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_go_to_the_view_and_areas_stay_those_of_the_image() {
        let object = |class, bbox, area| Object { class, bbox, area, crowd: class == 1, outline: None };
        let list = vec![object(2, [8.0, 6.0, 16.0, 12.0], None), object(1, [60.0, 40.0, 20.0, 20.0], Some(33.0))];
        let boxes = Boxes::of(&Objects::new(list, None, false), [64, 48], [32, 32]);
        assert_eq!((boxes.list[0].bbox, boxes.list[0].area), ([4.0, 4.0, 8.0, 8.0], 192.0));
        assert_eq!(boxes.list[1].area, 33.0);
        assert!(boxes.list[1].crowd && boxes.list[1].bbox[0] + boxes.list[1].bbox[2] <= 32.0);
        assert_eq!((&boxes.kinds[..], boxes.scale()), (&[1, 2][..], [2.0, 1.5]));
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(boxes.told(&names), "1 b, 1 c");
        assert_eq!(counted(std::iter::empty(), &names), "nothing");
        // The left half, turned around: what is 4 to 12 of 16 there is 4 to 12 of the other side, twice as wide.
        let half = Geometry { window: [0.0, 0.0, 0.5, 1.0], part: [0.0, 0.0, 1.0, 1.0], mirrored: true };
        let moved = boxes.moved(&half);
        assert_eq!((moved.list.len(), moved.list[0].bbox, moved.list[0].area), (1, [8.0, 4.0, 16.0, 8.0], 128.0));
        assert_eq!((moved.view, moved.image), ([32, 32], [32, 32]));
        let larger = moved.at_size([64, 48]);
        assert_eq!((larger.list[0].bbox, larger.list[0].area), ([16.0, 6.0, 32.0, 12.0], 384.0));
        assert_eq!((larger.view, larger.image), ([64, 48], [64, 48]));
        let shares = Objects::new(vec![object(0, [0.25, 0.5, 0.5, 0.5], Some(0.5))], None, true);
        assert_eq!(
            Boxes::of(&shares, [64, 48], [32, 32]).list[0],
            Boxed { class: 0, bbox: [8.0, 16.0, 16.0, 16.0], area: 768.0, crowd: false }
        );
    }
}
