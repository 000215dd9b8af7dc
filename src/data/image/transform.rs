//! Pixels to network input, as timm prepares them: resize as the crop mode says (`frame`), crop the centre, scale to [0, 1],
//! subtract the mean, divide by the standard deviation. Resizing is antialiased as PIL's is.
//!
//! Only the part that survives the crop is resized. Source for the training crop: Szegedy et al., "Going deeper with
//! convolutions" (area 8-100 %, aspect ratio 3/4-4/3), here with the recipe's smallest area.

mod mosaic;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use super::frame::{self, Frame, Window};
use super::{augment, filter};
use crate::data::error::{Error, Result};
use crate::data::modality::Geometry;
use crate::domain::config::Preprocessing;
use crate::domain::recipe::Augment;

/// Eval view of one image: `3 * height * width` values, channel by channel.
///
/// # Errors
/// [`Error::BadPreprocessing`] if the config's numbers make no sense.
pub fn eval(image: &RgbImage, preprocessing: &Preprocessing) -> Result<Vec<f32>> {
    let mut out = vec![0.0; 3 * preprocessing.height * preprocessing.width];
    Preprocessor::new(preprocessing)?.eval(image, &mut out)?;
    Ok(planes(&out))
}

/// Training view of one image: a random crop, resized, perhaps mirrored; `3 * height * width` values, channel by channel.
///
/// # Errors
/// As [`eval`].
pub fn train(image: &RgbImage, preprocessing: &Preprocessing, augment: &Augment, random: &mut impl Rng) -> Result<Vec<f32>> {
    let mut out = vec![0.0; 3 * preprocessing.height * preprocessing.width];
    Preprocessor::new(preprocessing)?.train(image, augment, random, &mut out)?;
    Ok(planes(&out))
}

/// Pixel by pixel to channel by channel, as other tools lie images out.
fn planes(pixels: &[f32]) -> Vec<f32> {
    (0..3).flat_map(|channel| pixels.iter().skip(channel).step_by(3).copied()).collect()
}

/// The widest filter reaches this far, in pixels of the smaller of the two images.
const SUPPORT_MAX: f64 = 3.0;

/// Interleaved pixels.
pub(super) struct Rgb<'a> {
    pub width: u32,
    pub height: u32,
    pub bytes: &'a [u8],
}

/// Resizes into a buffer of (width, height). The one place that calls the library, and for one type of pixel: each
/// other call would compile all its kernels for all types once more.
pub(super) fn resize_rgb(resizer: &mut Resizer, from: Rgb, to: (u32, u32, &mut [u8]), options: &ResizeOptions) -> Result<()> {
    let unusable = |e: &dyn std::fmt::Display| Error::BadPreprocessing { reason: format!("the image cannot be resized ({e})") };
    let source = TypedImageRef::<U8x3>::from_buffer(from.width, from.height, from.bytes).map_err(|e| unusable(&e))?;
    let (width, height, bytes) = to;
    let mut target = TypedImage::<U8x3>::from_buffer(width, height, bytes).map_err(|e| unusable(&e))?;
    resizer.resize_typed(&source, &mut target, options).map_err(|e| unusable(&e))
}

/// Holds the tables and buffers for many images of one model.
pub struct Preprocessor {
    preprocessing: Preprocessing,
    algorithm: ResizeAlg,
    resizer: Resizer,
    /// Bytes of the image after both passes.
    resized: Vec<u8>,
    /// The image after the first of the two passes.
    across: Vec<u8>,
    /// The part of the view that shows the image, where a border is around it.
    part: Vec<u8>,
    /// By channel and byte: the normalised value.
    table: [[f32; 256]; 3],
}

