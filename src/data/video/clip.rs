//! An encoded video, opened: how many frames it has, and those that are wanted as pixels.

use std::ops::Range;

use image::RgbImage;
use image::imageops::{FilterType, resize};

use super::film::{Film, Kind};
use super::gif;
use super::packet::Packet;
use crate::data::error::Refusal;
use crate::data::image::decode;
use crate::data::limits::Limits;

/// Frames of one folder, or of one strip.
const MOST_FRAMES: usize = 10_000;

/// Frames of a GIF that are held as they are, where all are wanted small.
const GIF_FRAMES: usize = 64;

/// An open video, or a piece of one.
pub struct Clip<'a> {
    source: Source<'a>,
    /// The first frame of the piece.
    first: usize,
    /// How many it has.
    pub frames: usize,
    /// How long it is, where frames are shown for a time.
    pub seconds: Option<f64>,
    /// `mp4`, `gif`, `strip` ...
    pub format: &'static str,
}

enum Source<'a> {
    /// Square frames side by side.
    Strip(RgbImage),
    /// A picture each.
    Files(Vec<&'a [u8]>),
    Gif(&'a [u8], gif::Shown),
    Film(Film),
}

impl Source<'_> {
    /// When each frame begins, in seconds, and when the last ends.
    fn times(&self) -> Option<(&[f64], f64)> {
        match self {
            Source::Strip(_) | Source::Files(_) => None,
            Source::Gif(_, shown) => Some((&shown.times, shown.end)),
            Source::Film(film) => Some((&film.times, film.seconds())),
        }
    }
}

impl Clip<'_> {
    /// # Errors
    /// In words, why it is no video that is read.
    pub fn open<'a>(item: &'a [u8], limits: &Limits) -> Result<Clip<'a>, Refusal> {
        match Packet::read(item)? {
            Packet::Frames(files) => {
                let frames = bounded(files.len())?;
                Ok(Clip { source: Source::Files(files), first: 0, frames, seconds: None, format: "frames" })
            }
            Packet::Piece(start, end, file) => open_file(file, limits)?.piece(start, end),
            Packet::File(file) => open_file(file, limits),
        }
    }

    /// What of it lies between these seconds.
    fn piece(mut self, start: f64, end: f64) -> Result<Self, Refusal> {
        let Some((times, whole)) = self.source.times() else {
            return Err(Refusal("a piece of it is named in seconds, and its frames have no times".into()));
        };
        if start > 0.0 && start >= whole {
            return Err(Refusal(format!("the piece begins at {start} s, and it is {whole:.2} s long")));
        }
        // The frame that is seen at the start, and those that begin before the end.
        let first = times.partition_point(|time| *time <= start + 1e-6).saturating_sub(1);
        let behind = times.partition_point(|time| *time < end - 1e-6).max(first + 1);
        (self.first, self.frames, self.seconds) = (first, behind - first, Some(end.min(whole) - start));
        Ok(self)
    }

    /// These frames of it, in this order; the same may come more than once.
    ///
    /// # Errors
    /// In words, which of them cannot be decoded.
    pub fn take(&self, at: &[usize], limits: &Limits) -> Result<Vec<RgbImage>, Refusal> {
        let mut wanted: Vec<usize> = at.iter().map(|frame| self.first + (*frame).min(self.frames.saturating_sub(1))).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let found = self.source.take(&wanted, limits)?;
        let of = |frame: &usize| {
            let place = wanted.partition_point(|other| *other < self.first + (*frame).min(self.frames.saturating_sub(1)));
            found.get(place).or(found.last()).cloned().ok_or_else(|| Refusal("no picture can be decoded of it".into()))
        };
        at.iter().map(of).collect()
    }

    /// These of its frames, each squeezed to so many pixels (`[height, width]`, bicubic): their RGB values, one frame behind the other.
    ///
    /// # Errors
    /// In words, which of them cannot be decoded.
    pub fn small(&self, frames: Range<usize>, [height, width]: [usize; 2], limits: &Limits) -> Result<Vec<u8>, Refusal> {
        if let Source::Film(film) = &self.source {
            return film.small(self.first + frames.start..self.first + frames.end.min(self.frames), [height, width]);
        }
        // A GIF is decoded from its first frame each time; of others one picture at a time is held.
        let at_once = if matches!(self.source, Source::Gif(..)) { GIF_FRAMES } else { 1 };
        let (all, mut values) = (frames.collect::<Vec<_>>(), Vec::new());
        for some in all.chunks(at_once) {
            let seen = self.take(some, limits)?;
            let small = seen.iter().map(|image| resize(image, width as u32, height as u32, FilterType::CatmullRom));
            small.for_each(|image| values.extend_from_slice(image.as_raw()));
        }
        Ok(values)
    }

    /// When a frame of it is shown, in seconds from its first; `None` where frames have no times.
    pub fn seconds_at(&self, frame: usize) -> Option<f64> {
        let (times, _) = self.source.times()?;
        Some(times.get(self.first + frame)? - times.get(self.first)?)
    }

    /// Starts of pieces that lie so many seconds apart, with how long each is.
    ///
    /// # Errors
    /// Its frames have no times.
    pub fn every(&self, seconds: f64) -> Result<Vec<(f64, f64)>, Refusal> {
        let Some((_, whole)) = self.source.times() else {
            return Err(Refusal("its frames have no times, so that it cannot be looked at every so many seconds".into()));
        };
        let count = ((whole / seconds).ceil() as usize).clamp(1, MOST_FRAMES);
        let piece = |at: usize| (at as f64 * seconds, ((at + 1) as f64 * seconds).min(whole));
        Ok((0..count).map(piece).filter(|(start, end)| end > start).collect())
    }
}

