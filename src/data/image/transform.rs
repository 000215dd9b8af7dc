//! Pixels to network input, as timm prepares them: resize the shorter side so that the crop covers `crop_pct` of it, crop the
//! centre, scale to [0, 1], subtract the mean, divide by the standard deviation. Resizing is antialiased as PIL's is.
//!
//! Only the part that survives the crop is resized. Source for the training crop: Szegedy et al., "Going deeper with
//! convolutions" (area 8-100 %, aspect ratio 3/4-4/3), here with the recipe's smallest area.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{Filter, FilterType, ResizeAlg, ResizeOptions, Resizer};
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

/// A box in the source image, in pixels; fractions are allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Window {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

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
    filter: FilterType,
    resizer: Resizer,
    /// Bytes of the image after both passes.
    resized: Vec<u8>,
    /// The image after the first of the two passes.
    across: Vec<u8>,
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
        let resized = vec![0; 3 * width * height];
        Ok(Preprocessor { preprocessing: preprocessing.clone(), filter, resizer: Resizer::new(), resized, across: Vec::new(), table })
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
        let window = centre_window(image.width(), image.height(), &self.preprocessing);
        self.resize(image, window)?;
        self.normalise(false, out);
        Ok(())
    }

    /// Writes a random training view to `out` (length [`Self::len`]), pixel by pixel.
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
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(self.filter));
        let (width, height) = (self.preprocessing.width as u32, self.preprocessing.height as u32);
        // Across first, then down, each rounded to bytes: the order PIL takes for most shapes. In one call the library takes
        // the other, and edges come out up to seven steps of 255 apart. Only the rows that the second pass will look at are made.
        let reach = SUPPORT_MAX * (window.height / f64::from(height)).max(1.0) + 1.0;
        let first = (window.top - reach).floor().max(0.0);
        let last = (window.top + window.height + reach).ceil().min(f64::from(image.height()));
        let rows = (last - first) as u32;
        self.across.resize(3 * width as usize * rows as usize, 0);
        let source = Rgb { width: image.width(), height: image.height(), bytes: image.as_raw() };
        let columns = options.crop(window.left, first, window.width, f64::from(rows));
        resize_rgb(&mut self.resizer, source, (width, rows, &mut self.across), &columns)?;
        let source = Rgb { width, height: rows, bytes: &self.across };
        let down = options.crop(0.0, window.top - first, f64::from(width), window.height);
        resize_rgb(&mut self.resizer, source, (width, height, &mut self.resized), &down)
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

/// PIL's resampling filters. They are our own because the library trims weights that are exactly zero, and a trimmed first
/// weight makes it index before its buffer when a window begins on a pixel boundary; a weight of 1e-30 is as good as zero.
fn filter(interpolation: &str) -> Result<FilterType> {
    let (function, support): (fn(f64) -> f64, f64) = match interpolation {
        // timm writes `random` where training drew one of the two; it evaluates such models with bicubic.
        "bicubic" | "random" => (|x| never_zero(bicubic(x.abs())), 2.0),
        "bilinear" => (|x| never_zero((1.0 - x.abs()).max(0.0)), 1.0),
        "lanczos" => (|x| never_zero(lanczos(x.abs())), 3.0),
        other => return Err(Error::BadPreprocessing { reason: format!("the interpolation `{other}` is not known") }),
    };
    let filter = Filter::new("pil", function, support);
    filter.map(FilterType::Custom).map_err(|e| Error::BadPreprocessing { reason: e.to_string() })
}

fn never_zero(weight: f64) -> f64 {
    if weight == 0.0 { 1e-30 } else { weight }
}

/// Keys, "Cubic convolution interpolation", with a = -1/2; `x` is not negative.
fn bicubic(x: f64) -> f64 {
    match x {
        x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

/// The sinc windowed by its own middle, three lobes; `x` is not negative.
fn lanczos(x: f64) -> f64 {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) };
    if x < 3.0 { sinc(x) * sinc(x / 3.0) } else { 0.0 }
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