impl Preprocessor {
    /// # Errors
    /// [`Error::BadPreprocessing`] names the setting that makes no sense.
    pub fn new(preprocessing: &Preprocessing) -> Result<Preprocessor> {
        let bad = |reason: String| Err(Error::BadPreprocessing { reason });
        let Preprocessing { height, width, crop_pct, .. } = *preprocessing;
        if !(1..=4096).contains(&height) || !(1..=4096).contains(&width) {
            return bad(format!("the input size {height}x{width} is not between 1 and 4096 pixels"));
        }
        if !(crop_pct > 0.05 && crop_pct <= 2.0) {
            return bad(format!("crop_pct is {crop_pct}, not between 0.05 and 2"));
        }
        frame::Mode::of(&preprocessing.crop_mode)?;
        let mut table = [[0.0; 256]; 3];
        for (channel, row) in table.iter_mut().enumerate() {
            let (mean, std) = (preprocessing.mean[channel], preprocessing.std[channel]);
            if !(mean.is_finite() && std.is_finite() && std > 0.0) {
                return bad(format!("mean {mean} and std {std} of channel {channel} are not usable numbers"));
            }
            for (byte, value) in row.iter_mut().enumerate() {
                *value = (byte as f32 / 255.0 - mean) / std;
            }
        }
        let algorithm = filter::of(&preprocessing.interpolation)?;
        let resized = vec![0; 3 * width * height];
        let (preprocessing, across, part) = (preprocessing.clone(), Vec::new(), Vec::new());
        Ok(Preprocessor { preprocessing, algorithm, resizer: Resizer::new(), resized, across, part, table })
    }

