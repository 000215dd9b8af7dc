//! Pixels to network input, as timm prepares them: resize the shorter side so that the crop covers `crop_pct` of it, crop the
//! centre, scale to [0, 1], subtract the mean, divide by the standard deviation. Resizing is antialiased as PIL's is.
//!
//! Only the part that survives the crop is resized. Source for the training crop: Szegedy et al., "Going deeper with
//! convolutions" (area 8-100 %, aspect ratio 3/4-4/3), here with the recipe's smallest area.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use rand::{Rng, RngExt};

use crate::data::error::{Error, Result};
use crate::domain::config::Preprocessing;
use crate::domain::recipe::Augment;

/// Eval view of one image: `3 * height * width` values, channel by channel.
///
/// # Errors
/// [`Error::BadPreprocessing`] if the config's numbers make no sense.
pub fn eval(image: &RgbImage, preprocessing: &Preprocessing) -> Result<Vec<f32>> {
    let mut out = vec![0.0; 3 * preprocessing.height * preprocessing.width];
    Transformer::new(preprocessing)?.eval(image, &mut out)?;
    Ok(out)
}

/// Training view of one image: a random crop, resized, perhaps mirrored; `3 * height * width` values.
///
/// # Errors
/// As [`eval`].
pub fn train(image: &RgbImage, preprocessing: &Preprocessing, augment: &Augment, random: &mut impl Rng) -> Result<Vec<f32>> {
    let mut out = vec![0.0; 3 * preprocessing.height * preprocessing.width];
    Transformer::new(preprocessing)?.train(image, augment, random, &mut out)?;
    Ok(out)
}

/// A box in the source image, in pixels; fractions are allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Window {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

/// Holds the tables and buffers for many images of one model.
pub struct Transformer {
    preprocessing: Preprocessing,
    filter: FilterType,
    resizer: Resizer,
    resized: Image<'static>,
    /// By channel and byte: the normalised value.
    table: [[f32; 256]; 3],
}

impl Transformer {
    /// # Errors
    /// [`Error::BadPreprocessing`] names the setting that makes no sense.
    pub fn new(preprocessing: &Preprocessing) -> Result<Transformer> {
        let bad = |reason: String| Err(Error::BadPreprocessing { reason });
        let Preprocessing { height, width, crop_pct, .. } = *preprocessing;
        if !(1..=4096).contains(&height) || !(1..=4096).contains(&width) {
            return bad(format!("the input size {height}x{width} is not between 1 and 4096 pixels"));
        }
        if !(crop_pct > 0.05 && crop_pct <= 1.0) {
            return bad(format!("crop_pct is {crop_pct}, not between 0.05 and 1"));
        }
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
        let filter = filter(&preprocessing.interpolation)?;
        let resized = Image::new(width as u32, height as u32, PixelType::U8x3);
        Ok(Transformer { preprocessing: preprocessing.clone(), filter, resizer: Resizer::new(), resized, table })
    }

    /// Values in one view: `3 * height * width`.
    pub fn len(&self) -> usize {
        3 * self.preprocessing.height * self.preprocessing.width
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the eval view to `out` (length [`Self::len`]).
    pub fn eval(&mut self, image: &RgbImage, out: &mut [f32]) -> Result<()> {
        let window = centre_window(image.width(), image.height(), &self.preprocessing);
        self.resize(image, window)?;
        self.normalise(false, out);
        Ok(())
    }

    /// Writes a random training view to `out` (length [`Self::len`]).
    pub fn train(&mut self, image: &RgbImage, augment: &Augment, random: &mut impl Rng, out: &mut [f32]) -> Result<()> {
        let window = if augment.crop_min_area < 1.0 {
            random_window(image.width(), image.height(), augment.crop_min_area, random)
        } else {
            centre_window(image.width(), image.height(), &self.preprocessing)
        };
        self.resize(image, window)?;
        self.normalise(augment.horizontal_flip && random.random_bool(0.5), out);
        Ok(())
    }

    fn resize(&mut self, image: &RgbImage, window: Window) -> Result<()> {
        let unusable = |e: &dyn std::fmt::Display| Error::BadPreprocessing { reason: format!("the image cannot be resized ({e})") };
        let source = ImageRef::new(image.width(), image.height(), image.as_raw(), PixelType::U8x3).map_err(|e| unusable(&e))?;
        let options =
            ResizeOptions::new().resize_alg(ResizeAlg::Convolution(self.filter)).crop(window.left, window.top, window.width, window.height);
        self.resizer.resize(&source, &mut self.resized, &options).map_err(|e| unusable(&e))
    }

    /// Interleaved bytes to three planes, by table.
    fn normalise(&self, mirrored: bool, out: &mut [f32]) {
        let (width, plane) = (self.preprocessing.width, self.preprocessing.width * self.preprocessing.height);
        let bytes = self.resized.buffer();
        for (channel, out) in out.chunks_exact_mut(plane).enumerate() {
            let table = &self.table[channel];
            for (row, out) in bytes.chunks_exact(3 * width).zip(out.chunks_exact_mut(width)) {
                let values = row.iter().skip(channel).step_by(3).map(|byte| table[usize::from(*byte)]);
                if mirrored {
                    out.iter_mut().rev().zip(values).for_each(|(out, value)| *out = value);
                } else {
                    out.iter_mut().zip(values).for_each(|(out, value)| *out = value);
                }
            }
        }
    }
}

fn filter(interpolation: &str) -> Result<FilterType> {
    match interpolation {
        // timm writes `random` where training drew one of the two; evaluation then takes bicubic's place in the middle.
        "bicubic" | "random" => Ok(FilterType::CatmullRom),
        "bilinear" => Ok(FilterType::Bilinear),
        "lanczos" => Ok(FilterType::Lanczos3),
        "hamming" => Ok(FilterType::Hamming),
        "box" => Ok(FilterType::Box),
        other => Err(Error::BadPreprocessing { reason: format!("the interpolation `{other}` is not known") }),
    }
}

/// Where the centre crop of the resized image lies in the source. The resized sides are whole pixels, rounded the way
/// torchvision (square input) and timm (other input) round them.
fn centre_window(width: u32, height: u32, preprocessing: &Preprocessing) -> Window {
    let (width, height) = (f64::from(width), f64::from(height));
    let (crop_width, crop_height) = (preprocessing.width as f64, preprocessing.height as f64);
    let scaled = |side: f64| (side / preprocessing.crop_pct).floor();
    let (resized_width, resized_height) = if preprocessing.width == preprocessing.height {
        let short = scaled(crop_width);
        if width <= height { (short, (short * height / width).floor()) } else { ((short * width / height).floor(), short) }
    } else {
        let ratio = (width / scaled(crop_width)).min(height / scaled(crop_height));
        ((width / ratio).round_ties_even().max(crop_width), (height / ratio).round_ties_even().max(crop_height))
    };
    let left = ((resized_width - crop_width) / 2.0).round_ties_even();
    let top = ((resized_height - crop_height) / 2.0).round_ties_even();
    let (scale_x, scale_y) = (width / resized_width, height / resized_height);
    let window = Window { left: left * scale_x, top: top * scale_y, width: crop_width * scale_x, height: crop_height * scale_y };
    inside(window, width, height)
}

/// Rounding must not push a window over the edge by a hair.
fn inside(window: Window, width: f64, height: f64) -> Window {
    let left = window.left.clamp(0.0, width);
    let top = window.top.clamp(0.0, height);
    Window { left, top, width: window.width.min(width - left), height: window.height.min(height - top) }
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
