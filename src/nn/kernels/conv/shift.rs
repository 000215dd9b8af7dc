//! Temporal shift (Lin et al. 2019, TSM): in the map of each frame of a clip an eighth of the channels is that of the frame after it, an eighth
//! that of the frame before; zeros where there is none. On slices.

use candle_core::{Result, bail};
use tracing::trace_span;

use crate::nn::kernels::threads::Threads;

/// One of so many parts of the channels goes forwards, one backwards (their section 3.3).
pub(crate) const PARTS: usize = 8;

/// A shift over maps of one shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shift {
    /// Of a clip.
    frames: usize,
    /// Values of a frame's map, and channels.
    map: usize,
    channels: usize,
}

impl Shift {
    /// Over maps `(B, H, W, C)` of all frames of clips of so many frames, one behind the other.
    pub fn new(shape: &[usize], frames: usize) -> Result<Shift> {
        let &[maps, height, width, channels] = shape else { bail!("expected four dimensions, got {shape:?}") };
        if frames == 0 || !maps.is_multiple_of(frames) || shape.contains(&0) {
            bail!("{maps} maps of {height}x{width}x{channels} are not clips of {frames} frames")
        }
        Ok(Shift { frames, map: height * width * channels, channels })
    }

    /// Writes all of `y`.
    pub fn forward(&self, x: &[f32], threads: Threads, y: &mut [f32]) {
        let _span = trace_span!("temporal shift").entered();
        self.moved(x, (1, -1), threads, y);
    }

    /// Writes all of `dx`: each value's gradient goes back to where the value came from.
    pub fn gradient(&self, dy: &[f32], dx: &mut [f32]) {
        let _span = trace_span!("temporal shift gradient").entered();
        self.moved(dy, (-1, 1), Threads::All, dx);
    }

    /// The first part of the channels comes from so many frames on, the second likewise.
    fn moved(&self, x: &[f32], (first, second): (isize, isize), threads: Threads, y: &mut [f32]) {
        let part = self.channels / PARTS;
        threads.deal(y, self.map, |at, y| {
            let frame = at % self.frames;
            let other = |by: isize| {
                let from = frame.checked_add_signed(by).filter(|from| *from < self.frames)?;
                let from = (at - frame + from) * self.map;
                Some(&x[from..from + self.map])
            };
            y.copy_from_slice(&x[at * self.map..(at + 1) * self.map]);
            for (channels, source) in [(0..part, other(first)), (part..2 * part, other(second))] {
                for (pixel, y) in y.chunks_exact_mut(self.channels).enumerate() {
                    let to = &mut y[channels.clone()];
                    match source {
                        Some(map) => to.copy_from_slice(&map[pixel * self.channels..][channels.clone()]),
                        None => to.fill(0.0),
                    }
                }
            }
        });
    }
}
