//! The networks whose graphs are known: tables with a line for each layer, in the order in which they are computed, which name the tensors as we
//! do.
//!
//! ```text
//! image SIDE                              what is given
//! conv MODULE K/STRIDE IN>OUT ACTIVATION  dense, with a bias; `plain` has none, `matrix` is stored without its two sides of 1
//! each MODULE K/STRIDE CHANNELS ACTIVATION   the same for each channel by itself
//! filter MODULE K IN>OUT                  `each`, plain, as MODULE.depthwise, and `conv` as MODULE.pointwise
//! squeeze MODULE CHANNELS>INSIDE GATE     as MODULE.conv_reduce and MODULE.conv_expand
//! means | act ACTIVATION | scale NUMBER | resize SIDE middles|corners
//! add LABEL | join LABEL | times LABEL    of two; joined channels stand behind the label's
//! fours MODULE CHANNELS                   four pixels of one channel for each
//! ```
//!
//! A line is about what the one before has made, or about `<LABEL`; `=LABEL` names what it makes.

use serde::Deserialize;

use super::super::error::{Error, Result};
use super::super::mappings::GRAPHS;

/// A network.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// In words, for cards and messages.
    pub title: String,
    pub architecture: String,
    /// What it is trained to say, and the head over maps that says it with how many numbers about a place.
    pub task: String,
    pub decoder: String,
    pub outputs: usize,
    pub labels: Vec<String>,
    layers: String,
    /// What comes behind the layers, each operation with the constants that it is given: it is what `train` does with the answers.
    #[serde(default)]
    pub rest: Vec<String>,
}

/// All of them.
///
/// # Errors
/// A table that does not read.
pub fn known() -> Result<Vec<Known>> {
    let read = |(name, text): &(&str, &str)| {
        toml::from_str(text).map_err(|error| Error::Corrupt(format!("the built-in graph `{name}` does not read: {error}")))
    };
    GRAPHS.iter().map(read).collect()
}

/// What is done to every number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    None,
    Relu,
    Relu6,
    HardSwish,
    Sigmoid,
    HardSigmoid,
}

/// A convolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conv {
    pub module: String,
    pub kernel: usize,
    pub stride: usize,
    pub input: usize,
    pub output: usize,
    /// For each channel by itself.
    pub each: bool,
    pub bias: bool,
    pub matrix: bool,
    pub act: Act,
}

/// What a line says is done.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    Image(usize),
    Conv(Conv),
    /// A plain one for each channel, and the one behind it.
    Filter(Conv, Conv),
    /// The way in, the way out, and the gate.
    Squeeze(Conv, Conv, Act),
    Means,
    Act(Act),
    Scale(f32),
    /// And whether it is counted from the middles of pixels.
    Resize(usize, bool),
    Add(String),
    Join(String),
    Times(String),
    Fours(String, usize),
}

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub from: Option<String>,
    pub layer: Layer,
    pub label: Option<String>,
}

impl Known {
    /// Its layers.
    ///
    /// # Errors
    /// A line that does not read.
    pub fn lines(&self) -> Result<Vec<Line>> {
        let lines = self.layers.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let unread = |line: &str| Error::Corrupt(format!("the built-in graph `{}` has a line that does not read: {line}", self.title));
        lines.map(|line| read(line).ok_or_else(|| unread(line))).collect()
    }
}

