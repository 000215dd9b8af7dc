//! Objects in boxes: a head over a pyramid learns to find discs and squares with the stages under it, the folder it becomes finds them in
//! images, and they are measured as COCO does.

use hub::data::{Split, Target};
use hub::domain::answers::{Answers, Content, Format, Said};
use hub::domain::recipe::{Decoder, Norm};
use hub::train::evaluate;
use serde_json::{Value, json};

use super::*;

const WIDTH: u32 = 96;
const HEIGHT: u32 = 72;
const NAMES: [&str; 2] = ["disc", "square"];

/// A red disc or a blue square on dark ground in each half of the image, with their classes and boxes.
fn shapes(random: &mut impl Rng) -> (RgbImage, Vec<(usize, [u32; 4])>) {
    let dark = [0; 3].map(|_| random.random_range(0..60u8));
    let mut image = RgbImage::from_pixel(WIDTH, HEIGHT, Rgb(dark));
    let mut objects = Vec::new();
    for half in 0..2 {
        let (class, radius) = (random.random_range(0..2usize), random.random_range(8..16i32));
        let (x0, y0) = (random.random_range(radius..48 - radius) + 48 * half, random.random_range(radius..HEIGHT as i32 - radius));
        let bright = random.random_range(150..255u8);
        let colour = if class == 0 { [bright, bright / 5, bright / 5] } else { [bright / 5, bright / 5, bright] };
        for (x, y, pixel) in image.enumerate_pixels_mut() {
            let (dx, dy) = (x as i32 - x0, y as i32 - y0);
            let square = (-radius..radius).contains(&dx) && (-radius..radius).contains(&dy);
            if square && (class == 1 || dx * dx + dy * dy < radius * radius) {
                *pixel = Rgb(colour);
            }
        }
        objects.push((class, [x0 - radius, y0 - radius, 2 * radius, 2 * radius].map(|value| value as u32)));
    }
    (image, objects)
}

/// A base with random weights, and shapes with boxes in COCO's JSON. The last image of each split shows nothing.
fn drawn(architecture: &str, side: usize, splits: &[(&str, usize)]) -> Bench {
    let bench = Bench::sized(architecture, &[("train", 1)], side);
    let (data, mut random) = (bench.folder.path().join("shapes"), ChaCha8Rng::seed_from_u64(5));
    std::fs::create_dir_all(data.join("annotations")).unwrap();
    for (number, (split, count)) in splits.iter().enumerate() {
        std::fs::create_dir_all(data.join("images").join(split)).unwrap();
        let (mut images, mut annotations) = (Vec::new(), Vec::new());
        for at in 0..*count {
            let (image, objects) = shapes(&mut random);
            let (image, objects) =
                if at + 1 == *count { (RgbImage::from_pixel(WIDTH, HEIGHT, Rgb([20; 3])), Vec::new()) } else { (image, objects) };
            let id = 1_000 * number + at;
            image.save(data.join("images").join(split).join(format!("{id}.png"))).unwrap();
            images.push(json!({ "id": id, "file_name": format!("{id}.png"), "width": WIDTH, "height": HEIGHT }));
            for (class, bbox) in objects {
                let (own, area) = (annotations.len(), bbox[2] * bbox[3]);
                annotations.push(json!({ "id": own, "image_id": id, "category_id": class + 1, "bbox": bbox, "area": area, "iscrowd": 0 }));
            }
        }
        let categories: Vec<Value> = NAMES.iter().enumerate().map(|(at, name)| json!({ "id": at + 1, "name": name })).collect();
        let all = json!({ "images": images, "annotations": annotations, "categories": categories });
        std::fs::write(data.join(format!("annotations/instances_{split}.json")), all.to_string()).unwrap();
    }
    let dataset = Dataset::open(&Source::Folder(data), &Limits::default()).unwrap();
    Bench { dataset: Arc::new(dataset), ..bench }
}

/// What is usual for boxes, for a base of random weights: its norms must follow the data.
fn boxes(epochs: u32) -> Recipe {
    let task = Task::parse("object-detection").unwrap();
    let usual = Recipe::usual_for(hub::domain::modality::Modality::parse("image").unwrap(), task, &Recipe::default());
    Recipe { epochs, image_size: 96, lr: 1e-3, norm: Norm::Batch, seed: 3, ..usual }
}

