//! TensorFlow's SavedModels as far as they are read here: tags, signatures, and bytes that stand for the graph.

/// A field of a protobuf message: a number of its own and counted content.
pub fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2], varint(content.len() as u64).as_slice(), content].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A tensor of float32; -1 is an open dimension, and `None` an open rank.
pub type Tensor<'a> = (&'a str, Option<&'a [i64]>);

fn tensor((name, shape): &Tensor<'_>) -> Vec<u8> {
    let dimension = |size: &i64| field(2, &[vec![0x08], varint(*size as u64)].concat());
    let shape = shape.map_or(vec![], |shape| field(3, &shape.iter().flat_map(dimension).collect::<Vec<u8>>()));
    let info = [field(1, format!("{name}:0").as_bytes()), vec![0x10, 1], shape].concat();
    [field(1, name.as_bytes()), field(2, &info)].concat()
}

/// A graph's entry for one signature.
pub fn signature(name: &str, inputs: &[Tensor<'_>], outputs: &[Tensor<'_>]) -> Vec<u8> {
    let put = |number, tensors: &[Tensor<'_>]| tensors.iter().flat_map(|of| field(number, &tensor(of))).collect::<Vec<u8>>();
    field(5, &[field(1, name.as_bytes()), field(2, &[put(1, inputs), put(2, outputs)].concat())].concat())
}

/// `saved_model.pb` with one graph of these tags and signatures.
pub fn saved_model_of(tags: &[&str], signatures: &[Vec<u8>], graph_bytes: usize) -> Vec<u8> {
    let tags: Vec<u8> = tags.iter().flat_map(|tag| field(4, tag.as_bytes())).collect();
    let meta = [field(2, &vec![7; 70_000]), tags, field(5, b"2.21.0")].concat();
    let graph = [field(1, &meta), field(2, &vec![1; graph_bytes]), signatures.concat()].concat();
    [vec![0x08, 1], field(2, &graph)].concat()
}

/// A SavedModel with the tag `serve` and one signature; its graph has so many bytes.
pub fn saved_model(graph_bytes: usize) -> Vec<u8> {
    let serving = signature("serving_default", &[("image", Some(&[-1, 3]))], &[("logits", None)]);
    saved_model_of(&["serve"], &[serving], graph_bytes)
}
