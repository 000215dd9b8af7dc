//! What the vectors of a clip's frames become one by, where that is learned: `(B, T, F)` to `(B, F')`.
//!
//! ```text
//! attention  K weighted means, one behind the other: weights are a softmax over frames of x . q / sqrt(F) + b, where b prefers at first one of
//!            K parts of the clip each, so that order counts from the start
//! conv       F to H channels, two convolutions of three frames with a ReLU before each and the input added, then all frames one behind the other
//! ```

use candle_core::{D, Device, Tensor, Var};

use super::FramesPool;
use crate::domain::recipe::FramePool;
use crate::nn::architectures::tensor::{Expected, Init};
use crate::nn::backbone::Mode;
use crate::nn::error::{Error, Result};
use crate::nn::random::Draw;
use crate::nn::weights::Weights;

/// The module of its tensors, and the name of its stage.
pub const MODULE: &str = "temporal";

/// Weighted means of `attention`, at most: as many parts as a short action has phases, by judgement.
const MEANS: usize = 4;
/// Channels of `conv`: few items would not fill more.
const CHANNELS: usize = 128;
/// Frames that a convolution sees.
const KERNEL: usize = 3;

/// How wide the vector of a clip is, over vectors of frames this wide.
pub fn width(pool: FramesPool, features: usize) -> usize {
    match pool.over {
        FramePool::Concat => pool.frames * features,
        FramePool::Mean | FramePool::Max | FramePool::Tsm => features,
        FramePool::Attention => MEANS.min(pool.frames) * features,
        FramePool::Conv => pool.frames * CHANNELS,
    }
}

/// Its tensors over vectors of frames this wide; none where nothing is learned.
pub fn tensors(pool: FramesPool, features: usize) -> Vec<Expected> {
    let tensor = |name: &str, shape: &[usize], init| Expected::new(format!("{MODULE}.{name}"), shape, init);
    let convolution = |at: usize| tensor(&format!("conv{at}.weight"), &[CHANNELS, CHANNELS, KERNEL], Init::fan_in(CHANNELS * KERNEL));
    match pool.over {
        FramePool::Concat | FramePool::Mean | FramePool::Max | FramePool::Tsm => Vec::new(),
        FramePool::Attention => {
            let means = MEANS.min(pool.frames);
            vec![tensor("query", &[means, features], Init::ZEROS), tensor("bias", &[means, pool.frames], Init::ZEROS)]
        }
        FramePool::Conv => vec![
            tensor("reduce.weight", &[CHANNELS, features], Init::fan_in(features)),
            tensor("reduce.bias", &[CHANNELS], Init::ZEROS),
            convolution(1),
            convolution(2),
        ],
    }
}

/// Fresh values of them, which follow from the seed.
///
/// # Errors
/// There is no memory for them.
pub fn fresh(pool: FramesPool, features: usize, seed: u64) -> Result<Weights> {
    let mut weights = Weights::default();
    for (at, Expected { name, shape, init }) in tensors(pool, features).into_iter().enumerate() {
        let count = shape.iter().product();
        let mut draw = Draw::new(seed, at as u64);
        let values = match init {
            _ if name.ends_with(".bias") && pool.over == FramePool::Attention => preferences(&shape),
            Init::Constant(value) => vec![value; count],
            Init::Uniform(bound) => draw.uniform(count, bound),
            Init::Normal(deviation) => draw.normals(count, deviation),
        };
        weights.insert(name, Var::from_vec(values, shape, &Device::Cpu)?);
    }
    Ok(weights)
}

/// What each mean adds to the scores of frames at first: a bell around the middle of its part of the clip, as wide as the part.
fn preferences(shape: &[usize]) -> Vec<f32> {
    let (means, frames) = (shape[0], shape[1]);
    let part = frames as f32 / means as f32;
    let score = |mean: usize, frame: usize| -0.5 * ((frame as f32 + 0.5 - (mean as f32 + 0.5) * part) / (0.5 * part)).powi(2);
    (0..means).flat_map(|mean| (0..frames).map(move |frame| score(mean, frame))).collect()
}

