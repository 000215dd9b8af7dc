//! Images per second of training: a full step (forward, loss, backward, update) at 224 pixels and batch 16, and a
//! step of a head on cached features.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run should say so and stop")]

use candle_core::{Device, Tensor};
use divan::Bencher;
use divan::counter::ItemsCount;
use hub::domain::recipe::Optimizer as Kind;
use hub::nn::{Classifier, Mode, Weights, loss, registry};
use hub::train::optim::{Group, Optimizer};

const CLASSES: usize = 10;

fn main() {
    divan::main();
}

/// Every parameter of the network, in the groups a recipe makes.
fn optimizer(model: &Classifier) -> Optimizer {
    let parameters = model.weights().parameters().map(|(name, var)| (name.to_owned(), var.clone())).collect();
    Optimizer::new(Kind::Sgd, Group::split(1e-3, 5e-4, parameters).into()).unwrap()
}

fn labels(count: usize) -> Tensor {
    let labels: Vec<u32> = (0..count).map(|i| (i % CLASSES) as u32).collect();
    Tensor::new(labels, &Device::Cpu).unwrap()
}

#[divan::bench(args = ["mobilenetv2_100", "resnet18"], sample_count = 10, sample_size = 1)]
fn full_step_b16_224(bencher: Bencher<'_, '_>, architecture: &str) {
    let weights = Weights::random(architecture, CLASSES, 0).unwrap();
    let model = registry::build_classifier(architecture, CLASSES, &weights).unwrap();
    let mut optimizer = optimizer(&model);
    let images = Tensor::randn(0f32, 1f32, (16, 3, 224, 224), &Device::Cpu).unwrap();
    let labels = labels(16);
    bencher.counter(ItemsCount::new(16usize)).bench_local(|| {
        let logits = model.logits(&images, Mode::Train).unwrap();
        let gradients = loss::cross_entropy(&logits, &labels, 0.0).unwrap().backward().unwrap();
        optimizer.step(&gradients, 1.0).unwrap();
    });
}

#[divan::bench(args = [512, 1280, 2048], sample_count = 100, sample_size = 10)]
fn head_step_b32(bencher: Bencher<'_, '_>, width: usize) {
    let head = hub::nn::Head::new(width, CLASSES, 0.0, 0).unwrap();
    let parameters = head.parameters().into_iter().map(|(name, var)| (name, var.clone())).collect();
    let mut optimizer = Optimizer::new(Kind::Sgd, Group::split(1e-2, 5e-4, parameters).into()).unwrap();
    let features = Tensor::randn(0f32, 1f32, (32, width), &Device::Cpu).unwrap();
    let labels = labels(32);
    bencher.counter(ItemsCount::new(32usize)).bench_local(|| {
        let logits = head.forward(&features, Mode::Train, 0).unwrap();
        let gradients = loss::cross_entropy(&logits, &labels, 0.0).unwrap().backward().unwrap();
        optimizer.step(&gradients, 1.0).unwrap();
    });
}
