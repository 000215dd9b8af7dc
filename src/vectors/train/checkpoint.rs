//! What a run needs to go on, in its working folder: the plan (settings, corpus, what counting found), and after a while how far it
//! is with both matrices. Each file is written beside its place and renamed into it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Settings;
use super::prepare::Counted;
use super::weights::Weights;
use crate::vectors::error::{Error, Result};
use crate::vectors::matrix::{Dtype, Matrix, MatrixWriter};
use crate::vectors::tensors::{TensorFile, TensorWriter};

/// Names in the working folder.
pub const PLAN_FILE: &str = "plan.json";
pub const STATE_FILE: &str = "state.safetensors";

/// What the run does; a run with another plan does not go on from here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub settings: Settings,
    /// Paths and sizes.
    pub corpus: Vec<(String, u64)>,
    /// The file of the vectors that it goes on from.
    pub from: Option<String>,
    pub counted: Counted,
}

impl Plan {
    /// The plan in a folder, if there is one.
    pub fn read(folder: &Path) -> Result<Option<Plan>> {
        let path = folder.join(PLAN_FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(&path)(error)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| Error::corrupt(&path, error.column() as u64, error.to_string()))
    }

    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(PLAN_FILE);
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        renamed(&path, |path| std::fs::write(path, &text).map_err(Error::io(path)))
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    pub epoch: usize,
    /// Batches of the epoch that are done.
    pub batch: usize,
    /// Words trained on in all epochs.
    pub words: u64,
}

fn renamed(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let beside = path.with_extension("new");
    write(&beside)?;
    std::fs::rename(&beside, path).map_err(Error::io(path))
}

/// Writes how far the run is, and both matrices.
pub fn save(folder: &Path, position: Position, input: &mut Weights, output: &mut Weights) -> Result<()> {
    renamed(&state_file(folder), |path| {
        let mut out = TensorWriter::create(path)?;
        let Position { epoch, batch, words } = position;
        out.tensor("position", "I64", &[3], [epoch as u64, batch as u64, words].map(u64::to_le_bytes).into_iter())?;
        for (name, weights) in [("input", input), ("output", output)] {
            let mut matrix = MatrixWriter::new(out, Dtype::F32, weights.width);
            for row in 0..weights.rows {
                matrix.push(weights.get(row))?;
            }
            out = matrix.end(name)?;
        }
        out.finish()
    })
}

/// Where they lie in a working folder.
pub fn state_file(folder: &Path) -> PathBuf {
    folder.join(STATE_FILE)
}

/// Reads them again.
pub fn load(path: &Path, input: &mut Weights, output: &mut Weights) -> Result<Position> {
    let file = std::sync::Arc::new(TensorFile::open(path)?);
    let (range, shape) = file.get("position", "I64", 1)?;
    let numbers: Vec<u64> = file.bytes(&range).as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
    let &[epoch, batch, words] = numbers.as_slice() else {
        return Err(Error::corrupt(path, range.start as u64, format!("a position of {shape:?} numbers is none")));
    };
    for (name, weights) in [("input", input), ("output", output)] {
        let matrix = Matrix::open(&file, name)?;
        if matrix.rows != weights.rows || matrix.width != weights.width {
            return Err(Error::corrupt(path, 0, format!("`{name}` is of another size than the plan")));
        }
        (0..matrix.rows).for_each(|row| matrix.read(row, weights.get(row)));
    }
    Ok(Position { epoch: epoch as usize, batch: batch as usize, words })
}
