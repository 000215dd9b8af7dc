//! Fine-tunes on small drawn pictures with small networks: they learn, they repeat themselves bit for bit, they
//! resume, and what cannot work ends in an error that says why.

#![allow(clippy::unwrap_used, reason = "what draws the test's pictures objects by panicking, as tests do")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use candle_core::{Device, Tensor};
use hub::data::{Copies, Dataset, Limits, Source};
use hub::domain::config::ModelConfig;
use hub::domain::evaluation::{Held, Stopped};
use hub::domain::job_event::Progress;
use hub::domain::prediction::Answer;
use hub::domain::recipe::{Augment, HeadSolver, Optimizer, Recipe, Schedule, Strategy};
use hub::domain::task::{Loss, Task};
use hub::nn::{Weights, architectures};
use hub::train::{Control, Error, Event, FeatureStore, Frozen, Keep, Lineage, Predictor, Report, Training, fit, write_folder};
use image::{Rgb, RgbImage};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

#[path = "train/adapters.rs"]
mod adapters;
#[path = "train/boxes.rs"]
mod boxes;
#[path = "train/clips.rs"]
mod clips;
#[path = "train/moving.rs"]
mod moving;
#[path = "train/places.rs"]
mod places;
#[path = "train/resume.rs"]
mod resume;
#[path = "train/soups.rs"]
mod soups;
#[path = "train/strategies.rs"]
mod strategies;
#[path = "train/texts.rs"]
mod texts;
#[path = "train/views.rs"]
mod views;
#[path = "train/words.rs"]
mod words;

const CLASSES: [&str; 3] = ["disc", "horizontal", "vertical"];
const SIDE: u32 = 32;

/// A disc, horizontal stripes or vertical stripes, in random colours, places and widths.
fn picture(class: usize, random: &mut impl Rng) -> RgbImage {
    let mut colour = |low: u8, high: u8| Rgb([0; 3].map(|_| random.random_range(low..high)));
    let (dark, light) = (colour(0, 90), colour(160, 255));
    let (x0, y0) = (random.random_range(10..22), random.random_range(10..22));
    let (radius, period) = (random.random_range(5..9), random.random_range(4..8));
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let inside = match class {
            0 => (x as i32 - x0).pow(2) + (y as i32 - y0).pow(2) < radius * radius,
            1 => (y as i32 + y0) / (period / 2) % 2 == 0,
            _ => (x as i32 + x0) / (period / 2) % 2 == 0,
        };
        if inside { light } else { dark }
    })
}

/// A folder per class under each split.
fn draw(root: &Path, splits: &[(&str, usize)]) {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    for (split, count) in splits {
        for (class, name) in CLASSES.iter().enumerate() {
            let folder = root.join(split).join(name);
            std::fs::create_dir_all(&folder).unwrap();
            for i in 0..*count {
                picture(class, &mut random).save(folder.join(format!("{i:03}.png"))).unwrap();
            }
        }
    }
}

/// The weights of a base, drawn once for all tests. Those of a transformer are for images of that side: of few patches it is quick.
fn base(architecture: &str, side: usize) -> Arc<Vec<u8>> {
    static DRAWN: Mutex<BTreeMap<String, Arc<Vec<u8>>>> = Mutex::new(BTreeMap::new());
    let mut drawn = DRAWN.lock().unwrap();
    let draw = || {
        let weights = architectures::get(architecture).unwrap().fitted(Weights::random(architecture, 7, 3).unwrap(), side).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("base.safetensors");
        weights.save(&file, &[]).unwrap();
        Arc::new(std::fs::read(&file).unwrap())
    };
    drawn.entry(format!("{architecture} {side}")).or_insert_with(draw).clone()
}

/// A network that is saved in no time, where a test is about runs and not about what they learn.
const SMALL: &str = "mobilenetv3_small_050";

/// A base with random weights and an old head, and a drawn data set.
struct Bench {
    folder: TempDir,
    config: ModelConfig,
    dataset: Arc<Dataset>,
}

impl Bench {
    fn new(architecture: &str, splits: &[(&str, usize)]) -> Bench {
        Bench::sized(architecture, splits, 32)
    }

    /// For a base that works on this many pixels.
    fn sized(architecture: &str, splits: &[(&str, usize)], side: usize) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        draw(&folder.path().join("data"), splits);
        std::fs::write(folder.path().join("base.safetensors"), base(architecture, side).as_slice()).unwrap();
        let config = format!(
            r#"{{"architecture": "{architecture}", "num_classes": 7, "pretrained_cfg": {{"input_size": [3, {side}, {side}], "crop_pct": 1.0, "interpolation": "bilinear", "tag": "made_up"}}}}"#
        );
        let dataset = Dataset::open(&Source::Folder(folder.path().join("data")), &Limits::default()).unwrap();
        Bench { config: ModelConfig::read(&config).unwrap(), dataset: Arc::new(dataset), folder }
    }

    fn weights(&self) -> PathBuf {
        self.folder.path().join("base.safetensors")
    }

    fn scratch(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join("scratch").join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Runs in the scratch folder `name`, resuming from its checkpoint if there is one.
    fn run(&self, recipe: &Recipe, name: &str, sink: &mut dyn FnMut(Event) -> Control) -> Result<Report, Error> {
        self.run_kept(recipe, name, Keep::Scratch, sink)
    }

    fn run_kept(&self, recipe: &Recipe, name: &str, keep: Keep, sink: &mut dyn FnMut(Event) -> Control) -> Result<Report, Error> {
        let scratch = self.scratch(name);
        let checkpoint = scratch.join("checkpoint.safetensors");
        let resume = checkpoint.exists().then_some(checkpoint.as_path());
        let weights = self.weights();
        fit(
            &Training {
                recipe,
                config: &self.config,
                weights: &weights,
                beside: &[],
                dataset: &self.dataset,
                device: &Device::Cpu,
                scratch: &scratch,
                keep,
                resume,
            },
            sink,
        )
    }

    fn fit(&self, recipe: &Recipe, name: &str) -> Result<Report, Error> {
        self.run(recipe, name, &mut |_| Control::Continue)
    }
}

fn head(epochs: u32) -> Recipe {
    Recipe { strategy: Strategy::Head, head_solver: HeadSolver::Sgd, epochs, batch_size: 16, ..Recipe::default() }
}

