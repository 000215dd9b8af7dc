//! JPEG, straight by the decoder the `image` crate would use: headers are then parsed once, and CMYK arrives as RGB.

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::decode::{Pixels, Refusal, admit, damaged, turned};
use crate::data::limits::Limits;

pub fn decode(bytes: &[u8], limits: &Limits) -> Pixels {
    if !ends(bytes) {
        return Err(Refusal("it is cut short".into()));
    }
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(limits.image_side as usize)
        .set_max_height(limits.image_side as usize)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    // The limits of the options would hide the true size from the message, so headers are read without them first.
    let unlimited = options.set_max_width(usize::MAX).set_max_height(usize::MAX);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), unlimited);
    decoder.decode_headers().map_err(damaged)?;
    let (width, height) = decoder.dimensions().ok_or_else(|| damaged("no size"))?;
    let (width, height) = (width as u32, height as u32);
    let room = admit(width, height, 0, limits)?;
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
        return Ok((image, channels, room));
    }
    let mut image = DynamicImage::ImageRgb8(image);
    image.apply_orientation(orientation);
    Ok((image.into_rgb8(), channels, room))
}

/// Width and height of the image as it is decoded, by its header.
pub fn sides(bytes: &[u8]) -> Option<(u32, u32)> {
    let options = DecoderOptions::default().set_strict_mode(false).set_max_width(usize::MAX).set_max_height(usize::MAX);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().ok()?;
    let (width, height) = decoder.dimensions()?;
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif)).unwrap_or(Orientation::NoTransforms);
    Some(turned((width as u32, height as u32), orientation))
}

/// Whether an end mark follows the first scan of the picture itself. The decoder would fill what is missing with gray and
/// say nothing; the thumbnail that cameras embed has an end mark of its own, so segments before the scan are stepped over.
fn ends(bytes: &[u8]) -> bool {
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