/// What is learned over time.
pub struct Learned {
    over: FramePool,
    parameters: Vec<(String, Var)>,
}

impl Learned {
    /// `None` where nothing is.
    pub fn new(pool: FramesPool, own: &Weights) -> Result<Option<Learned>> {
        // How wide frames' vectors are does not change their names.
        let named = tensors(pool, 1);
        if named.is_empty() {
            return Ok(None);
        }
        let find = |tensor: Expected| match own.get(&tensor.name) {
            Some(var) => Ok((tensor.name, var.clone())),
            None => Err(Error::Missing { architecture: "a head over time".into(), name: tensor.name, shape: tensor.shape }),
        };
        Ok(Some(Learned { over: pool.over, parameters: named.into_iter().map(find).collect::<Result<_>>()? }))
    }

    pub fn parameters(&self) -> &[(String, Var)] {
        &self.parameters
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(|(name, _)| name.as_str())
    }

    /// `(B, T, F)` to `(B, F')`. In eval mode the parameters are constants.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let tensor = |at: usize| match mode {
            Mode::Train => self.parameters[at].1.as_tensor().clone(),
            Mode::Eval => self.parameters[at].1.detach(),
        };
        match self.over {
            FramePool::Conv => convolved(x, [tensor(0), tensor(1), tensor(2), tensor(3)]),
            _ => attended(x, &tensor(0), &tensor(1)),
        }
    }
}

/// Weighted means of frames, one behind the other.
fn attended(x: &Tensor, query: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (b, t, f) = x.dims3()?;
    let scores = x.contiguous()?.reshape((b * t, f))?.matmul(&query.t()?)?;
    let scores = (scores.reshape((b, t, query.dim(0)?))?.transpose(1, 2)? / (f as f64).sqrt())?;
    let shares = softmax(&scores.broadcast_add(bias)?.contiguous()?)?;
    Ok(shares.matmul(&x.contiguous()?)?.flatten_from(1)?)
}

/// Over the last axis.
fn softmax(scores: &Tensor) -> Result<Tensor> {
    let largest = scores.max_keepdim(D::Minus1)?.detach();
    let powers = scores.broadcast_sub(&largest)?.exp()?;
    Ok(powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)?)
}

fn convolved(x: &Tensor, [reduce, shift, first, second]: [Tensor; 4]) -> Result<Tensor> {
    let (b, t, f) = x.dims3()?;
    let narrow = x.contiguous()?.reshape((b * t, f))?.matmul(&reduce.t()?)?.broadcast_add(&shift)?.reshape((b, t, CHANNELS))?;
    let inner = over_frames(&narrow.relu()?, &first)?;
    let inner = over_frames(&inner.relu()?, &second)?;
    Ok((narrow + inner)?.flatten_from(1)?)
}

/// A convolution of `KERNEL` frames, zeros around: a product for each of them. `(B, T, C)` to `(B, T, C')`.
fn over_frames(x: &Tensor, kernel: &Tensor) -> Result<Tensor> {
    let (b, t, c) = x.dims3()?;
    let padded = x.pad_with_zeros(1, KERNEL / 2, KERNEL / 2)?;
    let mut sum: Option<Tensor> = None;
    for at in 0..KERNEL {
        let frames = padded.narrow(1, at, t)?.contiguous()?.reshape((b * t, c))?;
        let product = frames.matmul(&kernel.narrow(D::Minus1, at, 1)?.squeeze(D::Minus1)?.t()?.contiguous()?)?;
        sum = Some(match sum {
            Some(sum) => (sum + product)?,
            None => product,
        });
    }
    let sum = sum.ok_or_else(|| Error::Invalid("a convolution over no frames".into()))?;
    Ok(sum.reshape((b, t, kernel.dim(0)?))?)
}
