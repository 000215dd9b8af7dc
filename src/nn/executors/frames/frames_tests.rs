//! Clips through networks of images: each frame as the image it is, and what is learned over time by differences.

use candle_core::{Device, Tensor};

use super::over_time::{Learned, fresh};
use super::{FramesPool, folded, unfolded};
use crate::domain::recipe::FramePool;
use crate::nn::architectures::{self, Pool};
use crate::nn::{Backbone, Input, Mode, Weights};

fn random(shape: &[usize], seed: u64) -> Tensor {
    let count = shape.iter().product();
    Tensor::from_vec(crate::nn::random::Draw::new(seed, 0).normals(count, 1.0), shape, &Device::Cpu).unwrap()
}

fn network(over: FramePool, frames: usize) -> Box<dyn Backbone> {
    let pool = Pool::Frames(FramesPool { frames, over });
    let weights = Weights::random("resnet18", 0, 1).unwrap();
    let weights = architectures::with_time("resnet18", weights, pool, 1).unwrap();
    architectures::build_pooled("resnet18", pool, &weights).unwrap()
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
    let images = architectures::build("resnet18", &Weights::random("resnet18", 0, 1).unwrap()).unwrap();
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
    for over in [FramePool::Concat, FramePool::Attention] {
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
fn attention_knows_before_from_after_untaught() {
    let pool = FramesPool { frames: 8, over: FramePool::Attention };
    let learned = Learned::new(pool, &fresh(pool, 2, 0).unwrap()).unwrap().unwrap();
    let rising = Tensor::arange(0f32, 16.0, &Device::Cpu).unwrap().reshape((1, 8, 2)).unwrap();
    let seen = learned.forward(&rising, Mode::Eval).unwrap().reshape((4, 2)).unwrap().to_vec2::<f32>().unwrap();
    assert!(seen.windows(2).all(|pair| pair[0][0] + 2.0 < pair[1][0]), "{seen:?}");
}
