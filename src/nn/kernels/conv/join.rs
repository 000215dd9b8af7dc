//! Maps side by side: their channels joined to one map's, and taken apart again.

use rayon::prelude::*;

use crate::nn::kernels::threads::Threads;

/// Pixels a thread takes at a time.
const PIXELS: usize = 512;

/// Maps of so many channels each, joined.
#[derive(Debug, Clone)]
pub(crate) struct Join {
    widths: Vec<usize>,
}

impl Join {
    pub fn new(widths: Vec<usize>) -> Join {
        Join { widths }
    }

    /// Channels of all together.
    pub fn width(&self) -> usize {
        self.widths.iter().sum()
    }

    /// Writes all of `y` from maps of as many pixels.
    pub fn forward(&self, maps: &[&[f32]], threads: Threads, y: &mut [f32]) {
        threads.deal(y, PIXELS * self.width(), |piece, y| {
            let mut from = 0;
            for (&width, map) in self.widths.iter().zip(maps) {
                let pixels = map[piece * PIXELS * width..].chunks_exact(width);
                y.chunks_exact_mut(self.width()).zip(pixels).for_each(|(y, pixel)| y[from..from + width].copy_from_slice(pixel));
                from += width;
            }
        });
    }

    /// Writes all of `part`: the channels of the map of this index.
    pub fn part(&self, joined: &[f32], index: usize, part: &mut [f32]) {
        let (from, width) = (self.widths[..index].iter().sum::<usize>(), self.widths[index]);
        part.par_chunks_mut(PIXELS * width).zip(joined.par_chunks(PIXELS * self.width())).for_each(|(part, joined)| {
            let pixels = joined.chunks_exact(self.width());
            part.chunks_exact_mut(width).zip(pixels).for_each(|(part, pixel)| part.copy_from_slice(&pixel[from..from + width]));
        });
    }
}
