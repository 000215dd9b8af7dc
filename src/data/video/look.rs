//! What a video looks like: the looks of three of its frames. Copies are alike in all of them; two clips that share a scene are not.

use std::hash::{DefaultHasher, Hash, Hasher};

use image::{RgbImage, imageops};

use crate::data::image::{look, thumbnail};
use crate::data::modality::{Look, Picture};

/// Frames of a video that are looked at, and which of them has the sketch.
pub const FRAMES: usize = 3;
const MIDDLE: usize = 1;
/// Frames of a preview, and their height in pixels.
pub const SHOWN: usize = 4;
const SHOWN_HEIGHT: u32 = 64;
/// No frame of a preview is wider, in heights.
const SHOWN_WIDTH: u32 = 2;

/// Places of so many frames in a video of `count`: the middles of as many parts.
pub fn spread(frames: usize, count: usize) -> Vec<usize> {
    (0..frames).map(|part| ((2 * part + 1) * count / (2 * frames)).min(count.saturating_sub(1))).collect()
}

/// Of [`FRAMES`] frames of a video of so many.
pub fn of_frames(frames: &[RgbImage], count: usize) -> Look {
    let looks: Vec<Look> = frames.iter().map(look::of_image).collect();
    let mut content = DefaultHasher::new();
    count.hash(&mut content);
    looks.iter().for_each(|look| look.content.hash(&mut content));
    let keys = looks.get(MIDDLE).and_then(|look| look.keys);
    let detail = looks.iter().flat_map(|look| look.detail.iter().copied()).collect();
    Look { content: content.finish(), keys, detail }
}

/// Whether they are alike in each of the frames.
pub fn are_alike(a: &Look, b: &Look) -> bool {
    let each = a.detail.len() / FRAMES;
    if each == 0 || a.detail.len() != b.detail.len() || !a.detail.len().is_multiple_of(FRAMES) {
        return false;
    }
    let one = |part: &[u8]| Look { detail: part.into(), ..Look::default() };
    a.detail.chunks_exact(each).zip(b.detail.chunks_exact(each)).all(|(a, b)| look::are_alike(&one(a), &one(b)))
}

/// Frames side by side in one small picture.
pub fn preview(frames: &[RgbImage]) -> Option<Picture> {
    let first = frames.first()?;
    let width = (SHOWN_HEIGHT * first.width() / first.height().max(1)).clamp(1, SHOWN_WIDTH * SHOWN_HEIGHT);
    let mut all = RgbImage::new(width * frames.len() as u32, SHOWN_HEIGHT);
    for (at, frame) in frames.iter().enumerate() {
        let small = imageops::thumbnail(frame, width, SHOWN_HEIGHT);
        imageops::replace(&mut all, &small, i64::from(width) * at as i64, 0);
    }
    thumbnail::as_jpeg(&all).ok()
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn picture(seed: u32) -> RgbImage {
        RgbImage::from_fn(48, 48, |x, y| {
            Rgb([((x * (seed + 3) + y * 5) % 256) as u8, ((x * y + seed * 40) % 256) as u8, (seed * 30) as u8])
        })
    }

    #[test]
    fn videos_are_alike_in_all_their_frames_or_not_at_all() {
        let of = |seeds: [u32; 3]| of_frames(&seeds.map(picture), 8);
        assert!(are_alike(&of([1, 2, 3]), &of([1, 2, 3])));
        assert!(!are_alike(&of([1, 2, 3]), &of([1, 2, 5])), "another end");
        assert_ne!(of([1, 2, 3]).content, of([3, 2, 1]).content);
        assert!(!are_alike(&Look::default(), &Look::default()));
    }

    #[test]
    fn previews_show_frames_side_by_side() {
        let shown = preview(&[picture(1), picture(2), picture(3), picture(4)]).unwrap();
        assert_eq!((shown.media_type, shown.width, shown.height), ("image/jpeg", 256, 64));
        assert_eq!(spread(4, 8), [1, 3, 5, 7]);
        assert_eq!((spread(3, 1), spread(3, 2)), (vec![0, 0, 0], vec![0, 1, 1]));
    }
}
