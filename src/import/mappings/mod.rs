//! How other projects name the tensors of architectures that timm has too: a table for each project.

/// Name and text.
pub const TABLES: [(&str, &str); 3] = [
    ("efficientnet_lite_lukemelas", include_str!("efficientnet_lite_lukemelas.toml")),
    ("mobilenetv2_tonylins", include_str!("mobilenetv2_tonylins.toml")),
    ("mobilenetv2_torchvision", include_str!("mobilenetv2_torchvision.toml")),
];
