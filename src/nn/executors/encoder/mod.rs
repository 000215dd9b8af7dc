//! Runs text encoders: transformers whose tokens attend in both directions, or to those before them. Sequences of a batch lie packed one behind the other, and
//! nothing is worked out for padding. Between stages flow `(B, N, D)`, in which padding is rows of zeros.
//!
//! | road | where | file |
//! | --- | --- | --- |
//! | tape | learning on a CPU | `layers` |
//! | answering on a CPU | all stages at once that do not learn, each thread with sequences of its own | `answer` |
//! | portable | every other device | `portable` |

mod answer;
mod layers;
pub mod plan;
mod pool;
mod portable;
mod sequences;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;

use candle_core::{DType, Tensor};

use self::answer::Prepared;
use self::plan::{Bend, Module, Plan};
use self::sequences::{Sequences, Tokens};
use super::adapter::{Adapter, LowRank};
use super::parameter::{handle, parameter};
use super::pooling::TokenPool;
use crate::domain::recipe::Precision;
use crate::nn::backbone::{Backbone, Mode, Stage};
use crate::nn::error::{Error, Result};
use crate::nn::input::Input;
use crate::nn::kernels::Activation;
use crate::nn::kernels::ops::{Pass, Road, Settings};
use crate::nn::weights::Weights;

/// A backbone built from its plan and tensors.
pub(crate) struct Encoder {
    architecture: String,
    plan: Plan,
    stages: Vec<Stage>,
    weights: Weights,
    settings: Settings,
    pool: TokenPool,
    /// Weights as answers want them, where they no longer change.
    prepared: Option<OnceLock<Prepared>>,
    /// By the name of their matrix.
    adapters: BTreeMap<String, Adapter>,
    /// What learned before adapters took its place.
    replaced: Vec<Stage>,
}

/// A road's way through single stages.
trait Steps {
    /// What flows: `(T, D)` in one form or another.
    type Flow: Clone;

    fn embed(&self, encoder: &Encoder, tokens: &Tokens, mode: Mode) -> Result<Self::Flow>;

    fn enter(&self, packed: &Tensor, pass: &Pass) -> Result<Self::Flow>;

    fn layer(&self, encoder: &Encoder, layer: usize, x: &Self::Flow, mode: Mode) -> Result<Self::Flow>;

    fn detach(&self, x: &Self::Flow) -> Self::Flow;

    fn leave(&self, x: &Self::Flow) -> Result<Tensor>;
}

/// What a range of stages is given.
enum Given<'a> {
    Ids(&'a Tokens),
    Packed(&'a Tensor, &'a Sequences),
}

impl Given<'_> {
    fn sequences(&self) -> &Sequences {
        match self {
            Given::Ids(tokens) => &tokens.sequences,
            Given::Packed(_, sequences) => sequences,
        }
    }
}

impl Encoder {
    /// Takes weights that `architectures` has checked.
    pub fn build(architecture: &str, plan: Plan, pool: TokenPool, weights: Weights) -> Result<Encoder> {
        let stages = Stage::list(plan.stages());
        Ok(Encoder {
            architecture: architecture.into(),
            plan,
            stages,
            weights,
            settings: Settings::new(),
            pool,
            prepared: None,
            adapters: BTreeMap::new(),
            replaced: Vec::new(),
        })
    }

