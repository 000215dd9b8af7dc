//! Films: what ffmpeg decodes. It runs in a process of its own with an empty environment, bounded in time, memory and what it may say; it is told
//! the one demuxer that fits the first bytes and may open files alone, so that playlists, references and addresses in a file lead nowhere.

mod child;
mod known;
mod probe;

use std::io::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use image::RgbImage;
use tempfile::NamedTempFile;

use self::child::{Ended, run};
use self::probe::Found;
use crate::data::error::Refusal;
use crate::data::limits::Limits;
use crate::domain::digest::Digest;

/// Where the programs may lie.
const PLACES: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/bin", "/opt/homebrew/bin"];
/// What to do where they do not.
pub const INSTALL: &str = "it takes ffmpeg to read it, which is not on this machine; install it (`apt-get install ffmpeg`), or send the frames as pictures or GIF";

/// A longer video is to be cut, in seconds.
const LONGEST_SECONDS: f64 = 3.0 * 3600.0;
/// Frames that are decoded in one go from the first that is wanted to the last; those farther apart are sought one by one.
const RUN: usize = 900;
/// The shorter side that frames are brought down to, in pixels: no network here takes more.
const SIDE: u32 = 640;

/// The two programs.
#[derive(Debug, Clone)]
pub struct Programs {
    pub ffmpeg: PathBuf,
    pub ffprobe: PathBuf,
}

/// Where ffmpeg is, if it is.
pub fn programs() -> Option<Programs> {
    let within = |place: &&str| Programs { ffmpeg: [*place, "ffmpeg"].iter().collect(), ffprobe: [*place, "ffprobe"].iter().collect() };
    PLACES.iter().map(within).find(|programs| programs.ffmpeg.is_file() && programs.ffprobe.is_file())
}

/// A kind of file that is handed to ffmpeg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Mp4,
    Matroska,
    Avi,
}

impl Kind {
    /// By its first bytes, never by its name.
    pub fn of(bytes: &[u8]) -> Option<Kind> {
        match bytes {
            [_, _, _, _, b'f', b't', b'y', b'p', ..]
            | [_, _, _, _, b'm', b'o', b'o', b'v', ..]
            | [_, _, _, _, b'm', b'd', b'a', b't', ..] => Some(Kind::Mp4),
            [0x1a, 0x45, 0xdf, 0xa3, ..] => Some(Kind::Matroska),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => Some(Kind::Avi),
            _ => None,
        }
    }

    /// As reports count it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Mp4 => "mp4",
            Kind::Matroska => "webm",
            Kind::Avi => "avi",
        }
    }

    /// ffmpeg's word for its demuxer.
    fn demuxer(self) -> &'static str {
        match self {
            Kind::Mp4 => "mov",
            Kind::Matroska => "matroska",
            Kind::Avi => "avi",
        }
    }
}

/// A video that was looked into.
#[derive(Debug)]
pub struct Film {
    programs: Programs,
    file: NamedTempFile,
    kind: Kind,
    /// When each frame is shown, in seconds from the first, rising.
    pub times: Arc<[f64]>,
}

impl Film {
    /// # Errors
    /// In words: ffmpeg is missing, it has no picture, none that can be read, or is too long.
    pub fn open(bytes: &[u8], kind: Kind) -> Result<Film, Refusal> {
        let programs = programs().ok_or_else(|| Refusal(INSTALL.into()))?;
        let no_room = |e: std::io::Error| Refusal(format!("there is no room to open it in ({e})"));
        let mut file = NamedTempFile::new().map_err(no_room)?;
        file.write_all(bytes).and_then(|()| file.flush()).map_err(no_room)?;
        let (mut film, content) = (Film { programs, file, kind, times: Arc::default() }, Digest::of(bytes));
        film.times = match known::find(&content) {
            Some(times) => times,
            None => {
                let times: Arc<[f64]> = probe::times(&film)?.into();
                known::keep(content, &times);
                times
            }
        };
        match film.seconds() {
            long if long > LONGEST_SECONDS => Err(Refusal(format!(
                "it is {:.1} hours long, and {} hours at most are read; cut it, or name pieces of shorter files in a table (`file,start,end,label`)",
                long / 3600.0,
                LONGEST_SECONDS / 3600.0
            ))),
            _ => Ok(film),
        }
    }

