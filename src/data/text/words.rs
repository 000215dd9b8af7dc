//! The words of a text: runs of letters and digits in small letters. Scripts that put no spaces between words give a word for each sign.

/// Words one after the other.
pub struct Words<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    word: String,
}

impl<'a> Words<'a> {
    pub fn of(text: &'a str) -> Words<'a> {
        Words { rest: text.chars().peekable(), word: String::new() }
    }
}

impl Iterator for Words<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        while let Some(c) = self.rest.next() {
            if !c.is_alphanumeric() {
                continue;
            }
            self.word.clear();
            self.word.extend(c.to_lowercase());
            if !is_unspaced(c) {
                // An apostrophe and the marks of letters stay inside a word.
                while let Some(c) = self.rest.next_if(|c| c.is_alphanumeric() && !is_unspaced(*c) || is_mark(*c)) {
                    self.word.extend(c.to_lowercase());
                }
                // That one ends a quotation.
                self.word.truncate(self.word.trim_end_matches(['\'', '’']).len());
            }
            return Some(std::mem::take(&mut self.word));
        }
        None
    }
}

/// Of Thai, Lao, Khmer, Burmese, Japanese and Chinese.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

fn is_mark(c: char) -> bool {
    matches!(c, '\'' | '’' | '\u{0300}'..='\u{036f}' | '\u{0900}'..='\u{0903}' | '\u{093a}'..='\u{094f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_where_they_should() {
        let words = |text: &str| Words::of(text).collect::<Vec<_>>().join("|");
        assert_eq!(words("Don't 'panic' -- it's 42!"), "don't|panic|it's|42");
        assert_eq!(words("Grüße, ÄPFEL"), "grüße|äpfel");
        assert_eq!(words("我喜欢cats和狗"), "我|喜|欢|cats|和|狗");
        assert_eq!(words(" ... "), "");
    }
}
