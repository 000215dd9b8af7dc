//! A card's Markdown as HTML that is safe to put on our own page.
//!
//! The wall is ammonia's allow-list; everything before it keeps the work small and the page in order.
//! ammonia's time grows with the square of the nesting (50 KB of `>` take seconds), so nesting is cut and raw
//! HTML is rebuilt well-formed (see `tidy`) before it gets there. Images are not loaded: a remote one would
//! tell a stranger who reads the card, so it becomes a link.

mod scan;
mod tidy;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use ammonia::Builder;
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use tidy::Tidy;

/// Longest text we render; cards are refused above it, so this only cuts what came another way.
const MAX_MARKDOWN_BYTES: usize = 512 * 1024;
/// Elements inside each other beyond this depth are dropped, and their text kept.
const MAX_DEPTH: usize = 100;
/// In front of every id, so that a card cannot take the name of a part of our page.
const ID_PREFIX: &str = "card-";
const LINK_REL: &str = "nofollow noopener noreferrer ugc";

/// Renders Markdown to an HTML fragment without scripts, styles, forms, images and `h1`. Links to relative
/// paths lose their target, for the fragment does not know where the card's files are: see [`render_at`].
pub fn render(markdown: &str) -> String {
    render_at(markdown, "")
}

/// As [`render`], with relative links led to `files`, an absolute path that ends with a slash, such as
/// `/team/model/resolve/main/`.
pub fn render_at(markdown: &str, files: &str) -> String {
    sanitizer(files).clean(&tidy_html(markdown)).to_string()
}

/// HTML of bounded depth, with every element closed; not yet safe.
fn tidy_html(markdown: &str) -> String {
    let markdown = cut(markdown, MAX_MARKDOWN_BYTES);
    let options = Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_FOOTNOTES;
    let events = Flatten { inner: Parser::new_ext(markdown, options), open: Vec::new(), depth: 0, links: 0 };
    let mut html = String::with_capacity(markdown.len() * 3 / 2);
    pulldown_cmark::html::push_html(&mut html, Tidy::new(events.map(rewrite), MAX_DEPTH));
    html
}

fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// Drops the elements that lie deeper than [`MAX_DEPTH`], and images inside links (a link holds no other);
/// what they hold stays.
struct Flatten<I> {
    inner: I,
    open: Vec<Kept>,
    depth: usize,
    links: usize,
}

/// What became of an open element.
enum Kept {
    No,
    Yes,
    Link,
}

impl<'a, I: Iterator<Item = Event<'a>>> Iterator for Flatten<I> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        loop {
            let event = self.inner.next()?;
            let passes = match &event {
                Event::Start(tag) => self.start(tag),
                Event::End(_) => self.end(),
                _ => true,
            };
            if passes {
                return Some(event);
            }
        }
    }
}

impl<I> Flatten<I> {
    fn start(&mut self, tag: &Tag) -> bool {
        let is_link = matches!(tag, Tag::Link { .. } | Tag::Image { .. });
        let kept = match is_link {
            _ if self.depth >= MAX_DEPTH => Kept::No,
            true if self.links > 0 => Kept::No,
            true => Kept::Link,
            false => Kept::Yes,
        };
        let passes = !matches!(kept, Kept::No);
        self.depth += usize::from(passes);
        self.links += usize::from(matches!(kept, Kept::Link));
        self.open.push(kept);
        passes
    }

    fn end(&mut self) -> bool {
        let kept = self.open.pop().unwrap_or(Kept::No);
        let passes = !matches!(kept, Kept::No);
        self.depth -= usize::from(passes);
        self.links -= usize::from(matches!(kept, Kept::Link));
        passes
    }
}

