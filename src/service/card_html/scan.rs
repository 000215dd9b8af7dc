//! Raw HTML cut into tags and text. Comments and declarations vanish; a tag that never ends takes the rest
//! with it; attributes are split as an HTML parser would, so that nothing can hide inside one.

/// Attributes worth passing on; the sanitizer decides about their values.
const ATTRIBUTES: [&str; 14] =
    ["align", "alt", "class", "colspan", "height", "href", "id", "lang", "open", "rowspan", "src", "start", "title", "width"];

#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    Text(&'a str),
    /// Name and attribute names in lower case.
    Open {
        name: String,
        attributes: Vec<(String, String)>,
    },
    Close(String),
}

/// Cuts a fragment into its pieces.
pub fn pieces(html: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = html;
    while !rest.is_empty() {
        let at = rest.find('<').unwrap_or(rest.len());
        if at > 0 {
            pieces.push(Piece::Text(&rest[..at]));
            rest = &rest[at..];
            continue;
        }
        let after = &rest[1..];
        let first = after.bytes().next().unwrap_or(b' ');
        rest = match first {
            b'!' | b'?' => after_declaration(rest),
            b'/' if after[1..].starts_with(|c: char| c.is_ascii_alphabetic()) => {
                let (name, tail) = name(&after[1..]);
                pieces.push(Piece::Close(name));
                tail.split_once('>').map_or("", |(_, tail)| tail)
            }
            b'/' => after.split_once('>').map_or("", |(_, tail)| tail),
            letter if letter.is_ascii_alphabetic() => {
                let (name, tail) = name(after);
                match attributes(tail) {
                    Some((attributes, tail)) => {
                        pieces.push(Piece::Open { name, attributes });
                        tail
                    }
                    None => "",
                }
            }
            _ => {
                pieces.push(Piece::Text(&rest[..1]));
                after
            }
        };
    }
    pieces
}

fn after_declaration(rest: &str) -> &str {
    let end = if rest.starts_with("<!--") { "-->" } else { ">" };
    rest.split_once(end).map_or("", |(_, tail)| tail)
}

fn name(text: &str) -> (String, &str) {
    let end = text.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>')).unwrap_or(text.len());
    (text[..end].to_ascii_lowercase(), &text[end..])
}

/// Attributes up to the `>` that ends the tag; None when it never ends.
fn attributes(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut found: Vec<(String, String)> = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if let Some(tail) = rest.strip_prefix('>') {
            return Some((found, tail));
        }
        // The first character belongs to the name even if it is `=`, as in HTML.
        let first = rest.chars().next()?.len_utf8();
        let ends = |c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>' | '=');
        let end = rest[first..].find(ends).map(|end| end + first)?;
        let key = rest[..end].to_ascii_lowercase();
        rest = rest[end..].trim_start_matches(|c: char| c.is_ascii_whitespace());
        let mut value = "";
        if let Some(tail) = rest.strip_prefix('=') {
            (value, rest) = self::value(tail.trim_start_matches(|c: char| c.is_ascii_whitespace()))?;
        }
        if ATTRIBUTES.contains(&key.as_str()) && !found.iter().any(|(known, _)| *known == key) {
            found.push((key, value.to_owned()));
        }
    }
}

fn value(text: &str) -> Option<(&str, &str)> {
    for quote in ['"', '\''] {
        if let Some(tail) = text.strip_prefix(quote) {
            return tail.split_once(quote);
        }
    }
    let end = text.find(|c: char| c.is_ascii_whitespace() || c == '>')?;
    Some((&text[..end], &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(name: &str, attributes: &[(&str, &str)]) -> Piece<'static> {
        let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Piece::Open { name: name.into(), attributes }
    }

    #[test]
    fn tags_attributes_and_text() {
        let found = pieces("a <B TITLE='x > y' onclick=z>c</b > 1 < 2");
        let expected = vec![
            Piece::Text("a "),
            open("b", &[("title", "x > y")]),
            Piece::Text("c"),
            Piece::Close("b".into()),
            Piece::Text(" 1 "),
            Piece::Text("<"),
            Piece::Text(" 2"),
        ];
        assert_eq!(found, expected);
        assert_eq!(pieces("<a href=x/y title=\"\"/>"), [open("a", &[("href", "x/y"), ("title", "")])]);
    }

    #[test]
    fn quotes_hide_nothing() {
        // A quote outside of a value does not make the `>` part of the tag.
        assert_eq!(pieces("<a \"><b>"), [open("a", &[]), open("b", &[])]);
        assert_eq!(pieces("<a =\"><b>"), [open("a", &[]), open("b", &[])]);
        assert_eq!(pieces("<a title=\"><b>\">"), [open("a", &[("title", "><b>")])]);
    }

    #[test]
    fn comments_declarations_and_loose_ends_vanish() {
        for html in ["<!-- <b> -->", "<!doctype html>", "<?php echo 1 ?>", "</ >", "<a href=\"x", "<a", "<!--"] {
            assert_eq!(pieces(html), [], "{html}");
        }
    }
}
