//! Small pictures for pages: PNG where the image is small already (drawings and digits stay crisp), JPEG otherwise.

use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use super::decode::{Refusal, inspect};
use super::transform::{Rgb, resize_rgb};
use crate::data::limits::Limits;
use crate::data::modality::Picture;

/// Decodes `bytes` and makes its longer side at most `side` pixels; smaller images keep their size.
///
/// # Errors
/// As [`inspect`].
pub fn thumbnail(bytes: &[u8], side: u32, limits: &Limits) -> Result<Picture, Refusal> {
    of_image(&inspect(bytes, limits)?.image, side)
}

/// [`thumbnail`] of pixels that are decoded already.
pub fn of_image(image: &RgbImage, side: u32) -> Result<Picture, Refusal> {
    let failed = |e: &dyn std::fmt::Display| Refusal(format!("no small picture could be made of it ({e})"));
    let (width, height) = (image.width(), image.height());
    let longer = width.max(height);
    if longer <= side {
        let mut out = Vec::new();
        PngEncoder::new(&mut out).write_image(image, width, height, ExtendedColorType::Rgb8).map_err(|e| failed(&e))?;
        return Ok(Picture { bytes: out, media_type: "image/png", width, height });
    }
    let scaled = |s: u32| ((f64::from(s) * f64::from(side) / f64::from(longer)).round() as u32).max(1);
    let (width, height) = (scaled(width), scaled(height));
    let source = Rgb { width: image.width(), height: image.height(), bytes: image.as_raw() };
    let mut small = vec![0; 3 * width as usize * height as usize];
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    resize_rgb(&mut Resizer::new(), source, (width, height, &mut small), &options).map_err(|e| failed(&e))?;
    jpeg(&small, (width, height))
}

/// A picture that is small already, as JPEG.
///
/// # Errors
/// It has no pixels.
pub fn as_jpeg(image: &RgbImage) -> Result<Picture, Refusal> {
    jpeg(image.as_raw(), image.dimensions())
}

fn jpeg(pixels: &[u8], (width, height): (u32, u32)) -> Result<Picture, Refusal> {
    let failed = |e: image::ImageError| Refusal(format!("no small picture could be made of it ({e})"));
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, 82).write_image(pixels, width, height, ExtendedColorType::Rgb8).map_err(failed)?;
    Ok(Picture { bytes: out, media_type: "image/jpeg", width, height })
}
