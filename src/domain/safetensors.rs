//! The header of a safetensors file, read without trusting it: which tensors a file holds, and where.
//!
//! ```text
//! 0        8                8+N                                      file size
//! | N: u64 | N bytes of JSON | tensor bytes, without holes or overlaps |
//! ```
//!
//! The reference crate accepts files we do not want in a registry (a header that starts with a space, names
//! such as `../../x`, no tensors at all, a hundred thousand empty ones, a key given twice), and its errors
//! rarely name the tensor. A registry answers people who did not write the file, so ours always do.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::path::invisible;

/// Longest header we read; a hundred thousand honest tensors fit well inside.
pub const MAX_HEADER_BYTES: u64 = 16 * 1024 * 1024;
/// Most tensors in one file.
pub const MAX_TENSORS: usize = 100_000;
/// Longest tensor name in bytes.
pub const MAX_NAME_BYTES: usize = 512;
/// More axes than this no framework understands.
const MAX_AXES: usize = 16;

/// What a header says, in the order of the bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    pub tensors: Vec<TensorInfo>,
    /// The `__metadata__` object, such as `format: pt`.
    pub metadata: BTreeMap<String, String>,
    /// Numbers that are learned: every tensor but the running statistics of batch norm layers, which is how
    /// frameworks (and papers) count.
    pub parameters: u64,
    /// All numbers in the file, by dtype.
    pub by_dtype: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    pub name: String,
    /// As written in the file: `F32`, `BF16`, `I64` ...
    pub dtype: String,
    pub shape: Vec<usize>,
    /// Where its bytes begin, counted from the start of the file.
    pub offset: u64,
    pub size_bytes: u64,
}

/// Why a file is not a safetensors file we take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("the file ends inside its safetensors header; upload it whole")]
    Truncated,
    #[error("the safetensors header claims {bytes} bytes, more than the {MAX_HEADER_BYTES} allowed; this is not a safetensors file")]
    TooLong { bytes: u64 },
    #[error("this is {found}, not a safetensors file; convert it with `hub import` and publish the result")]
    NotSafetensors { found: &'static str },
    #[error("the safetensors header is not valid JSON: {0}; write the file again with a safetensors library")]
    Json(String),
    #[error("the safetensors file holds no tensors; there is nothing to load from it")]
    NoTensors,
    #[error("the safetensors file holds more than {MAX_TENSORS} tensors; split it")]
    TooManyTensors,
    #[error("tensor `{name}`: {problem}")]
    Tensor { name: String, problem: String },
}

/// Length in bytes of the JSON that follows the first eight bytes of a file.
pub fn header_len(first8: &[u8]) -> Result<usize, HeaderError> {
    let first8: [u8; 8] = first8.get(..8).and_then(|bytes| bytes.try_into().ok()).ok_or(HeaderError::Truncated)?;
    let bytes = u64::from_le_bytes(first8);
    if bytes <= MAX_HEADER_BYTES {
        return Ok(bytes as usize);
    }
    match &first8 {
        [0x80, 2..=5, ..] => Err(HeaderError::NotSafetensors { found: "a Python pickle (an old PyTorch file)" }),
        [b'P', b'K', 3, 4, ..] => Err(HeaderError::NotSafetensors { found: "a zip archive (perhaps a PyTorch file)" }),
        [0x89, b'H', b'D', b'F', ..] => Err(HeaderError::NotSafetensors { found: "an HDF5 file" }),
        [b'G', b'G', b'U', b'F', ..] => Err(HeaderError::NotSafetensors { found: "a GGUF file" }),
        [0x93, b'N', b'U', b'M', ..] => Err(HeaderError::NotSafetensors { found: "a NumPy array" }),
        [b'7', b'z', 0xbc, 0xaf, ..] => Err(HeaderError::NotSafetensors { found: "a 7z archive" }),
        [0x1f, 0x8b, ..] => Err(HeaderError::NotSafetensors { found: "a gzip file" }),
        _ => Err(HeaderError::TooLong { bytes }),
    }
}

