//! Videos without ffmpeg: strips, folders of frames and GIFs become the same clips; what is none is refused by name, and pictures stay pictures.

use std::path::Path;
use std::sync::Arc;

use hub::data::batch::{Loader, Options, clip, in_view, plain, shuffled};
use hub::data::modality::Input;
use hub::data::video::{Clip, Videos};
use hub::data::{Dataset, Limits, Source, check, modality::Modality};
use hub::domain::config::ModelConfig;
use hub::domain::recipe::Augment;
use image::{Rgb, RgbImage};

use crate::support::encoded;

/// Frame `at` of a video in which a bright square moves to the right, or to the left.
fn frame(at: u32, rightwards: bool, shade: u8) -> RgbImage {
    let place = if rightwards { at } else { 3 - at };
    RgbImage::from_fn(
        16,
        16,
        |x, y| if x / 4 == place && (6..10).contains(&y) { Rgb([250, 240, shade]) } else { Rgb([shade, 20, (y * 9) as u8]) },
    )
}

fn png(image: &RgbImage) -> Vec<u8> {
    encoded(image, image::ImageFormat::Png)
}

fn strip(rightwards: bool, shade: u8) -> Vec<u8> {
    png(&RgbImage::from_fn(64, 16, |x, y| *frame(x / 16, rightwards, shade).get_pixel(x % 16, y)))
}

fn gif(rightwards: bool, shade: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
    for at in 0..4 {
        let image = image::DynamicImage::ImageRgb8(frame(at, rightwards, shade)).into_rgba8();
        encoder.encode_frame(image::Frame::from_parts(image, 0, 0, image::Delay::from_numer_denom_ms(100, 1))).unwrap();
    }
    drop(encoder);
    bytes
}

