//! GIF: one frame, with the colours of its palette. What is transparent keeps the colour that lies there, as in a PNG.

use std::io::Cursor;

use gif::{ColorOutput, DecodeOptions, MemoryLimit};
use image::RgbImage;

use super::decode::{Pixels, Refusal, admit, animated, damaged};
use crate::data::limits::Limits;

pub fn decode(bytes: &[u8], limits: &Limits) -> Pixels {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    let most = std::num::NonZeroU64::new(limits.image_bytes()).ok_or_else(|| damaged("no room"))?;
    options.set_memory_limit(MemoryLimit::Bytes(most));
    options.check_frame_consistency(true);
    let mut decoder = options.read_info(Cursor::new(bytes)).map_err(damaged)?;
    let (width, height) = (u32::from(decoder.width()), u32::from(decoder.height()));
    let room = admit(width, height, u64::from(width) * u64::from(height), limits)?;
    let global = decoder.global_palette().map(<[u8]>::to_vec);
    let frame = decoder.read_next_frame().map_err(damaged)?.ok_or_else(|| Refusal("it has no frame".into()))?;
    let palette = frame.palette.clone().or(global).ok_or_else(|| damaged("it has no palette"))?;
    let colour = |index: u8| *palette.as_chunks::<3>().0.get(usize::from(index)).unwrap_or(&[0; 3]);
    // Outside of its frame a picture is transparent, or of the first colour.
    let mut image = RgbImage::from_pixel(width, height, image::Rgb(colour(frame.transparent.unwrap_or(0))));
    let (left, top) = (u32::from(frame.left), u32::from(frame.top));
    for (row, indices) in frame.buffer.chunks_exact(usize::from(frame.width).max(1)).enumerate() {
        for (column, index) in indices.iter().enumerate() {
            if let Some(pixel) = image.get_pixel_mut_checked(left + column as u32, top + row as u32) {
                pixel.0 = colour(*index);
            }
        }
    }
    // A second frame is only looked for: which of them was meant is a guess.
    if decoder.next_frame_info().map_err(damaged)?.is_some() {
        return Err(animated());
    }
    Ok((image, "rgb", room))
}
