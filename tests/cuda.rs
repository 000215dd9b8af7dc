//! Networks on an NVIDIA card beside the same networks on the CPU; a fine-tune there, and its checkpoint here. Built
//! only with `--features cuda`; a machine without a card fails them, and says so.

#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used, reason = "what sets the tests up objects by panicking, as tests do")]

use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use hub::data::{Dataset, Limits, Source};
use hub::domain::config::ModelConfig;
use hub::domain::recipe::{Augment, HeadSolver, Optimizer, Recipe, Strategy};
use hub::nn::device::{self, Choice};
use hub::nn::{Mode, Weights, architectures, kernels, loss, weights};
use hub::train::{Control, Event, Keep, Predictor, Report, Training, fit};
use hub::train::{Lineage, write_folder};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn card() -> Device {
    device::open(Choice::Cuda(0)).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| random.random_range(-1.7f32..1.7)).collect()
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt()
}

/// How far apart they are, as a share of their length, or of `floor` where they are shorter.
fn apart(ours: &[f32], theirs: &[f32], floor: f64) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    assert!(ours.iter().all(|value| value.is_finite()));
    let difference: Vec<f32> = ours.iter().zip(theirs).map(|(a, b)| a - b).collect();
    norm(&difference) / norm(theirs).max(floor)
}

/// What one training step and one answer show of a network.
struct Shown {
    features: Vec<f32>,
    answer: Vec<f32>,
    logits: Vec<f32>,
    /// Gradients and running statistics, by name.
    rest: Vec<(String, Vec<f32>)>,
}

fn show(architecture: &str, batch: usize, side: usize, frozen: usize, device: &Device) -> Shown {
    let weights = Weights::random(architecture, 5, 3).unwrap();
    // Nothing stays silent, so that every part takes part.
    for (index, (name, var)) in weights.iter().enumerate() {
        if var.rank() == 1 && (name.ends_with(".weight") || name.ends_with("_var")) {
            let scales: Vec<f32> = noise(index as u64, var.elem_count()).iter().map(|x| 1.0 + 0.2 * x).collect();
            var.set(&Tensor::new(scales, &Device::Cpu).unwrap()).unwrap();
        }
    }
    let model = architectures::build_classifier(architecture, 5, &weights.to_device(device).unwrap()).unwrap();
    let side = architectures::get(architecture).unwrap().fixed_side().unwrap_or(side);
    let x = Tensor::from_vec(noise(7, batch * 3 * side * side), (batch, 3, side, side), device).unwrap();
    let (features, answer) = (values(&model.pooled(&x).unwrap()), values(&model.logits(&x, Mode::Eval).unwrap()));
    let labels: Vec<u32> = (0..batch as u32).map(|index| index % 5).collect();
    let logits = model.forward(&x, frozen, Mode::Train, 0).unwrap();
    let loss = loss::cross_entropy(&logits, &Tensor::new(labels, &Device::Cpu).unwrap(), 0.1).unwrap();
    let gradients = kernels::backward(&loss).unwrap();
    let weights = model.weights();
    let learning = weights.parameters().filter_map(|(name, var)| Some((name.to_owned(), values(gradients.get(var)?))));
    let rest = learning.chain(weights.buffers().map(|(name, var)| (name.to_owned(), values(var)))).collect();
    Shown { features, answer, logits: values(&logits), rest }
}

