//! Videos: the modality. A video is a film that ffmpeg decodes (`film`), a GIF, square frames side by side in one picture (a strip), or a folder
//! with a picture for each frame; of strips and folders the card says so (`video: strips`, `video: frames`), since they are pictures to everyone
//! else.

mod clip;
mod film;
mod found;
mod gif;
mod look;
mod packet;
mod sampling;
mod views;

use std::sync::Arc;

pub use clip::Clip;
pub use film::{INSTALL, Programs, programs};
pub(super) use found::{are_films, arrange, hint};
pub(super) use packet::{of_frames, of_piece};
pub use views::VideoViews;

use super::error::{Error, Refusal, Result};
use super::image::traits;
use super::limits::Limits;
use super::modality::{Look, Modality, Scale, Seen, Trait, Views};
use super::name;
use crate::domain::config::ModelConfig;
use crate::domain::modality::Modality as Name;

/// Lengths are odd from four times the usual on.
const ODD_LENGTH: f32 = 4.0;

#[derive(Debug)]
pub struct Videos;

/// What ffmpeg is asked to read.
const FILMS: [&str; 7] = ["mp4", "m4v", "mov", "webm", "mkv", "avi", "3gp"];
/// Meant as videos, and not read here.
const OTHERS: [&str; 8] = ["mpg", "mpeg", "wmv", "flv", "ogv", "mts", "m2ts", "vob"];

/// Whether the ending is that of a film.
fn is_film(path: &str) -> bool {
    name::extension(path).is_some_and(|ending| FILMS.contains(&ending.as_str()))
}

/// The programs that reading files of these names may take: those of ffmpeg where one is a film, or an archive, which may hold some.
pub fn needed_for<'a>(mut paths: impl Iterator<Item = &'a str>) -> Vec<std::path::PathBuf> {
    match programs().filter(|_| paths.any(|path| is_film(path) || name::is_archive(path))) {
        Some(Programs { ffmpeg, ffprobe }) => [ffmpeg, ffprobe].into_iter().map(|path| path.canonicalize().unwrap_or(path)).collect(),
        None => Vec::new(),
    }
}

/// What of a video lies between these seconds, as an item of its own; a piece of a piece is one of the same file.
pub fn piece(start: f64, end: f64, video: &[u8]) -> Vec<u8> {
    match packet::Packet::read(video) {
        Ok(packet::Packet::Piece(from, to, file)) => of_piece(from + start, (from + end).min(to), file),
        _ => of_piece(start, end, video),
    }
}

impl Modality for Videos {
    fn name(&self) -> Name {
        Name::Video
    }

    /// Folders of frames have no ending; GIFs and strips are taken where their set is one of videos.
    fn is_item(&self, path: &str) -> bool {
        let other = |ending: &str| OTHERS.contains(&ending) || super::image::Images.is_readable(&format!("x.{ending}"));
        name::extension(path).is_none_or(|ending| FILMS.contains(&ending.as_str()) || other(&ending))
    }

    fn is_readable(&self, path: &str) -> bool {
        is_film(path)
    }

    fn inspect(&self, bytes: &[u8], limits: &Limits, preview: bool) -> std::result::Result<Seen, Refusal> {
        let clip = Clip::open(bytes, limits)?;
        let middles = look::spread(look::FRAMES, clip.frames);
        let shown = if preview { look::spread(look::SHOWN, clip.frames) } else { Vec::new() };
        let all: Vec<usize> = middles.iter().chain(&shown).copied().collect();
        let mut frames = clip.take(&all, limits)?;
        let shown = frames.split_off(middles.len());
        let middle = frames.get(middles.len() / 2).ok_or_else(|| Refusal("it has no frames".into()))?;
        let (mut traits, _) = traits::of_image(middle);
        let length = |name, value: f64| Trait { name, value: value as f32, scale: Scale::Ratio { odd: ODD_LENGTH } };
        traits.push(length("frames", clip.frames as f64));
        traits.extend(clip.seconds.map(|seconds| length("seconds", seconds)));
        let mut sizes = vec![("width", middle.width()), ("height", middle.height()), ("frames", clip.frames as u32)];
        sizes.extend(clip.seconds.map(|seconds| ("milliseconds", (1e3 * seconds).round() as u32)));
        Ok(Seen {
            traits,
            blank: frames.iter().all(|frame| traits::of_image(frame).1),
            language: "",
            sizes,
            channels: "rgb",
            format: clip.format,
            look: look::of_frames(&frames, clip.frames),
            preview: preview.then(|| look::preview(&shown)).flatten(),
        })
    }

    fn seconds(&self, bytes: &[u8], limits: &Limits) -> std::result::Result<f64, Refusal> {
        let no_times = || Refusal("its frames have no times, so that it has no pieces of so many seconds".into());
        Clip::open(bytes, limits)?.seconds.ok_or_else(no_times)
    }

    fn are_alike(&self, a: &Look, b: &Look) -> bool {
        look::are_alike(a, b)
    }

    fn unreadable(&self, path: String, refusal: Refusal) -> Error {
        Error::Video { path, reason: refusal.0 }
    }

    fn views(&self, config: &ModelConfig) -> Result<Arc<dyn Views>> {
        Ok(Arc::new(VideoViews::new(config.preprocessing(), config.temporal().unwrap_or_default())?))
    }
}
