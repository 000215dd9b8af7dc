//! A class for each pixel: a linear head on maps of all scales and decoders that learn with the stages under them learn it from drawn discs,
//! the folders they become lay masks over images, and what cannot be had of pixels is refused.

use hub::data::targets::Outline;
use hub::data::{Split, Target};
use hub::domain::recipe::{ClassWeights, Decoder, Norm, Policy};
use hub::train::evaluate;

use super::*;

const WIDTH: u32 = 120;
const HEIGHT: u32 = 96;

/// A light disc on a dark ground, and its mask.
fn disc(random: &mut impl Rng) -> (RgbImage, image::GrayImage) {
    let mut colour = |low: u8, high: u8| Rgb([0; 3].map(|_| random.random_range(low..high)));
    let (dark, light) = (colour(0, 70), colour(170, 255));
    let (x0, y0, radius) = (random.random_range(30..90), random.random_range(30..66), random.random_range(16..28));
    let inside = |x: u32, y: u32| (x as i32 - x0).pow(2) + (y as i32 - y0).pow(2) < radius * radius;
    let image = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| if inside(x, y) { light } else { dark });
    (image, image::GrayImage::from_fn(WIDTH, HEIGHT, |x, y| image::Luma([if inside(x, y) { 255 } else { 0 }])))
}

/// A base with random weights, and discs with their masks.
fn discs(architecture: &str, side: usize, splits: &[(&str, usize)]) -> Bench {
    let bench = Bench::sized(architecture, &[("train", 1)], side);
    let (data, mut random) = (bench.folder.path().join("discs"), ChaCha8Rng::seed_from_u64(5));
    for (split, count) in splits {
        for kind in ["images", "masks"] {
            std::fs::create_dir_all(data.join(split).join(kind)).unwrap();
        }
        for at in 0..*count {
            let (image, mask) = disc(&mut random);
            image.save(data.join(split).join(format!("images/{at}.png"))).unwrap();
            mask.save(data.join(split).join(format!("masks/{at}.png"))).unwrap();
        }
    }
    std::fs::write(data.join("classes.txt"), "ground\ndisc\n").unwrap();
    let dataset = Dataset::open(&Source::Folder(data), &Limits::default()).unwrap();
    Bench { dataset: Arc::new(dataset), ..bench }
}

fn pixels() -> Recipe {
    Recipe { strategy: Strategy::Head, ..Recipe::default() }
}

/// A decoder that learns with all stages under it.
fn decoded(decoder: Decoder, epochs: u32) -> Recipe {
    let optimizer = Optimizer::Adamw;
    let augment = Augment { crop_min_area: 0.8, ..Augment::default() };
    let (strategy, compare_probe) = (Strategy::Full, false);
    Recipe { strategy, decoder, epochs, optimizer, lr: 1e-3, head_lr: 5e-3, batch_size: 4, augment, compare_probe, ..Recipe::default() }
}

