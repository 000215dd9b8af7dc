//! How texts are cut into words: for training, and for the features of texts, in the same way.

/// How a line becomes words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tokenizer {
    /// Runs of letters and digits in lower case, with apostrophes inside of them.
    #[default]
    Words,
    /// Whatever stands between spaces, as it is.
    Whitespace,
}

impl Tokenizer {
    pub const ALL: [(&'static str, Tokenizer); 2] = [("words", Tokenizer::Words), ("whitespace", Tokenizer::Whitespace)];

    pub fn parse(text: &str) -> Option<Tokenizer> {
        Tokenizer::ALL.iter().find(|(name, _)| *name == text).map(|(_, tokenizer)| *tokenizer)
    }

    pub fn as_str(self) -> &'static str {
        Tokenizer::ALL.iter().find(|(_, tokenizer)| *tokenizer == self).map_or("words", |(name, _)| name)
    }

    /// Adds the words of a line to `out`.
    pub fn cut(self, line: &str, out: &mut Tokens) {
        match self {
            Tokenizer::Whitespace => {
                line.split(|c: char| c.is_whitespace() || c == '\0').filter(|word| !word.is_empty()).for_each(|word| {
                    out.text.push_str(word);
                    out.end();
                })
            }
            Tokenizer::Words if line.is_ascii() => ascii_words(line.as_bytes(), out),
            Tokenizer::Words => words(line, out),
        }
    }
}

fn ascii_words(line: &[u8], out: &mut Tokens) {
    let mut at = 0;
    while at < line.len() {
        if !line[at].is_ascii_alphanumeric() {
            at += 1;
            continue;
        }
        while let Some(byte) = line.get(at) {
            let joins = *byte == b'\'' && line.get(at + 1).is_some_and(u8::is_ascii_alphanumeric);
            if !byte.is_ascii_alphanumeric() && !joins {
                break;
            }
            out.text.push(char::from(byte.to_ascii_lowercase()));
            at += 1;
        }
        out.end();
    }
}

fn words(line: &str, out: &mut Tokens) {
    let mut characters = line.chars().peekable();
    let mut is_inside = false;
    while let Some(character) = characters.next() {
        let is_apostrophe = matches!(character, '\'' | '’');
        let joins = is_apostrophe && is_inside && characters.peek().is_some_and(|next| next.is_alphanumeric());
        if character.is_alphanumeric() || is_mark(character) && is_inside {
            out.text.extend(character.to_lowercase());
            is_inside = true;
        } else if joins {
            out.text.push('\'');
        } else if is_inside {
            out.end();
            is_inside = false;
        }
    }
    if is_inside {
        out.end();
    }
}

/// Marks that combine with the letter before them.
fn is_mark(character: char) -> bool {
    unicode_normalization::char::is_combining_mark(character)
}

/// Words one after the other, without a string for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    pub text: String,
    ends: Vec<usize>,
}

impl Tokens {
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// What was added to the text since the last end is a word.
    pub fn end(&mut self) {
        self.ends.push(self.text.len());
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn get(&self, index: usize) -> &str {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[index]]
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        let cut = |tokenizer: Tokenizer, line: &str| {
            let mut tokens = Tokens::default();
            tokenizer.cut(line, &mut tokens);
            tokens.iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(cut(Tokenizer::Words, "Don't panic: it's 42,' she said."), ["don't", "panic", "it's", "42", "she", "said"]);
        assert_eq!(cut(Tokenizer::Words, "L’Été à Zürich — «ÇA»!"), ["l'été", "à", "zürich", "ça"]);
        assert_eq!(cut(Tokenizer::Words, "e\u{301}te\u{301}"), ["e\u{301}te\u{301}"], "marks stay with their letters");
        assert_eq!(cut(Tokenizer::Whitespace, " Don't\tpanic:\0 x\u{a0}y "), ["Don't", "panic:", "x", "y"]);
        assert_eq!(cut(Tokenizer::Words, "' - \u{2019}"), [""; 0]);
    }
}