    /// The stages of this range, the first `frozen_stages` of all as constants: `(T, D)`.
    fn run(&self, stages: Range<usize>, given: &Given<'_>, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        if stages.end > self.stages.len() {
            let (count, stage) = (self.stages.len(), stages.end.saturating_sub(1));
            return Err(Error::Invalid(format!("{} has {count} stages, there is no stage {stage}", self.architecture)));
        }
        let still = self.still(&stages, given, frozen_stages, mode);
        if still == stages.end {
            return self.passed(stages, given);
        }
        if still > stages.start {
            let passed = self.passed(stages.start..still, given)?;
            return self.stepped(still..stages.end, &Given::Packed(&passed, given.sequences()), frozen_stages, mode);
        }
        self.stepped(stages, given, frozen_stages, mode)
    }

    /// Up to which of these stages a CPU passes a batch without steps between layers, since nobody learns there.
    fn still(&self, stages: &Range<usize>, given: &Given<'_>, frozen_stages: usize, mode: Mode) -> usize {
        let tracked = matches!(given, Given::Packed(x, _) if x.track_op());
        if tracked || !self.adapters.is_empty() || !self.weights.device().is_cpu() {
            return stages.start;
        }
        if mode == Mode::Eval { stages.end } else { frozen_stages.clamp(stages.start, stages.end) }
    }

    /// Stage after stage.
    fn stepped(&self, stages: Range<usize>, given: &Given<'_>, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        let of = |stage: usize| if stage < frozen_stages { Mode::Eval } else { mode };
        let last = stages.end.saturating_sub(1);
        let any = handle(&self.plan.words.name, &self.weights, &self.architecture)?;
        let begins = match given {
            Given::Ids(_) => any.detach(),
            Given::Packed(x, _) => (*x).clone(),
        };
        let pass = self.settings.pass(&begins, of(last) == Mode::Train);
        let lengths = given.sequences();
        match pass.road {
            Road::Portable => {
                self.walk(&portable::Portable::new(lengths, &self.plan, pass, begins.device())?, stages, given, frozen_stages, mode, &pass)
            }
            Road::Tape | Road::Folded => self.walk(&layers::Tape::new(lengths, &self.plan)?, stages, given, frozen_stages, mode, &pass),
        }
    }

    fn walk<S: Steps>(
        &self,
        steps: &S,
        stages: Range<usize>,
        given: &Given<'_>,
        frozen_stages: usize,
        mode: Mode,
        pass: &Pass,
    ) -> Result<Tensor> {
        let of = |stage: usize| if stage < frozen_stages { Mode::Eval } else { mode };
        let pass_of = |stage: usize| if of(stage) == Mode::Train { *pass } else { pass.frozen() };
        let mut flow = match given {
            Given::Packed(x, _) => Some(steps.enter(x, &pass_of(stages.start))?),
            Given::Ids(_) => None,
        };
        for stage in stages {
            let next = match (&flow, given, stage) {
                (_, Given::Ids(tokens), 0) => steps.embed(self, tokens, of(0))?,
                (Some(x), _, stage) if stage > 0 => steps.layer(self, stage - 1, x, of(stage))?,
                _ => return Err(Error::Invalid("the first stage takes token ids".into())),
            };
            flow = Some(if stage < frozen_stages { steps.detach(&next) } else { next });
        }
        match flow {
            Some(x) => steps.leave(&x),
            None => Err(Error::Invalid("no stage was asked for".into())),
        }
    }

    /// How the base's own parameters are run: where adapters learn, they do not.
    fn of_base(&self, mode: Mode) -> Mode {
        if self.replaced.is_empty() { mode } else { Mode::Eval }
    }

    fn tensor(&self, name: &str, mode: Mode) -> Result<Tensor> {
        Ok(parameter(&handle(name, &self.weights, &self.architecture)?, self.of_base(mode)))
    }

    /// Weight and bias of a linear layer or a norm; zeros for a bias that it does not have.
    fn module(&self, module: &Module, mode: Mode) -> Result<(Tensor, Tensor)> {
        let weight = match self.adapters.get(&module.name) {
            Some(adapter) => adapter.on(&handle(&module.weight(), &self.weights, &self.architecture)?, mode == Mode::Train)?,
            None => self.tensor(&module.weight(), mode)?,
        };
        let bias = match module.bias {
            true => self.tensor(&module.bias(), mode)?,
            false => Tensor::zeros(weight.dim(0)?, DType::F32, weight.device())?,
        };
        Ok((weight, bias))
    }

    /// Queries, keys and values as one layer.
    fn qkv(&self, modules: &[Module], mode: Mode) -> Result<(Tensor, Tensor)> {
        if let [one] = modules {
            return self.module(one, mode);
        }
        let parts = modules.iter().map(|module| self.module(module, mode)).collect::<Result<Vec<_>>>()?;
        let (weights, biases): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        Ok((Tensor::cat(&weights, 0)?, Tensor::cat(&biases, 0)?))
    }

    /// The biases of attention by distance, `(heads, 2 * longest - 1)`, for sequences of so many tokens.
    fn biases(&self, longest: usize, mode: Mode) -> Result<Option<Tensor>> {
        let Some(distances) = &self.plan.distances else { return Ok(None) };
        let table = self.tensor(&distances.table.name, mode)?;
        let buckets = Tensor::new(distances.buckets(longest), table.device())?;
        Ok(Some(table.index_select(&buckets, 0)?.t()?.contiguous()?))
    }

    /// The embeddings' sum, before their norm: `(T, D)`.
    fn looked_up(&self, tokens: &Tokens, mode: Mode) -> Result<Tensor> {
        let rows = |name: &str, numbers: Vec<u32>| -> Result<Tensor> {
            let table = self.tensor(name, mode)?;
            Ok(table.index_select(&Tensor::new(numbers, table.device())?, 0)?)
        };
        let mut sum = rows(&self.plan.words.name, tokens.ids.clone())?;
        if let Some(types) = &self.plan.types {
            sum = (sum + rows(&types.name, tokens.types.clone())?)?;
        }
        if let Some((table, first)) = &self.plan.positions {
            sum = (sum + rows(&table.name, tokens.places(*first))?)?;
        }
        Ok(sum)
    }

    /// `(T, D)` to the features.
    fn to_features(&self, packed: &Tensor, sequences: &Sequences, mode: Mode) -> Result<Tensor> {
        let pooled = pool::pooled(packed, sequences, self.pool)?;
        let Some(pooler) = &self.plan.pooler else { return Ok(pooled) };
        let (weight, bias) = self.module(&pooler.dense, mode)?;
        let road = if packed.device().is_cpu() { Road::Tape } else { Road::Portable };
        let dense = |activation| road.linear(&pooled.contiguous()?, &weight, &bias, activation);
        let y = match pooler.activation {
            Bend::None => dense(Activation::None)?,
            Bend::Tanh => dense(Activation::None)?.tanh()?,
            Bend::Relu => dense(Activation::Relu)?,
            Bend::Gelu => dense(Activation::Gelu)?,
        };
        match &pooler.norm {
            None => Ok(y),
            Some(norm) => {
                let (gamma, beta) = self.module(norm, mode)?;
                Ok(road.layer_norm(&y, &gamma, &beta, self.plan.eps)?)
            }
        }
    }

    /// The linear layers that adapters are put beside, stage by stage.
    fn adapted(&self, layer: usize, with: &LowRank) -> Vec<Module> {
        let layer = &self.plan.layers[layer];
        let mut modules: Vec<Module> = layer.qkv.iter().chain([&layer.output]).cloned().collect();
        if with.perceptrons {
            modules.extend([layer.up.clone(), layer.down.clone()]);
        }
        modules
    }
}

