//! Windows that poolings look through, and the spans of pixels that a mean is taken over.

use candle_core::{Result, bail};

use super::geometry::{Clip, Geometry, Padding, extent, parted};

/// A window that moves over an image, both directions alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its side.
    pub kernel: usize,
    pub stride: usize,
    /// Pixels around the image that it may lie on.
    pub padding: usize,
    /// Whether the last window may reach beyond the padding, as long as it begins on the image or the padding before it (PyTorch's
    /// `ceil_mode`).
    pub overhangs: bool,
    /// Whether there are `ceil(side / stride)` of them, and as much padding as that takes, the odd one at the end (TensorFlow's "same").
    pub same: bool,
    pub time: Frames,
}

/// How a window moves along the frames of clips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frames {
    /// That it sees at a time.
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
}

impl Window {
    /// One that stays within image and padding, and sees each frame of a clip by itself.
    pub const fn new(kernel: usize, stride: usize, padding: usize) -> Window {
        Window { kernel, stride, padding, overhangs: false, same: false, time: Frames { kernel: 1, stride: 1, padding: 0 } }
    }

    /// One over several frames.
    pub const fn over(self, kernel: usize, stride: usize, padding: usize) -> Window {
        Window { time: Frames { kernel, stride, padding }, ..self }
    }

    /// One padded as TensorFlow does.
    pub const fn same(self) -> Window {
        Window { same: true, ..self }
    }

    /// One that may reach beyond.
    pub const fn overhanging(self) -> Window {
        Window { overhangs: true, ..self }
    }

    /// How many there are along a side of so many pixels.
    pub fn count(&self, side: usize) -> Result<usize> {
        let Window { kernel, stride, padding, overhangs, .. } = *self;
        if self.same {
            return Ok(extent(side, kernel, stride, Padding::Same)?.0);
        }
        if kernel == 0 || stride == 0 || padding * 2 > kernel {
            bail!(
                "a pooling needs a window and a stride of at least 1 and padding up to half the window, not {kernel}, {stride} and {padding}"
            )
        }
        let beyond = if overhangs { stride - 1 } else { 0 };
        if side == 0 || side + 2 * padding + beyond < kernel {
            bail!("an image side of {side} pixels is too small for a window of {kernel} with padding {padding}")
        }
        let count = (side + 2 * padding + beyond - kernel) / stride + 1;
        let is_outside = overhangs && (count - 1) * stride >= side + padding;
        Ok(if is_outside { count - 1 } else { count })
    }

    /// The first pixel's padding along a side of so many.
    fn before(&self, side: usize) -> Result<isize> {
        if self.same { Ok(extent(side, self.kernel, self.stride, Padding::Same)?.1) } else { Ok(self.padding as isize) }
    }

    /// Along clips of so many frames: how many windows, and the first one's padding.
    fn along(&self, frames: usize) -> Result<(usize, isize)> {
        let Frames { kernel, stride, padding } = self.time;
        if padding * 2 > kernel {
            bail!("a pooling is padded by up to half its window, not {padding} frames of {kernel}")
        }
        extent(frames, kernel, stride, if self.same { Padding::Same } else { Padding::Symmetric(padding) })
    }

    /// How many there are along clips of so many frames; none where those are too short.
    pub fn frames(&self, frames: usize) -> usize {
        self.along(frames).map_or(0, |(count, _)| count)
    }

    /// Over maps `(B, H, W, C)`, of clips of so many frames those of all of them, each channel by itself.
    pub fn geometry(&self, input: &[usize], frames: usize) -> Result<Geometry> {
        let &[maps, in_h, in_w, channels] = input else { bail!("expected four dimensions, got {input:?}") };
        if maps == 0 || channels == 0 {
            bail!("empty input {input:?}")
        }
        let (out_t, pad_front) = self.along(frames)?;
        let clip = Clip { frames, ..Clip::STILL };
        let (batch, in_t, out_t) = parted(maps, clip, self.time.kernel, out_t, pad_front)?;
        Ok(Geometry {
            batch,
            in_t,
            in_h,
            in_w,
            in_c: channels,
            out_t,
            out_h: self.count(in_h)?,
            out_w: self.count(in_w)?,
            out_c: channels,
            kernel_t: self.time.kernel,
            kernel_h: self.kernel,
            kernel_w: self.kernel,
            stride_t: self.time.stride,
            stride: self.stride,
            pad_front,
            pad_top: self.before(in_h)?,
            pad_left: self.before(in_w)?,
            groups: channels,
        })
    }
}

/// Which pixels means are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Average {
    /// Those of the image that each window sees.
    Windows(Window),
    /// The same, and padding counts as zeros.
    Padded(Window),
    /// A map smaller than this in height or width is brought to at least this much: each pixel is the mean of those that lie under
    /// it (PyTorch's adaptive pooling). Larger ones stay.
    AtLeast(usize),
    /// All of them, of clips those of all frames.
    All,
    /// Windows of so many frames and pixels that move by one; where a clip is shorter or smaller, all of it.
    Sliding { frames: usize, side: usize },
}

