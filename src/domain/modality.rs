//! What kind of thing a model takes in.

use std::fmt;

/// The kinds the hub knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Modality {
    Image,
    Text,
    Video,
}

impl Modality {
    /// As facts and searches spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Modality::Image => "image",
            Modality::Text => "text",
            Modality::Video => "video",
        }
    }

    /// By that spelling.
    pub fn parse(text: &str) -> Option<Modality> {
        [Modality::Image, Modality::Text, Modality::Video].into_iter().find(|modality| modality.as_str() == text)
    }
}

impl fmt::Display for Modality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        for modality in [Modality::Image, Modality::Text, Modality::Video] {
            assert_eq!(Modality::parse(&modality.to_string()), Some(modality));
        }
        assert_eq!(Modality::parse("smell"), None);
    }
}
