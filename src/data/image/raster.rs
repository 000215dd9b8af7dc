//! Images whose values are numbers and not light: masks. They are taken as they are stored, an index of a palette as the index, 16 bits as
//! 16 bits, and no orientation is applied.

use std::io::Cursor;
use std::panic::AssertUnwindSafe;

use image::codecs::{bmp::BmpDecoder, pnm::PnmDecoder, tiff::TiffDecoder};
use image::{DynamicImage, ImageDecoder};
use png::{BitDepth, ColorType, Transformations};

use super::decode::{admit, damaged};
use super::format::Format;
use crate::data::error::Refusal;
use crate::data::limits::Limits;

/// What lies in each pixel, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raster {
    /// Gray levels, or indices with the palette's colours where there is one.
    Values {
        width: u32,
        height: u32,
        values: Vec<u16>,
        palette: Vec<[u8; 3]>,
    },
    Colours {
        width: u32,
        height: u32,
        values: Vec<[u8; 3]>,
    },
}

impl Raster {
    pub fn width(&self) -> u32 {
        let (Raster::Values { width, .. } | Raster::Colours { width, .. }) = self;
        *width
    }

    pub fn height(&self) -> u32 {
        let (Raster::Values { height, .. } | Raster::Colours { height, .. }) = self;
        *height
    }

    /// The colour of each pixel: of an index that of the palette, of a gray level that level three times.
    pub fn colours(&self) -> Box<dyn Iterator<Item = [u8; 3]> + '_> {
        match self {
            Raster::Colours { values, .. } => Box::new(values.iter().copied()),
            Raster::Values { values, palette, .. } => {
                let colour = |value: &u16| palette.get(usize::from(*value)).copied().unwrap_or([(*value).min(255) as u8; 3]);
                Box::new(values.iter().map(colour))
            }
        }
    }
}

/// The values of an encoded image. Colours of which all three are equal everywhere are gray levels.
///
/// # Errors
/// [`Refusal`] of what is no image, larger than the limits, damaged, or packed so that its values are no longer what they were.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Raster, Refusal> {
    let format = Format::of(bytes)?;
    let read = Cursor::new(bytes);
    let decoded = std::panic::catch_unwind(AssertUnwindSafe(|| match format {
        Format::Png => of_png(bytes, limits),
        Format::Tiff => other(TiffDecoder::new(read).map_err(damaged)?, limits),
        Format::Bmp => other(BmpDecoder::new(read).map_err(damaged)?, limits),
        Format::Pnm => other(PnmDecoder::new(read).map_err(damaged)?, limits),
        lossy => Err(Refusal(format!("a mask is kept exactly, which {} does not promise; save it as PNG", lossy.as_str()))),
    }));
    let raster = decoded.unwrap_or_else(|_| Err(Refusal("its data is damaged in a way that breaks the decoder".into())))?;
    Ok(match raster {
        Raster::Colours { width, height, values } if values.iter().all(|[r, g, b]| r == g && g == b) => {
            Raster::Values { width, height, values: values.iter().map(|[gray, ..]| u16::from(*gray)).collect(), palette: Vec::new() }
        }
        other => other,
    })
}

fn other(decoder: impl ImageDecoder, limits: &Limits) -> Result<Raster, Refusal> {
    let (width, height) = decoder.dimensions();
    let _room = admit(width, height, decoder.total_bytes(), limits)?;
    let gray = |values: Vec<u16>| Raster::Values { width, height, values, palette: Vec::new() };
    Ok(match DynamicImage::from_decoder(decoder).map_err(damaged)? {
        DynamicImage::ImageLuma8(image) => gray(image.into_raw().into_iter().map(u16::from).collect()),
        DynamicImage::ImageLuma16(image) => gray(image.into_raw()),
        image => Raster::Colours { width, height, values: image.into_rgb8().as_raw().as_chunks::<3>().0.to_vec() },
    })
}

