//! Targets of places moved along with their pixels: into a random view, as its [geometry](Geometry) says.

use super::Target;
use super::boxes::Boxes;
use super::cells::Cells;
use super::mask::{Labels, UNSAID};
use super::objects::{Object, Objects};
use crate::data::modality::Geometry;

/// A box of which less than this share of its area is seen in a view is not asked for there, by judgement: what little is left of an object
/// seldom tells what it is.
const SEEN: f64 = 0.25;

impl Target {
    /// Whether it is about places of an item, which move with its views.
    pub fn is_of_places(&self) -> bool {
        matches!(self, Target::Mask(_) | Target::Cells(_) | Target::Objects(_) | Target::Boxes(_))
    }

    /// The same in a view of the item. Cells must be those of a plain view that shows the whole item.
    pub fn moved(&self, geometry: &Geometry) -> Target {
        match self {
            Target::Cells(cells) => Target::Cells(cells.moved(geometry)),
            Target::Objects(objects) => Target::Objects(objects.moved(geometry)),
            Target::Boxes(boxes) => Target::Boxes(boxes.moved(geometry)),
            other => other.clone(),
        }
    }

    /// Of a view that shows parts of several items: what is said of each of them, moved to where it lies. All are of one kind; where that is not
    /// about places, the first stays.
    pub fn joined(parts: &[(&Target, Geometry)]) -> Target {
        let moved: Vec<(Target, [f64; 4])> = parts.iter().map(|(target, geometry)| (target.moved(geometry), geometry.shown())).collect();
        match moved.first() {
            Some((Target::Boxes(first), _)) => {
                let of =
                    |(target, _): &(Target, [f64; 4])| if let Target::Boxes(boxes) = target { boxes.list.to_vec() } else { Vec::new() };
                Target::Boxes(Boxes::new(moved.iter().flat_map(of).collect(), first.view, first.image))
            }
            Some((Target::Cells(_), _)) => {
                let of = |(target, part): &(Target, [f64; 4])| {
                    if let Target::Cells(cells) = target { Some((cells.clone(), *part)) } else { None }
                };
                Cells::tiled(&moved.iter().filter_map(of).collect::<Vec<_>>()).map_or(Target::Unknown, Target::Cells)
            }
            Some((other, _)) => other.clone(),
            None => Target::Unknown,
        }
    }

    /// The same in a view of this width and height, which shows what the one before did; only boxes know of another.
    pub fn at_size(self, view: [u32; 2]) -> Target {
        match self {
            Target::Boxes(boxes) if boxes.view != view => Target::Boxes(boxes.at_size(view)),
            other => other,
        }
    }
}

impl Cells {
    /// The class of the nearest pixel for each of the view's; nothing is said of what lies outside of the item.
    pub fn moved(&self, geometry: &Geometry) -> Cells {
        let pixels = &self.pixels;
        let (width, height) = (pixels.width as usize, pixels.height as usize);
        let mut values = Vec::with_capacity(width * height);
        for row in 0..height {
            for column in 0..width {
                let [x, y] = geometry.to_item([(column as f64 + 0.5) / width as f64, (row as f64 + 0.5) / height as f64]);
                let inside = (0.0..1.0).contains(&x) && (0.0..1.0).contains(&y);
                let place = (y * height as f64) as usize * width + (x * width as f64) as usize;
                values.push(if inside { pixels.values[place] } else { UNSAID });
            }
        }
        let labels = Labels { width: pixels.width, height: pixels.height, values };
        // How many objects are left is not known.
        Cells::of(&labels, (pixels.width, pixels.height), height.div_ceil(self.rows.max(1)))
    }

    /// Of views of one size, each the part (left, top, width and height in shares of the sides) that it has in one that shows all of them; nothing
    /// is said of what lies in none. `None` of none.
    fn tiled(parts: &[(Cells, [f64; 4])]) -> Option<Cells> {
        let (first, _) = parts.first()?;
        let (width, height) = (first.pixels.width as usize, first.pixels.height as usize);
        let mut values = vec![UNSAID; width * height];
        for (cells, [left, top, across, along]) in parts {
            let inside = |at: f64, from: f64, length: f64| (from..from + length).contains(&at);
            for (at, (to, from)) in values.iter_mut().zip(&cells.pixels.values).enumerate() {
                let (x, y) = (((at % width) as f64 + 0.5) / width as f64, ((at / width) as f64 + 0.5) / height as f64);
                if inside(x, *left, *across) && inside(y, *top, *along) {
                    *to = *from;
                }
            }
        }
        let labels = Labels { width: first.pixels.width, height: first.pixels.height, values };
        Some(Cells::of(&labels, (labels.width, labels.height), height.div_ceil(first.rows.max(1))))
    }
}

