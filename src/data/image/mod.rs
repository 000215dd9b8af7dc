//! Images: the modality.

pub mod answered;
mod augment;
pub mod decode;
pub(in crate::data) mod draw;
mod filter;
mod format;
mod frame;
mod gif;
mod jpeg;
mod jxl;
mod letters;
pub(in crate::data) mod look;
pub(in crate::data) mod raster;
mod room;
pub mod thumbnail;
mod tiff;
pub(in crate::data) mod traits;
pub mod transform;
mod views;
pub mod windows;

use std::sync::Arc;

pub use format::LFS_POINTER;
pub use views::ImageViews;

use super::error::{Error, Refusal, Result};
use super::limits::Limits;
use super::modality::{Look, Modality, Seen, Views};
use super::name;
use crate::domain::config::ModelConfig;
use crate::domain::modality::Modality as Name;

/// Longer side of a preview, in pixels.
const PREVIEW_SIDE: u32 = 96;

#[derive(Debug)]
pub struct Images;

impl Modality for Images {
    fn name(&self) -> Name {
        Name::Image
    }

    /// A name without an ending could be one too.
    fn is_item(&self, path: &str) -> bool {
        match name::extension(path).as_deref() {
            None => true,
            // Not read by us, but meant as images: they are reported as unreadable instead of silently left out.
            Some(
                "heic" | "heif" | "avif" | "svg" | "ico" | "jp2" | "j2k" | "jpx" | "jxr" | "psd" | "dcm" | "dicom" | "tga" | "exr" | "hdr",
            ) => true,
            Some("cr2" | "cr3" | "nef" | "arw" | "dng" | "orf" | "rw2" | "raf" | "pef" | "srw" | "xcf" | "dds") => true,
            Some(_) => self.is_readable(path),
        }
    }

    fn is_readable(&self, path: &str) -> bool {
        const READ: [&str; 18] = [
            "jpg", "jpeg", "jpe", "jfif", "png", "gif", "webp", "bmp", "dib", "tif", "tiff", "jxl", "ppm", "pgm", "pbm", "pnm", "pam",
            "qoi",
        ];
        name::extension(path).is_some_and(|ending| READ.contains(&ending.as_str()))
    }

    fn inspect(&self, bytes: &[u8], limits: &Limits, preview: bool) -> std::result::Result<Seen, Refusal> {
        let decoded = decode::inspect(bytes, limits)?;
        let (traits, blank) = traits::of_image(&decoded.image);
        Ok(Seen {
            traits,
            blank,
            language: "",
            sizes: vec![("width", decoded.image.width()), ("height", decoded.image.height())],
            channels: decoded.channels,
            format: decoded.format,
            look: look::of_image(&decoded.image),
            preview: preview.then(|| thumbnail::of_image(&decoded.image, PREVIEW_SIDE).ok()).flatten(),
        })
    }

    fn are_alike(&self, a: &Look, b: &Look) -> bool {
        look::are_alike(a, b)
    }

    fn unreadable(&self, path: String, refusal: Refusal) -> Error {
        Error::Image { path, reason: refusal.0 }
    }

    fn views(&self, config: &ModelConfig) -> Result<Arc<dyn Views>> {
        Ok(Arc::new(ImageViews::new(config.preprocessing())?.of_places(config.labels_places())))
    }
}
