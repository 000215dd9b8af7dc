//! Words in pictures, by a font of eight by eight pixels a letter (the public domain's, by Marcel Sondaar, IBM and Daniel Hepper): Latin, Greek
//! and Hiragana. Letters that it does not have are boxes.

use font8x8::UnicodeFonts;
use image::{Rgb, RgbImage};

/// Pixels of a letter's side, before it is made larger.
const SIDE: u32 = 8;
/// What stands for a letter that the font does not have.
const UNKNOWN: [u8; 8] = [0x7e, 0x42, 0x42, 0x42, 0x42, 0x42, 0x7e, 0];
/// More letters of a name are not written.
const MOST: usize = 40;

/// A word over an image: where its upper left corner is to be, how many times as large as the font's letters are, and its ground. Letters are black or
/// white, whichever is told better from the ground. What does not fit is moved into the image, as far as it can be.
pub fn write(image: &mut RgbImage, word: &str, [left, top]: [u32; 2], scale: u32, ground: [u8; 3]) {
    let letters: Vec<[u8; 8]> = word.chars().take(MOST).map(letter).collect();
    let (width, height) = (SIDE * scale * letters.len() as u32, SIDE * scale + scale);
    let (left, top) = (left.min(image.width().saturating_sub(width)), top.min(image.height().saturating_sub(height)));
    let light = 299 * u32::from(ground[0]) + 587 * u32::from(ground[1]) + 114 * u32::from(ground[2]);
    let ink = if light > 128 * 1_000 { [0; 3] } else { [255; 3] };
    for y in 0..height.min(image.height() - top) {
        for x in 0..width.min(image.width() - left) {
            // A line of ground above the letters.
            let (column, row) = (x / scale, (y / scale).checked_sub(1));
            let bits = row.map_or(0, |row| letters[(column / SIDE) as usize][row as usize]);
            let on = (bits >> (column % SIDE)) & 1 == 1;
            image.put_pixel(left + x, top + y, Rgb(if on { ink } else { ground }));
        }
    }
}

/// Rows of a letter, the lowest bit on the left.
fn letter(letter: char) -> [u8; 8] {
    let known = font8x8::BASIC_FONTS.get(letter).or_else(|| font8x8::LATIN_FONTS.get(letter));
    known.or_else(|| font8x8::GREEK_FONTS.get(letter)).or_else(|| font8x8::HIRAGANA_FONTS.get(letter)).unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The picture as text, a sign for a pixel.
    fn told(image: &RgbImage, ground: [u8; 3]) -> Vec<String> {
        let sign = |pixel: &Rgb<u8>| match pixel.0 {
            [0, 0, 0] => '#',
            own if own == ground => '.',
            _ => ' ',
        };
        image.rows().map(|row| row.map(&sign).collect()).collect()
    }

    #[test]
    fn letters_stand_upright_on_their_ground() {
        let (ground, mut image) = ([250, 240, 10], RgbImage::from_pixel(20, 10, Rgb([9, 9, 9])));
        write(&mut image, "LT", [1, 0], 1, ground);
        let rows = told(&image, ground);
        assert!(rows[0].starts_with(" ................ ") && rows[9].trim().is_empty(), "{rows:#?}");
        let inked = |rows: &[String], from: usize| rows.iter().map(|row| row[from..from + 8].matches('#').count()).collect::<Vec<_>>();
        let (l, t) = (inked(&rows, 1), inked(&rows, 9));
        // An L is wide below and a T above, and an L's stroke is on the left.
        assert!(l[7] > l[1] && t[1] > t[7], "{rows:#?}");
        assert!(rows[3][1..5].contains('#') && !rows[3][5..9].contains('#'), "{rows:#?}");
    }

    #[test]
    fn words_are_moved_into_the_image_and_enlarged_and_unknown_letters_are_boxes() {
        let (ground, mut image) = ([255; 3], RgbImage::new(40, 20));
        write(&mut image, "a", [39, 19], 2, ground);
        assert_eq!((image.get_pixel(24, 2).0, image.get_pixel(23, 2).0), (ground, [0; 3]), "sixteen pixels from the right edge");
        write(&mut RgbImage::new(4, 4), "much too long", [0, 0], 3, ground);
        write(&mut image, "", [0, 0], 1, ground);
        assert_eq!((letter('犬'), letter('A') == UNKNOWN, letter('é') == UNKNOWN, letter('ж')), (UNKNOWN, false, false, UNKNOWN));
    }
}