fn full(epochs: u32) -> Recipe {
    Recipe { strategy: Strategy::Full, lr: 2e-2, head_lr: 2e-2, compare_probe: false, ..head(epochs) }
}

fn stop_after_epoch(last: u32) -> impl FnMut(Event) -> Control {
    move |event| match event {
        Event::Checkpoint { epoch, .. } if epoch == last => Control::Stop,
        _ => Control::Continue,
    }
}

#[test]
fn a_head_learns_on_random_features_and_the_folder_it_becomes_answers() {
    let bench = Bench::new("mobilenetv2_100", &[("train", 40), ("val", 20), ("test", 10)]);
    let mut events = Vec::new();
    let report = bench
        .run(&Recipe { dropout: 0.1, ..head(15) }, "head", &mut |event| {
            events.push(event);
            Control::Continue
        })
        .unwrap();
    assert!(report.outcome.validation.get("top1") > 0.8, "{:?}", report.outcome.validation);
    assert_eq!(
        (report.outcome.stopped, report.outcome.validated_on, report.outcome.baseline),
        (Stopped::Finished, Held::ValSplit, 1.0 / 3.0)
    );
    assert_eq!((report.outcome.validation.samples, report.outcome.test.as_ref().unwrap().samples), (60, 30));
    let best = &report.epochs[report.outcome.best_epoch as usize - 1];
    assert!(best.best && report.epochs.iter().all(|epoch| epoch.val_primary() <= best.val_primary()));
    // The published head works on plain features, the trained one on scaled ones: the same answers.
    assert!(
        (report.outcome.validation.get("top1") - best.val_primary()).abs() < 1e-9
            && (report.outcome.validation.loss - best.val_loss).abs() < 1e-3
    );
    let epochs: Vec<u32> = events.iter().filter_map(|e| if let Event::Epoch(n) = e { Some(n.epoch) } else { None }).collect();
    assert_eq!(epochs, (1..=15).collect::<Vec<_>>());
    let steps = |e: &Event| if let Event::Progress(Progress { step, total_steps, .. }) = e { Some((*step, *total_steps)) } else { None };
    assert!(events.iter().filter_map(steps).all(|(step, total)| step <= total && total > 0));

    // The backbone is the base's, bit for bit.
    let base = Weights::load(&bench.weights()).unwrap().without_head("classifier");
    for (name, var) in base.iter() {
        let (old, new) = (var.flatten_all().unwrap(), report.weights.get(name).unwrap().flatten_all().unwrap());
        assert_eq!(old.to_vec1::<f32>().unwrap(), new.to_vec1::<f32>().unwrap(), "{name}");
    }

    let out = bench.folder.path().join("out");
    let lineage = Lineage {
        name: "ada/shapes".into(),
        base: "library/tiny@3".into(),
        dataset: "ada/drawings@2".into(),
        license: Some("apache-2.0".into()),
        ..Lineage::default()
    };
    write_folder(&report, &lineage, &out).unwrap();
    let predictor = Predictor::load(&out, &Device::Cpu).unwrap();
    let val = bench.dataset.split("val");
    let images: Vec<_> = val.iter().map(|sample| bench.dataset.encoded(sample).unwrap()).collect();
    let answers: Vec<_> = predictor.predict_batch(&images, 2).unwrap().into_iter().map(Result::unwrap).collect();
    let answers: Vec<_> = answers.iter().map(|answered| answered.answer.classes()).collect();
    let right = answers.iter().zip(&val).filter(|(answer, sample)| Some(answer[0].index as u32) == sample.target.class()).count();
    assert_eq!(right as f64 / 60.0, report.outcome.validation.get("top1"), "the card's number is what the published folder does");
    assert!(
        answers.iter().all(|answer| answer.len() == 2
            && answer[0].probability >= answer[1].probability
            && answer[0].label == CLASSES[answer[0].index])
    );
    let embedding = predictor.embed(&images[0]).unwrap();
    assert_eq!(embedding.len(), predictor.num_features());
    assert!(matches!(predictor.predict(b"<svg/>", 1), Err(Error::Data(hub::data::Error::Image { .. }))));
    card_and_metrics_tell(&out, &report);
}

fn card_and_metrics_tell(out: &Path, report: &Report) {
    let text = std::fs::read_to_string(out.join("README.md")).unwrap();
    let card = hub::domain::card::Card::read(&text).0;
    assert_eq!(
        (card.base_model.as_slice(), card.datasets.as_slice()),
        (&["library/tiny@3".to_owned()][..], &["ada/drawings@2".to_owned()][..])
    );
    assert_eq!((card.license.as_deref(), card.base_model_relation.as_deref()), (Some("apache-2.0"), Some("finetune")));
    let accuracy = card.metrics.iter().find(|metric| metric.kind == "accuracy").unwrap();
    assert_eq!(accuracy.value, report.outcome.test.as_ref().unwrap().get("top1"), "the index holds the test split's number");
    assert!(card.body.contains("33.33 %") && card.body.contains("| horizontal |"), "{}", card.body);
    let metrics: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(out.join("metrics.json")).unwrap()).unwrap();
    assert_eq!(metrics["validation"]["confusion"].as_array().unwrap().len(), 3);
    assert_eq!(metrics["weights_digest"], report.digest.to_hex());
    assert_eq!(metrics["epochs"].as_array().unwrap().len(), 15);
    let config = ModelConfig::read(&std::fs::read_to_string(out.join("config.json")).unwrap()).unwrap();
    assert_eq!(config.label_names.unwrap(), CLASSES);
}

