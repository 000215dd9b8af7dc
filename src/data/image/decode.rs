//! Bytes of unknown origin to 8-bit RGB. The content decides what a file is, never its name; its size is judged before a
//! pixel is decoded; a decoder that panics costs one image and not the process.
//!
//! Gray is repeated over three channels, alpha is dropped (as the training pipelines this must agree with do), CMYK and
//! 16 bits are converted, the camera's orientation is applied. Animations are refused: which frame was meant is a guess.

use std::io::Cursor;
use std::panic::AssertUnwindSafe;

use image::codecs::{bmp::BmpDecoder, gif::GifDecoder, png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{AnimationDecoder, ColorType, DynamicImage, ImageDecoder, RgbImage};
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

pub use crate::data::error::Refusal;
use crate::data::limits::Limits;

/// A decoded image and what it was before.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// Height x width x 3, 8 bits, sRGB as stored (colour profiles are not applied).
    pub image: RgbImage,
    /// `jpeg`, `png`, `gif`, `webp` or `bmp`.
    pub format: &'static str,
    /// `gray`, `gray+alpha`, `rgb`, `rgba` or `cmyk`.
    pub channels: &'static str,
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
    let format = format(bytes)?;
    let decoded = std::panic::catch_unwind(AssertUnwindSafe(|| match format {
        "jpeg" => jpeg(bytes, limits),
        "png" => png(bytes, limits),
        "gif" => gif(bytes, limits),
        "webp" => webp(bytes, limits),
        _ => still(BmpDecoder::new(Cursor::new(bytes)).map_err(damaged)?, limits),
    }));
    let (image, channels) = decoded.unwrap_or_else(|_| Err(Refusal("its data is damaged in a way that breaks the decoder".into())))?;
    Ok(Decoded { image, format, channels })
}

