//! A transformer's block: the parameters of its two halves, and the adapters that may stand beside its linear layers.

use candle_core::Var;

use super::adapter::{Adapter, LowRank};
use super::parameter::{Pair, parameter};
use crate::nn::backbone::Mode;
use crate::nn::error::Result;
use crate::nn::kernels::{Activation, AttentionBlock, MlpBlock};
use crate::nn::weights::Weights;

/// The handles of one block.
pub(super) struct Block {
    norm1: Pair,
    qkv: Pair,
    projection: Pair,
    norm2: Pair,
    fc1: Pair,
    fc2: Pair,
    activation: Activation,
    /// On what each half adds, where there is one.
    scales: [Option<Var>; 2],
    /// Of `qkv`, `projection`, `fc1` and `fc2`.
    adapters: [Option<Adapter>; 4],
}

/// The modules of a block that adapters can be put in.
const ADAPTED: [&str; 4] = ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"];

impl Block {
    /// Those under `prefix`, of weights that `architectures` has checked.
    pub fn of(prefix: &str, activation: Activation, weights: &Weights, architecture: &str) -> Result<Block> {
        let part = |module: &str| Pair::of(&format!("{prefix}.{module}"), weights, architecture);
        Ok(Block {
            norm1: part("norm1")?,
            qkv: part("attn.qkv")?,
            projection: part("attn.proj")?,
            norm2: part("norm2")?,
            fc1: part("mlp.fc1")?,
            fc2: part("mlp.fc2")?,
            activation,
            scales: ["ls1", "ls2"].map(|scale| weights.get(&format!("{prefix}.{scale}.gamma")).cloned()),
            adapters: Default::default(),
        })
    }

    /// `mode` is that of adapters, `base` that of all other parameters.
    pub fn halves<R>(
        &self,
        (heads, eps): (usize, f64),
        (mode, base): (Mode, Mode),
        with: impl FnOnce(&AttentionBlock<'_>, &MlpBlock<'_>) -> candle_core::Result<R>,
    ) -> Result<R> {
        let [norm1, norm2] = [&self.norm1, &self.norm2].map(|pair| pair.tensors(base));
        let mut linear = self.linear().map(|pair| pair.tensors(base));
        for ((adapter, pair), (weight, _)) in self.adapters.iter().zip(self.linear()).zip(&mut linear) {
            if let Some(adapter) = adapter {
                *weight = adapter.on(pair.matrix(), mode == Mode::Train)?;
            }
        }
        // Taken into the layers that end the halves: a few numbers instead of a pass over the tokens.
        for (scale, at) in self.scales.iter().zip([1, 3]) {
            if let Some(scale) = scale {
                let (scale, (weight, bias)) = (parameter(scale, base), &linear[at]);
                linear[at] = (weight.broadcast_mul(&scale.unsqueeze(1)?)?, (bias * scale)?);
            }
        }
        let [qkv, projection, fc1, fc2] = &linear;
        let attention =
            AttentionBlock { norm: (&norm1.0, &norm1.1), qkv: (&qkv.0, &qkv.1), projection: (&projection.0, &projection.1), heads, eps };
        let activation = self.activation;
        let mlp = MlpBlock { norm: (&norm2.0, &norm2.1), expand: (&fc1.0, &fc1.1), contract: (&fc2.0, &fc2.1), activation, eps };
        Ok(with(&attention, &mlp)?)
    }

    /// Puts adapters in, tells them from others by `stream`, and adds them to `weights`; answers their names.
    pub fn adapt(&mut self, prefix: &str, stream: usize, with: &LowRank, weights: &mut Weights) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let count = if with.perceptrons { 4 } else { 2 };
        for (place, module) in ADAPTED.iter().enumerate().take(count) {
            let adapter = Adapter::new(self.linear()[place].matrix(), with, (4 * stream + place) as u64)?;
            for (name, var) in adapter.parameters(&format!("{prefix}.{module}")) {
                names.push(name.clone());
                weights.insert(name, var);
            }
            self.adapters[place] = Some(adapter);
        }
        Ok(names)
    }

    /// Makes what adapters have learned part of the matrices they stand beside, and takes them away.
    pub fn merge_adapters(&mut self, prefix: &str, weights: &mut Weights) -> Result<()> {
        for (place, module) in ADAPTED.iter().enumerate() {
            let Some(adapter) = self.adapters[place].take() else { continue };
            let matrix = self.linear()[place].matrix().clone();
            matrix.set(&adapter.on(&matrix, false)?)?;
            for (name, _) in adapter.parameters(&format!("{prefix}.{module}")) {
                weights.remove(&name);
            }
        }
        Ok(())
    }

    /// In the order of [`ADAPTED`].
    fn linear(&self) -> [&Pair; 4] {
        [&self.qkv, &self.projection, &self.fc1, &self.fc2]
    }
}
