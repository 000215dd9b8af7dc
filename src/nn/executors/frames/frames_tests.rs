//! Clips through networks of images: each frame as the image it is, and what is learned over time by differences.

use candle_core::{Device, Tensor};

use super::over_time::{Learned, fresh};
use super::{FramesPool, folded, unfolded};
use crate::domain::recipe::FramePool;
use crate::nn::architectures::{self, Pool};
use crate::nn::kernels::ops::{Forced, Road};
use crate::nn::{Backbone, Input, Mode, Weights};

fn random(shape: &[usize], seed: u64) -> Tensor {
    let count = shape.iter().product();
    Tensor::from_vec(crate::nn::random::Draw::new(seed, 0).normals(count, 1.0), shape, &Device::Cpu).unwrap()
}

fn network(over: FramePool, frames: usize) -> Box<dyn Backbone> {
    network_on("resnet18", over, frames)
}

/// Norms that begin with a scale of zero would hide what goes on before them.
fn weights_of(architecture: &str) -> Weights {
    let weights = Weights::random(architecture, 0, 1).unwrap();
    for (name, var) in weights.iter().filter(|(name, var)| name.ends_with(".weight") && var.rank() == 1) {
        let zero = var.as_tensor().abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap() == 0.0;
        let scale = Tensor::full(0.5f32, var.shape(), &Device::Cpu).unwrap();
        assert!(!zero || var.set(&scale).is_ok(), "{name}");
    }
    weights
}

fn network_on(architecture: &str, over: FramePool, frames: usize) -> Box<dyn Backbone> {
    let pool = Pool::Frames(FramesPool { frames, over });
    let weights = architectures::with_time(architecture, weights_of(architecture), pool, 1).unwrap();
    architectures::build_pooled(architecture, pool, &weights).unwrap()
}

/// A clip whose frames stand in the opposite order.
fn reversed(clip: &Tensor) -> Tensor {
    let frames: Vec<Tensor> = (0..clip.dim(2).unwrap()).rev().map(|frame| clip.narrow(2, frame, 1).unwrap()).collect();
    Tensor::cat(&frames, 2).unwrap()
}

fn close(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap()
}

#[test]
fn frames_are_folded_and_come_back() {
    for shape in [&[2, 3, 4, 5, 6][..], &[2, 4, 5, 6], &[2, 4, 6]] {
        let clips = random(shape, 3);
        let count = if shape.len() == 5 { 4 } else { shape[1] };
        let back = unfolded(&folded(&clips).unwrap(), count).unwrap();
        assert_eq!((back.dims(), close(&back, &clips)), (shape, 0.0));
    }
    assert!(unfolded(&random(&[7, 3], 0), 2).is_err());
}

#[test]
fn each_frame_is_seen_as_an_image_and_their_order_is_kept() {
    let clip = random(&[2, 3, 3, 32, 32], 5);
    let images = architectures::build("resnet18", &weights_of("resnet18")).unwrap();
    let of = |frame: usize| {
        let image = clip.narrow(2, frame, 1).unwrap().squeeze(2).unwrap();
        images.pooled(&Input::Pixels(image), 99, Mode::Eval).unwrap()
    };
    let each: Vec<Tensor> = (0..3).map(of).collect();
    let pooled = |over| network(over, 3).pooled(&Input::Clips(clip.clone()), 99, Mode::Eval).unwrap();
    let concat = pooled(FramePool::Concat);
    assert_eq!(concat.dims(), [2, 3 * 512]);
    assert!(close(&concat, &Tensor::cat(&each, 1).unwrap()) < 1e-4);
    let stacked = Tensor::stack(&each, 1).unwrap();
    assert!(close(&pooled(FramePool::Mean), &stacked.mean(1).unwrap()) < 1e-4);
    assert!(close(&pooled(FramePool::Max), &stacked.max(1).unwrap()) < 1e-4);
    assert_eq!(pooled(FramePool::Attention).dims(), [2, 3 * 512]);
    let conv = network(FramePool::Conv, 3);
    assert_eq!((pooled(FramePool::Conv).dims(), conv.num_features()), (&[2, 3 * 128][..], 384));
    assert_eq!(conv.stages().len(), images.stages().len() + 1);
    let short = clip.narrow(2, 0, 2).unwrap();
    assert!(network(FramePool::Concat, 3).pooled(&Input::Clips(short), 99, Mode::Eval).is_err());
}

#[test]
fn stages_one_by_one_are_the_whole() {
    let clip = random(&[2, 3, 4, 32, 32], 6);
    for over in [FramePool::Concat, FramePool::Attention, FramePool::Tsm] {
        let network = network(over, 4);
        let mut x = clip.clone();
        for stage in 0..network.stages().len() {
            x = network.forward_stage(stage, &x, Mode::Eval).unwrap();
        }
        let whole = network.pooled(&Input::Clips(clip.clone()), 99, Mode::Eval).unwrap();
        assert!(close(&network.pool(&x).unwrap(), &whole) < 1e-4);
    }
}