#[test]
fn a_head_on_maps_of_all_scales_lays_masks_over_images() {
    let bench = discs("resnet18", 96, &[("train", 24), ("val", 8)]);
    let report = bench.fit(&pixels(), "discs").unwrap();
    let validation = &report.outcome.validation;
    println!("{validation:?}, always the ground {}", report.outcome.baseline);
    assert_eq!((validation.task.as_str(), validation.samples), ("semantic-segmentation", 8));
    assert!(validation.get("mean_iou") > 0.75 && validation.get("mean_iou") > report.outcome.baseline + 0.2);
    assert!(validation.get("mean_dice") >= validation.get("mean_iou") && validation.get("pixel_accuracy") > 0.9);
    assert!(validation.get("boundary_f1") > 0.1);
    assert_eq!(validation.per_class.iter().map(|class| class.class.as_str()).collect::<Vec<_>>(), ["ground", "disc"]);
    assert_eq!(bench.fit(&pixels(), "again").unwrap().digest, report.digest, "the same head again");

    let out = bench.folder.path().join("out");
    write_folder(&report, &Lineage { name: "ada/discs".into(), ..Lineage::default() }, &out).unwrap();
    let config = ModelConfig::read(&std::fs::read_to_string(out.join("config.json")).unwrap()).unwrap();
    assert!(config.labels_pixels() && config.preprocessing().crop_mode == "squash" && config.preprocessing().crop_pct == 1.0);
    let predictor = Predictor::load(&out, &Device::Cpu).unwrap();
    for sample in bench.dataset.split("val") {
        let Answer::Mask(said) = predictor.predict(&bench.dataset.encoded(&sample).unwrap(), 1).unwrap().answer else { panic!("a mask") };
        assert_eq!((said.width, said.height, said.classes.len()), (WIDTH, HEIGHT, 2));
        let Target::Mask(mask) = &sample.target else { panic!("a mask") };
        let truth = mask.labels(bench.dataset.limits()).unwrap().unwrap();
        let runs = said.classes[1].runs.as_ref().unwrap();
        let raster = Outline::packed(&runs.counts, [runs.size[1], runs.size[0]]).unwrap().raster(WIDTH, HEIGHT);
        let both = raster.iter().zip(&truth.values).filter(|(on, value)| **on && **value == 1).count();
        let either = raster.iter().zip(&truth.values).filter(|(on, value)| **on || **value == 1).count();
        assert!(both as f64 > 0.5 * either as f64, "{both} of {either}");
        let share = raster.iter().filter(|on| **on).count() as f32 / raster.len() as f32;
        assert!((share - said.classes[1].share).abs() < 1e-6);
        assert!(!said.png.is_empty());
        assert!(said.classes[0].objects.is_none() && said.classes[1].objects.is_some_and(|count| (1..=3).contains(&count)), "one disc");
    }
    assert!(predictor.embed(&bench.dataset.encoded(&bench.dataset.split("val")[0]).unwrap()).is_err());
    let measured = evaluate(&predictor, &config, &bench.dataset, Some(Split::Val), &mut |_| Control::Continue).unwrap();
    let (own, theirs) = (measured.evaluation.get("mean_iou"), validation.get("mean_iou"));
    assert!((own - theirs).abs() < 1e-3, "{own} and {theirs}");
}

#[test]
fn every_decoder_learns_with_the_stages_under_it_and_is_published() {
    let bench = discs(SMALL, 64, &[("train", 16), ("val", 6)]);
    for decoder in [Decoder::LrAspp, Decoder::DeepLab, Decoder::UNet, Decoder::Fpn] {
        let name = decoder.as_str();
        let report = bench.fit(&decoded(decoder, 10), name).unwrap();
        let validation = &report.outcome.validation;
        println!("{name}: {:?}, always the ground {}", validation.values, report.outcome.baseline);
        assert!(validation.get("mean_iou") > report.outcome.baseline + 0.1, "{name}: {:?}", validation.values);
        assert!(report.epochs.len() == 10 && report.epochs[9].train_loss < report.epochs[0].train_loss, "{name}");
        let out = bench.folder.path().join("out").join(name);
        write_folder(&report, &Lineage { name: "ada/discs".into(), ..Lineage::default() }, &out).unwrap();
        let config = ModelConfig::read(&std::fs::read_to_string(out.join("config.json")).unwrap()).unwrap();
        assert_eq!((config.decoder(), config.window()), (Some((name, 2)), Some([WIDTH, HEIGHT])));
        let predictor = Predictor::load(&out, &Device::Cpu).unwrap();
        let measured = evaluate(&predictor, &config, &bench.dataset, Some(Split::Val), &mut |_| Control::Continue).unwrap();
        let (own, theirs) = (measured.evaluation.get("mean_iou"), validation.get("mean_iou"));
        assert!((own - theirs).abs() < 1e-3, "{name}: {own} and {theirs}");
    }
}

#[test]
fn masks_follow_their_pixels_into_mosaics() {
    let bench = discs(SMALL, 64, &[("train", 16), ("val", 6)]);
    let plain = decoded(Decoder::LrAspp, 10);
    let mosaic = Recipe { augment: Augment { mosaic: 0.5, ..plain.augment.clone() }, ..plain.clone() };
    let (report, without) = (bench.fit(&mosaic, "mosaic").unwrap(), bench.fit(&plain, "plain").unwrap());
    let reached = report.outcome.validation.get("mean_iou");
    assert!(report.digest != without.digest && reached > report.outcome.baseline + 0.1, "{reached}");
}

