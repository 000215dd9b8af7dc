//! The hub's side of `make bench-train`: works on request, so that `benches/train.py` can let it and PyTorch take turns.
//!
//! The first argument names the convolution backend, a second one may be `bf16`; `HUB_DEVICE` names the device. Requests are lines
//! of words, answers lines of JSON:
//!
//! ```text
//! forward|step ARCHITECTURE SIDE BATCH COUNT    {"seconds": [..]}   one per repetition
//! profile ARCHITECTURE SIDE BATCH COUNT         {"seconds": [..], "parts": {name: s}}   where the time of COUNT steps went
//! memory ARCHITECTURE SIDE BATCH COUNT          {"bytes": n}        growth of the resident set over COUNT steps
//! decode FOLDER COUNT                           {"seconds": [..]}   JPEG bytes to network input, of one core's time; one per image
//! clip FILE FRAMES SIDE COUNT new|again         {"seconds": [..]}   a film's bytes to network input, of one core's time; one per clip
//! weights ARCHITECTURE CLASSES FILE             {}                  writes random weights for both sides
//! job ARCHITECTURE FROZEN EPOCHS BATCH CACHE SEED FOLDER WEIGHTS SCRATCH
//!                                               {"seconds": [s], "top1": t, "last_top1": .., "frozen": how ..}
//! ```
//!
//! SIDE is one of images, or frames and side of clips: `16x112`. FROZEN is a number of stages or `head`; CACHE is `shared` (a store in SCRATCH
//! that later jobs find), `own`, or `off`. `ARCHITECTURE/DECODER` is a network with a decoder of masks on it, which learns all of it by cross entropy and Dice.
//! What this build cannot do is answered with `{"skip": why}`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use candle_core::Tensor;
use hub::data::transform::Preprocessor;
use hub::data::{Dataset, Limits, Source, decode};
use hub::domain::config::{ModelConfig, Preprocessing};
use hub::domain::recipe::{Augment, HeadSolver, Optimizer as Kind, Precision, Recipe, Strategy};
use hub::nn::architectures::Pool;
use hub::nn::heads::dense::Design;
use hub::nn::loss::pixels::{Terms, Truth, of_pixels};
use hub::nn::{Classifier, Dense, Head, Input, Mode, Weights, architectures, kernels, loss};
use hub::train::optim::{Gradients, Group, Optimizer};
use hub::train::{Control, Device, Event, FeatureStore, Keep, Lineage, Training, device, fit, write_folder};
use serde_json::{Value, json};

mod films;
mod profile;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLASSES: usize = 10;

/// A model and its input, kept from one request to the next.
struct Prepared {
    model: Classifier,
    optimizer: Optimizer,
    images: Tensor,
    labels: Tensor,
    /// Where a decoder learns: a class for each pixel of the images.
    masks: Option<Vec<u8>>,
    device: Device,
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let backend = arguments.next().unwrap_or_else(|| "rust".into());
    let precision = if arguments.next().is_some_and(|word| word == "bf16") { Precision::Bf16 } else { Precision::F32 };
    let absent = choose(&backend).err();
    // As `train::fit` does for its steps.
    let _workspace = kernels::Workspace::open();
    let mut kept: Option<(String, Prepared)> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match (&absent, words.as_slice()) {
            (Some(why), _) => json!({ "skip": why }),
            (_, ["weights", architecture, classes, file]) => weights(architecture, classes.parse().unwrap(), file),
            (_, ["decode", folder, count]) => time_decoding(folder, count.parse().unwrap()),
            (_, ["clip", file, frames, side, count, when]) => {
                films::time(file, frames.parse().unwrap(), side.parse().unwrap(), count.parse().unwrap(), *when == "again")
            }
            (_, [work, architecture, side, batch, count]) => {
                let name = [*architecture, *side, *batch].join(" ");
                match prepare(&mut kept, &name, architecture, &sizes(side), batch.parse().unwrap(), precision) {
                    Ok(prepared) => network(work, prepared, count.parse().unwrap()),
                    Err(why) => json!({ "skip": why }),
                }
            }
            (_, ["job", rest @ ..]) => job(rest, precision),
            _ => json!({ "skip": format!("there is no work called `{line}`") }),
        };
        println!("{answer}");
    }
}