#[test]
fn a_whole_network_learns_from_random_weights_and_repeats_itself_over_a_resume() {
    let bench = Bench::new("resnet18", &[("train", 32), ("val", 12)]);
    let recipe = full(4);
    let whole = bench.fit(&recipe, "whole").unwrap();
    assert!(whole.outcome.validation.get("top1") > 0.7, "{:?}", whole.epochs);
    assert!(whole.epochs[3].train_loss < whole.epochs[0].train_loss);
    assert!((whole.outcome.validation.loss - whole.epochs[whole.outcome.best_epoch as usize - 1].val_loss).abs() < 1e-6);

    let cut = bench.run(&recipe, "cut", &mut stop_after_epoch(2));
    assert!(matches!(cut, Err(Error::Cancelled)), "{cut:?}");
    let mut first = None;
    let resumed = bench.run(&recipe, "cut", &mut |event| {
        if let Event::Epoch(numbers) = &event {
            first.get_or_insert(numbers.epoch);
        }
        Control::Continue
    });
    assert_eq!(first, Some(3), "the first two epochs are not run again");
    assert_eq!(resumed.unwrap().digest, whole.digest, "a resumed run ends with the same weights");

    let refused = bench.fit(&Recipe { seed: 1, ..recipe }, "cut");
    assert!(matches!(refused, Err(Error::Checkpoint { .. })), "a checkpoint of another recipe is not taken up: {refused:?}");
}

#[test]
fn a_head_repeats_itself_over_kills_in_the_feature_pass_and_between_epochs() {
    let bench = Bench::new(SMALL, &[("train", 30)]);
    let augment = Augment { views: 2, ..Augment::default() };
    let recipe = Recipe { augment, optimizer: Optimizer::Adamw, head_lr: 1e-3, label_smoothing: 0.1, dropout: 0.2, ..head(6) };
    let whole = bench.fit(&recipe, "whole").unwrap();
    assert_eq!((whole.outcome.validated_on, whole.train_samples, whole.outcome.validation.samples), (Held::HeldOut, 72, 18));
    assert_eq!(bench.fit(&recipe, "again").unwrap().digest, whole.digest);

    let scratch = bench.scratch("cut");
    let cached = |scratch: &Path| -> PathBuf {
        let mut files = std::fs::read_dir(scratch).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.to_string_lossy().contains("features-")).unwrap()
    };
    let mut told = 0;
    let stopped = bench.run(&recipe, "cut", &mut |event| {
        told += usize::from(matches!(&event, Event::Progress(Progress { stage, .. }) if stage == "caching features"));
        if told == 0 { Control::Continue } else { Control::Stop }
    });
    assert!(matches!(stopped, Err(Error::Cancelled)));
    // As if the power had gone in the middle of a write: half of what the whole run cached.
    let bytes = std::fs::read(cached(&bench.scratch("whole"))).unwrap();
    let whole_pass = cached(&scratch);
    std::fs::remove_file(&whole_pass).unwrap();
    std::fs::write(whole_pass.with_extension("part"), &bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(bench.run(&recipe, "cut", &mut stop_after_epoch(1)), Err(Error::Cancelled)));
    assert_eq!(std::fs::read(cached(&scratch)).unwrap(), bytes, "the rest was added, batch by batch");
    assert_eq!(bench.fit(&recipe, "cut").unwrap().digest, whole.digest);
    assert_ne!(bench.fit(&Recipe { seed: 1, ..recipe }, "other").unwrap().digest, whole.digest);
}

/// What `fit` told in words.
fn told(events: &mut Vec<String>) -> impl FnMut(Event) -> Control {
    |event| {
        if let Event::Log { message, .. } = event {
            events.push(message);
        }
        Control::Continue
    }
}

#[test]
fn frozen_stages_are_run_once_and_the_result_is_as_without() {
    // At 32 pixels the last maps of MobileNetV2 are single points: a norm over a dozen of them makes much of f16's rounding.
    for (architecture, side, frozen_stages, kind) in [("resnet18", 32, 4, Optimizer::Adamw), ("mobilenetv2_100", 96, 5, Optimizer::Sgd)] {
        let bench = Bench::sized(architecture, &[("train", 16), ("val", 5), ("test", 2)], side);
        let augment = Augment { views: 2, ..Augment::default() };
        let recipe = Recipe { frozen_stages, optimizer: kind, augment, dropout: 0.1, lr: 2e-3, head_lr: 2e-3, ..full(4) };
        let kept = bench.fit(&recipe, "kept").unwrap();
        let without = bench.run_kept(&recipe, "without", Keep::Nowhere, &mut |_| Control::Continue).unwrap();
        assert_eq!((kept.frozen, without.frozen), (Frozen::Once, Frozen::EachEpoch));
        for (a, b) in kept.epochs.iter().zip(&without.epochs) {
            println!("{architecture}: epoch {}: {} {}", a.epoch, a.train_loss, b.train_loss);
            assert!((a.train_loss - b.train_loss).abs() < 2e-2 * b.train_loss, "{architecture}: {} {}", a.train_loss, b.train_loss);
        }
        // The first epoch, before differences of f16's size have had steps to grow in.
        let first = (kept.epochs[0].train_loss - without.epochs[0].train_loss).abs();
        assert!(first < 3e-3 * without.epochs[0].train_loss, "{architecture}: {first}");
        // Nothing is left to differ where the numbers are kept, so the same run again is the same to the bit.
        assert_eq!(bench.fit(&recipe, "again").unwrap().digest, kept.digest);
    }
}

/// What is kept of frozen stages in a store; what items look like lies beside it.
fn kept_features(folder: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with("features-looks-")).collect()
}

#[test]
fn runs_find_what_others_left_and_make_it_again_where_it_is_damaged() {
    let bench = Bench::new(SMALL, &[("train", 20), ("val", 6)]);
    let folder = bench.folder.path().join("store");
    let store = FeatureStore::new(&folder, 1 << 30);
    let plain = Augment { crop_min_area: 1.0, horizontal_flip: false, ..Augment::default() };
    let recipe = Recipe { frozen_stages: 3, augment: plain, ..full(3) };
    let run = |recipe: &Recipe, name: &str| bench.run_kept(recipe, name, Keep::Store(&store), &mut |_| Control::Continue).unwrap();
    let files = || kept_features(&folder);
    let first = run(&recipe, "first");
    assert_eq!((first.frozen, files().len()), (Frozen::Once, 1));
    let second = run(&recipe, "second");
    assert_eq!((second.frozen, second.digest), (Frozen::Reused, first.digest));
    // Neither seed nor rates nor the number of epochs nor the split of one data set change what frozen stages answer.
    assert_eq!(run(&Recipe { seed: 5, lr: 1e-3, epochs: 2, ..recipe.clone() }, "another seed").frozen, Frozen::Reused);
    assert_eq!(run(&Recipe { frozen_stages: 4, ..recipe.clone() }, "another boundary").frozen, Frozen::Once);
    assert_eq!(run(&head(2), "a head").frozen, Frozen::Once);
    assert_eq!(run(&head(4), "another head").frozen, Frozen::Reused);
    assert_eq!(files().len(), 3);
    for path in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let mended = run(&recipe, "mended");
    assert_eq!((mended.frozen, mended.digest), (Frozen::Once, first.digest));
    assert_eq!(run(&recipe, "and found").frozen, Frozen::Reused);
    let beside = std::fs::read_dir(bench.scratch("second")).unwrap().count();
    assert_eq!(beside, 1, "the scratch folder holds the checkpoint and nothing else");
}

