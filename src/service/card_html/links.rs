//! Where a card's links lead, and which of its pictures are shown.

use super::ID_PREFIX;

/// A file of the card's own repo, whose place is known when the card is shown.
const FILE: &str = "repo-file:";
/// A page of the card's own repo.
const PAGE: &str = "repo-page:";
/// Pages below a repo's own, which cards write as if they stood beside README.md.
const PAGES: [&str; 5] = ["tree/", "blob/", "resolve/", "raw/", "commit/"];
/// Endings of pictures that a browser shows and that hold no script.
const PICTURES: [&str; 7] = ["png", "jpg", "jpeg", "gif", "webp", "avif", "bmp"];

/// Leads the links of a rendered card to its repo: `repo` is the address of the repo's page (`/team/model`), `version`
/// what of it is shown. Inside an attribute's value a quote is always escaped, so that nothing else is found here.
pub fn place(html: &str, repo: &str, version: &str) -> String {
    html.replace(&format!("href=\"{FILE}"), &format!("href=\"{repo}/blob/{version}/"))
        .replace(&format!("href=\"{PAGE}"), &format!("href=\"{repo}/"))
        .replace(&format!("src=\"{FILE}"), &format!("src=\"{repo}/resolve/{version}/"))
}

/// Where a link may lead: other sites by http(s) or mail, a part of this card, a path of this hub, a file or a page of
/// the repo.
pub(super) fn target(value: &str) -> Option<String> {
    let value = clean(value)?;
    if let Some(part) = value.strip_prefix('#') {
        return Some(format!("#{ID_PREFIX}{part}"));
    }
    if let Some(scheme) = scheme(value) {
        let known = ["http", "https", "mailto"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        return known.then(|| value.to_owned());
    }
    if value.starts_with('/') {
        return Some(value.to_owned());
    }
    let path = inside(value)?;
    let mark = if PAGES.iter().any(|page| path.starts_with(page)) { PAGE } else { FILE };
    Some(format!("{mark}{path}"))
}

/// The address of a picture that lies in the repo, by its ending one that a browser shows.
pub(super) fn own_picture(value: &str) -> Option<String> {
    let value = clean(value)?;
    if scheme(value).is_some() || value.starts_with(['/', '#']) {
        return None;
    }
    let path = inside(value)?;
    let file = path.split(['?', '#']).next().unwrap_or_default();
    let (_, ending) = file.rsplit_once('.')?;
    PICTURES.iter().any(|known| ending.eq_ignore_ascii_case(known)).then(|| format!("{FILE}{path}"))
}

/// Browsers drop tabs and line feeds from a URL and read `\` as `/`, so neither is let through.
fn clean(value: &str) -> Option<&str> {
    let value = value.trim_matches(|c: char| c == ' ' || c.is_control());
    let odd = value.contains(|c: char| c.is_control() || c == '\\') || value.starts_with("//");
    (!odd).then_some(value)
}

fn scheme(value: &str) -> Option<&str> {
    let head = value.split(['/', '?', '#']).next().unwrap_or_default();
    head.split_once(':').map(|(scheme, _)| scheme)
}

/// A relative address that stays in the repo.
fn inside(value: &str) -> Option<&str> {
    let is_up = |part: &str| part.to_ascii_lowercase().replace("%2e", ".") == "..";
    let path = value.trim_start_matches("./");
    let stays = !path.is_empty() && !path.starts_with(['/', '?']) && !path.split(['/', '?', '#']).any(is_up);
    stays.then_some(path)
}
