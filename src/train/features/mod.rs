//! Features that frozen stages compute, in a file: each view of each item goes through them once.
//!
//! Written batch by batch as the pass goes. A run that is killed in the middle finds the whole batches there and goes
//! on behind them, at the same batch borders, so that it ends with the same bits as a run that was left alone. Read
//! through a memory map: the page cache holds as much of it as the machine has room for, and the disk the rest.
//!
//! A feature is named by its item's bytes and its view, never by its place in a data set: whoever has the same item, under
//! whatever name and beside whatever others, finds it.
//!
//! ```text
//! record  = rows u32 | rows x (name 16 bytes | 1 if the item could be read, else 0 u32 | width x value) | crc32 of all before u32
//! value   = f32 (pooled features, tokens of texts) or f16 (maps); all little endian
//! ```
//!
//! Texts are not all equally long: a row of theirs says how many tokens it has in the place of the 1, and has so many times the width.

mod frozen;
pub mod packed;
mod patience;
mod store;
mod together;

use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;

pub use frozen::{Frozen, run_once, run_over, turns};
pub use store::{FeatureStore, Keep};

use super::error::{Error, Result};

/// How values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As they are: for pooled features, which are few.
    Single,
    /// As f16, half the room: for maps. Its eleven bits keep three more than bf16's eight; its smaller range is
    /// checked, see [`Encoding::holds`].
    Half,
}

impl Encoding {
    pub fn bytes(self) -> usize {
        match self {
            Encoding::Single => 4,
            Encoding::Half => 2,
        }
    }

    /// Whether none of the values is beyond what can be stored.
    pub fn holds(self, values: &[f32]) -> bool {
        self == Encoding::Single || values.iter().all(|value| value.abs() <= f16::MAX.to_f32_const())
    }

    fn write(self, values: &[f32], out: &mut Vec<u8>) {
        match self {
            Encoding::Single => values.iter().for_each(|value| out.extend(value.to_le_bytes())),
            Encoding::Half => {
                let mut halves = vec![f16::ZERO; values.len()];
                halves.convert_from_f32_slice(values);
                halves.iter().for_each(|value| out.extend(value.to_le_bytes()));
            }
        }
    }

    fn read(self, bytes: &[u8], out: &mut Vec<f32>) {
        match self {
            Encoding::Single => out.extend(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
            Encoding::Half => {
                let halves: Vec<f16> = bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]])).collect();
                let at = out.len();
                out.resize(at + halves.len(), 0.0);
                halves.convert_to_f32_slice(&mut out[at..]);
            }
        }
    }
}

/// What one row holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFormat {
    /// Of the activation of one view, without the batch: `[D]`, or `[H, W, C]` for maps. Of ragged rows that of one token: `[D]`.
    pub dims: Vec<usize>,
    pub encoding: Encoding,
    /// Whether rows are sequences, each of as many tokens as its item has.
    pub ragged: bool,
}

impl RowFormat {
    pub fn width(&self) -> usize {
        self.dims.iter().product()
    }

    /// Whether a row is one vector.
    pub fn is_pooled(&self) -> bool {
        self.dims.len() == 1 && !self.ragged
    }

    fn stride(&self) -> usize {
        HEAD + self.encoding.bytes() * self.width()
    }

    /// Bytes of a row that says `count` in its head.
    fn row_bytes(&self, count: usize) -> Option<usize> {
        match self.ragged {
            true => count.checked_mul(self.encoding.bytes() * self.width())?.checked_add(HEAD),
            false => Some(self.stride()),
        }
    }

    /// Of a file of so many rows in records of `batch`; of ragged ones with so many tokens together, else as many as rows.
    pub fn file_bytes(&self, rows: usize, tokens: u64, batch: usize) -> u64 {
        rows as u64 * HEAD as u64 + tokens * (self.encoding.bytes() * self.width()) as u64 + 8 * rows.div_ceil(batch) as u64
    }

    /// What a batch of `count` items has, row by row, without what ragged ones (each of so many tokens) were padded with.
    pub fn rows<'a>(&self, values: &'a [f32], count: usize, lengths: Option<&[usize]>) -> Vec<&'a [f32]> {
        let (padded, width) = (values.len() / count.max(1), self.width());
        let rows = values.chunks_exact(padded.max(1));
        match lengths.filter(|_| self.ragged) {
            Some(lengths) => rows.zip(lengths).map(|(row, length)| &row[..(length * width).min(padded)]).collect(),
            None => rows.collect(),
        }
    }
}

/// A feature's: of its item's bytes, and of what its view follows from.
pub type Name = [u8; 16];

/// Bytes of a row before its values.
const HEAD: usize = 20;

/// Offsets of rows, by name.
type Rows = HashMap<Name, usize>;

/// A cache that is being filled.
pub struct Writer {
    file: File,
    /// Where it lies, and the name it takes when it is whole.
    path: PathBuf,
    finished: PathBuf,
    format: RowFormat,
    rows: Rows,
    /// Where the whole records end.
    end: usize,
}

