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

    /// The one whose items are called so.
    pub fn of_items(items: &str) -> Modality {
        let all = [Modality::Image, Modality::Text, Modality::Video, Modality::Audio];
        all.into_iter().find(|modality| modality.items() == items).unwrap_or_default()
    }

    /// One of them.
    pub fn item(self) -> &'static str {
        match self {
            Modality::Image => "image",
            Modality::Text => "text",
            Modality::Video => "video",
            Modality::Audio => "recording",
        }
    }

    /// Whether its items are made of frames, one after the other.
    pub fn has_frames(self) -> bool {
        self == Modality::Video
    }

    /// Whether a network that takes this kind can be used on items of the other: one of images sees the frames of a video one by one.
    pub fn serves(self, items: Modality) -> bool {
        self == items || (self == Modality::Image && items == Modality::Video)
    }

    /// Whose networks can be used on its items: its own first.
    pub fn served_by(self) -> Vec<Modality> {
        let all = [Modality::Image, Modality::Text, Modality::Video, Modality::Audio];
        let others = all.into_iter().filter(|other| *other != self && other.serves(self));
        std::iter::once(self).chain(others).collect()
    }

    /// What copies of an item are that are the same but for small changes.
    pub fn near_copies(self) -> &'static str {
        match self {
            Modality::Image | Modality::Video => "encoded anew, resized, a little brighter or darker, or mirrored",
            Modality::Text => "the same but for a few words: at least 0.8 of their runs of three words are in both",
            Modality::Audio => "encoded anew, or a little louder or softer",
        }
    }

    /// In what an item is odd that is far from the others.
    pub fn measured(self) -> &'static str {
        match self {
            Modality::Image | Modality::Video => "size or shape",
            Modality::Text | Modality::Audio => "length",
        }
    }

    /// Whether small pictures show what its items are. The beginning of a text does for texts.
    pub fn has_thumbnails(self) -> bool {
        match self {
            Modality::Image | Modality::Video => true,
            Modality::Text | Modality::Audio => false,
        }
    }

    /// A file with one of them, and how curl sends one.
    pub fn sample(self) -> (&'static str, &'static str) {
        match self {
            Modality::Image => ("photo.jpg", "--data-binary @photo.jpg"),
            Modality::Text => ("note.txt", "-d 'what is to be read' -H 'Content-Type: text/plain'"),
            Modality::Video => ("clip.mp4", "--data-binary @clip.mp4"),
            Modality::Audio => ("voice.wav", "--data-binary @voice.wav"),
        }
    }

    /// How a notebook loads a model of them from a hub at this address: a title, and what to type.
    pub fn in_python(self, name: &str, address: &str) -> (&'static str, String) {
        match self {
            Modality::Text => (
                "In Python, with transformers",
                format!(
                    "# HF_ENDPOINT={address} in the environment\nfrom transformers import AutoModelForSequenceClassification, AutoTokenizer\ntokenizer = AutoTokenizer.from_pretrained(\"{name}\")\nmodel = AutoModelForSequenceClassification.from_pretrained(\"{name}\").eval()"
                ),
            ),
            Modality::Image | Modality::Video | Modality::Audio => (
                "In Python, with timm",
                format!(
                    "# HF_ENDPOINT={address} in the environment\nimport timm\nmodel = timm.create_model(\"hf-hub:{name}\", pretrained=True).eval()\n# as a base for other classes:\nbase = timm.create_model(\"hf-hub:{name}\", pretrained=True, num_classes=3)"
                ),
            ),
        }
    }

    /// What Hugging Face calls the task of a model without a head.
    pub fn feature_task(self) -> &'static str {
        match self {
            Modality::Image => "image-feature-extraction",
            Modality::Text | Modality::Video | Modality::Audio => "feature-extraction",
        }
    }

    /// Which one a Hugging Face task name (`pipeline_tag`, `task_categories`) is about, where the name tells.
    pub fn of_pipeline_tag(tag: &str) -> Option<Modality> {
        match tag {
            "object-detection" | "depth-estimation" | "mask-generation" | "unconditional-image-generation" => Some(Modality::Image),
            "feature-extraction"
            | "fill-mask"
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
            ("feature-extraction", "text"),
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
