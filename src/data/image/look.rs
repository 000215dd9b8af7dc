//! What an image looks like, in 300 bytes: enough to find the same picture again after it was encoded anew, resized, made
//! a little brighter or darker, or mirrored; and to tell apart pictures that only resemble each other.
//!
//! ```text
//! keys    signs of the lowest 8 x 8 frequencies of the picture in 16 x 16 gray cells, and those of its mirror image
//! detail  256 x gray u8 | 16 x (blue - gray) / 2 i8 | 16 x (red - gray) / 2 i8, in 4 x 4 cells
//! ```

use std::f32::consts::PI;
use std::hash::{DefaultHasher, Hash, Hasher};

use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

use super::transform::{Rgb, resize_rgb};
use crate::data::modality::Look;

const SIDE: usize = 16;
const CELLS: usize = SIDE * SIDE;
/// Frequencies along each axis that make a key.
const LOW: usize = 8;
/// Cells along each side that keep colour.
const TINTS: usize = 4;
/// Standard deviation of gray, of 255, under which all pictures look alike: blanks, fog, flat colours.
const FLAT: f32 = 6.0;
/// A frequency counts as there from this share of their root mean square on; weaker ones change sign with any noise.
const PRESENT: f32 = 0.15;
/// Share of the contrast that must be the same.
const SAME: f32 = 0.98;
/// What brightening may do to contrast and to the mean.
const GAIN: std::ops::RangeInclusive<f32> = 0.6..=1.67;
const SHIFT: f32 = 48.0;
/// The most that one cell may differ by: more is another thing in the same place. Of pictures of clothes that resemble each
/// other most, taken all alike, every two differ by 31 somewhere; pictures and their copies by 13 at most, if no pixel is
/// brightened beyond white.
const ODD_CELL: f32 = 24.0;
/// Mean and largest difference of colour, in halves of levels.
const TINT: f32 = 5.0;
const ODD_TINT: f32 = 12.0;

/// Of pixels as they were decoded.
pub fn of_image(image: &RgbImage) -> Look {
    let mut content = DefaultHasher::new();
    (image.width(), image.height(), image.as_raw()).hash(&mut content);
    let content = content.finish();
    let source = Rgb { width: image.width(), height: image.height(), bytes: image.as_raw() };
    let mut small = vec![0; 3 * CELLS];
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    if resize_rgb(&mut Resizer::new(), source, (SIDE as u32, SIDE as u32, &mut small), &options).is_err() {
        return Look { content, keys: None, detail: Box::default() };
    }
    let gray: Vec<f32> = small.as_chunks::<3>().0.iter().map(|&pixel| luma(pixel)).collect();
    if variance(&gray) < FLAT * FLAT {
        return Look { content, keys: None, detail: Box::default() };
    }
    let tints = |channel: usize| tints(&small, &gray, channel);
    let detail = gray.iter().map(|value| value.round() as u8).chain(tints(2)).chain(tints(0)).collect();
    Look { content, keys: Some(keys(&gray)), detail }
}

fn luma([r, g, b]: [u8; 3]) -> f32 {
    0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b)
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len() as f32
}

fn variance(values: &[f32]) -> f32 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / values.len() as f32
}

/// How much more there is of one channel than of gray, in coarse cells.
fn tints(small: &[u8], gray: &[f32], channel: usize) -> Vec<u8> {
    let mut sums = [0.0; TINTS * TINTS];
    for (at, gray) in gray.iter().enumerate() {
        let (x, y) = (at % SIDE * TINTS / SIDE, at / SIDE * TINTS / SIDE);
        sums[y * TINTS + x] += f32::from(small[3 * at + channel]) - gray;
    }
    let each = 2.0 * (CELLS / (TINTS * TINTS)) as f32;
    sums.iter().map(|sum| ((sum / each).round() as i8).cast_unsigned()).collect()
}