#[test]
fn a_large_image_is_answered_about_window_by_window() {
    let bench = discs(SMALL, 64, &[("train", 12), ("val", 4)]);
    let report = bench.fit(&Recipe { tta_flip: true, ..decoded(Decoder::UNet, 20) }, "windows").unwrap();
    let out = bench.folder.path().join("out");
    write_folder(&report, &Lineage { name: "ada/discs".into(), ..Lineage::default() }, &out).unwrap();
    let predictor = Predictor::load(&out, &Device::Cpu).unwrap();
    // Four of the images beside each other: each disc is as large as those that were learned.
    let (mut random, mut wide) = (ChaCha8Rng::seed_from_u64(9), RgbImage::new(4 * WIDTH, HEIGHT));
    let mut truth = vec![false; (4 * WIDTH * HEIGHT) as usize];
    for at in 0..4 {
        let (image, mask) = disc(&mut random);
        image::imageops::replace(&mut wide, &image, i64::from(at * WIDTH), 0);
        for (x, y, pixel) in mask.enumerate_pixels() {
            truth[(y * 4 * WIDTH + at * WIDTH + x) as usize] = pixel.0[0] > 0;
        }
    }
    let mut bytes = std::io::Cursor::new(Vec::new());
    wide.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    let Answer::Mask(said) = predictor.predict(bytes.get_ref(), 1).unwrap().answer else { panic!("a mask") };
    assert_eq!((said.width, said.height), (4 * WIDTH, HEIGHT));
    let runs = said.classes[1].runs.as_ref().expect("discs are found");
    let raster = Outline::packed(&runs.counts, [runs.size[1], runs.size[0]]).unwrap().raster(4 * WIDTH, HEIGHT);
    let both = raster.iter().zip(&truth).filter(|(on, there)| **on && **there).count();
    let either = raster.iter().zip(&truth).filter(|(on, there)| **on || **there).count();
    assert!(both as f64 > 0.4 * either as f64, "{both} of {either}");
}

#[test]
fn auto_goes_on_from_the_best_linear_head_and_never_ends_below_it() {
    let bench = discs(SMALL, 64, &[("train", 12), ("val", 6)]);
    let recipe = Recipe { strategy: Strategy::Auto, ..decoded(Decoder::Auto, 3) };
    let report = bench.fit(&recipe, "auto").unwrap();
    let probe = report.probe.as_ref().expect("the linear head is found first");
    assert_eq!(probe.choice.as_ref().map(|choice| choice.strategy), Some(Strategy::LpFt));
    assert!(probe.choice.as_ref().unwrap().why.contains("unet"));
    let (own, linear) = (report.outcome.validation.get("mean_iou"), probe.evaluation.get("mean_iou"));
    assert!(own >= linear - 1e-3, "{own} and {linear}");
    // Killed and taken up, it ends with the same weights.
    for kill in [0, 1, 2] {
        let name = format!("auto {kill}");
        assert!(bench.run(&recipe, &name, &mut stop_after_epoch(kill)).is_err());
        assert_eq!(bench.fit(&recipe, &name).unwrap().digest, report.digest, "killed after epoch {kill}");
    }
    // At rates at which nothing learns the answers are the linear head's.
    let still = Recipe { lr: 1e-8, head_lr: 1e-8, epochs: 1, norm: Norm::Frozen, ..recipe };
    let still = bench.fit(&still, "still").unwrap();
    let (own, linear) = (still.outcome.validation.get("mean_iou"), still.probe.as_ref().unwrap().evaluation.get("mean_iou"));
    assert!((own - linear).abs() < 5e-3, "{own} and {linear}");
}

