//! Stages in eval mode on a CPU: some images or clips at a time go through a whole stage on one thread, so that the maps between
//! its layers stay in that core's cache, their memory is used again at once, and threads wait for each other only where
//! a stage ends.

use std::sync::Arc;

use candle_core::Tensor;
use rayon::prelude::*;

use super::layer::Layer;
use super::ready::{self, ReadyStep, Sketch, Values};
use super::stage::{RunningStage, Step};
use crate::nn::error::{Error, Result};
use crate::nn::kernels::backend::Choice;
use crate::nn::kernels::ops::Pass;
use crate::nn::kernels::{self, Buffer, Threads};

/// Floats that the widest layer of a piece may hold, in and out: what a core's second-level cache takes.
const PIECE_FLOATS: usize = 256 * 1024;

/// Sends channels-last maps of clips of so many frames through a stage, without a graph; answers how many frames are left.
pub(super) fn run(stage: &RunningStage, x: &Tensor, frames: usize, pass: &Pass) -> Result<(Tensor, usize)> {
    let (maps, height, width, channels) = x.dims4()?;
    // Of single frames, too, those of a clip stay together where the stage shifts channels between them.
    let each = frames.max(stage.together());
    if frames == 0 || !maps.is_multiple_of(each) {
        return Err(Error::Invalid(format!("{maps} maps are not clips of {each} frames")));
    }
    let batch = maps / each;
    let weights = layers(stage)?.into_iter().map(Layer::weight).collect::<Result<Vec<_>>>()?;
    let weights: Vec<&[f32]> = weights.iter().map(|weight| &**weight).collect();
    let (images, threads) = deal(batch, &Cost::of(stage, [each, height, width, channels], frames)?);
    let clips = |images: usize| ([images * each, height, width, channels], frames);
    let ready = |images: usize| ReadyStage::new(stage, clips(images), &weights, threads, pass.arithmetic.backend);
    let (whole, last) = (ready(images)?, batch % images);
    let rest = if last == 0 { None } else { Some(ready(last)?) };
    let (from, to) = (each * height * width * channels, whole.output.iter().product::<usize>() / images);
    let values = kernels::read(x)?;
    let mut y = vec![0.0; batch * to];
    y.par_chunks_mut(images * to).zip(values.par_chunks(images * from)).try_for_each(|(y, x)| {
        let stage = rest.as_ref().filter(|_| y.len() < images * to).unwrap_or(&whole);
        stage.run(x, y)
    })?;
    let [_, out_h, out_w, out_c] = whole.output;
    let made = y.len() / (out_h * out_w * out_c).max(1);
    Ok((Tensor::from_vec(y, (made, out_h, out_w, out_c), x.device())?, whole.frames))
}

/// In the order in which a stage meets them.
fn layers(stage: &RunningStage) -> Result<Vec<&Layer>> {
    let mut layers = Vec::new();
    stage.forward(&(), 1, &mut |step| {
        if let Step::Layer(layer, ..) = step {
            layers.push(layer);
        }
        Ok(())
    })?;
    Ok(layers)
}

/// What one image or clip costs in a stage, in floats.
struct Cost {
    widest: usize,
    maps: usize,
    weights: usize,
}

impl Cost {
    fn of(stage: &RunningStage, input: [usize; 4], frames: usize) -> Result<Cost> {
        let mut cost = Cost { widest: 0, maps: 0, weights: 0 };
        stage.forward(&input, frames, &mut |step| {
            if let Step::Layer(layer, frames, &shape, _) = step {
                let geometry = layer.geometry(shape, frames)?;
                let maps = [geometry.input_shape(), geometry.output_shape()].iter().map(|shape| shape.iter().product::<usize>()).sum();
                cost.widest = cost.widest.max(maps);
                cost.maps += maps;
                cost.weights += geometry.weight_shape().iter().product::<usize>();
            }
            ready::output(&step)
        })?;
        Ok(cost)
    }
}

/// Images of a piece, and who works on it. Maps should stay in the cache, but weights are read again for each piece, so
/// it must not be much smaller than they are.
fn deal(batch: usize, cost: &Cost) -> (usize, Threads) {
    let threads = rayon::current_num_threads();
    if batch < threads {
        return (batch, Threads::All);
    }
    let even = batch.div_ceil(threads);
    let wanted = (PIECE_FLOATS / cost.widest.max(1)).max(cost.weights / cost.maps.max(1)).clamp(1, even);
    let images = even.div_ceil(even.div_ceil(wanted));
    // Pieces of one size need their weights packed once.
    let images = (images.div_ceil(2)..=images).rev().find(|images| batch.is_multiple_of(*images)).unwrap_or(images);
    (images, Threads::One)
}