    /// Values in one view: `3 * height * width`.
    pub fn len(&self) -> usize {
        3 * self.preprocessing.height * self.preprocessing.width
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the eval view to `out` (length [`Self::len`]), pixel by pixel, as the convolutions want it.
    pub fn eval(&mut self, image: &RgbImage, out: &mut [f32]) -> Result<()> {
        self.plain(image, false, out)
    }

    /// The eval view, or what is seen of it in a mirror.
    pub(in crate::data) fn plain(&mut self, image: &RgbImage, mirrored: bool, out: &mut [f32]) -> Result<()> {
        let frame = Frame::plain(image.width(), image.height(), &self.preprocessing)?;
        self.resize(image, &frame)?;
        self.normalise(mirrored, out);
        Ok(())
    }

    /// Writes a random training view to `out` (length [`Self::len`]), pixel by pixel.
    pub fn train(&mut self, image: &RgbImage, augment: &Augment, random: &mut impl Rng, out: &mut [f32]) -> Result<()> {
        let (frame, mirrored) = self.drawn(image.width(), image.height(), augment, random)?;
        self.resize(image, &frame)?;
        if mirrored {
            let row = 3 * self.preprocessing.width;
            self.resized.chunks_exact_mut(row).for_each(|row| row.as_chunks_mut::<3>().0.reverse());
        }
        augment::change(&mut self.resized, self.preprocessing.width, augment, random);
        self.normalise(false, out);
        augment::erase(out, self.preprocessing.width, augment, random);
        Ok(())
    }

    /// What a random view shows of an image of these sides, and whether it is mirrored: the first that is drawn of it.
    fn drawn(&self, width: u32, height: u32, augment: &Augment, random: &mut impl Rng) -> Result<(Frame, bool)> {
        let frame = if augment.crop_min_area < 1.0 {
            Frame::filled(random_window(width, height, augment.crop_min_area, random), &self.preprocessing)
        } else {
            Frame::plain(width, height, &self.preprocessing)?
        };
        Ok((frame, augment.horizontal_flip && random.random_bool(0.5)))
    }

    /// Where the view lies in an image of these sides: the plain one, or the random one that follows from these numbers.
    pub fn geometry(&self, width: u32, height: u32, drawn: Option<(&Augment, &mut ChaCha8Rng)>) -> Result<Geometry> {
        let (frame, mirrored) = match drawn {
            None => (Frame::plain(width, height, &self.preprocessing)?, false),
            Some((augment, random)) => self.drawn(width, height, augment, random)?,
        };
        let (across, down) = (f64::from(width), f64::from(height));
        let Window { left, top, width, height } = frame.window;
        let view = [self.preprocessing.width as f64, self.preprocessing.height as f64];
        let (at, size) = (frame.at, frame.size);
        let part = [f64::from(at.0) / view[0], f64::from(at.1) / view[1], f64::from(size.0) / view[0], f64::from(size.1) / view[1]];
        Ok(Geometry { window: [left / across, top / down, width / across, height / down], part, mirrored })
    }

    fn resize(&mut self, image: &RgbImage, frame: &Frame) -> Result<()> {
        let (width, height) = (self.preprocessing.width as u32, self.preprocessing.height as u32);
        let whole = frame.size == (width, height);
        let mut target = std::mem::take(if whole { &mut self.resized } else { &mut self.part });
        target.resize(3 * frame.size.0 as usize * frame.size.1 as usize, 0);
        let done = self.resize_window(image, frame.window, frame.size, &mut target);
        if whole {
            self.resized = target;
            return done;
        }
        let row = 3 * width as usize;
        let (left, top) = (3 * frame.at.0 as usize, frame.at.1 as usize);
        let border = self.resized.as_chunks_mut::<3>().0;
        border.fill(frame.border);
        for (from, to) in target.chunks_exact(3 * frame.size.0 as usize).zip(self.resized.chunks_exact_mut(row).skip(top)) {
            to[left..left + from.len()].copy_from_slice(from);
        }
        self.part = target;
        done
    }

    fn resize_window(&mut self, image: &RgbImage, window: Window, (width, height): (u32, u32), target: &mut [u8]) -> Result<()> {
        let options = ResizeOptions::new().resize_alg(self.algorithm);
        let window = window.within(image.dimensions());
        let source = Rgb { width: image.width(), height: image.height(), bytes: image.as_raw() };
        if self.algorithm == ResizeAlg::Nearest {
            let columns = filter::nearest(window.left, window.width, width, image.width());
            let rows = filter::nearest(window.top, window.height, height, image.height());
            let pixels = rows.into_iter().flat_map(|y| columns.iter().map(move |x| image.get_pixel(*x, y).0));
            target.as_chunks_mut::<3>().0.iter_mut().zip(pixels).for_each(|(to, from)| *to = from);
            return Ok(());
        }
        // Across first, then down, each rounded to bytes: the order PIL takes for most shapes. In one call the library takes
        // the other, and edges come out up to seven steps of 255 apart. Only the rows that the second pass will look at are made.
        let reach = SUPPORT_MAX * (window.height / f64::from(height)).max(1.0) + 1.0;
        let first = (window.top - reach).floor().max(0.0);
        let last = (window.top + window.height + reach).ceil().min(f64::from(image.height()));
        let rows = (last - first) as u32;
        self.across.resize(3 * width as usize * rows as usize, 0);
        let columns = options.crop(window.left, first, window.width, f64::from(rows));
        resize_rgb(&mut self.resizer, source, (width, rows, &mut self.across), &columns)?;
        let source = Rgb { width, height: rows, bytes: &self.across };
        let down = options.crop(0.0, window.top - first, f64::from(width), window.height);
        resize_rgb(&mut self.resizer, source, (width, height, target), &down)
    }

    /// Bytes to values, by table.
    fn normalise(&self, mirrored: bool, out: &mut [f32]) {
        let row = 3 * self.preprocessing.width;
        for (bytes, values) in self.resized.chunks_exact(row).zip(out.chunks_exact_mut(row)) {
            let pixels = values.as_chunks_mut::<3>().0;
            let bytes = bytes.as_chunks::<3>().0;
            let lookup = |pixel: &[u8; 3]| [0, 1, 2].map(|channel| self.table[channel][usize::from(pixel[channel])]);
            match mirrored {
                false => pixels.iter_mut().zip(bytes).for_each(|(values, pixel)| *values = lookup(pixel)),
                true => pixels.iter_mut().zip(bytes.iter().rev()).for_each(|(values, pixel)| *values = lookup(pixel)),
            }
        }
    }
}

/// A box of `min_area`..100 % of the image with an aspect ratio of 3/4..4/3; ten tries, then the largest centred box.
fn random_window(width: u32, height: u32, min_area: f64, random: &mut impl Rng) -> Window {
    let (full_width, full_height) = (f64::from(width), f64::from(height));
    let (low, high) = (3.0f64 / 4.0, 4.0f64 / 3.0);
    for _ in 0..10 {
        let area = full_width * full_height * random.random_range(min_area..=1.0);
        let aspect = random.random_range(low.ln()..=high.ln()).exp();
        let w = (area * aspect).sqrt().round();
        let h = (area / aspect).sqrt().round();
        if w >= 1.0 && h >= 1.0 && w <= full_width && h <= full_height {
            let left = f64::from(random.random_range(0..=width - w as u32));
            let top = f64::from(random.random_range(0..=height - h as u32));
            return Window { left, top, width: w, height: h };
        }
    }
    let aspect = (full_width / full_height).clamp(low, high);
    let (w, h) = if full_width / full_height < low {
        (full_width, (full_width / aspect).round().clamp(1.0, full_height))
    } else {
        ((full_height * aspect).round().clamp(1.0, full_width), full_height)
    };
    Window { left: ((full_width - w) / 2.0).floor(), top: ((full_height - h) / 2.0).floor(), width: w, height: h }
}