#[test]
fn maps_under_a_decoder_are_made_once_where_views_come_back() {
    let bench = discs(SMALL, 64, &[("train", 10), ("val", 4)]);
    let few = |strategy, frozen_stages| {
        let augment = Augment { views: 2, ..Augment::default() };
        Recipe { strategy, frozen_stages, augment, ..decoded(Decoder::LrAspp, 6) }
    };
    for (what, recipe) in [("head", few(Strategy::Head, 0)), ("freeze", few(Strategy::Freeze, 3)), ("gradual", few(Strategy::Gradual, 4))] {
        let report = bench.fit(&recipe, what).unwrap();
        assert_eq!(report.frozen, Frozen::Once, "{what}");
        assert!(report.epochs.iter().all(|epoch| epoch.train_loss.is_finite()), "{what}");
        // Each epoch of `gradual` has other stages under it, which begin to follow their batches.
        assert!(what == "gradual" || report.epochs[5].train_loss < report.epochs[0].train_loss, "{what}");
    }
}

#[test]
fn every_loss_of_pixels_is_minimised() {
    let bench = discs(SMALL, 64, &[("train", 8), ("val", 4)]);
    for loss in [Loss::CrossEntropy, Loss::Dice, Loss::Focal, Loss::CrossEntropyDice, Loss::FocalDice] {
        let recipe = Recipe { loss: Some(loss), class_weights: ClassWeights::Sqrt, publish_anyway: true, ..decoded(Decoder::LrAspp, 4) };
        let report = bench.fit(&recipe, loss.as_str()).unwrap();
        assert!(report.epochs[3].train_loss < report.epochs[0].train_loss, "{loss}: {:?}", report.epochs);
    }
}

#[test]
fn what_cannot_be_had_of_pixels_is_refused() {
    let bench = discs("resnet18", 64, &[("train", 3)]);
    let refused = |recipe: Recipe| bench.fit(&recipe, "refused").unwrap_err().to_string();
    assert!(refused(Recipe { strategy: Strategy::Full, decoder: Decoder::Linear, ..pixels() }).contains("choose auto or head"));
    assert!(refused(Recipe { tta_flip: true, ..pixels() }).contains("masks are not mirrored"));
    assert!(refused(Recipe { augment: Augment { views: 2, ..Augment::default() }, ..pixels() }).contains("augment.views"));
    assert!(refused(Recipe { loss: Some(Loss::Dice), ..pixels() }).contains("loss"));
    let mixed = Augment { mixup: 0.2, ..Augment::default() };
    assert!(refused(Recipe { augment: mixed, ..decoded(Decoder::UNet, 1) }).contains("mixup"));
    let turned = Augment { policy: Policy::TrivialAugment, ..Augment::default() };
    assert!(refused(Recipe { augment: turned, ..decoded(Decoder::UNet, 1) }).contains("augment.policy"));
    assert!(refused(Recipe { strategy: Strategy::Contrast, ..decoded(Decoder::UNet, 1) }).contains("strategy"));
    let classes = Bench::new(SMALL, &[("train", 4)]);
    assert!(classes.fit(&Recipe { decoder: Decoder::UNet, ..full(1) }, "classes").unwrap_err().to_string().contains("decoder"));
}

/// Tokens of patches lie at one stride, and stand for all scales.
#[test]
fn transformers_over_patches_say_something_about_places() {
    let bench = discs("vit_tiny_patch16_224", 64, &[("train", 8), ("val", 4)]);
    let linear = bench.fit(&pixels(), "linear").unwrap();
    println!("{:?}, always the ground {}", linear.outcome.validation.values, linear.outcome.baseline);
    assert!(linear.outcome.validation.get("mean_iou") > linear.outcome.baseline);
    let recipe = Recipe { strategy: Strategy::Freeze, frozen_stages: 10, ..decoded(Decoder::UNet, 3) };
    let augment = Augment { views: 1, ..recipe.augment.clone() };
    let report = bench.fit(&Recipe { augment, ..recipe }, "decoded").unwrap();
    assert_eq!(report.frozen, Frozen::Once);
    assert!(report.epochs[2].train_loss < report.epochs[0].train_loss, "{:?}", report.epochs);
}
