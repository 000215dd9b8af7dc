//! The files of the index that came with the program, by name. A test holds this list against the folder.

/// Name and text.
pub const FILES: &[(&str, &str)] = &[
    ("bert.toml", include_str!("../../../library/bert.toml")),
    ("classics.toml", include_str!("../../../library/classics.toml")),
    ("clip.toml", include_str!("../../../library/clip.toml")),
    ("convnext.toml", include_str!("../../../library/convnext.toml")),
    ("datasets.toml", include_str!("../../../library/datasets.toml")),
    ("efficientnet.toml", include_str!("../../../library/efficientnet.toml")),
    ("mobilenet.toml", include_str!("../../../library/mobilenet.toml")),
    ("regnet.toml", include_str!("../../../library/regnet.toml")),
    ("resnet.toml", include_str!("../../../library/resnet.toml")),
    ("resnext.toml", include_str!("../../../library/resnext.toml")),
    ("sentences.toml", include_str!("../../../library/sentences.toml")),
    ("swin.toml", include_str!("../../../library/swin.toml")),
    ("video.toml", include_str!("../../../library/video.toml")),
    ("vit.toml", include_str!("../../../library/vit.toml")),
    ("words.toml", include_str!("../../../library/words.toml")),
];
