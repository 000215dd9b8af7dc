//! TensorFlow's SavedModel: which files of a folder are one, and what its protobuf says of its graphs: their tags and
//! signatures. No TensorFlow needed. Messages and numbers as in TensorFlow's `saved_model.proto`, `meta_graph.proto`,
//! `types.proto` and `tensor_shape.proto`.
//!
//! ```text
//! SavedModel      2: MetaGraphDef, any number
//! MetaGraphDef    1: MetaInfoDef    2: GraphDef (large, skipped)    5: map of SignatureDef
//! MetaInfoDef     4: tags           5: version of TensorFlow
//! ```
//!
//! The file may have gigabytes and comes from strangers: a reader steps from field to field ([`Field`]) and hands
//! over only what is read here, a little at a time.

use std::collections::BTreeMap;

use prost::Message as _;
use prost::encoding::{WireType, decode_key, decode_varint};

/// What makes a folder a SavedModel.
pub const FILE: &str = "saved_model.pb";
/// Other files of one.
const BESIDE: &[&str] = &[FILE, "fingerprint.pb", "keras_metadata.pb", "tfhub_module.pb"];
/// Folders of one.
const BELOW: &[&str] = &["variables/", "assets/", "assets.extra/", "debug/"];

/// More graphs, signatures of a graph or tensors of a signature are not kept.
pub const MOST: usize = 32;
/// Longest name in characters; the rest is cut off.
const LONGEST: usize = 200;

/// What a version's SavedModel says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SavedModel {
    /// Where it lies: empty, or with `/` at its end.
    pub folder: String,
    /// The version of TensorFlow that wrote it.
    pub tensorflow: String,
    pub graphs: Vec<Graph>,
}

/// One graph; `serve` is among the tags of what is meant for use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    pub tags: Vec<String>,
    pub signatures: Vec<Signature>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signature {
    /// `serving_default` ...
    pub name: String,
    pub inputs: Vec<Tensor>,
    pub outputs: Vec<Tensor>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tensor {
    pub name: String,
    /// `float32`, `string` ...
    pub dtype: String,
    /// `[?, 224, 224, 3]`, or `?` where even the number of sides is open.
    pub shape: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("saved_model.pb is no SavedModel: {0}")]
pub struct SavedModelError(pub String);

/// The folder of the SavedModel among these paths: the outermost one, then the first by name.
pub fn folder<'a>(paths: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folders = paths.into_iter().filter_map(|path| path.strip_suffix(FILE)).filter(|folder| folder.is_empty() || folder.ends_with('/'));
    folders.min_by_key(|folder| (folder.matches('/').count(), *folder))
}

/// Is a file, named from the folder on, part of the SavedModel? The rest of the repo is not.
pub fn belongs(name: &str) -> bool {
    BESIDE.contains(&name) || BELOW.iter().any(|folder| name.starts_with(folder))
}

/// A field of a protobuf message, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub number: u32,
    /// Bytes from the field's first to its content's first.
    pub head: u64,
    /// Bytes of the content.
    pub content: u64,
    /// Is the content counted, as texts and messages are?
    pub counted: bool,
}

impl Field {
    /// As many bytes are enough for [`Field::read`].
    pub const LONGEST_HEAD: usize = 20;

