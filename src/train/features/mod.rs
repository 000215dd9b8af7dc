//! Features that frozen stages compute, in a file: each view of each item goes through them once.
//!
//! Written batch by batch as the pass goes. A run that is killed in the middle finds the whole batches there and goes
//! on behind them, at the same batch borders, so that it ends with the same bits as a run that was left alone. Read
//! through a memory map: the page cache holds as much of it as the machine has room for, and the disk the rest.
//!
//! ```text
//! record  = rows u32 | rows x (sample id u32 | view u32 | width x value) | crc32 of all before u32   (little endian)
//! value   = f32 (pooled features) or f16 (maps)
//! ```

mod frozen;
mod store;

use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;

pub use frozen::{Frozen, run_once, turns};
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
    /// Of the activation of one view, without the batch: `[D]`, or `[H, W, C]` for maps.
    pub dims: Vec<usize>,
    pub encoding: Encoding,
}

impl RowFormat {
    pub fn width(&self) -> usize {
        self.dims.iter().product()
    }

    fn stride(&self) -> usize {
        8 + self.encoding.bytes() * self.width()
    }

    /// Of a file of so many rows in records of `batch`.
    pub fn file_bytes(&self, rows: usize, batch: usize) -> u64 {
        rows as u64 * self.stride() as u64 + 8 * rows.div_ceil(batch) as u64
    }
}

/// Offsets of first values, by sample id and view.
type Rows = HashMap<(u32, u32), usize>;

/// A cache that is being filled.
pub struct Writer {
    file: File,
    /// Where it lies, and the name it takes when it is whole.
    path: PathBuf,
    finished: PathBuf,
    format: RowFormat,
    rows: Rows,
    /// Whole batches in the file, and where they end.
    batches: usize,
    end: usize,
}

