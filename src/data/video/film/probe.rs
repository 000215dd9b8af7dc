//! What ffprobe finds in a file: its streams, and when each frame of the first picture is shown. Headers may lie about durations and rates; the
//! frames that are there do not.

use serde_json::Value;

use super::{Film, child};
use crate::data::error::Refusal;

/// It says at most: a line for each frame of a long film.
pub const MOST_BYTES: u64 = 64 << 20;
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
    let streams = film.probe(&["-show_entries", "stream=codec_type,avg_frame_rate:stream_disposition=attached_pic", "-of", "json"])?;
    let rate = rate_of_picture(&streams)?;
    let packets = film.probe(&["-select_streams", "V:0", "-show_entries", "packet=pts_time", "-of", "csv=p=0"])?;
    let times = read_times(&String::from_utf8_lossy(&packets.said), rate);
    if times.is_empty() {
        return Err(Refusal(format!("it has no frames ({})", child::shown(&packets.words))));
    }
    Ok(times)
}

/// Frames a second of the first stream of moving pictures, as it says.
fn rate_of_picture(found: &Found) -> Result<f64, Refusal> {
    let said: Value = serde_json::from_slice(&found.said).unwrap_or(Value::Null);
    let streams = said["streams"].as_array().map_or(&[][..], Vec::as_slice);
    let is_picture = |stream: &&Value| stream["codec_type"] == "video" && stream["disposition"]["attached_pic"] != 1;
    match streams.iter().find(is_picture) {
        Some(stream) => Ok(stream["avg_frame_rate"].as_str().and_then(ratio).unwrap_or(RATE)),
        None if streams.iter().any(|stream| stream["codec_type"] == "audio") => Err(Refusal("it is sound without a picture".into())),
        None => Err(Refusal(format!("it is damaged or cut short: nothing in it can be played ({})", child::shown(&found.words)))),
    }
}

/// `30000/1001`
fn ratio(text: &str) -> Option<f64> {
    let (above, below) = text.split_once('/')?;
    let ratio = above.parse::<f64>().ok()? / below.parse::<f64>().ok()?;
    (ratio.is_finite() && ratio > 0.0).then_some(ratio)
}

/// A line for each packet, in the order in which they are decoded.
fn read_times(text: &str, rate: f64) -> Vec<f64> {
    let lines: Vec<Option<f64>> =
        text.lines().map(|line| line.trim().trim_end_matches(',').parse().ok().filter(|time: &f64| time.is_finite())).collect();
    let mut times: Vec<f64> = lines.iter().copied().flatten().collect();
    // Without times, or with only some: as often as the stream says.
    if times.len() < lines.len() {
        return (0..lines.len()).map(|at| at as f64 / rate).collect();
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
        assert_eq!(read_times("1.0\n3.0\n2.0,\n", 25.0), [0.0, 1.0, 2.0]);
        assert_eq!(read_times("N/A\nN/A\n", 4.0), [0.0, 0.25]);
        assert_eq!(read_times("", 4.0), Vec::<f64>::new());
    }

    #[test]
    fn sound_and_covers_are_no_pictures() {
        let rate = |said: &str| rate_of_picture(&Found { said: said.into(), words: "moov atom not found\n".into() });
        assert_eq!(rate(r#"{"streams": [{"codec_type": "audio"}, {"codec_type": "video", "avg_frame_rate": "30/1"}]}"#), Ok(30.0));
        assert_eq!(rate(r#"{"streams": [{"codec_type": "video", "avg_frame_rate": "0/0"}]}"#), Ok(RATE));
        let cover = r#"{"streams": [{"codec_type": "audio"}, {"codec_type": "video", "disposition": {"attached_pic": 1}}]}"#;
        assert!(rate(cover).unwrap_err().0.contains("sound"));
        assert!(rate("{}").unwrap_err().0.contains("moov atom not found"));
    }
}