/// A stage ready for pieces of one size.
struct ReadyStage<'a> {
    stage: &'a RunningStage,
    /// In the order in which the stage meets them.
    steps: Vec<ReadyStep<'a>>,
    output: [usize; 4],
    /// Of the clips that come in and go out.
    input_frames: usize,
    frames: usize,
}

impl<'a> ReadyStage<'a> {
    fn new(
        stage: &'a RunningStage,
        (input, input_frames): ([usize; 4], usize),
        weights: &[&'a [f32]],
        threads: Threads,
        backend: Choice,
    ) -> Result<ReadyStage<'a>> {
        let (mut sketches, mut weights) = (Vec::new(), weights.iter());
        let (output, frames) = stage.forward(&input, input_frames, &mut |step| {
            sketches.push(Sketch::of(&step, &mut weights));
            ready::output(&step)
        })?;
        let steps = sketches.par_iter().map(|sketch| sketch.ready(threads, backend)).collect::<Result<_>>()?;
        Ok(ReadyStage { stage, steps, output, input_frames, frames })
    }

    /// Writes all of `y`.
    fn run(&self, x: &[f32], y: &mut [f32]) -> Result<()> {
        let mut steps = self.steps.iter();
        let (made, _) = self.stage.forward(&Values::Given(x), self.input_frames, &mut |step| {
            // As many as the stage has: `new` went the same way.
            let Some(ready) = steps.next() else { return Ok(Values::Written) };
            if steps.len() == 0 {
                ready.run(&step, y)?;
                return Ok(Values::Written);
            }
            if let Step::Sum(Values::Made(made), shortcut, activation) = step {
                return Ok(ready::added(made, shortcut.floats(), activation));
            }
            let mut made = Buffer::any(ready.floats);
            ready.run(&step, &mut made)?;
            Ok(Values::Made(Arc::new(made)))
        })?;
        // A stage without steps.
        if let Values::Given(values) = made {
            y.copy_from_slice(values);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use crate::nn::kernels::backend::Choice;
    use crate::nn::kernels::ops::Forced;
    use crate::nn::random::Draw;
    use crate::nn::{Mode, Weights, architectures};

    #[test]
    fn an_image_gives_the_same_features_in_every_batch_on_any_number_of_threads() {
        for (architecture, side) in
            [("resnet18", 40), ("mobilenetv3_small_050", 64), ("resnet10t", 40), ("squeezenet1_1", 40), ("densenet121", 40)]
        {
            let weights = Weights::random(architecture, 3, 5).unwrap();
            let backbone = architectures::build_classifier(architecture, 3, &weights).unwrap().backbone;
            let stages = backbone.stages().len();
            let images = Tensor::from_vec(Draw::new(1, 0).normals(7 * 3 * side * side, 1.0), (7, 3, side, side), &Device::Cpu).unwrap();
            let features = |first: usize, batch: usize, threads: usize, choice: Choice| -> Vec<Vec<f32>> {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let some = images.narrow(0, first, batch).unwrap();
                backbone.settings().force(Forced { backend: Some(choice), ..Forced::default() });
                pool.install(|| backbone.pooled(&(&some).into(), stages, Mode::Eval)).unwrap().to_vec2().unwrap()
            };
            let alone: Vec<Vec<f32>> = (0..7).flat_map(|index| features(index, 1, 1, Choice::Rust)).collect();
            let scale = alone.iter().flatten().fold(0.0f32, |largest, value| largest.max(value.abs()));
            for choice in [Choice::Rust, Choice::Auto] {
                for (threads, batch) in [(1, 7), (2, 1), (2, 2), (2, 3), (2, 7), (3, 2), (3, 4), (3, 7), (4, 6)] {
                    for (row, expected) in features(0, batch, threads, choice).iter().zip(&alone) {
                        let apart = row.iter().zip(expected).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
                        assert!(apart <= 1e-5 * scale, "{architecture}, {choice:?}, {threads} threads, {batch} images: {apart} of {scale}");
                    }
                }
            }
        }
    }
}
