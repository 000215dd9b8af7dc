//! Towers for images of a folder that has one for texts beside it, by Hugging Face's names and of any size, as a name says it
//! (`domain::tower_config`). They are vision transformers, and run under timm's names: those of a file are put right when it is opened.

use std::collections::HashMap;

use candle_core::{Result as Candle, Tensor, Var};
use parking_lot::Mutex;

use super::architecture::{Architecture, ImageInput, UsualInput};
use super::vit;
use crate::domain::tower_config::{ACTIVATIONS, ImageTower};
use crate::nn::kernels::Activation;
use crate::nn::weights::Weights;

/// Architectures of so many different sizes are known at most, for as long as the program runs.
const MOST_MEMBERS: usize = 1_024;

/// What tensors of a tower for images begin with, and those of modules that it has no use for.
const OWN: &str = "vision_model.";
const OTHERS: [&str; 4] = ["text_model.", "text_projection.", "logit_scale", "logit_bias"];
/// A buffer that transformers saved once.
const NEVER: &str = "vision_model.embeddings.position_ids";

/// What a module is called here.
const MODULES: [(&str, &str); 7] = [
    ("embeddings.patch_embedding", "patch_embed.proj"),
    ("pre_layrnorm", "norm_pre"),
    ("post_layernorm", "norm"),
    ("head.attention.out_proj", "attn_pool.proj"),
    ("head.layernorm", "attn_pool.norm"),
    ("head.mlp.fc1", "attn_pool.mlp.fc1"),
    ("head.mlp.fc2", "attn_pool.mlp.fc2"),
];
/// The same within a block.
const OF_BLOCKS: [(&str, &str); 5] = [
    ("layer_norm1", "norm1"),
    ("layer_norm2", "norm2"),
    ("self_attn.out_proj", "attn.proj"),
    ("mlp.fc1", "mlp.fc1"),
    ("mlp.fc2", "mlp.fc2"),
];

/// The tower of that name. One that is asked for is kept, since architectures live as long as the program.
pub(super) fn find(name: &str) -> Option<&'static Architecture> {
    static KNOWN: Mutex<Option<HashMap<String, &'static Architecture>>> = Mutex::new(None);
    let tower = ImageTower::of_name(name)?;
    let mut known = KNOWN.lock();
    let known = known.get_or_insert_default();
    if let Some(found) = known.get(name) {
        return Some(found);
    }
    if known.len() >= MOST_MEMBERS || !tower.fit() {
        return None;
    }
    let (mean, std, _) = tower.pixels();
    let narrow = |values: [f64; 3]| values.map(|value| value as f32);
    let input = ImageInput { size: tower.side, interpolation: "bicubic", crop_pct: 1.0, mean: narrow(mean), std: narrow(std) };
    let architecture = Architecture {
        name: Box::leak(name.to_owned().into_boxed_str()),
        family: Box::leak(tower.model_type.clone().into_boxed_str()),
        num_features: tower.features(),
        first_conv: "patch_embed.proj",
        classifier: "head",
        input: UsualInput::Image(input),
        member: Box::leak(vit::tower(&tower)),
    };
    let found: &'static Architecture = Box::leak(Box::new(architecture));
    known.insert(name.to_owned(), found);
    Some(found)
}

/// By its place in [`ACTIVATIONS`], counted from one.
pub(super) fn activation(place: usize) -> Activation {
    match place.checked_sub(1).and_then(|at| ACTIVATIONS.get(at)) {
        Some(&"quick_gelu") => Activation::QuickGelu,
        Some(&"gelu_pytorch_tanh") => Activation::GeluTanh,
        _ => Activation::Gelu,
    }
}

/// Whether it is of the tower for texts, or of what brings both together.
pub(super) fn leaves_out(tensor: &str) -> bool {
    tensor == NEVER || OTHERS.iter().any(|other| tensor.starts_with(other))
}

/// Tensors under transformers' names as timm would have them; others stay as they are. What is not as it should be stays away, and is
/// missed by name when the network is built.
pub(super) fn adopt(weights: Weights) -> Weights {
    if !weights.iter().any(|(name, _)| name.starts_with(OWN) || leaves_out(name)) {
        return weights;
    }
    let mut adopted = Weights::default();
    let mut put = |name: String, tensor: Candle<Tensor>| {
        if let Ok(var) = tensor.and_then(|tensor| Var::from_tensor(&tensor)) {
            adopted.insert(name, var);
        }
    };
    for (name, var) in weights.iter().filter(|(name, _)| !leaves_out(name)) {
        let Some(own) = name.strip_prefix(OWN) else {
            put(name.to_owned(), Ok(var.as_tensor().clone()));
            continue;
        };
        match own {
            "embeddings.class_embedding" => put("cls_token".into(), var.reshape((1, 1, ()))),
            "embeddings.position_embedding.weight" => put("pos_embed".into(), var.unsqueeze(0)),
            "head.probe" => put("attn_pool.latent".into(), Ok(var.as_tensor().clone())),
            "head.attention.in_proj_weight" => halves(var, "weight", &mut put),
            "head.attention.in_proj_bias" => halves(var, "bias", &mut put),
            _ => match third(own) {
                // All three are put in by the first.
                Some((block, "q", field)) => put(format!("blocks.{block}.attn.qkv.{field}"), thirds(&weights, own)),
                Some(_) => {}
                None => put(renamed(own), Ok(var.as_tensor().clone())),
            },
        }
    }
    adopted
}

/// A query's part of a pool of attention, and that of keys and values.
fn halves(all: &Tensor, field: &str, put: &mut impl FnMut(String, Candle<Tensor>)) {
    let width = all.dim(0).unwrap_or(0) / 3;
    put(format!("attn_pool.q.{field}"), all.narrow(0, 0, width).and_then(|part| part.contiguous()));
    put(format!("attn_pool.kv.{field}"), all.narrow(0, width, 2 * width).and_then(|part| part.contiguous()));
}

/// Block, part and field of a matrix of queries, keys or values.
fn third(own: &str) -> Option<(&str, &str, &str)> {
    let (block, rest) = own.strip_prefix("encoder.layers.")?.split_once(".self_attn.")?;
    let (part, field) = rest.split_once("_proj.")?;
    ["q", "k", "v"].contains(&part).then_some((block, part, field))
}

/// Queries, keys and values one behind the other.
fn thirds(weights: &Weights, queries: &str) -> Candle<Tensor> {
    let missing = || candle_core::Error::Msg(format!("{queries} has no keys or values beside it"));
    let part = |part: &str| {
        let name = format!("{OWN}{}", queries.replacen(".q_proj.", &format!(".{part}_proj."), 1));
        weights.get(&name).map(|var| var.as_tensor().clone()).ok_or_else(missing)
    };
    Tensor::cat(&[part("q")?, part("k")?, part("v")?], 0)
}

fn renamed(own: &str) -> String {
    let by = |modules: &[(&str, &str)], name: &str| {
        let found = modules.iter().find_map(|(theirs, ours)| Some((ours, name.strip_prefix(theirs)?.strip_prefix('.')?)));
        found.map(|(ours, field)| format!("{ours}.{field}"))
    };
    let block = || {
        let (block, rest) = own.strip_prefix("encoder.layers.")?.split_once('.')?;
        Some(format!("blocks.{block}.{}", by(&OF_BLOCKS, rest)?))
    };
    by(&MODULES, own).or_else(block).unwrap_or_else(|| format!("{OWN}{own}"))
}
