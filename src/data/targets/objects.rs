//! Objects of an image: of each its class, a box around it and, where there is one, its outline.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::outline::Outline;

/// Where an object is and what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// An index into [`super::Targets::Objects`].
    pub class: u32,
    /// Left, top, width and height; in pixels, or in shares of the image's sides where [`Objects::relative`] says so.
    pub bbox: [f32; 4],
    /// Pixels that it covers, where that is told and is not all of the box.
    pub area: Option<f32>,
    /// Whether it stands for several that are not told apart, or was marked as difficult: what is found in it is neither right nor wrong.
    pub crowd: bool,
    /// In the units of the box.
    pub outline: Option<Outline>,
}

/// All objects of one image; perhaps none.
#[derive(Debug, Clone, PartialEq)]
pub struct Objects {
    pub list: Arc<[Object]>,
    /// Classes that are there, rising, each once.
    pub kinds: Arc<[u32]>,
    /// Width and height of the image, as its annotations have them.
    pub size: Option<[u32; 2]>,
    /// Whether places are shares of the image's sides.
    pub relative: bool,
}

/// What is wrong with a box on the image that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misplaced {
    /// It reaches over the edge, and ends there now.
    Clipped,
    /// Nothing of it lies in the image.
    Outside,
    /// It has no width or no height.
    Empty,
}

/// How far a box may reach over the edge without being told: what rounding leaves, as a share of the side.
const ROUNDING: f32 = 1e-3;

impl Objects {
    pub fn new(list: Vec<Object>, size: Option<[u32; 2]>, relative: bool) -> Objects {
        let mut kinds: Vec<u32> = list.iter().map(|object| object.class).collect();
        kinds.sort_unstable();
        kinds.dedup();
        Objects { list: list.into(), kinds: kinds.into(), size, relative }
    }

    /// On an image of this width and height, in its pixels: the objects that can be used, their boxes cut at its edges; and what was
    /// wrong with which of [`Self::list`].
    pub fn on(&self, width: u32, height: u32) -> (Vec<Object>, Vec<(usize, Misplaced)>) {
        let sides = [width as f32, height as f32];
        let by = if self.relative { sides } else { [1.0; 2] };
        let (mut kept, mut wrong) = (Vec::new(), Vec::new());
        for (at, object) in self.list.iter().enumerate() {
            let [x, y, w, h] = object.bbox;
            let whole = [x * by[0], y * by[1], w * by[0], h * by[1]];
            match placed(whole, sides) {
                Ok((bbox, clipped)) => {
                    wrong.extend(clipped.then_some((at, Misplaced::Clipped)));
                    let outline = object.outline.as_ref().map(|outline| outline.scaled(by));
                    kept.push(Object { bbox, outline, ..object.clone() });
                }
                Err(why) => wrong.push((at, why)),
            }
        }
        (kept, wrong)
    }

    /// How many there are of each class, such as `2 cat, 1 dog`.
    pub fn told(&self, names: &[String]) -> String {
        if self.list.is_empty() {
            return "nothing".into();
        }
        let count = |kind: &u32| self.list.iter().filter(|object| object.class == *kind).count();
        let name = |kind: &u32| names.get(*kind as usize).map_or_else(|| kind.to_string(), Clone::clone);
        self.kinds.iter().map(|kind| format!("{} {}", count(kind), name(kind))).collect::<Vec<_>>().join(", ")
    }

    /// Names what is said, in any order.
    pub fn digest(&self, names: &[String]) -> String {
        let name = |class: u32| names.get(class as usize).cloned().unwrap_or_default();
        let line = |o: &Object| format!("{} {:?} {} {:?} {}", name(o.class), o.bbox, o.crowd, o.outline, self.relative);
        let mut lines: Vec<String> = self.list.iter().map(line).collect();
        lines.sort();
        hex::encode(&Sha256::digest(lines.join("\n"))[..8])
    }
}

/// A box cut at the edges of an image, and whether something of it was cut off.
fn placed([x, y, w, h]: [f32; 4], [width, height]: [f32; 2]) -> Result<([f32; 4], bool), Misplaced> {
    // Also of what is no number.
    if !(w > 0.0 && h > 0.0 && x.is_finite() && y.is_finite() && w.is_finite() && h.is_finite()) {
        return Err(Misplaced::Empty);
    }
    let (left, top, right, bottom) = (x.max(0.0), y.max(0.0), (x + w).min(width), (y + h).min(height));
    if right <= left || bottom <= top {
        return Err(Misplaced::Outside);
    }
    let over = |by: f32, side: f32| by > ROUNDING * side;
    let clipped = over(-x, width) || over(-y, height) || over(x + w - width, width) || over(y + h - height, height);
    Ok(([left, top, right - left, bottom - top], clipped))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(class: u32, bbox: [f32; 4]) -> Object {
        Object { class, bbox, area: None, crowd: false, outline: None }
    }

    #[test]
    fn boxes_are_cut_at_the_edges_and_what_is_wrong_is_told() {
        let boxes = [[2.0, 3.0, 4.0, 5.0], [-2.0, 3.0, 4.0, 5.0], [30.0, 1.0, 4.0, 4.0], [1.0, 1.0, 0.0, 4.0], [1.0, 1.0, f32::NAN, 4.0]];
        let objects = Objects::new(boxes.map(|bbox| object(1, bbox)).into(), None, false);
        let (kept, wrong) = objects.on(20, 10);
        assert_eq!(kept.iter().map(|object| object.bbox).collect::<Vec<_>>(), [[2.0, 3.0, 4.0, 5.0], [0.0, 3.0, 2.0, 5.0]]);
        let told = [(1, Misplaced::Clipped), (2, Misplaced::Outside), (3, Misplaced::Empty), (4, Misplaced::Empty)];
        assert_eq!(wrong, told);
        let shares = Objects::new(vec![object(0, [0.25, 0.5, 0.5, 0.5])], None, true);
        assert_eq!(shares.on(20, 10).0[0].bbox, [5.0, 5.0, 10.0, 5.0]);
    }

    #[test]
    fn a_digest_names_what_is_said_in_any_order() {
        let names = ["cat".to_owned(), "dog".to_owned()];
        let [a, b] = [object(0, [1.0, 2.0, 3.0, 4.0]), object(1, [5.0, 6.0, 7.0, 8.0])];
        let of = |list: Vec<Object>| Objects::new(list, None, false);
        assert_eq!(of(vec![a.clone(), b.clone()]).digest(&names), of(vec![b.clone(), a.clone()]).digest(&names));
        assert_ne!(of(vec![a.clone()]).digest(&names), of(vec![b.clone()]).digest(&names));
        assert_eq!((of(vec![b.clone(), a, b]).told(&names), of(vec![]).told(&names)), ("1 cat, 2 dog".to_owned(), "nothing".to_owned()));
    }
}