impl Source<'_> {
    fn take(&self, at: &[usize], limits: &Limits) -> Result<Vec<RgbImage>, Refusal> {
        match self {
            Source::Strip(strip) => {
                let side = strip.height();
                let frame = |at: &usize| image::imageops::crop_imm(strip, *at as u32 * side, 0, side, side).to_image();
                Ok(at.iter().map(frame).collect())
            }
            Source::Files(files) => {
                let frame = |at: &usize| {
                    let file = files.get(*at).copied().unwrap_or_default();
                    decode::decode(file, limits).map_err(|refusal| Refusal(format!("its frame {}: {}", at + 1, refusal.0)))
                };
                at.iter().map(frame).collect()
            }
            Source::Gif(bytes, _) => gif::take(bytes, at, limits),
            Source::Film(film) => film.take(at, limits),
        }
    }
}

fn bounded(frames: usize) -> Result<usize, Refusal> {
    match frames {
        0 => Err(Refusal("it has no frames".into())),
        many if many > MOST_FRAMES => Err(Refusal(format!("it has {many} frames; at most {MOST_FRAMES} are taken, so cut it into pieces"))),
        some => Ok(some),
    }
}

fn open_file<'a>(file: &'a [u8], limits: &Limits) -> Result<Clip<'a>, Refusal> {
    if let Some(kind) = Kind::of(file) {
        let film = Film::open(file, kind)?;
        let (frames, seconds) = (film.times.len(), film.seconds());
        return Ok(Clip { source: Source::Film(film), first: 0, frames, seconds: Some(seconds), format: kind.as_str() });
    }
    if file.starts_with(b"GIF8") {
        let shown = gif::look(file, limits)?;
        let (frames, seconds) = (shown.times.len(), shown.end);
        return Ok(Clip { source: Source::Gif(file, shown), first: 0, frames, seconds: Some(seconds), format: "gif" });
    }
    strip(file, limits)
}

/// A picture whose frames are as wide as it is high.
fn strip<'a>(file: &[u8], limits: &Limits) -> Result<Clip<'a>, Refusal> {
    let is_list = [&b"#EXTM3U"[..], b"ffconcat", b"concat:", b"<?xml", b"<MPD"].iter().any(|start| file.starts_with(start));
    if is_list {
        return Err(Refusal("it is a list of other files and no video; send the video itself".into()));
    }
    let no_video = |refusal: Refusal| {
        Refusal(format!("{}; videos are mp4, webm, mkv, avi, mov, GIF, or square frames side by side in a picture", refusal.0))
    };
    let image = decode::decode(file, limits).map_err(no_video)?;
    let (width, height) = image.dimensions();
    if height == 0 || !width.is_multiple_of(height) {
        return Err(Refusal(format!(
            "it is {width}x{height} pixels, which are not square frames side by side: as a strip it would be a whole number of times as wide as high"
        )));
    }
    let frames = bounded((width / height) as usize)?;
    Ok(Clip { source: Source::Strip(image), first: 0, frames, seconds: None, format: "strip" })
}

#[cfg(test)]
mod tests {
    use image::codecs::png::PngEncoder;
    use image::{ExtendedColorType, ImageEncoder, Rgb};

    use super::super::packet;
    use super::*;

    fn png(image: &RgbImage) -> Vec<u8> {
        let mut bytes = Vec::new();
        PngEncoder::new(&mut bytes).write_image(image, image.width(), image.height(), ExtendedColorType::Rgb8).unwrap();
        bytes
    }

    fn reds(frames: &[RgbImage]) -> Vec<u8> {
        frames.iter().map(|frame| frame.get_pixel(1, 1).0[0]).collect()
    }

    #[test]
    fn strips_and_folders_have_the_same_frames() {
        let limits = Limits::default();
        let strip = png(&RgbImage::from_fn(16, 4, |x, _| Rgb([10 * (x / 4) as u8, 0, 0])));
        let clip = Clip::open(&strip, &limits).unwrap();
        assert_eq!((clip.frames, clip.format, clip.seconds), (4, "strip", None));
        assert_eq!(reds(&clip.take(&[3, 0, 0, 2], &limits).unwrap()), [30, 0, 0, 20]);
        let files: Vec<Vec<u8>> = (0..4).map(|at| png(&RgbImage::from_pixel(4, 4, Rgb([10 * at, 0, 0])))).collect();
        let folder = packet::of_frames(files.iter().map(Vec::as_slice));
        let clip = Clip::open(&folder, &limits).unwrap();
        assert_eq!(reds(&clip.take(&[3, 0, 0, 2, 9], &limits).unwrap()), [30, 0, 0, 20, 30]);
    }

    #[test]
    fn what_is_no_video_is_refused_in_words() {
        let refused = |item: &[u8]| Clip::open(item, &Limits::default()).err().unwrap().0;
        assert!(refused(&packet::of_frames([].into_iter())).contains("no frames"));
        assert!(refused(&png(&RgbImage::new(10, 4))).contains("10x4"));
        assert!(refused(b"#EXTM3U\nhttp://169.254.169.254/x.ts").contains("list of other files"));
        assert!(refused(b"hello there").contains("videos are mp4"));
        let broken = packet::of_frames([&b"no picture"[..]].into_iter());
        let clip = Clip::open(&broken, &Limits::default()).unwrap();
        assert!(clip.take(&[0], &Limits::default()).unwrap_err().0.contains("frame 1"));
        let piece = packet::of_piece(0.0, 1.0, &png(&RgbImage::new(8, 4)));
        assert!(refused(&piece).contains("no times"));
    }
}