/// The device that the environment names.
fn chosen_device() -> Result<Device, String> {
    let choice = std::env::var("HUB_DEVICE").unwrap_or_else(|_| "auto".into());
    choice.parse().and_then(device::open).map_err(|error| error.to_string())
}

/// Makes the convolutions run on this backend.
fn choose(backend: &str) -> Result<(), String> {
    let choice = backend.parse().map_err(|()| format!("there is no convolution backend `{backend}`"))?;
    kernels::backend::choose(choice);
    match kernels::backend::backend() {
        kernels::backend::Backend::Rust { because: Some(reason) } => Err(reason),
        _ => Ok(()),
    }
}

/// Height and width of images, or frames before them: `112`, `16x112`.
fn sizes(side: &str) -> Vec<usize> {
    let (frames, side) = side.split_once('x').map_or((None, side), |(frames, side)| (Some(frames), side));
    let side = side.parse().unwrap();
    frames.map(|frames| frames.parse().unwrap()).into_iter().chain([side, side]).collect()
}

fn prepare<'a>(
    kept: &'a mut Option<(String, Prepared)>,
    name: &str,
    architecture: &str,
    sizes: &[usize],
    batch: usize,
    precision: Precision,
) -> Result<&'a mut Prepared, String> {
    let (architecture, decoder) = architecture.split_once('/').map_or((architecture, None), |(name, decoder)| (name, Some(decoder)));
    if architectures::find(architecture).is_none() {
        return Err(format!("this build does not know {architecture}"));
    }
    if kept.as_ref().is_none_or(|(old, _)| old != name) {
        *kept = None;
        let side = sizes[sizes.len() - 1];
        let device = chosen_device()?;
        let weights = Weights::random(architecture, CLASSES, 0).unwrap().to_device(&device).unwrap();
        let known = architectures::get(architecture).unwrap();
        let model = match decoder {
            None => architectures::build_classifier(architecture, CLASSES, &weights).unwrap(),
            Some(decoder) => decoding(known, decoder, &weights, side)?,
        };
        model.backbone.set_precision(precision)?;
        let unused: Vec<String> = match model.head.dense() {
            None => Vec::new(),
            Some(head) => model.backbone.trainable(head.top(&*model.backbone)).into_iter().map(str::to_owned).collect(),
        };
        let weights = model.weights();
        let parameters = weights.parameters().filter(|(name, _)| !unused.iter().any(|unused| unused == name));
        let parameters = parameters.map(|(name, var)| (name.to_owned(), var.clone())).collect();
        let groups = Group::split(1e-3, 5e-4, parameters, |name, rank| known.decays(name, rank));
        let optimizer = Optimizer::new(&Recipe { optimizer: Kind::Sgd, ..Recipe::default() }, groups.into()).unwrap();
        let drawn = |shape: Vec<usize>| Tensor::randn(0f32, 1f32, shape, &Device::Cpu).unwrap().to_device(&device).unwrap();
        let images = match *sizes {
            // As the program lays clips out: channels last.
            [frames, height, width] => drawn(vec![batch, frames, height, width, 3]).permute(vec![0, 4, 1, 2, 3]).unwrap(),
            _ => drawn([&[batch, 3][..], sizes].concat()),
        };
        let labels: Vec<u32> = (0..batch).map(|i| (i % CLASSES) as u32).collect();
        let labels = Tensor::new(labels, &Device::Cpu).unwrap();
        let masks = decoder.map(|_| (0..batch * side * side).map(|at| u8::from(at / 7 % 3 == 0)).collect());
        *kept = Some((name.to_owned(), Prepared { model, optimizer, images, labels, masks, device }));
    }
    Ok(&mut kept.as_mut().unwrap().1)
}

