//! What must be known of a text encoder to run it: its sizes, the order of its parts, and the names of their tensors.

use crate::nn::architectures::tensor::{Expected, Init};
use crate::nn::executors::pooling::How;
use crate::nn::kernels::Activation;

/// A network over tokens that attend in both directions (Devlin et al. 2019, and what came of it), or to those before them.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Numbers per token.
    pub width: usize,
    pub heads: usize,
    /// Numbers between a layer's two linear ones; of gated ones, after the gate.
    pub hidden: usize,
    /// Added to variances in layer norm.
    pub eps: f64,
    /// The table of tokens.
    pub words: Table,
    /// The table of places, and its row of the first.
    pub positions: Option<(Table, usize)>,
    /// The table of token types: first text, second text.
    pub types: Option<Table>,
    /// After the embeddings, where there is one.
    pub norm: Option<Module>,
    pub layers: Vec<Layer>,
    /// Whether norms come before each half of a layer instead of after its sum.
    pub pre_norm: bool,
    /// Whether half of the first linear layer's numbers gate the others.
    pub gated: bool,
    /// Between a layer's two linear ones, where they are not gated: what gates is always a GELU.
    pub activation: Activation,
    /// Whether tokens do not see those behind them.
    pub causal: bool,
    /// The token by which every sequence is made as long as it may be, and which is then one like the others; `None` where they keep
    /// their lengths.
    pub filled: Option<u32>,
    /// Biases of attention by distance, which all layers share.
    pub distances: Option<Distances>,
    /// After the layers.
    pub last_norm: Option<Module>,
    /// What stands between the pooled token and a classifier, or the space that is shared with another network.
    pub pooler: Option<Pooler>,
    /// How sequences are pooled unless told otherwise.
    pub usual: How,
    /// Tokens of a sequence at most.
    pub longest: usize,
}

/// Rows that are looked up by number.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub name: String,
    pub rows: usize,
}

/// A linear layer or a norm by its name, and whether it has a bias.
#[derive(Debug, Clone, PartialEq)]
pub struct Module {
    pub name: String,
    pub bias: bool,
}

/// One layer: attention and perceptron.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    pub name: String,
    /// Of attention; `None` where the embeddings were normalised just before.
    pub attention_norm: Option<Module>,
    /// One for queries, keys and values together, or one for each.
    pub qkv: Vec<Module>,
    pub output: Module,
    pub mlp_norm: Module,
    pub up: Module,
    pub down: Module,
    /// The base of rotary positions.
    pub rotary: Option<f64>,
    /// Tokens further away than this are not seen.
    pub reach: Option<usize>,
}

/// Biases by distance in buckets, as T5 has them (Raffel et al. 2020): exact near by, logarithmic further off.
#[derive(Debug, Clone, PartialEq)]
pub struct Distances {
    /// `(buckets, heads)`.
    pub table: Table,
    /// From here on all share the last bucket.
    pub farthest: usize,
}

/// `activation(dense(x))` and perhaps a norm.
#[derive(Debug, Clone, PartialEq)]
pub struct Pooler {
    pub dense: Module,
    pub activation: Bend,
    pub norm: Option<Module>,
    /// Numbers that it makes.
    pub outputs: usize,
}

/// A pooler's activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bend {
    None,
    Tanh,
    Relu,
    Gelu,
}

/// transformers' deviation of matrices and tables.
const NARROW: Init = Init::Normal(0.02);

impl Module {
    pub fn new(name: impl Into<String>) -> Module {
        Module { name: name.into(), bias: true }
    }

    pub fn plain(name: impl Into<String>) -> Module {
        Module { name: name.into(), bias: false }
    }

    pub fn weight(&self) -> String {
        format!("{}.weight", self.name)
    }

    pub fn bias(&self) -> String {
        format!("{}.bias", self.name)
    }

    fn linear(&self, outputs: usize, inputs: usize) -> Vec<Expected> {
        self.tensors(vec![outputs, inputs], NARROW, outputs)
    }

