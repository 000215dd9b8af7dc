//! What goes into a vision transformer (Dosovitskiy et al. 2020): an image's square patches, each times one matrix,
//! with a class token before them and the position added to all, as one op.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::memory::{floats, read, tensor, with_scratch};
use super::portable;
use super::product::{View, add_rows, inner_parallelism, multiply, parts, parts_mut, sum_over_spans, transpose};
use super::simd::vectorised;

/// The parameters, under timm's names `patch_embed.proj`, `cls_token` and `pos_embed`; N counts the class token.
#[derive(Clone, Copy)]
pub struct PatchEmbed<'a> {
    /// `(D, C, P, P)` and `(D)`.
    pub projection: (&'a Tensor, &'a Tensor),
    /// `(1, 1, D)`.
    pub class_token: &'a Tensor,
    /// `(1, N, D)`.
    pub position: &'a Tensor,
}

impl PatchEmbed<'_> {
    /// Images `(B, C, H, W)` to tokens `(B, N, D)`. Gradients flow to the parameters and, if it is tracked, to x.
    /// Errors when the image does not have as many patches as there are positions.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, channels, height, width) = x.dims4()?;
        let (outputs, inputs, patch, other) = self.projection.0.dims4()?;
        let tokens = self.position.dim(1)?;
        let fits = inputs == channels
            && patch == other
            && patch > 0
            && height % patch == 0
            && width % patch == 0
            && (height / patch) * (width / patch) + 1 == tokens
            && self.projection.1.dims() == [outputs]
            && self.class_token.dims() == [1, 1, outputs]
            && self.position.dims() == [1, tokens, outputs];
        if !fits || batch == 0 {
            bail!("images of shape {:?} do not cut into {} patches of {patch} pixels", x.dims(), tokens.saturating_sub(1))
        }
        if portable::is_for(x) {
            return portable::patch_embed(x, self);
        }
        let packed = [self.projection.0, self.projection.1, self.class_token, self.position].map(Tensor::flatten_all);
        let packed = Tensor::cat(&packed.into_iter().collect::<Result<Vec<_>>>()?, 0)?;
        let sizes = Sizes { channels, height, width, patch, outputs, tokens };
        x.contiguous()?.apply_op2(&packed, Op(sizes))
    }
}

#[derive(Clone, Copy)]
struct Sizes {
    channels: usize,
    height: usize,
    width: usize,
    patch: usize,
    outputs: usize,
    tokens: usize,
}

impl Sizes {
    fn patches(&self) -> usize {
        self.tokens - 1
    }

    /// Numbers in a patch, in the weight's order: channel, line, column.
    fn depth(&self) -> usize {
        self.channels * self.patch * self.patch
    }

    fn image(&self) -> usize {
        self.channels * self.height * self.width
    }

    fn lengths(&self) -> [usize; 4] {
        [self.outputs * self.depth(), self.outputs, self.outputs, self.tokens * self.outputs]
    }

    /// Calls `with(position in the patches, position in the image)` for each run of `patch` floats.
    fn runs(&self, mut with: impl FnMut(usize, usize)) {
        let across = self.width / self.patch;
        for index in 0..self.patches() {
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
}

/// Arguments of the op: x, and all parameters in one vector.
struct Op(Sizes);

impl Op {
    fn forward(&self, x: &[f32], packed: &[f32]) -> Vec<f32> {
        let s = self.0;
        let [weight, bias, class, position] = parts(packed, s.lengths());
        let turned = transpose(weight, s.outputs, s.depth());
        let batch = x.len() / s.image();
        let parallelism = inner_parallelism(batch);
        let mut y = vec![0.0; batch * s.tokens * s.outputs];
        y.par_chunks_mut(s.tokens * s.outputs).zip(x.par_chunks(s.image())).for_each(|(y, image)| {
            y.copy_from_slice(position);
            let (first, rest) = y.split_at_mut(s.outputs);
            vectorised(|| {
                first.iter_mut().zip(class).for_each(|(y, class)| *y += class);
                for row in rest.chunks_exact_mut(s.outputs) {
                    row.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
                }
            });
            with_scratch(s.patches() * s.depth(), |patches| {
                s.gather(image, patches);
                let size = [s.patches(), s.outputs, s.depth()];
                multiply(rest, s.outputs, size, View::rows(patches, s.depth()), View::rows(&turned, s.outputs), true, parallelism);
            });
        });
        y
    }

    fn parameter_gradient(&self, x: &[f32], dy: &[f32], length: usize) -> Vec<f32> {
        let s = self.0;
        let batch = x.len() / s.image();
        let parallelism = inner_parallelism(batch);
        // Nothing is written beside the sums; one float per image stands for the output.
        let mut nothing = vec![0.0; batch];
        sum_over_spans(batch, &mut nothing, 1, length, |index, _, sums| {
            let [dweight, dbias, dclass, dposition] = parts_mut(sums, s.lengths());
            let dy = &dy[index * s.tokens * s.outputs..][..s.tokens * s.outputs];
            let (first, rest) = dy.split_at(s.outputs);
            add_rows(dclass, first);
            add_rows(dbias, rest);
            add_rows(dposition, dy);
            with_scratch(s.patches() * s.depth(), |patches| {
                s.gather(&x[index * s.image()..][..s.image()], patches);
                let gradient = View::rows(rest, s.outputs).transposed();
                let size = [s.outputs, s.depth(), s.patches()];
                multiply(dweight, s.depth(), size, gradient, View::rows(patches, s.depth()), true, parallelism);
            });
        })
    }

    fn input_gradient(&self, dy: &[f32], packed: &[f32]) -> Vec<f32> {
        let s = self.0;
        let [weight, ..] = parts(packed, s.lengths());
        let batch = dy.len() / (s.tokens * s.outputs);
        let parallelism = inner_parallelism(batch);
        let mut dx = vec![0.0; batch * s.image()];
        dx.par_chunks_mut(s.image()).zip(dy.par_chunks(s.tokens * s.outputs)).for_each(|(dx, dy)| {
            with_scratch(s.patches() * s.depth(), |patches| {
                let size = [s.patches(), s.depth(), s.outputs];
                let gradient = View::rows(&dy[s.outputs..], s.outputs);
                multiply(patches, s.depth(), size, gradient, View::rows(weight, s.depth()), false, parallelism);
                s.scatter(patches, dx);
            });
        });
        dx
    }
}

impl CustomOp2 for Op {
    fn name(&self) -> &'static str {
        "patch-embed"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, packed: &CpuStorage, pl: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = self.forward(floats(x, xl)?, floats(packed, pl)?);
        let batch = y.len() / (self.0.tokens * self.0.outputs);
        Ok((CpuStorage::F32(y), Shape::from((batch, self.0.tokens, self.0.outputs))))
    }

    fn bwd(&self, x: &Tensor, packed: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let dy = read(&dy)?;
        let dx = match x.track_op() {
            true => Some(tensor(self.input_gradient(&dy, &read(packed)?), x.dims())?),
            false => None,
        };
        let dpacked = match packed.track_op() {
            true => Some(tensor(self.parameter_gradient(&read(x)?, &dy, packed.elem_count()), packed.dims())?),
            false => None,
        };
        Ok((dx, dpacked))
    }
}
