//! The few files pages need, built into the program. Their addresses carry a hash of their content, so browsers
//! keep them for ever and never show an old one.

use std::sync::LazyLock;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_ENCODING, VARY};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use flate2::Compression;
use sha2::{Digest as _, Sha256};

use super::error::{Answer, HttpError};
use super::packing::{gzip, takes_gzip};

struct Asset {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

const ASSETS: &[Asset] = &[
    Asset { name: "style.css", media_type: "text/css; charset=utf-8", text: include_str!("../../static/style.css") },
    Asset { name: "hub.js", media_type: "text/javascript; charset=utf-8", text: include_str!("../../static/hub.js") },
    Asset { name: "upload.js", media_type: JAVASCRIPT, text: include_str!("../../static/upload.js") },
    Asset { name: "upload-worker.js", media_type: JAVASCRIPT, text: include_str!("../../static/upload-worker.js") },
    Asset { name: "job.js", media_type: JAVASCRIPT, text: include_str!("../../static/job.js") },
    Asset { name: "wizard.js", media_type: JAVASCRIPT, text: include_str!("../../static/wizard.js") },
    Asset { name: "curves.js", media_type: JAVASCRIPT, text: include_str!("../../static/curves.js") },
    // uPlot, as its package has it; its licence lies beside it.
    Asset { name: "uplot.js", media_type: JAVASCRIPT, text: include_str!("../../static/uplot.js") },
    Asset { name: "uplot.css", media_type: "text/css; charset=utf-8", text: include_str!("../../static/uplot.css") },
    Asset { name: "icon.svg", media_type: "image/svg+xml", text: include_str!("../../static/icon.svg") },
];

/// `style.css` -> `/static/style-0a1b2c3d4e5f.css`, in the order of [`ASSETS`].
static URLS: LazyLock<Vec<String>> = LazyLock::new(|| ASSETS.iter().map(address).collect());

/// Each packed once, in the order of [`ASSETS`]; a browser that takes gzip gets it so.
static PACKED: LazyLock<Vec<Bytes>> =
    LazyLock::new(|| ASSETS.iter().map(|asset| gzip(asset.text.as_bytes(), Compression::best())).collect());

fn address(asset: &Asset) -> String {
    let hash = hex::encode(Sha256::digest(asset.text));
    let (stem, ending) = asset.name.rsplit_once('.').unwrap_or((asset.name, ""));
    format!("/static/{stem}-{}.{ending}", &hash[..12])
}

/// The address of a file by its plain name.
pub fn url(name: &str) -> String {
    let at = ASSETS.iter().position(|asset| asset.name == name);
    at.and_then(|at| URLS.get(at)).cloned().unwrap_or_default()
}

/// Answers `/static/{file}`; other names than those pages link to are not there.
pub async fn show(request: HttpRequest) -> Answer {
    let at = URLS.iter().position(|url| url == request.path());
    let found = at.and_then(|at| Some((ASSETS.get(at)?, PACKED.get(at)?)));
    let (asset, packed) = found.ok_or_else(|| HttpError::of_status(StatusCode::NOT_FOUND))?;
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable")).insert_header((VARY, "Accept-Encoding"));
    answer.content_type(asset.media_type);
    if takes_gzip(request.headers()) && !packed.is_empty() {
        return Ok(answer.insert_header((CONTENT_ENCODING, "gzip")).body(packed.clone()));
    }
    Ok(answer.body(asset.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_less() {
        let sheet = &PACKED[0];
        assert!(!sheet.is_empty() && sheet.len() * 3 < ASSETS[0].text.len(), "{} of {}", sheet.len(), ASSETS[0].text.len());
    }

    #[test]
    fn addresses_name_the_content() {
        let url = url("style.css");
        assert!(url.starts_with("/static/style-") && url.ends_with(".css"), "{url}");
        assert_eq!(super::url("nothing.js"), "");
        let other = Asset { name: "style.css", media_type: "", text: "other" };
        assert_ne!(address(&other), url);
    }
}
