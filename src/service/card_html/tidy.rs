//! Raw HTML inside Markdown, rebuilt so that it is well-formed: known elements only, each closed where the
//! Markdown element around it ends, never deeper than a limit.
//!
//! This is not the wall against scripts (the sanitizer behind it is) but against work: an HTML parser must
//! re-open unclosed formatting in every later paragraph, so that a few hundred `<b>` in front of a long text
//! multiply it.

use std::collections::VecDeque;
use std::fmt::Write as _;

use pulldown_cmark::{CowStr, Event, Tag, TagEnd};

use super::scan::{self, Piece};
use super::{ELEMENTS, links};

/// Elements whose content is not text for readers.
const UNREADABLE: [&str; 6] = ["script", "style", "template", "noscript", "iframe", "object"];
/// Elements that a sibling of the same name closes.
const SELF_ENDING: [&str; 7] = ["p", "li", "dt", "dd", "tr", "td", "th"];

/// An iterator over Markdown events whose HTML is tidy.
pub struct Tidy<'a, I> {
    inner: I,
    /// Open elements: None for Markdown's own, which raw HTML never closes; the name for raw HTML's.
    open: Vec<Option<String>>,
    max_depth: usize,
    /// Text of an HTML block, gathered because a tag may go over several lines.
    block: Option<String>,
    /// Inside `<script>` and its like: the name that ends it.
    skipping: Option<String>,
    ready: VecDeque<Event<'a>>,
    ended: bool,
}

impl<'a, I: Iterator<Item = Event<'a>>> Tidy<'a, I> {
    pub fn new(inner: I, max_depth: usize) -> Self {
        Tidy { inner, open: Vec::new(), max_depth, block: None, skipping: None, ready: VecDeque::new(), ended: false }
    }

    fn take(&mut self, event: Event<'a>) {
        match event {
            Event::Start(Tag::HtmlBlock) => self.block = Some(String::new()),
            Event::End(TagEnd::HtmlBlock) => {
                let html = self.block.take().unwrap_or_default();
                self.raw(&html);
                self.skipping = None;
            }
            Event::Html(html) | Event::InlineHtml(html) => match &mut self.block {
                Some(block) => block.push_str(&html),
                None => self.raw(&html),
            },
            Event::Start(tag) => {
                self.open.push(None);
                self.ready.push_back(Event::Start(tag));
            }
            Event::End(tag) => {
                self.close_raw();
                self.open.pop();
                self.skipping = None;
                self.ready.push_back(Event::End(tag));
            }
            Event::Text(_) | Event::Code(_) if self.skipping.is_some() => {}
            other => self.ready.push_back(other),
        }
    }

    /// Closes the raw elements that were opened inside the innermost Markdown element.
    fn close_raw(&mut self) {
        let mut html = String::new();
        while matches!(self.open.last(), Some(Some(_))) {
            self.close_last(&mut html);
        }
        self.emit(html);
    }

    fn close_last(&mut self, html: &mut String) {
        if let Some(Some(name)) = self.open.pop() {
            let _ = write!(html, "</{name}>");
        }
    }

    fn emit(&mut self, html: String) {
        if !html.is_empty() {
            self.ready.push_back(Event::Html(CowStr::from(html)));
        }
    }

    fn raw(&mut self, source: &str) {
        let mut html = String::with_capacity(source.len());
        for piece in scan::pieces(source) {
            match piece {
                Piece::Close(name) if self.skipping.as_ref() == Some(&name) => self.skipping = None,
                _ if self.skipping.is_some() => {}
                Piece::Text(text) => html.push_str(&text.replace('<', "&lt;")),
                Piece::Open { name, attributes } => self.start(&mut html, &lowered(name), &attributes),
                Piece::Close(name) => self.end(&mut html, &lowered(name)),
            }
        }
        self.emit(html);
    }

    fn start(&mut self, html: &mut String, name: &str, attributes: &[(String, String)]) {
        if UNREADABLE.contains(&name) {
            self.skipping = Some(name.to_owned());
            return;
        }
        let attribute = |name: &str| attributes.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
        let shown = name == "img" && links::own_picture(attribute("src")).is_some();
        if name == "img" && !shown {
            html.push_str(&attribute("alt").replace('<', "&lt;"));
            return;
        }
        if SELF_ENDING.contains(&name) && self.open.last().is_some_and(|last| last.as_deref() == Some(name)) {
            self.close_last(html);
        }
        let is_void = matches!(name, "br" | "hr" | "img");
        if !(shown || ELEMENTS.contains(name)) || (!is_void && self.open.len() >= self.max_depth) {
            return;
        }
        let _ = write!(html, "<{name}");
        for (key, value) in attributes {
            let value = value.replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;");
            let _ = write!(html, " {key}=\"{value}\"");
        }
        html.push('>');
        if !is_void {
            self.open.push(Some(name.to_owned()));
        }
    }

    /// Closes an element of this name, and what is open inside it, if one is open in this Markdown element.
    fn end(&mut self, html: &mut String, name: &str) {
        let inside = self.open.iter().rev().take_while(|open| open.is_some());
        let Some(depth) = inside.flatten().position(|open| open == name) else { return };
        for _ in 0..=depth {
            self.close_last(html);
        }
    }
}

impl<'a, I: Iterator<Item = Event<'a>>> Iterator for Tidy<'a, I> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            match self.inner.next() {
                Some(event) => self.take(event),
                None if self.ended => return None,
                None => {
                    self.ended = true;
                    self.close_raw();
                }
            }
        }
    }
}

/// The page has its own `h1`; a card's headings stand one level lower.
fn lowered(name: String) -> String {
    let lower = match name.as_str() {
        "h1" => "h2",
        "h2" => "h3",
        "h3" => "h4",
        "h4" => "h5",
        "h5" => "h6",
        _ => return name,
    };
    lower.to_owned()
}
