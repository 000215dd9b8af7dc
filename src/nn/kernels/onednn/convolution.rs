//! Convolution and its gradients through oneDNN, images dealt to threads.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::cache::{self, Convolution, Key};
use super::library::{Bound, Library, Query, Result, Role, Values, tensor};
use crate::nn::kernels::geometry::Geometry;
use crate::nn::kernels::memory::with_scratch;
use crate::nn::kernels::product::add_in_order;

/// Floats of input and output that a piece may hold beside each other in a core's second-level cache.
const PIECE_FLOATS: usize = 256 * 1024;

/// How the images of a batch are dealt out.
struct Deal {
    library: &'static Library,
    role: Role,
    geometry: Geometry,
    /// Images per piece; the last may be smaller.
    images: usize,
    /// Threads of the library's own per piece.
    threads: usize,
}

impl Deal {
    fn new(library: &'static Library, role: Role, g: &Geometry) -> Deal {
        let threads = rayon::current_num_threads();
        let even = g.batch.div_ceil(threads);
        let images = match role {
            // Each piece sums into weights of its own, so there are as few as there are threads.
            Role::WeightGradient => even,
            _ => {
                let image = g.in_h * g.in_w * g.in_c + g.out_h * g.out_w * g.out_c;
                // As many pieces for each thread.
                let pieces = even.div_ceil((PIECE_FLOATS / image.max(1)).max(1));
                even.div_ceil(pieces.max(1))
            }
        };
        let threads = if g.batch < threads { threads } else { 1 };
        Deal { library, role, geometry: *g, images, threads }
    }

    fn pieces(&self) -> usize {
        self.geometry.batch.div_ceil(self.images)
    }

    fn images(&self, piece: usize) -> Range<usize> {
        piece * self.images..((piece + 1) * self.images).min(self.geometry.batch)
    }

    /// The convolution for this many images.
    fn convolution(&self, images: usize) -> Result<Arc<Convolution>> {
        let geometry = Geometry { batch: images, ..self.geometry };
        cache::get(self.library, Key { role: self.role, geometry, threads: self.threads })
    }

    /// Runs a piece: `x` and `y` by their roles, one of them to be written.
    fn run(&self, images: usize, x: Values<'_>, weights: Values<'_>, y: Values<'_>) -> Result<()> {
        let convolution = self.convolution(images)?;
        self.library.use_threads(self.threads);
        let (names, which) = match self.role {
            Role::Forward => ([tensor::SRC, tensor::WEIGHTS, tensor::DST], Query::Weights),
            Role::InputGradient => ([tensor::DIFF_SRC, tensor::WEIGHTS, tensor::DIFF_DST], Query::Weights),
            Role::WeightGradient => ([tensor::SRC, tensor::DIFF_WEIGHTS, tensor::DIFF_DST], Query::DiffWeights),
        };
        let desc = &convolution.main.desc;
        with_scratch(convolution.scratch, |scratch| {
            convolution.main.run([
                Bound { name: names[0], desc: &*convolution.x, values: x },
                Bound { name: names[1], desc: desc.tensor(which), values: weights },
                Bound { name: names[2], desc: &*convolution.y, values: y },
                Bound { name: tensor::SCRATCHPAD, desc: desc.tensor(Query::Scratchpad), values: Values::Write(scratch) },
            ])
        })
    }

    /// The weights in the library's order. All pieces of one role want the same order but a smaller last one might
    /// not, so each size gets its own.
    fn pack<'a>(&self, images: usize, weight: &'a [f32]) -> Result<std::borrow::Cow<'a, [f32]>> {
        let convolution = self.convolution(images)?;
        let Some(reorder) = &convolution.reorder else { return Ok(weight.into()) };
        let mut packed = vec![0.0; convolution.packed];
        self.library.use_threads(self.threads);
        reorder.run([
            Bound { name: tensor::SRC, desc: &*convolution.plain, values: Values::Read(weight) },
            Bound { name: tensor::DST, desc: convolution.main.desc.tensor(Query::Weights), values: Values::Write(&mut packed) },
        ])?;
        Ok(packed.into())
    }

    /// Packed weights for whole pieces and for the last.
    fn packs<'a>(&self, weight: &'a [f32]) -> Result<[std::borrow::Cow<'a, [f32]>; 2]> {
        let whole = self.pack(self.images, weight)?;
        let last = self.images(self.pieces() - 1).len();
        let last = if last == self.images { std::borrow::Cow::Borrowed(&[][..]) } else { self.pack(last, weight)? };
        Ok([whole, last])
    }
}

/// `y = x * weight`; `finish(piece of y, its offset)` is called while the piece is in the cache.
pub(crate) fn forward(
    library: &'static Library,
    x: &[f32],
    weight: &[f32],
    g: &Geometry,
    y: &mut [f32],
    finish: &(dyn Fn(&mut [f32], usize) + Sync),
) -> Result<()> {
    let deal = Deal::new(library, Role::Forward, g);
    let packs = deal.packs(weight)?;
    let (input, output) = (g.in_h * g.in_w * g.in_c, g.out_h * g.out_w * g.out_c);
    y.par_chunks_mut(deal.images * output).enumerate().try_for_each(|(piece, y)| {
        let images = deal.images(piece);
        let packed = &packs[usize::from(images.len() != deal.images)];
        let x = &x[images.start * input..images.end * input];
        deal.run(images.len(), Values::Read(x), Values::Read(packed), Values::Write(y))?;
        finish(y, images.start * output);
        Ok(())
    })
}

pub(crate) fn input_gradient(library: &'static Library, dy: &[f32], weight: &[f32], g: &Geometry, dx: &mut [f32]) -> Result<()> {
    let deal = Deal::new(library, Role::InputGradient, g);
    let packs = deal.packs(weight)?;
    let (input, output) = (g.in_h * g.in_w * g.in_c, g.out_h * g.out_w * g.out_c);
    dx.par_chunks_mut(deal.images * input).enumerate().try_for_each(|(piece, dx)| {
        let images = deal.images(piece);
        let packed = &packs[usize::from(images.len() != deal.images)];
        let dy = &dy[images.start * output..images.end * output];
        deal.run(images.len(), Values::Write(dx), Values::Read(packed), Values::Read(dy))
    })
}

/// In PyTorch's order.
pub(crate) fn weight_gradient(library: &'static Library, x: &[f32], dy: &[f32], g: &Geometry) -> Result<Vec<f32>> {
    let deal = Deal::new(library, Role::WeightGradient, g);
    let (input, output) = (g.in_h * g.in_w * g.in_c, g.out_h * g.out_w * g.out_c);
    let partial = |piece: usize| -> Result<Vec<f32>> {
        let images = deal.images(piece);
        let convolution = deal.convolution(images.len())?;
        let mut sum = vec![0.0; convolution.packed];
        let x = &x[images.start * input..images.end * input];
        let dy = &dy[images.start * output..images.end * output];
        deal.run(images.len(), Values::Read(x), Values::Write(&mut sum), Values::Read(dy))?;
        let Some(reorder) = &convolution.reorder else { return Ok(sum) };
        let mut plain = vec![0.0; g.out_c * g.depth()];
        reorder.run([
            Bound { name: tensor::SRC, desc: convolution.main.desc.tensor(Query::DiffWeights), values: Values::Read(&sum) },
            Bound { name: tensor::DST, desc: &*convolution.plain, values: Values::Write(&mut plain) },
        ])?;
        Ok(plain)
    };
    let parts = (0..deal.pieces()).into_par_iter().map(partial).collect::<Result<Vec<_>>>()?;
    Ok(add_in_order(parts))
}
