//! Goes through a graph along the lines of a [table](super::layers): every layer must be there, of its shape, and nothing else may be. The tensors
//! that are met come out under our names, in PyTorch's order.
//!
//! What the graph multiplies by constants is put into the weights around: hard-swish and hard-sigmoid are a sixth of something, and half
//! precision has rounded the sixth. So what a layer makes here is `scale` times smaller than in the graph, which the weights of the next
//! make good.

use std::collections::BTreeMap;

use super::super::error::{Error, Result};
use super::graph::Graph;
use super::layers::{Act, Known, Layer, Line};
use super::manifest::Numbers;

/// Operations that add.
pub(super) const ADDS: [&str; 4] = ["Add", "AddV2", "AddN", "BiasAdd"];
/// Numbers of a constant that a message shows.
const SHOWN: usize = 6;

/// What a layer has made.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub node: usize,
    /// Pixels along each side, and channels.
    pub side: usize,
    pub channels: usize,
    /// What of ours the graph's is.
    pub scale: f32,
    /// The module whose weights alone decide how large it is.
    pub linear: Option<String>,
    /// The module whose bias is still to come.
    pub owes: Option<String>,
}

/// On the way through.
pub(super) struct Walk<'a> {
    pub graph: &'a Graph,
    known: &'a Known,
    pub met: Vec<bool>,
    labels: BTreeMap<String, Made>,
    pub tensors: BTreeMap<String, Numbers>,
}

/// The tensors of a network whose graph this is; or how many of its layers are there, and what is not.
///
/// # Errors
/// The table does not read.
pub fn follow(graph: &Graph, known: &Known) -> Result<std::result::Result<BTreeMap<String, Numbers>, (usize, Error)>> {
    let lines = known.lines()?;
    let mut walk = Walk { graph, known, met: vec![false; graph.nodes.len()], labels: BTreeMap::new(), tensors: BTreeMap::new() };
    let mut last: Option<Made> = None;
    for (at, line) in lines.iter().enumerate() {
        match walk.line(line, last.as_ref()) {
            Ok(made) => last = Some(made),
            Err(error) => return Ok(Err((at, error))),
        }
    }
    Ok(match walk.rest() {
        Ok(()) => Ok(walk.tensors),
        Err(error) => Err((lines.len(), error)),
    })
}

