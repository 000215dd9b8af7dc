//! PIL's resampling filters.

use fast_image_resize::{Filter, FilterType, ResizeAlg};

use crate::data::error::{Error, Result};

/// What an interpolation is to the library. The filters are our own because the library trims weights that are exactly zero, and a trimmed first
/// weight makes it index before its buffer when a window begins on a pixel boundary; a weight of 1e-30 is as good as zero.
pub(super) fn of(interpolation: &str) -> Result<ResizeAlg> {
    let (function, support): (fn(f64) -> f64, f64) = match interpolation {
        "nearest" => return Ok(ResizeAlg::Nearest),
        // timm writes `random` where training drew one of the two; it evaluates such models with bicubic.
        "bicubic" | "random" => (|x| never_zero(bicubic(x.abs())), 2.0),
        "bilinear" => (|x| never_zero((1.0 - x.abs()).max(0.0)), 1.0),
        "box" => (|x| never_zero(if x > -0.5 && x <= 0.5 { 1.0 } else { 0.0 }), 0.5),
        "hamming" => (|x| never_zero(hamming(x.abs())), 1.0),
        "lanczos" => (|x| never_zero(lanczos(x.abs())), 3.0),
        other => {
            let known = "nearest, bilinear, bicubic, box, hamming, lanczos and random";
            return Err(Error::BadPreprocessing { reason: format!("the interpolation `{other}` is not known; known are {known}") });
        }
    };
    let filter = Filter::new("pil", function, support);
    filter.map(FilterType::Custom).map(ResizeAlg::Convolution).map_err(|e| Error::BadPreprocessing { reason: e.to_string() })
}

/// The pixels that PIL takes for the nearest along one side of `size` pixels, for `count` pixels made of the `span` from `start`
/// on. It goes from middle to middle in steps that it adds up from the side's beginning; where a middle falls between two
/// pixels, that decides.
pub(super) fn nearest(start: f64, span: f64, count: u32, size: u32) -> Vec<u32> {
    let step = span / f64::from(count);
    let before = start / step;
    let whole = (before - before.round()).abs() < 1e-6 && before < 1e6;
    let mut middle = if whole { step * 0.5 } else { start + step * 0.5 };
    let skipped = if whole { before.round() as u32 } else { 0 };
    let mut found = Vec::with_capacity(count as usize);
    for at in 0..skipped + count {
        if at >= skipped {
            found.push((middle.max(0.0) as u32).min(size.saturating_sub(1)));
        }
        middle += step;
    }
    found
}

fn never_zero(weight: f64) -> f64 {
    if weight == 0.0 { 1e-30 } else { weight }
}

/// Keys, "Cubic convolution interpolation", with a = -1/2; `x` is not negative.
fn bicubic(x: f64) -> f64 {
    match x {
        x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

/// The sinc windowed by a raised cosine, one lobe; `x` is not negative.
fn hamming(x: f64) -> f64 {
    match x {
        0.0 => 1.0,
        x if x < 1.0 => {
            let angle = std::f64::consts::PI * x;
            angle.sin() / angle * (0.54 + 0.46 * angle.cos())
        }
        _ => 0.0,
    }
}

/// The sinc windowed by its own middle, three lobes; `x` is not negative.
fn lanczos(x: f64) -> f64 {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) };
    if x < 3.0 { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}