fn read(line: &str) -> Option<Line> {
    let labelled = |mark: char| line.split_whitespace().find_map(|word| word.strip_prefix(mark).map(str::to_owned));
    let words: Vec<&str> = line.split_whitespace().filter(|word| !word.starts_with(['<', '='])).collect();
    let (op, words) = words.split_first()?;
    let layer = match (*op, words) {
        ("image", [side]) => Layer::Image(side.parse().ok()?),
        ("conv", [module, size, channels, act, more @ ..]) => {
            let conv = conv(module, size, channels, act)?;
            let (plain, matrix) = (more.contains(&"plain"), more.contains(&"matrix"));
            (usize::from(plain) + usize::from(matrix) == more.len()).then_some(Layer::Conv(Conv { bias: !plain, matrix, ..conv }))?
        }
        ("each", [module, size, channels, act]) => {
            Layer::Conv(Conv { each: true, ..conv(module, size, &format!("{channels}>{channels}"), act)? })
        }
        ("filter", [module, kernel, channels]) => {
            let point = conv(&format!("{module}.pointwise"), "1/1", channels, "none")?;
            let each = conv(&format!("{module}.depthwise"), &format!("{kernel}/1"), &format!("{0}>{0}", point.input), "none")?;
            Layer::Filter(Conv { each: true, bias: false, ..each }, point)
        }
        ("squeeze", [module, channels, gate]) => {
            let reduce = conv(&format!("{module}.conv_reduce"), "1/1", channels, "relu")?;
            let back = format!("{}>{}", reduce.output, reduce.input);
            Layer::Squeeze(reduce, conv(&format!("{module}.conv_expand"), "1/1", &back, "none")?, act(gate)?)
        }
        ("means", []) => Layer::Means,
        ("act", [name]) => Layer::Act(act(name)?),
        ("scale", [number]) => Layer::Scale(number.parse().ok()?),
        ("resize", [side, from]) => Layer::Resize(side.parse().ok()?, *from == "middles"),
        ("add", [label]) => Layer::Add((*label).to_owned()),
        ("join", [label]) => Layer::Join((*label).to_owned()),
        ("times", [label]) => Layer::Times((*label).to_owned()),
        ("fours", [module, channels]) => Layer::Fours((*module).to_owned(), channels.parse().ok()?),
        _ => return None,
    };
    Some(Line { from: labelled('<'), layer, label: labelled('=') })
}

fn conv(module: &str, size: &str, channels: &str, name: &str) -> Option<Conv> {
    let (kernel, stride) = size.split_once('/')?;
    let (input, output) = channels.split_once('>')?;
    Some(Conv {
        module: module.to_owned(),
        kernel: kernel.parse().ok()?,
        stride: stride.parse().ok()?,
        input: input.parse().ok()?,
        output: output.parse().ok()?,
        each: false,
        bias: true,
        matrix: false,
        act: act(name)?,
    })
}

fn act(name: &str) -> Option<Act> {
    Some(match name {
        "none" => Act::None,
        "relu" => Act::Relu,
        "relu6" => Act::Relu6,
        "hard_swish" => Act::HardSwish,
        "sigmoid" => Act::Sigmoid,
        "hard_sigmoid" => Act::HardSigmoid,
        _ => return None,
    })
}

impl Conv {
    /// Shape of its weight in TensorFlow's order.
    pub fn shape(&self) -> [usize; 4] {
        if self.each { [self.kernel, self.kernel, self.input, 1] } else { [self.kernel, self.kernel, self.input, self.output] }
    }
}

impl std::fmt::Display for Conv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Conv { kernel, stride, input, output, .. } = self;
        match self.each {
            true => write!(f, "a depthwise convolution {kernel}x{kernel} of {input} channels at stride {stride}"),
            false => write!(f, "a convolution {kernel}x{kernel} from {input} to {output} channels at stride {stride}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::task::Task;
    use crate::nn::architectures;
    use crate::nn::heads::dense;

    #[test]
    fn every_table_names_all_tensors_of_its_network() {
        for known in known().unwrap() {
            let mut made = Vec::new();
            for line in known.lines().unwrap() {
                let convs = match line.layer {
                    Layer::Conv(one) => vec![one],
                    Layer::Filter(one, other) | Layer::Squeeze(one, other, _) => vec![one, other],
                    _ => continue,
                };
                for conv in convs.into_iter().filter(|conv| !conv.module.starts_with(dense::MODULE)) {
                    made.push(format!("{}.weight", conv.module));
                    made.push(format!("{}.bias", conv.module));
                }
            }
            let mut wanted: Vec<String> =
                architectures::expected(&known.architecture, 0).unwrap().into_iter().map(|one| one.name).collect();
            made.sort();
            wanted.sort();
            assert_eq!(made, wanted, "{}", known.title);
            assert!(Task::parse(&known.task).is_some_and(Task::is_of_places) && dense::names().any(|name| name == known.decoder));
            assert!(known.labels.len() <= known.outputs);
        }
    }

    #[test]
    fn a_line_is_read_or_refused() {
        let line = read("conv a.b 3/2 4>8 relu plain <x =y").unwrap();
        assert_eq!((line.from.as_deref(), line.label.as_deref()), (Some("x"), Some("y")));
        assert!(matches!(line.layer, Layer::Conv(Conv { kernel: 3, stride: 2, input: 4, output: 8, bias: false, act: Act::Relu, .. })));
        for broken in ["", "conv a", "conv a 3 4>8 relu", "conv a 3/2 4>8 loud", "conv a 3/2 4>8 relu odd", "resize x middles", "what"] {
            assert!(read(broken).is_none(), "{broken}");
        }
    }
}
