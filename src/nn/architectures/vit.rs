//! Vision transformers (Dosovitskiy et al. 2020; DeiT is the same network) as data, under timm's names; with a scale on what each half of
//! a block adds DINOv2's (Oquab et al. 2023) and DeiT III's, with registers beside the class token DINOv2's later ones (Darcet et al.
//! 2024), with a norm before the blocks CLIP's tower for images (Radford et al. 2021), with a pool of attention in the place of a class
//! token SigLIP's (Zhai et al. 2023).
//!
//! ```text
//! stem            patch_embed.proj 16x16/16, cls_token, reg_token, pos_embed, norm_pre
//! stages 1..12    blocks.0 .. blocks.11; norm belongs to the last (as in timm's group_matcher)
//! stage 13        attn_pool, where there is no class token
//! ```

mod arguments;

use self::arguments::{BARE_16, CLIP_14, CLIP_16, CLIP_32, PLAIN_8, PLAIN_14, PLAIN_16, PLAIN_32, REGISTERS_14, SIGLIP_14, SIGLIP_16};
use super::architecture::{Architecture, ImageInput, Member, UsualInput};
use super::cost::StageCost;
use super::positions::Positions;
use super::tensor::{Expected, Init, norm};
use super::towers;
use crate::domain::config::ModelConfig;
use crate::domain::tower_config::{self, ImageTower};
use crate::nn::backbone::Backbone;
use crate::nn::error::Result;
use crate::nn::executors::transformer::{Sizes, Transformer};
use crate::nn::kernels::Activation;
use crate::nn::weights::Weights;

