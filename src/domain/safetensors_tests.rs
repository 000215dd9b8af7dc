//! Each attack on the safetensors header as its own test, and random bytes and headers as properties.

use proptest::prelude::*;

use super::*;

/// A file of `json` and `data_bytes` zeros, parsed.
fn parse(json: &str, data_bytes: u64) -> Result<Header, HeaderError> {
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(json.as_bytes());
    parse_header(&file, file.len() as u64 + data_bytes)
}

fn refused(json: &str, data_bytes: u64) -> String {
    parse(json, data_bytes).unwrap_err().to_string()
}

#[test]
fn reads_an_honest_header() {
    let json = r#"{"__metadata__":{"format":"pt"},"b.running_mean":{"dtype":"F32","shape":[2],"data_offsets":[16,24]},
        "a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"n.num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[24,32]}}   "#;
    let header = parse(json, 32).unwrap();
    let names: Vec<_> = header.tensors.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["a", "b.running_mean", "n.num_batches_tracked"]);
    assert_eq!(header.tensors[0].shape, [2, 2]);
    assert_eq!(header.tensors[1].offset, 8 + json.len() as u64 + 16);
    assert_eq!(header.tensors[1].size_bytes, 8);
    assert_eq!(header.parameters, 4, "running statistics are not learned");
    assert_eq!(header.by_dtype, BTreeMap::from([("F32".to_owned(), 6), ("I64".to_owned(), 1)]));
    assert_eq!(header.metadata["format"], "pt");
}

#[test]
fn what_the_reference_crate_writes_is_read() {
    let data = [0u8; 24];
    let view = |shape: Vec<usize>, bytes| safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, bytes).unwrap();
    let tensors = [("x", view(vec![2, 2], &data[..16])), ("y", view(vec![2], &data[..8]))];
    let file = safetensors::serialize(tensors, None).unwrap();
    let header = parse_header(&file, file.len() as u64).unwrap();
    assert_eq!(header.parameters, 6);
}

#[test]
fn lengths_that_lie() {
    assert_eq!(header_len(&[0; 7]), Err(HeaderError::Truncated));
    assert_eq!(header_len(&(1u64 << 63).to_le_bytes()), Err(HeaderError::TooLong { bytes: 1 << 63 }));
    assert!(matches!(header_len(&(MAX_HEADER_BYTES + 1).to_le_bytes()), Err(HeaderError::TooLong { .. })));
    assert_eq!(header_len(&MAX_HEADER_BYTES.to_le_bytes()), Ok(MAX_HEADER_BYTES as usize));
    let mut short = 100u64.to_le_bytes().to_vec();
    short.extend_from_slice(b"{}");
    assert_eq!(parse_header(&short, 10), Err(HeaderError::Truncated));
    let mut long = 2u64.to_le_bytes().to_vec();
    long.extend_from_slice(b"{}");
    assert_eq!(parse_header(&long, 9), Err(HeaderError::Truncated));
}

