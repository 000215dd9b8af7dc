//! What every feature extractor can do.

use candle_core::{D, Tensor};

use super::architectures::tensor::Expected;
use super::error::{Error, Result};
use super::executors::LowRank;
use super::executors::pooling::TokenPool;
use super::input::Input;
use super::weights::Weights;
use crate::domain::recipe::Precision;
use crate::domain::safetensors::is_buffer;

/// How a network is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Learning: batch norm uses (and follows) the batch, dropout drops, every parameter gets a gradient.
    Train,
    /// Using: running statistics, no dropout, and parameters are constants, so nothing is kept for a backward pass.
    /// (A gradient to the input still flows if the input is a variable.)
    Eval,
}

/// A part of a backbone that is frozen or trained as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// `stem`, then the family's own module names.
    pub name: String,
    /// Names of its trainable tensors.
    pub parameters: Vec<String>,
    /// Names of its tensors that follow the data instead (running means and variances).
    pub buffers: Vec<String>,
}

impl Stage {
    /// From the names and tensors that an architecture gives its stages.
    pub(super) fn list(stages: impl IntoIterator<Item = (String, Vec<Expected>)>) -> Vec<Stage> {
        let stage = |(name, tensors): (String, Vec<Expected>)| {
            let (buffers, parameters) = tensors.into_iter().map(|tensor| tensor.name).partition(|name| is_buffer(name));
            Stage { name, parameters, buffers }
        };
        stages.into_iter().map(stage).collect()
    }
}

/// What one stage makes of a batch.
#[derive(Debug, Clone)]
pub struct StageMap {
    /// Maps `(B, C, H, W)`; of networks over tokens, a row for each `(B, N, D)`.
    pub values: Tensor,
    /// Pixels of the input's side that one of the map's stands for; `None` of tokens.
    pub stride: Option<usize>,
}

/// A scale at which a backbone has maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// The stage whose maps they are.
    pub stage: usize,
    /// Pixels of the image's side that one of theirs stands for.
    pub stride: usize,
    /// Channels.
    pub width: usize,
}

/// How tokens of a network over patches lie in its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patches {
    /// Of the image and of a patch, in pixels.
    pub side: usize,
    pub patch: usize,
    /// Tokens before the patches'.
    pub prefix: usize,
    /// Stages whose tokens are looked at, rising.
    pub stages: [usize; 4],
    /// Numbers per token.
    pub width: usize,
}

impl Patches {
    /// Tokens `(B, N, D)` as maps `(B, D, h, w)`, without those before the patches'. Gradients flow.
    ///
    /// # Errors
    /// There are others.
    pub fn maps(&self, tokens: &Tensor) -> Result<Tensor> {
        let (batch, count, width) = tokens.dims3()?;
        let sides = self.side / self.patch.max(1);
        if count != self.prefix + sides * sides {
            return Err(Error::Invalid(format!("{count} tokens are not those of {sides} x {sides} patches")));
        }
        let maps = tokens.narrow(1, self.prefix, sides * sides)?.contiguous()?.reshape((batch, sides, sides, width))?;
        Ok(maps.permute((0, 3, 1, 2))?)
    }
}

/// A feature extractor. Stages run in order from the input, so that freezing from the bottom is a number.
///
/// Between stages tensors may lie in the memory order the network likes best; what `forward_stage` takes and gives
/// has the shape the architecture documents (images: `(B, C, H, W)`) whatever its strides.
pub trait Backbone: Send + Sync {
    /// timm's name.
    fn architecture(&self) -> &str;

    /// Width of the pooled feature vector.
    fn num_features(&self) -> usize;

    /// From the input upwards.
    fn stages(&self) -> &[Stage];

    /// Its tensors; the handles are shared, so what an optimiser writes there is used here.
    fn weights(&self) -> &Weights;

    /// Runs one stage: `(B, C, H, W)` to `(B, C', H', W')`. Errors when the stage does not exist or the shape does
    /// not fit.
    fn forward_stage(&self, stage: usize, x: &Tensor, mode: Mode) -> Result<Tensor>;

    /// `(B, C, H, W)` after the last stage to `(B, num_features)`.
    fn pool(&self, features: &Tensor) -> Result<Tensor>;

    /// How far each training step moves the running statistics: `running += momentum * (batch - running)`, as in
    /// PyTorch; 0.1 unless set. Nothing where there is no batch norm.
    fn set_norm_momentum(&self, _momentum: f64) {}

    /// From now on batch norms of stages that learn normalise by their running statistics, which no longer move; their scales and
    /// shifts learn as before. Nothing where there are none.
    fn freeze_norms(&self) {}

