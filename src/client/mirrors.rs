//! The calls about repos that come from the hub behind the server.

use reqwest::Method;

use super::retry::Repeat;
use super::send::Call;
use super::{Client, Result};
use crate::wire::List;
use crate::wire::mirrors::{Mirror, MirrorUpdated, UpdateMirror};

impl Client {
    /// All that were asked for there; for administrators.
    pub async fn mirrors(&self) -> Result<List<Mirror>> {
        self.json(Call::get(self.address.api(&["mirrors"]))).await
    }

    /// Lets one follow its other hub. The answer may be that it is on its way: then ask again.
    pub async fn update_mirror(&self, body: &UpdateMirror) -> Result<MirrorUpdated> {
        self.json(Call::with(Method::POST, self.address.api(&["mirrors", "update"]), Repeat::Always, body)?).await
    }
}
