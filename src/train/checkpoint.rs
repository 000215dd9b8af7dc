//! Checkpoints: everything the rest of a run depends on, in one safetensors file that is renamed into place.
//!
//! ```text
//! now.<name>          weights and buffers that change, after the last whole epoch
//! best.<name>         the same at the best epoch
//! optimizer.<slot>.<name>
//! average.<name>      the moving average, where there is one
//! probe.weight, .bias the best head on the base's features, where it was found
//! answers.ids, .outputs what that head says about validation items, where a run is compared with it
//! __metadata__.state  JSON: what run this is, the probe and the plan, epochs done, history, best epoch
//! ```
//!
//! There is no state of a random generator in it: what is random about an epoch (order, views, dropout) is drawn
//! from the recipe's seed and the epoch's number, so the number is enough.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::strategy::{Choice, Plan};
use crate::domain::evaluation::Evaluation;
use crate::domain::findings::FoundRate;
use crate::domain::job_event::EpochNumbers;

/// The name a checkpoint takes in the scratch folder.
pub const FILE_NAME: &str = "checkpoint.safetensors";
const FORMAT: u32 = 1;

/// What a checkpoint says besides tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub format: u32,
    /// Recipe, base weights and data; only the same run may resume.
    pub run: String,
    pub optimizer_steps: u64,
    /// One entry per whole epoch.
    pub history: Vec<EpochNumbers>,
    /// The bits of the best epoch's merit (its first measure, so that more is better) and loss: JSON's decimals may come back one bit off, and a tie
    /// must stay a tie over a resume.
    best_bits: Option<(u64, u64)>,
    /// Seconds spent so far, over all attempts.
    pub seconds: f64,
    /// Items that could not be read, by path.
    pub skipped: Vec<String>,
    /// What the probe came to, where there is one.
    #[serde(default)]
    pub probe: Option<Probed>,
    /// What the probe comes to where the run does not start from it.
    #[serde(default)]
    pub rival: Option<Probed>,
    /// What the learning-rate finder came to, where it was asked for, and the bits of what the recipe's rates are multiplied by.
    #[serde(default)]
    pub rate: Option<(FoundRate, u64)>,
}

/// The probe of a run, and what followed from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probed {
    /// Of its merit and its loss, as those of the best epoch.
    pub bits: (u64, u64),
    /// Loss and first measure on the training items.
    pub train: (f64, f64),
    /// On the validation items.
    pub evaluation: Evaluation,
    pub l2: f64,
    pub chosen_by: String,
    pub plan: Plan,
    pub choice: Option<Choice>,
}

impl State {
    pub fn new(run: String) -> State {
        State {
            format: FORMAT,
            run,
            optimizer_steps: 0,
            history: Vec::new(),
            best_bits: None,
            seconds: 0.0,
            skipped: Vec::new(),
            probe: None,
            rival: None,
            rate: None,
        }
    }

    /// Whole epochs done.
    pub fn epoch(&self) -> u32 {
        self.history.len() as u32
    }

    /// Whether these validation numbers are better than the best so far: more merit, or the same with less loss.
    pub fn is_beaten_by(&self, merit: f64, loss: f64) -> bool {
        self.best_bits.is_none_or(|(best, least)| (merit, -loss) > (f64::from_bits(best), -f64::from_bits(least)))
    }

    pub fn set_best(&mut self, merit: f64, loss: f64) {
        self.best_bits = Some((merit.to_bits(), loss.to_bits()));
    }

    /// The epoch whose weights are the best so far, and how many epochs have gone by since.
    pub fn best(&self) -> Option<(&EpochNumbers, u32)> {
        let at = self.history.iter().rposition(|epoch| epoch.best)?;
        Some((&self.history[at], (self.history.len() - 1 - at) as u32))
    }
}

/// Named tensors and the state, as read back.
pub struct Checkpoint {
    pub state: State,
    tensors: HashMap<String, Tensor>,
    path: PathBuf,
}

