//! The few files pages need, built into the program. Their addresses carry a hash of their content, so browsers
//! keep them for ever and never show an old one.

use std::io::Write as _;
use std::sync::LazyLock;

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, VARY};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use super::error::{Answer, HttpError};

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
    Asset { name: "icon.svg", media_type: "image/svg+xml", text: include_str!("../../static/icon.svg") },
];

/// `style.css` -> `/static/style-0a1b2c3d4e5f.css`, in the order of [`ASSETS`].
static URLS: LazyLock<Vec<String>> = LazyLock::new(|| ASSETS.iter().map(address).collect());

/// Each packed once, in the order of [`ASSETS`]; a browser that takes gzip gets it so.
static PACKED: LazyLock<Vec<Bytes>> = LazyLock::new(|| ASSETS.iter().map(|asset| packed(asset.text)).collect());

fn packed(text: &str) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Into memory nothing fails; what is empty is not sent.
    let written = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    written.unwrap_or_default().into()
}

/// `gzip` among the encodings that a request takes, and not with the weight 0.
fn takes_gzip(request: &HttpRequest) -> bool {
    let accepted = request.headers().get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|part| {
        let mut words = part.split(';').map(str::trim);
        words.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"))
            && words.all(|weight| !["q=0", "q=0.0", "q=0.00", "q=0.000"].contains(&weight))
    })
}

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
    if takes_gzip(&request) && !packed.is_empty() {
        return Ok(answer.insert_header((CONTENT_ENCODING, "gzip")).body(packed.clone()));
    }
    Ok(answer.body(asset.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_gzip_gets_less() {
        let takes =
            |accepted: &str| takes_gzip(&actix_web::test::TestRequest::get().insert_header((ACCEPT_ENCODING, accepted)).to_http_request());
        assert!(takes("gzip, deflate, br") && takes("br;q=1.0, GZIP;q=0.5"));
        assert!(!takes("br") && !takes("gzip;q=0") && !takes("") && !takes("x-gzip2"));
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
