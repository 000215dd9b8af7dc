//! Random changes of a training view beside its crop and its mirroring: of geometry and colour by a policy, of colour, and of a
//! part that is taken away. What is drawn, and how, is what the papers and torchvision say.

mod colour;
mod ops;

use rand::{Rng, RngExt};

pub use ops::Op;

use crate::domain::recipe::{Augment, Policy};

/// Steps from the least magnitude of an operation to its largest.
const BINS: u32 = 31;
/// Shares of the view that are erased, and their shapes (Zhong et al. 2020 in torchvision's numbers).
const ERASED: (f64, f64) = (0.02, 0.33);
const ERASED_SHAPE: (f64, f64) = (0.3, 3.3);

/// Draws and does what changes the bytes of a view: the policy, then the jitter.
pub fn change(bytes: &mut [u8], width: usize, augment: &Augment, random: &mut impl Rng) {
    let pixels = bytes.as_chunks_mut::<3>().0;
    let height = pixels.len() / width.max(1);
    let draws = match augment.policy {
        Policy::None => 0,
        Policy::RandAugment => augment.rand_ops,
        Policy::TrivialAugment => 1,
    };
    for _ in 0..draws {
        draw(augment, (width, height), random).apply(pixels, width);
    }
    jitter(pixels, augment, random);
}

/// One operation of the policy for a view of (width, height).
fn draw(augment: &Augment, (width, height): (usize, usize), random: &mut impl Rng) -> Op {
    let wide = augment.policy == Policy::TrivialAugment;
    let kind = random.random_range(0..14);
    let bin = if wide { random.random_range(0..BINS) } else { augment.rand_magnitude.min(BINS - 1) };
    let sign = if random.random_bool(0.5) { -1.0 } else { 1.0 };
    op(kind, wide, bin, sign, (width, height))
}

/// The operations in torchvision's order, at one of [`BINS`] magnitudes.
fn op(kind: u32, wide: bool, bin: u32, sign: f64, (width, height): (usize, usize)) -> Op {
    let up_to = |widest: f32, most: f32| sign * between(0.0, if wide { widest } else { most }, bin);
    let pixels = |side: usize| up_to(32.0, (150.0 / 331.0 * side as f64) as f32).trunc() as i64;
    let factor = 1.0 + up_to(0.99, 0.9);
    match kind {
        0 => Op::Identity,
        1 => Op::ShearX(up_to(0.99, 0.3)),
        2 => Op::ShearY(up_to(0.99, 0.3)),
        3 => Op::TranslateX(pixels(width)),
        4 => Op::TranslateY(pixels(height)),
        5 => Op::Rotate(up_to(135.0, 30.0)),
        6 => Op::Brightness(factor),
        7 => Op::Color(factor),
        8 => Op::Contrast(factor),
        9 => Op::Sharpness(factor),
        10 => Op::Posterize(8 - (f64::from(bin * if wide { 6 } else { 4 }) / f64::from(BINS - 1)).round_ties_even() as u32),
        11 => Op::Solarize(between(255.0, 0.0, bin)),
        12 => Op::AutoContrast,
        _ => Op::Equalize,
    }
}

/// One of [`BINS`] values in even steps, worked out from the nearer end in f32 as PyTorch does: where a value is cut off at its decimals
/// the last bit decides.
fn between(from: f32, to: f32, bin: u32) -> f64 {
    let step = (to - from) / (BINS - 1) as f32;
    let value = if bin < BINS / 2 { from + step * bin as f32 } else { to - step * (BINS - 1 - bin) as f32 };
    f64::from(value)
}

/// Brightness, contrast, saturation and hue, those that are asked for, in an order that is drawn.
fn jitter(pixels: &mut [[u8; 3]], augment: &Augment, random: &mut impl Rng) {
    let mut order = [0, 1, 2, 3];
    let strengths = [augment.brightness, augment.contrast, augment.saturation, augment.hue];
    if strengths == [0.0; 4] {
        return;
    }
    for left in (1..order.len()).rev() {
        order.swap(left, random.random_range(0..=left));
    }
    for kind in order.into_iter().filter(|kind| strengths[*kind] > 0.0) {
        let strength = strengths[kind];
        let factor = if kind == 3 { 0.0 } else { 1.0 } + random.random_range(-strength..=strength);
        match kind {
            0 => colour::brightness(pixels, factor.max(0.0)),
            1 => colour::contrast(pixels, factor.max(0.0)),
            2 => colour::saturation(pixels, factor.max(0.0)),
            _ => colour::hue(pixels, factor),
        }
    }
}

/// Draws whether and where normalised values `(height, width, 3)` are set to zero, the mean colour.
pub fn erase(values: &mut [f32], width: usize, augment: &Augment, random: &mut impl Rng) {
    if augment.erase == 0.0 || !random.random_bool(augment.erase) {
        return;
    }
    let height = values.len() / (3 * width).max(1);
    for _ in 0..10 {
        let area = (width * height) as f64 * random.random_range(ERASED.0..=ERASED.1);
        let shape = random.random_range(ERASED_SHAPE.0.ln()..=ERASED_SHAPE.1.ln()).exp();
        let (h, w) = ((area * shape).sqrt().round() as usize, (area / shape).sqrt().round() as usize);
        if h < height && w < width {
            let (top, left) = (random.random_range(0..=height - h), random.random_range(0..=width - w));
            values.chunks_exact_mut(3 * width).skip(top).take(h).for_each(|row| row[3 * left..3 * (left + w)].fill(0.0));
            return;
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