/// The pixels of a line or a column that go into one mean, and each one's share of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Span {
    pub first: usize,
    pub end: usize,
    pub share: f32,
}

impl Average {
    /// Along the frames of a clip.
    pub(crate) fn spans_of_frames(self, frames: usize) -> Vec<Span> {
        match self {
            Average::All => vec![Span { first: 0, end: frames, share: 1.0 / frames.max(1) as f32 }],
            Average::Sliding { frames: window, .. } => sliding(frames, window),
            _ => sliding(frames, 1),
        }
    }

    /// How many frames come out.
    pub(crate) fn frames(self, frames: usize) -> usize {
        self.spans_of_frames(frames).len()
    }

    /// Along height and width.
    pub(crate) fn spans(self, sides: [usize; 2]) -> Result<[Vec<Span>; 2]> {
        if sides.contains(&0) {
            bail!("cannot pool an empty image of {sides:?} pixels")
        }
        let even = |first: usize, end: usize| Span { first, end, share: 1.0 / (end - first) as f32 };
        let along = |side: usize| -> Result<Vec<Span>> {
            Ok(match self {
                Average::All => vec![even(0, side)],
                Average::Sliding { side: window, .. } => sliding(side, window),
                Average::AtLeast(least) if sides.iter().all(|&side| side >= least) => (0..side).map(|at| even(at, at + 1)).collect(),
                Average::AtLeast(least) => {
                    let outputs = least.max(side);
                    (0..outputs).map(|at| even(at * side / outputs, ((at + 1) * side).div_ceil(outputs))).collect()
                }
                Average::Windows(window) | Average::Padded(window) => {
                    let seen = |at: usize| {
                        let (from, to) = (at * window.stride, at * window.stride + window.kernel);
                        let span = even(from.saturating_sub(window.padding), (to - window.padding.min(to)).min(side));
                        let counted = to.min(side + 2 * window.padding) - from;
                        if self == Average::Windows(window) { span } else { Span { share: 1.0 / counted as f32, ..span } }
                    };
                    (0..window.count(side)?).map(seen).collect()
                }
            })
        };
        Ok([along(sides[0])?, along(sides[1])?])
    }

    /// Height and width of what comes out.
    pub fn output(self, sides: [usize; 2]) -> Result<[usize; 2]> {
        Ok(self.spans(sides)?.map(|spans| spans.len()))
    }
}

/// Windows that move by one along so many pixels or frames.
fn sliding(length: usize, window: usize) -> Vec<Span> {
    let window = window.clamp(1, length.max(1));
    (0..=length.saturating_sub(window)).map(|first| Span { first, end: first + window, share: 1.0 / window as f32 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_counted_as_pytorch_does() {
        let counts = |window: Window| [2, 3, 4, 5, 6, 7, 112].map(|side| window.count(side).ok());
        assert_eq!(counts(Window::new(3, 2, 0)), [None, Some(1), Some(1), Some(2), Some(2), Some(3), Some(55)]);
        assert_eq!(counts(Window::new(3, 2, 0).overhanging()), [Some(1), Some(1), Some(2), Some(2), Some(3), Some(3), Some(56)]);
        assert_eq!(counts(Window::new(2, 2, 0).overhanging()), [Some(1), Some(2), Some(2), Some(3), Some(3), Some(4), Some(56)]);
        assert_eq!(counts(Window::new(3, 2, 1)), [Some(1), Some(2), Some(2), Some(3), Some(3), Some(4), Some(56)]);
        // A third window would begin beyond the image and its padding.
        assert_eq!(Window::new(2, 3, 1).overhanging().count(3).ok(), Some(2));
        assert!(Window::new(3, 2, 2).count(9).is_err() && Window::new(3, 0, 0).count(9).is_err() && Window::new(2, 2, 0).count(0).is_err());
    }

    #[test]
    fn spans_are_those_of_pytorch() {
        let spans = |average: Average, side: usize| {
            let [lines, _] = average.spans([side, side]).unwrap();
            lines.iter().map(|span| (span.first, span.end, (1.0 / span.share).round() as usize)).collect::<Vec<_>>()
        };
        assert_eq!(spans(Average::Windows(Window::new(2, 2, 0).overhanging()), 3), [(0, 2, 2), (2, 3, 1)]);
        assert_eq!(spans(Average::Windows(Window::new(3, 1, 1)), 3), [(0, 2, 2), (0, 3, 3), (1, 3, 2)]);
        assert_eq!(spans(Average::Padded(Window::new(3, 1, 1)), 3), [(0, 2, 3), (0, 3, 3), (1, 3, 3)]);
        assert_eq!(spans(Average::AtLeast(3), 2), [(0, 1, 1), (0, 2, 2), (1, 2, 1)]);
        assert_eq!(spans(Average::AtLeast(3), 4), [(0, 1, 1), (1, 2, 1), (2, 3, 1), (3, 4, 1)]);
        assert_eq!(spans(Average::All, 5), [(0, 5, 5)]);
        // Where one side is too small the other is kept as it is.
        let [lines, columns] = Average::AtLeast(3).spans([2, 5]).unwrap();
        assert_eq!((lines.len(), columns.len()), (3, 5));
    }
}
