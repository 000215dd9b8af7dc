//! The items of an embedded data set that are nearest to one that is shown, by the cosine of the angle between their features: every
//! row is looked at, a run of them in memory at a time.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use bytes::Bytes;

use super::super::{Error, Result, Service};
use crate::catalog::job_files::{self, Way};
use crate::catalog::measurements;
use crate::domain::name::RepoId;
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::service::work::Whose;

/// What an embedding leaves; see the worker's `embed`.
const FEATURES: &str = "features.npy";
const ITEMS: &str = "items.csv";
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
}

/// All of them, nearest first, with the versions they were found by and in.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbors {
    pub model_version: u32,
    pub dataset_version: u32,
    pub found: Vec<Neighbor>,
}

impl Service {
    /// The `count` items of a data set that are nearest to an item, by a model. Both must be the caller's to read.
    pub async fn neighbors(
        &self,
        actor: &Actor,
        (model, model_revision): (&RepoId, &Revision),
        (dataset, dataset_revision): (&RepoId, &Revision),
        item: Bytes,
        count: usize,
    ) -> Result<Neighbors> {
        use crate::domain::name::RepoKind::Dataset;
        let found = self.get_repo_at(actor, Dataset, dataset, dataset_revision).await?;
        let Some(pinned) = found.head else { return Err(super::admit::nothing_in(dataset)) };
        let (version, features) = self.embed(actor, model, model_revision, item).await?;
        let (pair, _) = self.pair(actor, (model, version.number), (dataset, pinned.number)).await?;
        let files = self.db.read(move |tx| {
            let Some(job) = measurements::find_embedding(tx, &pair)? else { return Ok(None) };
            let file = |tx: &mut crate::db::Tx<'_>, name: &str| job_files::find(tx, &job, Way::Left, name);
            let (features, items) = (file(tx, FEATURES)?, file(tx, ITEMS)?);
            Ok::<_, Error>(features.zip(items))
        });
        let Some((rows, items)) = files.await? else {
            let message = format!("{dataset}@{} was not yet looked at by {model}@{}", pinned.number, version.number);
            let hint = "ask for its features first: POST /api/v1/embeddings, or `hub neighbors`, which does so by itself";
            return Err(Error::conflict("not_embedded", message, hint));
        };
        let folder = tempfile::tempdir().map_err(|e| Error::of_file("no temporary folder", &e))?;
        let (rows, items) = (self.local_file(&rows.digest, folder.path()).await?, self.local_file(&items.digest, folder.path()).await?);
        let searched = self.work().run(&Whose::of(actor), move || search(&rows, &items, &features, count)).await?;
        drop(folder);
        let found = searched.map_err(|why| Error::Internal(format!("the features of a data set cannot be read: {why}")))?;
        Ok(Neighbors { model_version: version.number, dataset_version: pinned.number, found })
    }
}

fn search(rows: &Path, items: &Path, query: &[f32], count: usize) -> std::result::Result<Vec<Neighbor>, String> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(rows).map_err(|e| e.to_string())?);
    let width = width_of(&mut reader)?;
    if width != query.len() {
        return Err(format!("they are {width} wide, and those of the item {}", query.len()));
    }
    let nearest = nearest(&mut reader, query, count).map_err(|e| e.to_string())?;
    named(items, &nearest)
}

/// Reads numpy's header: magic word, length, then text with the shape.
fn width_of(reader: &mut impl Read) -> std::result::Result<usize, String> {
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
    let width = shape.split(',').nth(1).and_then(|width| width.trim().parse().ok());
    width.filter(|width| (1..=WIDEST).contains(width) && header.contains("'<f4'")).ok_or_else(|| format!("its header says {header}"))
}

/// Row numbers with their cosines, nearest first; of equals the first.
fn nearest(reader: &mut impl Read, query: &[f32], count: usize) -> std::io::Result<Vec<(usize, f32)>> {
    let length = |row: &[f32]| row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    let own = length(query);
    let (mut bytes, mut row) = (vec![0; 4 * query.len()], vec![0.0; query.len()]);
    let mut kept: Vec<(usize, f32)> = Vec::with_capacity(count + 1);
    for number in 0.. {
        match reader.read_exact(&mut bytes) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => break,
            read => read?,
        }
        for (value, bytes) in row.iter_mut().zip(bytes.chunks_exact(4)) {
            *value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        let product: f64 = row.iter().zip(query).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        let scale = own * length(&row);
        let cosine = if scale > 0.0 && scale.is_finite() { (product / scale) as f32 } else { 0.0 };
        let at = kept.partition_point(|(_, other)| *other >= cosine);
        if at < count {
            kept.insert(at, (number, cosine));
            kept.truncate(count);
        }
    }
    Ok(kept)
}

/// What the rows are: `row,path,split,target`.
fn named(items: &Path, nearest: &[(usize, f32)]) -> std::result::Result<Vec<Neighbor>, String> {
    let mut found: Vec<Option<Neighbor>> = vec![None; nearest.len()];
    let mut table = csv::Reader::from_path(items).map_err(|e| e.to_string())?;
    for record in table.records() {
        let record = record.map_err(|e| e.to_string())?;
        let cell = |at: usize| record.get(at).unwrap_or_default().to_owned();
        let number = record.get(0).and_then(|row| row.parse::<usize>().ok());
        if let Some(at) = nearest.iter().position(|(row, _)| Some(*row) == number) {
            found[at] = Some(Neighbor { path: cell(1), split: cell(2), target: cell(3), similarity: nearest[at].1 });
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
        let found = search(&rows, &items, &[3.0, 0.0], 3).unwrap();
        let told: Vec<_> = found.iter().map(|n| (n.path.as_str(), n.target.as_str(), (n.similarity * 1000.0).round())).collect();
        assert_eq!(told, [("b,1.png", "right", 1000.0), ("e.png", "both", 707.0), ("a.png", "up", 0.0)]);
        assert_eq!(search(&rows, &items, &[3.0, 0.0], 100).unwrap().len(), 5);
        assert!(search(&rows, &items, &[1.0], 3).unwrap_err().contains("2 wide"));
        std::fs::write(&rows, b"nonsense that is long enough").unwrap();
        assert!(search(&rows, &items, &[3.0, 0.0], 3).is_err());
    }
}