/// The family. The weights called `vit` want pixels from -1 to 1, DeiT's, DINO's and DINOv2's by ImageNet's mean.
pub(super) static MEMBERS: [Architecture; 41] = [
    member("vit_tiny_patch16_224", 192, &Vit::patch16_224(192, 3), ImageInput::inception(224, 0.9, "bicubic")),
    member("vit_small_patch16_224", 384, &Vit::patch16_224(384, 6), ImageInput::inception(224, 0.9, "bicubic")),
    member("deit_tiny_patch16_224", 192, &Vit::patch16_224(192, 3), ImageInput::imagenet(224, 0.9, "bicubic")),
    member("deit_small_patch16_224", 384, &Vit::patch16_224(384, 6), ImageInput::imagenet(224, 0.9, "bicubic")),
    member("vit_small_patch32_224", 384, &Vit::new(384, 6, 32), ImageInput::inception(224, 0.9, "bicubic")),
    member("vit_base_patch32_224", 768, &Vit::new(768, 12, 32), ImageInput::inception(224, 0.9, "bicubic")),
    member("vit_base_patch16_224", 768, &Vit::patch16_224(768, 12), ImageInput::inception(224, 0.9, "bicubic")),
    member("vit_base_patch8_224", 768, &Vit::new(768, 12, 8), ImageInput::inception(224, 0.9, "bicubic")),
    member("vit_small_patch8_224", 384, &Vit::new(384, 6, 8), ImageInput::imagenet(224, 0.9, "bicubic")),
    member("vit_large_patch16_224", 1024, &Vit::large(16), ImageInput::inception(224, 0.9, "bicubic")),
    member("vit_tiny_patch16_384", 192, &Vit::patch16_224(192, 3).of(384), ImageInput::inception(384, 1.0, "bicubic")),
    member("vit_small_patch16_384", 384, &Vit::patch16_224(384, 6).of(384), ImageInput::inception(384, 1.0, "bicubic")),
    member("vit_base_patch32_384", 768, &Vit::new(768, 12, 32).of(384), ImageInput::inception(384, 1.0, "bicubic")),
    member("vit_base_patch16_384", 768, &Vit::patch16_224(768, 12).of(384), ImageInput::inception(384, 1.0, "bicubic")),
    member("vit_large_patch16_384", 1024, &Vit::large(16).of(384), ImageInput::inception(384, 1.0, "bicubic")),
    member("deit_base_patch16_224", 768, &Vit::patch16_224(768, 12), ImageInput::imagenet(224, 0.9, "bicubic")),
    member("deit_base_patch16_384", 768, &Vit::patch16_224(768, 12).of(384), ImageInput::imagenet(384, 1.0, "bicubic")),
    member("deit3_small_patch16_224", 384, &Vit::deit3(384, 6), ImageInput::imagenet(224, 0.9, "bicubic")),
    member("deit3_medium_patch16_224", 512, &Vit::deit3(512, 8), ImageInput::imagenet(224, 0.9, "bicubic")),
    member("deit3_base_patch16_224", 768, &Vit::deit3(768, 12), ImageInput::imagenet(224, 0.9, "bicubic")),
    member("deit3_large_patch16_224", 1024, &Vit { depth: 24, ..Vit::deit3(1024, 16) }, ImageInput::imagenet(224, 0.9, "bicubic")),
    member("vit_small_patch14_dinov2", 384, &Vit::new(384, 6, 14).dinov2(), ImageInput::imagenet(518, 1.0, "bicubic")),
    member("vit_base_patch14_dinov2", 768, &Vit::new(768, 12, 14).dinov2(), ImageInput::imagenet(518, 1.0, "bicubic")),
    member("vit_large_patch14_dinov2", 1024, &Vit::large(14).dinov2(), ImageInput::imagenet(518, 1.0, "bicubic")),
    member(
        "vit_small_patch14_reg4_dinov2",
        384,
        &Vit::new(384, 6, 14).dinov2().with_registers(),
        ImageInput::imagenet(518, 1.0, "bicubic"),
    ),
    member(
        "vit_base_patch14_reg4_dinov2",
        768,
        &Vit::new(768, 12, 14).dinov2().with_registers(),
        ImageInput::imagenet(518, 1.0, "bicubic"),
    ),
    member("vit_large_patch14_reg4_dinov2", 1024, &Vit::large(14).dinov2().with_registers(), ImageInput::imagenet(518, 1.0, "bicubic")),
    member("vit_base_patch16_siglip_224", 768, &Vit::patch16_224(768, 12).siglip(224), ImageInput::inception(224, 0.9, "bicubic")),
    member("vit_base_patch16_siglip_256", 768, &Vit::patch16_224(768, 12).siglip(256), ImageInput::inception(256, 0.9, "bicubic")),
    member("vit_base_patch16_siglip_384", 768, &Vit::patch16_224(768, 12).siglip(384), ImageInput::inception(384, 0.9, "bicubic")),
    member("vit_base_patch16_siglip_512", 768, &Vit::patch16_224(768, 12).siglip(512), ImageInput::inception(512, 0.9, "bicubic")),
    member("vit_large_patch16_siglip_256", 1024, &Vit::large(16).siglip(256), ImageInput::inception(256, 0.9, "bicubic")),
    member("vit_large_patch16_siglip_384", 1024, &Vit::large(16).siglip(384), ImageInput::inception(384, 0.9, "bicubic")),
    member("vit_so400m_patch14_siglip_224", 1152, &SO400M.siglip(224), ImageInput::inception(224, 0.9, "bicubic")),
    member("vit_so400m_patch14_siglip_378", 1152, &SO400M.siglip(378), ImageInput::inception(378, 0.9, "bicubic")),
    member("vit_base_patch32_clip_224", 768, &Vit::new(768, 12, 32).clip(), ImageInput { crop_pct: 0.9, ..CLIP }),
    member("vit_base_patch16_clip_224", 768, &Vit::patch16_224(768, 12).clip(), ImageInput { crop_pct: 0.95, ..CLIP }),
    member("vit_large_patch14_clip_224", 1024, &Vit::large(14).clip(), ImageInput { crop_pct: 1.0, ..CLIP }),
    member("vit_base_patch32_clip_quickgelu_224", 768, &Vit::new(768, 12, 32).clip().quick(), ImageInput { crop_pct: 0.9, ..CLIP }),
    member("vit_base_patch16_clip_quickgelu_224", 768, &Vit::patch16_224(768, 12).clip().quick(), ImageInput { crop_pct: 1.0, ..CLIP }),
    member("vit_large_patch14_clip_quickgelu_224", 1024, &Vit::large(14).clip().quick(), ImageInput { crop_pct: 1.0, ..CLIP }),
];

