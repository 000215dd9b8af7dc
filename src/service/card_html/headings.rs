//! Headings get the names that links to them are written with, as on GitHub and Hugging Face: their text in lower
//! case, spaces as hyphens, without punctuation; a second one of the same text ends in `-1`.

use std::collections::{HashMap, VecDeque};

use pulldown_cmark::{Event, Tag, TagEnd};

/// Longest name in characters; a heading may be as long as a card.
const LONGEST: usize = 200;

/// An iterator over Markdown events in which each heading has an id.
pub struct Headings<'a, I> {
    inner: I,
    /// How often a name was given.
    given: HashMap<String, usize>,
    ready: VecDeque<Event<'a>>,
}

impl<'a, I: Iterator<Item = Event<'a>>> Headings<'a, I> {
    pub fn new(inner: I) -> Self {
        Headings { inner, given: HashMap::new(), ready: VecDeque::new() }
    }

    /// Reads to the end of a heading, whose text its beginning must know.
    fn heading(&mut self, start: Tag<'a>) -> Event<'a> {
        let mut text = String::new();
        for event in self.inner.by_ref() {
            if let Event::Text(part) | Event::Code(part) = &event
                && text.len() < LONGEST
            {
                text.push_str(part);
            }
            let ends = matches!(event, Event::End(TagEnd::Heading(_)));
            self.ready.push_back(event);
            if ends {
                break;
            }
        }
        let name = self.name(&text);
        Event::Start(match start {
            Tag::Heading { level, classes, attrs, .. } if !name.is_empty() => Tag::Heading { level, id: Some(name.into()), classes, attrs },
            other => other,
        })
    }

    fn name(&mut self, text: &str) -> String {
        let letter = |c: char| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c => c.is_alphanumeric().then_some(c),
        };
        let name: String = text.trim().to_lowercase().chars().filter_map(letter).take(LONGEST).collect();
        let times = self.given.entry(name.clone()).or_default();
        *times += 1;
        if *times == 1 || name.is_empty() { name } else { format!("{name}-{}", *times - 1) }
    }
}

impl<'a, I: Iterator<Item = Event<'a>>> Iterator for Headings<'a, I> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        if let Some(event) = self.ready.pop_front() {
            return Some(event);
        }
        match self.inner.next()? {
            Event::Start(start @ Tag::Heading { .. }) => Some(self.heading(start)),
            other => Some(other),
        }
    }
}
