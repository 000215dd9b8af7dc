//! Small pictures of items that pages show: decoders meet strangers' bytes for them as they do when a data set is checked.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::data::{self, Limits, Source};
use crate::domain::data_limits::DataLimits;

/// Of a picture of 96 pixels that is not packed, and more.
const LARGEST: usize = 256 << 10;

/// Which items, of which files of a version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ToShow {
    /// Each by its path, where it lies.
    pub files: Vec<(String, PathBuf)>,
    /// Of items, as the data set has them.
    pub paths: Vec<String>,
    pub limits: DataLimits,
}

/// A small picture: PNG or JPEG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Small {
    pub media_type: &'static str,
    pub bytes: Vec<u8>,
}

impl Small {
    /// Of bytes that are said to be of a media type; none of what no page shows as a picture.
    pub fn of(media_type: &str, bytes: Vec<u8>) -> Option<Small> {
        let media_type = ["image/png", "image/jpeg"].into_iter().find(|known| *known == media_type)?;
        (bytes.len() <= LARGEST).then_some(Small { media_type, bytes })
    }

    pub(super) fn read((media_type, base64): (String, String)) -> Option<Small> {
        Small::of(&media_type, STANDARD.decode(base64).ok()?)
    }

    pub(super) fn written(&self) -> (String, String) {
        (self.media_type.to_owned(), STANDARD.encode(&self.bytes))
    }
}

/// Makes them in this process. What cannot be listed has none.
pub(super) fn make(what: &ToShow, told: &mut dyn FnMut(usize, Option<Small>)) {
    let source = Source::Files(what.files.clone());
    let small = |picture: data::modality::Picture| Small::of(picture.media_type, picture.bytes);
    let made = data::pictures(&source, &what.paths, &Limits::of(&what.limits), &mut |at, picture| told(at, picture.and_then(small)));
    if let Err(error) = made {
        tracing::debug!(%error, "items cannot be shown");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_pictures_come_into_pages() {
        let read = |media_type: &str, base64: &str| Small::read((media_type.into(), base64.into()));
        assert_eq!(read("image/png", "AAEC").unwrap().bytes, [0, 1, 2]);
        assert!(read("image/svg+xml", "AAEC").is_none() && read("text/html", "AAEC").is_none() && read("image/png", "<").is_none());
        assert_eq!(Small::of("image/png", vec![0; LARGEST + 1]), None);
        let small = Small { media_type: "image/jpeg", bytes: vec![7; 9] };
        assert_eq!(Small::read(small.written()), Some(small));
    }
}
