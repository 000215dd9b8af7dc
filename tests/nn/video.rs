//! Networks of clips against torchvision, pytorchvideo and a PyTorch I3D: same weights (made by the formula of `golden/make_video.py`), same
//! numbers, same gradients.

use std::sync::LazyLock;

use candle_core::{Device, Tensor};
use hub::nn::architectures::{self, Expected};
use hub::nn::{Classifier, Input, Mode, Weights, kernels, loss};
use serde_json::Value;

use super::formula::uniform;
use super::{distance, golden, numbers, values};

const CLASSES: usize = 5;
const CLASSIFIERS: [&str; 5] = ["fc.", "classifier.1.", "logits.conv3d.", "blocks.5.proj.", "blocks.6.proj."];

static ANSWERS: LazyLock<Value> = LazyLock::new(|| golden("video.json"));

fn fill(tensor: &Expected) -> Tensor {
    let (name, shape) = (tensor.name.as_str(), tensor.shape.as_slice());
    let fan_in = || shape[1..].iter().product::<usize>() as f64;
    let symmetric = |u: f64, bound: f64| (2.0 * u - 1.0) * bound;
    let damping = if name.ends_with(".conv2.1.weight") || name.ends_with(".norm_c.weight") { 0.25 } else { 1.0 };
    let is_head = CLASSIFIERS.iter().any(|start| name.starts_with(start));
    let value = |u: f64| match shape.len() {
        1 if is_head => symmetric(u, 0.1),
        _ if is_head => symmetric(u, (3.0 / fan_in()).sqrt()),
        2.. => symmetric(u, (6.0 / fan_in()).sqrt()),
        _ if name.contains(".block.") => symmetric(u, 0.2),
        _ if name.ends_with(".weight") => (0.25 + u / 2.0) * damping,
        _ if name.ends_with(".running_var") => 1.0,
        _ if name.ends_with(".running_mean") => 0.0,
        _ if u < 0.25 => -(1.25 + 2.0 * u),
        _ => 1.25 + (u - 0.25) * (2.0 / 3.0),
    };
    let values: Vec<f32> = uniform(name, tensor.count()).map(|u| value(u) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn clip(name: &str, batch: usize, [frames, side]: [usize; 2]) -> Input {
    let values: Vec<f32> = uniform(name, batch * 3 * frames * side * side).map(|u| (2.0 * u - 1.0) as f32).collect();
    Input::Clips(Tensor::from_vec(values, (batch, 3, frames, side, side), &Device::Cpu).unwrap())
}

/// With running statistics of one pass over the calibration clips.
fn network(name: &str, size: [usize; 2]) -> Classifier {
    let tensors = architectures::expected(name, CLASSES).unwrap().into_iter().map(|tensor| (tensor.name.clone(), fill(&tensor)));
    let weights = Weights::from_tensors(tensors.collect()).unwrap();
    let model = architectures::build_classifier(name, CLASSES, &weights).unwrap();
    model.backbone.set_norm_momentum(1.0);
    model.logits(clip("calibration", 4, size), Mode::Train).unwrap();
    model.backbone.set_norm_momentum(0.1);
    model
}

/// How far the gradient of each tensor is away, as a share of its largest number, the worst last.
fn gradients_apart(golden: &Value, of: impl Fn(&str) -> Vec<f64>) -> Vec<(f64, String)> {
    let known = golden["gradients"].as_object().unwrap();
    // What the next norm takes away again has a gradient that is nothing but what sums leave that cancel.
    let floor = 1e-2 * known.values().map(|known| known["largest"].as_f64().unwrap()).fold(0.0, f64::max);
    let apart = known.iter().map(|(tensor, known)| {
        let gradient = of(tensor);
        let step = (gradient.len() / 8).max(1);
        let (largest, length) = (known["largest"].as_f64().unwrap().max(floor), known["norm"].as_f64().unwrap());
        let norm = (gradient.iter().map(|value| value * value).sum::<f64>().sqrt() - length).abs() / length.max(floor);
        let samples = gradient.iter().step_by(step).take(8).zip(numbers(&known["samples"]));
        (samples.map(|(ours, theirs)| (ours - theirs).abs() / largest).fold(norm, f64::max), tensor.clone())
    });
    let mut apart: Vec<_> = apart.collect();
    apart.sort_by(|a, b| a.0.total_cmp(&b.0));
    apart
}

fn answers_as_pytorch_does(name: &str) {
    let golden = &ANSWERS[name];
    let size = [&golden["frames"], &golden["side"]].map(|value| value.as_u64().unwrap() as usize);
    let model = network(name, size);
    let input = clip("input", 2, size);
    let logits = model.logits(input.clone(), Mode::Eval).unwrap();
    let answered = distance(&values(&logits), &numbers(&golden["logits"]));
    assert!(answered <= 1e-4, "{name}: logits are {answered:e} away from PyTorch's");
    // Stage by stage, in the shapes that others see.
    let stages = 0..model.backbone.stages().len();
    let maps = stages.fold(input.tensor().clone(), |x, stage| model.backbone.forward_stage(stage, &x, Mode::Eval).unwrap());
    let again = model.head.forward(&model.backbone.pool(&maps).unwrap(), Mode::Eval, 0).unwrap();
    assert!(maps.rank() == 5 && distance(&values(&again), &values(&logits)) <= 1e-5);

    let answers = model.logits(input, Mode::Train).unwrap();
    let trained = distance(&values(&answers), &numbers(&golden["train_logits"]));
    let labels = Tensor::new(&[3u32, 10 % CLASSES as u32], &Device::Cpu).unwrap();
    let loss = loss::cross_entropy(&answers, &labels, 0.0).unwrap();
    let off = (f64::from(loss.to_scalar::<f32>().unwrap()) - golden["loss"].as_f64().unwrap()).abs();
    assert!(trained <= 1e-4 && off <= 1e-4, "{name}: in training logits are {trained:e} and the loss {off:e} away");
    let gradients = kernels::backward(&loss).unwrap();
    let weights = model.weights();
    let apart = gradients_apart(golden, |tensor| values(gradients.get(weights.get(tensor).unwrap()).unwrap()));
    let (within, worst) = (apart.iter().filter(|(apart, _)| *apart <= 1e-3).count(), apart.last().unwrap());
    println!(
        "{name}: logits {answered:.1e}, in training {trained:.1e}, gradients {:.1e} ({}), {within} of {}",
        worst.0,
        worst.1,
        apart.len()
    );
    // Where maps go through maxima and narrow modules, and through many norms over few values, last digits are carried on from layer to layer
    // downwards, in PyTorch's own f32 too (make_video.py says how far that is away); our two roads agree (`road_tests`).
    let (share, bound) = match name {
        "i3d" | "s3d" => (apart.len() * 3 / 4, 0.05),
        "x3d_s" => (apart.len() * 2 / 3, 0.3),
        _ => (apart.len(), 1e-3),
    };
    assert!(within >= share && worst.0 <= bound, "{name}: the gradient of {} is {:e} away from PyTorch's", worst.1, worst.0);
    let learned = weights.parameters().map(|(_, var)| var.elem_count() as u64).sum::<u64>();
    assert_eq!(learned, golden["parameters"].as_u64().unwrap());
}

macro_rules! parity {
    ($($name:ident)*) => { $(#[test] fn $name() { answers_as_pytorch_does(stringify!($name)) })* };
}

parity!(r3d_18 mc3_18 r2plus1d_18 s3d i3d slow_r50 i3d_r50 x3d_s);

#[test]
fn a_clip_of_one_repeated_image_gets_the_answer_of_the_image() {
    for base in ["resnet18", "resnet50", "seresnet18", "mobilenetv2_050", "mobilenetv3_small_050", "densenet121", "tf_efficientnet_b0"] {
        let weights = Weights::random(base, 4, 11).unwrap();
        let image = super::image("input", 2, 64);
        let images = architectures::build_classifier(base, 4, &weights).unwrap();
        // Statistics as of a network that has learned, else nothing is left of an image in the end.
        images.backbone.set_norm_momentum(1.0);
        images.logits(&super::image("calibration", 4, 64), Mode::Train).unwrap();
        let answer = values(&images.logits(&image, Mode::Eval).unwrap());
        let inflated = architectures::inflate(base, &images.weights()).unwrap();
        let clips = architectures::build_classifier(inflated.architecture.name, 4, &inflated.weights).unwrap();
        for frames in [1, 5] {
            let clip = image.unsqueeze(2).unwrap().repeat(&[1, 1, frames, 1, 1][..]).unwrap();
            let apart = distance(&values(&clips.logits(Input::Clips(clip), Mode::Eval).unwrap()), &answer);
            assert!(apart <= 1e-4, "{base} over {frames} frames: {apart:e}");
        }
        let kernels = inflated.weights.iter().filter(|(_, var)| var.dims().get(2) == Some(&3) && var.rank() == 5).count();
        assert!(kernels > 3, "{base} sees frames in {kernels} convolutions");
    }
    let refused = architectures::inflate("vit_tiny_patch16_224", &Weights::default()).err().unwrap();
    assert!(refused.to_string().contains("resnet50"), "{refused}");
}
