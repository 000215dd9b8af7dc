//! A small graph gone through by a small table.

use serde_json::{Value, json};

use super::super::manifest::Weights;
use super::*;

const TABLE: &str = r#"
title = "a small one"
architecture = "none"
task = "object-detection"
decoder = "none"
outputs = 5
labels = ["a"]
rest = ["Softmax"]
layers = """
image 4
conv a 1/1 3>1 hard_swish =a
conv b 1/1 1>1 none
add a =sum
each c 3/2 1 relu
means
conv d 1/1 1>2 none matrix
"""
"#;

fn conv(name: &str, from: &str, stride: &str, op: &str) -> Value {
    let strides = json!({"list": {"i": ["1", stride, stride, "1"]}});
    json!({"name": name, "op": op, "input": [from, format!("{name}/w")], "attr": {"strides": strides, "padding": {"s": "U0FNRQ=="}}})
}

fn op(name: &str, op: &str, input: &[&str]) -> Value {
    json!({"name": name, "op": op, "input": input, "attr": {"keep_dims": {"b": true}}})
}

/// `change` is done to the operations.
fn followed(change: impl FnOnce(&mut Vec<Value>)) -> std::result::Result<BTreeMap<String, Numbers>, String> {
    let constants: [(&str, &[usize], &[f32]); 11] = [
        ("a/w", &[1, 1, 3, 1], &[1.0, 2.0, 3.0]),
        ("a/b", &[1], &[0.5]),
        ("three", &[], &[3.0]),
        ("part", &[], &[0.2]),
        ("b/w", &[1, 1, 1, 1], &[4.0]),
        ("b/b", &[1], &[6.0]),
        ("c/w", &[3, 3, 1, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]),
        ("c/b", &[1], &[7.0]),
        ("axes", &[2], &[1.0, 2.0]),
        ("d/w", &[1, 1, 1, 2], &[1.0, -1.0]),
        ("d/b", &[2], &[8.0, 9.0]),
    ];
    let weights: Weights = constants
        .iter()
        .map(|(name, shape, values)| ((*name).to_owned(), Numbers { shape: shape.to_vec(), values: values.to_vec() }))
        .collect();
    let mut nodes: Vec<Value> = constants.iter().map(|(name, ..)| json!({"name": name, "op": "Const"})).collect();
    nodes.extend([
        op("x", "Placeholder", &[]),
        conv("a", "x", "1", "Conv2D"),
        op("a1", "BiasAdd", &["a", "a/b"]),
        op("a2", "AddV2", &["three", "a1"]),
        op("a3", "Relu6", &["a2"]),
        op("a4", "Mul", &["part", "a1"]),
        op("a5", "Mul", &["a3", "a4"]),
        conv("b", "a5", "1", "Conv2D"),
        // The bias is added behind the sum.
        op("sum", "AddN", &["b", "a5"]),
        op("sum1", "AddV2", &["b/b", "sum"]),
        conv("c", "sum1", "2", "DepthwiseConv2dNative"),
        op("c1", "Add", &["c", "c/b"]),
        op("c2", "Relu", &["c1"]),
        op("m", "Mean", &["c2", "axes"]),
        conv("d", "m", "1", "Conv2D"),
        op("d1", "Add", &["d", "d/b"]),
        op("end", "Softmax", &["d1"]),
    ]);
    change(&mut nodes);
    let graph = Graph::read(&json!({"node": nodes}), weights).unwrap();
    let known: Known = toml::from_str(TABLE).unwrap();
    follow(&graph, &known).unwrap().map_err(|(_, error)| error.to_string())
}

#[test]
fn factors_of_the_graph_go_into_the_weights_around() {
    let tensors = followed(|_| ()).unwrap();
    let is = |name: &str, shape: &[usize], values: &[f32]| {
        let own = &tensors[name];
        let near = own.values.iter().zip(values).all(|(own, wanted)| (own - wanted).abs() < 1e-5);
        assert!(own.shape == shape && own.values.len() == values.len() && near, "{name}: {own:?}");
    };
    // Six fifths of hard-swish: what is added to it is as much smaller, and what comes then takes it as much larger.
    is("a.weight", &[1, 3, 1, 1], &[1.0, 2.0, 3.0]);
    is("a.bias", &[1], &[0.5]);
    is("b.weight", &[1, 1, 1, 1], &[4.0]);
    is("b.bias", &[1], &[5.0]);
    is("c.weight", &[1, 1, 3, 3], &[1.2, 2.4, 3.6, 4.8, 6.0, 7.2, 8.4, 9.6, 10.8]);
    is("c.bias", &[1], &[7.0]);
    is("d.weight", &[2, 1], &[1.0, -1.0]);
    is("d.bias", &[2], &[8.0, 9.0]);
    assert_eq!(tensors.len(), 8);
}

#[test]
fn what_differs_is_named() {
    let at = |nodes: &mut Vec<Value>, name: &str| nodes.iter().position(|node| node["name"] == name).unwrap();
    let error = followed(|nodes| drop(nodes.pop())).unwrap_err();
    assert!(error.contains("not the graph of a small one") && error.contains("there should be `Softmax`"), "{error}");
    let error = followed(|nodes| nodes.push(op("more", "TopKV2", &["d1", "three"]))).unwrap_err();
    assert!(error.contains("1 operations such as `TopKV2 3`"), "{error}");
    let error = followed(|nodes| {
        let at = at(nodes, "c");
        nodes[at]["attr"]["padding"]["s"] = json!("VkFMSUQ=");
    })
    .unwrap_err();
    assert!(error.contains("behind `sum1` there should be a depthwise convolution 3x3 of 1 channels at stride 2"), "{error}");
    assert!(error.contains("there is DepthwiseConv2dNative [3, 3, 1, 1]"), "{error}");
    let error = followed(|nodes| {
        let at = at(nodes, "a3");
        nodes[at]["op"] = json!("Relu");
    })
    .unwrap_err();
    assert!(error.contains("behind `a2` there should be Relu6, and there is Relu"), "{error}");
    let error = followed(|nodes| {
        let at = at(nodes, "m");
        nodes[at]["attr"]["keep_dims"]["b"] = json!(false);
    })
    .unwrap_err();
    assert!(error.contains("the means over all pixels"), "{error}");
    let error = followed(|nodes| nodes.push(op("y", "Placeholder", &[]))).unwrap_err();
    assert!(error.contains("2 inputs"), "{error}");
}