    /// How long it is: to the end of its last frame, if that is shown as long as the others are on average.
    pub fn seconds(&self) -> f64 {
        let last = self.times.last().copied().unwrap_or(0.0);
        last + last / self.times.len().saturating_sub(1).max(1) as f64
    }

    /// What every call says first: nothing is asked, and only this file is read, as what it is.
    fn reading(&self) -> Vec<String> {
        let path = format!("file:{}", self.file.path().display());
        ["-protocol_whitelist", "file", "-f", self.kind.demuxer(), "-i"].map(str::to_owned).into_iter().chain([path]).collect()
    }

    /// These frames, which rise and are each there once.
    ///
    /// # Errors
    /// In words, what ffmpeg says where not one can be decoded.
    pub fn take(&self, at: &[usize], limits: &Limits) -> Result<Vec<RgbImage>, Refusal> {
        let (Some(first), Some(last)) = (at.first(), at.last()) else { return Ok(Vec::new()) };
        let found = if last - first < RUN { self.decode(at, limits)? } else { self.seek(at, limits)? };
        let Some(end) = found.last().cloned() else { return Err(Refusal("no picture can be decoded of it".into())) };
        // A file that is cut short ends before it says so.
        let missing = at.len().saturating_sub(found.len());
        Ok(found.into_iter().chain(std::iter::repeat_n(end, missing)).take(at.len()).collect())
    }

    /// These frames, each squeezed to so many pixels (`[height, width]`, bicubic): their RGB values, one frame behind the other. Of a file that is cut
    /// short the last frame stands for the rest.
    ///
    /// # Errors
    /// In words, what ffmpeg says where not one can be decoded.
    pub fn small(&self, frames: Range<usize>, [height, width]: [usize; 2]) -> Result<Vec<u8>, Refusal> {
        let mut arguments = self.decoding_from(frames.start);
        arguments.extend(["-map", "0:V:0", "-an", "-sn", "-dn", "-vf"].map(str::to_owned));
        arguments.extend([format!("scale={width}:{height}"), "-frames:v".into(), frames.len().to_string()]);
        arguments.extend(["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"].map(str::to_owned));
        let each = 3 * height * width;
        let Ended { mut said, words } = run(&self.programs.ffmpeg, &arguments, (each * frames.len()) as u64)?;
        said.truncate(said.len() / each * each);
        let Some(last) = said.len().checked_sub(each).map(|from| said[from..].to_vec()) else {
            return Err(Refusal(format!("no picture can be decoded of it ({})", child::shown(&words))));
        };
        while said.len() < each * frames.len() {
            said.extend_from_slice(&last);
        }
        Ok(said)
    }

    /// What a call says that decodes from this frame on.
    fn decoding_from(&self, first: usize) -> Vec<String> {
        let mut arguments: Vec<String> = ["-nostdin", "-v", "error", "-threads", "1"].map(str::to_owned).to_vec();
        if first > 0 {
            // Between the frame before and the first that is wanted.
            let from = f64::midpoint(self.times[first - 1], self.times[first]);
            arguments.extend(["-ss".into(), format!("{from:.6}")]);
        }
        arguments.extend(self.reading());
        arguments
    }

    fn seek(&self, at: &[usize], limits: &Limits) -> Result<Vec<RgbImage>, Refusal> {
        let mut found: Vec<RgbImage> = Vec::with_capacity(at.len());
        for frame in at {
            match self.decode(&[*frame], limits) {
                Ok(one) => found.extend(one),
                // Behind the place where it is damaged the rest is as the last that was seen.
                Err(refusal) if found.is_empty() => return Err(refusal),
                Err(_) => break,
            }
        }
        Ok(found)
    }