#[test]
fn objects_are_found_by_a_head_that_learned_with_its_base() {
    let bench = drawn("resnet18", 96, &[("train", 24), ("val", 8)]);
    let report = bench.fit(&boxes(18), "shapes").unwrap();
    let validation = &report.outcome.validation;
    println!("{validation:?}");
    assert_eq!((validation.task.as_str(), validation.samples, report.outcome.baseline), ("object-detection", 8, 0.0));
    assert!(validation.get("box_map_50") > 0.5, "{}", validation.get("box_map_50"));
    assert!(validation.get("box_map") <= validation.get("box_map_50") && validation.get("box_recall") > 0.2);
    let (labels, curves) = (&validation.more.labels, &validation.more.curves);
    assert!(labels.len() == 2 && labels.iter().all(|label| label.average_precision_50.is_some()) && curves.len() == 2);
    assert_eq!(validation.per_class.iter().map(|class| class.support).sum::<u64>(), 14, "two in each image but the last");
    assert!(report.mistakes.iter().all(|mistake| mistake.thumbnail.is_some()), "truth and answer, drawn");

    let out = bench.folder.path().join("out");
    write_folder(&report, &Lineage { name: "ada/shapes".into(), ..Lineage::default() }, &out).unwrap();
    let config = ModelConfig::read(&std::fs::read_to_string(out.join("config.json")).unwrap()).unwrap();
    assert_eq!((config.decoder(), config.num_classes, config.labels_places()), (Some(("fcos", 7)), Some(2), true));
    let card = std::fs::read_to_string(out.join("README.md")).unwrap();
    assert!(card.contains("mAP@0.5") && card.contains("object-detection") && card.contains("at an overlap of half"), "{card}");
    let predictor = Predictor::load(&out, &Device::Cpu).unwrap();
    let (mut found, mut items) = (0, Vec::new());
    for sample in bench.dataset.split("val") {
        let item = bench.dataset.encoded(&sample).unwrap();
        let answered = predictor.predict(&item, 1).unwrap();
        let Answer::Boxes(said) = &answered.answer else { panic!("boxes") };
        let Target::Objects(objects) = &sample.target else { panic!("objects") };
        assert_eq!((said.width, said.height), (WIDTH, HEIGHT));
        for object in objects.list.iter() {
            let near = |own: &[f32; 4]| own.iter().zip(&object.bbox).all(|(own, truth)| (own - truth).abs() < 8.0);
            found += usize::from(said.present().any(|one| one.index == object.class as usize && near(&one.bbox)));
        }
        let drawn = hub::data::image::answered::drawn(&item, &answered.answer, &Limits::default()).unwrap().unwrap();
        assert!(drawn.starts_with(b"\x89PNG"));
        items.push(Said { name: sample.path.clone(), content: Content::Answer(answered) });
    }
    assert!(found >= 7, "{found} of 14 objects");
    let results = Answers { model: "ada/shapes@1".into(), items }.write(Format::Coco).unwrap();
    let results: Vec<Value> = serde_json::from_slice(&results).unwrap();
    assert!(results.len() >= found && results.iter().all(|one| one["bbox"].as_array().unwrap().len() == 4 && one["image_id"].is_u64()));
    let measured = evaluate(&predictor, &config, &bench.dataset, Some(Split::Val), &mut |_| Control::Continue).unwrap();
    let (own, theirs) = (measured.evaluation.get("box_map"), validation.get("box_map"));
    assert!((own - theirs).abs() < 1e-3, "{own} and {theirs}");
}

#[test]
fn a_run_of_boxes_that_is_killed_ends_with_the_same_weights() {
    let bench = drawn(SMALL, 64, &[("train", 8), ("val", 3)]);
    let recipe = Recipe { image_size: 64, ..boxes(3) };
    let whole = bench.fit(&recipe, "whole").unwrap();
    assert!(bench.run(&recipe, "killed", &mut stop_after_epoch(1)).is_err());
    assert_eq!(bench.fit(&recipe, "killed").unwrap().digest, whole.digest);
    // On frozen stages the head alone learns, from maps that are kept.
    let head = bench.fit(&Recipe { strategy: Strategy::Head, epochs: 2, ..recipe }, "head").unwrap();
    assert_eq!(head.kept_stages, head.stages);
}

