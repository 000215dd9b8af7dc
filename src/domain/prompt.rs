//! The text in which the name of a class is read.

use std::fmt;

/// A text with one `{}` in it, where a name is put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(String);

/// Where the name stands.
const PLACE: &str = "{}";
/// Letters of one.
const LONGEST: usize = 500;
/// For pictures of things (Radford et al. 2021, 3.1.4).
const OF_PICTURES: &str = "a photo of a {}.";

impl Template {
    /// `None` of a text that has no such place, or several, or is too long.
    pub fn parse(text: &str) -> Option<Template> {
        let good = text.matches(PLACE).count() == 1 && text.chars().count() <= LONGEST && !text.chars().any(char::is_control);
        good.then(|| Template(text.to_owned()))
    }

    /// The usual one of models that name items of another kind, or of texts.
    pub fn usual(of_others: bool) -> Template {
        Template(if of_others { OF_PICTURES } else { PLACE }.to_owned())
    }

    pub fn of(&self, name: &str) -> String {
        self.0.replacen(PLACE, name, 1)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_where_the_braces_are() {
        let of = |text: &str| Template::parse(text).map(|template| template.of("red fox"));
        assert_eq!(of("a photo of a {}, a kind of animal").as_deref(), Some("a photo of a red fox, a kind of animal"));
        assert_eq!(of("{}").as_deref(), Some("red fox"));
        assert_eq!(Template::usual(true).of("{}"), "a photo of a {}.", "a name with braces is a name");
        for bad in ["", "a photo", "{} and {}", "a\n{}", &"{}x".repeat(2)] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
