//! What goes into a vision transformer (Dosovitskiy et al. 2020): an image's square patches, each times one matrix and with its
//! position added, behind the tokens that every image has, as one layer.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;
use tracing::trace_span;

use super::tokens::Parameters;
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::matmul::{Sums, View, add_rows, multiply, parts_mut, sum_over_spans, transpose};
use crate::nn::kernels::memory::with_scratch;
use crate::nn::kernels::simd::vectorised;
use crate::nn::kernels::tape::Node;
use crate::nn::kernels::threads::Threads;

/// The parameters: timm's `patch_embed.proj`, and what is made of its `cls_token`, `reg_token` and `pos_embed`.
#[derive(Clone, Copy)]
pub struct PatchEmbed<'a> {
    /// `(D, C, P, P)` and `(D)`.
    pub projection: (&'a Tensor, &'a Tensor),
    /// `(1, P, D)`: the tokens before the patches, where there are any.
    pub prefix: Option<&'a Tensor>,
    /// `(1, N, D)`: of the patches.
    pub position: &'a Tensor,
}

impl PatchEmbed<'_> {
    /// From a node of images `(B, C, H, W)` to one of tokens `(B, P + N, 1, D)`. Gradients flow to the parameters and, if it is
    /// tracked, to x. Errors when the image does not have as many patches as there are positions.
    pub fn forward(&self, x: &Node) -> Result<Node> {
        let _span = trace_span!("patches").entered();
        let sizes = self.sizes(x.shape)?;
        let none = Tensor::zeros(1, self.position.dtype(), self.position.device())?;
        let parameters = Parameters::new([self.projection, (self.position, self.prefix.unwrap_or(&none))]);
        let y = {
            let [[weight, bias], [position, prefix]] = &parameters.read()?;
            sizes.forward(&x.values, weight, bias, prefix, position)
        };
        let (values, tracked) = (x.values.clone(), x.is_tracked());
        parameters.node(x, [x.shape[0], sizes.tokens(), 1, sizes.outputs], y, move |dy, parameters| {
            let _span = trace_span!("patches gradient").entered();
            let [dweight, dbias, dprefix, dposition] = sizes.parameter_gradient(&values, &dy).parts(sizes.lengths());
            let dx = if tracked { sizes.input_gradient(&dy, &parameters.read()?[0][0]) } else { Buffer::default() };
            Ok((dx, [[dweight, dbias], [dposition, dprefix]]))
        })
    }

    /// Errors when the image does not have as many patches as there are positions.
    pub(crate) fn check(&self, images: [usize; 4]) -> Result<()> {
        self.sizes(images).map(|_| ())
    }

    fn sizes(&self, [batch, channels, height, width]: [usize; 4]) -> Result<Sizes> {
        let (outputs, inputs, patch, other) = self.projection.0.dims4()?;
        let patches = self.position.dim(1)?;
        let prefix = self.prefix.map_or(Ok(0), |prefix| prefix.dim(1))?;
        let fits = inputs == channels
            && patch == other
            && patch > 0
            && height % patch == 0
            && width % patch == 0
            && (height / patch) * (width / patch) == patches
            && self.projection.1.dims() == [outputs]
            && self.prefix.is_none_or(|tokens| tokens.dims() == [1, prefix, outputs])
            && self.position.dims() == [1, patches, outputs];
        if !fits || batch * patches == 0 {
            bail!("images of shape {:?} do not cut into {patches} patches of {patch} pixels", [batch, channels, height, width])
        }
        Ok(Sizes { channels, height, width, patch, outputs, prefix, patches })
    }
}

#[derive(Clone, Copy)]
struct Sizes {
    channels: usize,
    height: usize,
    width: usize,
    patch: usize,
    outputs: usize,
    /// Tokens before the patches.
    prefix: usize,
    patches: usize,
}

impl Sizes {
    fn tokens(&self) -> usize {
        self.prefix + self.patches
    }

    /// Numbers in a patch, in the weight's order: channel, line, column.
    fn depth(&self) -> usize {
        self.channels * self.patch * self.patch
    }

    fn image(&self) -> usize {
        self.channels * self.height * self.width
    }