#[test]
fn other_formats_are_told_by_their_magic() {
    for (magic, word) in [
        (&b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46"[..], "pickle"),
        (b"\x80\x04\x95\x10\x00\x00\x00\x00", "pickle"),
        (b"PK\x03\x04\x00\x00\x08\x08", "zip"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"GGUF\x03\x00\x00\x00", "GGUF"),
        (b"\x93NUMPY\x01\x00", "NumPy"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "7z"),
        (b"\x1f\x8b\x08\x00\x5e\x1c\x2a\x65", "gzip"),
    ] {
        let text = header_len(magic).unwrap_err().to_string();
        assert!(text.contains(word) && text.contains("hub import"), "{text}");
    }
    // A protocol 4 pickle whose first eight bytes happen to be a small number fails at its first byte.
    let mut file = 20u64.to_le_bytes().to_vec();
    file.extend_from_slice(b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00");
    assert!(matches!(parse_header(&file, 28), Err(HeaderError::NotSafetensors { .. })));
}

#[test]
fn a_header_that_begins_with_a_space() {
    assert!(matches!(parse(r#" {"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 1), Err(HeaderError::NotSafetensors { .. })));
}

#[test]
fn no_tensors() {
    assert_eq!(parse("{}", 0), Err(HeaderError::NoTensors));
    assert_eq!(parse(r#"{"__metadata__":{}}"#, 0), Err(HeaderError::NoTensors));
}

#[test]
fn too_many_tensors() {
    let mut json = String::from("{");
    for index in 0..=MAX_TENSORS {
        json.push_str(&format!(r#""t{index}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}},"#));
    }
    json.pop();
    json.push('}');
    assert_eq!(parse(&json, 0), Err(HeaderError::TooManyTensors));
}

#[test]
fn overlap_hole_end_and_trailing_name_the_tensor() {
    let two = |a: [u64; 2], b: [u64; 2]| {
        let shape = |x: [u64; 2]| x[1] - x[0];
        format!(
            r#"{{"a":{{"dtype":"U8","shape":[{}],"data_offsets":{a:?}}},"b":{{"dtype":"U8","shape":[{}],"data_offsets":{b:?}}}}}"#,
            shape(a),
            shape(b)
        )
    };
    assert!(parse(&two([0, 4], [4, 8]), 8).is_ok());
    assert!(refused(&two([0, 4], [3, 8]), 8).contains("`b`: its bytes overlap those of `a`"));
    assert!(refused(&two([0, 4], [0, 4]), 4).contains("overlap"));
    assert!(refused(&two([0, 4], [5, 8]), 8).contains("`b`: 1 bytes before it"));
    assert!(refused(&two([1, 4], [4, 8]), 8).contains("`a`: 1 bytes before it"));
    assert!(refused(&two([0, 4], [4, 8]), 7).contains("`b`: its bytes end at"));
    assert!(refused(&two([0, 4], [4, 8]), 9).contains("`b`: 1 bytes after it"));
    let reversed = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[4,3]}}"#;
    assert!(refused(reversed, 4).contains("`a`: it begins at 4"));
    let far = format!(r#"{{"a":{{"dtype":"U8","shape":[1],"data_offsets":[{},{}]}}}}"#, u64::MAX - 1, u64::MAX);
    assert!(refused(&far, 4).contains("`a`: its offsets overflow"));
}

#[test]
fn keys_given_twice() {
    let twice = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    assert!(refused(twice, 1).contains("`a`: it is listed twice"));
    assert!(refused(r#"{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 1).contains("`a`"));
    let metadata = r#"{"__metadata__":{"k":"1","k":"2"},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    assert!(refused(metadata, 1).contains("given twice"));
    assert!(refused(r#"{"__metadata__":{},"__metadata__":{}}"#, 0).contains("listed twice"));
}

#[test]
fn shapes_that_do_not_fit() {
    let one = |shape: &str, end: u64| format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}"#);
    assert!(refused(&one("[3]", 8), 8).contains("`a`: shape [3] of F32 needs 12 bytes"));
    assert!(refused(&one("[4294967296,4294967296]", 8), 8).contains("`a`: its shape overflows"));
    assert!(refused(&one("[4611686018427387904,2]", 8), 8).contains("`a`: its shape overflows"));
    assert!(refused(&one("[-1]", 8), 8).contains("`a`"));
    assert!(refused(&one("[1.5]", 8), 8).contains("`a`"));
    assert!(refused(&one("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", 4), 4).contains("axes"));
    assert!(refused(r#"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}"#, 2).contains("`a`"));
}

#[test]
fn dtypes_and_fields_nobody_knows() {
    assert!(refused(r#"{"a":{"dtype":"Q7","shape":[1],"data_offsets":[0,1]}}"#, 1).contains("`a`: unknown dtype `Q7`"));
    assert!(refused(r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"code":1}}"#, 1).contains("`a`"));
    assert!(refused(r#"{"a":{"dtype":"U8","shape":[1]}}"#, 1).contains("`a`: missing field `data_offsets`"));
    assert!(refused(r#"{"a":7}"#, 1).contains("`a`"));
    assert!(refused(r#"{"__metadata__":{"k":1},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 1).contains("JSON"));
    assert!(matches!(parse(&format!("{{{}", "[".repeat(200_000)), 0), Err(HeaderError::Json(_))));
}

#[test]
fn names_that_hide_or_never_end() {
    let named = |name: &str| format!(r#"{{"{name}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#);
    assert!(refused(&named(&"n".repeat(513)), 1).contains("longer than 512"));
    assert!(refused(&named(&"n".repeat(1 << 20)), 1).len() < 300, "a long name stays short in the message");
    assert!(refused(&named(""), 1).contains("empty"));
    let hidden = refused(&named("a\\u001b[31m"), 1);
    assert!(hidden.contains("cannot be seen") && !hidden.contains('\u{1b}'), "{hidden:?}");
    assert!(refused(&named("a\\u202eb"), 1).contains("cannot be seen"));
    // Ugly but visible names stay: whoever shows them escapes them.
    assert!(parse(&named("<script>"), 1).is_ok());
    assert!(parse(&named("../../x"), 1).is_ok());
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), size in any::<u64>()) {
        let _ = parse_header(&bytes, size);
    }

    #[test]
    fn random_entries_are_read_exactly_or_refused(
        entries in proptest::collection::vec(("[a-c]{1,2}", 0usize..4, 0u64..20, 0u64..20), 0..5),
        data in 0u64..40,
    ) {
        let body: Vec<String> = entries.iter()
            .map(|(name, side, begin, end)| format!(r#""{name}":{{"dtype":"F16","shape":[{side}],"data_offsets":[{begin},{end}]}}"#))
            .collect();
        if let Ok(header) = parse(&format!("{{{}}}", body.join(",")), data) {
            prop_assert_eq!(header.tensors.len(), entries.len());
            prop_assert_eq!(header.tensors.iter().map(|t| t.size_bytes).sum::<u64>(), data);
        }
    }

    #[test]
    fn every_tiling_is_read(sides in proptest::collection::vec(0usize..5, 1..6)) {
        let mut offset = 0u64;
        let body: Vec<String> = sides.iter().enumerate().map(|(index, side)| {
            let end = offset + 4 * *side as u64;
            let text = format!(r#""t{index}":{{"dtype":"F32","shape":[{side}],"data_offsets":[{offset},{end}]}}"#);
            offset = end;
            text
        }).collect();
        let header = parse(&format!("{{{}}}", body.join(",")), offset).unwrap();
        prop_assert_eq!(header.parameters as usize, sides.iter().sum::<usize>());
    }
}
