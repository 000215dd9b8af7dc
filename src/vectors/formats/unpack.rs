//! What is packed as a whole (gzip, zstd, xz, bzip2, lz4), or is the one file of vectors in a zip, is unpacked into a temporary file
//! first: readers jump about in what they read.

use std::io::{Read, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::archive::packing;
use crate::vectors::error::{Error, Result};

/// Most bytes that come out of a packed file.
const MOST_BYTES: u64 = 64 << 30;

/// The unpacked file; `None` where it is not packed, or holds something else than vectors.
pub fn unpacked(path: &Path, bytes: &[u8]) -> Result<Option<NamedTempFile>> {
    if let Some(packing) = packing::of(bytes) {
        let Ok(stream) = packing::unpacked(packing, bytes) else { return Ok(None) };
        return spooled(path, stream);
    }
    if !bytes.starts_with(b"PK\x03\x04") {
        return Ok(None);
    }
    let Ok(mut archive) = zip::ZipArchive::new(std::io::Cursor::new(bytes)) else { return Ok(None) };
    let all: Vec<String> = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
    let names: Vec<&String> = all.iter().filter(|name| is_vectors(name)).collect();
    match names.as_slice() {
        [] => Ok(None),
        // Those of PyTorch are read elsewhere.
        _ if all.iter().any(|name| name.ends_with("data.pkl")) => Ok(None),
        [name] => {
            let broken = |error: zip::result::ZipError| Error::io(path)(std::io::Error::other(error.to_string()));
            let entry = archive.by_name(name).map_err(broken)?;
            spooled(path, entry)
        }
        several => {
            let listed: Vec<&str> = several.iter().take(5).map(|name| name.as_str()).collect();
            let problem = format!("the zip holds {} files of vectors ({}); unpack it and name one", several.len(), listed.join(", "));
            Err(Error::Unsupported { path: path.to_owned(), problem })
        }
    }
}

fn is_vectors(name: &str) -> bool {
    [".txt", ".vec", ".bin", ".ftz"].iter().any(|ending| name.ends_with(ending)) && !name.contains('/')
}

/// What comes out of a stream. One that breaks is an error where vectors have come out of it, and nothing of ours elsewhere.
fn spooled(path: &Path, stream: impl Read) -> Result<Option<NamedTempFile>> {
    let mut file = NamedTempFile::new().map_err(Error::io(path))?;
    let (mut stream, mut buffer, mut size) = (stream, vec![0; 1 << 20], 0u64);
    loop {
        let read = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return broken(path, &mut file, size, &error),
        };
        size += read as u64;
        if size > MOST_BYTES {
            return Err(Error::Unsupported { path: path.to_owned(), problem: format!("more than {MOST_BYTES} bytes come out of it") });
        }
        file.write_all(&buffer[..read]).map_err(Error::io(path))?;
    }
    file.flush().map_err(Error::io(path))?;
    Ok((size > 0).then_some(file))
}

fn broken(path: &Path, file: &mut NamedTempFile, size: u64, error: &std::io::Error) -> Result<Option<NamedTempFile>> {
    file.flush().map_err(Error::io(path))?;
    let has_vectors = size > 0 && super::recognise(&crate::vectors::tensors::map(file.path())?).is_some();
    let problem = || format!("what is packed breaks off at this byte of what comes out: {error}");
    if has_vectors { Err(Error::corrupt(path, size, problem())) } else { Ok(None) }
}
