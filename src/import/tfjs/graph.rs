//! The topology of a TensorFlow.js graph model: operations with their inputs and attributes, as model.json has them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::error::{Error, Result, corrupt};
use super::manifest::{Numbers, Weights};

/// Operations of a graph.
const MOST_NODES: usize = 20_000;
/// What stands for its input.
const ALIASES: [&str; 2] = ["Identity", "StopGradient"];

/// A node as it is written.
#[derive(Debug, Deserialize)]
struct Written {
    name: String,
    op: String,
    #[serde(default)]
    input: Vec<String>,
    #[serde(default)]
    attr: Map<String, Value>,
}

/// An operation.
#[derive(Debug)]
pub struct Node {
    pub name: String,
    pub op: String,
    /// Numbers of the nodes that it is given.
    pub inputs: Vec<usize>,
    attributes: Map<String, Value>,
}

/// Operations with the tensors that are constants among them.
#[derive(Debug)]
pub struct Graph {
    pub nodes: Vec<Node>,
    /// By the number of their node.
    constants: BTreeMap<usize, Numbers>,
    /// By the number of a node: those that are given what it makes, in their order.
    users: Vec<Vec<usize>>,
}

impl Graph {
    /// Of `modelTopology`. What only hands its input on is passed over.
    ///
    /// # Errors
    /// An input that is no node, a constant without numbers, operations that go round in a circle.
    pub fn read(topology: &Value, mut weights: Weights) -> Result<Graph> {
        let nodes = topology.get("node").and_then(Value::as_array).ok_or_else(|| corrupt("model.json has no list of operations"))?;
        if nodes.len() > MOST_NODES {
            return Err(Error::TooLarge(format!("the graph has {} operations, more than {MOST_NODES}", nodes.len())));
        }
        let read = |node: &Value| Written::deserialize(node).map_err(|error| corrupt(format!("an operation of model.json: {error}")));
        let written = nodes.iter().map(read).collect::<Result<Vec<_>>>()?;
        let numbers: BTreeMap<&str, usize> = written.iter().enumerate().map(|(at, node)| (node.name.as_str(), at)).collect();
        if numbers.len() < written.len() {
            return Err(corrupt("model.json gives two operations one name"));
        }
        let mut graph = Graph { nodes: Vec::new(), constants: BTreeMap::new(), users: vec![Vec::new(); written.len()] };
        for (at, node) in written.iter().enumerate() {
            let given = node.input.iter().filter(|input| !input.starts_with('^'));
            let inputs = given.map(|input| source(input, &written, &numbers)).collect::<Result<Vec<_>>>()?;
            if node.op == "Const" {
                let missing = || corrupt(format!("the constant `{}` has no numbers in weightsManifest", node.name));
                graph.constants.insert(at, weights.remove(&node.name).ok_or_else(missing)?);
            }
            if !ALIASES.contains(&node.op.as_str()) {
                inputs.iter().for_each(|input| graph.users[*input].push(at));
            }
            let (name, op, attributes) = (node.name.clone(), node.op.clone(), node.attr.clone());
            graph.nodes.push(Node { name, op, inputs, attributes });
        }
        Ok(graph)
    }

    /// A constant's numbers.
    pub fn constant(&self, node: usize) -> Option<&Numbers> {
        self.constants.get(&node)
    }

    /// The one number of a constant.
    pub fn scalar(&self, node: usize) -> Option<f32> {
        self.constant(node).filter(|numbers| numbers.values.len() == 1).map(|numbers| numbers.values[0])
    }

    /// Nodes that are given what this one makes.
    pub fn users(&self, node: usize) -> &[usize] {
        &self.users[node]
    }

    /// Nodes that make something: no constants, and nothing that stands for another.
    pub fn working(&self) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(|at| self.nodes[*at].op != "Const" && !ALIASES.contains(&self.nodes[*at].op.as_str()))
    }
}

/// The node that an input names, behind all that stands for another.
fn source(input: &str, written: &[Written], numbers: &BTreeMap<&str, usize>) -> Result<usize> {
    let mut name = input;
    for _ in 0..=written.len() {
        let plain = name.split_once(':').map_or(name, |(plain, _)| plain);
        let at = *numbers.get(plain).ok_or_else(|| corrupt(format!("the graph has no operation `{plain}`, which another is given")))?;
        match written[at].input.first() {
            Some(next) if ALIASES.contains(&written[at].op.as_str()) => name = next,
            _ => return Ok(at),
        }
    }
    Err(corrupt("operations of the graph stand for each other in a circle"))
}