#[test]
#[allow(clippy::print_stderr)] // How close they are is worth knowing.
fn every_architecture_answers_and_learns_as_on_the_cpu() {
    let card = card();
    eprintln!("on {}", device::describe(&card));
    let heavy = ["resnet101", "resnet152", "tf_efficientnet_lite3", "tf_efficientnet_lite4", "efficientnet_lite3", "efficientnet_lite4"];
    let wide = ["vgg13", "vgg16", "vgg19", "vgg13_bn", "vgg16_bn", "vgg19_bn"];
    let images = architectures::all().filter(|one| one.modality() == hub::domain::modality::Modality::Image);
    for architecture in images.filter(|one| !heavy.contains(&one.name) && !wide.contains(&one.name)) {
        let name = architecture.name;
        let side = if architecture.family == "inception" { 96 } else { 64 };
        let (here, there) = (show(name, 4, side, 0, &Device::Cpu), show(name, 4, side, 0, &card));
        let distances = [(&there.features, &here.features), (&there.answer, &here.answer), (&there.logits, &here.logits)];
        let distances = distances.map(|(ours, theirs)| apart(ours, theirs, 0.0));
        assert_eq!(there.rest.len(), here.rest.len(), "{name}");
        // The gradient to a shift that the next batch norm takes away again is nothing but what sums leave that cancel.
        let gradients = here.rest.iter().filter(|(name, _)| !hub::domain::safetensors::is_buffer(name));
        let floor = 1e-2 * gradients.map(|(_, values)| norm(values)).fold(0.0, f64::max);
        let mut worst = (0.0, "");
        for ((part, ours), (_, theirs)) in there.rest.iter().zip(&here.rest) {
            let distance = apart(ours, theirs, floor);
            if distance > worst.0 {
                worst = (distance, part);
            }
        }
        eprintln!("{name}: features, answer, logits {distances:.7?}, gradients and statistics {:.1e} at {}", worst.0, worst.1);
        assert!(distances.iter().all(|distance| *distance < 2e-3), "{name}: {distances:?}");
        // A value beside the edge of a clamp falls to either side by its last digits, and few images leave a single one much
        // weight in every gradient below; without edges there is no such excuse.
        let bound = if ["vit", "efficientnet"].contains(&architecture.family) { 1e-3 } else { 0.25 };
        assert!(worst.0 < bound, "{name}: {worst:?}");
    }
}

#[test]
fn what_is_frozen_gets_no_gradient() {
    let (here, there) = (show("resnet18", 4, 64, 3, &Device::Cpu), show("resnet18", 4, 64, 3, &card()));
    let names = |shown: &Shown| shown.rest.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&there), names(&here));
    assert!(!names(&there).contains(&"layer1.0.conv1.weight".to_owned()) && names(&there).contains(&"layer4.0.conv1.weight".to_owned()));
}

/// Two classes of stripes in random colours.
fn draw(root: &Path) {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for (class, name) in ["across", "down"].iter().enumerate() {
        for (split, count) in [("train", 32), ("val", 8)] {
            let folder = root.join(split).join(name);
            std::fs::create_dir_all(&folder).unwrap();
            for index in 0..count {
                let mut shade = |low: u8| image::Rgb([0; 3].map(|_| low + random.random_range(0..80u8)));
                let (dark, light) = (shade(0), shade(170));
                let image =
                    image::RgbImage::from_fn(48, 48, |x, y| if (if class == 0 { y } else { x }) / 4 % 2 == 0 { dark } else { light });
                image.save(folder.join(format!("{index}.png"))).unwrap();
            }
        }
    }
}

struct Run {
    folder: tempfile::TempDir,
    config: ModelConfig,
    dataset: Arc<Dataset>,
}

impl Run {
    fn new(architecture: &str) -> Run {
        let folder = tempfile::tempdir().unwrap();
        draw(&folder.path().join("data"));
        Weights::random(architecture, 7, 3).unwrap().save(&folder.path().join("base.safetensors"), &[]).unwrap();
        let config = format!(
            r#"{{"architecture": "{architecture}", "num_classes": 7, "pretrained_cfg": {{"input_size": [3, 48, 48], "crop_pct": 1.0, "interpolation": "bilinear"}}}}"#
        );
        let dataset = Dataset::open(&Source::Folder(folder.path().join("data")), &Limits::default()).unwrap();
        Run { config: ModelConfig::read(&config).unwrap(), dataset: Arc::new(dataset), folder }
    }

