//! What is measured of a picture: its sides and shape, how bright, how rich in contrast and how coloured it is, and whether
//! anything is to be seen in it.

use image::RgbImage;

use crate::data::modality::{Scale, Trait};

/// Levels between the darkest and the brightest pixel of a blank one; a JPEG of one colour has a few.
const BLANK_RANGE: u8 = 10;
/// Sides are odd from four times the usual on, shapes from twice.
const ODD_SIDE: f32 = 4.0;
const ODD_SHAPE: f32 = 2.0;
/// About so many pixels are looked at; of larger pictures, evenly.
const LOOKED_AT: usize = 1 << 16;

/// What is measured, and whether it is blank.
pub fn of_image(image: &RgbImage) -> (Vec<Trait>, bool) {
    let (width, height) = (image.width() as f32, image.height() as f32);
    let mut sums = [0.0f64; 3];
    let (mut light, mut squares, mut colour) = (0.0f64, 0.0f64, 0.0f64);
    let pixels = image.as_raw().as_chunks::<3>().0;
    let (mut low, mut high) = ([u8::MAX; 3], [0u8; 3]);
    let step = (pixels.len() / LOOKED_AT).max(1);
    for pixel in pixels.iter().step_by(step) {
        let [r, g, b] = pixel.map(f64::from);
        let luma = 0.299 * r + 0.587 * g + 0.114 * b;
        light += luma;
        squares += luma * luma;
        colour += r.max(g).max(b) - r.min(g).min(b);
        sums.iter_mut().zip([r, g, b]).for_each(|(sum, value)| *sum += value);
    }
    for pixel in pixels {
        for channel in 0..3 {
            low[channel] = low[channel].min(pixel[channel]);
            high[channel] = high[channel].max(pixel[channel]);
        }
    }
    let count = pixels.len().div_ceil(step).max(1) as f64;
    let mean = light / count;
    let contrast = (squares / count - mean * mean).max(0.0).sqrt();
    let level = |name, value: f64| Trait { name, value: value as f32, scale: Scale::Between(0.0, 256.0) };
    let traits = vec![
        Trait { name: "width", value: width, scale: Scale::Ratio { odd: ODD_SIDE } },
        Trait { name: "height", value: height, scale: Scale::Ratio { odd: ODD_SIDE } },
        Trait { name: "aspect", value: width / height.max(1.0), scale: Scale::Ratio { odd: ODD_SHAPE } },
        level("brightness", mean),
        Trait { name: "contrast", value: contrast as f32, scale: Scale::Between(0.0, 128.0) },
        level("saturation", colour / count),
        level("red", sums[0] / count),
        level("green", sums[1] / count),
        level("blue", sums[2] / count),
    ];
    let blank = low.iter().zip(&high).all(|(low, high)| high.saturating_sub(*low) <= BLANK_RANGE);
    (traits, blank)
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn value(traits: &[Trait], name: &str) -> f32 {
        traits.iter().find(|found| found.name == name).unwrap().value
    }

    #[test]
    fn pictures_are_measured_and_blanks_are_told() {
        let (traits, blank) = of_image(&RgbImage::from_pixel(40, 20, Rgb([200, 100, 0])));
        assert!(blank);
        let found = ["width", "height", "aspect", "contrast", "saturation", "red"].map(|name| value(&traits, name));
        assert_eq!(found, [40.0, 20.0, 2.0, 0.0, 200.0, 200.0]);
        assert!((value(&traits, "brightness") - 118.5).abs() < 0.01);
        let (traits, blank) = of_image(&RgbImage::from_fn(2, 1, |x, _| Rgb([100 * x as u8; 3])));
        assert!(!blank);
        assert_eq!((value(&traits, "contrast"), value(&traits, "saturation")), (50.0, 0.0));
        let dot = RgbImage::from_fn(600, 600, |x, y| Rgb([if (x, y) == (301, 299) { 0 } else { 255 }; 3]));
        assert!(!of_image(&dot).1, "a star in the sky is something");
    }
}
