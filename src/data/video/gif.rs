//! GIF as what it is: frames that are laid over each other, each shown for a time.

use std::io::Cursor;
use std::num::NonZeroU64;

use gif::{ColorOutput, DecodeOptions, Decoder, DisposalMethod, Frame, MemoryLimit};
use image::RgbImage;

use crate::data::error::Refusal;
use crate::data::limits::Limits;

/// More frames than this are a film, which is better sent as one.
const MOST_FRAMES: usize = 20_000;
/// Seconds of a frame that says less than two hundredths, as browsers have it.
const SHORTEST: u16 = 2;
const USUAL: u16 = 10;

/// How many frames it has, and when each begins, in seconds from the first, with the end of the last.
pub struct Shown {
    pub times: Vec<f64>,
    pub end: f64,
}

fn damaged(error: impl std::fmt::Display) -> Refusal {
    Refusal(format!("it is damaged or cut short ({error})"))
}

fn open<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Decoder<Cursor<&'a [u8]>>, Refusal> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::RGBA);
    let most = NonZeroU64::new(limits.image_bytes()).ok_or_else(|| damaged("no room"))?;
    options.set_memory_limit(MemoryLimit::Bytes(most));
    options.check_frame_consistency(true);
    let decoder = options.read_info(Cursor::new(bytes)).map_err(damaged)?;
    let (width, height) = (u64::from(decoder.width()), u64::from(decoder.height()));
    if width == 0 || height == 0 || width * height > limits.image_pixels {
        return Err(Refusal(format!("it is {width}x{height} pixels; 1 to {} are taken", limits.image_pixels)));
    }
    Ok(decoder)
}

/// Looks at its frames without decoding one.
///
/// # Errors
/// In words: it is no whole GIF, or has no frame.
pub fn look(bytes: &[u8], limits: &Limits) -> Result<Shown, Refusal> {
    let mut decoder = open(bytes, limits)?;
    let (mut times, mut end) = (Vec::new(), 0.0);
    while let Some(frame) = decoder.next_frame_info().map_err(damaged)? {
        if times.len() == MOST_FRAMES {
            return Err(Refusal(format!("it has more than {MOST_FRAMES} frames; send it as mp4 or webm")));
        }
        times.push(end);
        end += f64::from(if frame.delay < SHORTEST { USUAL } else { frame.delay }) / 100.0;
    }
    match times.is_empty() {
        true => Err(Refusal("it has no frame".into())),
        false => Ok(Shown { times, end }),
    }
}

/// These frames as they are seen, which rise and are each there once. What nothing was laid over is black.
///
/// # Errors
/// In words, where one is damaged.
pub fn take(bytes: &[u8], at: &[usize], limits: &Limits) -> Result<Vec<RgbImage>, Refusal> {
    let mut decoder = open(bytes, limits)?;
    let mut canvas = RgbImage::new(u32::from(decoder.width()), u32::from(decoder.height()));
    let (mut found, mut wanted, mut number) = (Vec::with_capacity(at.len()), at.iter().peekable(), 0);
    while wanted.peek().is_some() {
        let Some(frame) = decoder.read_next_frame().map_err(damaged)? else { break };
        let before = (frame.dispose == DisposalMethod::Previous).then(|| canvas.clone());
        lay(&mut canvas, frame, false);
        if wanted.next_if_eq(&&number).is_some() {
            found.push(canvas.clone());
        }
        match (frame.dispose, before) {
            (DisposalMethod::Background, _) => lay(&mut canvas, frame, true),
            (_, Some(before)) => canvas = before,
            _ => {}
        }
        number += 1;
    }
    Ok(found)
}

/// Lays a frame over what is there, or takes its place away.
fn lay(canvas: &mut RgbImage, frame: &Frame<'_>, away: bool) {
    let (left, top) = (u32::from(frame.left), u32::from(frame.top));
    for (row, pixels) in frame.buffer.chunks_exact(4 * usize::from(frame.width).max(1)).enumerate() {
        for (column, [red, green, blue, alpha]) in pixels.as_chunks::<4>().0.iter().enumerate() {
            if let Some(pixel) = canvas.get_pixel_mut_checked(left + column as u32, top + row as u32)
                && (away || *alpha > 0)
            {
                pixel.0 = if away { [0; 3] } else { [*red, *green, *blue] };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A white dot that moves over black, the first frame whole, the others small.
    fn dots(count: u16, dispose: DisposalMethod) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = gif::Encoder::new(&mut bytes, 8, 4, &[0, 0, 0, 255, 255, 255]).unwrap();
        for at in 0..count {
            let mut frame = match at {
                0 => Frame::from_indexed_pixels(8, 4, [1].into_iter().chain([0; 31]).collect::<Vec<u8>>(), None),
                _ => Frame::from_indexed_pixels(1, 1, vec![1], None),
            };
            (frame.left, frame.delay, frame.dispose) = (at, 5 * (at + 1), dispose);
            encoder.write_frame(&frame).unwrap();
        }
        drop(encoder);
        bytes
    }

    #[test]
    fn frames_are_laid_over_each_other() {
        let limits = Limits::default();
        let bytes = dots(3, DisposalMethod::Keep);
        let shown = look(&bytes, &limits).unwrap();
        assert_eq!(shown.times.len(), 3);
        assert!((shown.times[2] - 0.15).abs() < 1e-9 && (shown.end - 0.3).abs() < 1e-9);
        let frames = take(&bytes, &[0, 2], &limits).unwrap();
        let white = |frame: &RgbImage| (0..8).filter(|x| frame.get_pixel(*x, 0).0 == [255; 3]).collect::<Vec<_>>();
        assert_eq!((white(&frames[0]), white(&frames[1])), (vec![0], vec![0, 1, 2]));
        let gone = take(&dots(3, DisposalMethod::Background), &[2], &limits).unwrap();
        assert_eq!(white(&gone[0]), [2]);
    }

    #[test]
    fn what_is_no_whole_gif_is_refused() {
        let bytes = dots(3, DisposalMethod::Keep);
        assert!(look(b"GIF89a", &Limits::default()).is_err() && look(b"PNG", &Limits::default()).is_err());
        let small = Limits { image_pixels: 8, ..Limits::default() };
        assert!(look(&bytes, &small).is_err_and(|refusal| refusal.0.contains("8x4")));
    }
}
