//! The forms that answers are handed over in, by the names people and programs give them.

/// A form of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// All that is known of every item.
    Json,
    /// A line an item, for spreadsheets.
    Csv,
    /// One matrix of f32, for numpy; rows of items without an answer are NaN.
    Npy,
    /// The same matrix with names of rows and columns beside it.
    Safetensors,
    /// A row an item, for pandas, Polars, DuckDB and the Hugging Face libraries.
    Parquet,
    /// What COCO's tools read of results: boxes and masks of all items in one list.
    Coco,
}
crate::domain::user::words!(
    Format,
    Json = "json",
    Csv = "csv",
    Npy = "npy",
    Safetensors = "safetensors",
    Parquet = "parquet",
    Coco = "coco"
);

impl Format {
    pub const ALL: [Format; 6] = [Format::Json, Format::Csv, Format::Npy, Format::Safetensors, Format::Parquet, Format::Coco];

    pub fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Csv => "text/csv; charset=utf-8",
            Format::Npy => "application/x-npy",
            Format::Safetensors => "application/x-safetensors",
            Format::Parquet => "application/vnd.apache.parquet",
            Format::Coco => "application/x-coco-results+json",
        }
    }

    /// The first that an `Accept` header names; `None` where it names none of them.
    pub fn accepted(header: &str) -> Option<Format> {
        let bare = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        header.split(',').map(bare).find_map(|wanted| Format::ALL.into_iter().find(|format| bare(format.media_type()) == wanted))
    }

    /// Whether it holds numbers alone, a column for each class.
    pub fn is_matrix(self) -> bool {
        matches!(self, Format::Npy | Format::Safetensors)
    }

    /// Whether it is nothing for a terminal.
    pub fn is_binary(self) -> bool {
        !matches!(self, Format::Json | Format::Csv | Format::Coco)
    }

    /// All names, for people.
    pub fn names() -> String {
        Format::ALL.map(Format::as_str).join(", ")
    }
}
