//! Decoding: what PIL reads we read alike, and what is no honest still image is refused with a reason.

use std::collections::HashMap;
use std::io::{Cursor, Write};

use hub::data::decode::{decode, inspect};
use hub::data::thumbnail::thumbnail;
use hub::data::{Error, Limits};
use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, Rgb, RgbImage};
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

/// 24 x 16 pixels of (10 x, 15 y, x y), written by libjxl without loss.
const JXL: &[u8] = include_bytes!("fixtures/lossless.jxl");

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
fn formats_without_loss_give_their_pixels() {
    let image = RgbImage::from_fn(24, 16, |x, y| Rgb([(x * 10) as u8, (y * 15) as u8, (x * y) as u8]));
    let written = FORMATS.into_iter().filter(|format| *format != ImageFormat::Jpeg).map(|format| encoded(&image, format));
    for bytes in written.chain([JXL.to_vec()]) {
        let decoded = inspect(&bytes, &Limits::default()).unwrap();
        let same = decoded.image == image;
        // A palette of 256 colours cannot hold them all.
        assert!(same || decoded.format == "gif", "{}", decoded.format);
    }
    let deep = DynamicImage::ImageLuma16(ImageBuffer::from_fn(16, 16, |x, y| Luma([((16 * y + x) * 257) as u16])));
    for format in [ImageFormat::Png, ImageFormat::Tiff, ImageFormat::Pnm] {
        let mut out = Cursor::new(Vec::new());
        deep.write_to(&mut out, format).unwrap();
        let decoded = inspect(&out.into_inner(), &Limits::default()).unwrap();
        assert_eq!(decoded.channels, "gray");
        assert!(decoded.image.pixels().zip(0..=255).all(|(pixel, gray)| pixel.0 == [gray; 3]), "{format:?}");
    }
}

/// A transparent pixel keeps its colour, as it does in a PNG; a frame smaller than the picture stands in the first colour.
#[test]
fn what_is_transparent_in_a_gif_keeps_its_colour() {
    let palette = [10, 20, 30, 200, 100, 50, 0, 0, 0, 1, 1, 1];
    let mut bytes = Vec::new();
    let mut encoder = gif::Encoder::new(&mut bytes, 3, 2, &palette).unwrap();
    let frame = gif::Frame { left: 1, top: 1, width: 2, height: 1, buffer: vec![1, 0].into(), transparent: Some(1), ..Default::default() };
    encoder.write_frame(&frame).unwrap();
    drop(encoder);
    let image = decode(&bytes, &Limits::default()).unwrap();
    let (one, other) = ([10, 20, 30], [200, 100, 50]);
    assert_eq!(image.pixels().map(|pixel| pixel.0).collect::<Vec<_>>(), [other, other, other, other, other, one]);
}

#[test]
fn photos_of_many_megapixels_are_read() {
    let image = RgbImage::from_fn(8_064, 6_048, |x, y| Rgb([(x >> 5) as u8, (y >> 5) as u8, 90]));
    let decoded = inspect(&encoded(&image, ImageFormat::Jpeg), &Limits::default()).unwrap();
    assert_eq!(decoded.image.dimensions(), (8_064, 6_048));
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
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "CR3"),
        (b"\0\0\0\x18ftypisom\0\0\x02\0isommp42", "video"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51\0\x2f", "JPEG 2000"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "LFS"),
        (&[&[0; 128][..], b"DICM", &[0; 99]].concat(), "DICOM"),
        (b"8BPS\0\x01", "PSD"),
        (b"II*\0\x10\0\0\0CR\x02\0", "CR2"),
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
    // Another limit, which the refusal names.
    let limits = Limits { image_pixels: 1_000_000, ..Limits::default() };
    let refusal = decode(&zero_png(1_001, 64), &limits).unwrap_err();
    assert!(refusal.0.contains("at most 1000000 are taken (max_image_pixels"), "{refusal}");
    // Pixels within the limit, of eight bytes each.
    let mut deep = zero_png(900, 64);
    deep[24..26].copy_from_slice(&[16, 6]);
    let sum = crc32fast::hash(&deep[12..29]).to_be_bytes();
    deep[29..33].copy_from_slice(&sum);
    let refusal = decode(&deep, &limits).unwrap_err();
    assert!(refusal.0.contains("many bits, 6 MiB in all; at most 3 MiB"), "{refusal}");
    // A JPEG whose header says 65535 x 65535.
    let mut jpeg = encoded(&RgbImage::new(16, 16), ImageFormat::Jpeg);
    let at = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[at + 5..at + 9].copy_from_slice(&[0xff; 4]);
    assert!(decode(&jpeg, &Limits::default()).unwrap_err().0.contains("65535x65535"));
    let mut gif = encoded(&RgbImage::new(4, 4), ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[0xff; 4]);
    assert!(decode(&gif, &Limits::default()).unwrap_err().0.contains("65535x65535"));
}

const FORMATS: [ImageFormat; 8] = [
    ImageFormat::Jpeg,
    ImageFormat::Png,
    ImageFormat::Gif,
    ImageFormat::WebP,
    ImageFormat::Bmp,
    ImageFormat::Tiff,
    ImageFormat::Pnm,
    ImageFormat::Qoi,
];

#[test]
fn images_cut_short_anywhere_are_refused() {
    let image = RgbImage::from_fn(64, 48, |x, y| Rgb([(x * 4) as u8, (y * 5) as u8, (x * y) as u8]));
    for format in FORMATS {
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
    for whole in FORMATS.map(|format| encoded(&image, format)).into_iter().chain([JXL.to_vec()]) {
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
