//! Network input against goldens that timm, torchvision and PIL made (`tests/golden/make_transform.py`).

use hub::data::Limits;
use hub::data::decode::decode;
use hub::data::transform::{eval, train};
use hub::domain::config::Preprocessing;
use hub::domain::recipe::Augment;
use image::{ImageFormat, Rgb, RgbImage};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use safetensors::SafeTensors;

use crate::support::encoded;

const GOLDEN: &[u8] = include_bytes!("../golden/transform.safetensors");

pub fn preprocessing(height: usize, width: usize) -> Preprocessing {
    Preprocessing {
        height,
        width,
        interpolation: "bicubic".into(),
        crop_pct: 0.875,
        crop_mode: "center".into(),
        mean: [0.5; 3],
        std: [0.5; 3],
    }
}

#[test]
fn eval_views_are_those_of_timm() {
    let golden = SafeTensors::deserialize(GOLDEN).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(GOLDEN).unwrap();
    let cases = metadata.metadata().clone().unwrap();
    assert_eq!(cases.len(), 17);
    for (name, settings) in &cases {
        let settings: serde_json::Value = serde_json::from_str(settings).unwrap();
        let input = golden.tensor(&format!("transform.{name}.input")).unwrap();
        let output = golden.tensor(&format!("transform.{name}.output")).unwrap();
        let image = RgbImage::from_raw(input.shape()[1] as u32, input.shape()[0] as u32, input.data().to_vec()).unwrap();
        let preprocessing = Preprocessing {
            interpolation: settings["interpolation"].as_str().unwrap().into(),
            crop_pct: settings["crop_pct"].as_f64().unwrap(),
            crop_mode: settings["crop_mode"].as_str().unwrap().into(),
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            ..preprocessing(settings["size"][0].as_u64().unwrap() as usize, settings["size"][1].as_u64().unwrap() as usize)
        };
        let view = eval(&image, &preprocessing).unwrap();
        assert_eq!(view.len(), output.data().len(), "{name}");
        let plane = view.len() / 3;
        let steps: Vec<f32> = view
            .iter()
            .zip(output.data())
            .enumerate()
            .map(|(i, (value, byte))| {
                let (mean, std) = (preprocessing.mean[i / plane], preprocessing.std[i / plane]);
                (value - (f32::from(*byte) / 255.0 - mean) / std).abs() * std * 255.0
            })
            .collect();
        let largest = steps.iter().copied().fold(0.0, f32::max);
        let mean = steps.iter().sum::<f32>() / steps.len() as f32;
        // Never more than one step of 255. On tall images new versions of PIL resize down before across, which rounds
        // differently at a fifth of the values; otherwise a hundredth differs.
        let most = if image.height() > image.width() { 0.25 } else { 0.01 };
        assert!(largest <= 1.01 && mean <= most, "{name}: largest {largest}, mean {mean}");
    }
}

#[test]
fn the_centre_of_extreme_shapes_is_taken() {
    for (width, height) in [(1, 1), (1, 500), (8_192, 1), (3, 2)] {
        let view = eval(&RgbImage::from_pixel(width, height, Rgb([255, 0, 128])), &preprocessing(16, 16)).unwrap();
        assert!(view[..256].iter().all(|v| (v - 1.0).abs() < 0.02), "{width}x{height}");
        assert!(view[256..512].iter().all(|v| (v + 1.0).abs() < 0.02), "{width}x{height}");
    }
}

#[test]
fn training_views_are_random_seeded_and_of_the_image() {
    let image = RgbImage::from_fn(80, 60, |x, y| Rgb([(x * 3) as u8, (y * 4) as u8, 90]));
    let augment = Augment { crop_min_area: 0.3, ..Augment::default() };
    let view = |seed| train(&image, &preprocessing(24, 24), &augment, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
    assert_eq!(view(1), view(1));
    assert_ne!(view(1), view(2));
    let blue = 90.0 / 127.5 - 1.0;
    let mirrored = (0..64).filter(|seed| {
        let view = view(*seed);
        assert!(view[2 * 576..].iter().all(|v| (v - blue).abs() < 0.02));
        // Red grows to the right unless the view is mirrored, and always by at least the smallest crop's share.
        let (left, right) = (view[12 * 24], view[12 * 24 + 23]);
        assert!((left - right).abs() > 0.4, "{left} {right}");
        left > right
    });
    let mirrored = mirrored.count();
    assert!((16..=48).contains(&mirrored), "{mirrored} of 64 mirrored");
}

#[test]
fn augmentation_switched_off_is_the_eval_view() {
    let image = RgbImage::from_fn(50, 40, |x, y| Rgb([(x * 5) as u8, (y * 6) as u8, (x + y) as u8]));
    let augment = Augment { crop_min_area: 1.0, horizontal_flip: false, ..Augment::default() };
    let view = train(&image, &preprocessing(24, 24), &augment, &mut ChaCha8Rng::seed_from_u64(3)).unwrap();
    assert_eq!(view, eval(&image, &preprocessing(24, 24)).unwrap());
}

#[test]
fn preprocessing_that_makes_no_sense_is_named() {
    let image = decode(&encoded(&RgbImage::new(9, 9), ImageFormat::Png), &Limits::default()).unwrap();
    let bad = |change: fn(&mut Preprocessing), named: &str| {
        let mut preprocessing = preprocessing(16, 16);
        change(&mut preprocessing);
        let error = eval(&image, &preprocessing).unwrap_err();
        assert_eq!(error.code(), "bad_preprocessing");
        assert!(error.to_string().contains(named), "{error}");
    };
    bad(|p| p.interpolation = "magic".into(), "magic");
    bad(|p| p.crop_pct = f64::NAN, "crop_pct");
    bad(|p| p.crop_pct = 0.0, "crop_pct");
    bad(|p| p.std[1] = 0.0, "std");
    bad(|p| p.mean[2] = f32::NAN, "mean");
    bad(|p| p.height = 0, "input size");
    bad(|p| p.width = 1 << 20, "input size");
}