/// Writes a checkpoint beside its final name, makes it durable and renames it into place: a reader finds the old
/// one or the new one, never half of one.
pub fn save(folder: &Path, state: &State, tensors: &[(String, Tensor)]) -> Result<PathBuf> {
    let path = folder.join(FILE_NAME);
    let json = serde_json::to_string(state).map_err(|error| bad(&path, error))?;
    let views = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    let bytes = safetensors::serialize(views, Some(HashMap::from([("state".to_owned(), json)]))).map_err(|error| bad(&path, error))?;
    let failed = |error| Error::Io { what: "cannot write the checkpoint", path: path.clone(), source: error };
    let mut file = tempfile::Builder::new().prefix(".checkpoint").tempfile_in(folder).map_err(failed)?;
    file.write_all(&bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(path)
}

impl Checkpoint {
    /// Reads a checkpoint of the run `run`; its tensors go to `device`, wherever they were written.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is damaged or of another run.
    pub fn load(path: &Path, run: &str, device: &Device) -> Result<Checkpoint> {
        let bytes = std::fs::read(path).map_err(Error::io("cannot read the checkpoint", path))?;
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).map_err(|error| bad(path, error))?;
        let json = metadata.metadata().as_ref().and_then(|m| m.get("state")).ok_or_else(|| bad(path, "it holds no state"))?;
        let state: State = serde_json::from_str(json).map_err(|error| bad(path, error))?;
        if state.format != FORMAT {
            return Err(bad(path, format!("its format is {}, this program reads {FORMAT}", state.format)));
        }
        if state.run != run {
            return Err(bad(path, "it belongs to another recipe, base model or data set"));
        }
        let tensors = candle_core::safetensors::load_buffer(&bytes, device).map_err(|error| bad(path, error))?;
        Ok(Checkpoint { state, tensors, path: path.to_owned() })
    }

    /// Takes out the tensor `name`.
    pub fn take(&mut self, name: &str) -> Option<Tensor> {
        self.tensors.remove(name)
    }

    /// The error for a tensor that should have been there.
    pub fn lacks(&self, name: &str) -> Error {
        bad(&self.path, format!("the tensor `{name}` is missing or has another shape"))
    }
}

fn bad(path: &Path, reason: impl ToString) -> Error {
    Error::Checkpoint { path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::task::Task;

    fn numbers(epoch: u32, best: bool) -> EpochNumbers {
        EpochNumbers {
            epoch,
            epochs: 3,
            task: Task::Classification,
            train_loss: 0.1 + 0.2,
            train_primary: 1.0 / 3.0,
            val_loss: 0.5,
            val: vec![0.25, 1.0, 0.2],
            lr: 1e-3,
            samples_per_second: 12.5,
            seconds: 1.5,
            eta_seconds: 3.0,
            best,
        }
    }

    #[test]
    fn what_is_written_is_read_and_replaces_the_last_one() {
        let folder = tempfile::tempdir().unwrap();
        let tensor = Tensor::new(&[[1.0f32, -0.0], [f32::MIN_POSITIVE, 3.5]], &Device::Cpu).unwrap();
        let mut state = State::new("run".into());
        save(folder.path(), &state, &[("now.w".into(), tensor.clone())]).unwrap();
        state.history = vec![numbers(1, true), numbers(2, true), numbers(3, false)];
        let (top1, loss) = (1.0 / 3.0, 0.1 + 0.2);
        state.set_best(top1, loss);
        let path = save(folder.path(), &state, &[("now.w".into(), tensor.clone())]).unwrap();
        let mut read = Checkpoint::load(&path, "run", &Device::Cpu).unwrap();
        assert_eq!(read.state, state);
        let beaten = |top1: f64, loss: f64| read.state.is_beaten_by(top1, loss);
        assert!(beaten(top1.next_up(), 9.0) && beaten(top1, loss.next_down()), "by the smallest step");
        assert!(!beaten(top1, loss) && !beaten(top1.next_down(), 0.0) && State::new("run".into()).is_beaten_by(0.0, 9.0));
        assert_eq!(read.state.best().map(|(epoch, since)| (epoch.epoch, since)), Some((2, 1)));
        assert_eq!(read.take("now.w").unwrap().to_vec2::<f32>().unwrap(), tensor.to_vec2::<f32>().unwrap());
        assert!(read.take("now.w").is_none());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_checkpoint_of_another_run_or_a_damaged_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = save(folder.path(), &State::new("run".into()), &[]).unwrap();
        let refused = |run: &str| matches!(Checkpoint::load(&path, run, &Device::Cpu), Err(Error::Checkpoint { .. }));
        assert!(refused("another"));
        let bytes = std::fs::read(&path).unwrap();
        for length in [0, 7, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(refused("run"), "{length} bytes");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Checkpoint::load(&path, "run", &Device::Cpu), Err(Error::Io { .. })));
    }
}
