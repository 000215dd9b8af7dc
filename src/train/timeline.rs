//! Items that go on for a time, before they are asked about piece by piece.

use super::error::{Error, Result};
use super::predict::Predictor;

impl Predictor {
    /// Whether what it takes goes on for a time.
    ///
    /// # Errors
    /// It does not, in words.
    pub fn need_time(&self) -> Result<()> {
        let name = self.modality.name();
        if name.has_frames() {
            return Ok(());
        }
        Err(Error::Unsupported(format!("the model takes {}, which have no pieces of so many seconds", name.items())))
    }

    /// How long an encoded item goes on, in seconds.
    ///
    /// # Errors
    /// It cannot be read, or has no time, with the reason.
    pub fn seconds(&self, item: &[u8]) -> Result<f64> {
        let refused = |refusal| Error::Data(self.modality.unreadable(self.modality.name().item().into(), refusal));
        self.modality.seconds(item, &self.limits).map_err(refused)
    }
}
