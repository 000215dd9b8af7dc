//! Bytes of unknown origin to 8-bit RGB. The content decides what a file is, never its name; its size is judged before a
//! pixel is decoded; a decoder that panics costs one image and not the process.
//!
//! Gray is repeated over three channels, alpha is dropped (as the training pipelines this must agree with do), CMYK and
//! 16 bits are converted, the camera's orientation is applied. Animations are refused: which frame was meant is a guess.

use std::io::Cursor;
use std::panic::AssertUnwindSafe;

use image::codecs::{bmp::BmpDecoder, png::PngDecoder, pnm::PnmDecoder, qoi::QoiDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, RgbImage};

use super::format::Format;
use super::room::Room;
use super::{gif, jpeg, jxl, tiff};
pub use crate::data::error::Refusal;
use crate::data::limits::Limits;
use crate::domain::data_limits::DataLimits;

/// A decoded image and what it was before. As long as it lives it holds its part of the memory for decoding.
#[derive(Debug)]
pub struct Decoded {
    /// Height x width x 3, 8 bits, sRGB as stored (colour profiles are not applied).
    pub image: RgbImage,
    /// `jpeg`, `png` ...
    pub format: &'static str,
    /// `gray`, `gray+alpha`, `rgb`, `rgba` or `cmyk`.
    pub channels: &'static str,
    _room: Room,
}

/// The pixels of an encoded image as 8-bit RGB.
///
/// # Errors
/// [`Refusal`] if it is no image we read, larger than the limits, damaged, cut short or animated.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, Refusal> {
    inspect(bytes, limits).map(|decoded| decoded.image)
}

/// [`decode`] with what the file was.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<Decoded, Refusal> {
    let format = Format::of(bytes)?;
    let read = Cursor::new(bytes);
    let decoded = std::panic::catch_unwind(AssertUnwindSafe(|| match format {
        Format::Jpeg => jpeg::decode(bytes, limits),
        Format::Png => png(bytes, limits),
        Format::Gif => gif::decode(bytes, limits),
        Format::WebP => webp(bytes, limits),
        Format::Tiff => tiff::decode(bytes, limits),
        Format::Jxl => jxl::decode(bytes, limits),
        Format::Bmp => still(BmpDecoder::new(read).map_err(damaged)?, limits),
        Format::Pnm => still(PnmDecoder::new(read).map_err(damaged)?, limits),
        Format::Qoi => still(QoiDecoder::new(read).map_err(damaged)?, limits),
    }));
    let (image, channels, room) =
        decoded.unwrap_or_else(|_| Err(Refusal("its data is damaged in a way that breaks the decoder".into())))?;
    Ok(Decoded { image, format: format.as_str(), channels, _room: room })
}

/// Width and height of the image as it is decoded; from its header alone where that is quick.
pub fn sides(bytes: &[u8], limits: &Limits) -> Option<(u32, u32)> {
    let told = std::panic::catch_unwind(AssertUnwindSafe(|| match Format::of(bytes).ok()? {
        Format::Jpeg => jpeg::sides(bytes),
        Format::Png => {
            let mut decoder = PngDecoder::new(Cursor::new(bytes)).ok()?;
            let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
            Some(turned(decoder.dimensions(), orientation))
        }
        _ => None,
    }));
    told.ok().flatten().or_else(|| inspect(bytes, limits).ok().map(|decoded| decoded.image.dimensions()))
}

/// Sides after an orientation was applied.
pub(super) fn turned((width, height): (u32, u32), orientation: Orientation) -> (u32, u32) {
    match orientation {
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH => (height, width),
        _ => (width, height),
    }
}

/// The pixels, what they were, and the memory they hold.
pub(super) type Pixels = Result<(RgbImage, &'static str, Room), Refusal>;

pub(super) fn damaged(error: impl std::fmt::Display) -> Refusal {
    Refusal(format!("it is damaged or cut short ({error})"))
}

pub(super) fn animated() -> Refusal {
    Refusal("it is an animation; export the frame that is meant as PNG or JPEG".into())
}

/// Judges the size of an image and waits for the memory it needs. `decoded_bytes` is what the decoder will allocate for the
/// pixels.
pub(super) fn admit(width: u32, height: u32, decoded_bytes: u64, limits: &Limits) -> Result<Room, Refusal> {
    if width == 0 || height == 0 {
        return Err(Refusal("it has no pixels".into()));
    }
    let pixels = u64::from(width) * u64::from(height);
    let (side, most, setting) = (limits.image_side, limits.image_pixels, DataLimits::IMAGE_PIXELS);
    if width > side || height > side || pixels > most {
        return Err(Refusal(format!(
            "it is {width}x{height} pixels, {pixels} in all; at most {most} are taken ({setting}, which the administrator may raise), \
             and no side longer than {side}"
        )));
    }
    if decoded_bytes > limits.image_bytes() {
        let (size, most) = (decoded_bytes >> 20, limits.image_bytes() >> 20);
        return Err(Refusal(format!(
            "it is {width}x{height} pixels of many bits, {size} MiB in all; at most {most} MiB are taken (four times {setting})"
        )));
    }
    // The decoder's own form, and RGB beside it.
    Ok(Room::take(decoded_bytes.max(pixels * 3).saturating_add(pixels * 3)))
}

fn library_limits(limits: &Limits) -> image::Limits {
    let mut library = image::Limits::default();
    library.max_image_width = Some(limits.image_side);
    library.max_image_height = Some(limits.image_side);
    // The decoder needs room beside the pixels themselves.
    library.max_alloc = Some(limits.image_bytes().saturating_mul(2));
    library
}

pub(super) fn still(mut decoder: impl ImageDecoder, limits: &Limits) -> Pixels {
    let (width, height) = decoder.dimensions();
    let room = admit(width, height, decoder.total_bytes(), limits)?;
    decoder.set_limits(library_limits(limits)).map_err(damaged)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let channels = channels(decoder.color_type());
    let mut image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    image.apply_orientation(orientation);
    Ok((image.into_rgb8(), channels, room))
}

fn channels(color: ColorType) -> &'static str {
    match (color.has_color(), color.has_alpha()) {
        (false, false) => "gray",
        (false, true) => "gray+alpha",
        (true, false) => "rgb",
        (true, true) => "rgba",
    }
}

fn png(bytes: &[u8], limits: &Limits) -> Pixels {
    // Sides are judged in `still`, where the message can tell them; here only memory is bounded.
    let mut memory = image::Limits::no_limits();
    memory.max_alloc = Some(limits.image_bytes().saturating_mul(2));
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), memory).map_err(damaged)?;
    if decoder.is_apng().map_err(damaged)? {
        return Err(animated());
    }
    still(decoder, limits)
}

fn webp(bytes: &[u8], limits: &Limits) -> Pixels {
    let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(damaged)?;
    if decoder.has_animation() {
        return Err(animated());
    }
    still(decoder, limits)
}