impl Objects {
    /// Boxes in shares of the view's sides, cut at its edges, without those of which little is seen. Outlines are left out. Boxes in pixels of
    /// an image whose size is not told stay as they are.
    pub fn moved(&self, geometry: &Geometry) -> Objects {
        let by = match (self.relative, self.size) {
            (true, _) => [1.0; 2],
            (false, Some([width, height])) if width > 0 && height > 0 => [1.0 / f64::from(width), 1.0 / f64::from(height)],
            _ => return self.clone(),
        };
        let one = |object: &Object| {
            let [x, y, w, h] = object.bbox.map(f64::from);
            let [a, b] = geometry.to_view([x * by[0], y * by[1]]);
            let [c, d] = geometry.to_view([(x + w) * by[0], (y + h) * by[1]]);
            let (left, right, top, bottom) = (a.min(c), a.max(c), b.min(d), b.max(d));
            let [first, above, across, along] = geometry.shown();
            let (l, r) = (left.max(first), right.min(first + across));
            let (t, e) = (top.max(above), bottom.min(above + along));
            let (whole, seen) = ((right - left) * (bottom - top), (r - l).max(0.0) * (e - t).max(0.0));
            let kept = seen > 0.0 && (object.crowd || seen >= SEEN * whole);
            let bbox = [l as f32, t as f32, (r - l) as f32, (e - t) as f32];
            kept.then(|| Object { bbox, area: None, outline: None, ..object.clone() })
        };
        Objects::new(self.list.iter().filter_map(one).collect(), None, true)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn geometry(window: [f64; 4], mirrored: bool) -> Geometry {
        Geometry { window, part: [0.0, 0.0, 1.0, 1.0], mirrored }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// What is painted where a box lies is, in the view, where the moved box lies.
        #[test]
        fn a_box_and_a_mask_follow_their_pixels(
            place in (0.0..0.7f64, 0.0..0.7f64, 0.1..0.3f64, 0.1..0.3f64),
            window in (0.0..0.4f64, 0.0..0.4f64, 0.4..0.6f64, 0.4..0.6f64),
            mirrored: bool,
        ) {
            let side = 200usize;
            let (x, y, w, h) = place;
            let paint = |at: usize| {
                let (column, row) = ((at % side) as f64 / side as f64, (at / side) as f64 / side as f64);
                u8::from(column >= x && column < x + w && row >= y && row < y + h)
            };
            let labels = Labels { width: side as u32, height: side as u32, values: (0..side * side).map(paint).collect() };
            let geometry = geometry([window.0, window.1, window.2, window.3], mirrored);
            let cells = Cells::of(&labels, (side as u32, side as u32), 4).moved(&geometry);
            let bbox = [x, y, w, h].map(|value| value as f32);
            let objects = Objects::new(vec![Object { class: 0, bbox, area: None, crowd: true, outline: None }], None, true).moved(&geometry);
            let painted: Vec<(f64, f64)> = (0..side * side)
                .filter(|at| cells.pixels.values[*at] == 1)
                .map(|at| ((at % side) as f64 / side as f64, (at / side) as f64 / side as f64))
                .collect();
            // Pixels of the mask are those of the plain view, which a view shows up to 2.5 times as large.
            let near = 5.0 / side as f64;
            let found = objects.list.first().map(|object| object.bbox.map(f64::from));
            match found {
                Some([left, top, width, height]) if width > 2.0 * near && height > 2.0 * near => {
                    let least = painted.iter().fold((f64::MAX, f64::MAX), |least, (x, y)| (least.0.min(*x), least.1.min(*y)));
                    let most = painted.iter().fold((0.0f64, 0.0f64), |most, (x, y)| (most.0.max(*x), most.1.max(*y)));
                    for (a, b) in [(least.0, left), (least.1, top), (most.0, left + width), (most.1, top + height)] {
                        prop_assert!((a - b).abs() <= near, "{a} and {b}");
                    }
                }
                Some(_) => {}
                None => prop_assert!(painted.len() <= 3 * side, "{} pixels are seen of a box that is not", painted.len()),
            }
        }

        #[test]
        fn ways_into_a_view_and_back_are_one(point in (0.0..1.0f64, 0.0..1.0f64), window in (0.0..0.5f64, 0.0..0.5f64, 0.1..0.5f64, 0.1..0.5f64), mirrored: bool) {
            let geometry = Geometry { window: [window.0, window.1, window.2, window.3], part: [0.1, 0.2, 0.8, 0.5], mirrored };
            let [x, y] = geometry.to_item(geometry.to_view([point.0, point.1]));
            prop_assert!((x - point.0).abs() < 1e-9 && (y - point.1).abs() < 1e-9);
        }
    }

    #[test]
    fn the_whole_view_leaves_all_where_it_is_and_a_mirror_exchanges_sides() {
        let labels = Labels { width: 8, height: 4, values: (0..32).map(|at| (at % 5) as u8).collect() };
        let cells = Cells::of(&labels, (8, 4), 4);
        let whole = cells.moved(&geometry([0.0, 0.0, 1.0, 1.0], false));
        assert_eq!((&whole.pixels, &whole.each, whole.rows, whole.columns), (&cells.pixels, &cells.each, 1, 2));
        let mirrored = cells.moved(&geometry([0.0, 0.0, 1.0, 1.0], true));
        assert_eq!(mirrored.pixels.values[..8].iter().rev().copied().collect::<Vec<_>>(), labels.values[..8]);
        let half = cells.moved(&geometry([0.5, 0.0, 1.0, 1.0], false));
        assert!(half.pixels.values[4..8].iter().all(|value| *value == UNSAID), "what lies outside says nothing");
    }

    #[test]
    fn boxes_are_cut_and_those_of_which_little_is_seen_are_not_asked_for() {
        let object = |bbox: [f32; 4], crowd| Object { class: 2, bbox, area: Some(9.0), crowd, outline: None };
        let list = vec![object([0.0, 0.0, 40.0, 20.0], false), object([0.0, 0.0, 22.0, 20.0], false), object([0.0, 0.0, 22.0, 20.0], true)];
        let objects = Objects::new(list, Some([40, 20]), false);
        let seen = objects.moved(&geometry([0.5, 0.0, 0.5, 1.0], false));
        assert_eq!((seen.list.len(), seen.list[0].bbox, seen.relative), (2, [0.0, 0.0, 1.0, 1.0], true));
        assert!(seen.list[1].crowd && (seen.list[1].bbox[2] - 0.1).abs() < 1e-6, "{:?}", seen.list[1]);
        let unknown = Objects::new(vec![object([0.0, 0.0, 4.0, 4.0], false)], None, false);
        assert_eq!(unknown.moved(&geometry([0.5, 0.0, 0.5, 1.0], false)), unknown);
    }
}