impl Writer {
    /// Takes up a file that nobody else writes, and cuts off what a killed run left half-written.
    pub fn take_up(mut file: File, path: PathBuf, finished: PathBuf, format: RowFormat) -> Result<Writer> {
        let failed = |source| Error::Io { what: "cannot open the feature cache", path: path.clone(), source };
        let (rows, end) = match map(&file).map_err(failed)? {
            Some(bytes) => scan(&bytes, &format),
            None => (Rows::new(), 0),
        };
        file.set_len(end as u64).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Writer { file, path, finished, format, rows, end })
    }

    /// Whether this one is there already.
    pub fn has(&self, name: &Name) -> bool {
        self.rows.contains_key(name)
    }

    pub fn format(&self) -> &RowFormat {
        &self.format
    }

    /// Appends one batch: a row of values for each name, or `None` of an item that could not be read.
    pub fn append(&mut self, names: &[Name], values: &[Option<&[f32]>]) -> Result<()> {
        let (stride, ragged, width) = (self.format.stride(), self.format.ragged, self.format.width().max(1));
        let (mut rows, mut starts) = (Vec::with_capacity(names.len() * stride), Vec::with_capacity(names.len()));
        for (number, (name, row)) in names.iter().zip(values).enumerate() {
            starts.push(rows.len());
            rows.extend(name);
            let count = row.map_or(0, |row| if ragged { row.len() / width } else { 1 });
            rows.extend((count as u32).to_le_bytes());
            if let Some(row) = row {
                self.format.encoding.write(row, &mut rows);
            }
            if !ragged {
                rows.resize((number + 1) * stride, 0);
            }
        }
        self.append_rows(names, (&rows, &starts))
    }

    /// Takes over what another file holds of these names, in the same format.
    pub fn take_over(&mut self, names: &[Name], from: &Stored) -> Result<()> {
        let (mut rows, mut starts) = (Vec::new(), Vec::with_capacity(names.len()));
        for row in names.iter().filter_map(|name| from.row(name)) {
            starts.push(rows.len());
            rows.extend(row);
        }
        self.append_rows(names, (&rows, &starts))
    }

    fn append_rows(&mut self, names: &[Name], (rows, starts): (&[u8], &[usize])) -> Result<()> {
        let mut record = Vec::with_capacity(8 + rows.len());
        record.extend((names.len() as u32).to_le_bytes());
        record.extend(rows);
        record.extend(crc32fast::hash(&record).to_le_bytes());
        self.file.write_all(&record).map_err(Error::io("cannot write the feature cache", &self.path))?;
        self.rows.extend(names.iter().zip(starts).map(|(name, start)| (*name, self.end + 4 + start)));
        self.end += record.len();
        Ok(())
    }

    /// Closes the pass: the file takes its final name, and is opened for reading. Not made durable: after a power
    /// cut the checksums tell, and the pass is run again.
    pub fn finish(self) -> Result<Stored> {
        let failed = |source| Error::Io { what: "cannot read the feature cache", path: self.path.clone(), source };
        // Where the name was taken away meanwhile, the open file serves this run all the same.
        let _ = std::fs::rename(&self.path, &self.finished);
        // The map would hold the file open, and with it the lock of who fills it.
        let map = self.file.unlock().and_then(|()| map(&self.file)).map_err(failed)?;
        Ok(Stored { map: map.map(Arc::new), rows: self.rows, format: self.format })
    }

    /// Gives the pass up.
    pub fn remove(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A finished cache.
#[derive(Clone)]
pub struct Stored {
    map: Option<Arc<Mmap>>,
    rows: Rows,
    format: RowFormat,
}

impl Stored {
    /// Opens a finished file; `None` if it is not whole and undamaged.
    pub fn open(path: &Path, format: &RowFormat) -> Option<Stored> {
        let map = map(&File::open(path).ok()?).ok()??;
        let (rows, end) = scan(&map, format);
        (end == map.len()).then(|| Stored { map: Some(Arc::new(map)), rows, format: format.clone() })
    }

    pub fn has(&self, name: &Name) -> bool {
        self.rows.contains_key(name)
    }

    fn row(&self, name: &Name) -> Option<&[u8]> {
        let (map, at) = (self.map.as_ref()?, *self.rows.get(name)?);
        Some(&map[at..at + self.format.row_bytes(word(map, at + HEAD - 4) as usize)?])
    }

    /// The features of a data set's items, each with its sample id and view.
    pub fn of_items<'a>(&self, items: impl Iterator<Item = (u32, u32, &'a Name)>) -> Features {
        let readable = |name: &Name| self.row(name).is_some_and(|row| word(row, HEAD - 4) != 0);
        let place = |(id, view, name): (u32, u32, &Name)| Some(((id, view), *self.rows.get(name).filter(|_| readable(name))? + HEAD));
        Features { map: self.map.clone(), rows: Arc::new(items.filter_map(place).collect()), format: self.format.clone(), scale: None }
    }
}

