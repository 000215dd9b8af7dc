//! Convolution and its gradients through oneDNN, images dealt to threads.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::cache::{self, Convolution, Key};
use super::library::{Bound, Library, Query, Result, Role, Values, tensor};
use crate::domain::recipe::Precision;
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::conv::finish::Finish;
use crate::nn::kernels::conv::geometry::Geometry;
use crate::nn::kernels::matmul::add_in_order;
use crate::nn::kernels::memory::with_scratch;
use crate::nn::kernels::rounding;
use crate::nn::kernels::threads::Threads;

/// Floats of input and output that a piece may hold beside each other in a core's second-level cache.
const PIECE_FLOATS: usize = 256 * 1024;

/// How the images of a batch are dealt out.
struct Deal {
    library: &'static Library,
    role: Role,
    precision: Precision,
    geometry: Geometry,
    /// Images per piece; the last may be smaller.
    images: usize,
    /// Threads of the library's own per piece.
    threads: usize,
}

impl Deal {
    fn new(library: &'static Library, role: Role, precision: Precision, g: &Geometry, threads: Threads) -> Deal {
        let (alone, threads) = (threads == Threads::One, threads.count());
        let even = g.batch.div_ceil(threads);
        let images = match role {
            // Each piece sums into weights of its own, so there are as few as there are threads.
            Role::WeightGradient => even,
            // Whoever works alone got a piece already.
            _ if alone => even,
            _ => {
                let image = g.input_pixels() * g.in_c + g.output_pixels() * g.out_c;
                // As many pieces for each thread.
                let pieces = even.div_ceil((PIECE_FLOATS / image.max(1)).max(1));
                even.div_ceil(pieces.max(1))
            }
        };
        let threads = if g.batch < threads { threads } else { 1 };
        Deal { library, role, precision, geometry: *g, images, threads }
    }

    /// Of one image or clip: input and output.
    fn floats(&self) -> (usize, usize) {
        let g = &self.geometry;
        (g.input_pixels() * g.in_c, g.output_pixels() * g.out_c)
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
        cache::get(self.library, Key { role: self.role, precision: self.precision, geometry, threads: self.threads })
    }

    /// Runs a piece: `x` and `y` by their roles, one of them to be written.
    fn run(&self, images: usize, x: Values<'_>, weights: Values<'_>, y: Values<'_>) -> Result<()> {
        if self.precision == Precision::F32 {
            return self.run_as_is(images, x, weights, y);
        }
        let rounded = |values: &Values<'_>| match values {
            Values::Read(values) => Some(rounding::packed(values)),
            Values::Write(_) => None,
        };
        let (x_rounded, y_rounded) = (rounded(&x), rounded(&y));
        let (x, y) = (x_rounded.as_deref().map_or(x, Values::Read), y_rounded.as_deref().map_or(y, Values::Read));
        self.run_as_is(images, x, weights, y)
    }

    fn run_as_is(&self, images: usize, x: Values<'_>, weights: Values<'_>, y: Values<'_>) -> Result<()> {
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
    fn pack<'a>(&self, images: usize, weight: &'a [f32]) -> Result<Pack<'a>> {
        let convolution = self.convolution(images)?;
        let Some(reorder) = &convolution.reorder else { return Ok(Pack::Plain(weight)) };
        let mut packed = Buffer::any(convolution.packed);
        self.library.use_threads(self.threads);
        reorder.run([
            Bound { name: tensor::SRC, desc: &*convolution.plain, values: Values::Read(weight) },
            Bound { name: tensor::DST, desc: convolution.main.desc.tensor(Query::Weights), values: Values::Write(&mut packed) },
        ])?;
        Ok(Pack::Own(packed))
    }
}

/// Weights in the order of a primitive.
enum Pack<'a> {
    Plain(&'a [f32]),
    Own(Buffer),
}

impl Pack<'_> {
    fn values(&self) -> &[f32] {
        match self {
            Pack::Plain(values) => values,
            Pack::Own(buffer) => buffer,
        }
    }
}

/// A convolution whose code is made and whose weights are packed.
pub(crate) struct Ready<'a> {
    deal: Deal,
    /// For whole pieces and for the last.
    packs: [Pack<'a>; 2],
}

