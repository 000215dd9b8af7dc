//! What a model said about places of an image, drawn for a page.

use bytes::Bytes;

use super::super::Service;
use crate::data::Limits;
use crate::data::image::answered;
use crate::domain::prediction::Answered;

/// Longer side of the picture in it.
const SIDE: u32 = 640;

impl Service {
    /// An answer over the image that it is about, as SVG whose picture is small enough for a page; `None` of answers that are about no places.
    /// What it draws on came with the question.
    pub async fn drawn(&self, item: Bytes, answered: Answered) -> Option<String> {
        let limits = Limits::of(&self.policy().data_limits);
        let drawn = tokio::task::spawn_blocking(move || answered::svg(&item, &answered.answer, &limits, SIDE)).await;
        drawn.ok()?.ok()?
    }
}
