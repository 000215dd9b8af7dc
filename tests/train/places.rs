//! A class for each pixel: a head on maps of all scales learns it from drawn discs, the folder it becomes lays masks over images, and
//! what cannot be had of pixels is refused.

use hub::data::targets::Outline;
use hub::data::{Split, Target};
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
    Recipe { strategy: Strategy::Auto, ..Recipe::default() }
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
fn what_cannot_be_had_of_pixels_is_refused() {
    let bench = discs("resnet18", 64, &[("train", 3)]);
    let refused = |recipe: Recipe| bench.fit(&recipe, "refused").unwrap_err().to_string();
    assert!(refused(Recipe { strategy: Strategy::Full, ..pixels() }).contains("choose auto or head"));
    assert!(refused(Recipe { tta_flip: true, ..pixels() }).contains("masks are not mirrored"));
    assert!(refused(Recipe { augment: Augment { views: 2, ..Augment::default() }, ..pixels() }).contains("augment.views"));
    let tokens = discs("vit_tiny_patch16_224", 32, &[("train", 3)]);
    let error = tokens.fit(&pixels(), "tokens").unwrap_err().to_string();
    assert!(error.contains("makes no maps of several scales"), "{error}");
}