/// By the decoder itself: `image` turns a palette's indices into colours.
fn of_png(bytes: &[u8], limits: &Limits) -> Result<Raster, Refusal> {
    let memory = png::Limits { bytes: usize::try_from(limits.image_bytes().saturating_mul(2)).unwrap_or(usize::MAX) };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), memory);
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(damaged)?;
    let info = reader.info();
    let (width, height, colour, depth) = (info.width, info.height, info.color_type, info.bit_depth);
    if info.animation_control.is_some() {
        return Err(Refusal("it is an animation; export the frame that is meant as PNG".into()));
    }
    let palette: Vec<[u8; 3]> = info.palette.as_ref().map(|palette| palette.as_chunks::<3>().0.to_vec()).unwrap_or_default();
    let size = reader.output_buffer_size().ok_or_else(|| damaged("it is too large"))?;
    let _room = admit(width, height, size as u64, limits)?;
    let mut buffer = vec![0; size];
    reader.next_frame(&mut buffer).map_err(damaged)?;
    let row_bytes = size / height as usize;
    let rows = buffer.chunks_exact(row_bytes);
    let (w, wide) = (width as usize, depth == BitDepth::Sixteen);
    let channels = match colour {
        ColorType::Grayscale | ColorType::Indexed => {
            let values = rows.flat_map(|row| unpacked(row, depth, w)).collect();
            return Ok(Raster::Values { width, height, values, palette });
        }
        ColorType::GrayscaleAlpha => 2,
        ColorType::Rgb => 3,
        ColorType::Rgba => 4,
    };
    // Of 16 bits the upper ones.
    let step = if wide { 2 } else { 1 };
    let pixels = rows.flat_map(|row| row.chunks_exact(channels * step).take(w));
    if channels == 2 {
        let value = |pixel: &[u8]| if wide { u16::from_be_bytes([pixel[0], pixel[1]]) } else { u16::from(pixel[0]) };
        return Ok(Raster::Values { width, height, values: pixels.map(value).collect(), palette });
    }
    Ok(Raster::Colours { width, height, values: pixels.map(|pixel| [pixel[0], pixel[step], pixel[2 * step]]).collect() })
}

/// One row of gray levels or indices of so many bits.
fn unpacked(row: &[u8], depth: BitDepth, width: usize) -> Vec<u16> {
    let bits = match depth {
        BitDepth::Sixteen => return row.as_chunks::<2>().0.iter().take(width).map(|pair| u16::from_be_bytes(*pair)).collect(),
        BitDepth::Eight => return row.iter().take(width).map(|value| u16::from(*value)).collect(),
        BitDepth::One => 1,
        BitDepth::Two => 2,
        BitDepth::Four => 4,
    };
    let each = 8 / bits;
    let value = |at: usize| u16::from((row[at / each] >> (8 - bits * (at % each + 1))) & ((1u8 << bits) - 1));
    (0..width.min(row.len() * each)).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png_of(colour: ColorType, depth: BitDepth, (width, height): (u32, u32), data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, width, height);
        encoder.set_color(colour);
        encoder.set_depth(depth);
        if colour == ColorType::Indexed {
            encoder.set_palette(vec![0, 0, 0, 255, 0, 0, 0, 255, 0, 9, 9, 9]);
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        out
    }

    fn read(bytes: &[u8]) -> Raster {
        decode(bytes, &Limits::default()).unwrap()
    }

    #[test]
    fn values_are_taken_as_they_are_stored() {
        let Raster::Values { values, palette, .. } = read(&png_of(ColorType::Indexed, BitDepth::Two, (5, 1), &[0b0001_1011, 0b0100_0000]))
        else {
            panic!("indices")
        };
        assert_eq!((values, palette[1]), (vec![0, 1, 2, 3, 1], [255, 0, 0]));
        let wide = read(&png_of(ColorType::Grayscale, BitDepth::Sixteen, (2, 1), &[1, 44, 0, 7]));
        assert_eq!(wide, Raster::Values { width: 2, height: 1, values: vec![300, 7], palette: vec![] });
        let bits = read(&png_of(ColorType::Grayscale, BitDepth::One, (3, 2), &[0b1010_0000, 0b0100_0000]));
        assert_eq!(bits, Raster::Values { width: 3, height: 2, values: vec![1, 0, 1, 0, 1, 0], palette: vec![] });
        let colours = read(&png_of(ColorType::Rgb, BitDepth::Eight, (2, 1), &[1, 2, 3, 4, 4, 4]));
        assert_eq!(colours, Raster::Colours { width: 2, height: 1, values: vec![[1, 2, 3], [4, 4, 4]] });
        let gray = read(&png_of(ColorType::Rgb, BitDepth::Eight, (2, 1), &[1, 1, 1, 4, 4, 4]));
        assert_eq!(gray, Raster::Values { width: 2, height: 1, values: vec![1, 4], palette: vec![] });
    }

    #[test]
    fn what_is_not_exact_is_refused() {
        let mut jpeg = Vec::new();
        let flat = [128u8; 8 * 8 * 3];
        image::codecs::jpeg::JpegEncoder::new(&mut jpeg).encode(&flat, 8, 8, image::ExtendedColorType::Rgb8).unwrap();
        assert!(decode(&jpeg, &Limits::default()).unwrap_err().0.contains("jpeg"));
        let png = png_of(ColorType::Grayscale, BitDepth::Eight, (2, 1), &[1, 2]);
        assert!(decode(&png[..png.len() - 20], &Limits::default()).is_err());
    }
}
