//! The operations that RandAugment and TrivialAugment draw from, as torchvision defines them for tensors of bytes.

use super::colour::{self, blend};

/// What is done to an image, with its magnitude in the operation's own unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op {
    Identity,
    /// Pixels across for each pixel down.
    ShearX(f64),
    /// Pixels down for each pixel across.
    ShearY(f64),
    /// Pixels.
    TranslateX(i64),
    TranslateY(i64),
    /// Degrees, counter-clockwise.
    Rotate(f64),
    /// Factors around 1.
    Brightness(f64),
    Color(f64),
    Contrast(f64),
    Sharpness(f64),
    /// Bits that are kept.
    Posterize(u32),
    /// Values from here on are inverted.
    Solarize(f64),
    AutoContrast,
    Equalize,
}

type Pixel = [u8; 3];

impl Op {
    /// Changes an image of so many pixels across in place; what was not in it is black.
    pub fn apply(self, pixels: &mut [Pixel], width: usize) {
        let height = pixels.len() / width.max(1);
        let (middle_x, middle_y) = (width as f64 / 2.0 - 0.5, height as f64 / 2.0 - 0.5);
        match self {
            Op::Identity => {}
            Op::ShearX(by) => sample(pixels, width, |x, y| (x + by * (y + 0.5), y)),
            Op::ShearY(by) => sample(pixels, width, |x, y| (x, y + by * (x + 0.5))),
            Op::TranslateX(by) => sample(pixels, width, |x, y| (x - by as f64, y)),
            Op::TranslateY(by) => sample(pixels, width, |x, y| (x, y - by as f64)),
            Op::Rotate(degrees) => {
                let (sin, cos) = degrees.to_radians().sin_cos();
                sample(pixels, width, |x, y| {
                    let (x, y) = (x - middle_x, y - middle_y);
                    (cos * x - sin * y + middle_x, sin * x + cos * y + middle_y)
                });
            }
            Op::Brightness(factor) => colour::brightness(pixels, factor),
            Op::Color(factor) => colour::saturation(pixels, factor),
            Op::Contrast(factor) => colour::contrast(pixels, factor),
            Op::Sharpness(factor) => sharpness(pixels, width, factor),
            Op::Posterize(bits) => {
                let mask = !(0xffu32 >> bits.min(8)) as u8;
                each(pixels, |_, value| value & mask);
            }
            Op::Solarize(from) => each(pixels, |_, value| if f64::from(value) >= from { 255 - value } else { value }),
            Op::AutoContrast => auto_contrast(pixels),
            Op::Equalize => equalize(pixels),
        }
    }
}

/// The nearest pixel of each place's source.
fn sample(pixels: &mut [Pixel], width: usize, source: impl Fn(f64, f64) -> (f64, f64)) {
    let before = pixels.to_vec();
    let height = before.len() / width.max(1);
    for (at, pixel) in pixels.iter_mut().enumerate() {
        let (x, y) = source((at % width) as f64, (at / width) as f64);
        let (x, y) = (x.round_ties_even(), y.round_ties_even());
        let inside = x >= 0.0 && y >= 0.0 && x < width as f64 && y < height as f64;
        *pixel = if inside { before[y as usize * width + x as usize] } else { [0; 3] };
    }
}

/// By channel.
fn each(pixels: &mut [Pixel], change: impl Fn(usize, u8) -> u8) {
    pixels.iter_mut().for_each(|pixel| *pixel = std::array::from_fn(|channel| change(channel, pixel[channel])));
}

/// 0 is blurred, 1 the image as it is; the rim stays.
fn sharpness(pixels: &mut [Pixel], width: usize, factor: f64) {
    let before = pixels.to_vec();
    let height = before.len() / width.max(1);
    if width <= 2 || height <= 2 {
        return;
    }
    for y in 0..height {
        for x in 0..width {
            let rim = x == 0 || y == 0 || x + 1 == width || y + 1 == height;
            let blurred = |channel: usize| {
                let around = (0..9).map(|i| f32::from(before[(y + i / 3 - 1) * width + x + i % 3 - 1][channel]));
                let sum: f32 = around.sum::<f32>() + 4.0 * f32::from(before[y * width + x][channel]);
                (sum / 13.0).round_ties_even()
            };
            let pixel = before[y * width + x];
            let other = |channel: usize| if rim { f32::from(pixel[channel]) } else { blurred(channel) };
            pixels[y * width + x] = std::array::from_fn(|channel| blend(pixel[channel], other(channel), factor));
        }
    }
}

/// Each channel from its least value to its largest becomes 0 to 255.
fn auto_contrast(pixels: &mut [Pixel]) {
    let least: [u8; 3] = std::array::from_fn(|channel| pixels.iter().map(|pixel| pixel[channel]).min().unwrap_or(0));
    let most: [u8; 3] = std::array::from_fn(|channel| pixels.iter().map(|pixel| pixel[channel]).max().unwrap_or(0));
    each(pixels, |channel, value| {
        if most[channel] == least[channel] {
            return value;
        }
        let scale = 255.0 / f32::from(most[channel] - least[channel]);
        (f32::from(value - least[channel]) * scale).clamp(0.0, 255.0) as u8
    });
}

/// Each channel's values spread so that all are about as frequent.
fn equalize(pixels: &mut [Pixel]) {
    let tables: [[u8; 256]; 3] = std::array::from_fn(|channel| {
        let mut counts = [0u64; 256];
        pixels.iter().for_each(|pixel| counts[usize::from(pixel[channel])] += 1);
        let largest = counts.iter().rev().find(|count| **count > 0).copied().unwrap_or(0);
        let step = (pixels.len() as u64 - largest) / 255;
        let mut below = 0;
        std::array::from_fn(|value| {
            let spread = (below + step / 2).checked_div(step).map_or(value as u64, |spread| spread.min(255));
            below += counts[value];
            // The table is one value behind the sums, and its first is 0.
            if step > 0 && value == 0 { 0 } else { spread as u8 }
        })
    });
    each(pixels, |channel, value| tables[channel][usize::from(value)]);
}