impl Backbone for Encoder {
    fields!();

    fn num_features(&self) -> usize {
        self.plan.features()
    }

    fn pool_tokens(&mut self, pool: TokenPool) {
        self.pool = pool;
    }

    fn settle(&mut self) {
        self.prepared = Some(OnceLock::new());
    }

    fn unsettle(&mut self) {
        self.prepared = None;
    }

    fn adapt(&mut self, with: &LowRank) -> Result<()> {
        let before = self.stages.clone();
        self.prepared = None;
        for layer in 0..self.plan.layers.len() {
            let mut names = Vec::new();
            for (place, module) in self.adapted(layer, with).into_iter().enumerate() {
                let matrix = handle(&module.weight(), &self.weights, &self.architecture)?;
                let adapter = Adapter::new(&matrix, with, (8 * layer + place) as u64)?;
                for (name, var) in adapter.parameters(&module.name) {
                    names.push(name.clone());
                    self.weights.insert(name, var);
                }
                self.adapters.insert(module.name, adapter);
            }
            self.stages[layer + 1].parameters = names;
        }
        self.stages[0].parameters.clear();
        self.replaced = before;
        Ok(())
    }

    fn merge_adapters(&mut self) -> Result<()> {
        for (name, adapter) in std::mem::take(&mut self.adapters) {
            let matrix = handle(&format!("{name}.weight"), &self.weights, &self.architecture)?;
            matrix.set(&adapter.on(&matrix, false)?)?;
            for (name, _) in adapter.parameters(&name) {
                self.weights.remove(&name);
            }
        }
        if !self.replaced.is_empty() {
            self.stages = std::mem::take(&mut self.replaced);
        }
        Ok(())
    }

    fn forward_stage(&self, stage: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.stages_of(stage..stage + 1, x, 0, mode)
    }

    fn features_from(&self, from: usize, x: &Tensor, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        if from >= self.stages.len() { Ok(x.clone()) } else { self.stages_of(from..self.stages.len(), x, frozen_stages, mode) }
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        let (sequences, packed) = Sequences::of_rows(features, self.plan.width)?;
        let mode = if features.track_op() { Mode::Train } else { Mode::Eval };
        self.to_features(&packed, &sequences, mode)
    }

    fn pooled(&self, input: &Input, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        let tokens = Tokens::read(input.tensor(), &self.plan)?;
        let count = self.stages.len();
        let mode = if frozen_stages >= count { Mode::Eval } else { mode };
        if mode == Mode::Eval && self.weights.device().is_cpu() && self.adapters.is_empty() {
            return self.answer(&tokens);
        }
        let packed = self.run(0..count, &Given::Ids(&tokens), frozen_stages, mode)?;
        self.to_features(&packed, &tokens.sequences, mode)
    }
}

impl Encoder {
    /// Between padded sequences.
    fn stages_of(&self, stages: Range<usize>, x: &Tensor, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        if stages.start == 0 {
            let tokens = Tokens::read(x, &self.plan)?;
            let packed = self.run(stages, &Given::Ids(&tokens), frozen_stages, mode)?;
            return tokens.sequences.marked(&packed);
        }
        let (sequences, packed) = Sequences::of_rows(x, self.plan.width)?;
        let packed = self.run(stages, &Given::Packed(&packed, &sequences), frozen_stages, mode)?;
        sequences.marked(&packed)
    }
}
