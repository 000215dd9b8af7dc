//! What a file is, by its first bytes, never by its name: a picture that is read, or something else with a name of its own.

use crate::data::error::Refusal;

/// How a pointer begins that git-lfs puts in a file's place.
pub const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";
const READ: &str = "JPEG, PNG, GIF, WebP, BMP, TIFF, JPEG XL, PNM or QOI";

/// A format that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Jpeg,
    Png,
    Gif,
    WebP,
    Bmp,
    Tiff,
    Jxl,
    Pnm,
    Qoi,
}

impl Format {
    /// As reports count it.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Jpeg => "jpeg",
            Format::Png => "png",
            Format::Gif => "gif",
            Format::WebP => "webp",
            Format::Bmp => "bmp",
            Format::Tiff => "tiff",
            Format::Jxl => "jxl",
            Format::Pnm => "pnm",
            Format::Qoi => "qoi",
        }
    }

    /// # Errors
    /// It is nothing that is read, by the name of what it is.
    pub fn of(bytes: &[u8]) -> Result<Format, Refusal> {
        match bytes {
            [] => Err(Refusal("it is empty".into())),
            [0xff, 0xd8, 0xff, ..] => Ok(Format::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok(Format::Png),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok(Format::Gif),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(Format::WebP),
            [b'B', b'M', ..] if bytes.len() > 26 => Ok(Format::Bmp),
            [0xff, 0x0a, ..] | [0, 0, 0, 0x0c, b'J', b'X', b'L', b' ', b'\r', b'\n', 0x87, b'\n', ..] => Ok(Format::Jxl),
            [b'q', b'o', b'i', b'f', ..] => Ok(Format::Qoi),
            [b'P', b'1'..=b'7', space, ..] if space.is_ascii_whitespace() => Ok(Format::Pnm),
            _ if named(bytes).is_none() && is_tiff(bytes) => Ok(Format::Tiff),
            _ => Err(Refusal(format!("its content is {}, not a {READ} image", named(bytes).unwrap_or("something else")))),
        }
    }
}

fn is_tiff(bytes: &[u8]) -> bool {
    matches!(bytes, [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..])
}

/// Names what is often found under an image's name.
fn named(bytes: &[u8]) -> Option<&'static str> {
    pictures(bytes).or_else(|| others(bytes)).or_else(|| texts(bytes))
}

fn pictures(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => media_file(bytes),
        [0, 0, 0, 0x0c, b'j', b'P', b' ', b' ', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => "a JPEG 2000 picture",
        [b'I', b'I', 0xbc, ..] => "a JPEG XR picture",
        [b'8', b'B', b'P', b'S', ..] => "a PSD (Photoshop) file",
        [b'I', b'I', 42, 0, _, _, _, _, b'C', b'R', ..] => "a RAW photo (CR2)",
        [b'I', b'I', b'R', b'O' | b'S', ..] | [b'M', b'M', b'O', b'R', ..] => "a RAW photo (ORF)",
        [b'I', b'I', b'U', 0, ..] => "a RAW photo (RW2)",
        [b'F', b'U', b'J', b'I', b'F', b'I', b'L', b'M', b'C', b'C', b'D', ..] => "a RAW photo (RAF)",
        [0, 0, 1, 0, n, 0, ..] if *n > 0 => "an icon (ICO)",
        [0x76, 0x2f, 0x31, 0x01, ..] => "an OpenEXR picture",
        [b'#', b'?', b'R', ..] => "a Radiance HDR picture",
        [b'D', b'D', b'S', b' ', ..] => "a DDS texture",
        [b'g', b'i', b'm', b'p', b' ', b'x', b'c', b'f', ..] => "an XCF (GIMP) file",
        [b'B', b'P', b'G', 0xfb, ..] => "a BPG picture",
        [b'A', b'T', b'&', b'T', b'F', b'O', b'R', b'M', ..] => "a DjVu document",
        [0xd7, 0xcd, 0xc6, 0x9a, ..] => "a WMF drawing",
        _ if bytes.ends_with(b"TRUEVISION-XFILE.\0") => "a TGA picture",
        _ if bytes.get(128..132) == Some(b"DICM") => "a DICOM file",
        _ if bytes.get(344..348) == Some(b"n+1\0") => "a NIfTI volume",
        _ if bytes.starts_with(b"SIMPLE  =") => "a FITS picture",
        _ => return None,
    })
}

/// Files of boxes: the brands at their head say what the boxes hold.
fn media_file(bytes: &[u8]) -> &'static str {
    let brands = bytes.get(8..).unwrap_or_default().chunks_exact(4).take(16);
    let has = |wanted: &[&[u8; 4]]| brands.clone().any(|brand| wanted.iter().any(|w| *w == brand));
    match () {
        () if has(&[b"avif", b"avis"]) => "an AVIF picture",
        () if has(&[b"crx "]) => "a RAW photo (CR3)",
        () if has(&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"]) => "a HEIC picture",
        () => "a video",
    }
}

fn others(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [b'M', b'Z', ..] | [0x7f, b'E', b'L', b'F', ..] => "a program",
        [b'P', b'K', 3, 4, ..] | [0x1f, 0x8b, ..] | [b'R', b'a', b'r', b'!', ..] | [b'7', b'z', 0xbc, 0xaf, ..] => "an archive",
        [b'%', b'P', b'D', b'F', ..] => "a PDF",
        [b'%', b'!', b'P', b'S', ..] => "a PostScript drawing",
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => "a NumPy array",
        [0x89, b'H', b'D', b'F', ..] => "HDF5 data",
        [b'P', b'A', b'R', b'1', ..] => "a Parquet table",
        [0x1a, 0x45, 0xdf, 0xa3, ..] | [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', ..] | [0, 0, 1, 0xba, ..] => "a video",
        _ => return None,
    })
}

fn texts(bytes: &[u8]) -> Option<&'static str> {
    let text = bytes[..bytes.len().min(256)].trim_ascii_start().to_ascii_lowercase();
    let contains = |needle: &[u8]| text.windows(needle.len()).any(|w| w == needle);
    match () {
        () if bytes.starts_with(LFS_POINTER) => Some("a Git LFS pointer (git-lfs), not the file itself"),
        () if contains(b"<svg") => Some("an SVG drawing"),
        () if contains(b"<html") || contains(b"<!doctype") || contains(b"<script") => Some("a web page"),
        () => None,
    }
}
