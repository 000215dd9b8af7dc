//! Changes of colour as torchvision defines them for tensors of bytes, on pixels that lie one after the other.

type Pixel = [u8; 3];

/// `ratio` of a value and the rest of another, cut off at the ends and at the decimals.
pub(super) fn blend(value: u8, other: f32, ratio: f64) -> u8 {
    (ratio as f32 * f32::from(value) + (1.0 - ratio) as f32 * other).clamp(0.0, 255.0) as u8
}

fn gray([r, g, b]: Pixel) -> u8 {
    (0.2989 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b)) as u8
}

/// 0 is black, 1 the image as it is.
pub fn brightness(pixels: &mut [Pixel], factor: f64) {
    pixels.iter_mut().for_each(|pixel| *pixel = pixel.map(|value| blend(value, 0.0, factor)));
}

/// 0 is the mean of the gray image, 1 the image as it is.
pub fn contrast(pixels: &mut [Pixel], factor: f64) {
    let sum: u64 = pixels.iter().map(|pixel| u64::from(gray(*pixel))).sum();
    let mean = (sum as f64 / pixels.len().max(1) as f64) as f32;
    pixels.iter_mut().for_each(|pixel| *pixel = pixel.map(|value| blend(value, mean, factor)));
}

/// 0 is gray, 1 the image as it is.
pub fn saturation(pixels: &mut [Pixel], factor: f64) {
    for pixel in pixels {
        let gray = f32::from(gray(*pixel));
        *pixel = pixel.map(|value| blend(value, gray, factor));
    }
}

/// Turns hues by a share of the circle.
pub fn hue(pixels: &mut [Pixel], turn: f64) {
    for pixel in pixels {
        let [h, s, v] = to_hsv(pixel.map(|value| f32::from(value) / 255.0));
        let turned = (h + turn as f32).rem_euclid(1.0);
        *pixel = from_hsv([turned, s, v]).map(|value| (value * 255.999) as u8);
    }
}

fn to_hsv([r, g, b]: [f32; 3]) -> [f32; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    let spread = most - least;
    if spread == 0.0 {
        return [0.0, 0.0, most];
    }
    let [rc, gc, bc] = [r, g, b].map(|value| (most - value) / spread);
    let h = if most == r {
        bc - gc
    } else if most == g {
        2.0 + rc - bc
    } else {
        4.0 + gc - rc
    };
    [(h / 6.0 + 1.0) % 1.0, spread / most, most]
}

fn from_hsv([h, s, v]: [f32; 3]) -> [f32; 3] {
    let sector = (h * 6.0).floor();
    let f = h * 6.0 - sector;
    let [p, q, t] = [1.0 - s, 1.0 - s * f, 1.0 - s * (1.0 - f)].map(|share| (v * share).clamp(0.0, 1.0));
    match sector as i32 % 6 {
        0 => [v, t, p],
        1 => [q, v, p],
        2 => [p, v, t],
        3 => [p, q, v],
        4 => [t, p, v],
        _ => [v, p, q],
    }
}
