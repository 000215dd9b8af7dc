//! Forward (embedding) and one whole training step of four backbones. `make bench-train` measures the same beside PyTorch.
//!
//! `cargo bench --bench nn`; divan prints items per second, which are images. `HUB_BACKEND=rust` for our own
//! convolutions where oneDNN is installed; `HUB_DEVICE` names the device (`cargo bench --features cuda` for a card) and
//! `HUB_BENCH_BATCH` the batch.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

use std::sync::LazyLock;

use candle_core::{Device, Tensor};
use divan::Bencher;
use divan::counter::ItemsCount;
use hub::domain::recipe::{Optimizer as Kind, Recipe};
use hub::nn::device;
use hub::nn::kernels::{self, backend};
use hub::nn::{Classifier, Mode, Weights, architectures, loss};
use hub::train::optim::{Gradients, Group, Optimizer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    if let Ok(choice) = std::env::var("HUB_BACKEND") {
        backend::choose(choice.parse().expect("HUB_BACKEND is auto, onednn or rust"));
    }
    // Products in TF32, as PyTorch's convolutions are made on a card unless told otherwise.
    #[cfg(feature = "cuda")]
    candle_core::cuda::set_gemm_reduced_precision_f32(std::env::var("HUB_BENCH_TF32").is_ok());
    let _workspace = kernels::Workspace::open();
    eprintln!("on {}, convolutions by {}", device::describe(&DEVICE), backend::backend());
    divan::main();
}

static DEVICE: LazyLock<Device> = LazyLock::new(|| {
    let choice = std::env::var("HUB_DEVICE").unwrap_or_else(|_| "auto".into());
    choice.parse().and_then(device::open).expect("HUB_DEVICE is auto, cpu, cuda or cuda:N")
});
static BATCH: LazyLock<usize> = LazyLock::new(|| std::env::var("HUB_BENCH_BATCH").map_or(16, |batch| batch.parse().expect("a number")));

const MODELS: [&str; 6] =
    ["mobilenetv2_100", "mobilenetv3_small_100", "resnet18", "resnet50", "tf_efficientnet_lite0", "vit_tiny_patch16_224"];

fn model(architecture: &str) -> Classifier {
    let weights = Weights::random(architecture, 10, 0).unwrap().to_device(&DEVICE).unwrap();
    architectures::build_classifier(architecture, 10, &weights).unwrap()
}

fn images(side: usize) -> Tensor {
    Tensor::randn(0f32, 1.0, (*BATCH, 3, side, side), &Device::Cpu).unwrap().to_device(&DEVICE).unwrap()
}

#[divan::bench(args = MODELS, sample_count = 7, sample_size = 1)]
fn forward_224(bencher: Bencher<'_, '_>, architecture: &str) {
    let (model, x) = (model(architecture), images(224));
    bencher.counter(ItemsCount::new(*BATCH)).bench_local(|| {
        let features = model.pooled(&x).unwrap();
        // A card is told what to do and works on by itself.
        DEVICE.synchronize().unwrap();
        features
    });
}

#[divan::bench(args = MODELS, sample_count = 7, sample_size = 1)]
fn train_step_224(bencher: Bencher<'_, '_>, architecture: &str) {
    train_step(bencher, architecture, 224);
}

#[divan::bench(args = MODELS, sample_count = 7, sample_size = 1)]
fn train_step_96(bencher: Bencher<'_, '_>, architecture: &str) {
    train_step(bencher, architecture, 96);
}

/// Forward, loss, backward and SGD with Nesterov momentum and weight decay on every parameter.
fn train_step(bencher: Bencher<'_, '_>, architecture: &str, side: usize) {
    let known = architectures::get(architecture).unwrap();
    let side = known.fixed_side().unwrap_or(side);
    let (model, x) = (model(architecture), images(side));
    let labels = Tensor::from_iter((0..*BATCH).map(|index| (index % 10) as u32), &Device::Cpu).unwrap();
    let parameters = model.weights().parameters().map(|(name, var)| (name.to_owned(), var.clone())).collect();
    let groups = Group::split(0.01, 5e-4, parameters, |name, rank| known.decays(name, rank));
    let mut optimizer = Optimizer::new(&Recipe { optimizer: Kind::Sgd, ..Recipe::default() }, groups.into()).unwrap();
    bencher.counter(ItemsCount::new(*BATCH)).bench_local(|| {
        let loss = loss::cross_entropy(&model.logits(&x, Mode::Train).unwrap(), &labels, 0.0).unwrap();
        let gradients = kernels::backward(&loss).unwrap();
        let gradients = Gradients::gather(&optimizer, &gradients, *BATCH).unwrap();
        optimizer.step(&gradients, 1.0).unwrap();
        DEVICE.synchronize().unwrap();
        loss.to_scalar::<f32>().unwrap()
    });
}
