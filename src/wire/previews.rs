//! A few items of a data set, small enough to be looked at.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Items of a data set's version, some of each class.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Previews {
    pub previews: Vec<Preview>,
}

/// One item: a text has `text`, anything else a small picture in `data`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Preview {
    /// Where the item lies, as in reports; of a table `FILE:ROW`.
    pub path: String,
    /// Its class, labels or number.
    pub class: String,
    /// How the text begins, 280 characters at most; the two of a pair are a line each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A small picture as a `data:` address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}