    fn lengths(&self) -> [usize; 4] {
        [self.outputs * self.depth(), self.outputs, self.prefix * self.outputs, self.patches * self.outputs]
    }

    /// Calls `with(position in the patches, position in the image)` for each run of `patch` floats.
    fn runs(&self, mut with: impl FnMut(usize, usize)) {
        let across = self.width / self.patch;
        for index in 0..self.patches {
            let (top, left) = (index / across * self.patch, index % across * self.patch);
            for channel in 0..self.channels {
                for line in 0..self.patch {
                    let from = (channel * self.height + top + line) * self.width + left;
                    with(index * self.depth() + (channel * self.patch + line) * self.patch, from);
                }
            }
        }
    }

    fn gather(&self, image: &[f32], patches: &mut [f32]) {
        self.runs(|at, from| patches[at..at + self.patch].copy_from_slice(&image[from..from + self.patch]));
    }

    fn scatter(&self, patches: &[f32], image: &mut [f32]) {
        self.runs(|at, from| image[from..from + self.patch].copy_from_slice(&patches[at..at + self.patch]));
    }

    fn forward(&self, x: &[f32], weight: &[f32], bias: &[f32], prefix: &[f32], position: &[f32]) -> Buffer {
        let s = self;
        let transposed = transpose(weight, s.outputs, s.depth());
        let batch = x.len() / s.image();
        let parallelism = Threads::All.inside(batch);
        let mut y = Buffer::any(batch * s.tokens() * s.outputs);
        y.par_chunks_mut(s.tokens() * s.outputs).zip(x.par_chunks(s.image())).for_each(|(y, image)| {
            let (first, rest) = y.split_at_mut(s.prefix * s.outputs);
            first.copy_from_slice(&prefix[..s.prefix * s.outputs]);
            rest.copy_from_slice(position);
            vectorised!({
                for row in rest.chunks_exact_mut(s.outputs) {
                    row.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
                }
            });
            with_scratch(s.patches * s.depth(), |patches| {
                s.gather(image, patches);
                let size = [s.patches, s.outputs, s.depth()];
                multiply(rest, s.outputs, size, View::rows(patches, s.depth()), View::rows(&transposed, s.outputs), true, parallelism);
            });
        });
        y
    }

    fn parameter_gradient(&self, x: &[f32], dy: &[f32]) -> Sums {
        let s = self;
        let batch = x.len() / s.image();
        let parallelism = Threads::All.inside(batch);
        // Nothing is written beside the sums; one float per image stands for the output.
        let mut nothing = vec![0.0; batch];
        sum_over_spans(batch, &mut nothing, 1, s.lengths().iter().sum(), |index, _, sums| {
            let [dweight, dbias, dprefix, dposition] = parts_mut(sums, s.lengths());
            let dy = &dy[index * s.tokens() * s.outputs..][..s.tokens() * s.outputs];
            let (first, rest) = dy.split_at(s.prefix * s.outputs);
            if s.prefix > 0 {
                add_rows(dprefix, first);
            }
            add_rows(dbias, rest);
            add_rows(dposition, rest);
            with_scratch(s.patches * s.depth(), |patches| {
                s.gather(&x[index * s.image()..][..s.image()], patches);
                let gradient = View::rows(rest, s.outputs).transposed();
                let size = [s.outputs, s.depth(), s.patches];
                multiply(dweight, s.depth(), size, gradient, View::rows(patches, s.depth()), true, parallelism);
            });
        })
    }

    fn input_gradient(&self, dy: &[f32], weight: &[f32]) -> Buffer {
        let s = self;
        let batch = dy.len() / (s.tokens() * s.outputs);
        let parallelism = Threads::All.inside(batch);
        let mut dx = Buffer::any(batch * s.image());
        dx.par_chunks_mut(s.image()).zip(dy.par_chunks(s.tokens() * s.outputs)).for_each(|(dx, dy)| {
            with_scratch(s.patches * s.depth(), |patches| {
                let size = [s.patches, s.depth(), s.outputs];
                let gradient = View::rows(&dy[s.prefix * s.outputs..], s.outputs);
                multiply(patches, s.depth(), size, gradient, View::rows(weight, s.depth()), false, parallelism);
                s.scatter(patches, dx);
            });
        });
        dx
    }
}