    /// Until the sink says stop; resumes from a checkpoint in `scratch`.
    fn fit(
        &self,
        recipe: &Recipe,
        scratch: &str,
        device: &Device,
        sink: &mut dyn FnMut(Event) -> Control,
    ) -> Result<Report, hub::train::Error> {
        let scratch = self.folder.path().join(scratch);
        std::fs::create_dir_all(&scratch).unwrap();
        let (weights, checkpoint) = (self.folder.path().join("base.safetensors"), scratch.join("checkpoint.safetensors"));
        let resume = checkpoint.exists().then_some(checkpoint.as_path());
        let keep = Keep::Scratch;
        fit(
            &Training {
                recipe,
                config: &self.config,
                weights: &weights,
                beside: &[],
                dataset: &self.dataset,
                device,
                scratch: &scratch,
                keep,
                resume,
            },
            sink,
        )
    }
}

fn recipe(optimizer: Optimizer, lr: f64, epochs: u32) -> Recipe {
    let augment = Augment { crop_min_area: 1.0, horizontal_flip: false, ..Augment::default() };
    Recipe { strategy: Strategy::Full, epochs, optimizer, lr, head_lr: lr, batch_size: 16, augment, ..Recipe::default() }
}

#[test]
fn a_fine_tune_on_the_card_learns_is_published_and_answers_on_both() {
    let (card, run) = (card(), Run::new("resnet18"));
    let report = run.fit(&recipe(Optimizer::Sgd, 2e-2, 6), "sgd", &card, &mut |_| Control::Continue).unwrap();
    let losses: Vec<f64> = report.epochs.iter().map(|epoch| epoch.train_loss).collect();
    assert!(losses[5] < 0.5 * losses[0] && report.outcome.validation.primary() > 0.9, "{losses:?} {:?}", report.outcome.validation);
    let out = run.folder.path().join("out");
    write_folder(&report, &Lineage::default(), &out).unwrap();
    let image = std::fs::read(run.folder.path().join("data/val/down/3.png")).unwrap();
    let answer = |device: &Device| Predictor::load(&out, device).unwrap().predict(&image, 2).unwrap().answer;
    let (here, there) = (answer(&Device::Cpu), answer(&card));
    let (here, there) = (&here.classes()[0], &there.classes()[0]);
    assert_eq!((here.label.as_str(), there.label.as_str()), ("down", "down"));
    assert!((here.probability - there.probability).abs() < 1e-3);
}

#[test]
fn a_head_on_frozen_features_and_adamw_learn_too() {
    let (card, run) = (card(), Run::new("mobilenetv3_small_100"));
    let augment = Augment { crop_min_area: 1.0, horizontal_flip: false, ..Augment::default() };
    let head = Recipe { strategy: Strategy::Head, head_solver: HeadSolver::Sgd, epochs: 5, batch_size: 16, augment, ..Recipe::default() };
    let report = run.fit(&head, "head", &card, &mut |_| Control::Continue).unwrap();
    assert!(report.outcome.validation.primary() > 0.7, "{:?}", report.outcome.validation);
    let report = run.fit(&recipe(Optimizer::Adamw, 1e-3, 5), "adamw", &card, &mut |_| Control::Continue).unwrap();
    assert!(report.epochs[4].train_loss < report.epochs[0].train_loss, "{:?}", report.epochs);
}

#[test]
fn a_checkpoint_from_the_card_goes_on_on_the_cpu_and_back() {
    let (card, run) = (card(), Run::new("resnet18"));
    let recipe = recipe(Optimizer::Adamw, 1e-3, 4);
    let whole = run.fit(&recipe, "whole", &Device::Cpu, &mut |_| Control::Continue).unwrap();
    for (first, second) in [(&card, &Device::Cpu), (&Device::Cpu, &card)] {
        let scratch = format!("from {}", device::describe(first));
        let mut saved = false;
        let mut stop = |event: Event| match event {
            Event::Checkpoint { epoch: 2, .. } => {
                saved = true;
                Control::Stop
            }
            _ => Control::Continue,
        };
        run.fit(&recipe, &scratch, first, &mut stop).unwrap_err();
        assert!(saved);
        let report = run.fit(&recipe, &scratch, second, &mut |_| Control::Continue).unwrap();
        assert_eq!(report.epochs.len(), 4);
        let (ours, theirs) = (report.epochs[3].train_loss, whole.epochs[3].train_loss);
        assert!((ours - theirs).abs() < 0.15 * (theirs + 0.1), "{scratch}: {ours} and {theirs}");
    }
}
