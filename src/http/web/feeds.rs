//! What programs read of the pages: the newest models, and the newest data sets, as an Atom feed (RFC 4287), the addresses of pages for search engines (sitemaps.org), and what
//! these are asked to leave alone.

use std::fmt::Write as _;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::card::{href, title};
use crate::domain::name::RepoKind;
use crate::domain::page::PageRequest;
use crate::domain::repo::RepoSummary;
use crate::domain::search::{SearchQuery, Sort};
use crate::domain::user::Actor;
use crate::http::Site;
use crate::http::api::search::filters;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::Query;
use crate::service::Service;

/// Entries of a feed, and addresses of each kind in a sitemap.
const ENTRIES: usize = 30;
const ADDRESSES: usize = 400;

/// Public repos as anybody sees them: a feed is read without a cookie.
async fn newest(service: &Service, asked: SearchQuery, limit: usize) -> Result<Vec<RepoSummary>, HttpError> {
    let query = SearchQuery { sort: Sort::Newest, measure: String::new(), reversed: false, here: true, plain: true, ..asked };
    let page = PageRequest { limit, cursor: None };
    Ok(service.search(&Actor::Anonymous, query, page).await?.page.items.into_iter().filter(|found| found.head.is_some()).collect())
}

/// `/models.atom`: takes the same filters as the list.
pub async fn models(service: Data<Service>, query: Query, request: HttpRequest) -> Answer {
    atom(&service, &query, &request, (RepoKind::Model, "models", "Newest models")).await
}

/// `/datasets.atom`, likewise.
pub async fn datasets(service: Data<Service>, query: Query, request: HttpRequest) -> Answer {
    atom(&service, &query, &request, (RepoKind::Dataset, "datasets", "Newest data sets")).await
}

async fn atom(service: &Service, query: &Query, request: &HttpRequest, (kind, list, title): (RepoKind, &str, &str)) -> Answer {
    let base = Site::of(request)?.public_address(request);
    let query = query.filled();
    let models = newest(service, filters(&query, Some(kind))?, ENTRIES).await?;
    let asked = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let updated = models.first().and_then(|model| model.head.as_ref()).map_or_else(|| service.now(), |head| head.created);
    let mut feed = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\">\n<title>{title}</title>\n<id>{0}/{list}</id>\n\
         <link rel=\"self\" href=\"{0}/{list}.atom{1}\"/>\n<link href=\"{0}/{list}?sort=newest\"/>\n<updated>{updated}</updated>\n<author><name>Backbone Hub</name></author>\n",
        escaped(&base),
        escaped(&asked)
    );
    for model in &models {
        entry(&mut feed, &base, model);
    }
    feed.push_str("</feed>\n");
    Ok(public("application/atom+xml; charset=utf-8", feed))
}

fn entry(feed: &mut String, base: &str, model: &RepoSummary) {
    let Some(head) = &model.head else { return };
    let address = format!("{base}{}", href(model.repo.kind, &model.repo.id));
    let _ = write!(
        feed,
        "<entry>\n<title>{0}, version {1}</title>\n<id>{2}?rev={1}</id>\n<link href=\"{2}?rev={1}\"/>\n<updated>{3}</updated>\n<author><name>{4}</name></author>\n<summary>{5}</summary>\n</entry>\n",
        escaped(&title(&model.repo.id)),
        head.number,
        escaped(&address),
        head.created,
        escaped(&head.author),
        escaped(&model.repo.summary)
    );
}

/// `/sitemap.xml`: the first pages, and the newest repos that everybody may see.
pub async fn sitemap(service: Data<Service>, request: HttpRequest) -> Answer {
    let base = Site::of(&request)?.public_address(&request);
    let mut text =
        String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n");
    for path in ["/", "/models", "/datasets", "/api"] {
        let _ = writeln!(text, "<url><loc>{}{path}</loc></url>", escaped(&base));
    }
    for kind in [RepoKind::Model, RepoKind::Dataset] {
        let asked = SearchQuery { kind: Some(kind), ..SearchQuery::default() };
        for found in newest(&service, asked, ADDRESSES).await? {
            let address = format!("{base}{}", href(kind, &found.repo.id));
            let _ = writeln!(text, "<url><loc>{}</loc><lastmod>{}</lastmod></url>", escaped(&address), found.repo.updated);
        }
    }
    text.push_str("</urlset>\n");
    Ok(public("application/xml; charset=utf-8", text))
}

/// `/robots.txt`: lists filtered in every way are without end, and bytes are large.
pub async fn robots(request: HttpRequest) -> Answer {
    let site = Site::of(&request)?;
    let (base, inner) = (site.public_address(&request), site.base());
    let mut text = String::from("User-agent: *\n");
    for path in ["/api/", "/search", "/*?", "/jobs", "/finetune", "/settings/", "/login"] {
        let _ = writeln!(text, "Disallow: {inner}{path}");
    }
    let _ = writeln!(text, "Sitemap: {base}/sitemap.xml");
    Ok(public("text/plain; charset=utf-8", text))
}

fn public(media_type: &'static str, text: String) -> HttpResponse {
    HttpResponse::Ok().content_type(media_type).insert_header((CACHE_CONTROL, "public, max-age=300")).body(text)
}

/// As XML's text and values of attributes take it; what no XML may hold is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_strangers_wrote_is_markup() {
        assert_eq!(escaped("<b a=\"1\">&\u{0}\n"), "&lt;b a=&quot;1&quot;&gt;&amp; ");
    }
}