fn network(work: &str, prepared: &mut Prepared, count: usize) -> Value {
    match work {
        "forward" => seconds(count, || {
            let features = prepared.model.pooled(input(&prepared.images)).unwrap();
            // A card is told what to do and works on by itself.
            prepared.device.synchronize().unwrap();
            drop(features);
        }),
        "step" => seconds(count, || step(prepared)),
        "profile" => profile::of(|| seconds(count, || step(prepared))),
        "memory" => {
            reset_peak();
            let before = status_bytes("VmRSS:");
            (0..count).for_each(|_| step(prepared));
            json!({ "bytes": status_bytes("VmHWM:").saturating_sub(before) })
        }
        other => json!({ "skip": format!("there is no work called `{other}`") }),
    }
}

/// A network with a decoder of masks of two classes.
fn decoding(known: &'static architectures::Architecture, decoder: &str, weights: &Weights, side: usize) -> Result<Classifier, String> {
    let words = |error: hub::nn::Error| error.to_string();
    let backbone = architectures::build_pooled(known.name, Pool::Places, &weights.clone().without_head(known.classifier)).map_err(words)?;
    let design = Design { scales: backbone.scales(), outputs: 2, view: (side, side), shortcut: false };
    let head = Dense::fresh(decoder, &design, 0, &weights.device()).map_err(words)?;
    Classifier::new(known, backbone, Head::Dense(Box::new(head))).map_err(words)
}

fn input(items: &Tensor) -> Input {
    if items.rank() == 5 { Input::Clips(items.clone()) } else { Input::Pixels(items.clone()) }
}

/// Forward, loss, backward, update of every parameter.
fn step(prepared: &mut Prepared) {
    let logits = prepared.model.logits(input(&prepared.images), Mode::Train).unwrap();
    let loss = match &prepared.masks {
        None => loss::cross_entropy(&logits, &prepared.labels, 0.0).unwrap(),
        Some(masks) => {
            let side = prepared.images.dims()[3];
            let truths: Vec<Truth<'_>> =
                masks.chunks_exact(side * side).map(|classes| Truth { width: side, height: side, classes }).collect();
            let terms = Terms { cross_entropy: 1.0, focal: 0.0, dice: 1.0 };
            of_pixels(&logits, (side.div_ceil(4), side.div_ceil(4)), &truths, terms, &[]).unwrap()
        }
    };
    let gradients = kernels::backward(&loss).unwrap();
    let gradients = Gradients::gather(&prepared.optimizer, &gradients, prepared.images.dims()[0]).unwrap();
    prepared.optimizer.step(&gradients, 1.0).unwrap();
    prepared.device.synchronize().unwrap();
    assert!(loss.to_scalar::<f32>().unwrap().is_finite());
}

fn seconds(count: usize, mut work: impl FnMut()) -> Value {
    let timed = (0..count).map(|_| {
        let began = Instant::now();
        work();
        began.elapsed().as_secs_f64()
    });
    json!({ "seconds": timed.collect::<Vec<_>>() })
}

/// Lets the peak of the resident set start anew.
fn reset_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

fn status_bytes(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
}

fn weights(architecture: &str, classes: usize, file: &str) -> Value {
    match Weights::random(architecture, classes, 0) {
        Ok(weights) => {
            weights.save(Path::new(file), &[]).unwrap();
            json!({})
        }
        Err(error) => json!({ "skip": error.to_string() }),
    }
}

