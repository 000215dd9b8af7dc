//! How a result is used, from a shell and from a notebook.

use serde::{Deserialize, Serialize};

use crate::domain::config::ModelConfig;
use crate::domain::modality::Modality;

/// A title and what to type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub title: String,
    pub code: String,
}

/// What is to be known of a model to say how it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Used {
    #[serde(default)]
    pub modality: Modality,
    /// Whether another library loads it with its head: of images timm, of texts transformers.
    #[serde(default)]
    pub elsewhere: bool,
    /// Whether it says something about each word of a text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub words: bool,
}

impl Used {
    pub fn of(config: &ModelConfig, modality: Modality) -> Used {
        Used { modality, elsewhere: config.loads_with_head().is_some(), words: config.tags_words() }
    }
}

/// Of the model `name`; `address` is the hub's.
pub fn usage(name: &str, address: &str, used: Used) -> Vec<Usage> {
    let of = |title: &str, code: String| Usage { title: title.into(), code };
    let (file, sent) = used.modality.sample();
    let mut all = vec![
        of("In a shell", format!("hub predict {file} --model {name}")),
        of("Over HTTP", format!("curl {sent} {address}/api/v1/models/{name}/predict -H \"Authorization: Bearer $HUB_TOKEN\"")),
    ];
    let class = |code: String| if used.words { code.replace("ForSequenceClassification", "ForTokenClassification") } else { code };
    all.extend(used.elsewhere.then(|| used.modality.in_python(name, address)).map(|(title, code)| of(title, class(code))));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_are_asked_about_by_file_and_texts_by_what_they_say() {
        let code = |used| usage("ada/net", "http://hub", used).into_iter().map(|usage| usage.code).collect::<Vec<_>>().join("\n");
        let images = code(Used { modality: Modality::Image, elsewhere: true, words: false });
        assert!(images.contains("hub predict photo.jpg --model ada/net") && images.contains("timm.create_model(\"hf-hub:ada/net\""));
        let texts = code(Used { modality: Modality::Text, elsewhere: false, words: false });
        assert!(texts.contains("text/plain") && !texts.contains("photo") && !texts.contains("timm"), "{texts}");
        let told = |words| code(Used { modality: Modality::Text, elsewhere: true, words });
        assert!(told(false).contains("AutoModelForSequenceClassification") && told(true).contains("AutoModelForTokenClassification"));
    }
}
