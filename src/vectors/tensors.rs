//! Safetensors files as word vectors need them: read by memory map, so that opening one costs its header alone, and
//! written as a stream, so that a matrix need not fit into memory and its height need not be known before its end.

use std::fs::File;
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use serde_json::{Map, Value, json};

use super::error::{Error, Result};
use crate::domain::safetensors::{Header, TensorInfo, parse_header};

/// An open file.
pub struct TensorFile {
    map: Mmap,
    header: Header,
    pub path: PathBuf,
}

impl TensorFile {
    /// Maps the file and reads its header.
    pub fn open(path: &Path) -> Result<TensorFile> {
        let map = map(path)?;
        let header = parse_header(&map, map.len() as u64).map_err(|error| Error::corrupt(path, 0, error.to_string()))?;
        Ok(TensorFile { map, header, path: path.to_owned() })
    }

    pub fn find(&self, name: &str) -> Option<&TensorInfo> {
        self.header.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// The bytes of the tensor `name`, which must have this dtype and so many axes; its shape beside it.
    pub fn get(&self, name: &str, dtype: &str, axes: usize) -> Result<(Range<usize>, Vec<usize>)> {
        let refused = |offset, problem: String| Error::corrupt(&self.path, offset, problem);
        let tensor = self.find(name).ok_or_else(|| refused(0, format!("there is no tensor `{name}`")))?;
        if tensor.dtype != dtype || tensor.shape.len() != axes {
            let problem = format!("tensor `{name}` is {} {:?}, where {dtype} of {axes} axes is wanted", tensor.dtype, tensor.shape);
            return Err(refused(tensor.offset, problem));
        }
        Ok((range(tensor), tensor.shape.clone()))
    }

    pub fn bytes(&self, range: &Range<usize>) -> &[u8] {
        &self.map[range.clone()]
    }
}

/// Where a tensor lies; `parse_header` has checked that it lies inside of the file.
pub fn range(tensor: &TensorInfo) -> Range<usize> {
    tensor.offset as usize..(tensor.offset + tensor.size_bytes) as usize
}

/// A whole file as bytes.
pub fn map(path: &Path) -> Result<Mmap> {
    let file = File::open(path).map_err(Error::io(path))?;
    let about = file.metadata().map_err(Error::io(path))?;
    if !about.is_file() || about.len() == 0 {
        let problem = if about.is_file() { "the file is empty" } else { "this is no file" };
        return Err(Error::Unsupported { path: path.to_owned(), problem: problem.into() });
    }
    // SAFETY: the files of the cache and of finished models are never written again, only renamed or removed, which leaves a map
    // whole. Whoever truncates a file while it is imported ends the import's process by a signal and harms nobody else.
    unsafe { Mmap::map(&file) }.map_err(Error::io(path))
}

/// Bytes kept for the header in front of the data.
const HEADER_BYTES: usize = 4096;

/// Writes tensors one after the other; the header comes last, into the place that was kept for it.
pub struct TensorWriter {
    file: BufWriter<File>,
    path: PathBuf,
    entries: Map<String, Value>,
    /// Bytes of data so far, and where the tensor being written begins.
    at: u64,
    begun: u64,
}

impl TensorWriter {
    pub fn create(path: &Path) -> Result<TensorWriter> {
        let file = File::create(path).map_err(Error::io(path))?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(&[b' '; HEADER_BYTES]).map_err(Error::io(path))?;
        let entries = Map::from_iter([("__metadata__".to_owned(), json!({"format": "pt"}))]);
        Ok(TensorWriter { file, path: path.to_owned(), entries, at: 0, begun: 0 })
    }

    /// Some bytes of the tensor being written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.at += bytes.len() as u64;
        self.file.write_all(bytes).map_err(Error::io(&self.path))
    }

    /// What was written since the last end is this tensor.
    pub fn end(&mut self, name: &str, dtype: &str, shape: &[usize]) {
        self.entries.insert(name.to_owned(), json!({"dtype": dtype, "shape": shape, "data_offsets": [self.begun, self.at]}));
        self.begun = self.at;
    }

    /// A whole tensor of numbers.
    pub fn tensor<const N: usize>(
        &mut self,
        name: &str,
        dtype: &str,
        shape: &[usize],
        values: impl Iterator<Item = [u8; N]>,
    ) -> Result<()> {
        for value in values {
            self.write(&value)?;
        }
        self.end(name, dtype, shape);
        Ok(())
    }

    pub fn finish(mut self) -> Result<()> {
        let mut header = Value::Object(std::mem::take(&mut self.entries)).to_string().into_bytes();
        let space = HEADER_BYTES - 8;
        if header.len() > space {
            return Err(Error::invalid("model.safetensors", format!("its header has {} bytes, more than {space}", header.len())));
        }
        header.resize(space, b' ');
        let failed = Error::io(&self.path);
        let written = (|| {
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(&(space as u64).to_le_bytes())?;
            self.file.write_all(&header)?;
            self.file.flush()?;
            self.file.get_ref().sync_all()
        })();
        written.map_err(failed)
    }
}
