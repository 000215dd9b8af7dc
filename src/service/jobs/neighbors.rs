//! The items of an embedded data set that are nearest to one that is shown, by the cosine of the angle between their features: every
//! row is looked at, a run of them in memory at a time.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::super::{Error, Result, Service};
use super::texts::Wish;
use crate::catalog::job_files::{self, Way};
use crate::catalog::measurements::{self, Pair};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::service::work::Whose;

/// What an embedding leaves; see the worker's `embed`.
const FEATURES: &str = "features.npy";
const ITEMS: &str = "items.csv";
const PICTURES: &str = "pictures.bin";
const PICTURED: &str = "pictures.csv";
/// Of an item, small as it is.
const LARGEST_PICTURE: usize = 256 << 10;
/// A header of numpy's is 128 bytes long; none of ours is longer than this.
const LONGEST_HEADER: usize = 4 << 10;
/// Features of an item.
const WIDEST: usize = 1 << 20;

/// An item near to the one that was shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbor {
    /// In the data set.
    pub path: String,
    pub split: String,
    /// What the data set says about it.
    pub target: String,
    /// Cosine, -1 to 1.
    pub similarity: f32,
    /// A small one, where the embedding left some: its media type and bytes.
    pub picture: Option<(String, Vec<u8>)>,
}

/// What neighbours are looked for of.
pub enum Shown {
    /// An item that comes with the question.
    Item(Bytes),
    /// One of the data set, by its path.
    Path(String),
}

/// All of them, nearest first, with the versions they were found by and in.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbors {
    pub model_version: u32,
    pub dataset_version: u32,
    pub found: Vec<Neighbor>,
}

impl Service {
    /// The `count` items of a data set that are nearest to what is shown, by a model. Both must be the caller's to read.
    pub async fn neighbors(
        &self,
        actor: &Actor,
        (model, model_revision): (&RepoId, &Revision),
        (dataset, dataset_revision): (&RepoId, &Revision),
        shown: Shown,
        count: usize,
    ) -> Result<Neighbors> {
        let found = self.get_repo_at(actor, RepoKind::Dataset, dataset, dataset_revision).await?;
        let Some(pinned) = found.head else { return Err(super::admit::nothing_in(dataset)) };
        let version = self.get_repo_at(actor, RepoKind::Model, model, model_revision).await?.head;
        let Some(version) = version else { return Err(super::admit::nothing_in(model)) };
        let (pair, _) = self.pair(actor, (model, version.number), (dataset, pinned.number)).await?;
        let query = match shown {
            Shown::Path(path) => Query::Path(path),
            Shown::Item(item) => {
                let revision = Revision::Number(version.number);
                Query::Features(self.embed(actor, model, &revision, &Wish::default(), item).await?.1)
            }
        };
        let Some(looked) = self.embedding_of(&pair).await? else {
            return Err(not_embedded(&format!("{dataset}@{}", pinned.number), &format!("{model}@{}", version.number)));
        };
        let searched = self.work().run(&Whose::of(actor), move || search(&looked, query, count)).await?;
        let found = searched.map_err(|why| Error::Internal(format!("the features of a data set cannot be read: {why}")))?;
        let gone = || {
            let hint = "choose one of the data set's items; paths are those of `hub neighbors` and of the job's items.csv";
            Error::invalid("no_such_item", "there is no such item among those that were looked at", hint)
        };
        Ok(Neighbors { model_version: version.number, dataset_version: pinned.number, found: found.ok_or_else(gone)? })
    }