/// One bit a frequency (Ahmed, Natarajan, Rao 1974: the cosine transform): whether it is there, and positive.
fn keys(gray: &[f32]) -> [u64; 2] {
    let wave = |k: usize, at: usize| (PI * k as f32 * (at as f32 + 0.5) / SIDE as f32).cos();
    let mut rows = [[0.0; LOW]; SIDE];
    for (y, row) in rows.iter_mut().enumerate() {
        for (k, sum) in row.iter_mut().enumerate() {
            *sum = (0..SIDE).map(|x| gray[y * SIDE + x] * wave(k, x)).sum();
        }
    }
    let frequency = |across: usize, down: usize| (0..SIDE).map(|y| rows[y][across] * wave(down, y)).sum::<f32>();
    let all: Vec<f32> = (0..LOW * LOW).map(|at| if at == 0 { 0.0 } else { frequency(at % LOW, at / LOW) }).collect();
    let least = PRESENT * (all.iter().map(|value| value * value).sum::<f32>() / all.len() as f32).sqrt();
    let key = |flip: f32| {
        let bit = |(at, value): (usize, &f32)| {
            // A mirrored wave of odd frequency is the same wave upside down.
            let value = if at % 2 == 1 { flip * value } else { *value };
            u64::from(value > least) << at
        };
        all.iter().enumerate().map(bit).sum()
    };
    [key(1.0), key(-1.0)]
}

/// Whether two looks are of the same picture.
pub fn are_alike(a: &Look, b: &Look) -> bool {
    let whole = CELLS + 2 * TINTS * TINTS;
    a.detail.len() == whole && b.detail.len() == whole && [false, true].into_iter().any(|mirrored| fits(&a.detail, &b.detail, mirrored))
}

/// The values of `side x side` cells, in rows.
fn cells(values: &[u8], side: usize, mirrored: bool, value: fn(u8) -> f32) -> Vec<f32> {
    let place = |at: usize| if mirrored { at / side * side + side - 1 - at % side } else { at };
    (0..side * side).map(|at| value(values[place(at)])).collect()
}

/// Means, variances and covariance of two rows of cells. Whole numbers add up exactly, and a processor adds many at once: of a large data
/// set of things that resemble each other hundreds of thousands of pairs are looked at.
struct Moments {
    means: [f32; 2],
    variances: [f32; 2],
    together: f32,
}

impl Moments {
    fn of(x: &[u8; CELLS], y: &[u8; CELLS]) -> Moments {
        let sum = |values: &[u8; CELLS]| values.iter().map(|value| u32::from(*value)).sum::<u32>();
        let product = |a: &[u8; CELLS], b: &[u8; CELLS]| a.iter().zip(b).map(|(a, b)| u32::from(*a) * u32::from(*b)).sum::<u32>();
        let mean = |sum: u32| f64::from(sum) / CELLS as f64;
        let (mean_x, mean_y) = (mean(sum(x)), mean(sum(y)));
        let variances = [mean(product(x, x)) - mean_x * mean_x, mean(product(y, y)) - mean_y * mean_y];
        let together = mean(product(x, y)) - mean_x * mean_y;
        Moments { means: [mean_x as f32, mean_y as f32], variances: variances.map(|value| value as f32), together: together as f32 }
    }
}

/// The gray cells, in rows, each backwards where they are mirrored.
fn grays(detail: &[u8], mirrored: bool) -> Option<[u8; CELLS]> {
    let mut cells = *detail.first_chunk::<CELLS>()?;
    if mirrored {
        cells.chunks_exact_mut(SIDE).for_each(<[u8]>::reverse);
    }
    Some(cells)
}

