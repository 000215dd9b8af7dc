//! The cache of pooled features: each view of each image goes through the backbone once, ever.
//!
//! One file per (backbone, data, views), in the scratch folder, written batch by batch as the pass goes. A run that
//! is killed in the middle finds the whole batches there and goes on behind them, at the same batch borders, so that
//! it ends with the same bits as a run that was left alone.
//!
//! ```text
//! record  = rows u32 | rows x (sample id u32 | view u32 | width x f32) | crc32 of all before u32     (little endian)
//! ```

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use super::error::{Error, Result};

/// A cache that is being filled.
pub struct Writer {
    path: PathBuf,
    file: File,
    width: usize,
    /// Whole batches in the file.
    batches: usize,
}

impl Writer {
    /// Opens or creates the file, and cuts off what a killed run left half-written.
    pub fn open(path: &Path, width: usize) -> Result<Writer> {
        let failed = |source| Error::Io { what: "cannot open the feature cache", path: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        let (records, end) = match map(&file).map_err(failed)? {
            Some(bytes) => scan(&bytes, width),
            None => (Vec::new(), 0),
        };
        file.set_len(end as u64).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Writer { path: path.to_owned(), file, width, batches: records.len() })
    }

    /// How many batches are there already.
    pub fn batches(&self) -> usize {
        self.batches
    }

    /// Appends one batch: `features` is `(ids.len(), width)` row by row. A batch whose images were all unreadable is
    /// a record of no rows.
    pub fn append(&mut self, ids: &[u32], views: &[u32], features: &[f32]) -> Result<()> {
        let mut record = Vec::with_capacity(8 + ids.len() * (8 + 4 * self.width));
        record.extend((ids.len() as u32).to_le_bytes());
        for ((id, view), row) in ids.iter().zip(views).zip(features.chunks_exact(self.width)) {
            record.extend(id.to_le_bytes());
            record.extend(view.to_le_bytes());
            row.iter().for_each(|value| record.extend(value.to_le_bytes()));
        }
        record.extend(crc32fast::hash(&record).to_le_bytes());
        self.file.write_all(&record).map_err(Error::io("cannot write the feature cache", &self.path))?;
        self.batches += 1;
        Ok(())
    }

    /// Closes the pass and opens the cache for reading.
    pub fn finish(self) -> Result<Features> {
        let failed = |source| Error::Io { what: "cannot read the feature cache", path: self.path.clone(), source };
        let map = map(&self.file).map_err(failed)?;
        let mut rows = HashMap::new();
        if let Some(bytes) = &map {
            let stride = 8 + 4 * self.width;
            for (at, count) in scan(bytes, self.width).0 {
                for row in 0..count {
                    let at = at + row * stride;
                    rows.insert((word(bytes, at), word(bytes, at + 4)), at + 8);
                }
            }
        }
        let scale = Scale { mean: vec![0.0; self.width], inverse: vec![1.0; self.width] };
        Ok(Features { map: map.map(Arc::new), rows: Arc::new(rows), width: self.width, scale })
    }
}

/// A finished cache: features by (sample id, view), read through the page cache.
#[derive(Clone)]
pub struct Features {
    map: Option<Arc<Mmap>>,
    /// Offset of the first value.
    rows: Arc<HashMap<(u32, u32), usize>>,
    width: usize,
    scale: Scale,
}

/// What is done to features before a head sees them: `(x - mean) * inverse`.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    pub mean: Vec<f64>,
    pub inverse: Vec<f64>,
}

impl Features {
    /// Appends the scaled features of one view to `out`; false if the image was unreadable.
    pub fn read(&self, id: u32, view: u32, out: &mut Vec<f32>) -> bool {
        let Some(raw) = self.raw(id, view) else { return false };
        out.extend(raw.zip(&self.scale.mean).zip(&self.scale.inverse).map(|((x, mean), inverse)| ((f64::from(x) - mean) * inverse) as f32));
        true
    }