    /// The features that a job left of a data set, and which item each of them is, as files; they may lie in the folder.
    pub(super) async fn embedding_of(&self, pair: &Pair) -> Result<Option<Looked>> {
        let pair = pair.clone();
        let files = self.db.read(move |tx| {
            let Some(job) = measurements::find_embedding(tx, &pair)? else { return Ok(None) };
            let file = |tx: &mut crate::db::Tx<'_>, name: &str| job_files::find(tx, &job, Way::Left, name);
            let (features, items) = (file(tx, FEATURES)?, file(tx, ITEMS)?);
            let pictures = file(tx, PICTURES)?.zip(file(tx, PICTURED)?);
            Ok::<_, Error>(features.zip(items).map(|both| (both, pictures)))
        });
        let Some(((rows, items), pictures)) = files.await? else { return Ok(None) };
        let folder = tempfile::tempdir().map_err(|e| Error::of_file("no temporary folder", &e))?;
        let (rows, items) = (self.local_file(&rows.digest, folder.path()).await?, self.local_file(&items.digest, folder.path()).await?);
        let pictures = match pictures {
            Some((bytes, index)) => {
                Some((self.local_file(&bytes.digest, folder.path()).await?, self.local_file(&index.digest, folder.path()).await?))
            }
            None => None,
        };
        Ok(Some(Looked { rows, items, pictures, _folder: folder }))
    }
}

/// What an embedding has left, as files of this machine.
pub(super) struct Looked {
    pub rows: PathBuf,
    pub items: PathBuf,
    /// Small pictures one after the other, and which is whose.
    pictures: Option<(PathBuf, PathBuf)>,
    /// Of stores elsewhere the files lie in it.
    _folder: tempfile::TempDir,
}

enum Query {
    Features(Vec<f32>),
    Path(String),
}

pub(super) fn not_embedded(dataset: &str, model: &str) -> Error {
    let hint =
        "ask for its features first: POST /api/v1/embeddings, or `hub neighbors` and `hub predict --support`, which do so by themselves";
    Error::conflict("not_embedded", format!("{dataset} was not yet looked at by {model}"), hint)
}

/// `None` where there is no item of that path.
fn search(looked: &Looked, query: Query, count: usize) -> std::result::Result<Option<Vec<Neighbor>>, String> {
    let query = match query {
        Query::Features(features) => features,
        Query::Path(path) => {
            let Some(row) = row_of(&looked.items, &path)? else { return Ok(None) };
            let Some(features) = Rows::open(&looked.rows)?.at(row).map_err(|e| e.to_string())? else { return Ok(None) };
            features
        }
    };
    let mut rows = Rows::open(&looked.rows)?;
    if rows.width() != query.len() {
        return Err(format!("they are {} wide, and those of the item {}", rows.width(), query.len()));
    }
    let nearest = nearest(&mut rows, &query, count).map_err(|e| e.to_string())?;
    let mut found = named(&looked.items, &nearest)?;
    pictured(looked, &mut found)?;
    Ok(Some(found.into_iter().map(|(_, neighbor)| neighbor).collect()))
}

/// Items that stand evenly apart in the data set, to begin with.
pub(super) fn some_of(looked: &Looked, count: usize) -> std::result::Result<Vec<Neighbor>, String> {
    let rows = targets_of(&looked.items)?.len();
    let step = rows.div_ceil(count.max(1)).max(1);
    let chosen: Vec<(usize, f32)> = (0..rows).step_by(step).map(|row| (row, 0.0)).collect();
    let mut found = named(&looked.items, &chosen)?;
    pictured(looked, &mut found)?;
    Ok(found.into_iter().map(|(_, neighbor)| neighbor).collect())
}

/// Gives items the pictures that were left of them.
fn pictured(looked: &Looked, found: &mut [(usize, Neighbor)]) -> std::result::Result<(), String> {
    let Some((bytes, index)) = &looked.pictures else { return Ok(()) };
    let file = File::open(bytes).map_err(|e| e.to_string())?;
    let mut table = csv::Reader::from_path(index).map_err(|e| e.to_string())?;
    for record in table.records() {
        let record = record.map_err(|e| e.to_string())?;
        let number = |at: usize| record.get(at).and_then(|cell| cell.parse::<u64>().ok());
        let (Some(row), Some(offset), Some(length)) = (number(0), number(1), number(2)) else { continue };
        let Some((_, neighbor)) = found.iter_mut().find(|(of, _)| *of as u64 == row) else { continue };
        let media_type = record.get(3).filter(|kind| matches!(*kind, "image/png" | "image/jpeg"));
        let length = usize::try_from(length).ok().filter(|length| *length <= LARGEST_PICTURE);
        if let (Some(media_type), Some(length)) = (media_type, length) {
            let mut picture = vec![0; length];
            file.read_exact_at(&mut picture, offset).map_err(|e| e.to_string())?;
            neighbor.picture = Some((media_type.to_owned(), picture));
        }
    }
    Ok(())
}

