//! A look at one text, or at the two of a pair: how long it is, in what language by a guess, how it begins.

use super::super::error::Refusal;
use super::super::modality::{Picture, Scale, Seen, Trait};
use super::words::Words;
use super::{decode, language, look, views};

/// Characters of a preview.
const SHOWN: usize = 280;
/// A text is odd from so many times the usual length on.
const ODD: f32 = 10.0;

/// # Errors
/// [`Refusal`] says what is wrong with the text, and with which of two.
pub fn inspect(item: &[u8], preview: bool) -> Result<Seen, Refusal> {
    let texts = texts(item)?;
    let characters: usize = texts.iter().map(|text| text.chars().count()).sum();
    let words: usize = texts.iter().map(|text| Words::of(text).count()).sum();
    let size = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let length = |name, count: usize| Trait { name, value: count.max(1) as f32, scale: Scale::Ratio { odd: ODD } };
    Ok(Seen {
        sizes: vec![("characters", size(characters)), ("words", size(words))],
        channels: "",
        format: if texts.len() == 2 { "pair of texts" } else { "text" },
        preview: preview.then(|| beginning(&texts)),
        look: look::of_texts(&texts),
        traits: vec![length("characters", characters), length("words", words)],
        blank: false,
        language: language::guess(&texts),
    })
}

/// The one or two texts of an item.
fn texts(item: &[u8]) -> Result<Vec<&str>, Refusal> {
    let Some((first, second)) = views::of_pair(item) else { return Ok(vec![decode::text(item)?]) };
    let read = |bytes, which: &str| decode::text(bytes).map_err(|refusal| Refusal(format!("of the pair's {which} text: {}", refusal.0)));
    Ok(vec![read(first, "first")?, read(second, "second")?])
}

/// How they begin, each on a line of its own.
fn beginning(texts: &[&str]) -> Picture {
    let shown = |text: &&str| {
        let most = SHOWN / texts.len().max(1);
        let plain = text.split_whitespace().collect::<Vec<_>>();
        // What turns the direction of writing or is not seen has no place on a page.
        let clean = plain.join(" ").chars().filter(|c| !crate::domain::path::invisible(*c)).take(most + 1).collect::<String>();
        match clean.chars().count() > most {
            true => clean.chars().take(most - 1).chain(['…']).collect(),
            false => clean,
        }
    };
    let lines: Vec<String> = texts.iter().map(shown).collect();
    Picture { bytes: lines.join("\n").into_bytes(), media_type: "text/plain", width: 0, height: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_measured_and_its_beginning_kept() {
        let seen = inspect("It was  the best\nof times, ".repeat(40).as_bytes(), true).unwrap();
        assert_eq!(seen.sizes, [("characters", 1_080), ("words", 240)]);
        let preview = String::from_utf8(seen.preview.unwrap().bytes).unwrap();
        assert!(
            preview.chars().count() == SHOWN && preview.starts_with("It was the best of times, It") && preview.ends_with('…'),
            "{preview}"
        );
        assert_eq!(seen.language, "English");
        let pair = inspect(&views::pair(b"A man runs.", "<b>Ein\u{202e} Mann</b>".as_bytes()), true).unwrap();
        assert_eq!((pair.format, pair.preview.unwrap().bytes), ("pair of texts", b"A man runs.\n<b>Ein Mann</b>".to_vec()));
        assert!(inspect(b"one", false).unwrap().preview.is_none());
    }

    #[test]
    fn what_is_no_text_says_which() {
        let why = |item: &[u8]| inspect(item, false).unwrap_err().0;
        assert_eq!(why(b" "), "the text is empty");
        assert!(why(&views::pair(b"one", b"")).contains("of the pair's second text: the text is empty"));
        assert!(why(&views::pair(b"Gr\xfc\xdfe", b"two")).contains("of the pair's first text: byte 0xfc at byte 2"));
        assert!(why(b"\xffP\x09\0\0\0x").contains("NUL"), "a pair that lies about its lengths");
    }
}