/// Reads and checks a header. `prefix` is the beginning of the file, at least the eight bytes of length and
/// the header they announce; `file_size` is the size of the whole file in bytes.
pub fn parse_header(prefix: &[u8], file_size: u64) -> Result<Header, HeaderError> {
    let length = header_len(prefix)?;
    let data_start = 8 + length as u64;
    let json = prefix.get(8..8 + length).ok_or(HeaderError::Truncated)?;
    if data_start > file_size {
        return Err(HeaderError::Truncated);
    }
    // The format leaves the bytes free to begin otherwise, but then a file may be two formats at once.
    if json.first() != Some(&b'{') {
        return Err(HeaderError::NotSafetensors { found: "a file of another kind" });
    }
    let raw: RawHeader = serde_json::from_slice(json).map_err(|error| raw_error(&error))?;
    check(raw, data_start, file_size)
}

fn check(raw: RawHeader, data_start: u64, file_size: u64) -> Result<Header, HeaderError> {
    let mut tensors = Vec::with_capacity(raw.tensors.len());
    let mut by_dtype = BTreeMap::new();
    let mut parameters = 0u64;
    for (name, entry) in raw.tensors {
        let elements = entry.check(&name)?;
        *by_dtype.entry(entry.dtype.clone()).or_insert(0) += elements;
        if !is_buffer(&name) && !is_counter(&name) {
            parameters = parameters.saturating_add(elements);
        }
        let [begin, end] = entry.data_offsets;
        let offset = data_start.checked_add(begin).ok_or_else(|| problem(&name, "its offsets overflow"))?;
        tensors.push(TensorInfo { name, dtype: entry.dtype, shape: entry.shape, offset, size_bytes: end - begin });
    }
    if tensors.is_empty() {
        return Err(HeaderError::NoTensors);
    }
    tensors.sort_by(|a, b| (a.offset, a.size_bytes, &a.name).cmp(&(b.offset, b.size_bytes, &b.name)));
    check_cover(&tensors, data_start, file_size)?;
    Ok(Header { tensors, metadata: raw.metadata, parameters, by_dtype })
}

/// The tensors' bytes must follow each other from the header to the end of the file.
fn check_cover(tensors: &[TensorInfo], data_start: u64, file_size: u64) -> Result<(), HeaderError> {
    let mut expected = data_start;
    for (index, tensor) in tensors.iter().enumerate() {
        if tensor.offset < expected {
            let before = shown(&tensors[index.saturating_sub(1)].name);
            return Err(problem(&tensor.name, &format!("its bytes overlap those of `{before}`")));
        }
        if tensor.offset > expected {
            let hole = tensor.offset - expected;
            return Err(problem(&tensor.name, &format!("{hole} bytes before it belong to no tensor")));
        }
        expected = tensor.offset.checked_add(tensor.size_bytes).ok_or_else(|| problem(&tensor.name, "its offsets overflow"))?;
        if expected > file_size {
            return Err(problem(&tensor.name, &format!("its bytes end at {expected}, but the file has only {file_size}")));
        }
    }
    match tensors.last() {
        Some(last) if expected < file_size => {
            Err(problem(&last.name, &format!("{} bytes after it, the last tensor, belong to no tensor", file_size - expected)))
        }
        _ => Ok(()),
    }
}

/// Whether a tensor follows the data instead of being learnt: a running statistic of batch norm.
pub fn is_buffer(name: &str) -> bool {
    matches!(leaf(name), "running_mean" | "running_var")
}

/// Whether a tensor counts batches beside a batch norm, as PyTorch's do. Nothing needs the number.
pub fn is_counter(name: &str) -> bool {
    leaf(name) == "num_batches_tracked"
}

fn leaf(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Bits of one element, or None for a dtype the format does not know.
pub fn dtype_bits(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "F4" => 4,
        "F6_E2M3" | "F6_E3M2" => 6,
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" | "F8_E4M3FNUZ" | "F8_E5M2FNUZ" => 8,
        "I16" | "U16" | "F16" | "BF16" => 16,
        "I32" | "U32" | "F32" => 32,
        "I64" | "U64" | "F64" | "C64" => 64,
        _ => return None,
    })
}

