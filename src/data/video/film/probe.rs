//! What ffprobe finds in a file: its streams, and when each frame of the first picture is shown. Headers may lie about durations and rates; the
//! frames that are there do not.

use super::{Film, child};
use crate::data::error::Refusal;

/// It says at most: a line for each frame of a long film.
pub const MOST_BYTES: u64 = 128 << 20;
/// What it is asked for of streams and their packets.
const ENTRIES: &str = "stream=index,codec_type,avg_frame_rate:stream_disposition=attached_pic:packet=stream_index,pts_time";
/// Frames a second where nothing tells when frames are shown.
const RATE: f64 = 25.0;

/// What it wrote, and its last words.
pub struct Found {
    pub said: Vec<u8>,
    pub words: String,
}

/// When each frame is shown, in seconds from the first, rising.
///
/// # Errors
/// In words: it is damaged, or has no picture.
pub fn times(film: &Film) -> Result<Vec<f64>, Refusal> {
    let found = film.probe(&["-select_streams", "v", "-show_entries", ENTRIES, "-of", "compact"])?;
    let said = String::from_utf8_lossy(&found.said);
    let Some((index, rate)) = picture(&said) else { return Err(without_picture(film, &found)) };
    let times = read_times(&times_of(&said, index), rate);
    if times.is_empty() {
        return Err(Refusal(format!("it has no frames ({})", child::shown(&found.words))));
    }
    Ok(times)
}

/// The fields of a line, `packet|stream_index=0|pts_time=0.04`, if it is of this kind.
fn fields<'a>(line: &'a str, kind: &str) -> Option<impl Iterator<Item = (&'a str, &'a str)> + Clone> {
    let rest = line.trim().strip_prefix(kind)?.strip_prefix('|')?;
    Some(rest.split('|').filter_map(|field| field.split_once('=')))
}

/// The first stream of moving pictures: its number, and frames a second, as it says.
fn picture(said: &str) -> Option<(&str, f64)> {
    for fields in said.lines().filter_map(|line| fields(line, "stream")) {
        let find = |key: &str| fields.clone().find(|(known, _)| *known == key).map(|(_, value)| value);
        let moves = find("codec_type") == Some("video") && find("disposition:attached_pic") != Some("1");
        if let Some(index) = find("index").filter(|_| moves) {
            return Some((index, find("avg_frame_rate").and_then(ratio).unwrap_or(RATE)));
        }
    }
    None
}

/// What each packet of a stream says, in the order in which they are decoded.
fn times_of<'a>(said: &'a str, index: &str) -> Vec<&'a str> {
    let time = |line: &'a str| {
        let fields = fields(line, "packet")?;
        let is_its = fields.clone().any(|field| field == ("stream_index", index));
        is_its.then(|| fields.clone().find(|(key, _)| *key == "pts_time").map_or("", |(_, value)| value))
    };
    said.lines().filter_map(time).collect()
}

/// Why there is nothing to see.
fn without_picture(film: &Film, found: &Found) -> Refusal {
    let streams = film.probe(&["-show_entries", "stream=codec_type", "-of", "compact"]);
    match streams {
        Ok(all) if String::from_utf8_lossy(&all.said).lines().any(|line| line.contains("codec_type=audio")) => {
            Refusal("it is sound without a picture".into())
        }
        Ok(_) => Refusal(format!("it is damaged or cut short: nothing in it can be played ({})", child::shown(&found.words))),
        Err(refusal) => refusal,
    }
}

/// `30000/1001`
fn ratio(text: &str) -> Option<f64> {
    let (above, below) = text.split_once('/')?;
    let ratio = above.parse::<f64>().ok()? / below.parse::<f64>().ok()?;
    (ratio.is_finite() && ratio > 0.0).then_some(ratio)
}

/// In the order in which packets are shown, from the first on.
fn read_times(said: &[&str], rate: f64) -> Vec<f64> {
    let mut times: Vec<f64> = said.iter().filter_map(|time| time.parse().ok().filter(|time: &f64| time.is_finite())).collect();
    // Without times, or with only some: as often as the stream says.
    if times.len() < said.len() {
        return (0..said.len()).map(|at| at as f64 / rate).collect();
    }
    times.sort_by(f64::total_cmp);
    let first = times.first().copied().unwrap_or(0.0);
    times.iter_mut().for_each(|time| *time -= first);
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_put_into_the_order_they_are_shown_in() {
        assert_eq!(read_times(&["1.0", "3.0", "2.0"], 25.0), [0.0, 1.0, 2.0]);
        assert_eq!(read_times(&["N/A", "N/A"], 4.0), [0.0, 0.25]);
        assert_eq!(read_times(&[], 4.0), Vec::<f64>::new());
    }

    #[test]
    fn the_first_moving_picture_is_taken_and_no_cover() {
        let said = "packet|stream_index=0|pts_time=0.000000\npacket|stream_index=1|pts_time=0.500000|side_data|\n\n\
                    packet|stream_index=1|pts_time=0.250000\npacket|stream_index=1\n\
                    stream|index=0|codec_type=video|avg_frame_rate=0/0|disposition:attached_pic=1\n\
                    stream|index=1|codec_type=video|width=8|avg_frame_rate=30000/1001|disposition:attached_pic=0\n";
        let (index, rate) = picture(said).unwrap();
        assert!(index == "1" && (rate - 29.97).abs() < 1e-3);
        assert_eq!(times_of(said, index), ["0.500000", "0.250000", ""]);
        assert_eq!(picture("stream|index=0|codec_type=video|avg_frame_rate=0/0|disposition:attached_pic=0"), Some(("0", RATE)));
        assert_eq!(picture("stream|index=0|codec_type=video|disposition:attached_pic=1\n"), None);
        assert_eq!((picture(""), picture("streams|index=0|codec_type=video")), (None, None));
    }
}