#[test]
fn objects_are_found_by_anchors_too_and_a_folder_finds_them_again() {
    let bench = drawn("resnet18", 96, &[("train", 24), ("val", 8)]);
    let report = bench.fit(&Recipe { decoder: Decoder::SsdLite, ..boxes(24) }, "anchors").unwrap();
    let validation = &report.outcome.validation;
    println!("{validation:?}");
    assert!(validation.get("box_map_50") > 0.3, "{}", validation.get("box_map_50"));
    assert_eq!((validation.more.labels.len(), validation.more.curves.len(), report.outcome.baseline), (2, 2, 0.0));
    assert!(report.mistakes.iter().all(|mistake| mistake.thumbnail.is_some()), "truth and answer, drawn");
    let verdict = &report.found.verdict[0];
    assert!(verdict.sentence.contains("never a box") && verdict.other == 0.0, "{verdict:?}");

    let out = bench.folder.path().join("out");
    write_folder(&report, &Lineage { name: "ada/anchors".into(), ..Lineage::default() }, &out).unwrap();
    let config = ModelConfig::read(&std::fs::read_to_string(out.join("config.json")).unwrap()).unwrap();
    assert_eq!((config.decoder(), config.num_classes), (Some(("ssdlite", 7)), Some(2)));
    let predictor = Predictor::load(&out, &Device::Cpu).unwrap();
    let sample = &bench.dataset.split("val")[0];
    let answered = predictor.predict(&bench.dataset.encoded(sample).unwrap(), 1).unwrap();
    let Answer::Boxes(said) = &answered.answer else { panic!("boxes") };
    assert_eq!((said.width, said.height), (WIDTH, HEIGHT));
    let items = vec![Said { name: "7.png".into(), content: Content::Answer(answered.clone()) }];
    let results = Answers { model: "ada/anchors@1".into(), items }.write(Format::Coco).unwrap();
    let results: Vec<Value> = serde_json::from_slice(&results).unwrap();
    assert!(results.iter().all(|one| one["image_id"] == 7 && one["bbox"].as_array().unwrap().len() == 4));
    let measured = evaluate(&predictor, &config, &bench.dataset, Some(Split::Val), &mut |_| Control::Continue).unwrap();
    let (own, theirs) = (measured.evaluation.get("box_map"), validation.get("box_map"));
    assert!((own - theirs).abs() < 1e-3, "{own} and {theirs}");
}

#[test]
fn mosaics_and_sides_that_change_repeat_themselves_over_a_resume() {
    let bench = drawn(SMALL, 64, &[("train", 8), ("val", 3)]);
    for decoder in [Decoder::Fcos, Decoder::SsdLite] {
        let plain = Recipe { image_size: 64, decoder, ..boxes(3) };
        let augment = Augment { mosaic: 0.7, multi_scale: 0.5, ..plain.augment.clone() };
        let recipe = Recipe { augment, ..plain.clone() };
        let of = |recipe: &Recipe, name: &str| bench.fit(recipe, &format!("{decoder}-{name}")).unwrap();
        let whole = of(&recipe, "whole");
        assert!(whole.epochs.iter().all(|epoch| epoch.train_loss.is_finite()));
        assert!(bench.run(&recipe, &format!("{decoder}-killed"), &mut stop_after_epoch(1)).is_err());
        assert_eq!(of(&recipe, "killed").digest, whole.digest);
        for without in [Augment { mosaic: 0.0, ..recipe.augment.clone() }, Augment { multi_scale: 0.0, ..recipe.augment.clone() }] {
            let name = format!("{} {}", without.mosaic, without.multi_scale);
            assert_ne!(of(&Recipe { augment: without, ..plain.clone() }, &name).digest, whole.digest, "{name}");
        }
    }
}

#[test]
fn what_cannot_be_had_of_boxes_is_refused() {
    let bench = drawn(SMALL, 64, &[("train", 3)]);
    let refused = |recipe: Recipe| bench.fit(&recipe, "refused").unwrap_err().to_string();
    assert!(refused(Recipe { decoder: Decoder::UNet, ..boxes(1) }).contains("objects are found by fcos"));
    assert!(refused(Recipe { strategy: Strategy::Lora, ..boxes(1) }).contains("strategy"));
    let mosaic = Augment { mosaic: 0.5, ..Augment::default() };
    assert!(refused(Recipe { strategy: Strategy::Head, augment: mosaic, ..boxes(1) }).contains("augment.mosaic"));
    assert!(refused(Recipe { loss: Some(Loss::CrossEntropy), ..boxes(1) }).contains("is not a loss of object-detection"));
}