impl Writer {
    /// Takes up a file that nobody else writes, and cuts off what a killed run left half-written.
    pub fn take_up(mut file: File, path: PathBuf, finished: PathBuf, format: RowFormat) -> Result<Writer> {
        let failed = |source| Error::Io { what: "cannot open the feature cache", path: path.clone(), source };
        let (batches, rows, end) = match map(&file).map_err(failed)? {
            Some(bytes) => scan(&bytes, &format),
            None => (0, Rows::new(), 0),
        };
        file.set_len(end as u64).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Writer { file, path, finished, format, rows, batches, end })
    }

    /// How many batches are there already.
    pub fn batches(&self) -> usize {
        self.batches
    }

    pub fn format(&self) -> &RowFormat {
        &self.format
    }

    /// Appends one batch: `values` is `(ids.len(), width)` row by row. A batch whose images were all unreadable is
    /// a record of no rows.
    pub fn append(&mut self, ids: &[u32], views: &[u32], values: &[f32]) -> Result<()> {
        let mut record = Vec::with_capacity(8 + ids.len() * self.format.stride());
        record.extend((ids.len() as u32).to_le_bytes());
        for ((id, view), row) in ids.iter().zip(views).zip(values.chunks_exact(self.format.width())) {
            record.extend(id.to_le_bytes());
            record.extend(view.to_le_bytes());
            self.rows.insert((*id, *view), self.end + record.len());
            self.format.encoding.write(row, &mut record);
        }
        record.extend(crc32fast::hash(&record).to_le_bytes());
        self.file.write_all(&record).map_err(Error::io("cannot write the feature cache", &self.path))?;
        self.batches += 1;
        self.end += record.len();
        Ok(())
    }

    /// Closes the pass: the file takes its final name, and is opened for reading. Not made durable: after a power
    /// cut the checksums tell, and the pass is run again.
    pub fn finish(self) -> Result<Features> {
        let failed = |source| Error::Io { what: "cannot read the feature cache", path: self.path.clone(), source };
        // Where the name was taken away meanwhile, the open file serves this run all the same.
        let _ = std::fs::rename(&self.path, &self.finished);
        // The map would hold the file open, and with it the lock of who fills it.
        let map = self.file.unlock().and_then(|()| map(&self.file)).map_err(failed)?;
        Ok(Features::new(map, self.rows, self.format))
    }

    /// Gives the pass up.
    pub fn remove(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A finished cache.
#[derive(Clone)]
pub struct Features {
    map: Option<Arc<Mmap>>,
    rows: Arc<Rows>,
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
    fn new(map: Option<Mmap>, rows: Rows, format: RowFormat) -> Features {
        Features { map: map.map(Arc::new), rows: Arc::new(rows), format, scale: None }
    }

    /// Opens a finished file; `None` if it is not whole, undamaged and of so many batches.
    pub fn open(path: &Path, format: &RowFormat, batches: usize) -> Option<Features> {
        let map = map(&File::open(path).ok()?).ok()??;
        let (found, rows, end) = scan(&map, format);
        (found == batches && end == map.len()).then(|| Features::new(Some(map), rows, format.clone()))
    }

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
            for ((x, mean), inverse) in out[from..].iter_mut().zip(&scale.mean).zip(&scale.inverse) {
                *x = ((f64::from(*x) - mean) * inverse) as f32;
            }
        }
        true
    }

    fn raw(&self, id: u32, view: u32, out: &mut Vec<f32>) -> bool {
        let (Some(map), Some(&at)) = (&self.map, self.rows.get(&(id, view))) else { return false };
        self.format.encoding.read(&map[at..at + self.format.stride() - 8], out);
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
            count += 1.0;
            for ((x, sum), squares) in row.iter().zip(&mut sum).zip(&mut squares) {
                let x = f64::from(*x);
                *sum += x;
                *squares += x * x;
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

/// The whole and undamaged records from the start: how many, their rows, and where they end.
fn scan(bytes: &[u8], format: &RowFormat) -> (usize, Rows, usize) {
    let (mut records, mut found, mut at) = (0, Rows::new(), 0);
    while bytes.len() - at >= 8 {
        let rows = word(bytes, at) as usize;
        let Some(length) = rows.checked_mul(format.stride()).filter(|length| *length <= bytes.len() - at - 8) else { break };
        let end = at + 4 + length;
        if crc32fast::hash(&bytes[at..end]) != word(bytes, end) {
            break;
        }
        let firsts = (0..rows).map(|row| at + 4 + row * format.stride());
        found.extend(firsts.map(|at| ((word(bytes, at), word(bytes, at + 4)), at + 8)));
        records += 1;
        at = end + 4;
    }
    (records, found, at)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path, format: &RowFormat) -> Writer {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap();
        Writer::take_up(file, path.into(), path.with_extension("bin"), format.clone()).unwrap()
    }

    fn layout(width: usize, encoding: Encoding) -> RowFormat {
        RowFormat { dims: vec![width], encoding }
    }

    fn read(features: &Features, id: u32, view: u32) -> Option<Vec<f32>> {
        let mut row = Vec::new();
        features.read(id, view, &mut row).then_some(row)
    }

    fn a_cut_or_damaged_tail_is_written_again(format: &RowFormat) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let fill = |writer: &mut Writer| {
            while writer.batches() < 3 {
                let n = writer.batches() as u32;
                match n {
                    1 => writer.append(&[], &[], &[]).unwrap(),
                    _ => writer.append(&[n, n + 10], &[0, n], &[n as f32, 0.5, -1.0, 65504.0]).unwrap(),
                }
            }
        };
        fill(&mut open(&path, format));
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(whole.len(), 24 + 4 * format.stride());
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(Features::open(&path, format, 3).is_some(), cut == whole.len());
            let mut writer = open(&path, format);
            assert_eq!(writer.batches() == 3, cut == whole.len(), "{cut}");
            fill(&mut writer);
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            std::fs::write(&path, &damaged).unwrap();
            assert!(Features::open(&path, format, 3).is_none(), "byte {at}");
            let mut writer = open(&path, format);
            assert!(writer.batches() < 3, "byte {at}");
            fill(&mut writer);
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
        let features = open(&path, format).finish().unwrap();
        assert_eq!(read(&features, 12, 2), Some(vec![-1.0, 65504.0]));
        assert_eq!(read(&features, 12, 0), None);
        assert!(read(&features, 2, 0).is_some() && read(&features, 1, 0).is_none());
        assert!(!path.exists(), "the file took its final name");
        let again = Features::open(&path.with_extension("bin"), format, 3).unwrap();
        assert_eq!(read(&again, 10, 0), Some(vec![-1.0, 65504.0]));
    }

    #[test]
    fn a_cut_or_damaged_tail_is_written_again_whatever_the_encoding() {
        for encoding in [Encoding::Single, Encoding::Half] {
            a_cut_or_damaged_tail_is_written_again(&layout(2, encoding));
        }
    }

    #[test]
    fn halves_lose_eleven_bits_at_most_and_say_what_they_cannot_hold() {
        let values: Vec<f32> = (1..2000).map(|n| 0.37 * n as f32 - 200.0).collect();
        let (mut bytes, mut back) = (Vec::new(), Vec::new());
        Encoding::Half.write(&values, &mut bytes);
        Encoding::Half.read(&bytes, &mut back);
        assert!(values.iter().zip(&back).all(|(a, b)| (a - b).abs() <= a.abs() / 2048.0));
        assert!(Encoding::Half.holds(&values) && !Encoding::Half.holds(&[0.0, -65505.0]) && !Encoding::Half.holds(&[f32::NAN]));
        assert!(Encoding::Single.holds(&[f32::MAX]));
    }

    #[test]
    fn standardised_features_have_no_mean_and_unit_variance() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = open(&folder.path().join("f"), &layout(3, Encoding::Single));
        let rows: Vec<[f32; 3]> = (0..50).map(|i| [1000.0 + (i % 5) as f32, 0.01 * (i % 7) as f32, 7.0]).collect();
        for (id, row) in rows.iter().enumerate() {
            writer.append(&[id as u32], &[0], row).unwrap();
        }
        let mut features = writer.finish().unwrap();
        let views: Vec<(u32, u32)> = (0..50).map(|id| (id, 0)).collect();
        let scale = features.standardise(&views);
        assert_eq!(scale.mean[2], 7.0);
        let scaled: Vec<Vec<f32>> = (0..50).map(|id| read(&features, id, 0).unwrap()).collect();
        let moments = |column: usize| {
            let mean = scaled.iter().map(|row| row[column]).sum::<f32>() / 50.0;
            (mean, scaled.iter().map(|row| (row[column] - mean).powi(2)).sum::<f32>() / 50.0)
        };
        assert!(moments(0).0.abs() < 1e-3 && (moments(0).1 - 1.0).abs() < 1e-2, "{:?}", moments(0));
        assert_eq!(moments(2), (0.0, 0.0), "a constant feature stays silent");
        features.unscaled();
        assert_eq!(read(&features, 3, 0).unwrap(), rows[3]);
    }
}