    /// The field that begins here.
    pub fn read(bytes: &[u8]) -> Result<Field, SavedModelError> {
        let broken = |e: prost::DecodeError| SavedModelError(e.to_string());
        let mut rest = bytes;
        let (number, kind) = decode_key(&mut rest).map_err(broken)?;
        let head = (bytes.len() - rest.len()) as u64;
        match kind {
            WireType::Varint => {
                decode_varint(&mut rest).map_err(broken)?;
                Ok(Field { number, head, content: (bytes.len() - rest.len()) as u64 - head, counted: false })
            }
            WireType::LengthDelimited => {
                let content = decode_varint(&mut rest).map_err(broken)?;
                Ok(Field { number, head: (bytes.len() - rest.len()) as u64, content, counted: true })
            }
            WireType::SixtyFourBit => Ok(Field { number, head, content: 8, counted: false }),
            WireType::ThirtyTwoBit => Ok(Field { number, head, content: 4, counted: false }),
            WireType::StartGroup | WireType::EndGroup => Err(SavedModelError("it holds groups, which TensorFlow does not write".into())),
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct SignatureEntry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<SignatureDef>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SignatureDef {
    #[prost(btree_map = "string, message", tag = "1")]
    inputs: BTreeMap<String, TensorInfo>,
    #[prost(btree_map = "string, message", tag = "2")]
    outputs: BTreeMap<String, TensorInfo>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TensorInfo {
    #[prost(int32, tag = "2")]
    dtype: i32,
    #[prost(message, optional, tag = "3")]
    tensor_shape: Option<TensorShape>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TensorShape {
    #[prost(message, repeated, tag = "2")]
    dim: Vec<Dim>,
    #[prost(bool, tag = "3")]
    unknown_rank: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Dim {
    #[prost(int64, tag = "1")]
    size: i64,
}

/// An entry of a graph's map of signatures.
pub fn read_signature(bytes: &[u8]) -> Result<Signature, SavedModelError> {
    let entry = SignatureEntry::decode(bytes).map_err(|e| SavedModelError(e.to_string()))?;
    let value = entry.value.unwrap_or_default();
    let tensors = |all: BTreeMap<String, TensorInfo>| all.into_iter().take(MOST).map(|(name, info)| tensor(&name, &info)).collect();
    Ok(Signature { name: readable(&entry.key), inputs: tensors(value.inputs), outputs: tensors(value.outputs) })
}

/// A tag, or a version: text that a page may show.
pub fn read_text(bytes: &[u8]) -> Result<String, SavedModelError> {
    let text = std::str::from_utf8(bytes).map_err(|e| SavedModelError(e.to_string()))?;
    Ok(readable(text))
}

fn readable(text: &str) -> String {
    text.chars().filter(|c| !super::path::invisible(*c)).take(LONGEST).collect()
}

fn tensor(name: &str, info: &TensorInfo) -> Tensor {
    let side = |dim: &Dim| if dim.size < 0 { "?".to_owned() } else { dim.size.to_string() };
    let shape = match &info.tensor_shape {
        Some(shape) if !shape.unknown_rank => {
            format!("[{}]", shape.dim.iter().take(MOST).map(side).collect::<Vec<_>>().join(", "))
        }
        _ => "?".to_owned(),
    };
    Tensor { name: readable(name), dtype: dtype(info.dtype), shape }
}

/// From `types.proto`.
fn dtype(number: i32) -> String {
    let known = match number {
        1 => "float32",
        2 => "float64",
        3 => "int32",
        4 => "uint8",
        5 => "int16",
        6 => "int8",
        7 => "string",
        8 => "complex64",
        9 => "int64",
        10 => "bool",
        14 => "bfloat16",
        17 => "uint16",
        18 => "complex128",
        19 => "float16",
        20 => "resource",
        21 => "variant",
        22 => "uint32",
        23 => "uint64",
        _ => return format!("type {number}"),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_folder_is_the_model() {
        assert_eq!(folder(["README.md", "saved_model.pb", "a/saved_model.pb"]), Some(""));
        assert_eq!(folder(["b/saved_model.pb", "a/saved_model.pb", "a/b/saved_model.pb"]), Some("a/"));
        assert_eq!(folder(["my_saved_model.pb", "saved_model.pbtxt"]), None);
        assert!(belongs("variables/variables.index") && belongs(FILE) && !belongs("README.md") && !belongs("variables"));
    }

    #[test]
    fn fields_are_stepped_over_without_their_content() {
        // Field 2, 300 bytes; field 1, a varint; a fixed one; a group; nothing.
        assert_eq!(Field::read(&[0x12, 0xac, 0x02]).unwrap(), Field { number: 2, head: 3, content: 300, counted: true });
        assert_eq!(Field::read(&[0x08, 0x96, 0x01, 9]).unwrap(), Field { number: 1, head: 1, content: 2, counted: false });
        assert_eq!(Field::read(&[0x0d, 0, 0, 0, 0]).unwrap().content, 4);
        for broken in [&[0x0b][..], &[], &[0x12], &[0xff; 20], &[0x00, 0x01]] {
            assert!(Field::read(broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn a_signature_is_read() {
        let shape = TensorShape { dim: vec![Dim { size: -1 }, Dim { size: 224 }], unknown_rank: false };
        let info = |tensor_shape| TensorInfo { dtype: 1, tensor_shape };
        let value =
            SignatureDef { inputs: [("x\u{202e}".to_owned(), info(Some(shape)))].into(), outputs: [("y".to_owned(), info(None))].into() };
        let bytes = SignatureEntry { key: "serving_default".into(), value: Some(value) }.encode_to_vec();
        let signature = read_signature(&bytes).unwrap();
        assert_eq!(signature.name, "serving_default");
        assert_eq!(signature.inputs, [Tensor { name: "x".into(), dtype: "float32".into(), shape: "[?, 224]".into() }]);
        assert_eq!(signature.outputs[0].shape, "?");
        assert!(read_signature(&[0x12, 0x05, 1]).is_err() && read_text(&[0xff]).is_err());
    }
}