fn time_decoding(folder: &str, count: usize) -> Value {
    let files = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap).filter(|e| e.file_type().is_file());
    let files: Vec<Vec<u8>> = files.take(count).map(|entry| std::fs::read(entry.path()).unwrap()).collect();
    let preprocessing = Preprocessing {
        height: 224,
        width: 224,
        interpolation: "bilinear".into(),
        crop_pct: 0.875,
        crop_mode: "center".into(),
        mean: [0.485, 0.456, 0.406],
        std: [0.25; 3],
    };
    let mut preprocessor = Preprocessor::new(&preprocessing).unwrap();
    let (mut out, limits) = (vec![0.0; preprocessor.len()], Limits::default());
    let timed = files.iter().map(|bytes| {
        let began = thread_seconds();
        preprocessor.eval(&decode::decode(bytes, &limits).unwrap(), &mut out).unwrap();
        thread_seconds() - began
    });
    json!({ "seconds": timed.collect::<Vec<_>>() })
}

/// The processor's time of this thread: what one core can do, whoever else is at work.
fn thread_seconds() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec that the call fills.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut now) }, 0);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

/// A whole fine-tune: from files to the folder that would be published.
fn job(words: &[&str], precision: Precision) -> Value {
    let [architecture, frozen, epochs, batch, cache, seed, folder, weights, scratch] = words else {
        return json!({ "skip": "a job has nine settings" });
    };
    if architectures::find(architecture).is_none() {
        return json!({ "skip": format!("this build does not know {architecture}") });
    }
    let scratch = Path::new(scratch);
    let augment = Augment { crop_min_area: 1.0, horizontal_flip: false, ..Augment::default() };
    let base = Recipe {
        epochs: epochs.parse().unwrap(),
        batch_size: batch.parse().unwrap(),
        seed: seed.parse().unwrap(),
        precision,
        ..Recipe::default()
    };
    let recipe = match frozen.parse() {
        Ok(frozen_stages) => Recipe { strategy: Strategy::Full, frozen_stages, augment, ..base },
        Err(_) => Recipe { strategy: Strategy::Head, head_solver: HeadSolver::Sgd, augment, ..base },
    };
    let side = std::env::var("BENCH_SIDE").unwrap_or_else(|_| "224".into());
    let text = format!(
        r#"{{"architecture": "{architecture}", "pretrained_cfg": {{"input_size": [3, {side}, {side}], "crop_pct": 0.875, "interpolation": "bilinear"}}}}"#
    );
    let config = ModelConfig::read(&text).unwrap();
    let own = scratch.join("own");
    std::fs::create_dir_all(&own).unwrap();
    let store = FeatureStore::new(scratch.join("store"), 64 << 30);
    let began = Instant::now();
    let dataset = Arc::new(Dataset::open(&Source::Folder(folder.into()), &Limits::default()).unwrap());
    let device = match chosen_device() {
        Ok(device) => device,
        Err(why) => return json!({ "skip": why }),
    };
    let task = Training {
        recipe: &recipe,
        config: &config,
        weights: Path::new(weights),
        beside: &[],
        dataset: &dataset,
        device: &device,
        scratch: &own,
        keep: match *cache {
            "shared" => Keep::Store(&store),
            "own" => Keep::Scratch,
            _ => Keep::Nowhere,
        },
        resume: None,
    };
    let result = fit(&task, &mut |event| {
        if let Event::Epoch(epoch) = &event {
            eprintln!("epoch {} loss {:.4} val {:.4} {:.2} s", epoch.epoch, epoch.train_loss, epoch.val_primary(), epoch.seconds);
        }
        Control::Continue
    });
    let result = result.unwrap();
    write_folder(&result, &Lineage::default(), &scratch.join("result")).unwrap();
    let took = began.elapsed().as_secs_f64();
    std::fs::remove_dir_all(&own).unwrap();
    let last = &result.epochs[result.epochs.len() - 1];
    json!({
        "seconds": [took], "top1": result.outcome.validation.primary(), "frozen": result.frozen.as_str(),
        "last_train_loss": last.train_loss, "last_loss": last.val_loss, "last_top1": last.val_primary(),
    })
}
