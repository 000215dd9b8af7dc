//! Decoding: what PIL reads we read alike, and what is no honest still image is refused with a reason.

use std::collections::HashMap;
use std::io::Write;

use hub::data::decode::{decode, inspect};
use hub::data::thumbnail::thumbnail;
use hub::data::{Error, Limits};
use image::{ImageFormat, Rgb, RgbImage};
use safetensors::SafeTensors;

use crate::support::*;

const GOLDEN: &[u8] = include_bytes!("../golden/transform.safetensors");

fn tensors(prefix: &str) -> HashMap<String, (Vec<usize>, Vec<u8>)> {
    let golden = SafeTensors::deserialize(GOLDEN).unwrap();
    let found: HashMap<_, _> = golden
        .tensors()
        .into_iter()
        .filter_map(|(name, view)| Some((name.strip_prefix(prefix)?.to_string(), (view.shape().to_vec(), view.data().to_vec()))))
        .collect();
    assert!(!found.is_empty());
    found
}

/// (largest, mean) difference of two images in steps of 255.
fn difference(a: &[u8], b: &[u8]) -> (u8, f64) {
    assert_eq!(a.len(), b.len());
    let steps: Vec<u8> = a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).collect();
    (*steps.iter().max().unwrap(), steps.iter().map(|s| f64::from(*s)).sum::<f64>() / steps.len() as f64)
}

#[test]
fn every_kind_of_image_becomes_the_pixels_pil_sees() {
    let mut pixels = tensors("pixels.");
    for (name, (_, file)) in tensors("file.") {
        let (shape, expected) = pixels.remove(&name).unwrap();
        let decoded = inspect(&file, &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((decoded.image.height() as usize, decoded.image.width() as usize), (shape[0], shape[1]), "{name}");
        let (largest, mean) = difference(decoded.image.as_raw(), &expected);
        // Lossless files must agree to the byte, JPEGs within the rounding of two transforms.
        let (most, most_mean) = if name == "deep.png" {
            (1, 0.6)
        } else if name.ends_with("jpg") {
            (5, 1.0)
        } else {
            (0, 0.0)
        };
        assert!(largest <= most && mean <= most_mean, "{name}: largest {largest}, mean {mean}");
        let expected_channels = match name.as_str() {
            "gray.jpg" | "gray.png" | "bits.png" | "deep.png" => "gray",
            "gray-alpha.png" => "gray+alpha",
            "alpha.png" => "rgba",
            "cmyk.jpg" => "cmyk",
            _ => "rgb",
        };
        assert_eq!(decoded.channels, expected_channels, "{name}");
    }
}

#[test]
fn animations_are_refused() {
    for (name, (_, file)) in tensors("refused.") {
        let refusal = decode(&file, &Limits::default()).unwrap_err();
        assert!(refusal.0.contains("animation"), "{name}: {refusal}");
    }
}

#[test]
fn other_things_under_an_images_name_are_named() {
    for (bytes, named) in [
        (&b"<?xml version='1.0'?><svg onload='alert(1)'/>"[..], "SVG"),
        (b"<!DOCTYPE html><script>alert(1)</script>", "web page"),
        (b"MZ\x90\0\x03\0\0\0", "program"),
        (b"\x7fELF\x02\x01\x01", "program"),
        (b"%PDF-1.7", "PDF"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"PK\x03\x04....", "archive"),
        (b"just text", "something else"),
        (b"", "empty"),
    ] {
        let refusal = decode(bytes, &Limits::default()).unwrap_err();
        assert!(refusal.0.contains(named), "{refusal}");
        let error = Error::from(refusal);
        assert_eq!(error.code(), "image_unreadable");
    }
}

/// A PNG of `side` x `side` zeros: a few kilobytes for gigabytes of pixels.
fn zero_png(side: u32, rows: u32) -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8], data: &[u8]| {
        out.extend((data.len() as u32).to_be_bytes());
        let body = [kind, data].concat();
        out.extend(&body);
        out.extend(crc32fast::hash(&body).to_be_bytes());
    };
    let size = side.to_be_bytes();
    chunk(b"IHDR", &[&size[..], &size[..], &[8, 2, 0, 0, 0]].concat());
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let row = vec![0u8; 1 + 3 * side as usize];
    (0..rows).for_each(|_| packer.write_all(&row).unwrap());
    chunk(b"IDAT", &packer.finish().unwrap());
    chunk(b"IEND", &[]);
    out
}

