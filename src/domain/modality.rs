//! What kind of thing an item of a data set is, and what a backbone takes.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    #[default]
    Image,
    Text,
    Video,
    Audio,
}
super::user::words!(Modality, Image = "image", Text = "text", Video = "video", Audio = "audio");

impl Modality {
    /// What people call several of its items: `images`, `texts` ...
    pub fn items(self) -> &'static str {
        match self {
            Modality::Image => "images",
            Modality::Text => "texts",
            Modality::Video => "videos",
            Modality::Audio => "recordings",
        }
    }

    /// Which one a Hugging Face task name (`pipeline_tag`, `task_categories`) is about, where the name tells.
    pub fn of_pipeline_tag(tag: &str) -> Option<Modality> {
        match tag {
            "object-detection" | "depth-estimation" | "mask-generation" | "unconditional-image-generation" => Some(Modality::Image),
            "fill-mask"
            | "translation"
            | "summarization"
            | "question-answering"
            | "token-classification"
            | "sentence-similarity"
            | "zero-shot-classification" => Some(Modality::Text),
            "automatic-speech-recognition" | "voice-activity-detection" => Some(Modality::Audio),
            _ if tag.contains("video") => Some(Modality::Video),
            _ if tag.contains("image") => Some(Modality::Image),
            _ if tag.contains("audio") || tag.contains("speech") => Some(Modality::Audio),
            _ if tag.contains("text") => Some(Modality::Text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_names_tell_what_they_are_about() {
        let of = |tag: &str| Modality::of_pipeline_tag(tag).map_or("", Modality::as_str);
        for (tag, modality) in [
            ("image-classification", "image"),
            ("object-detection", "image"),
            ("video-classification", "video"),
            ("text-to-video", "video"),
            ("automatic-speech-recognition", "audio"),
            ("sentence-similarity", "text"),
            ("text-classification", "text"),
            ("image-feature-extraction", "image"),
            ("text-generation", "text"),
            ("robotics", ""),
            ("tabular-regression", ""),
            ("", ""),
        ] {
            assert_eq!(of(tag), modality, "{tag}");
        }
    }
}
