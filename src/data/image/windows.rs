//! Large images in windows that overlap, for a network that sees so much of an image at once.

use std::io::Cursor;

use image::{ImageFormat, RgbImage, imageops};

use super::decode;
use crate::data::error::Refusal;
use crate::data::limits::Limits;

/// How much larger than a window an image's side is before it is cut up.
const LARGER: f64 = 1.5;

/// Of a window's side, from one window to the next.
const STEP: f64 = 0.75;

/// A part of an image, as an image of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
    /// PNG.
    pub encoded: Vec<u8>,
}

/// Where windows of this length begin along a side, so that they overlap and reach both ends.
fn starts(side: u32, window: u32) -> Vec<u32> {
    if side <= window {
        return vec![0];
    }
    let step = (f64::from(window) * STEP).max(1.0);
    let count = (f64::from(side - window) / step).ceil() as u32 + 1;
    (0..count).map(|at| (u64::from(side - window) * u64::from(at) / u64::from(count - 1)) as u32).collect()
}

/// The windows of an encoded image, each of these sides at most; none where it is hardly larger than one.
///
/// # Errors
/// It cannot be decoded.
pub fn windows(item: &[u8], limits: &Limits, (width, height): (u32, u32)) -> Result<Vec<Window>, Refusal> {
    let larger = |side: u32, window: u32| f64::from(side) > LARGER * f64::from(window);
    match decode::sides(item, limits) {
        Some((across, down)) if width > 0 && height > 0 && (larger(across, width) || larger(down, height)) => {}
        _ => return Ok(Vec::new()),
    }
    let image = decode::decode(item, limits)?;
    let (across, down) = image.dimensions();
    let mut found = Vec::new();
    for top in starts(down, height) {
        for left in starts(across, width) {
            found.push(cut(&image, [left, top, width.min(across), height.min(down)])?);
        }
    }
    Ok(found)
}

fn cut(image: &RgbImage, [left, top, width, height]: [u32; 4]) -> Result<Window, Refusal> {
    let part = imageops::crop_imm(image, left, top, width, height).to_image();
    let mut bytes = Cursor::new(Vec::new());
    part.write_to(&mut bytes, ImageFormat::Png).map_err(|error| Refusal(format!("a part of it could not be cut out ({error})")))?;
    Ok(Window { left, top, width, height, encoded: bytes.into_inner() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_overlap_and_reach_both_ends() {
        assert_eq!(starts(100, 100), [0]);
        assert_eq!(starts(101, 100), [0, 1]);
        for (side, window) in [(400, 100), (333, 64), (1000, 999)] {
            let starts = starts(side, window);
            assert_eq!((starts[0], starts[starts.len() - 1] + window), (0, side));
            assert!(starts.windows(2).all(|pair| pair[1] > pair[0] && pair[1] - pair[0] <= window * 3 / 4 + 1), "{starts:?}");
        }
    }

    #[test]
    fn windows_show_the_image_and_small_images_have_none() {
        let image = RgbImage::from_fn(50, 20, |x, y| image::Rgb([x as u8 * 5, y as u8 * 10, 7]));
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        let bytes = bytes.into_inner();
        let found = windows(&bytes, &Limits::default(), (20, 20)).unwrap();
        assert_eq!(found.iter().map(|window| (window.left, window.top)).collect::<Vec<_>>(), [(0, 0), (15, 0), (30, 0)]);
        for window in &found {
            let part = decode::decode(&window.encoded, &Limits::default()).unwrap();
            assert_eq!((part.dimensions(), *part.get_pixel(3, 4)), ((20, 20), *image.get_pixel(window.left + 3, 4)));
        }
        assert!(windows(&bytes, &Limits::default(), (40, 20)).unwrap().is_empty(), "hardly larger");
        assert!(windows(b"no image", &Limits::default(), (40, 20)).unwrap().is_empty(), "who reads it says why");
    }
}