    /// The precision of products in stages that learn; f32 unless set. Where another does not work, f32 stays, and
    /// the answer is why.
    fn set_precision(&self, precision: Precision) -> std::result::Result<(), String>;

    /// From now on a batch holds the frames of clips of so many frames, one behind the other, and channels are shifted along them within the
    /// network (Lin et al. 2019). Answers false where it has no place for that: whoever asks may shift what lies between its stages.
    fn shift_frames(&mut self, _frames: usize) -> bool {
        false
    }

    /// How sequences of tokens are pooled from now on. Nothing where there are none.
    fn pool_tokens(&mut self, _pool: TokenPool) {}

    /// From now on its weights stay as they are: what answers want them to be made into may be kept.
    fn settle(&mut self) {}

    /// From now on its weights may change again.
    fn unsettle(&mut self) {}

    /// From now on low-rank adapters beside its linear layers are all that learns; they stand in the place of its trainable tensors.
    ///
    /// # Errors
    /// It has no layers that adapters are for.
    fn adapt(&mut self, _with: &LowRank) -> Result<()> {
        Err(Error::Invalid(format!(
            "{} has no attention to put low-rank adapters in; choose a transformer, or another strategy",
            self.architecture()
        )))
    }

    /// Makes what adapters have learned part of the matrices they stand beside, and takes them away.
    fn merge_adapters(&mut self) -> Result<()> {
        Ok(())
    }

    /// What its passes are told, for tests that compare roads.
    #[cfg(test)]
    fn settings(&self) -> &super::kernels::ops::Settings;

    /// Runs the stages `from..`, the first `frozen_stages` (counted from the stem) as constants in eval mode.
    fn features_from(&self, from: usize, x: &Tensor, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        let mut x = x.clone();
        for stage in from..self.stages().len() {
            x = match stage < frozen_stages {
                true => self.forward_stage(stage, &x, Mode::Eval)?.detach(),
                false => self.forward_stage(stage, &x, mode)?,
            };
        }
        Ok(x)
    }

    /// All stages: of images, feature maps `(B, C, H', W')`. There is no graph below the boundary.
    fn features(&self, input: &Input, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        self.features_from(0, input.tensor(), frozen_stages, mode)
    }

    /// All stages and pooling: `(B, num_features)`.
    fn pooled(&self, input: &Input, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        self.pool(&self.features(input, frozen_stages, mode)?)
    }

    /// Of a network that tells where shots of a film end: for each frame of clips `(B, 3, T, H, W)` the logits that a shot ends with it, and that it is
    /// part of a change, `(B, T, 2)`. `None` of others.
    fn shot_logits(&self, _clips: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// How its tokens lie in the image, where it works on patches.
    fn patches(&self) -> Option<Patches> {
        None
    }

    /// Scales at which heads over maps look at it, rising in stride; none where it answers about whole items.
    fn scales(&self) -> &[Scale] {
        &[]
    }

    /// What heads over maps are shown of a stage's output: the output itself, of tokens where they lie. (Tokens of patches all lie at one
    /// stride, whatever the scale they stand for.)
    ///
    /// # Errors
    /// It is no output of that stage.
    fn shown(&self, _stage: usize, x: &Tensor, _mode: Mode) -> Result<Tensor> {
        self.patches().map_or_else(|| Ok(x.clone()), |patches| patches.maps(x))
    }

    /// Whether that is all there is to it, so that the stages above can go on from what was shown.
    fn shows_all(&self) -> bool {
        self.patches().is_none()
    }

    /// What each stage makes of the input, from the bottom up: for heads that answer about every place of an image.
    fn maps(&self, input: &Input, frozen_stages: usize, mode: Mode) -> Result<Vec<StageMap>> {
        let (mut x, mut stride, mut maps) = (input.tensor().clone(), 1, Vec::new());
        for stage in 0..self.stages().len() {
            let frozen = stage < frozen_stages;
            let before = x.dim(D::Minus1)?;
            x = self.forward_stage(stage, &x, if frozen { Mode::Eval } else { mode })?;
            x = if frozen { x.detach() } else { x };
            // Stage by stage: what odd sides are rounded up by does not add up.
            let is_map = x.rank() == 4;
            stride *= if is_map { (before as f64 / x.dim(D::Minus1)? as f64).round() as usize } else { 1 };
            maps.push(StageMap { values: x.clone(), stride: is_map.then_some(stride) });
        }
        Ok(maps)
    }

    /// Names of the trainable tensors above the boundary, from the bottom up.
    fn trainable(&self, frozen_stages: usize) -> Vec<&str> {
        self.stages().iter().skip(frozen_stages).flat_map(|stage| &stage.parameters).map(String::as_str).collect()
    }
}