#[test]
fn of_two_runs_that_begin_together_one_makes_the_features_and_the_other_waits_for_them() {
    let bench = &Bench::new(SMALL, &[("train", 24), ("val", 6)]);
    let folder = bench.folder.path().join("store");
    let store = FeatureStore::new(&folder, 1 << 30);
    let (recipe, keep) = (&head(2), Keep::Store(&store));
    let (waits, waiting) = std::sync::mpsc::channel();
    let mut waits = Some(waits);
    let (first, second) = std::thread::scope(|threads| {
        let mut other = None;
        let first = bench.run_kept(recipe, "first", keep, &mut |event| {
            let makes = matches!(&event, Event::Progress(Progress { stage, .. }) if stage == "caching features");
            if let Some(waits) = waits.take_if(|_| makes) {
                other = Some(threads.spawn(move || {
                    let second = bench.run_kept(recipe, "second", keep, &mut |event| {
                        if matches!(&event, Event::Log { message, .. } if message.contains("this one waits for them")) {
                            waits.send(()).unwrap();
                        }
                        Control::Continue
                    });
                    second.map(|report| (report.frozen, report.digest)).unwrap()
                }));
                // One that does not wait ends, and its end of the channel with it.
                waiting.recv().expect("the second run waits");
            }
            Control::Continue
        });
        (first.map(|report| (report.frozen, report.digest)).unwrap(), other.unwrap().join().unwrap())
    });
    assert_eq!((first.0, second.0), (Frozen::Once, Frozen::Reused));
    assert_eq!(first.1, second.1);
    assert_eq!(kept_features(&folder).len(), 1);
}

/// The bench on other files of the same pictures.
fn rearranged(bench: &Bench, name: &str, arrange: impl Fn(&Path, &Path)) -> Arc<Dataset> {
    let root = bench.folder.path().join(name);
    arrange(&bench.folder.path().join("data"), &root);
    Arc::new(Dataset::open(&Source::Folder(root), &Limits::default()).unwrap())
}

#[test]
fn features_are_found_by_content_however_files_are_called_and_whatever_joins_them() {
    let bench = Bench::new("resnet18", &[("train", 10), ("val", 4)]);
    let store = FeatureStore::new(bench.folder.path().join("store"), 1 << 30);
    let plain = Augment { crop_min_area: 1.0, horizontal_flip: false, ..Augment::default() };
    let augmented = Recipe { frozen_stages: 3, augment: Augment { views: 1, ..Augment::default() }, ..full(3) };
    let recipe = Recipe { frozen_stages: 3, augment: plain, ..full(2) };
    // Names turned around within each class: another order of the same content.
    let turned = rearranged(&bench, "turned", |from, to| {
        for file in walkdir::WalkDir::new(from).into_iter().map(|file| file.unwrap()).filter(|file| file.file_type().is_file()) {
            let inside = file.path().parent().unwrap().strip_prefix(from).unwrap();
            let number: u32 = file.path().file_stem().unwrap().to_str().unwrap().parse().unwrap();
            std::fs::create_dir_all(to.join(inside)).unwrap();
            std::fs::copy(file.path(), to.join(inside).join(format!("{:03}.png", 500 - number))).unwrap();
        }
    });
    let mut random = ChaCha8Rng::seed_from_u64(99);
    let more = rearranged(&bench, "more", |from, to| {
        for file in walkdir::WalkDir::new(from).into_iter().map(|file| file.unwrap()).filter(|file| file.file_type().is_file()) {
            let inside = file.path().strip_prefix(from).unwrap();
            std::fs::create_dir_all(to.join(inside).parent().unwrap()).unwrap();
            std::fs::copy(file.path(), to.join(inside)).unwrap();
        }
    });
    drop(more);
    for (class, name) in CLASSES.iter().enumerate() {
        picture(class, &mut random).save(bench.folder.path().join("more/train").join(name).join("0001.png")).unwrap();
    }
    let more = Arc::new(Dataset::open(&Source::Folder(bench.folder.path().join("more")), &Limits::default()).unwrap());
    let with = |dataset: &Arc<Dataset>, recipe: &Recipe, name: &str, keep: Keep| {
        let mut words = Vec::new();
        let (scratch, weights) = (bench.scratch(name), bench.weights());
        let training = Training {
            recipe,
            config: &bench.config,
            weights: &weights,
            beside: &[],
            dataset,
            device: &Device::Cpu,
            scratch: &scratch,
            keep,
            resume: None,
        };
        let report = fit(&training, &mut told(&mut words)).unwrap();
        (report, words.join("\n"))
    };
    for (number, recipe) in [recipe, augmented].iter().enumerate() {
        let named = |name: &str| format!("{name} {number}");
        let (first, _) = with(&bench.dataset, recipe, &named("first"), Keep::Store(&store));
        assert_eq!(first.frozen, Frozen::Once);
        let (kept, words) = with(&turned, recipe, &named("turned"), Keep::Store(&store));
        if number == 0 {
            assert_eq!(kept.frozen, Frozen::Reused, "{words}");
        }
        let (fresh, _) = with(&turned, recipe, &named("turned fresh"), Keep::Scratch);
        assert_eq!(kept.digest, fresh.digest, "the features are those of the images that have these names now");
        let (kept, words) = with(&more, recipe, &named("more"), Keep::Store(&store));
        assert!(kept.frozen == Frozen::Once && words.contains("the features of the others are there"), "{words}");
        let (fresh, _) = with(&more, recipe, &named("more fresh"), Keep::Scratch);
        assert_eq!(kept.digest, fresh.digest);
    }
}

