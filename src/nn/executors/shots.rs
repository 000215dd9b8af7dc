//! Runs a network that tells where shots of a film end: stacks of kernels over frames that lie apart, how alike frames are to those around
//! them, and layers over all of it for each frame. It is composed of candle's ops on every device; kernels over pixels are our own where a CPU
//! answers.

use candle_core::{D, Device, Tensor, Var};

use super::normaliser::Normaliser;
use super::order::frames_last;
use super::parameter::{Pair, handle, parameter};
use crate::domain::recipe::Precision;
use crate::domain::safetensors::is_buffer;
use crate::nn::architectures::tensor::Expected;
use crate::nn::backbone::{Backbone, Mode, Stage};
use crate::nn::error::{Error, Result};
use crate::nn::kernels::ops::{Pass, Road, Settings};
use crate::nn::kernels::{self, Activation, Average, Clip, Folded, Geometry, Padding, Spec, Threads, Window, portable};
use crate::nn::weights::Weights;

/// Frames between those that each kernel of a layer sees.
pub const RATES: [usize; 4] = [1, 2, 4, 8];
/// Frames that each is held against: as many before it as after it, and itself.
pub const AROUND: usize = 101;
/// Of a histogram of colours: the upper three bits of red, green and blue.
pub const BINS: usize = 512;

/// A kernel over pixels of one frame, padded so that sides stay.
const OVER_PIXELS: Spec = Spec { stride: 1, padding: Padding::Symmetric(1), groups: 1, clip: Clip::STILL };
/// Behind each stack.
const HALVED: Average = Average::Windows(Window::new(2, 2, 0));