    fn norm(&self, width: usize) -> Vec<Expected> {
        self.tensors(vec![width], Init::ONES, width)
    }

    fn tensors(&self, shape: Vec<usize>, init: Init, outputs: usize) -> Vec<Expected> {
        let bias = self.bias.then(|| Expected::new(self.bias(), [outputs], Init::ZEROS));
        std::iter::once(Expected::new(self.weight(), shape, init)).chain(bias).collect()
    }
}

impl Table {
    pub fn new(name: impl Into<String>, rows: usize) -> Table {
        Table { name: name.into(), rows }
    }

    fn tensor(&self, width: usize) -> Expected {
        Expected::new(self.name.clone(), [self.rows, width], NARROW)
    }
}

impl Distances {
    /// The bucket of each distance from `-(longest - 1)` (a key far before) to `longest - 1`.
    pub fn buckets(&self, longest: usize) -> Vec<u32> {
        let sided = self.table.rows / 2;
        let exact = sided / 2;
        let bucket = |at: usize| {
            let behind = at + 1 > longest;
            let distance = (at + 1).abs_diff(longest);
            let within = match distance < exact {
                true => distance,
                false => {
                    let share = (distance as f32 / exact as f32).ln() / (self.farthest as f64 / exact as f64).ln() as f32;
                    (exact + (share * (sided - exact) as f32) as usize).min(sided - 1)
                }
            };
            (within + if behind { sided } else { 0 }) as u32
        };
        (0..2 * longest - 1).map(bucket).collect()
    }
}

impl Plan {
    /// Width of the pooled features.
    pub fn features(&self) -> usize {
        self.pooler.as_ref().map_or(self.width, |pooler| pooler.outputs)
    }

    /// The embeddings, then layer after layer; what comes after the layers belongs to the last.
    pub fn stages(&self) -> Vec<(String, Vec<Expected>)> {
        let width = self.width;
        let mut embeddings = vec![self.words.tensor(width)];
        embeddings.extend(self.positions.iter().map(|(table, _)| table.tensor(width)));
        embeddings.extend(self.types.iter().map(|table| table.tensor(width)));
        embeddings.extend(self.norm.iter().flat_map(|norm| norm.norm(width)));
        // All layers use them: they are frozen with the first part.
        embeddings.extend(self.distances.iter().map(|of| of.table.tensor(self.heads)));
        let mut stages = vec![("embeddings".to_owned(), embeddings)];
        stages.extend(self.layers.iter().map(|layer| (layer.name.clone(), self.layer(layer))));
        if let Some((_, last)) = stages.last_mut() {
            last.extend(self.last_norm.iter().flat_map(|norm| norm.norm(width)));
            if let Some(pooler) = &self.pooler {
                last.extend(pooler.dense.linear(pooler.outputs, width));
                last.extend(pooler.norm.iter().flat_map(|norm| norm.norm(pooler.outputs)));
            }
        }
        stages
    }

    fn layer(&self, layer: &Layer) -> Vec<Expected> {
        let (width, wide) = (self.width, if self.gated { 2 * self.hidden } else { self.hidden });
        let mut tensors = Vec::new();
        let before = |norm: &Option<Module>| norm.iter().flat_map(|norm| norm.norm(width)).collect::<Vec<_>>();
        if self.pre_norm {
            tensors.extend(before(&layer.attention_norm));
        }
        for module in &layer.qkv {
            tensors.extend(module.linear(3 / layer.qkv.len() * width, width));
        }
        tensors.extend(layer.output.linear(width, width));
        if self.pre_norm {
            tensors.extend(layer.mlp_norm.norm(width));
        } else {
            tensors.extend(before(&layer.attention_norm));
        }
        tensors.extend(layer.up.linear(wide, width));
        tensors.extend(layer.down.linear(width, self.hidden));
        if !self.pre_norm {
            tensors.extend(layer.mlp_norm.norm(width));
        }
        tensors
    }
}
