//! JPEG XL, by a decoder that counts what it allocates.

use std::io::Cursor;

use image::RgbImage;
use jxl_oxide::{AllocTracker, EnumColourEncoding, JxlImage, RenderingIntent};

use super::decode::{Pixels, Refusal, admit, animated};
use crate::data::limits::Limits;

/// What the decoder may hold for each pixel that is admitted: three planes of floats in two stages.
const BYTES_PER_PIXEL: u64 = 24;
const LEAST_BYTES: u64 = 64 << 20;

pub fn decode(bytes: &[u8], limits: &Limits) -> Pixels {
    let most = (limits.image_pixels.saturating_mul(BYTES_PER_PIXEL)).max(LEAST_BYTES);
    let tracker = AllocTracker::with_limit(usize::try_from(most).unwrap_or(usize::MAX));
    let mut uninit = JxlImage::builder().alloc_tracker(tracker).build_uninit();
    let head = bytes.len().min(1 << 16);
    uninit.feed_bytes(&bytes[..head]).map_err(damaged)?;
    // The header alone is read first: its size is judged before a frame is.
    let header = match uninit.try_init().map_err(damaged)? {
        jxl_oxide::InitializeResult::Initialized(image) => image,
        jxl_oxide::InitializeResult::NeedMoreData(_) => return Err(damaged("its header ends early")),
    };
    let (width, height) = (header.width(), header.height());
    let room = admit(width, height, u64::from(width) * u64::from(height) * 4, limits)?;
    if header.image_header().metadata.animation.is_some() {
        return Err(animated());
    }
    drop(header);
    let tracker = AllocTracker::with_limit(usize::try_from(most).unwrap_or(usize::MAX));
    let mut image = JxlImage::builder().alloc_tracker(tracker).read(Cursor::new(bytes)).map_err(damaged)?;
    if !image.is_loading_done() || image.num_loaded_keyframes() == 0 {
        return Err(damaged("it ends early"));
    }
    if image.image_header().metadata.xyb_encoded {
        image.request_color_encoding(EnumColourEncoding::srgb(RenderingIntent::Relative));
    }
    let render = image.render_frame(0).map_err(damaged)?;
    let mut stream = render.stream_no_alpha();
    let (width, height, planes) = (stream.width(), stream.height(), stream.channels());
    let mut samples = vec![0u8; width as usize * height as usize * planes as usize];
    stream.write_to_buffer(&mut samples);
    let (pixels, channels) = match planes {
        1 => (samples.iter().flat_map(|gray| [*gray; 3]).collect(), "gray"),
        3 => (samples, "rgb"),
        _ => return Err(Refusal(format!("it is a JPEG XL picture of {planes} inks; export it as RGB"))),
    };
    let image = RgbImage::from_raw(width, height, pixels).ok_or_else(|| damaged("pixels are missing"))?;
    Ok((image, channels, room))
}

fn damaged(error: impl std::fmt::Display) -> Refusal {
    Refusal(format!("it is a JPEG XL picture that is damaged, cut short or larger than it may be ({error})"))
}