impl Walk<'_> {
    fn line(&mut self, line: &Line, last: Option<&Made>) -> Result<Made> {
        let from = match &line.from {
            Some(label) => Some(self.labelled(label)?),
            None => last.cloned(),
        };
        let made = match (&line.layer, from) {
            (Layer::Image(side), _) => self.image(*side)?,
            (_, None) => return Err(self.other("the table begins without an image".into())),
            (layer, Some(x)) => self.layer(layer, &x)?,
        };
        if let Some(label) = &line.label {
            self.labels.insert(label.clone(), made.clone());
        }
        Ok(made)
    }

    fn layer(&mut self, layer: &Layer, x: &Made) -> Result<Made> {
        match layer {
            Layer::Image(side) => self.image(*side),
            Layer::Conv(conv) => self.conv(x, conv, None),
            Layer::Filter(each, point) => {
                let filtered = self.conv(x, each, Some(point))?;
                self.conv(&filtered, point, None)
            }
            Layer::Squeeze(reduce, expand, gate) => {
                let means = self.means(x)?;
                let inside = self.conv(&means, reduce, None)?;
                let gates = self.conv(&inside, expand, None)?;
                let gates = self.act(&gates, *gate)?;
                self.times(&gates, x)
            }
            Layer::Means => self.means(x),
            Layer::Act(act) => self.act(x, *act),
            Layer::Scale(number) => {
                let test = |walk: &Walk, node: usize| walk.is_by(node, "Mul", x.node, |value| value == *number).map(drop);
                let (node, ()) = self.next(x, &format!("a product with {number}"), test)?;
                Ok(Made { node, ..x.clone() })
            }
            Layer::Resize(side, middles) => self.resize(x, *side, *middles),
            Layer::Add(label) => self.add(x, label),
            Layer::Join(label) => self.join(x, label),
            Layer::Times(label) => {
                let maps = self.labelled(label)?;
                self.times(x, &maps)
            }
            Layer::Fours(module, channels) => self.fours(x, module, *channels),
        }
    }

    fn labelled(&self, label: &str) -> Result<Made> {
        self.labels.get(label).cloned().ok_or_else(|| self.other(format!("the table has no `{label}`")))
    }

    pub(super) fn other(&self, problem: String) -> Error {
        Error::NoMatch(format!("this is not the graph of {}: {problem}", self.known.title))
    }

    /// The first operation not yet met that is given what was made and passes a test.
    pub(super) fn next<T>(&mut self, x: &Made, wanted: &str, test: impl Fn(&Walk, usize) -> Option<T>) -> Result<(usize, T)> {
        let there = self.graph.users(x.node).iter().filter(|node| !self.met[**node]);
        let found = there.clone().find_map(|node| Some((*node, test(self, *node)?)));
        let Some((node, told)) = found else {
            let there: Vec<String> = there.map(|node| self.described(*node)).collect();
            let there = if there.is_empty() { "nothing".to_owned() } else { there.join(", ") };
            return Err(self.other(format!("behind `{}` there should be {wanted}, and there is {there}", self.graph.nodes[x.node].name)));
        };
        self.met[node] = true;
        Ok((node, told))
    }

    /// An operation with the constants that it is given: `Conv2D [3, 3, 3, 16]`, `TopKV2 100`.
    fn described(&self, node: usize) -> String {
        let node = &self.graph.nodes[node];
        let constants = node.inputs.iter().filter_map(|input| self.graph.constant(*input));
        let shown = constants.map(|numbers| match numbers.values.len() {
            ..=SHOWN => numbers.values.iter().map(f32::to_string).collect::<Vec<_>>().join(","),
            _ => format!("{:?}", numbers.shape),
        });
        let sizes = ["ksize", "strides"].into_iter().map(|name| node.whole(name)).filter(|sizes| node.op == "MaxPool" && !sizes.is_empty());
        let sizes = sizes.map(|sizes| sizes.iter().map(i64::to_string).collect::<Vec<_>>().join("x"));
        std::iter::once(node.op.clone()).chain(shown).chain(sizes).collect::<Vec<_>>().join(" ")
    }

    fn image(&mut self, side: usize) -> Result<Made> {
        let given: Vec<usize> = self.graph.working().filter(|node| self.graph.nodes[*node].op == "Placeholder").collect();
        let [node] = given[..] else { return Err(self.other(format!("it is given {} inputs", given.len()))) };
        let sides = self.graph.nodes[node].shape();
        let fits = |at: usize, wanted: usize| sides.get(at).is_none_or(|own| *own < 0 || *own == wanted as i64);
        if !(fits(1, side) && fits(2, side) && fits(3, 3)) {
            return Err(self.other(format!("it is given {sides:?}, and not images of {side} pixels")));
        }
        self.met[node] = true;
        Ok(Made { node, side, channels: 3, scale: 1.0, linear: None, owes: None })
    }

    /// Whether an operation is of what was made and of one constant that passes a test; the constant.
    fn is_by(&self, node: usize, op: &str, x: usize, test: impl Fn(f32) -> bool) -> Option<f32> {
        let own = &self.graph.nodes[node];
        let is_op = own.op == op || op == "Add" && ADDS.contains(&own.op.as_str());
        let value = own.inputs.iter().find_map(|input| self.graph.scalar(*input))?;
        (is_op && own.inputs.len() == 2 && own.inputs.contains(&x) && test(value)).then_some(value)
    }

    pub(super) fn act(&mut self, x: &Made, act: Act) -> Result<Made> {
        let plain = Made { linear: None, ..x.clone() };
        let named = |name: &'static str| move |walk: &Walk, node: usize| (walk.graph.nodes[node].op == name).then_some(());
        let op = match act {
            Act::None => return Ok(x.clone()),
            Act::Relu => "Relu",
            _ if x.scale != 1.0 => return Err(self.other(format!("`{}` is multiplied", self.graph.nodes[x.node].name))),
            Act::Relu6 => "Relu6",
            Act::Sigmoid => "Sigmoid",
            Act::HardSwish | Act::HardSigmoid => return self.hard(x, act),
        };
        let (node, ()) = self.next(x, op, named(op))?;
        Ok(Made { node, ..plain })
    }

    /// `relu6(x + 3)` times a constant near a sixth; of hard-swish times x.
    fn hard(&mut self, x: &Made, act: Act) -> Result<Made> {
        let is = |op: &'static str, x: usize| move |walk: &Walk, node: usize| walk.is_by(node, op, x, |value| value > 0.0);
        let (moved, _) = self.next(x, "a sum with 3", |walk, node| walk.is_by(node, "Add", x.node, |value| value == 3.0))?;
        let moved = Made { node: moved, linear: None, ..x.clone() };
        let (cut, ()) = self.next(&moved, "Relu6", |walk, node| (walk.graph.nodes[node].op == "Relu6").then_some(()))?;
        let cut = Made { node: cut, ..moved };
        if act == Act::HardSigmoid {
            let (node, part) = self.next(&cut, "a product with a sixth", is("Mul", cut.node))?;
            return Ok(Made { node, scale: 6.0 * part, ..cut });
        }
        let (share, part) = self.next(x, "a product with a sixth", is("Mul", x.node))?;
        let both = |walk: &Walk, node: usize| walk.is_of(node, &["Mul"], share, cut.node).then_some(());
        let (node, ()) = self.next(&cut, "a product with a sixth of what it is of", both)?;
        Ok(Made { node, scale: 6.0 * part, ..cut })
    }

    /// Whether an operation is one of these, of two that were made and nothing else, in any order.
    fn is_of(&self, node: usize, ops: &[&str], a: usize, b: usize) -> bool {
        let own = &self.graph.nodes[node];
        ops.contains(&own.op.as_str()) && (own.inputs == [a, b] || own.inputs == [b, a])
    }

    pub(super) fn means(&mut self, x: &Made) -> Result<Made> {
        let side = x.side as i64;
        let is_mean = |walk: &Walk, node: usize| {
            let own = &walk.graph.nodes[node];
            let over = own.inputs.get(1).and_then(|input| walk.graph.constant(*input)).map(|axes| axes.values.as_slice());
            let mean = own.op == "Mean" && over == Some([1.0, 2.0].as_slice()) && own.is("keep_dims");
            let pool = own.op == "AvgPool" && own.whole("ksize") == [1, side, side, 1] && own.text("padding").as_deref() == Some("VALID");
            (mean || pool).then_some(())
        };
        let (node, ()) = self.next(x, "the means over all pixels", is_mean)?;
        Ok(Made { node, side: 1, linear: None, ..x.clone() })
    }

    pub(super) fn times(&mut self, gates: &Made, maps: &Made) -> Result<Made> {
        let both = |walk: &Walk, node: usize| walk.is_of(node, &["Mul"], gates.node, maps.node).then_some(());
        let (node, ()) = self.next(gates, "a product with what it opens and shuts", both)?;
        Ok(Made { node, scale: gates.scale * maps.scale, linear: None, owes: None, ..maps.clone() })
    }

    fn resize(&mut self, x: &Made, side: usize, middles: bool) -> Result<Made> {
        let fits = |walk: &Walk, node: usize| {
            let own = &walk.graph.nodes[node];
            let sides = own.inputs.get(1).and_then(|input| walk.graph.constant(*input)).map(|sides| sides.values.as_slice());
            let to = [side as f32, side as f32];
            let how = own.is("half_pixel_centers") == middles && !own.is("align_corners");
            (own.op == "ResizeBilinear" && sides == Some(to.as_slice()) && how).then_some(())
        };
        let from = if middles { "middles" } else { "corners" };
        let (node, ()) = self.next(x, &format!("a bilinear resize to {side} x {side} from the {from} of pixels"), fits)?;
        Ok(Made { node, side, linear: None, ..x.clone() })
    }

    fn add(&mut self, x: &Made, label: &str) -> Result<Made> {
        let other = self.labelled(label)?;
        let both = |walk: &Walk, node: usize| walk.is_of(node, &ADDS, x.node, other.node).then_some(());
        let (mut node, ()) = self.next(x, &format!("a sum with `{}`", self.graph.nodes[other.node].name), both)?;
        let scale = self.alike(x, &other)?;
        for module in [&x.owes, &other.owes].into_iter().flatten() {
            let late = self.bias_behind(node, x.channels);
            let (behind, bias) = late.ok_or_else(|| self.other(format!("`{module}` has no bias")))?;
            self.met[behind] = true;
            node = behind;
            let values = bias.values.iter().map(|value| value / scale).collect();
            self.tensors.insert(format!("{module}.bias"), Numbers { shape: vec![x.channels], values });
        }
        Ok(Made { node, scale, linear: None, owes: None, ..x.clone() })
    }

    fn join(&mut self, x: &Made, label: &str) -> Result<Made> {
        let first = self.labelled(label)?;
        let fits = |walk: &Walk, node: usize| {
            let own = &walk.graph.nodes[node];
            let axis = own.inputs.get(2).and_then(|input| walk.graph.scalar(*input));
            let [a, b, _] = own.inputs[..] else { return None };
            (own.op == "ConcatV2" && (a, b) == (first.node, x.node) && [Some(3.0), Some(-1.0)].contains(&axis)).then_some(())
        };
        let (node, ()) = self.next(x, &format!("what joins it to `{}`", self.graph.nodes[first.node].name), fits)?;
        let scale = self.alike(x, &first)?;
        Ok(Made { node, scale, channels: x.channels + first.channels, linear: None, owes: None, ..x.clone() })
    }

    /// Makes two as much smaller than the graph's, by the weights of one of them; answers how much that is.
    fn alike(&mut self, x: &Made, other: &Made) -> Result<f32> {
        if x.scale == other.scale {
            return Ok(x.scale);
        }
        let (module, from, to) = match (&x.linear, &other.linear) {
            (Some(module), _) => (module, x.scale, other.scale),
            (None, Some(module)) => (module, other.scale, x.scale),
            (None, None) => return Err(self.other(format!("`{}` is multiplied", self.graph.nodes[x.node].name))),
        };
        for field in ["weight", "bias"] {
            if let Some(numbers) = self.tensors.get_mut(&format!("{module}.{field}")) {
                numbers.values.iter_mut().for_each(|value| *value *= from / to);
            }
        }
        for made in self.labels.values_mut().filter(|made| made.linear.as_ref() == Some(module)) {
            made.scale = to;
        }
        Ok(to)
    }

    /// What was not met is what the table says comes behind.
    fn rest(&self) -> Result<()> {
        let mut left: Vec<String> = self.graph.working().filter(|node| !self.met[*node]).map(|node| self.described(node)).collect();
        for wanted in &self.known.rest {
            match left.iter().position(|own| own == wanted) {
                Some(at) => drop(left.swap_remove(at)),
                None => return Err(self.other(format!("behind its layers there should be `{wanted}`"))),
            }
        }
        match left.first() {
            None => Ok(()),
            Some(more) => Err(self.other(format!("it has more: {} operations such as `{more}`", left.len()))),
        }
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
