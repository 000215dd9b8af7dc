//! Where of an image its plain view lies, and where in the view: timm's three crop modes, with the roundings of timm and
//! torchvision.
//!
//! ```text
//! center   the shorter side to input / crop_pct, the middle is cut out
//! squash   each side to input / crop_pct whatever the shape, the middle is cut out
//! border   the longer side to input / crop_pct, the middle is cut out, and what is missing is filled with the mean
//! ```

use crate::data::error::{Error, Result};
use crate::domain::config::Preprocessing;

/// A box in the source image, in pixels; fractions are allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Window {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Window {
    /// Without what sums of its sides have rounded to beyond the edges of an image of this width and height.
    pub fn within(self, (width, height): (u32, u32)) -> Window {
        let [wide, high] = [width, height].map(f64::from);
        let (left, top) = (self.left.clamp(0.0, wide), self.top.clamp(0.0, high));
        Window { left, top, width: self.width.min(wide - left), height: self.height.min(high - top) }
    }
}

/// A view: what of the image it shows, and where.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frame {
    pub window: Window,
    /// Left and top of the part of the view that shows it, in pixels of the view.
    pub at: (u32, u32),
    /// Width and height of that part.
    pub size: (u32, u32),
    /// What lies around.
    pub border: [u8; 3],
}

/// How an image is brought to the size that the crop is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Center,
    Squash,
    Border,
}

impl Mode {
    pub fn of(word: &str) -> Result<Mode> {
        match word {
            "center" => Ok(Mode::Center),
            "squash" => Ok(Mode::Squash),
            "border" => Ok(Mode::Border),
            other => Err(Error::BadPreprocessing {
                reason: format!("the crop_mode `{other}` is not known; known are center, squash and border"),
            }),
        }
    }
}

impl Frame {
    /// A window that fills the view.
    pub fn filled(window: Window, preprocessing: &Preprocessing) -> Frame {
        let size = (preprocessing.width as u32, preprocessing.height as u32);
        Frame { window, at: (0, 0), size, border: [0; 3] }
    }

    /// The plain view of an image of this size.
    pub fn plain(width: u32, height: u32, preprocessing: &Preprocessing) -> Result<Frame> {
        let mode = Mode::of(&preprocessing.crop_mode)?;
        let (width, height) = (f64::from(width), f64::from(height));
        let resized = resized(width, height, preprocessing, mode);
        let across = Span::of(resized.0, preprocessing.width as f64);
        let down = Span::of(resized.1, preprocessing.height as f64);
        let (scale_x, scale_y) = (width / resized.0, height / resized.1);
        let window =
            Window { left: across.from * scale_x, top: down.from * scale_y, width: across.length * scale_x, height: down.length * scale_y };
        // torchvision pads with black, timm's border with the mean.
        let mean = preprocessing.mean.map(|mean| (255.0 * mean).round_ties_even().clamp(0.0, 255.0) as u8);
        Ok(Frame {
            window: inside(window, width, height),
            at: (across.at as u32, down.at as u32),
            size: (across.length as u32, down.length as u32),
            border: if mode == Mode::Border { mean } else { [0; 3] },
        })
    }
}

/// Width and height of the whole resized image, in whole pixels.
fn resized(width: f64, height: f64, preprocessing: &Preprocessing, mode: Mode) -> (f64, f64) {
    let scaled = |side: usize| (side as f64 / preprocessing.crop_pct).floor().max(1.0);
    let (across, down) = (scaled(preprocessing.width), scaled(preprocessing.height));
    let keeping = |ratio: f64| ((width / ratio).round_ties_even().max(1.0), (height / ratio).round_ties_even().max(1.0));
    match mode {
        Mode::Squash => (across, down),
        Mode::Border => keeping((width / across).max(height / down)),
        // torchvision's way with one side, timm's with two.
        Mode::Center if across == down => {
            let longer = |longer: f64, shorter: f64| (across * longer / shorter).floor();
            if width <= height { (across, longer(height, width)) } else { (longer(width, height), across) }
        }
        Mode::Center => keeping((width / across).min(height / down)),
    }
}

/// One axis of the crop.
struct Span {
    /// First pixel of the resized image.
    from: f64,
    /// How many of them are seen.
    length: f64,
    /// First pixel of the view that shows them.
    at: f64,
}

impl Span {
    fn of(resized: f64, crop: f64) -> Span {
        if resized < crop {
            return Span { from: 0.0, length: resized, at: ((crop - resized) / 2.0).floor() };
        }
        Span { from: ((resized - crop) / 2.0).round_ties_even(), length: crop, at: 0.0 }
    }
}

/// Rounding must not push a window over the edge by a hair.
fn inside(window: Window, width: f64, height: f64) -> Window {
    let left = window.left.clamp(0.0, width);
    let top = window.top.clamp(0.0, height);
    Window { left, top, width: window.width.min(width - left), height: window.height.min(height - top) }
}