struct RawHeader {
    tensors: Vec<(String, RawTensor)>,
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

impl RawTensor {
    /// Number of elements, when name, dtype, shape and size agree.
    fn check(&self, name: &str) -> Result<u64, HeaderError> {
        check_name(name)?;
        let bits = dtype_bits(&self.dtype).ok_or_else(|| problem(name, &format!("unknown dtype `{}`", shown(&self.dtype))))?;
        if self.shape.len() > MAX_AXES {
            return Err(problem(name, &format!("{} axes are more than the {MAX_AXES} allowed", self.shape.len())));
        }
        let elements = self.shape.iter().try_fold(1u64, |product, &side| product.checked_mul(side as u64));
        let elements = elements.ok_or_else(|| problem(name, "its shape overflows"))?;
        let all_bits = elements.checked_mul(bits).ok_or_else(|| problem(name, "its shape overflows"))?;
        let [begin, end] = self.data_offsets;
        if begin > end {
            return Err(problem(name, &format!("it begins at {begin}, after its end at {end}")));
        }
        if all_bits % 8 != 0 || all_bits / 8 != end - begin {
            let (have, need) = (end - begin, all_bits.div_ceil(8));
            return Err(problem(name, &format!("shape {:?} of {} needs {need} bytes, the header gives {have}", self.shape, self.dtype)));
        }
        Ok(elements)
    }
}

fn check_name(name: &str) -> Result<(), HeaderError> {
    if name.is_empty() {
        return Err(problem(name, "its name is empty"));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(problem(name, &format!("its name is longer than {MAX_NAME_BYTES} bytes")));
    }
    if name.chars().any(invisible) {
        return Err(problem(name, "its name holds characters that cannot be seen"));
    }
    Ok(())
}

fn problem(name: &str, problem: &str) -> HeaderError {
    HeaderError::Tensor { name: shown(name), problem: problem.to_owned() }
}

/// A name made safe and short enough for a message.
fn shown(name: &str) -> String {
    let mut text: String = name.chars().take(80).flat_map(|c| if invisible(c) { c.escape_unicode().collect() } else { vec![c] }).collect();
    if name.chars().nth(80).is_some() {
        text.push('…');
    }
    text
}

// serde carries our own errors as text; these marks bring them back as what they were.
const MARK_DUPLICATE: &str = "duplicate-tensor:";
const MARK_ENTRY: &str = "bad-tensor:";
const MARK_MANY: &str = "too-many-tensors:";

fn raw_error(error: &serde_json::Error) -> HeaderError {
    let text = error.to_string();
    // serde_json appends where it stopped; a byte column inside a machine-made line helps nobody.
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(head, _)| head);
    if let Some(name) = text.strip_prefix(MARK_DUPLICATE) {
        return HeaderError::Tensor { name: name.to_owned(), problem: "it is listed twice".into() };
    }
    if let Some((name, problem)) = text.strip_prefix(MARK_ENTRY).and_then(|rest| rest.split_once('\u{0}')) {
        return HeaderError::Tensor { name: name.to_owned(), problem: problem.to_owned() };
    }
    if text.starts_with(MARK_MANY) {
        return HeaderError::TooManyTensors;
    }
    HeaderError::Json(shown(text))
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = RawHeader;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object from tensor names to dtype, shape and offsets")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
        let mut seen = HashSet::new();
        let mut header = RawHeader { tensors: Vec::new(), metadata: BTreeMap::new() };
        while let Some(name) = map.next_key::<String>()? {
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom(format_args!("{MARK_DUPLICATE}{}", shown(&name))));
            }
            if name == "__metadata__" {
                header.metadata = map.next_value::<Metadata>()?.0;
                continue;
            }
            if header.tensors.len() == MAX_TENSORS {
                return Err(A::Error::custom(MARK_MANY));
            }
            let entry = map.next_value::<RawTensor>();
            let entry = entry.map_err(|error| A::Error::custom(format_args!("{MARK_ENTRY}{}\u{0}{error}", shown(&name))))?;
            header.tensors.push((name, entry));
        }
        Ok(header)
    }
}

struct Metadata(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MetadataVisitor;
        impl<'de> Visitor<'de> for MetadataVisitor {
            type Value = Metadata;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object from strings to strings as __metadata__")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    if entries.insert(key, value).is_some() {
                        return Err(A::Error::custom("a key of __metadata__ is given twice"));
                    }
                }
                Ok(Metadata(entries))
            }
        }
        deserializer.deserialize_map(MetadataVisitor)
    }
}

#[cfg(test)]
#[path = "safetensors_tests.rs"]
mod tests;
