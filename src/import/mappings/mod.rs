//! How other projects name the tensors of architectures that timm has too: a table for each project.

/// Name and text.
pub const TABLES: [(&str, &str); 11] = [
    ("efficientnet_lite_lukemelas", include_str!("efficientnet_lite_lukemelas.toml")),
    ("mobilenetv2_tonylins", include_str!("mobilenetv2_tonylins.toml")),
    ("mobilenetv2_torchvision", include_str!("mobilenetv2_torchvision.toml")),
    ("mobilenetv3_torchvision", include_str!("mobilenetv3_torchvision.toml")),
    ("efficientnet_torchvision", include_str!("efficientnet_torchvision.toml")),
    ("vit_torchvision", include_str!("vit_torchvision.toml")),
    ("convnext_torchvision", include_str!("convnext_torchvision.toml")),
    ("swin_microsoft", include_str!("swin_microsoft.toml")),
    ("vgg_torchvision", include_str!("vgg_torchvision.toml")),
    ("i3d_deepmind", include_str!("i3d_deepmind.toml")),
    ("resnet_sequence", include_str!("resnet_sequence.toml")),
];

/// Graphs of whole networks: a table for each, of which `import::tfjs` tells the form.
pub const GRAPHS: [(&str, &str); 2] =
    [("centernet", include_str!("graphs/centernet.toml")), ("selfie", include_str!("graphs/selfie.toml"))];
