//! Clips over a base of images whose channels are shifted along the frames (`video.pool=tsm`).

use hub::domain::modality::Modality;
use hub::domain::recipe::{FramePool, Video};

use super::*;

const FRAMES: u32 = 4;

/// Strips of frames on which a bright disc is there in the first half, or in the second: the same frames, in another order.
fn halves() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let (data, mut random) = (folder.path().join("data"), ChaCha8Rng::seed_from_u64(5));
    for (split, count) in [("train", 40), ("val", 20)] {
        for (first, class) in ["comes", "goes"].into_iter().enumerate() {
            let place = data.join(split).join(class);
            std::fs::create_dir_all(&place).unwrap();
            for at in 0..count {
                let mut grey = |low: u8, high: u8| Rgb([random.random_range(low..high); 3]);
                let (dark, light) = (grey(0, 60), grey(190, 255));
                let strip = RgbImage::from_fn(FRAMES * SIDE, SIDE, |x, y| {
                    let is_there = usize::from(x / SIDE < FRAMES / 2) == first;
                    let (x, y) = ((x % SIDE) as i32 - 16, y as i32 - 16);
                    if is_there && x * x + y * y < 64 { light } else { dark }
                });
                strip.save(place.join(format!("{at:03}.png"))).unwrap();
            }
        }
    }
    std::fs::write(data.join("README.md"), "---\nvideo: strips\n---\n").unwrap();
    std::fs::write(folder.path().join("base.safetensors"), base(SMALL, 32).as_slice()).unwrap();
    let config = format!(
        r#"{{"architecture": "{SMALL}", "num_classes": 7, "pretrained_cfg": {{"input_size": [3, 32, 32], "crop_pct": 1.0, "interpolation": "bilinear"}}}}"#
    );
    let dataset = Dataset::open(&Source::Folder(data), &Limits::default()).unwrap();
    Bench { config: ModelConfig::read(&config).unwrap(), dataset: Arc::new(dataset), folder }
}

fn seen(pool: FramePool, recipe: Recipe) -> Recipe {
    Recipe { modality: Modality::Video, video: Video { frames: FRAMES as usize, pool: Some(pool), ..Video::default() }, ..recipe }
}

#[test]
fn frames_that_see_each_other_by_shifts_know_an_order_that_their_mean_does_not() {
    let bench = halves();
    let shifted = bench.fit(&seen(FramePool::Tsm, head(30)), "tsm").unwrap();
    let blind = bench.fit(&seen(FramePool::Mean, head(30)), "mean").unwrap();
    let top1 = |report: &Report| report.outcome.validation.get("top1");
    println!("shifted {:.3}, mean {:.3}", top1(&shifted), top1(&blind));
    assert!(top1(&shifted) >= 0.9 && top1(&blind) < 0.8, "{:?} {:?}", shifted.outcome.validation, blind.outcome.validation);

    let out = bench.folder.path().join("out");
    let lineage = Lineage { name: "ada/discs".into(), base: "ada/tiny@1".into(), dataset: "ada/halves@1".into(), ..Lineage::default() };
    write_folder(&shifted, &lineage, &out).unwrap();
    let config = ModelConfig::read(&std::fs::read_to_string(out.join("config.json")).unwrap()).unwrap();
    assert_eq!((config.extra["temporal"]["pool"].as_str(), config.num_features), (Some("tsm"), Some(shifted_features())));
    let predictor = Predictor::load(&out, &Device::Cpu).unwrap();
    let val = bench.dataset.split("val");
    let clips: Vec<_> = val.iter().map(|sample| bench.dataset.encoded(sample).unwrap()).collect();
    let answers: Vec<_> = predictor.predict_batch(&clips, 1).unwrap().into_iter().map(Result::unwrap).collect();
    let is_right = |(answer, sample): &(&hub::domain::prediction::Answered, &hub::data::Sample)| {
        Some(answer.answer.classes()[0].index as u32) == sample.target.class()
    };
    let right = answers.iter().zip(val.iter()).filter(is_right).count();
    assert_eq!(right as f64 / val.len() as f64, top1(&shifted), "the published folder shifts as the run did");
}

/// As wide as those of one frame.
fn shifted_features() -> usize {
    architectures::get(SMALL).unwrap().num_features
}

#[test]
fn shifted_stages_learn_above_frozen_ones_and_repeat_themselves_over_a_resume() {
    let bench = halves();
    let recipe = seen(FramePool::Tsm, Recipe { frozen_stages: 2, ..full(3) });
    let whole = bench.fit(&recipe, "whole").unwrap();
    assert!(matches!(bench.run(&recipe, "cut", &mut stop_after_epoch(1)), Err(Error::Cancelled)));
    assert_eq!(bench.fit(&recipe, "cut").unwrap().digest, whole.digest);
    assert!(whole.epochs.iter().all(|epoch| epoch.train_loss.is_finite()), "{:?}", whole.epochs);
    // What frozen stages answer hangs on the shift, too.
    let mean = bench.fit(&Recipe { video: seen(FramePool::Mean, full(1)).video, ..recipe.clone() }, "mean").unwrap();
    assert_ne!(mean.epochs[0].train_loss, whole.epochs[0].train_loss);
}