/// The features of one data set's items.
#[derive(Clone)]
pub struct Features {
    map: Option<Arc<Mmap>>,
    /// Offsets of first values, by sample id and view.
    rows: Arc<HashMap<(u32, u32), usize>>,
    format: RowFormat,
    scale: Option<Scale>,
}

/// What is done to features before a head sees them: `(x - mean) * inverse`.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    pub mean: Vec<f64>,
    pub inverse: Vec<f64>,
}

impl Features {
    pub fn format(&self) -> &RowFormat {
        &self.format
    }

    /// Appends the (scaled) values of one view to `out`; false if the image was unreadable.
    pub fn read(&self, id: u32, view: u32, out: &mut Vec<f32>) -> bool {
        let from = out.len();
        if !self.raw(id, view, out) {
            return false;
        }
        if let Some(scale) = &self.scale {
            for ((x, mean), inverse) in out[from..].iter_mut().zip(scale.mean.iter().cycle()).zip(scale.inverse.iter().cycle()) {
                *x = ((f64::from(*x) - mean) * inverse) as f32;
            }
        }
        true
    }

    fn raw(&self, id: u32, view: u32, out: &mut Vec<f32>) -> bool {
        let (Some(map), Some(&at)) = (&self.map, self.rows.get(&(id, view))) else { return false };
        let Some(bytes) = self.format.row_bytes(word(map, at - 4) as usize) else { return false };
        self.format.encoding.read(&map[at..at + bytes - HEAD], out);
        true
    }

    /// From now on gives every feature zero mean and unit variance over these views, and says how. Backbones differ
    /// a hundredfold in the size of their features; with this one learning rate serves all of them (He et al. 2021,
    /// "Masked Autoencoders", A.1: a batch norm without affine before the linear probe). A feature that hardly
    /// varies is not blown up.
    pub fn standardise(&mut self, views: &[(u32, u32)]) -> Scale {
        let width = self.format.width();
        let (mut sum, mut squares, mut count) = (vec![0.0f64; width], vec![0.0f64; width], 0.0f64);
        let mut row = Vec::with_capacity(width);
        for (id, view) in views {
            row.clear();
            if !self.raw(*id, *view, &mut row) {
                continue;
            }
            // One vector, or one for each word.
            count += (row.len() / width.max(1)) as f64;
            for (at, x) in row.iter().enumerate() {
                let x = f64::from(*x);
                sum[at % width] += x;
                squares[at % width] += x * x;
            }
        }
        let mean: Vec<f64> = sum.iter().map(|sum| sum / count.max(1.0)).collect();
        let variance: Vec<f64> =
            squares.iter().zip(&mean).map(|(squares, mean)| (squares / count.max(1.0) - mean * mean).max(0.0)).collect();
        let floor = 1e-3 * variance.iter().sum::<f64>() / width as f64 + 1e-12;
        let inverse = variance.iter().map(|variance| 1.0 / (variance + floor).sqrt()).collect();
        self.scale.insert(Scale { mean, inverse }).clone()
    }

    /// Gives features as the backbone made them again.
    pub fn unscaled(&mut self) {
        self.scale = None;
    }
}

/// The file as bytes; `None` if it is empty, which cannot be mapped.
fn map(file: &File) -> std::io::Result<Option<Mmap>> {
    if file.metadata()?.len() == 0 {
        return Ok(None);
    }
    // SAFETY: a finished file is never written or truncated again, only renamed or removed, which leaves a map whole;
    // an unfinished one belongs to the run that holds its lock, which writes it only before `finish` or after `scan`
    // let go of the map.
    unsafe { Mmap::map(file) }.map(Some)
}

/// The rows of the whole and undamaged records from the start, and where those end.
fn scan(bytes: &[u8], format: &RowFormat) -> (Rows, usize) {
    let (mut found, mut at) = (Rows::new(), 0);
    while let Some((rows, end)) = record(bytes, at, format) {
        if crc32fast::hash(&bytes[at..end]) != word(bytes, end) {
            break;
        }
        for row in rows {
            let mut name = Name::default();
            name.copy_from_slice(&bytes[row..row + 16]);
            found.insert(name, row);
        }
        at = end + 4;
    }
    (found, at)
}

/// Where the rows of the record at a place begin, and where its checksum does; `None` if the bytes end before.
fn record(bytes: &[u8], at: usize, format: &RowFormat) -> Option<(Vec<usize>, usize)> {
    let (mut rows, mut next) = (Vec::new(), at + 4);
    let last = bytes.len().checked_sub(4)?;
    if next > last {
        return None;
    }
    for _ in 0..word(bytes, at) {
        if next + HEAD > last {
            return None;
        }
        rows.push(next);
        next = next.checked_add(format.row_bytes(word(bytes, next + HEAD - 4) as usize)?)?;
    }
    (next <= last).then_some((rows, next))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