#[test]
fn copies_never_stand_on_both_sides_and_those_of_given_splits_are_told() {
    // Noise with drawn labels: what is known of an image says nothing of another, so only copies are ever right.
    let folder = tempfile::tempdir().unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(4);
    for n in 0..60 {
        let image = RgbImage::from_fn(24, 24, |_, _| Rgb(random.random()));
        for copy in 0..5 {
            let class = folder.path().join("own").join(if n % 2 == 0 { "a" } else { "b" });
            std::fs::create_dir_all(&class).unwrap();
            image.save(class.join(format!("{n}_{copy}.png"))).unwrap();
        }
        let split = folder.path().join("given").join(if n < 40 { "train" } else { "val" }).join(if n % 2 == 0 { "a" } else { "b" });
        std::fs::create_dir_all(&split).unwrap();
        image.save(split.join(format!("{n}.png"))).unwrap();
        if n < 5 {
            let val = folder.path().join("given/val").join(if n % 2 == 0 { "a" } else { "b" });
            std::fs::create_dir_all(&val).unwrap();
            image::imageops::flip_horizontal(&image).save(val.join(format!("c{n}.png"))).unwrap();
        }
    }
    let bench = Bench::new("resnet18", &[("train", 1)]);
    let on = |name: &str| {
        let dataset = Dataset::open(&Source::Folder(folder.path().join(name)), &Limits::default()).unwrap();
        let bench = Bench { dataset: Arc::new(dataset), folder: tempfile::tempdir().unwrap(), config: bench.config.clone() };
        std::fs::write(bench.weights(), base("resnet18", 32).as_slice()).unwrap();
        let mut words = Vec::new();
        let report = bench.run(&head(15), "run", &mut told(&mut words)).unwrap();
        let out = bench.folder.path().join("out");
        write_folder(&report, &Lineage { name: "ada/net".into(), ..Lineage::default() }, &out).unwrap();
        let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
        (report, words.join("\n"), read("README.md"), read("metrics.json"))
    };
    let (report, words, card, _) = on("own");
    assert_eq!((report.outcome.validated_on, report.outcome.validation.samples), (Held::HeldOut, 60));
    assert!(report.outcome.validation.get("top1") < 0.75, "{:?}", report.outcome.validation);
    assert!(report.outcome.leaks.is_empty() && words.contains("copies of others among the training images: 192"), "{words}");
    assert!(card.contains("is known to lie between") && !card.contains('±'), "{card}");
    assert!(card.contains("Copies of others among the images trained on: 192"), "{card}");
    let (report, words, card, metrics) = on("given");
    assert_eq!(report.outcome.leaks.len(), 1);
    let sentence = "5 of 25 validation images are also in train (encoded anew, resized";
    assert!(words.contains(sentence) && card.contains(sentence), "{words}\n{card}");
    let metrics: serde_json::Value = serde_json::from_str(&metrics).unwrap();
    assert_eq!((&metrics["leaks"][0]["copies"], &metrics["leaks"][0]["of"]), (&5.into(), &"train".into()));
    assert!(metrics["validation"]["interval_95"][1].is_number(), "{metrics}");
}

#[test]
fn a_frozen_run_resumes_within_the_pass_and_between_epochs() {
    let bench = Bench::new(SMALL, &[("train", 40), ("val", 8)]);
    let augment = Augment { views: 1, ..Augment::default() };
    let recipe = Recipe { frozen_stages: 3, augment, ..full(4) };
    let whole = bench.fit(&recipe, "whole").unwrap();
    let store = FeatureStore::new(bench.folder.path().join("store"), 1 << 30);
    let run = |sink: &mut dyn FnMut(Event) -> Control| bench.run_kept(&recipe, "cut", Keep::Store(&store), sink);
    // As a run that was killed in the middle of the pass, and of a write, leaves it.
    let mut cache = std::fs::read_dir(bench.scratch("whole")).unwrap().map(|entry| entry.unwrap().path());
    let cache = cache.find(|path| path.extension().is_some_and(|end| end == "bin")).unwrap();
    let bytes = std::fs::read(&cache).unwrap();
    std::fs::create_dir(bench.folder.path().join("store")).unwrap();
    let part = bench.folder.path().join("store").join(cache.file_name().unwrap()).with_extension("part");
    std::fs::write(&part, &bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(run(&mut stop_after_epoch(2)), Err(Error::Cancelled)));
    assert_eq!(kept_features(&bench.folder.path().join("store")).len(), 1, "one file, however often the run was stopped");
    assert_eq!(std::fs::read(part.with_extension("bin")).unwrap(), bytes, "the rest was added, batch by batch");
    let resumed = run(&mut |_| Control::Continue).unwrap();
    assert_eq!((resumed.digest, resumed.frozen), (whole.digest, Frozen::Reused));
}

#[test]
fn where_running_frozen_stages_once_would_not_pay_the_run_says_so() {
    let bench = Bench::new("mobilenetv2_100", &[("train", 8), ("val", 4)]);
    let mut words = Vec::new();
    let recipe = Recipe { frozen_stages: 7, ..full(2) };
    let fresh = bench.run(&recipe, "fresh views", &mut told(&mut words)).unwrap();
    assert_eq!(fresh.frozen, Frozen::EachEpoch);
    assert!(words.iter().any(|word| word.contains("augment.views")), "{words:?}");
    words.clear();
    let views = Recipe { augment: Augment { views: 3, ..Augment::default() }, ..recipe.clone() };
    let few = bench.run(&views, "few epochs", &mut told(&mut words)).unwrap();
    assert!(few.frozen == Frozen::EachEpoch && words.iter().any(|word| word.contains("no view of an item twice")), "{words:?}");
    words.clear();
    // A store without room does not stop a run, which then keeps its own.
    let small = FeatureStore::new(bench.folder.path().join("small"), 10);
    let plain = Recipe { augment: Augment { crop_min_area: 1.0, horizontal_flip: false, ..Augment::default() }, ..recipe };
    let own = bench.run_kept(&plain, "no room", Keep::Store(&small), &mut told(&mut words)).unwrap();
    assert!(own.frozen == Frozen::Once && words.iter().any(|word| word.contains("running 7 frozen stages once")), "{words:?}");
    assert!(!bench.folder.path().join("small").exists());
    assert_eq!(bench.fit(&Recipe { frozen_stages: 0, ..plain }, "nothing frozen").unwrap().frozen, Frozen::None);
}