/// SigLIP's tower whose shape was chosen for what it costs (Alabdulmohsin et al. 2023).
const SO400M: Vit = Vit { depth: 27, hidden: 4304, ..Vit::new(1152, 16, 14) };

/// Pixels by the mean and deviation of CLIP's images.
const CLIP: ImageInput = ImageInput {
    size: 224,
    interpolation: "bicubic",
    crop_pct: 0.9,
    mean: [0.481_454_67, 0.457_827_5, 0.408_210_72],
    std: [0.268_629_55, 0.261_302_6, 0.275_777_1],
};

const fn member(name: &'static str, num_features: usize, member: &'static dyn Member, input: ImageInput) -> Architecture {
    let input = UsualInput::Image(input);
    Architecture { name, family: "vit", num_features, first_conv: "patch_embed.proj", classifier: "head", input, member }
}

/// One member of the family. Each patch's position is learnt for one size of images; for others positions are interpolated.
#[derive(Debug, Clone, Copy)]
struct Vit {
    /// Numbers per token.
    width: usize,
    heads: usize,
    /// Blocks.
    depth: usize,
    /// Numbers between a block's two linear layers.
    hidden: usize,
    /// Side of a patch, and of an image, in pixels.
    patch: usize,
    side: usize,
    /// Whether what each half of a block adds has a scale (`ls1.gamma`, `ls2.gamma`).
    scaled: bool,
    /// CLIP's: a norm before the blocks, and patches without a bias.
    clip: bool,
    /// Added to variances in layer norm.
    eps: f64,
    activation: Activation,
    /// Numbers of a space shared with another network, into which the pooled token is projected; 0 without.
    outputs: usize,
    /// Whether there is a class token, which is what is pooled; else attention pools (`attn_pool`).
    class_token: bool,
    /// Registers after the class token; where there are any, patches alone have positions.
    registers: usize,
    /// Whether patches alone have positions without registers, too (DeiT III).
    bare: bool,
}

/// timm's names of the embeddings.
const CLASS_TOKEN: &str = "cls_token";
const REGISTERS: &str = "reg_token";
const POSITION: &str = "pos_embed";
/// transformers' name of the way into a shared space.
pub(in crate::nn) const PROJECTION: &str = "visual_projection.weight";
/// timm's deviation of linear layers and positions.
const NARROW: Init = Init::Normal(0.02);
/// What each half of a block adds at first, where it is scaled.
const LAYER_SCALE: Init = Init::Constant(1e-5);

impl Vit {
    /// Twelve blocks over 16-pixel patches of 224-pixel images.
    const fn patch16_224(width: usize, heads: usize) -> Vit {
        Vit::new(width, heads, 16)
    }

    const fn new(width: usize, heads: usize, patch: usize) -> Vit {
        let (hidden, side) = (4 * width, 224);
        let (eps, activation, class_token) = (1e-6, Activation::Gelu, true);
        let (scaled, clip, bare, outputs, registers) = (false, false, false, 0, 0);
        Vit { width, heads, depth: 12, hidden, patch, side, scaled, clip, eps, activation, outputs, class_token, registers, bare }
    }

    /// Twice as many blocks, of 1,024 numbers per token.
    const fn large(patch: usize) -> Vit {
        Vit { depth: 24, ..Vit::new(1024, 16, patch) }
    }

    /// DeiT III (Touvron et al. 2022): scales, and a class token without a position.
    const fn deit3(width: usize, heads: usize) -> Vit {
        Vit { scaled: true, bare: true, ..Vit::patch16_224(width, heads) }
    }

    /// For images of that side.
    const fn of(self, side: usize) -> Vit {
        Vit { side, ..self }
    }

    const fn dinov2(self) -> Vit {
        Vit { side: 518, scaled: true, ..self }
    }

    const fn clip(self) -> Vit {
        Vit { clip: true, eps: 1e-5, ..self }
    }

    const fn quick(self) -> Vit {
        Vit { activation: Activation::QuickGelu, ..self }
    }

    const fn with_registers(self) -> Vit {
        Vit { registers: 4, ..self }
    }

    const fn siglip(self, side: usize) -> Vit {
        Vit { side, class_token: false, ..self }
    }