#[test]
fn what_is_learned_over_time_has_the_gradients_of_differences() {
    let x = random(&[2, 5, 6], 7);
    for over in [FramePool::Attention, FramePool::Conv] {
        let pool = FramesPool { frames: 5, over };
        let weights = fresh(pool, 6, 3).unwrap();
        let learned = Learned::new(pool, &weights).unwrap().unwrap();
        let loss = || learned.forward(&x, Mode::Train).unwrap().sqr().unwrap().mean_all().unwrap();
        let gradients = loss().backward().unwrap();
        for (name, var) in learned.parameters() {
            let gradient = gradients.get(var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let values = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for at in [0, values.len() / 2, values.len() - 1] {
                let moved = |by: f32| {
                    let mut moved = values.clone();
                    moved[at] += by;
                    var.set(&Tensor::from_vec(moved, var.shape(), &Device::Cpu).unwrap()).unwrap();
                    f64::from(loss().to_scalar::<f32>().unwrap())
                };
                let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                moved(0.0);
                let found = f64::from(gradient[at]);
                assert!((slope - found).abs() < 1e-3 + 0.03 * found.abs(), "{name} {at}: {slope} {found}");
            }
        }
    }
}

#[test]
fn frames_see_each_other_by_shifts_alike_on_every_road() {
    let clip = random(&[3, 3, 4, 32, 32], 8);
    let input = Input::Clips(clip.clone());
    // Shortcuts; none in any stage; shortcuts in some; stages between which tokens and maps of others are shifted.
    for architecture in ["resnet18", "squeezenet1_1", "mobilenetv2_100", "convnext_atto", "densenet121"] {
        let network = network_on(architecture, FramePool::Tsm, 4);
        network.freeze_norms();
        let frozen = network.stages().len();
        let pooled = |input: &Input, mode| network.pooled(input, if mode == Mode::Eval { frozen } else { 0 }, mode).unwrap();
        let eval = pooled(&input, Mode::Eval);
        assert_eq!(eval.dims(), [3, network.num_features()]);
        let scale = eval.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
        let same = |other: &Tensor, what: &str| assert!(close(&eval, other) <= 2e-4 * scale, "{architecture}: {what}");
        same(&pooled(&input, Mode::Train), "learning");
        network.settings().force(Forced { road: Some(Road::Portable), ..Forced::default() });
        same(&pooled(&input, Mode::Eval), "portable");
        network.settings().force(Forced::default());
        // A clip is the same in any company, and its order counts.
        let alone: Vec<Tensor> = (0..3).map(|at| pooled(&Input::Clips(clip.narrow(0, at, 1).unwrap()), Mode::Eval)).collect();
        same(&Tensor::cat(&alone, 0).unwrap(), "alone");
        let back = pooled(&Input::Clips(reversed(&clip)), Mode::Eval);
        assert!(close(&eval, &back) > 1e-3 * scale, "{architecture}: order counts");
        assert!(network.pooled(&Input::Clips(clip.narrow(2, 0, 3).unwrap()), frozen, Mode::Eval).is_err(), "another length");
    }
}

#[test]
fn a_repeated_frame_is_the_image_where_the_ends_of_the_clip_are_not_seen() {
    // Each of eight blocks looks a frame further.
    let (frames, middle) = (19, 9);
    let image = random(&[1, 3, 32, 32], 9);
    let clip = image.unsqueeze(2).unwrap().repeat((1, 1, frames, 1, 1)).unwrap();
    let network = network(FramePool::Tsm, frames);
    let stages = network.stages().len();
    let maps = network.features(&Input::Clips(clip), stages, Mode::Eval).unwrap();
    let images = network_on("resnet18", FramePool::Mean, 1);
    let alone = images.features(&Input::Clips(image.unsqueeze(2).unwrap()), stages, Mode::Eval).unwrap();
    let of = |frame: usize| maps.narrow(2, frame, 1).unwrap();
    assert!(close(&of(middle), &alone) < 1e-4, "{}", close(&of(middle), &alone));
    assert!(close(&of(0), &alone) > 1e-3 && close(&of(0), &of(frames - 1)) > 1e-3, "the ends see nothing beyond");
}

#[test]
fn the_gradient_of_what_is_shifted_is_that_of_differences() {
    let clip = random(&[1, 3, 3, 32, 32], 10);
    let network = network_on("resnet10t", FramePool::Tsm, 3);
    network.freeze_norms();
    let weight = |name: &str| network.weights().get(name).unwrap().clone();
    let loss = || network.pooled(&Input::Clips(clip.clone()), 0, Mode::Train).unwrap().sqr().unwrap().mean_all().unwrap();
    let gradients = crate::nn::kernels::backward(&loss()).unwrap();
    for name in ["layer2.0.conv1.weight", "layer4.0.conv2.weight"] {
        let var = weight(name);
        let gradient = gradients.get(&var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let before = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        // Along the gradient itself, where rounding counts least.
        let length = gradient.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        let step = 1e-2 * before.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        let moved = |sign: f64| {
            let at = |(value, slope): (&f32, &f32)| (f64::from(*value) + sign * step * f64::from(*slope) / length) as f32;
            let values: Vec<f32> = before.iter().zip(&gradient).map(at).collect();
            var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
            f64::from(loss().to_scalar::<f32>().unwrap())
        };
        let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step);
        moved(0.0);
        assert!((slope - length).abs() < 0.03 * length, "{name}: {slope} and {length}");
    }
}

#[test]
fn attention_knows_before_from_after_untaught() {
    let pool = FramesPool { frames: 8, over: FramePool::Attention };
    let learned = Learned::new(pool, &fresh(pool, 2, 0).unwrap()).unwrap().unwrap();
    let rising = Tensor::arange(0f32, 16.0, &Device::Cpu).unwrap().reshape((1, 8, 2)).unwrap();
    let seen = learned.forward(&rising, Mode::Eval).unwrap().reshape((4, 2)).unwrap().to_vec2::<f32>().unwrap();
    assert!(seen.windows(2).all(|pair| pair[0][0] + 2.0 < pair[1][0]), "{seen:?}");
}