impl<'a> Ready<'a> {
    /// Errors where the library has no code for this shape.
    pub fn new(
        library: &'static Library,
        role: Role,
        precision: Precision,
        weight: &'a [f32],
        g: &Geometry,
        threads: Threads,
    ) -> Result<Ready<'a>> {
        let deal = Deal::new(library, role, precision, g, threads);
        let whole = deal.pack(deal.images, weight)?;
        let last = deal.images(deal.pieces() - 1).len();
        let last = if last == deal.images { Pack::Plain(&[]) } else { deal.pack(last, weight)? };
        Ok(Ready { deal, packs: [whole, last] })
    }

    fn pack(&self, images: usize) -> Values<'_> {
        Values::Read(self.packs[usize::from(images != self.deal.images)].values())
    }

    /// `y = x * weight`, each piece of it finished while it is in the cache.
    pub fn forward(&self, x: &[f32], y: &mut [f32], finish: &Finish<'_>) -> Result<()> {
        let (input, output) = self.deal.floats();
        y.par_chunks_mut(self.deal.images * output).enumerate().try_for_each(|(piece, y)| {
            let images = self.deal.images(piece);
            let x = &x[images.start * input..images.end * input];
            self.deal.run(images.len(), Values::Read(x), self.pack(images.len()), Values::Write(y))?;
            finish(y, images.start * output);
            Ok(())
        })
    }

    /// Each piece of `dy` is prepared, and its part of `dx` is worked out while it is in the cache.
    pub fn input_gradient(&self, dy: &mut [f32], prepare: &Finish<'_>, dx: &mut [f32]) -> Result<()> {
        let (input, output) = self.deal.floats();
        let pieces = dx.par_chunks_mut(self.deal.images * input).zip(dy.par_chunks_mut(self.deal.images * output));
        pieces.enumerate().try_for_each(|(piece, (dx, dy))| {
            let images = self.deal.images(piece);
            prepare(dy, images.start * output);
            self.deal.run(images.len(), Values::Write(dx), self.pack(images.len()), Values::Read(dy))
        })
    }
}

/// In PyTorch's order.
pub(crate) fn weight_gradient(library: &'static Library, precision: Precision, x: &[f32], dy: &[f32], g: &Geometry) -> Result<Vec<f32>> {
    let deal = Deal::new(library, Role::WeightGradient, precision, g, Threads::All);
    // Of clips some taps are added to before they are written (2.6).
    let ((input, output), all_taps) = (deal.floats(), g.is_still() && g.uses_all_taps());
    let partial = |piece: usize| -> Result<(Arc<Convolution>, Buffer)> {
        let images = deal.images(piece);
        let convolution = deal.convolution(images.len())?;
        // The library leaves alone what belongs to taps that see no pixel.
        let mut sum = if all_taps { Buffer::any(convolution.packed) } else { Buffer::zeros(convolution.packed) };
        let x = &x[images.start * input..images.end * input];
        let dy = &dy[images.start * output..images.end * output];
        deal.run(images.len(), Values::Read(x), Values::Write(&mut sum), Values::Read(dy))?;
        Ok((convolution, sum))
    };
    let parts = (0..deal.pieces()).into_par_iter().map(partial).collect::<Result<Vec<_>>>()?;
    let plain = |(convolution, sum): (Arc<Convolution>, Buffer)| -> Result<Vec<f32>> {
        let Some(reorder) = &convolution.reorder else { return Ok(sum.to_vec()) };
        let mut plain = vec![0.0; g.out_c * g.depth()];
        reorder.run([
            Bound { name: tensor::SRC, desc: convolution.main.desc.tensor(Query::DiffWeights), values: Values::Read(&sum) },
            Bound { name: tensor::DST, desc: &*convolution.plain, values: Values::Write(&mut plain) },
        ])?;
        Ok(plain)
    };
    let first = parts[0].0.clone();
    if parts.iter().all(|(convolution, _)| Arc::ptr_eq(convolution, &first)) {
        // One order, so that they can be added up before it is changed.
        return plain((first, add_in_order(parts.into_iter().map(|(_, sum)| sum).collect())));
    }
    Ok(add_in_order(parts.into_iter().map(plain).collect::<Result<Vec<_>>>()?))
}