/// What its modules are called, and its sizes.
pub struct Layout {
    /// Layers of each stack. The first of a stack is added to what the last makes.
    pub stacks: Vec<Vec<String>>,
    /// Added to variances in batch norm.
    pub norm_eps: f64,
    /// That are left of a frame behind the last stack.
    pub pixels: usize,
    /// Height and width of the frames that it sees.
    pub size: [usize; 2],
    /// Of the means of maps: to what is compared, and over what comes of that.
    pub alike: [&'static str; 2],
    /// Over what comes of comparing colours.
    pub colours: &'static str,
    /// Over all of it.
    pub joined: &'static str,
    /// Whether a shot ends with the frame, and whether it is part of a change.
    pub answers: [&'static str; 2],
    /// Numbers of a frame at the end.
    pub width: usize,
}

/// Such a network. It is one stage: each frame's answer hangs on the maps of all stacks.
pub struct Shots {
    architecture: String,
    stages: Vec<Stage>,
    stacks: Vec<Vec<Dilated>>,
    alike: [Pair; 2],
    colours: Pair,
    joined: Pair,
    answers: [Pair; 2],
    pixels: usize,
    size: [usize; 2],
    width: usize,
    weights: Weights,
    settings: Settings,
}

/// For each rate a kernel over pixels and one over frames; all of what they make is normalised together.
struct Dilated {
    pixels: [Var; RATES.len()],
    frames: [Var; RATES.len()],
    norm: Normaliser,
}

impl Shots {
    /// Takes the handles it needs from `weights`, which `architectures` has checked.
    pub fn build(architecture: &str, tensors: Vec<(String, Vec<Expected>)>, layout: Layout, weights: Weights) -> Result<Shots> {
        let dilated = |name: &String| Dilated::build(architecture, name, layout.norm_eps, &weights);
        let stack = |names: &Vec<String>| names.iter().map(dilated).collect::<Result<Vec<_>>>();
        let pair = |module: &str| Pair::of(module, &weights, architecture);
        // Nothing trains the layers that say where shots end: no vector of a clip is made of them.
        let of_answers =
            |name: &str| layout.answers.iter().any(|module| name.strip_prefix(module).is_some_and(|rest| rest.starts_with('.')));
        let stage = |(name, tensors): (String, Vec<Expected>)| {
            let names = tensors.into_iter().map(|tensor| tensor.name);
            let (buffers, parameters) = names.partition(|name| is_buffer(name) || of_answers(name.as_str()));
            Stage { name, parameters, buffers }
        };
        Ok(Shots {
            architecture: architecture.into(),
            stages: tensors.into_iter().map(stage).collect(),
            stacks: layout.stacks.iter().map(stack).collect::<Result<_>>()?,
            alike: [pair(layout.alike[0])?, pair(layout.alike[1])?],
            colours: pair(layout.colours)?,
            joined: pair(layout.joined)?,
            answers: [pair(layout.answers[0])?, pair(layout.answers[1])?],
            pixels: layout.pixels,
            size: layout.size,
            width: layout.width,
            weights,
            settings: Settings::new(),
        })
    }

    /// A row for each frame of clips `(B, 3, T, H, W)` with pixels from 0 to 1: `(B, T, width)`.
    fn of_frames(&self, clips: &Tensor, mode: Mode) -> Result<Tensor> {
        let (maps, frames) = frames_last(clips, true)?;
        let pass = self.settings.pass(&maps, mode == Mode::Train);
        let colours = around(&alike(&histograms(clips)?)?)?;
        let (mut x, mut means) = (maps.contiguous()?, Vec::with_capacity(self.stacks.len()));
        for stack in &self.stacks {
            x = stacked(stack, &x, frames, (mode, &pass))?;
            let (all, height, width, channels) = x.dims4()?;
            means.push(x.reshape((all / frames, frames, height * width, channels))?.mean(2)?);
        }
        let (all, height, width, channels) = x.dims4()?;
        if height * width != self.pixels {
            let [lines, columns] = self.size;
            return Err(Error::Invalid(format!(
                "{} sees frames of {lines} lines and {columns} columns, not {:?}",
                self.architecture,
                clips.dims()
            )));
        }
        let flat = x.reshape((all / frames, frames, height * width * channels))?;
        let projected = linear(&Tensor::cat(&means, 2)?, &self.alike[0], mode)?;
        let scenes = around(&alike(&unit(&projected)?)?)?;
        let scenes = linear(&scenes, &self.alike[1], mode)?.relu()?;
        let colours = linear(&colours, &self.colours, mode)?.relu()?;
        Ok(linear(&Tensor::cat(&[colours, scenes, flat], 2)?, &self.joined, mode)?.relu()?)
    }
}

impl Dilated {
    fn build(architecture: &str, name: &str, eps: f64, weights: &Weights) -> Result<Dilated> {
        let kernels = |layer: usize| {
            let kernel = |rate: usize| handle(&format!("{name}.Conv3D_{rate}.layers.{layer}.weight"), weights, architecture);
            let [a, b, c, d] = RATES;
            Ok::<_, Error>([kernel(a)?, kernel(b)?, kernel(c)?, kernel(d)?])
        };
        let norm = Normaliser::build(architecture, &format!("{name}.bn"), eps, Activation::Relu, weights)?;
        Ok(Dilated { pixels: kernels(0)?, frames: kernels(1)?, norm })
    }

    /// Over maps `(B T, H, W, C)` of clips of so many frames. All kernels over pixels are one product.
    fn forward(&self, x: &Tensor, frames: usize, (mode, pass): (Mode, &Pass)) -> Result<Tensor> {
        let kernels: Vec<Tensor> = self.pixels.iter().map(|kernel| Ok(parameter(kernel, mode).squeeze(2)?)).collect::<Result<_>>()?;
        let seen = over_pixels(x, &Tensor::cat(&kernels, 0)?, pass)?;
        let (all, height, width, channels) = seen.dims4()?;
        let (clips, each) = (all / frames, channels / RATES.len());
        let seen = seen.reshape((clips, frames, height * width, channels))?;
        let one = |(at, rate): (usize, usize)| {
            let own = seen.narrow(3, at * each, each)?.contiguous()?;
            over_frames(&own, &parameter(&self.frames[at], mode), rate)
        };
        let made = RATES.into_iter().enumerate().map(one).collect::<Result<Vec<_>>>()?;
        let made = Tensor::cat(&made, 3)?;
        let channels = made.dim(3)?;
        self.norm.compose(&made.reshape((all, height, width, channels))?, None, mode, pass)
    }
}

/// The layers of a stack, what the first makes added, and half the sides.
fn stacked(stack: &[Dilated], x: &Tensor, frames: usize, how: (Mode, &Pass)) -> Result<Tensor> {
    let Some((first, rest)) = stack.split_first() else { return Ok(x.clone()) };
    let first = first.forward(x, frames, how)?;
    let last = rest.iter().try_fold(first.clone(), |x, layer| layer.forward(&x, frames, how))?;
    // A frame is an image to this mean.
    Ok(portable::average_pool(&(last + first)?, 1, HALVED)?)
}

/// `(M, H, W, I)` by a kernel `(O, I, 3, 3)` to `(M, H, W, O)`.
fn over_pixels(x: &Tensor, kernel: &Tensor, pass: &Pass) -> Result<Tensor> {
    if pass.road != Road::Folded {
        return Ok(portable::conv2d(x, kernel, &OVER_PIXELS, pass.arithmetic.precision)?);
    }
    let (x, kernel) = (x.contiguous()?, kernel.contiguous()?);
    let geometry = Geometry::of(x.dims(), kernel.dims(), &OVER_PIXELS)?;
    let (plain, none) = (vec![1.0; geometry.out_c], vec![0.0; geometry.out_c]);
    let factors = kernels::read(&kernel)?;
    let convolution = Folded::new(&factors, &geometry, (&plain, &none), Activation::None, Threads::All, pass.arithmetic.backend)?;
    let shape = geometry.output_shape();
    let mut y = vec![0.0; shape.iter().product()];
    convolution.forward(&kernels::read(&x)?, None, &mut y)?;
    Ok(Tensor::from_vec(y, shape.to_vec(), x.device())?)
}

/// `(B, T, P, I)` by a kernel `(O, I, 3, 1, 1)` whose frames lie `rate` apart, zeros around the clip: a product for each of the three.
fn over_frames(x: &Tensor, kernel: &Tensor, rate: usize) -> Result<Tensor> {
    let (clips, frames, pixels, inputs) = x.dims4()?;
    let outputs = kernel.dim(0)?;
    let taps = kernel.reshape((outputs, inputs, 3))?;
    let product = |from: usize, count: usize, tap: usize| -> Result<Tensor> {
        let rows = x.narrow(1, from, count)?.contiguous()?.reshape((clips * count * pixels, inputs))?;
        let matrix = taps.narrow(2, tap, 1)?.squeeze(2)?.t()?.contiguous()?;
        Ok(rows.matmul(&matrix)?.reshape((clips, count, pixels, outputs))?)
    };
    let here = product(0, frames, 1)?;
    if rate >= frames {
        return Ok(here);
    }
    let before = product(0, frames - rate, 0)?.pad_with_zeros(1, rate, 0)?;
    let after = product(rate, frames - rate, 2)?.pad_with_zeros(1, 0, rate)?;
    Ok(((here + before)? + after)?)
}

/// `(B, T, I)` to `(B, T, O)`.
fn linear(x: &Tensor, pair: &Pair, mode: Mode) -> Result<Tensor> {
    let (weight, bias) = pair.tensors(mode);
    let (clips, frames, inputs) = x.dims3()?;
    let rows = x.contiguous()?.reshape((clips * frames, inputs))?;
    Ok(rows.matmul(&weight.t()?)?.broadcast_add(&bias)?.reshape((clips, frames, weight.dim(0)?))?)
}

/// Rows `(B, T, C)` of length one.
fn unit(x: &Tensor) -> Result<Tensor> {
    let length = (x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()? + 1e-12)?;
    Ok(x.broadcast_div(&length)?)
}

/// How alike each row of `(B, T, C)` is to every other: `(B, T, T)`.
fn alike(rows: &Tensor) -> Result<Tensor> {
    Ok(rows.matmul(&rows.transpose(1, 2)?.contiguous()?)?)
}

/// Of each frame how alike it is to those around it: `(B, T, T)` to `(B, T, AROUND)`, zeros beyond the clip.
fn around(alike: &Tensor) -> Result<Tensor> {
    let (clips, frames, _) = alike.dims3()?;
    let wide = alike.pad_with_zeros(2, AROUND / 2, AROUND / 2)?.contiguous()?;
    let places: Vec<u32> = (0..frames).flat_map(|frame| (0..AROUND).map(move |at| (frame + at) as u32)).collect();
    let places = Tensor::from_vec(places, (1, frames, AROUND), alike.device())?.broadcast_as((clips, frames, AROUND))?.contiguous()?;
    Ok(wide.gather(&places, 2)?)
}

/// How often each of 512 colours is there in each frame of clips `(B, 3, T, H, W)` with pixels from 0 to 1, as rows of length one: `(B, T, BINS)`.
fn histograms(clips: &Tensor) -> Result<Tensor> {
    let (batch, channels, frames, height, width) = clips.dims5()?;
    if channels != 3 {
        return Err(Error::Invalid(format!("colours have three channels, not {channels}")));
    }
    let pixels = clips.detach().to_device(&Device::Cpu)?.permute(vec![0, 2, 3, 4, 1])?.contiguous()?;
    let pixels = pixels.flatten_all()?.to_vec1::<f32>()?;
    let level = |value: f32| (255.0 * value).round().clamp(0.0, 255.0) as usize >> 5;
    let mut counts = vec![0f32; batch * frames * BINS];
    for (bins, frame) in counts.chunks_exact_mut(BINS).zip(pixels.chunks_exact(3 * height * width)) {
        frame.chunks_exact(3).for_each(|pixel| bins[(level(pixel[0]) << 6) | (level(pixel[1]) << 3) | level(pixel[2])] += 1.0);
        let length = bins.iter().map(|count| count * count).sum::<f32>().sqrt().max(1e-12);
        bins.iter_mut().for_each(|count| *count /= length);
    }
    Ok(Tensor::from_vec(counts, (batch, frames, BINS), &Device::Cpu)?.to_device(clips.device())?)
}

impl Backbone for Shots {
    fields!();

    fn num_features(&self) -> usize {
        self.width
    }

    fn set_norm_momentum(&self, momentum: f64) {
        self.settings.set_momentum(momentum);
    }

    fn freeze_norms(&self) {
        self.settings.freeze_norms();
    }

    /// Clips `(B, 3, T, H, W)` with pixels from 0 to 1 to `(B, width, T, 1, 1)`.
    fn forward_stage(&self, stage: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        if stage > 0 {
            return Err(Error::Invalid(format!("{} has one stage, there is no stage {stage}", self.architecture)));
        }
        Ok(self.of_frames(x, mode)?.transpose(1, 2)?.contiguous()?.unsqueeze(3)?.unsqueeze(4)?)
    }

    /// The mean over all frames.
    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        Ok(features.flatten_from(2)?.mean(2)?)
    }

    fn shot_logits(&self, clips: &Tensor) -> Result<Option<Tensor>> {
        let rows = self.of_frames(clips, Mode::Eval)?;
        let [ends, changes] = &self.answers;
        Ok(Some(Tensor::cat(&[linear(&rows, ends, Mode::Eval)?, linear(&rows, changes, Mode::Eval)?], 2)?.detach()))
    }
}

#[cfg(test)]
#[path = "shots/shots_tests.rs"]
mod tests;