/// One event as we want it on a page that has its own `h1`, no forms and no images.
fn rewrite(event: Event) -> Event {
    match event {
        Event::Start(Tag::Heading { level, .. }) => {
            Event::Start(Tag::Heading { level: lower(level), id: None, classes: Vec::new(), attrs: Vec::new() })
        }
        Event::End(TagEnd::Heading(level)) => Event::End(TagEnd::Heading(lower(level))),
        // An image's text is what it shows to who cannot see it; the link leads to the rest.
        Event::Start(Tag::Image { link_type, dest_url, title, id }) => Event::Start(Tag::Link { link_type, dest_url, title, id }),
        Event::End(TagEnd::Image) => Event::End(TagEnd::Link),
        Event::TaskListMarker(done) => Event::Text(CowStr::Borrowed(if done { "☑ " } else { "☐ " })),
        other => other,
    }
}

fn lower(level: HeadingLevel) -> HeadingLevel {
    match level {
        HeadingLevel::H1 => HeadingLevel::H2,
        HeadingLevel::H2 => HeadingLevel::H3,
        HeadingLevel::H3 => HeadingLevel::H4,
        HeadingLevel::H4 => HeadingLevel::H5,
        HeadingLevel::H5 | HeadingLevel::H6 => HeadingLevel::H6,
    }
}

/// Elements a card may use; `tidy` rebuilds raw HTML from these alone.
static ELEMENTS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    HashSet::from([
        "a",
        "abbr",
        "b",
        "blockquote",
        "br",
        "center",
        "code",
        "dd",
        "del",
        "details",
        "div",
        "dl",
        "dt",
        "em",
        "figcaption",
        "figure",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "ins",
        "kbd",
        "li",
        "mark",
        "ol",
        "p",
        "pre",
        "q",
        "s",
        "samp",
        "small",
        "span",
        "strong",
        "sub",
        "summary",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "u",
        "ul",
        "var",
    ])
});

fn sanitizer(files: &str) -> Builder<'static> {
    let files = files.to_owned();
    let cell = HashSet::from(["align", "colspan", "rowspan"]);
    let mut builder = Builder::empty();
    builder
        .tags(ELEMENTS.clone())
        .clean_content_tags(HashSet::from(["script", "style"]))
        .generic_attributes(HashSet::from(["title", "lang"]))
        .tag_attributes(HashMap::from([
            ("a", HashSet::from(["href"])),
            ("div", HashSet::from(["align", "id"])),
            ("p", HashSet::from(["align"])),
            ("ol", HashSet::from(["start"])),
            ("details", HashSet::from(["open"])),
            ("td", cell.clone()),
            ("th", cell),
        ]))
        .allowed_classes(HashMap::from([
            ("div", HashSet::from(["footnote-definition"])),
            ("sup", HashSet::from(["footnote-definition-label", "footnote-reference"])),
        ]))
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        .id_prefix(Some(ID_PREFIX))
        .link_rel(Some(LINK_REL))
        .attribute_filter(move |_, attribute, value| match attribute {
            "href" => target(value, &files).map(Cow::Owned),
            // Cells that span thousands of columns make a browser sweat.
            "colspan" | "rowspan" => value.parse::<u16>().is_ok_and(|span| span <= 100).then_some(Cow::Borrowed(value)),
            _ => Some(Cow::Borrowed(value)),
        });
    builder
}

/// Where a link may lead: other sites by http(s) or mail, a part of this card, a path of this hub, or a file
/// of the repo. Browsers drop tabs and line feeds from a URL and read `\` as `/`, so neither is let through.
fn target(value: &str, files: &str) -> Option<String> {
    let value = value.trim_matches(|c: char| c == ' ' || c.is_control());
    if value.contains(|c: char| c.is_control() || c == '\\') || value.starts_with("//") {
        return None;
    }
    if let Some(part) = value.strip_prefix('#') {
        return Some(format!("#{ID_PREFIX}{part}"));
    }
    let head = value.split(['/', '?', '#']).next().unwrap_or_default();
    if let Some((scheme, _)) = head.split_once(':') {
        let known = ["http", "https", "mailto"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        return known.then(|| value.to_owned());
    }
    if value.starts_with('/') {
        return Some(value.to_owned());
    }
    let inside = !files.is_empty() && !value.is_empty() && !value.split(['/', '?', '#']).any(|part| part == "..");
    inside.then(|| format!("{files}{}", value.trim_start_matches("./")))
}

#[cfg(test)]
mod tests;