type Pixels = Result<(RgbImage, &'static str), Refusal>;

fn format(bytes: &[u8]) -> Result<&'static str, Refusal> {
    match bytes {
        [] => Err(Refusal("it is empty".into())),
        [0xff, 0xd8, 0xff, ..] => Ok("jpeg"),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok("png"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok("gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok("webp"),
        [b'B', b'M', ..] if bytes.len() > 26 => Ok("bmp"),
        _ => Err(Refusal(format!("its content is {}, not a JPEG, PNG, GIF, WebP or BMP image", disguise(bytes)))),
    }
}

/// Names what is often found under an image's name.
fn disguise(bytes: &[u8]) -> &'static str {
    let text = bytes[..bytes.len().min(256)].trim_ascii_start().to_ascii_lowercase();
    let contains = |needle: &[u8]| text.windows(needle.len()).any(|w| w == needle);
    match bytes {
        [b'M', b'Z', ..] | [0x7f, b'E', b'L', b'F', ..] => "a program",
        [b'P', b'K', 3, 4, ..] | [0x1f, 0x8b, ..] => "an archive",
        [b'%', b'P', b'D', b'F', ..] => "a PDF",
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => "a TIFF",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "a HEIC, AVIF or video file",
        _ if contains(b"<svg") => "an SVG drawing",
        _ if contains(b"<html") || contains(b"<!doctype") || contains(b"<script") => "a web page",
        _ => "something else",
    }
}

fn damaged(error: impl std::fmt::Display) -> Refusal {
    Refusal(format!("it is damaged or cut short ({error})"))
}

fn animated() -> Refusal {
    Refusal("it is an animation; export the frame that is meant as PNG or JPEG".into())
}

/// `decoded_bytes` is what the decoder will allocate for the pixels.
fn admit(width: u32, height: u32, decoded_bytes: u64, limits: &Limits) -> Result<(), Refusal> {
    if width == 0 || height == 0 {
        return Err(Refusal("it has no pixels".into()));
    }
    let bytes = decoded_bytes.max(u64::from(width) * u64::from(height) * 3);
    if width > limits.width || height > limits.height || bytes > limits.image_bytes {
        return Err(Refusal(format!(
            "it is {width}x{height} pixels; at most {}x{} and {} MiB decoded are taken",
            limits.width,
            limits.height,
            limits.image_bytes >> 20
        )));
    }
    Ok(())
}

fn library_limits(limits: &Limits) -> image::Limits {
    let mut library = image::Limits::default();
    library.max_image_width = Some(limits.width);
    library.max_image_height = Some(limits.height);
    // The decoder needs room beside the pixels themselves.
    library.max_alloc = Some(limits.image_bytes.saturating_mul(2));
    library
}

fn still(mut decoder: impl ImageDecoder, limits: &Limits) -> Pixels {
    let (width, height) = decoder.dimensions();
    admit(width, height, decoder.total_bytes(), limits)?;
    decoder.set_limits(library_limits(limits)).map_err(damaged)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let channels = channels(decoder.color_type());
    let mut image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    image.apply_orientation(orientation);
    Ok((image.into_rgb8(), channels))
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
    memory.max_alloc = Some(limits.image_bytes.saturating_mul(2));
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

fn gif(bytes: &[u8], limits: &Limits) -> Pixels {
    let mut decoder = GifDecoder::new(Cursor::new(bytes)).map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    admit(width, height, decoder.total_bytes(), limits)?;
    decoder.set_limits(library_limits(limits)).map_err(damaged)?;
    // Two frames are looked at, however many there are.
    let mut frames = decoder.into_frames();
    let first = frames.next().ok_or_else(|| Refusal("it has no frame".into()))?.map_err(damaged)?;
    if frames.next().is_some() {
        return Err(animated());
    }
    Ok((DynamicImage::ImageRgba8(first.into_buffer()).into_rgb8(), "rgb"))
}

/// JPEGs go straight to the decoder the `image` crate would use: headers are then parsed once, and CMYK arrives as RGB.
fn jpeg(bytes: &[u8], limits: &Limits) -> Pixels {
    if !jpeg_ends(bytes) {
        return Err(Refusal("it is cut short".into()));
    }
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(limits.width as usize)
        .set_max_height(limits.height as usize)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    // The limits of the options would hide the true size from the message, so headers are read without them first.
    let unlimited = options.set_max_width(usize::MAX).set_max_height(usize::MAX);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), unlimited);
    decoder.decode_headers().map_err(damaged)?;
    let (width, height) = decoder.dimensions().ok_or_else(|| damaged("no size"))?;
    let (width, height) = (width as u32, height as u32);
    admit(width, height, 0, limits)?;
    let channels = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => "gray",
        Some(ColorSpace::CMYK | ColorSpace::YCCK) => "cmyk",
        _ => "rgb",
    };
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif)).unwrap_or(Orientation::NoTransforms);
    decoder.set_options(options);
    let pixels = decoder.decode().map_err(damaged)?;
    let image = RgbImage::from_raw(width, height, pixels).ok_or_else(|| damaged("pixels are missing"))?;
    if orientation == Orientation::NoTransforms {
        return Ok((image, channels));
    }
    let mut image = DynamicImage::ImageRgb8(image);
    image.apply_orientation(orientation);
    Ok((image.into_rgb8(), channels))
}

/// Whether an end mark follows the first scan of the picture itself. The decoder would fill what is missing with gray and
/// say nothing; the thumbnail that cameras embed has an end mark of its own, so segments before the scan are stepped over.
fn jpeg_ends(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[mark, code, high, low]) = bytes.get(at..at + 4).and_then(|b| <&[u8; 4]>::try_from(b).ok()) {
        match (mark, code) {
            (0xff, 0xff) => at += 1,
            // From the end, where the mark is when all is well.
            (0xff, 0xda) => return bytes[at..].windows(2).rev().any(|w| w == [0xff, 0xd9]),
            (0xff, 0x01 | 0xd0..=0xd8) => at += 2,
            (0xff, _) => at += 2 + usize::from(u16::from_be_bytes([high, low])),
            // Stray bytes between segments; decoders skip them too.
            _ => at += 1,
        }
    }
    false
}