    fn patches(&self) -> usize {
        (self.side / self.patch).pow(2)
    }

    /// Tokens before the patches.
    fn prefix(&self) -> usize {
        usize::from(self.class_token) + self.registers
    }

    /// Those of them that have a position.
    fn placed(&self) -> usize {
        if self.registers > 0 || self.bare { 0 } else { self.prefix() }
    }

    fn block(&self, prefix: &str) -> Vec<Expected> {
        let width = self.width;
        let linear = |module: &str, outputs: usize, inputs: usize| linear(&format!("{prefix}.{module}"), outputs, inputs);
        let mut tensors = Vec::from(norm(&format!("{prefix}.norm1"), width));
        tensors.extend(linear("attn.qkv", 3 * width, width));
        tensors.extend(linear("attn.proj", width, width));
        tensors.extend(self.scale(&format!("{prefix}.ls1")));
        tensors.extend(norm(&format!("{prefix}.norm2"), width));
        tensors.extend(linear("mlp.fc1", self.hidden, width));
        tensors.extend(linear("mlp.fc2", width, self.hidden));
        tensors.extend(self.scale(&format!("{prefix}.ls2")));
        tensors
    }

    /// The pool of attention: one query over all tokens, and a perceptron.
    fn attention_pool(&self) -> Vec<Expected> {
        let width = self.width;
        let mut tensors = vec![Expected::new("attn_pool.latent", [1, 1, width], Init::Normal(1.0 / (width as f64).sqrt()))];
        tensors.extend(linear("attn_pool.q", width, width));
        tensors.extend(linear("attn_pool.kv", 2 * width, width));
        tensors.extend(linear("attn_pool.proj", width, width));
        tensors.extend(norm("attn_pool.norm", width));
        tensors.extend(linear("attn_pool.mlp.fc1", self.hidden, width));
        tensors.extend(linear("attn_pool.mlp.fc2", width, self.hidden));
        tensors
    }

    fn scale(&self, module: &str) -> Option<Expected> {
        self.scaled.then(|| Expected::new(format!("{module}.gamma"), [self.width], LAYER_SCALE))
    }
}

/// One whose sizes a name says.
pub(super) fn tower(tower: &ImageTower) -> Box<dyn Member> {
    let ImageTower { width, heads, layers: depth, hidden, side, patch, .. } = *tower;
    let (class_token, activation) = (tower.has_class_token(), towers::activation(tower.activation));
    let outputs = tower.outputs.unwrap_or(0);
    Box::new(Vit {
        depth,
        hidden,
        side,
        clip: class_token,
        eps: tower.eps(),
        activation,
        outputs,
        class_token,
        ..Vit::new(width, heads, patch)
    })
}

fn linear(module: &str, outputs: usize, inputs: usize) -> [Expected; 2] {
    [Expected::new(format!("{module}.weight"), [outputs, inputs], NARROW), Expected::new(format!("{module}.bias"), [outputs], Init::ZEROS)]
}

impl Member for Vit {
    fn stages(&self) -> Vec<(String, Vec<Expected>)> {
        let width = self.width;
        // PyTorch's own convolution.
        let patches = Init::fan_in(3 * self.patch * self.patch);
        let mut stem = vec![Expected::new("patch_embed.proj.weight", [width, 3, self.patch, self.patch], patches)];
        if !self.clip {
            stem.push(Expected::new("patch_embed.proj.bias", [width], patches));
        }
        if self.class_token {
            stem.push(Expected::new(CLASS_TOKEN, [1, 1, width], Init::Normal(1e-6)));
        }
        if self.registers > 0 {
            stem.push(Expected::new(REGISTERS, [1, self.registers, width], Init::Normal(1e-6)));
        }
        stem.push(Expected::new(POSITION, [1, self.placed() + self.patches(), width], NARROW));
        if self.clip {
            stem.extend(norm("norm_pre", width));
        }
        let mut stages = vec![("stem".to_owned(), stem)];
        for block in 0..self.depth {
            let mut tensors = self.block(&format!("blocks.{block}"));
            if block + 1 == self.depth {
                tensors.extend(norm("norm", width));
                let shared = || Expected::new(PROJECTION, [self.outputs, width], Init::Normal(1.0 / (width as f64).sqrt()));
                tensors.extend((self.outputs > 0).then(shared));
            }
            stages.push((format!("blocks.{block}"), tensors));
        }
        if !self.class_token {
            stages.push(("attn_pool".to_owned(), self.attention_pool()));
        }
        stages
    }