#[test]
fn bombs_are_refused_by_their_header() {
    for side in [20_000, 60_000] {
        let refusal = decode(&zero_png(side, 64), &Limits::default()).unwrap_err();
        assert!(refusal.0.contains(&format!("{side}x{side} pixels")), "{refusal}");
    }
    // Sides within the limits, pixels beyond the memory.
    let refusal = decode(&zero_png(8_000, 64), &Limits::default()).unwrap_err();
    assert!(refusal.0.contains("64 MiB"), "{refusal}");
    // A JPEG whose header says 65535 x 65535.
    let mut jpeg = encoded(&RgbImage::new(16, 16), ImageFormat::Jpeg);
    let at = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[at + 5..at + 9].copy_from_slice(&[0xff; 4]);
    assert!(decode(&jpeg, &Limits::default()).unwrap_err().0.contains("65535x65535"));
    let mut gif = encoded(&RgbImage::new(4, 4), ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[0xff; 4]);
    assert!(decode(&gif, &Limits::default()).unwrap_err().0.contains("65535x65535"));
}

#[test]
fn images_cut_short_anywhere_are_refused() {
    let image = RgbImage::from_fn(64, 48, |x, y| Rgb([(x * 4) as u8, (y * 5) as u8, (x * y) as u8]));
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP, ImageFormat::Bmp] {
        let whole = encoded(&image, format);
        assert!(decode(&whole, &Limits::default()).is_ok(), "{format:?}");
        for share in [1, 10, 50, 90] {
            let cut = &whole[..whole.len() * share / 100];
            assert!(decode(cut, &Limits::default()).is_err(), "{format:?} cut to {share} %");
        }
    }
}

#[test]
fn flipped_bytes_never_break_the_process() {
    let image = RgbImage::from_fn(24, 16, |x, y| Rgb([(x * 10) as u8, (y * 15) as u8, (x * y) as u8]));
    let mut decoded = 0;
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP, ImageFormat::Bmp] {
        let whole = encoded(&image, format);
        for round in 0..300usize {
            let mut bytes = whole.clone();
            for step in 0..3 {
                let at = (round * 7_919 + step * 104_729) % bytes.len();
                bytes[at] ^= (round * 31 + step * 17 + 1) as u8;
            }
            decoded += usize::from(decode(&bytes, &Limits::default()).is_ok());
        }
    }
    // Some flips only change pixels; if none decoded, the test would prove nothing about them.
    assert!(decoded > 0);
}

#[test]
fn a_few_unreadable_files_are_listed_and_many_are_fatal() {
    let mut set: Vec<(String, Vec<u8>)> =
        (0..40).map(|i| (format!("{}/{i}.png", if i % 2 == 0 { "cat" } else { "dog" }), png(i))).collect();
    set[5].1 = b"<svg/>".to_vec();
    set.push(("dog/x.tiff".into(), b"II*\0\x08\0\0\0".to_vec()));
    let report = check_bytes(&zip_of(&set), &Limits::default()).unwrap();
    assert_eq!(report.samples, 39);
    let listed: Vec<&str> = report.unreadable.iter().map(|p| p.path.as_str()).collect();
    assert_eq!(listed, ["dog/5.png", "dog/x.tiff"]);
    assert_eq!(report.splits[0].per_class, [20, 19]);
    set[6].1.truncate(30);
    let error = check_bytes(&zip_of(&set), &Limits::default()).unwrap_err();
    assert_eq!(error.code(), "too_many_unreadable");
    assert!(error.to_string().starts_with("3 of 41 images"), "{error}");
    assert!(matches!(error, Error::TooManyUnreadable { problems, .. } if problems.len() == 3));
}

#[test]
fn the_report_tells_sizes_channels_and_survives_json() {
    let set = with(&[
        ("cat/wide.jpg", encoded(&RgbImage::new(300, 20), ImageFormat::Jpeg)),
        ("dog/one.bmp", encoded(&RgbImage::new(1, 1), ImageFormat::Bmp)),
    ]);
    let report = check_bytes(&zip_of(&set), &Limits::default()).unwrap();
    assert_eq!((report.sizes["width"].min, report.sizes["width"].median, report.sizes["width"].max), (1, 8, 300));
    assert_eq!((report.sizes["height"].min, report.sizes["height"].max), (1, 20));
    assert_eq!(report.formats["png"], 4);
    assert_eq!(report.channels["rgb"], 6);
    assert_eq!(report.previews.len(), 6);
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<hub::domain::dataset_report::DatasetReport>(&json).unwrap(), report);
}

#[test]
fn thumbnails_are_small_and_keep_the_shape() {
    let wide = encoded(&RgbImage::from_pixel(400, 100, Rgb([200, 30, 30])), ImageFormat::Png);
    let small = thumbnail(&wide, 96, &Limits::default()).unwrap();
    assert_eq!((small.width, small.height, small.media_type), (96, 24, "image/jpeg"));
    let pixel = decode(&small.bytes, &Limits::default()).unwrap().get_pixel(40, 10).0;
    assert!(pixel[0] > 180 && pixel[1] < 60, "{pixel:?}");
    let small = thumbnail(&png(1), 96, &Limits::default()).unwrap();
    assert_eq!((small.width, small.height, small.media_type), (8, 6, "image/png"));
    let line = encoded(&RgbImage::new(3_000, 1), ImageFormat::Png);
    assert_eq!(thumbnail(&line, 64, &Limits::default()).unwrap().height, 1);
}
