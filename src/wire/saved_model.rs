//! What the server read in a SavedModel.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::saved_model as domain;

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct SavedModel {
    /// Where it lies: empty, or with `/` at its end
    pub folder: String,
    /// The version of TensorFlow that wrote it
    pub tensorflow: String,
    pub graphs: Vec<SavedGraph>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct SavedGraph {
    pub tags: Vec<String>,
    pub signatures: Vec<SavedSignature>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct SavedSignature {
    pub name: String,
    pub inputs: Vec<SavedTensor>,
    pub outputs: Vec<SavedTensor>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct SavedTensor {
    pub name: String,
    /// `float32`, `string` ...
    pub dtype: String,
    /// `[?, 224, 224, 3]`
    pub shape: String,
}

impl From<domain::SavedModel> for SavedModel {
    fn from(model: domain::SavedModel) -> SavedModel {
        let tensor = |t: domain::Tensor| SavedTensor { name: t.name, dtype: t.dtype, shape: t.shape };
        let tensors = |all: Vec<domain::Tensor>| all.into_iter().map(tensor).collect();
        let signature = |s: domain::Signature| SavedSignature { name: s.name, inputs: tensors(s.inputs), outputs: tensors(s.outputs) };
        let graph = |g: domain::Graph| SavedGraph { tags: g.tags, signatures: g.signatures.into_iter().map(signature).collect() };
        SavedModel { folder: model.folder, tensorflow: model.tensorflow, graphs: model.graphs.into_iter().map(graph).collect() }
    }
}
