//! What is said about places, drawn over an image: frames around objects, colours over pixels.

use image::{Rgb, RgbImage};

/// How much of a colour lies over the pixels of a class, and over those in an outline.
const OVER: f32 = 0.5;

/// A colour for a class, far from those of the classes beside it.
pub fn colour(class: u32) -> [u8; 3] {
    // Hues that divide the circle by the golden ratio never come close to the ones before.
    let hue = 6.0 * (f64::from(class) * 0.618_034 + 0.02).fract();
    let level = |from: f64| {
        let away = (hue - from).rem_euclid(6.0);
        let part = (1.5 - (away - 3.0).abs()).clamp(-0.5, 0.5) + 0.5;
        (255.0 * (0.1 + 0.9 * part)).round() as u8
    };
    [level(3.0), level(5.0), level(1.0)]
}

/// The same as pages write it.
pub fn hex(class: u32) -> String {
    let [red, green, blue] = colour(class);
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// A frame along the inside of a box of left, top, width and height, so many pixels wide.
pub fn frame(image: &mut RgbImage, [x, y, w, h]: [f32; 4], class: u32, thick: u32) {
    let (width, height) = image.dimensions();
    let within = |value: f32, side: u32| value.round().clamp(0.0, side as f32) as u32;
    let (left, right) = (within(x, width), within(x + w, width).max(within(x, width) + 1).min(width));
    let (top, bottom) = (within(y, height), within(y + h, height).max(within(y, height) + 1).min(height));
    let paint = Rgb(colour(class));
    for row in top..bottom {
        for column in left..right {
            let edge = (column - left).min(right - 1 - column).min(row - top).min(bottom - 1 - row);
            if edge < thick {
                image.put_pixel(column, row, paint);
            }
        }
    }
}

/// A colour over the pixels that are on.
pub fn tint(image: &mut RgbImage, class: impl Fn(usize) -> Option<u32>) {
    for (at, pixel) in image.pixels_mut().enumerate() {
        if let Some(class) = class(at) {
            let mix = |(value, over): (u8, u8)| (f32::from(value) * (1.0 - OVER) + f32::from(over) * OVER).round() as u8;
            let over = colour(class);
            pixel.0 = [0, 1, 2].map(|channel| mix((pixel.0[channel], over[channel])));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_tints_lie_where_they_are_said_to() {
        let mut image = RgbImage::new(8, 6);
        frame(&mut image, [2.0, 1.0, 4.0, 4.0], 1, 1);
        let on = |x: u32, y: u32| image.get_pixel(x, y).0 == colour(1);
        assert!(on(2, 1) && on(5, 4) && on(3, 1) && !on(3, 2) && !on(1, 1) && !on(6, 4));
        frame(&mut image, [-3.0, -3.0, 50.0, 50.0], 2, 1);
        assert_eq!(image.get_pixel(0, 0).0, colour(2));
        let mut image = RgbImage::new(2, 1);
        tint(&mut image, |at| (at == 1).then_some(3));
        assert_eq!((image.get_pixel(0, 0).0, image.get_pixel(1, 0).0 != [0; 3]), ([0; 3], true));
        assert_eq!(hex(1), format!("#{:02x}{:02x}{:02x}", colour(1)[0], colour(1)[1], colour(1)[2]));
        let colours: std::collections::BTreeSet<[u8; 3]> = (0..40).map(colour).collect();
        assert_eq!(colours.len(), 40);
    }
}