    /// Those of a run, in one go.
    fn decode(&self, at: &[usize], limits: &Limits) -> Result<Vec<RgbImage>, Refusal> {
        let first = at.first().copied().unwrap_or(0);
        let mut arguments = self.decoding_from(first);
        let wanted = at.iter().map(|frame| format!("eq(n,{})", frame - first)).collect::<Vec<_>>().join("+");
        let smaller = format!("scale=w='if(gte(iw,ih),-2,min({SIDE},iw))':h='if(gte(iw,ih),min({SIDE},ih),-2)'");
        let of_output = ["-map", "0:V:0", "-an", "-sn", "-dn", "-vf"].map(str::to_owned);
        arguments.extend(of_output.into_iter().chain([format!("select='{wanted}',{smaller}"), "-frames:v".into(), at.len().to_string()]));
        arguments.extend(["-fps_mode", "passthrough", "-f", "image2pipe", "-c:v", "ppm", "pipe:1"].map(str::to_owned));
        // Wider than high, too: no side is more than some shorter ones.
        let most = (at.len() as u64).saturating_mul(limits.image_bytes().min(64 << 20));
        let Ended { said, words } = run(&self.programs.ffmpeg, &arguments, most)?;
        let found = pictures(&said);
        if found.is_empty() {
            return Err(Refusal(format!("no picture can be decoded of it ({})", child::shown(&words))));
        }
        Ok(found)
    }

    fn probe(&self, entries: &[&str]) -> Result<Found, Refusal> {
        let before = ["-v", "error"].map(str::to_owned);
        let arguments: Vec<String> =
            before.into_iter().chain(entries.iter().map(|word| (*word).to_owned())).chain(self.reading()).collect();
        let Ended { said, words } = run(&self.programs.ffprobe, &arguments, probe::MOST_BYTES)?;
        Ok(Found { said, words })
    }
}

/// The whole pictures of a row of PPMs.
fn pictures(mut bytes: &[u8]) -> Vec<RgbImage> {
    let mut found = Vec::new();
    while let Some((image, rest)) = picture(bytes) {
        found.push(image);
        bytes = rest;
    }
    found
}

fn picture(bytes: &[u8]) -> Option<(RgbImage, &[u8])> {
    let mut rest = bytes.strip_prefix(b"P6")?;
    let mut numbers = [0u32; 3];
    for number in &mut numbers {
        rest = rest.trim_ascii_start();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        *number = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
        rest = &rest[digits..];
    }
    let [width, height, 255] = numbers else { return None };
    let pixels = rest.get(1..)?;
    let (image, rest) = pixels.split_at_checked(3 * width as usize * height as usize)?;
    Some((RgbImage::from_raw(width, height, image.to_vec())?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_pictures_is_taken_apart_and_half_a_one_is_none() {
        let one = [b"P6\n2 1\n255\n".as_slice(), &[1, 2, 3, 4, 5, 6]].concat();
        let row = [one.as_slice(), &one, &one[..one.len() - 1]].concat();
        let found = pictures(&row);
        assert_eq!((found.len(), found[1].dimensions(), found[1].get_pixel(1, 0).0), (2, (2, 1), [4, 5, 6]));
        assert!(pictures(b"P6\n99999 99999\n255\n").is_empty() && pictures(b"GIF89a").is_empty());
    }

    #[test]
    fn playlists_and_lists_of_files_are_no_films() {
        for text in
            ["#EXTM3U\nhttp://x/a.ts\n", "ffconcat version 1.0\nfile 'http://x'\n", "concat:/etc/passwd|x", "<?xml version=\"1.0\"?><MPD/>"]
        {
            assert_eq!(Kind::of(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Kind::of(b"\0\0\0\x18ftypmp42"), Some(Kind::Mp4));
        assert_eq!(Kind::of(&[0x1a, 0x45, 0xdf, 0xa3, 1]), Some(Kind::Matroska));
        assert_eq!(Kind::of(b"RIFF\0\0\0\0AVI LIST"), Some(Kind::Avi));
    }
}