/// The row of the item at a path.
fn row_of(items: &Path, path: &str) -> std::result::Result<Option<usize>, String> {
    let mut table = csv::Reader::from_path(items).map_err(|e| e.to_string())?;
    for record in table.records() {
        let record = record.map_err(|e| e.to_string())?;
        if record.get(1) == Some(path) {
            return Ok(record.get(0).and_then(|row| row.parse().ok()));
        }
    }
    Ok(None)
}

/// The rows of a `.npy` that an embedding left, one after the other; one is in memory at a time.
pub(super) struct Rows {
    reader: BufReader<File>,
    bytes: Vec<u8>,
    row: Vec<f32>,
}

impl Rows {
    /// Reads numpy's header: magic word, length, then text with the shape.
    pub fn open(path: &Path) -> std::result::Result<Rows, String> {
        let mut reader = BufReader::with_capacity(1 << 20, File::open(path).map_err(|e| e.to_string())?);
        let mut begin = [0; 10];
        reader.read_exact(&mut begin).map_err(|e| e.to_string())?;
        let length = usize::from(u16::from_le_bytes([begin[8], begin[9]]));
        if !begin.starts_with(b"\x93NUMPY\x01") || length > LONGEST_HEADER {
            return Err("it is no .npy of ours".into());
        }
        let mut header = vec![0; length];
        reader.read_exact(&mut header).map_err(|e| e.to_string())?;
        let header = String::from_utf8_lossy(&header).into_owned();
        let shape = header.split("'shape': (").nth(1).and_then(|rest| rest.split(')').next()).unwrap_or_default();
        let width = shape.split(',').nth(1).and_then(|width| width.trim().parse::<usize>().ok());
        let width = width.filter(|width| (1..=WIDEST).contains(width) && header.contains("'<f4'"));
        let width = width.ok_or_else(|| format!("its header says {header}"))?;
        Ok(Rows { reader, bytes: vec![0; 4 * width], row: vec![0.0; width] })
    }

    pub fn width(&self) -> usize {
        self.row.len()
    }

    /// The so many-th of a file that was just opened.
    fn at(&mut self, row: usize) -> std::io::Result<Option<Vec<f32>>> {
        let skipped = i64::try_from(row).ok().and_then(|row| row.checked_mul(self.bytes.len() as i64));
        self.reader.seek_relative(skipped.unwrap_or(i64::MAX))?;
        Ok(self.next()?.map(<[f32]>::to_vec))
    }