#[test]
fn frozen_stages_keep_every_bit_and_the_rest_learns() {
    let bench = Bench::new("mobilenetv2_100", &[("train", 12), ("val", 4)]);
    let recipe = Recipe { frozen_stages: 6, ..full(1) };
    let report = bench.fit(&recipe, "frozen").unwrap();
    let base = Weights::load(&bench.weights()).unwrap().without_head("classifier");
    let backbone = architectures::build("mobilenetv2_100", &base).unwrap();
    for (number, stage) in backbone.stages().iter().enumerate() {
        for name in stage.parameters.iter().chain(&stage.buffers) {
            let same = base.get(name).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
                == report.weights.get(name).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(same, number < 6, "{name} of stage {number}");
        }
    }
}

#[test]
fn squeezing_networks_fine_tune() {
    for architecture in ["mobilenetv3_small_100", "efficientnet_b0"] {
        let bench = Bench::sized(architecture, &[("train", 24), ("val", 8)], 64);
        let report = bench.fit(&head(10), "head").unwrap();
        assert!(report.outcome.validation.get("top1") > 0.5, "{architecture}: {:?}", report.outcome.validation);
        let report = bench.fit(&full(3), "full").unwrap();
        assert!(report.epochs[2].train_loss < report.epochs[0].train_loss, "{architecture}: {:?}", report.epochs);
    }
}

/// Whether an epoch was better at what is trained on than the first.
fn learned(report: &Report) -> bool {
    report.epochs[1..].iter().any(|epoch| epoch.train_loss < report.epochs[0].train_loss)
}

#[test]
fn a_transformer_fine_tunes_above_its_frozen_blocks() {
    let bench = Bench::sized("vit_tiny_patch16_224", &[("train", 12), ("val", 4)], 64);
    let adamw = Recipe { optimizer: Optimizer::Adamw, lr: 5e-4, head_lr: 5e-3, ..full(5) };
    let report = bench.fit(&Recipe { frozen_stages: 9, ..adamw.clone() }, "frozen").unwrap();
    assert!(learned(&report), "{:?}", report.epochs);
    let base = Weights::load(&bench.weights()).unwrap();
    for (name, var) in base.iter().filter(|(name, _)| !name.starts_with("head.")) {
        let learns = ["blocks.8.", "blocks.9.", "blocks.10.", "blocks.11.", "norm."].iter().any(|part| name.starts_with(part));
        let values = |var: &candle_core::Tensor| var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(var) != values(report.weights.get(name).unwrap()), learns, "{name}");
    }
    let refused = bench.fit(&Recipe { image_size: 100, ..adamw }, "between").unwrap_err().to_string();
    assert!(refused.contains("patches of 16 pixels") && refused.contains("96"), "{refused}");
}

#[test]
fn a_network_without_batch_norms_fine_tunes_head_and_stages_above_the_frozen_ones() {
    let bench = Bench::sized("convnext_atto", &[("train", 12), ("val", 4)], 64);
    let report = bench.fit(&head(10), "head").unwrap();
    assert!(report.outcome.validation.primary() > 0.5, "{:?}", report.outcome.validation);
    let adamw = Recipe { optimizer: Optimizer::Adamw, lr: 1e-3, head_lr: 1e-3, ..full(3) };
    // Batches of one: nothing normalises a batch.
    let single = Recipe { batch_size: 1, ..adamw.clone() };
    let plain = Augment { crop_min_area: 1.0, horizontal_flip: false, ..Augment::default() };
    for (recipe, name) in [(single, "single"), (Recipe { augment: plain, frozen_stages: 3, ..adamw }, "frozen")] {
        let report = bench.fit(&recipe, name).unwrap();
        assert!(report.epochs[2].train_loss < report.epochs[0].train_loss, "{name}: {:?}", report.epochs);
        assert_eq!(report.frozen, if recipe.frozen_stages > 0 { Frozen::Once } else { Frozen::None });
        let base = Weights::load(&bench.weights()).unwrap();
        for (tensor, var) in base.iter().filter(|(tensor, _)| !tensor.starts_with("head.fc.")) {
            let above = ["stages.2.", "stages.3.", "head.norm."].iter().any(|part| tensor.starts_with(part));
            let values = |var: &candle_core::Tensor| var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(values(var) != values(report.weights.get(tensor).unwrap()), above || recipe.frozen_stages == 0, "{name}: {tensor}");
        }
    }
}

#[test]
fn a_random_backbone_is_not_the_base() {
    let bench = Bench::new(SMALL, &[("train", 12)]);
    std::fs::remove_file(bench.weights()).unwrap();
    let report = bench.fit(&Recipe { from_scratch: true, ..head(2) }, "scratch").unwrap();
    let lineage = Lineage { name: "a/b".into(), base: "library/tiny@1".into(), dataset: "a/d@1".into(), ..Lineage::default() };
    let out = bench.folder.path().join("out");
    write_folder(&report, &lineage, &out).unwrap();
    let card = hub::domain::card::Card::read(&std::fs::read_to_string(out.join("README.md")).unwrap()).0;
    assert!(card.base_model.is_empty() && card.body.contains("random weights"));
}

#[test]
fn divergence_ends_in_an_error_and_leaves_the_last_good_checkpoint() {
    let bench = Bench::new(SMALL, &[("train", 12), ("val", 4)]);
    let wild = Recipe { lr: 10.0, head_lr: 10.0, warmup: 0.0, weight_decay: 1.0, ..full(200) };
    let mut checkpoint = None;
    let result = bench.run(&wild, "wild", &mut |event| {
        if let Event::Checkpoint { path, .. } = event {
            checkpoint = Some(path);
        }
        Control::Continue
    });
    assert!(matches!(result, Err(Error::NonFinite { .. })), "{result:?}");
    if let Some(path) = checkpoint {
        for (name, tensor) in candle_core::safetensors::load(path, &Device::Cpu).unwrap() {
            let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(values.iter().all(|value| value.is_finite()), "{name}");
        }
    }
}