impl Node {
    /// A text.
    pub fn text(&self, attribute: &str) -> Option<String> {
        text(self.attributes.get(attribute)?.get("s")?)
    }

    /// Texts of a list.
    pub fn texts(&self, attribute: &str) -> Vec<String> {
        self.list(attribute, "s").iter().filter_map(text).collect()
    }

    /// Whole numbers of a list.
    pub fn whole(&self, attribute: &str) -> Vec<i64> {
        self.list(attribute, "i").iter().filter_map(number).collect()
    }

    /// The sides of an input, -1 where anything is taken; none where nothing is said.
    pub fn shape(&self) -> Vec<i64> {
        let sides = self.attributes.get("shape").and_then(|value| value.get("shape")?.get("dim")?.as_array());
        sides.into_iter().flatten().map(|side| side.get("size").and_then(number).unwrap_or(-1)).collect()
    }

    /// Yes or no; no where nothing is said.
    pub fn is(&self, attribute: &str) -> bool {
        self.attributes.get(attribute).and_then(|value| value.get("b")?.as_bool()).unwrap_or(false)
    }

    fn list(&self, attribute: &str, kind: &str) -> &[Value] {
        let list = self.attributes.get(attribute).and_then(|value| value.get("list")?.get(kind)?.as_array());
        list.map_or(&[], Vec::as_slice)
    }
}

/// Texts are written in base 64.
fn text(value: &Value) -> Option<String> {
    String::from_utf8(STANDARD.decode(value.as_str()?).ok()?).ok()
}

/// Whole numbers are written as texts, or as numbers.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(nodes: Value) -> std::result::Result<Graph, String> {
        let weights = Weights::from([("c".to_owned(), Numbers { shape: vec![], values: vec![3.0] })]);
        Graph::read(&json!({"node": nodes}), weights).map_err(|error| error.to_string())
    }

    #[test]
    fn operations_are_read_and_those_that_hand_on_are_passed_over() {
        let graph = read(json!([
            {"name": "x", "op": "Placeholder"},
            {"name": "same", "op": "Identity", "input": ["x:0"]},
            {"name": "c", "op": "Const"},
            {"name": "y", "op": "Add", "input": ["same", "c", "^x"], "attr": {
                "padding": {"s": "U0FNRQ=="}, "strides": {"list": {"i": ["1", 2]}}, "fused_ops": {"list": {"s": ["Qmlhc0FkZA=="]}},
                "keep_dims": {"b": true}}},
        ]))
        .unwrap();
        let add = &graph.nodes[3];
        assert_eq!((add.inputs.as_slice(), graph.users(0), graph.scalar(2)), (&[0, 2][..], &[3][..], Some(3.0)));
        assert_eq!(graph.working().collect::<Vec<_>>(), [0, 3]);
        assert_eq!((add.text("padding").as_deref(), add.whole("strides"), add.is("keep_dims")), (Some("SAME"), vec![1, 2], true));
        assert_eq!((add.texts("fused_ops"), add.texts("none"), add.is("none")), (vec!["BiasAdd".to_owned()], vec![], false));
    }

    #[test]
    fn broken_graphs_are_refused_by_name() {
        assert!(read(json!([{"name": "y", "op": "Relu", "input": ["gone"]}])).unwrap_err().contains("`gone`"));
        assert!(read(json!([{"name": "d", "op": "Const"}])).unwrap_err().contains("`d` has no numbers"));
        assert!(read(json!([{"name": "x", "op": "Relu"}, {"name": "x", "op": "Relu"}])).unwrap_err().contains("one name"));
        let circle = json!([{"name": "a", "op": "Identity", "input": ["b"]}, {"name": "b", "op": "Identity", "input": ["a"]}]);
        assert!(read(circle).unwrap_err().contains("circle"));
        assert!(read(json!([{"op": "Relu"}])).unwrap_err().contains("operation of model.json"));
        assert!(Graph::read(&json!({}), Weights::new()).unwrap_err().to_string().contains("no list"));
    }
}