    fn raw(&self, id: u32, view: u32) -> Option<impl Iterator<Item = f32>> {
        let (map, at) = (self.map.as_ref()?, *self.rows.get(&(id, view))?);
        let bytes = map[at..at + 4 * self.width].chunks_exact(4);
        Some(bytes.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])))
    }

    /// From now on gives every feature zero mean and unit variance over these views, and says how. Backbones differ
    /// a hundredfold in the size of their features; with this one learning rate serves all of them (He et al. 2021,
    /// "Masked Autoencoders", A.1: a batch norm without affine before the linear probe). A feature that hardly
    /// varies is not blown up.
    pub fn standardise(&mut self, views: &[(u32, u32)]) -> Scale {
        let (mut sum, mut squares, mut count) = (vec![0.0f64; self.width], vec![0.0f64; self.width], 0.0f64);
        for raw in views.iter().filter_map(|(id, view)| self.raw(*id, *view)) {
            count += 1.0;
            for ((x, sum), squares) in raw.zip(&mut sum).zip(&mut squares) {
                let x = f64::from(x);
                *sum += x;
                *squares += x * x;
            }
        }
        let mean: Vec<f64> = sum.iter().map(|sum| sum / count.max(1.0)).collect();
        let variance: Vec<f64> =
            squares.iter().zip(&mean).map(|(squares, mean)| (squares / count.max(1.0) - mean * mean).max(0.0)).collect();
        let floor = 1e-3 * variance.iter().sum::<f64>() / self.width as f64 + 1e-12;
        let inverse = variance.iter().map(|variance| 1.0 / (variance + floor).sqrt()).collect();
        self.scale = Scale { mean, inverse };
        self.scale.clone()
    }

    /// Gives features as the backbone made them again.
    pub fn unscaled(&mut self) {
        self.scale = Scale { mean: vec![0.0; self.width], inverse: vec![1.0; self.width] };
    }
}

/// The file as bytes; `None` if it is empty, which cannot be mapped.
fn map(file: &File) -> std::io::Result<Option<Mmap>> {
    if file.metadata()?.len() == 0 {
        return Ok(None);
    }
    // SAFETY: the scratch folder belongs to this run alone (a lease gives a job to one worker); nobody else writes or
    // truncates the file while the map lives, and we write it only before `finish` or after `scan` let go of it.
    unsafe { Mmap::map(file) }.map(Some)
}

/// The whole and undamaged records from the start: (offset of the first row, rows), and where they end.
fn scan(bytes: &[u8], width: usize) -> (Vec<(usize, usize)>, usize) {
    let (mut records, mut at) = (Vec::new(), 0);
    while bytes.len() - at >= 8 {
        let rows = word(bytes, at) as usize;
        let Some(length) = rows.checked_mul(8 + 4 * width).filter(|length| *length <= bytes.len() - at - 8) else { break };
        let end = at + 4 + length;
        if crc32fast::hash(&bytes[at..end]) != word(bytes, end) {
            break;
        }
        records.push((at + 4, rows));
        at = end + 4;
    }
    (records, at)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(features: &Features, id: u32, view: u32) -> Option<Vec<f32>> {
        let mut row = Vec::new();
        features.read(id, view, &mut row).then_some(row)
    }

    #[test]
    fn a_cut_or_damaged_tail_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let fill = |writer: &mut Writer| {
            while writer.batches() < 3 {
                let n = writer.batches() as u32;
                match n {
                    1 => writer.append(&[], &[], &[]).unwrap(),
                    _ => writer.append(&[n, n + 10], &[0, n], &[n as f32, 0.5, -1.0, f32::MAX]).unwrap(),
                }
            }
        };
        fill(&mut Writer::open(&path, 2).unwrap());
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut writer = Writer::open(&path, 2).unwrap();
            assert_eq!(writer.batches() == 3, cut == whole.len(), "{cut}");
            fill(&mut writer);
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            std::fs::write(&path, &damaged).unwrap();
            let mut writer = Writer::open(&path, 2).unwrap();
            assert!(writer.batches() < 3, "byte {at}");
            fill(&mut writer);
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
        let features = Writer::open(&path, 2).unwrap().finish().unwrap();
        assert_eq!(read(&features, 12, 2), Some(vec![-1.0, f32::MAX]));
        assert_eq!(read(&features, 12, 0), None);
        assert!(read(&features, 2, 0).is_some() && read(&features, 1, 0).is_none());
    }

    #[test]
    fn standardised_features_have_no_mean_and_unit_variance() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(&folder.path().join("f"), 3).unwrap();
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