#[test]
fn what_diverges_above_a_probe_ends_as_the_probe_and_says_so() {
    let bench = Bench::new("resnet18", &[("train", 12), ("val", 4)]);
    let wild = Recipe {
        strategy: Strategy::LpFt,
        head_solver: HeadSolver::Convex,
        lr: 10.0,
        head_lr: 10.0,
        warmup: 0.0,
        weight_decay: 1.0,
        // Many steps an epoch: each epoch is saved, and the weights grow by the step.
        batch_size: 4,
        ..full(200)
    };
    let report = bench.fit(&wild, "wild").unwrap();
    let probe = report.probe.as_ref().unwrap().evaluation.primary();
    assert_eq!((report.outcome.best_epoch, report.outcome.validation.primary()), (0, probe));
    assert!(
        report.findings.iter().any(|said| said.contains("diverged") && said.contains("The result is the probe")),
        "{:?}",
        report.findings
    );
    assert!(report.weights.iter().all(|(_, var)| var.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().all(|v| v.is_finite())));
}

#[test]
fn a_poisoned_base_is_refused_by_the_tensors_name() {
    let bench = Bench::new("resnet18", &[("train", 12)]);
    let weights = Weights::load(&bench.weights()).unwrap();
    let var = weights.get("layer2.0.bn1.weight").unwrap();
    var.set(&Tensor::full(f32::NAN, var.shape(), &Device::Cpu).unwrap()).unwrap();
    weights.save(&bench.weights(), &[]).unwrap();
    match bench.fit(&head(1), "poisoned") {
        Err(error @ Error::NonFinite { .. }) => assert!(error.to_string().contains("layer2.0.bn1.weight"), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_work_is_refused_with_a_reason() {
    let bench = Bench::new("resnet18", &[("train", 4)]);
    let refused = |recipe: Recipe| bench.fit(&recipe, "refused").unwrap_err();
    assert_eq!(refused(Recipe { lr: f64::NAN, ..head(1) }).code(), "recipe");
    assert_eq!(refused(Recipe { frozen_stages: 6, ..full(1) }).code(), "recipe");
    std::fs::write(bench.weights(), b"not safetensors").unwrap();
    assert_eq!(refused(head(1)).code(), "model");

    let empty = tempfile::tempdir().unwrap();
    let open = |path: &Path| Dataset::open(&Source::Folder(path.to_owned()), &Limits::default());
    assert_eq!(open(empty.path()).unwrap_err().code(), "no_images");
    draw(empty.path(), &[("train", 3)]);
    for class in &CLASSES[1..] {
        std::fs::remove_dir_all(empty.path().join("train").join(class)).unwrap();
    }
    assert_eq!(open(empty.path()).unwrap_err().code(), "one_class");
}

#[test]
fn a_class_that_is_missing_in_a_split_is_named() {
    let bench = Bench::new(SMALL, &[("train", 4), ("val", 3), ("test", 2)]);
    let data = bench.folder.path().join("data");
    std::fs::remove_dir_all(data.join("val").join(CLASSES[1])).unwrap();
    std::fs::remove_dir_all(data.join("train").join(CLASSES[2])).unwrap();
    let dataset = Dataset::open(&Source::Folder(data), &Limits::default()).unwrap();
    let bench = Bench { dataset: Arc::new(dataset), ..bench };
    let mut words = Vec::new();
    let report = bench.run(&head(1), "missing", &mut told(&mut words)).unwrap();
    for said in [
        "1 of 3 classes (vertical) have no training images: they cannot be learned",
        "1 of 3 classes (horizontal) have no validation images",
    ] {
        assert!(words.iter().any(|word| word.contains(said)) && report.findings.iter().any(|finding| finding.contains(said)), "{words:?}");
    }
    assert!(!words.iter().any(|word| word.contains("no test images")), "{words:?}");
}

#[test]
fn too_few_images_are_all_trained_on_and_that_is_said() {
    let bench = Bench::new(SMALL, &[("train", 5)]);
    let mut warned = false;
    let report = bench
        .run(&Recipe { patience: 1, ..head(3) }, "few", &mut |event| {
            warned |= matches!(&event, Event::Log { message, .. } if message.contains("none are held out"));
            Control::Continue
        })
        .unwrap();
    assert!(warned);
    assert_eq!((report.outcome.validated_on, report.outcome.best_epoch, report.outcome.stopped), (Held::Training, 3, Stopped::Finished));
}

#[test]
fn without_progress_it_stops_early_and_keeps_the_best() {
    let bench = Bench::new(SMALL, &[("train", 12), ("val", 6)]);
    let report = bench.fit(&Recipe { patience: 2, ..head(400) }, "early").unwrap();
    assert_eq!(report.outcome.stopped, Stopped::Early);
    assert_eq!(report.epochs.len() as u32, report.outcome.best_epoch + 2);
}

#[test]
fn unreadable_images_are_passed_over_and_named() {
    let bench = Bench::new(SMALL, &[("train", 12), ("val", 4)]);
    for path in ["train/disc/003.png", "val/disc/001.png"] {
        std::fs::write(bench.folder.path().join("data").join(path), b"\x89PNG\r\n\x1a\nbroken").unwrap();
    }
    let reopened = Dataset::open(&Source::Folder(bench.folder.path().join("data")), &Limits::default()).unwrap();
    let bench = Bench { dataset: Arc::new(reopened), ..bench };
    for recipe in [head(2), full(1)] {
        let report = bench.fit(&recipe, recipe_name(&recipe)).unwrap();
        assert_eq!(report.outcome.validation.samples, 11);
        assert!(report.skipped.iter().any(|skipped| skipped.starts_with("train/disc/003.png")), "{:?}", report.skipped);
    }
}

fn recipe_name(recipe: &Recipe) -> &'static str {
    recipe.strategy.as_str()
}

/// Noisy greys whose lightness is the target, in some unit of its own.
fn draw_greys(root: &Path, count: usize) {
    std::fs::create_dir_all(root).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut table = "file_name,target\n".to_owned();
    for i in 0..count {
        let grey = random.random_range(10..220u8);
        let image = RgbImage::from_fn(SIDE, SIDE, |_, _| Rgb([grey + random.random_range(0..30u8); 3]));
        image.save(root.join(format!("{i:03}.png"))).unwrap();
        table += &format!("{i:03}.png,{}\n", 1000.0 + 10.0 * f64::from(grey));
    }
    std::fs::write(root.join("metadata.csv"), table).unwrap();
}

fn greys(architecture: &str, count: usize) -> Bench {
    let bench = Bench::new(architecture, &[("train", 1)]);
    let data = bench.folder.path().join("greys");
    draw_greys(&data, count);
    let dataset = Dataset::open(&Source::Folder(data), &Limits::default()).unwrap();
    Bench { dataset: Arc::new(dataset), ..bench }
}

#[test]
fn numbers_are_learned_by_the_head_and_by_the_whole_and_answered_in_their_own_units() {
    let bench = greys("resnet18", 120);
    let augment = Augment { crop_min_area: 1.0, horizontal_flip: false, ..Augment::default() };
    let head = Recipe { augment: augment.clone(), ..head(30) };
    let full = Recipe { augment, loss: Some(Loss::Huber), ..full(6) };
    for (name, recipe) in [("head", &head), ("full", &full)] {
        let report = bench.fit(recipe, name).unwrap();
        let (outcome, validation) = (&report.outcome, &report.outcome.validation);
        assert_eq!((outcome.task(), validation.samples, report.trained_on.as_str()), (Task::Regression, 24, "96 images"));
        assert!(outcome.baseline > 300.0, "the mean is far off: {outcome:?}");
        assert!(validation.get("rmse") < 0.5 * outcome.baseline && validation.get("r2") > 0.7, "{name}: {validation:?}");
        assert!(validation.get("mae") <= validation.get("rmse"));
        let best = report.epochs.iter().map(|epoch| epoch.val_primary()).fold(f64::INFINITY, f64::min);
        assert!((best - validation.primary()).abs() < 0.01 * best, "the least error is the best epoch's: {best} {validation:?}");

        let out = bench.folder.path().join(format!("out-{name}"));
        write_folder(&report, &Lineage { name: "ada/greys".into(), ..Lineage::default() }, &out).unwrap();
        let predictor = Predictor::load(&out, &Device::Cpu).unwrap();
        let mut squares = 0.0;
        let (_, held) = bench.dataset.split_train(&Copies::default(), recipe.validation, recipe.seed);
        for sample in &held {
            let answer = predictor.predict(&bench.dataset.encoded(sample).unwrap(), 5).unwrap().answer;
            assert_eq!((answer.values().len(), answer.values()[0].name.as_str()), (1, "target"));
            squares += f64::from(answer.values()[0].value - sample.target.value().unwrap()).powi(2);
        }
        let rmse = (squares / held.len() as f64).sqrt();
        assert!((rmse - validation.primary()).abs() < 0.01 * rmse, "the card's number is what the folder does: {rmse} {validation:?}");
        numbers_are_told(&out);
    }
    let refused = bench.fit(&Recipe { label_smoothing: 0.1, ..head.clone() }, "smoothed").unwrap_err();
    assert!(refused.to_string().contains("label_smoothing"), "{refused}");
    let refused = bench.fit(&Recipe { task: Some(Task::Classification), ..head }, "classes").unwrap_err();
    assert!(refused.to_string().contains("regression"), "{refused}");
}

fn numbers_are_told(out: &Path) {
    let card = hub::domain::card::Card::read(&std::fs::read_to_string(out.join("README.md")).unwrap()).0;
    assert_eq!(card.pipeline_tag.as_deref(), Some("image-regression"));
    let kinds: Vec<&str> = card.metrics.iter().map(|metric| metric.kind.as_str()).collect();
    assert_eq!(kinds, ["rmse", "mae", "r2"]);
    assert!(card.body.contains("| measured on | images | RMSE | MAE | R² | loss |"), "{}", card.body);
    assert!(card.body.contains("Always answering the mean") && !card.body.contains("## Classes"), "{}", card.body);
    let config = ModelConfig::read(&std::fs::read_to_string(out.join("config.json")).unwrap()).unwrap();
    assert_eq!((config.problem_type.as_deref(), config.num_classes), (Some("regression"), Some(1)));
    let metrics: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(out.join("metrics.json")).unwrap()).unwrap();
    assert!(metrics["mean_rmse"].is_number() && metrics["validation"]["rmse"].is_number(), "{metrics}");
}

#[test]
fn a_run_on_numbers_resumes_with_the_same_weights() {
    let bench = greys("mobilenetv3_small_050", 60);
    let recipe = full(4);
    let whole = bench.fit(&recipe, "whole").unwrap();
    assert!(matches!(bench.run(&recipe, "cut", &mut stop_after_epoch(2)), Err(Error::Cancelled)));
    assert_eq!(bench.fit(&recipe, "cut").unwrap().digest, whole.digest);
}

#[test]
fn embeddings_are_the_backbones_features_and_what_a_training_left_is_not_computed_again() {
    let bench = Bench::new("resnet18", &[("train", 8), ("val", 4)]);
    let (store, weights, scratch) = (FeatureStore::new(bench.folder.path().join("store"), 1 << 30), bench.weights(), bench.scratch("own"));
    bench.run_kept(&head(1), "first", Keep::Store(&store), &mut |_| Control::Continue).unwrap();
    let (dataset, device, keep) = (&bench.dataset, &Device::Cpu, Keep::Store(&store));
    let subject = hub::train::Subject { config: &bench.config, weights: &weights, beside: &[], dataset, device, scratch: &scratch, keep };
    let mut said = Vec::new();
    let survey = hub::train::survey_dataset(subject.dataset, subject.keep, &mut |_| Control::Continue).unwrap();
    let samples = subject.dataset.samples();
    let found = hub::train::embed(&subject, samples, &survey.hashes, &mut told(&mut said)).unwrap();
    assert!(said.iter().any(|line| line.contains("are there from")), "{said:?}");
    assert_eq!((found.len(), found.width), (samples.len(), 512));
    let predictor = Predictor::open(subject.config, subject.weights, subject.device).unwrap();
    for (at, sample) in samples.iter().enumerate() {
        assert_eq!(found.ids[at], sample.id);
        let row = predictor.embed(&subject.dataset.encoded(sample).unwrap()).unwrap();
        assert!(row.iter().zip(found.row(at)).all(|(a, b)| (a - b).abs() < 1e-4), "{}", sample.path);
    }
}
