//! Parts of four images in one view (mosaic, Bochkovskiy et al. 2020): they meet in a point that is drawn near the view's middle, and each fills
//! the corner that is left to it with a random view of its own, smaller by what the corner is smaller than the view.

use image::RgbImage;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Preprocessor, Window};
use crate::data::error::Result;
use crate::data::image::augment;
use crate::data::modality::Geometry;
use crate::domain::recipe::Augment;

/// Where corners meet, as shares of a side. By judgement: a corner of less than a third of a side shows hardly an object.
const MEET: std::ops::RangeInclusive<f64> = 0.35..=0.65;

/// A corner of a view, in its pixels.
#[derive(Debug, Clone, Copy)]
struct Corner {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

impl Corner {
    /// The corner of this number, row by row, of a view of this width and height whose corners meet there.
    fn of(number: usize, [width, height]: [u32; 2], [x, y]: [u32; 2]) -> Corner {
        let (left, width) = if number.is_multiple_of(2) { (0, x) } else { (x, width - x) };
        let (top, height) = if number < 2 { (0, y) } else { (y, height - y) };
        Corner { left, top, width, height }
    }

    /// The part of a window that fills the corner where the window as a whole would be as much smaller than a view as the corner is along its
    /// longer side; where in the window is drawn.
    fn part(&self, window: Window, view: [u32; 2], random: &mut ChaCha8Rng) -> Window {
        let shares = [f64::from(self.width) / f64::from(view[0]), f64::from(self.height) / f64::from(view[1])];
        let scale = shares[0].max(shares[1]);
        let (width, height) = (window.width * shares[0] / scale, window.height * shares[1] / scale);
        let left = window.left + (window.width - width) * random.random_range(0.0..=1.0);
        let top = window.top + (window.height - height) * random.random_range(0.0..=1.0);
        Window { left, top, width, height }
    }
}

/// A place along a side where corners meet.
fn meeting(side: u32, random: &mut ChaCha8Rng) -> u32 {
    ((f64::from(side) * random.random_range(MEET)).round() as u32).clamp(1, side.saturating_sub(1).max(1))
}

impl Preprocessor {
    /// Writes a view of four images to `out` (length [`Self::len`]), pixel by pixel; answers where each of them lies in it, row by row.
    pub(in crate::data) fn mosaic(
        &mut self,
        images: &[RgbImage],
        (augment, random): (&Augment, &mut ChaCha8Rng),
        out: &mut [f32],
    ) -> Result<[Geometry; 4]> {
        let view = [self.preprocessing.width as u32, self.preprocessing.height as u32];
        let meet = view.map(|side| meeting(side, random));
        let mut found = [Geometry { window: [0.0, 0.0, 1.0, 1.0], part: [0.0, 0.0, 1.0, 1.0], mirrored: false }; 4];
        for (number, (image, geometry)) in images.iter().zip(&mut found).enumerate() {
            let corner = Corner::of(number, view, meet);
            let (frame, mirrored) = self.drawn(image.width(), image.height(), augment, random)?;
            let window = corner.part(frame.window, view, random);
            self.paint(image, window, corner, mirrored)?;
            let [across, down] = [f64::from(image.width()), f64::from(image.height())];
            let [left, top, width, height] = [
                f64::from(corner.left) / f64::from(view[0]),
                f64::from(corner.top) / f64::from(view[1]),
                f64::from(corner.width) / f64::from(view[0]),
                f64::from(corner.height) / f64::from(view[1]),
            ];
            *geometry = Geometry {
                window: [window.left / across, window.top / down, window.width / across, window.height / down],
                // A geometry turns the view around as a whole.
                part: [if mirrored { 1.0 - left - width } else { left }, top, width, height],
                mirrored,
            };
        }
        augment::change(&mut self.resized, self.preprocessing.width, augment, random);
        self.normalise(false, out);
        augment::erase(out, self.preprocessing.width, augment, random);
        Ok(found)
    }

    /// Fills a corner of the view with a window of an image, turned around perhaps.
    fn paint(&mut self, image: &RgbImage, window: Window, corner: Corner, mirrored: bool) -> Result<()> {
        let line = 3 * corner.width as usize;
        let mut target = std::mem::take(&mut self.part);
        target.resize(line * corner.height as usize, 0);
        let done = self.resize_window(image, window, (corner.width, corner.height), &mut target);
        let (row, left) = (3 * self.preprocessing.width, 3 * corner.left as usize);
        for (from, to) in target.chunks_exact_mut(line.max(1)).zip(self.resized.chunks_exact_mut(row).skip(corner.top as usize)) {
            if mirrored {
                from.as_chunks_mut::<3>().0.reverse();
            }
            to[left..left + line].copy_from_slice(from);
        }
        self.part = target;
        done
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::data::{Boxed, Boxes, Cells, Labels, Target, UNSAID};
    use crate::domain::config::ModelConfig;
    use crate::domain::config::Preprocessing;

    const VIEW: u32 = 96;
    const IMAGE: [u32; 2] = [120, 90];
    const COLOURS: [[u8; 3]; 4] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]];

