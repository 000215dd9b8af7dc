//! Checks of files that somebody publishes: a data set's pictures, archives and tables are opened, and every file is looked into for
//! pickles; weights that are pickles are read into safetensors (`importing`). Decoders meet hostile bytes here, so a server lets a confined process do it, one for each publish: what breaks or takes
//! over such a process has these files and nothing else, and the next publish meets a new one.
//!
//! [`Checks::here`] does the same in this process, for whoever uses the library without its program.

mod child;
mod confined;
mod importing;
mod order;
mod pictures;
mod refused;

use std::path::PathBuf;
use std::sync::Arc;

pub use child::run;
pub use confined::Confined;
pub use importing::{Made, NotMade, ToImport};
pub use pictures::{Small, ToShow};
pub use refused::{Kind, Refused};

use crate::archive::ReadAt;
use crate::data::{self, Limits, Source};
use crate::domain::data_limits::DataLimits;
use crate::domain::dataset_report::DatasetReport;
use crate::import::scan::{self, Findings};

/// Who checks.
#[derive(Clone, Default)]
pub struct Checks(Option<Arc<Confined>>);

/// A file that is looked into for pickles.
pub struct Scanned {
    /// How people know it.
    pub name: String,
    /// Where it lies on this machine, if it does; else its bytes are asked for.
    pub path: Option<PathBuf>,
    pub bytes: Box<dyn ReadAt + Send + Sync>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process that checked ended, or was ended, before it had an answer: in words that follow "the check of ...".
    #[error("did not come to its end: {0}")]
    Ended(String),
    /// It could not be started.
    #[error("cannot begin: {0}")]
    NotStarted(std::io::Error),
    /// The bytes of a file could not be had.
    #[error(transparent)]
    Unread(std::io::Error),
}

impl Checks {
    /// In this process.
    pub fn here() -> Checks {
        Checks(None)
    }

    /// In processes that hold these files and nothing else.
    pub fn confined(by: Confined) -> Checks {
        Checks(Some(Arc::new(by)))
    }

    /// Opens every item of a data set, on all cores. Blocks.
    pub fn dataset(&self, files: Vec<(String, PathBuf)>, limits: &DataLimits) -> Result<Result<DatasetReport, Refused>, Error> {
        match &self.0 {
            None => Ok(check(files, limits)),
            Some(confined) => confined.dataset(files, limits),
        }
    }

    /// Reads weights into a model folder. Blocks.
    pub fn import(&self, what: &ToImport) -> Result<Result<Made, NotMade>, Error> {
        let form = match &self.0 {
            None => importing::import(what),
            Some(confined) => confined.import(what)?,
        };
        Ok(form.and_then(|form| importing::look(&what.out, form)))
    }

    /// Makes small pictures of items of a data set and tells each with its place among their paths. What cannot be listed has none. Blocks.
    pub fn pictures(&self, what: ToShow, told: &mut dyn FnMut(usize, Option<Small>)) -> Result<(), Error> {
        match &self.0 {
            None => {
                pictures::make(&what, told);
                Ok(())
            }
            Some(confined) => confined.pictures(what, told),
        }
    }

    /// Looks into each file; what was found, in their order. Blocks.
    pub fn scan(&self, files: Vec<Scanned>) -> Result<Vec<Findings>, Error> {
        match &self.0 {
            None => files.into_iter().map(|file| scan::scan(&*file.bytes).map_err(Error::Unread)).collect(),
            Some(confined) => confined.scan(&files),
        }
    }
}

fn check(files: Vec<(String, PathBuf)>, limits: &DataLimits) -> Result<DatasetReport, Refused> {
    data::check(&Source::Files(files), &Limits::of(limits), &mut |_, _| {}).map_err(Refused::of)
}
