//! Convolutions of a graph, alone or fused with what follows them, and their weights in PyTorch's order.

use super::super::error::Result;
use super::follow::{ADDS, Made, Walk};
use super::layers::{Act, Conv};
use super::manifest::Numbers;

impl Walk<'_> {
    /// Whether this is such a convolution; before another, where what is behind it tells it from its like.
    fn is_conv(&self, node: usize, x: &Made, conv: &Conv, before: Option<&Conv>) -> bool {
        let own = &self.graph.nodes[node];
        let ops: &[&str] = match conv.each {
            true => &["DepthwiseConv2dNative", "FusedDepthwiseConv2dNative"],
            false => &["Conv2D", "_FusedConv2D"],
        };
        let (Some(from), Some(weight)) = (own.inputs.first(), own.inputs.get(1).and_then(|input| self.graph.constant(*input))) else {
            return false;
        };
        let stride = conv.stride as i64;
        let fused = own.texts("fused_ops");
        let fits = |fused: &String| match fused.as_str() {
            "BiasAdd" => conv.bias,
            "Relu" => conv.act == Act::Relu,
            "Relu6" => conv.act == Act::Relu6,
            _ => false,
        };
        let padding = own.text("padding");
        ops.contains(&own.op.as_str())
            && *from == x.node
            && weight.shape == conv.shape()
            && own.whole("strides") == [1, stride, stride, 1]
            && own.whole("dilations").iter().all(|rate| *rate == 1)
            && own.text("data_format").is_none_or(|order| order == "NHWC")
            && (padding.as_deref() == Some("SAME") || conv.kernel == 1 && padding.as_deref() == Some("VALID"))
            && fused.iter().all(fits)
            && before.is_none_or(|before| {
                let made = Made { node, ..x.clone() };
                self.graph.users(node).iter().any(|user| self.is_conv(*user, &made, before, None))
            })
    }

    pub fn conv(&mut self, x: &Made, conv: &Conv, before: Option<&Conv>) -> Result<Made> {
        let (mut node, ()) = self.next(x, &conv.to_string(), |walk, node| walk.is_conv(node, x, conv, before).then_some(()))?;
        let graph = self.graph;
        let own = &graph.nodes[node];
        let constant = |at: usize| own.inputs.get(at).and_then(|input| graph.constant(*input));
        let (fused, mut owes) = (own.texts("fused_ops"), None);
        if let Some(weight) = constant(1) {
            self.tensors.insert(format!("{}.weight", conv.module), turned(weight, conv, x.scale));
        }
        let is_bias = |numbers: &&Numbers| numbers.values.len() == conv.output;
        let bias = match (conv.bias, fused.iter().any(|fused| fused == "BiasAdd")) {
            (false, _) => None,
            (true, true) => {
                Some(constant(2).filter(is_bias).ok_or_else(|| self.other(format!("`{}` has another bias", own.name)))?.clone())
            }
            (true, false) => match self.bias_behind(node, conv.output) {
                Some((behind, bias)) => {
                    self.met[behind] = true;
                    node = behind;
                    Some(bias)
                }
                None => {
                    owes = Some(conv.module.clone());
                    None
                }
            },
        };
        if let Some(Numbers { values, .. }) = bias {
            self.tensors.insert(format!("{}.bias", conv.module), Numbers { shape: vec![conv.output], values });
        }
        let linear = Some(conv.module.clone());
        let made = Made { node, side: x.side.div_ceil(conv.stride), channels: conv.output, scale: 1.0, linear, owes };
        match fused.iter().any(|fused| fused != "BiasAdd") {
            true => Ok(Made { linear: None, ..made }),
            false => self.act(&made, conv.act),
        }
    }

    /// The sum with a number for each channel that is all there is behind an operation.
    pub fn bias_behind(&self, node: usize, channels: usize) -> Option<(usize, Numbers)> {
        let [user] = self.graph.users(node) else { return None };
        let own = &self.graph.nodes[*user];
        let constant = own.inputs.iter().find_map(|input| self.graph.constant(*input))?;
        let fits = ADDS.contains(&own.op.as_str()) && own.inputs.len() == 2 && constant.values.len() == channels;
        fits.then(|| (*user, constant.clone()))
    }

    /// `(2, 2, 1, channels)` to `(4, channels)`, and one bias.
    pub fn fours(&mut self, x: &Made, module: &str, channels: usize) -> Result<Made> {
        let fits = |walk: &Walk, node: usize| {
            let own = &walk.graph.nodes[node];
            let [_, filter, from] = own.inputs[..] else { return None };
            let weight = walk.graph.constant(filter).filter(|weight| weight.shape == [2, 2, 1, channels])?;
            let moves = own.whole("strides") == [1, 2, 2, 1] && own.text("padding").as_deref() == Some("SAME");
            (own.op == "Conv2DBackpropInput" && from == x.node && moves).then(|| weight.values.clone())
        };
        let (node, values) = self.next(x, &format!("a transposed convolution 2x2 of {channels} channels"), fits)?;
        let values = values.iter().map(|value| value * x.scale).collect();
        self.tensors.insert(format!("{module}.weight"), Numbers { shape: vec![4, channels], values });
        let (node, bias) = self.bias_behind(node, 1).ok_or_else(|| self.other(format!("`{}` has no bias", self.graph.nodes[node].name)))?;
        self.met[node] = true;
        self.tensors.insert(format!("{module}.bias"), Numbers { shape: vec![1], values: bias.values });
        Ok(Made { node, side: 2 * x.side, channels: 1, scale: 1.0, linear: None, owes: None })
    }
}

/// A weight in PyTorch's order, times what its input is of ours.
fn turned(weight: &Numbers, conv: &Conv, scale: f32) -> Numbers {
    let [kernel, _, inputs, outputs] = conv.shape();
    // Depthwise ones have a filter for each channel that comes in.
    let (outer, inner) = if conv.each { (inputs, 1) } else { (outputs, inputs) };
    let mut values = Vec::with_capacity(weight.values.len());
    for output in 0..outer {
        for input in 0..inner {
            for pixel in 0..kernel * kernel {
                let at = if conv.each { pixel * inputs + output } else { (pixel * inputs + input) * outputs + output };
                values.push(weight.values[at] * scale);
            }
        }
    }
    let shape = if conv.matrix { vec![outer, inner] } else { vec![outer, inner, kernel, kernel] };
    Numbers { shape, values }
}
