//! Vision transformers (Dosovitskiy et al. 2020; DeiT is the same network) as data, under timm's names.
//!
//! ```text
//! stem            patch_embed.proj 16x16/16, cls_token, pos_embed
//! stages 1..12    blocks.0 .. blocks.11; norm belongs to the last (as in timm's group_matcher)
//! ```

use super::plan::{Expected, Kind};

/// One member of the family. Images have one size, since each patch's position is learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vit {
    /// Numbers per token.
    pub width: usize,
    pub heads: usize,
    /// Blocks.
    pub depth: usize,
    /// Side of a patch, and of an image, in pixels.
    pub patch: usize,
    pub side: usize,
}

/// Added to variances in layer norm.
pub(crate) const EPS: f64 = 1e-6;

impl Vit {
    /// Twelve blocks over 16-pixel patches of 224-pixel images.
    pub const fn patch16_224(width: usize, heads: usize) -> Vit {
        Vit { width, heads, depth: 12, patch: 16, side: 224 }
    }

    /// Patches and the class token.
    pub fn tokens(&self) -> usize {
        (self.side / self.patch).pow(2) + 1
    }

    /// Numbers between a block's two linear layers.
    pub fn hidden(&self) -> usize {
        4 * self.width
    }

    /// Stages from the input upwards, with their tensors in the order of computation.
    pub fn stages(&self) -> Vec<(String, Vec<Expected>)> {
        let width = self.width;
        let stem = vec![
            ("patch_embed.proj.weight".into(), vec![width, 3, self.patch, self.patch], Kind::Convolution),
            ("patch_embed.proj.bias".into(), vec![width], Kind::ConvolutionBias),
            ("cls_token".into(), vec![1, 1, width], Kind::ClassToken),
            ("pos_embed".into(), vec![1, self.tokens(), width], Kind::Position),
        ];
        let mut stages = vec![("stem".to_owned(), stem)];
        for block in 0..self.depth {
            let mut tensors = self.block(&format!("blocks.{block}"));
            if block + 1 == self.depth {
                tensors.extend(norm("norm", width));
            }
            stages.push((format!("blocks.{block}"), tensors));
        }
        stages
    }

    fn block(&self, prefix: &str) -> Vec<Expected> {
        let width = self.width;
        let linear = |module: &str, outputs: usize, inputs: usize| {
            let name = |field: &str| format!("{prefix}.{module}.{field}");
            [(name("weight"), vec![outputs, inputs], Kind::LinearWeight), (name("bias"), vec![outputs], Kind::LinearBias)]
        };
        let mut tensors = Vec::from(norm(&format!("{prefix}.norm1"), width));
        tensors.extend(linear("attn.qkv", 3 * width, width));
        tensors.extend(linear("attn.proj", width, width));
        tensors.extend(norm(&format!("{prefix}.norm2"), width));
        tensors.extend(linear("mlp.fc1", self.hidden(), width));
        tensors.extend(linear("mlp.fc2", width, self.hidden()));
        tensors
    }
}

fn norm(module: &str, width: usize) -> [Expected; 2] {
    [(format!("{module}.weight"), vec![width], Kind::NormScale), (format!("{module}.bias"), vec![width], Kind::NormShift)]
}
