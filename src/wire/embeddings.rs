//! Embeddings as clients of other servers ask for them: OpenAI's `/v1/embeddings`, and text-embeddings-inference's `/embed` and
//! `/rerank`. Keys that are not known here are passed over, as those servers do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One text or several. Token ids are those of another model's tokenizer, and are refused.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Inputs {
    One(String),
    Many(Vec<String>),
    Ids(Vec<u32>),
    ManyIds(Vec<Vec<u32>>),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    #[default]
    Float,
    /// Of little-endian f32: what OpenAI's own client asks for.
    Base64,
}

/// What `/v1/embeddings` is asked.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EmbeddingsAsked {
    /// `namespace/name[@revision]`
    pub model: String,
    pub input: Inputs,
    #[serde(default)]
    pub encoding_format: Encoding,
    /// So many of the first numbers, scaled to length one again; all if left out.
    #[serde(default)]
    pub dimensions: Option<usize>,
}

/// What `/v1/embeddings` answers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EmbeddingsSaid {
    /// `list`
    pub object: String,
    pub data: Vec<EmbeddingSaid>,
    /// `namespace/name@version`
    pub model: String,
    pub usage: TokenUsage,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EmbeddingSaid {
    /// `embedding`
    pub object: String,
    pub index: usize,
    pub embedding: Vector,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Vector {
    Floats(Vec<f32>),
    Base64(String),
}

/// Tokens that were read.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct TokenUsage {
    pub prompt_tokens: usize,
    pub total_tokens: usize,
}

/// What `/embed` is asked.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EmbedAsked {
    pub inputs: Inputs,
    /// Whether vectors are scaled to length one; they are if left out.
    #[serde(default = "yes")]
    pub normalize: bool,
    /// Whether a text that is too long loses its end; it is refused if left out.
    #[serde(default)]
    pub truncate: bool,
    /// A prompt of the model's config, put before every text instead of the usual one.
    #[serde(default)]
    pub prompt_name: Option<String>,
}

/// What `/similarity` is asked.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SimilarityAsked {
    pub inputs: SimilarityInputs,
    #[serde(default)]
    pub parameters: SimilarityParameters,
}

/// A text, and those it is compared with.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SimilarityInputs {
    pub source_sentence: String,
    pub sentences: Vec<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct SimilarityParameters {
    /// Whether a text that is too long loses its end; it is refused if left out.
    #[serde(default)]
    pub truncate: bool,
    /// A prompt of the model's config, put before every text instead of the usual one.
    #[serde(default)]
    pub prompt_name: Option<String>,
}

/// What `/rerank` is asked.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RerankAsked {
    pub query: String,
    pub texts: Vec<String>,
    /// Logits instead of numbers from 0 to 1.
    #[serde(default)]
    pub raw_scores: bool,
    #[serde(default)]
    pub return_text: bool,
    /// Whether a pair that is too long loses its end; it is refused if left out.
    #[serde(default)]
    pub truncate: bool,
}

/// A text's rank; they come best first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Ranked {
    /// Among those that were asked about.
    pub index: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    pub score: f32,
}

/// What OpenAI's API answers with 400 and above.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OpenAiError {
    pub error: OpenAiProblem,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OpenAiProblem {
    /// What is wrong, and what to do next.
    pub message: String,
    /// `invalid_request_error`, `rate_limit_error` or `server_error`
    #[serde(rename = "type")]
    pub kind: String,
    /// The key of the question that is wrong, if one is.
    pub param: Option<String>,
    /// `invalid_api_key`, `model_not_found`, `rate_limit_exceeded`, or this hub's own code.
    pub code: Option<String>,
}

/// What text-embeddings-inference answers with 400 and above.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TeiError {
    /// What is wrong, and what to do next.
    pub error: String,
    /// `Empty`, `Tokenizer`, `Validation`, `Overloaded`, `Unhealthy` or `Backend`
    pub error_type: String,
}

fn yes() -> bool {
    true
}