    fn preprocessing() -> Preprocessing {
        let config = ModelConfig::read(r#"{"architecture": "resnet18"}"#).unwrap();
        let (height, width) = (VIEW as usize, VIEW as usize);
        Preprocessing { height, width, mean: [0.0; 3], std: [1.0; 3], crop_mode: "squash".into(), crop_pct: 1.0, ..config.preprocessing() }
    }

    /// Black images with a rectangle each, of a colour of its own; and each rectangle as boxes and as cells of the plain view.
    fn painted(places: &[[u32; 4]; 4]) -> (Vec<RgbImage>, [Vec<Target>; 2]) {
        let (mut images, mut boxes, mut cells) = (Vec::new(), Vec::new(), Vec::new());
        for (class, [x, y, w, h]) in places.iter().enumerate() {
            let inside = |column: u32, row: u32| (*x..x + w).contains(&column) && (*y..y + h).contains(&row);
            images.push(RgbImage::from_fn(IMAGE[0], IMAGE[1], |column, row| {
                image::Rgb(if inside(column, row) { COLOURS[class] } else { [0; 3] })
            }));
            let by = [VIEW as f32 / IMAGE[0] as f32, VIEW as f32 / IMAGE[1] as f32];
            let bbox = [*x as f32 * by[0], *y as f32 * by[1], *w as f32 * by[0], *h as f32 * by[1]];
            let object = Boxed { class: class as u32, bbox, area: 1.0, crowd: false };
            boxes.push(Target::Boxes(Boxes::new(vec![object], [VIEW; 2], IMAGE)));
            let value = |at: u32| if inside(at % IMAGE[0], at / IMAGE[0]) { class as u8 + 1 } else { 0 };
            let labels = Labels { width: IMAGE[0], height: IMAGE[1], values: (0..IMAGE[0] * IMAGE[1]).map(value).collect() };
            cells.push(Target::Cells(Cells::of(&labels, (VIEW, VIEW), 4)));
        }
        (images, [boxes, cells])
    }

    /// Left, top, right and bottom of the pixels that have this colour.
    fn extent(view: &[f32], colour: [u8; 3]) -> Option<[f64; 4]> {
        let is = |pixel: &[f32]| pixel.iter().zip(colour).all(|(own, wanted)| (own - f32::from(wanted) / 255.0).abs() < 0.5);
        let there = view.chunks_exact(3).enumerate().filter(|(_, pixel)| is(pixel));
        let places = there.map(|(at, _)| ((at % VIEW as usize) as f64, (at / VIEW as usize) as f64));
        places.fold(None, |known: Option<[f64; 4]>, (x, y)| {
            let [left, top, right, bottom] = known.unwrap_or([x, y, x + 1.0, y + 1.0]);
            Some([left.min(x), top.min(y), right.max(x + 1.0), bottom.max(y + 1.0)])
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// What is painted where a box lies in its image lies in the mosaic where its box does, and so do the pixels of a mask.
        #[test]
        fn a_box_and_a_mask_follow_their_pixels_into_a_mosaic(
            places in proptest::array::uniform4((0..70u32, 0..50u32, 20..50u32, 20..40u32)), seed: u64, flips: bool, crops: bool,
        ) {
            let (images, [boxes, cells]) = painted(&places.map(|(x, y, w, h)| [x, y, w, h]));
            let augment = Augment { horizontal_flip: flips, crop_min_area: if crops { 0.5 } else { 1.0 }, ..Augment::none() };
            let mut view = vec![0.0; 3 * (VIEW * VIEW) as usize];
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let found = Preprocessor::new(&preprocessing()).unwrap().mosaic(&images, (&augment, &mut random), &mut view).unwrap();
            let shown: f64 = found.iter().map(|geometry| geometry.shown()[2] * geometry.shown()[3]).sum();
            prop_assert!((shown - 1.0).abs() < 1e-9, "corners fill the view");
            let joined = |targets: &[Target]| Target::joined(&targets.iter().zip(found).collect::<Vec<_>>());
            let Target::Boxes(all) = joined(&boxes) else { panic!("boxes") };
            for object in all.list.iter() {
                let [x, y, w, h] = object.bbox.map(f64::from);
                let seen = extent(&view, COLOURS[object.class as usize]);
                // Of what is thinner than two pixels hardly one has its whole colour.
                if w > 2.0 && h > 2.0 {
                    let seen = seen.unwrap();
                    for (own, wanted) in seen.into_iter().zip([x, y, x + w, y + h]) {
                        prop_assert!((own - wanted).abs() < 2.0, "{seen:?} of {:?}", object.bbox);
                    }
                }
            }
            let Target::Cells(mask) = joined(&cells) else { panic!("cells") };
            prop_assert!(!mask.pixels.values.contains(&UNSAID), "each pixel is of one of four images");
            let wrong = mask.pixels.values.iter().zip(view.chunks_exact(3)).filter(|(class, pixel)| {
                let wanted = if **class == 0 { [0; 3] } else { COLOURS[usize::from(**class) - 1] };
                pixel.iter().zip(wanted).any(|(own, wanted)| (own - f32::from(wanted) / 255.0).abs() > 0.5)
            });
            // Along the edges of four rectangles, of which masks take the nearest pixel of the plain view.
            let edges: f32 = all.list.iter().map(|object| 2.0 * (object.bbox[2] + object.bbox[3])).sum();
            prop_assert!((wrong.count() as f32) < 2.5 * edges + 300.0);
        }
    }
}
