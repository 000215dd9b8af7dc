//! timm's other arguments of vision transformers, each with the value they are built with, as JSON.

pub(super) type Arguments = [(&'static str, &'static str); 12];

pub(super) static PLAIN_8: Arguments = arguments("8", "false", ["true", "false", "0"]);
pub(super) static PLAIN_14: Arguments = arguments("14", "false", ["true", "false", "0"]);
pub(super) static PLAIN_16: Arguments = arguments("16", "false", ["true", "false", "0"]);
pub(super) static PLAIN_32: Arguments = arguments("32", "false", ["true", "false", "0"]);
pub(super) static REGISTERS_14: Arguments = arguments("14", "false", ["true", "true", "4"]);
pub(super) static BARE_16: Arguments = arguments("16", "false", ["true", "true", "0"]);
pub(super) static SIGLIP_14: Arguments = arguments("14", "false", ["false", "false", "0"]);
pub(super) static SIGLIP_16: Arguments = arguments("16", "false", ["false", "false", "0"]);
pub(super) static CLIP_14: Arguments = arguments("14", "true", ["true", "false", "0"]);
pub(super) static CLIP_16: Arguments = arguments("16", "true", ["true", "false", "0"]);
pub(super) static CLIP_32: Arguments = arguments("32", "true", ["true", "false", "0"]);

/// The last: whether there is a class token, whether patches alone have positions, and how many registers there are.
const fn arguments(
    patch_size: &'static str,
    pre_norm: &'static str,
    [class_token, no_embed_class, reg_tokens]: [&'static str; 3],
) -> Arguments {
    [
        ("dynamic_img_size", "false"),
        ("strict_img_size", "true"),
        ("class_token", class_token),
        ("qkv_bias", "true"),
        ("qk_norm", "false"),
        ("no_embed_class", no_embed_class),
        ("reg_tokens", reg_tokens),
        ("pre_norm", pre_norm),
        ("final_norm", "true"),
        ("fc_norm", "false"),
        ("patch_size", patch_size),
        ("dynamic_img_pad", "false"),
    ]
}
