//! What a file is, told by its name and by its first bytes: formats that run code when they are loaded are
//! refused under any name, unless the server's policy allows them.

use super::super::{Error, Result};
use crate::domain::path::RepoPath;
use crate::domain::safetensors::MAX_HEADER_BYTES;

/// As many first bytes as [`refuse_code`] looks at.
pub const PREFIX_BYTES: u64 = 512;

/// Extensions of formats that unpickle, or otherwise run what they hold.
const CODE_EXTENSIONS: &[&str] =
    &["pt", "pth", "pkl", "pickle", "joblib", "dill", "ckpt", "bin", "h5", "hdf5", "keras", "mar", "cloudpickle"];

/// Refuses a file that would run code in the hands of those who load it.
pub fn refuse_code(path: &RepoPath, prefix: &[u8]) -> Result<()> {
    let extension = path.extension();
    let found = match format_of(prefix) {
        Some(found) => found,
        None if CODE_EXTENSIONS.contains(&extension.as_str()) => "named like a pickle or another format that can run code",
        // Inside a 7z archive nothing can be seen; an honest one says what it is.
        None if prefix.starts_with(b"7z\xbc\xaf\x27\x1c") && extension != "7z" => "a 7z archive under another name",
        None => return Ok(()),
    };
    Err(Error::invalid(
        "pickle_refused",
        format!("'{path}' is {found}; loading it can run anything its maker wrote"),
        "convert it with 'hub import' and publish the safetensors file; the server's administrator can allow such files",
    ))
}

fn format_of(prefix: &[u8]) -> Option<&'static str> {
    match prefix {
        [0x80, 2..=5, ..] if !begins_like_safetensors(prefix) => Some("a Python pickle"),
        [0x89, b'H', b'D', b'F', b'\r', b'\n', 0x1a, b'\n', ..] => Some("an HDF5 file (Keras layers in it can hold code)"),
        [b'P', b'K', 3, 4, ..] => zipped_pickle(prefix).then_some("a zip archive with a pickle in it (a PyTorch file)"),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => object_array(prefix).then_some("a NumPy array of pickled objects"),
        _ => None,
    }
}

/// A header of 640 bytes is written as `80 02 00 ...` too. What follows such a length (zeros, then `{`) is no
/// pickle: NUL is not one of its opcodes, and as an argument it would announce more than any file holds.
fn begins_like_safetensors(prefix: &[u8]) -> bool {
    let length = prefix.get(..8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    length.is_some_and(|length| length <= MAX_HEADER_BYTES) && prefix.get(8) == Some(&b'{')
}

/// PyTorch writes its pickle first: `archive/data.pkl`.
fn zipped_pickle(prefix: &[u8]) -> bool {
    let Some([low, high]) = prefix.get(26..28) else { return false };
    let length = usize::from(u16::from_le_bytes([*low, *high]));
    let name = prefix.get(30..(30 + length).min(prefix.len())).unwrap_or_default();
    name.ends_with(b".pkl") || name.ends_with(b".pickle")
}

/// The header of a `.npy` is the text of a dictionary; objects have the dtype `|O`.
fn object_array(prefix: &[u8]) -> bool {
    prefix.windows(3).any(|window| matches!(window, b"'|O" | b"\"|O"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &str, prefix: &[u8]) -> bool {
        refuse_code(&RepoPath::parse(path).unwrap(), prefix).is_err()
    }

    /// A zip file's first local header.
    fn zip_of(name: &str) -> Vec<u8> {
        let mut bytes = b"PK\x03\x04".to_vec();
        bytes.resize(26, 0);
        bytes.extend((name.len() as u16).to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend(name.as_bytes());
        bytes
    }

    #[test]
    fn pickles_are_refused_under_any_name() {
        let pickle = b"\x80\x02}q\x00.";
        for path in ["model.safetensors", "model.pt", "notes.txt", "a/b/weights"] {
            assert!(refused(path, pickle), "{path}");
        }
        assert!(refused("model.safetensors", &zip_of("archive/data.pkl")));
        assert!(refused("images.zip", &zip_of("x/data.pkl")));
        assert!(refused("model.txt", b"\x89HDF\r\n\x1a\n"));
        assert!(refused("a.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False"));
        assert!(refused("a.safetensors", b"7z\xbc\xaf\x27\x1c\0\0"));
    }

    #[test]
    fn names_of_pickle_formats_are_refused_whatever_they_hold() {
        for path in ["pytorch_model.bin", "a.PT", "b.pth", "c.pkl", "d.joblib", "e.keras", "f.h5"] {
            assert!(refused(path, b"harmless?"), "{path}");
        }
    }

    #[test]
    fn a_header_length_that_looks_like_a_pickle_is_a_length() {
        for length in [0x0280u64, 0x0380, 0x0480, 0x0580, 0x0002_0280, 0x0028_0280] {
            let begin = [&length.to_le_bytes()[..], b"{\"conv.weight\":"].concat();
            assert!(!refused("model.safetensors", &begin), "{length:x}");
        }
        assert!(refused("model.safetensors", b"\x80\x02X\0\0\0\0q\0."));
        assert!(refused("model.safetensors", b"\x80\x02(X\0\0\0\0{"));
    }

    #[test]
    fn ordinary_files_pass() {
        for (path, prefix) in [
            ("model.safetensors", &b"\x10\0\0\0\0\0\0\0{\"a\":"[..]),
            ("images.zip", &zip_of("cat/1.jpg")),
            ("a.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False"),
            ("empty.txt", b""),
            ("cat.png", b"\x89PNG\r\n\x1a\n"),
            ("data.7z", b"7z\xbc\xaf\x27\x1c"),
        ] {
            assert!(!refused(path, prefix), "{path}");
        }
    }
}
