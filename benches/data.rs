//! Images per second from encoded bytes to network input, on one thread.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

use divan::Bencher;
use divan::counter::ItemsCount;
use hub::data::transform::Preprocessor;
use hub::data::{Limits, decode, thumbnail};
use hub::domain::config::Preprocessing;
use hub::domain::recipe::Augment;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn main() {
    divan::main();
}

/// A 500x375 photo-like JPEG: smooth areas, edges and grain.
fn photo() -> Vec<u8> {
    let image = RgbImage::from_fn(500, 375, |x, y| {
        let grain = (x * 7_919 + y * 104_729) % 23;
        let edge = if (x / 60 + y / 45) % 2 == 0 { 90 } else { 20 };
        image::Rgb([(x / 3 + grain) as u8, (y / 2 + edge) as u8, (edge + (x + y) / 8 + grain) as u8])
    });
    let mut out = Vec::new();
    let written = JpegEncoder::new_with_quality(&mut out, 90).write_image(&image, 500, 375, ExtendedColorType::Rgb8);
    assert!(written.is_ok());
    out
}

fn preprocessing() -> Preprocessing {
    Preprocessing {
        height: 224,
        width: 224,
        interpolation: "bicubic".into(),
        crop_pct: 0.875,
        crop_mode: "center".into(),
        mean: [0.5; 3],
        std: [0.5; 3],
    }
}

#[divan::bench]
fn decode_only(bencher: Bencher<'_, '_>) {
    let (bytes, limits) = (photo(), Limits::default());
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| decode::decode(divan::black_box(&bytes), &limits));
}

#[divan::bench]
fn eval_only(bencher: Bencher<'_, '_>) {
    let Ok(image) = decode::decode(&photo(), &Limits::default()) else { return };
    let Ok(mut preprocessor) = Preprocessor::new(&preprocessing()) else { return };
    let mut out = vec![0.0; preprocessor.len()];
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| preprocessor.eval(divan::black_box(&image), &mut out).is_ok());
}

#[divan::bench]
fn decode_and_eval(bencher: Bencher<'_, '_>) {
    let (bytes, limits) = (photo(), Limits::default());
    let Ok(mut preprocessor) = Preprocessor::new(&preprocessing()) else { return };
    let mut out = vec![0.0; preprocessor.len()];
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| {
        let image = decode::decode(divan::black_box(&bytes), &limits);
        image.is_ok_and(|image| preprocessor.eval(&image, &mut out).is_ok())
    });
}

#[divan::bench]
fn decode_and_train(bencher: Bencher<'_, '_>) {
    let (bytes, limits) = (photo(), Limits::default());
    let Ok(mut preprocessor) = Preprocessor::new(&preprocessing()) else { return };
    let mut out = vec![0.0; preprocessor.len()];
    let mut random = ChaCha8Rng::seed_from_u64(0);
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| {
        let image = decode::decode(divan::black_box(&bytes), &limits);
        image.is_ok_and(|image| preprocessor.train(&image, &Augment::default(), &mut random, &mut out).is_ok())
    });
}

#[divan::bench]
fn thumbnails(bencher: Bencher<'_, '_>) {
    let (bytes, limits) = (photo(), Limits::default());
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| thumbnail::thumbnail(divan::black_box(&bytes), 96, &limits));
}