    fn classifier(&self, _num_features: usize, _num_classes: usize) -> [Init; 2] {
        [NARROW, Init::ZEROS]
    }

    fn build(&self, architecture: &str, weights: Weights) -> Result<Box<dyn Backbone>> {
        let (places_prefix, Vit { width, heads, depth, side, eps, activation, .. }) = (self.placed() > 0, *self);
        let sizes = Sizes { width, heads, depth, side, eps, activation, places_prefix };
        Ok(Box::new(Transformer::build(architecture, sizes, self.stages(), weights)?))
    }

    /// The last block is counted whole, though the class token alone is worked out where nobody asks for the others.
    fn costs(&self, item: &[usize]) -> Vec<StageCost> {
        let this = Vit { side: item.last().copied().unwrap_or(self.side), ..*self };
        let (tokens, width, hidden) = ((this.prefix() + this.patches()) as f64, self.width as f64, self.hidden as f64);
        let patches = this.patches() as f64 * width;
        let stem = StageCost { multiply_adds: patches * (3 * self.patch * self.patch) as f64, outputs: patches, widest: tokens * width };
        let block = StageCost {
            multiply_adds: tokens * width * (4.0 * width + 2.0 * hidden) + 2.0 * tokens * tokens * width,
            outputs: tokens * (6.0 * width + hidden),
            widest: tokens * hidden,
        };
        let heads = self.heads as f64;
        let pool = StageCost {
            multiply_adds: 2.0 * tokens * heads * width + width * (4.0 * width + 2.0 * hidden),
            outputs: 2.0 * tokens * heads + 6.0 * width + hidden,
            widest: tokens * width,
        };
        let body = std::iter::once(stem).chain(std::iter::repeat_n(block, self.depth));
        body.chain((!self.class_token).then_some(pool)).collect()
    }

    fn fewest_items(&self) -> usize {
        1
    }

    fn decays(&self, name: &str, rank: usize) -> bool {
        rank > 1 && !matches!(name, CLASS_TOKEN | REGISTERS | POSITION)
    }

    fn fixed_side(&self) -> Option<usize> {
        Some(self.side)
    }

    fn positions(&self) -> Option<Positions> {
        Some(Positions { tensor: POSITION, prefix: self.placed(), patch: self.patch })
    }

    fn at(&self, side: usize) -> Option<Box<dyn Member>> {
        Some(Box::new(Vit { side, ..*self }))
    }

    fn takes_adapters(&self) -> bool {
        true
    }

    fn pools(&self) -> &'static [&'static str] {
        if self.class_token { &["token"] } else { &["map"] }
    }

    fn activations(&self) -> &'static [&'static str] {
        match self.activation {
            Activation::QuickGelu => &["quick_gelu", "quickgelu"],
            Activation::GeluTanh => &["gelu_tanh"],
            _ => &["gelu"],
        }
    }

    fn adopt(&self, weights: Weights) -> Weights {
        towers::adopt(weights)
    }

    fn leaves_out(&self, tensor: &str) -> bool {
        towers::leaves_out(tensor)
    }

    fn refused(&self, config: &ModelConfig) -> Vec<(String, serde_json::Value, String)> {
        if ImageTower::of_name(&config.architecture).is_some() { tower_config::refused(&config.extra) } else { Vec::new() }
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        match (self.patch, self.clip, self.class_token, self.registers, self.bare) {
            (14, _, false, ..) => &SIGLIP_14,
            (_, _, false, ..) => &SIGLIP_16,
            (.., true) => &BARE_16,
            (14, _, _, 4, _) => &REGISTERS_14,
            (14, true, ..) => &CLIP_14,
            (32, true, ..) => &CLIP_32,
            (_, true, ..) => &CLIP_16,
            (8, ..) => &PLAIN_8,
            (14, ..) => &PLAIN_14,
            (32, ..) => &PLAIN_32,
            _ => &PLAIN_16,
        }
    }
}