    /// `None` after the last.
    pub fn next(&mut self) -> std::io::Result<Option<&[f32]>> {
        match self.reader.read_exact(&mut self.bytes) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        for (value, bytes) in self.row.iter_mut().zip(self.bytes.chunks_exact(4)) {
            *value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        Ok(Some(&self.row))
    }
}

/// Row numbers with their cosines, nearest first; of equals the first.
fn nearest(rows: &mut Rows, query: &[f32], count: usize) -> std::io::Result<Vec<(usize, f32)>> {
    let length = |row: &[f32]| row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    let own = length(query);
    let mut kept: Vec<(usize, f32)> = Vec::with_capacity(count + 1);
    let mut number = 0;
    while let Some(row) = rows.next()? {
        let product: f64 = row.iter().zip(query).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        let scale = own * length(row);
        let cosine = if scale > 0.0 && scale.is_finite() { (product / scale) as f32 } else { 0.0 };
        let at = kept.partition_point(|(_, other)| *other >= cosine);
        if at < count {
            kept.insert(at, (number, cosine));
            kept.truncate(count);
        }
        number += 1;
    }
    Ok(kept)
}

/// Row, split and target of every item.
pub(super) fn targets_of(items: &Path) -> std::result::Result<Vec<(usize, String, String)>, String> {
    let mut table = csv::Reader::from_path(items).map_err(|e| e.to_string())?;
    let mut found = Vec::new();
    for record in table.records() {
        let record = record.map_err(|e| e.to_string())?;
        let cell = |at: usize| record.get(at).unwrap_or_default().to_owned();
        if let Some(row) = record.get(0).and_then(|row| row.parse().ok()) {
            found.push((row, cell(2), cell(3)));
        }
    }
    Ok(found)
}

/// What the rows are: `row,path,split,target`.
fn named(items: &Path, nearest: &[(usize, f32)]) -> std::result::Result<Vec<(usize, Neighbor)>, String> {
    let mut found: Vec<Option<(usize, Neighbor)>> = vec![None; nearest.len()];
    let mut table = csv::Reader::from_path(items).map_err(|e| e.to_string())?;
    for record in table.records() {
        let record = record.map_err(|e| e.to_string())?;
        let cell = |at: usize| record.get(at).unwrap_or_default().to_owned();
        let number = record.get(0).and_then(|row| row.parse::<usize>().ok());
        if let Some(at) = nearest.iter().position(|(row, _)| Some(*row) == number) {
            let neighbor = Neighbor { path: cell(1), split: cell(2), target: cell(3), similarity: nearest[at].1, picture: None };
            found[at] = Some((nearest[at].0, neighbor));
        }
    }
    Ok(found.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_by_angle_come_first_and_rows_of_nothing_last() {
        let folder = tempfile::tempdir().unwrap();
        let (rows, items) = (folder.path().join(FEATURES), folder.path().join(ITEMS));
        let about = "{'descr': '<f4', 'fortran_order': False, 'shape': (5, 2), }";
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((about.len() as u16).to_le_bytes());
        bytes.extend(about.as_bytes());
        for value in [0.0f32, 5.0, 100.0, 1.0, -1.0, 0.0, 0.0, 0.0, 2.0, 2.0] {
            bytes.extend(value.to_le_bytes());
        }
        std::fs::write(&rows, &bytes).unwrap();
        std::fs::write(
            &items,
            "row,path,split,target\n0,a.png,train,up\n1,\"b,1.png\",train,right\n2,c.png,val,left\n3,d.png,val,none\n4,e.png,test,both\n",
        )
        .unwrap();
        let (pictures, pictured) = (folder.path().join(PICTURES), folder.path().join(PICTURED));
        std::fs::write(&pictures, b"ABCDE").unwrap();
        std::fs::write(&pictured, "row,offset,bytes,type\n1,2,3,image/png\n4,0,2,text/html\n").unwrap();
        let place = || tempfile::tempdir().unwrap();
        let looked = Looked { rows, items, pictures: Some((pictures, pictured)), _folder: place() };
        let search = |query: &[f32], count: usize| search(&looked, Query::Features(query.to_vec()), count).map(Option::unwrap);
        let found = search(&[3.0, 0.0], 3).unwrap();
        assert_eq!(found[0].picture, Some(("image/png".into(), b"CDE".to_vec())));
        assert_eq!(found[1].picture, None, "of what is no picture nothing is shown");
        let told: Vec<_> = found.iter().map(|n| (n.path.as_str(), n.target.as_str(), (n.similarity * 1000.0).round())).collect();
        assert_eq!(told, [("b,1.png", "right", 1000.0), ("e.png", "both", 707.0), ("a.png", "up", 0.0)]);
        assert_eq!(search(&[3.0, 0.0], 100).unwrap().len(), 5);
        let of_path = |path: &str| super::search(&looked, Query::Path(path.into()), 2).unwrap();
        assert_eq!(of_path("e.png").unwrap()[0].path, "e.png");
        assert!(of_path("z.png").is_none());
        assert_eq!(some_of(&looked, 2).unwrap().iter().map(|n| n.path.as_str()).collect::<Vec<_>>(), ["a.png", "d.png"]);
        assert!(search(&[1.0], 3).unwrap_err().contains("2 wide"));
        std::fs::write(&looked.rows, b"nonsense that is long enough").unwrap();
        assert!(search(&[3.0, 0.0], 3).is_err());
    }
}