fn fits(a: &[u8], b: &[u8], mirrored: bool) -> bool {
    let (Some(x), Some(y)) = (grays(a, false), grays(b, mirrored)) else { return false };
    let Moments { means: [mean_x, mean_y], variances: [var_x, var_y], together } = Moments::of(&x, &y);
    let gain = together / var_x.max(f32::EPSILON);
    let same = together > 0.0 && together * together >= SAME * var_x * var_y;
    if !same || !GAIN.contains(&gain) || (mean_y - mean_x).abs() > SHIFT {
        return false;
    }
    let odd = |(x, y): (&u8, &u8)| ((f32::from(*y) - mean_y) - gain * (f32::from(*x) - mean_x)).abs() > ODD_CELL;
    if x.iter().zip(&y).any(odd) {
        return false;
    }
    let tint = |byte: u8| f32::from(byte.cast_signed());
    (0..2).all(|plane| {
        let at = CELLS + plane * TINTS * TINTS;
        let (x, y) = (cells(&a[at..], TINTS, false, tint), cells(&b[at..], TINTS, mirrored, tint));
        let off: Vec<f32> = x.iter().zip(&y).map(|(x, y)| (y - gain * x).abs()).collect();
        mean(&off) <= TINT && off.iter().all(|off| *off <= ODD_TINT)
    })
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use image::imageops::{self, FilterType};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Soft blobs of colour, as pictures have them.
    fn picture(seed: u64) -> RgbImage {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let blobs: Vec<[f32; 6]> = (0..12).map(|_| std::array::from_fn(|_| random.random_range(0.0f32..1.0))).collect();
        RgbImage::from_fn(160, 120, |x, y| {
            let mut sum = [60.0f32; 3];
            for [bx, by, size, r, g, b] in &blobs {
                let far = (x as f32 / 160.0 - bx).powi(2) + (y as f32 / 120.0 - by).powi(2);
                let weight = (-far / (0.005 + 0.04 * size)).exp();
                sum.iter_mut().zip([r, g, b]).for_each(|(sum, c)| *sum += 160.0 * weight * (c - 0.4));
            }
            Rgb(sum.map(|value| value.clamp(0.0, 255.0) as u8))
        })
    }

    fn through_jpeg(image: &RgbImage, quality: u8) -> RgbImage {
        let mut bytes = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(image).unwrap();
        image::load_from_memory(&bytes).unwrap().into_rgb8()
    }

    fn alike(a: &RgbImage, b: &RgbImage) -> bool {
        let (a, b) = (of_image(a), of_image(b));
        let near = |a: u64, b: u64| (a ^ b).count_ones() <= crate::data::copies::RADIUS;
        let found = a.keys.zip(b.keys).is_some_and(|(a, b)| near(a[0], b[0]) || near(a[1], b[0]));
        found && are_alike(&a, &b)
    }

    #[test]
    fn the_same_picture_is_found_again_and_others_are_others() {
        for seed in 0..16 {
            let picture = picture(seed);
            assert!(alike(&picture, &through_jpeg(&picture, 60)), "{seed}: encoded anew");
            assert!(alike(&picture, &imageops::resize(&picture, 70, 60, FilterType::Triangle)), "{seed}: resized");
            assert!(alike(&picture, &imageops::brighten(&picture, 20)), "{seed}: brighter");
            assert!(alike(&picture, &imageops::flip_horizontal(&picture)), "{seed}: mirrored");
            let worn = imageops::brighten(&imageops::flip_horizontal(&picture), 12);
            assert!(alike(&picture, &through_jpeg(&imageops::resize(&worn, 96, 72, FilterType::CatmullRom), 75)), "{seed}: all of it");
            for other in 0..seed {
                assert!(!alike(&picture, &self::picture(other)), "{seed} and {other}");
            }
        }
    }

    #[test]
    fn blanks_have_no_look_and_colour_counts() {
        let flat = |level: u8| of_image(&RgbImage::from_pixel(40, 40, Rgb([level; 3])));
        assert!(flat(10).keys.is_none() && flat(240).keys.is_none());
        assert_eq!(flat(10).content, flat(10).content);
        assert_ne!(flat(10).content, flat(11).content);
        let disc = |colour: [u8; 3]| {
            RgbImage::from_fn(64, 64, |x, y| Rgb(if (x as i32 - 30).pow(2) + (y as i32 - 36).pow(2) < 300 { colour } else { [250; 3] }))
        };
        assert!(alike(&disc([200, 30, 30]), &disc([190, 36, 36])) && !alike(&disc([200, 30, 30]), &disc([30, 30, 200])));
        let noise = |seed: u64| {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            RgbImage::from_fn(24, 24, |_, _| Rgb(random.random()))
        };
        assert!(alike(&noise(1), &imageops::flip_horizontal(&noise(1))) && !alike(&noise(1), &noise(2)));
    }
}