fn write(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn said(root: &Path, how: &str) {
    write(root, "README.md", format!("---\nvideo: {how}\n---\n").as_bytes());
}

fn strips(root: &Path) {
    for shade in 0..4u8 {
        write(root, &format!("train/right/{shade}.png"), &strip(true, 20 * shade));
        write(root, &format!("train/left/{shade}.png"), &strip(false, 20 * shade));
    }
}

fn open(root: &Path) -> Dataset {
    Dataset::open(&Source::Folder(root.into()), &Limits::default()).unwrap()
}

fn options(temporal: &str) -> Options {
    let text = format!(
        r#"{{"architecture": "resnet18", "temporal": {temporal}, "pretrained_cfg": {{"input_size": [3, 16, 16], "crop_pct": 1.0}}}}"#
    );
    let config = ModelConfig::read(&text).unwrap();
    Options { batch_size: 4, threads: 2, seed: 1, views: Videos.views(&config).unwrap(), augment: Augment::default(), drop_last: false }
}

fn clips(dataset: &Arc<Dataset>, plan: Vec<hub::data::batch::Item>, options: &Options) -> Vec<Vec<f32>> {
    let batches = Loader::new(dataset.clone(), plan, options).unwrap().map(Result::unwrap);
    batches
        .flat_map(|batch| {
            assert!(batch.skipped.is_empty(), "{:?}", batch.skipped);
            let Input::Clips { values, frames, height, width } = batch.input else { panic!("no clips") };
            values.chunks_exact(frames * height * width * 3).map(<[f32]>::to_vec).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn strips_are_videos_where_the_card_says_so_and_pictures_elsewhere() {
    let root = tempfile::tempdir().unwrap();
    strips(root.path());
    assert_eq!(open(root.path()).modality.name().as_str(), "image", "nobody guesses");
    said(root.path(), "strips");
    let report = check(&Source::Folder(root.path().into()), &Limits::default(), &mut |_, _| {}).unwrap();
    assert_eq!((report.modality.as_str(), report.samples, report.formats["strip"]), ("video", 8, 8));
    assert_eq!((report.sizes["width"].max, report.sizes["frames"].max), (16, 4));
    assert!(!report.previews.is_empty() && report.previews.iter().all(|preview| preview.media_type == "image/jpeg"));
    said(root.path(), "reels");
    let odd = open(root.path());
    assert!(odd.warnings.iter().any(|warning| warning.contains("`video: reels`")) && odd.modality.name().as_str() == "image");
}

#[test]
fn strips_folders_and_gifs_of_the_same_frames_are_the_same_clips() {
    let [by_strip, by_folder, by_gif] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    for (class, rightwards) in [("right", true), ("left", false)] {
        write(by_strip.path(), &format!("train/{class}/a.png"), &strip(rightwards, 0));
        write(by_gif.path(), &format!("train/{class}/a.gif"), &gif(rightwards, 0));
        for at in 0..4 {
            write(by_folder.path(), &format!("train/{class}/a/{}.png", at + 8), &png(&frame(at, rightwards, 0)));
        }
    }
    said(by_strip.path(), "strips");
    said(by_folder.path(), "frames");
    let temporal = options(r#"{"frames": 4}"#);
    let of = |root: &Path| {
        let dataset = Arc::new(open(root));
        assert_eq!((dataset.modality.name().as_str(), dataset.samples().len()), ("video", 2));
        clips(&dataset, plain(dataset.samples()), &temporal)
    };
    let (strips, folders, gifs) = (of(by_strip.path()), of(by_folder.path()), of(by_gif.path()));
    assert_eq!(strips, folders);
    assert_ne!(strips[0], strips[1], "left is not right");
    // A palette has 256 colours, which is nearly enough.
    let far = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>() / a.len() as f32;
    assert!(far(&strips[0], &gifs[0]) < 0.1 && far(&strips[0], &gifs[1]) > 0.15);
}

#[test]
fn clips_at_other_places_are_other_views_and_random_ones_follow_from_the_seed() {
    let root = tempfile::tempdir().unwrap();
    strips(root.path());
    said(root.path(), "strips");
    let dataset = Arc::new(open(root.path()));
    let options = options(r#"{"frames": 2, "clips": 3}"#);
    assert_eq!(options.views.clips(), 3);
    let samples = dataset.samples();
    let middle = clips(&dataset, plain(samples), &options);
    let other = clips(&dataset, in_view(samples, clip(1)), &options);
    assert_ne!(middle, other);
    let train = |threads| clips(&dataset, shuffled(samples, 1, 4), &Options { threads, ..options.clone() });
    assert_eq!(train(1), train(3));
    // What is random about a clip is the same in all of its frames: nothing moves but what does.
    let still = Options {
        augment: Augment { crop_min_area: 0.5, ..Augment::default() },
        ..self::options(r#"{"frames": 2, "sampling": "dense", "stride": 4}"#)
    };
    let one = root.path().join("still");
    for class in ["a", "b"] {
        write(&one, &format!("train/{class}/a.png"), &png(&RgbImage::from_fn(32, 16, |x, y| *frame(0, true, 9).get_pixel(x % 16, y))));
    }
    said(&one, "strips");
    let dataset = Arc::new(open(&one));
    for clip in clips(&dataset, shuffled(dataset.samples(), 3, 2), &still) {
        let (first, second) = clip.split_at(clip.len() / 2);
        assert_eq!(first, second);
    }
}

#[test]
fn what_is_no_video_is_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    strips(root.path());
    said(root.path(), "strips");
    write(root.path(), "train/right/odd.png", &png(&RgbImage::new(30, 16)));
    write(root.path(), "train/right/empty.png", b"");
    write(root.path(), "train/right/list.png", b"#EXTM3U\nhttp://127.0.0.1/secret\n");
    let limits = Limits { unreadable_share: 0.5, ..Limits::default() };
    let report = check(&Source::Folder(root.path().into()), &limits, &mut |_, _| {}).unwrap();
    let why = |name: &str| report.unreadable.iter().find(|problem| problem.path.ends_with(name)).unwrap().reason.clone();
    assert!(why("odd.png").contains("30x16") && why("list.png").contains("list of other files"));
    assert!(why("empty.png").contains("empty"));
    let inspect = |bytes: &[u8]| Videos.inspect(bytes, &Limits::default(), true);
    let one = inspect(&png(&frame(0, true, 0))).unwrap();
    assert_eq!(one.sizes[2], ("frames", 1), "a video of one frame is one");
    let whole = gif(true, 0);
    assert!(inspect(&whole).is_ok() && inspect(&whole[..whole.len() / 2]).is_err());
    if hub::data::video::programs().is_none() {
        let mp4 = [b"\0\0\0\x18ftypmp42".as_slice(), &[0; 64]].concat();
        assert!(inspect(&mp4).unwrap_err().0.contains("apt-get install ffmpeg"));
    }
}

/// With ffmpeg, where there is one.
#[test]
fn films_are_decoded_where_ffmpeg_is_there_and_broken_ones_are_refused() {
    let Some(programs) = hub::data::video::programs() else { return };
    let root = tempfile::tempdir().unwrap();
    let make = |name: &str, arguments: &[&str]| {
        let path = root.path().join(name);
        let mut all = vec!["-nostdin", "-v", "error", "-y"];
        all.extend(arguments);
        let path_text = path.to_str().unwrap().to_owned();
        all.push(&path_text);
        assert!(std::process::Command::new(&programs.ffmpeg).args(&all).status().unwrap().success(), "{name}");
        std::fs::read(path).unwrap()
    };
    let source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=10:duration=2"];
    let inspect = |bytes: &[u8]| Videos.inspect(bytes, &Limits::default(), true);
    let film = make("a.mp4", &[&source[..], &["-c:v", "mpeg4"]].concat());
    let seen = inspect(&film).unwrap();
    assert_eq!(
        (seen.format, seen.sizes.as_slice()),
        ("mp4", &[("width", 64), ("height", 48), ("frames", 20), ("milliseconds", 2_000)][..])
    );
    for (name, format) in [("a.mkv", "webm"), ("a.avi", "avi"), ("a.mov", "mp4")] {
        let bytes = make(name, &[&source[..], &["-c:v", "mpeg4"]].concat());
        assert_eq!((inspect(&bytes).unwrap().format, inspect(&bytes).unwrap().sizes[2].1), (format, 20), "{name}");
    }
    let sound = make("sound.mp4", &["-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac"]);
    assert!(inspect(&sound).unwrap_err().0.contains("sound without a picture"));
    assert!(inspect(&film[..film.len() / 3]).is_err(), "its end, which says what is where, is gone");
    let listed = [b"\0\0\0\x18ftypmp42\0\0\0\0".as_slice(), b"#EXTM3U\nfile:///etc/passwd\n"].concat();
    assert!(inspect(&listed).is_err());
    // Frames that are not evenly spaced are counted as they are.
    let odd = make("odd.mkv", &[&source[..], &["-vf", "select='lt(n,5)+eq(n,19)'", "-fps_mode", "passthrough", "-c:v", "mpeg4"]].concat());
    assert_eq!(inspect(&odd).unwrap().sizes[2].1, 6);
    assert!((Videos.seconds(&film, &Limits::default()).unwrap() - 2.0).abs() < 1e-6);
    let piece = hub::data::video::piece(0.5, 1.0, &film);
    assert_eq!(inspect(&piece).unwrap().sizes[2].1, 5);
    assert!(inspect(&hub::data::video::piece(9.0, 10.0, &film)).unwrap_err().0.contains("2.00 s long"));
    let within = hub::data::video::piece(0.2, 9.0, &piece);
    assert_eq!(inspect(&within).unwrap().sizes[2].1, 3, "a piece of a piece ends where that does");
    assert!((Videos.seconds(&within, &Limits::default()).unwrap() - 0.3).abs() < 1e-6);
    // All frames, small: in one go as in two, and those of a piece at their times.
    let limits = Limits::default();
    let whole = Clip::open(&film, &limits).unwrap();
    let all = whole.small(0..20, [6, 8], &limits).unwrap();
    let halves = [whole.small(0..11, [6, 8], &limits).unwrap(), whole.small(11..20, [6, 8], &limits).unwrap()].concat();
    assert!(all.len() == 20 * 6 * 8 * 3 && all == halves && all[..144] != all[19 * 144..]);
    assert_eq!((whole.seconds_at(5), whole.seconds_at(20)), (Some(0.5), None));
    let part = Clip::open(&piece, &limits).unwrap();
    assert_eq!(part.small(0..5, [6, 8], &limits).unwrap(), all[5 * 144..10 * 144]);
    assert!((part.seconds_at(1).unwrap() - 0.1).abs() < 1e-9);
}

#[test]
fn all_frames_of_strips_and_gifs_are_squeezed_to_one_size() {
    let limits = Limits::default();
    let (strip, gif) = (strip(true, 9), gif(true, 9));
    let (by_strip, by_gif) = (Clip::open(&strip, &limits).unwrap(), Clip::open(&gif, &limits).unwrap());
    let small = by_strip.small(0..4, [4, 8], &limits).unwrap();
    assert_eq!(small.len(), 4 * 4 * 8 * 3);
    let apart = |other: &[u8]| small.iter().zip(other).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    assert!(apart(&by_gif.small(0..4, [4, 8], &limits).unwrap()) < 40, "but for the colours of a GIF");
    let last = by_strip.small(3..4, [4, 8], &limits).unwrap();
    assert_eq!(last, small[3 * 96..]);
    assert_eq!((by_strip.seconds_at(1), by_gif.seconds_at(1)), (None, Some(0.1)));
}
