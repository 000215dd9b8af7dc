//! What a build of the program knows of an architecture, for people who look for a base.

use serde::Serialize;

use super::modality::Modality;

/// One architecture that networks of this build can have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ArchitectureFacts {
    /// timm's name, without a tag.
    pub name: &'static str,
    pub family: &'static str,
    pub modality: Modality,
    /// Of the usual image, in pixels a side, or of the longest text, in tokens; images of other sides are taken, too, unless `fixed`.
    pub side: usize,
    pub fixed: bool,
    /// Where positions of patches are learnt, and interpolated for images of other sides: these are multiples of so many pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<usize>,
    /// Width of the pooled features.
    pub features: usize,
    /// Of the backbone, without a classifier.
    pub parameters: u64,
    /// Of one image of the usual side, forward.
    pub multiply_adds: f64,
    /// From the input upwards; `frozen_stages` counts them.
    pub stages: Vec<String>,
}
