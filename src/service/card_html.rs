//! A card's Markdown as HTML that is safe to put on our own page.
//!
//! The wall is ammonia's allow-list; everything before it keeps the work small and the page in order.
//! ammonia's time grows with the square of the nesting (50 KB of `>` take seconds), so nesting is cut and raw
//! HTML is rebuilt well-formed (see `tidy`) before it gets there. Images of other sites are not loaded: one would
//! tell a stranger who reads the card, so it becomes a link. The repo's own pictures are shown.
//!
//! A card is rendered once, when it is published, and its repo may move later: links to the repo's files are kept
//! as `repo-file:PATH` and led to where the files are by [`place`], each time the card is shown.

mod headings;
mod links;
mod scan;
mod tidy;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use ammonia::Builder;
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use headings::Headings;
pub use links::place;
use tidy::Tidy;

/// Longest text we render; cards are refused above it, so this only cuts what came another way.
const MAX_MARKDOWN_BYTES: usize = 512 * 1024;
/// Elements inside each other beyond this depth are dropped, and their text kept.
const MAX_DEPTH: usize = 100;
/// In front of every id, so that a card cannot take the name of a part of our page.
const ID_PREFIX: &str = "card-";
const LINK_REL: &str = "nofollow noopener noreferrer ugc";

/// Renders Markdown to an HTML fragment without scripts, styles, forms and `h1`. Its links to files of the repo, and the
/// repo's pictures, have no place yet: see [`place`].
pub fn render(markdown: &str) -> String {
    sanitizer().clean(&tidy_html(markdown)).to_string()
}

/// The words of a line of Markdown, without marks, targets of links and pictures.
pub fn plain(markdown: &str) -> String {
    let mut words = String::new();
    let mut pictures = 0;
    for event in Parser::new_ext(markdown, Options::ENABLE_STRIKETHROUGH) {
        match event {
            Event::Start(Tag::Image { .. }) => pictures += 1,
            Event::End(TagEnd::Image) => pictures -= 1,
            Event::Text(text) | Event::Code(text) if pictures == 0 => words.extend(text.chars().filter(|c| !c.is_control())),
            Event::SoftBreak | Event::HardBreak => words.push(' '),
            _ => {}
        }
    }
    words
}

/// HTML of bounded depth, with every element closed; not yet safe.
fn tidy_html(markdown: &str) -> String {
    let markdown = cut(markdown, MAX_MARKDOWN_BYTES);
    let options = Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_FOOTNOTES;
    let events = Flatten { inner: Parser::new_ext(markdown, options), open: Vec::new(), depth: 0, links: 0 };
    let mut html = String::with_capacity(markdown.len() * 3 / 2);
    pulldown_cmark::html::push_html(&mut html, Tidy::new(Headings::new(events.map(rewrite)), MAX_DEPTH));
    aligned(html)
}

/// The renderer aligns columns by `style`, which no card may have; `align` says the same. It stands in no text: there `<` is escaped.
fn aligned(mut html: String) -> String {
    for cell in ["td", "th"] {
        for side in ["left", "center", "right"] {
            let styled = format!("<{cell} style=\"text-align: {side}\"");
            if html.contains(&styled) {
                html = html.replace(&styled, &format!("<{cell} align=\"{side}\""));
            }
        }
    }
    html
}

fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// Drops the elements that lie deeper than [`MAX_DEPTH`], and links inside links; what they hold stays. Images of other
/// sites become links.
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
            let (passes, event) = match event {
                Event::Start(tag) => (self.start(&tag), Event::Start(linked(tag))),
                Event::End(tag) => {
                    let kept = self.end();
                    let is_link = matches!((&kept, tag), (Kept::Link, TagEnd::Image));
                    (!matches!(kept, Kept::No), Event::End(if is_link { TagEnd::Link } else { tag }))
                }
                other => (true, other),
            };
            if passes {
                return Some(event);
            }
        }
    }
}

impl<I> Flatten<I> {
    fn start(&mut self, tag: &Tag) -> bool {
        let is_link = match tag {
            Tag::Link { .. } => true,
            Tag::Image { dest_url, .. } => links::own_picture(dest_url).is_none(),
            _ => false,
        };
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

    fn end(&mut self) -> Kept {
        let kept = self.open.pop().unwrap_or(Kept::No);
        self.depth -= usize::from(!matches!(kept, Kept::No));
        self.links -= usize::from(matches!(kept, Kept::Link));
        kept
    }
}

/// An image of another site as a link: its text is what it shows to who cannot see it, the link leads to the rest.
fn linked(tag: Tag) -> Tag {
    match tag {
        Tag::Image { link_type, dest_url, title, id } if links::own_picture(&dest_url).is_none() => {
            Tag::Link { link_type, dest_url, title, id }
        }
        other => other,
    }
}

/// One event as we want it on a page that has its own `h1` and no forms.
fn rewrite(event: Event) -> Event {
    match event {
        Event::Start(Tag::Heading { level, .. }) => {
            Event::Start(Tag::Heading { level: lower(level), id: None, classes: Vec::new(), attrs: Vec::new() })
        }
        Event::End(TagEnd::Heading(level)) => Event::End(TagEnd::Heading(lower(level))),
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

fn sanitizer() -> Builder<'static> {
    let mut tags = ELEMENTS.clone();
    tags.insert("img");
    let mut builder = Builder::empty();
    builder
        .tags(tags)
        .clean_content_tags(HashSet::from(["script", "style"]))
        .generic_attributes(HashSet::from(["title", "lang"]))
        .tag_attributes(attributes())
        .allowed_classes(HashMap::from([
            ("div", HashSet::from(["footnote-definition"])),
            ("sup", HashSet::from(["footnote-definition-label", "footnote-reference"])),
        ]))
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        .id_prefix(Some(ID_PREFIX))
        .link_rel(Some(LINK_REL))
        .attribute_filter(|_, attribute, value| match attribute {
            "href" => links::target(value).map(Cow::Owned),
            "src" => links::own_picture(value).map(Cow::Owned),
            "width" | "height" => value.trim_end_matches(['p', 'x', '%']).parse::<u16>().is_ok().then_some(Cow::Borrowed(value)),
            // Cells that span thousands of columns make a browser sweat.
            "colspan" | "rowspan" => value.parse::<u16>().is_ok_and(|span| span <= 100).then_some(Cow::Borrowed(value)),
            _ => Some(Cow::Borrowed(value)),
        });
    builder
}

/// Of each element.
fn attributes() -> HashMap<&'static str, HashSet<&'static str>> {
    let cell = ["align", "colspan", "rowspan"];
    let mut attributes = HashMap::from([
        ("a", HashSet::from(["href", "id"])),
        ("div", HashSet::from(["align", "id"])),
        ("span", HashSet::from(["id"])),
        ("p", HashSet::from(["align"])),
        ("img", HashSet::from(["src", "alt", "width", "height"])),
        ("ol", HashSet::from(["start"])),
        ("details", HashSet::from(["open"])),
        ("td", cell.into()),
        ("th", cell.into()),
    ]);
    attributes.extend(["h2", "h3", "h4", "h5", "h6"].map(|heading| (heading, HashSet::from(["id"]))));
    attributes
}

#[cfg(test)]
mod tests;
