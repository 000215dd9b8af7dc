//! The few files pages need, built into the program. Their addresses carry a hash of their content, so browsers
//! keep them for ever and never show an old one.

use std::sync::{LazyLock, OnceLock};

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_ENCODING, VARY};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use flate2::Compression;
use sha2::{Digest as _, Sha256};

use super::error::{Answer, HttpError};
use super::packing::{Encoding, brotli, gzip, taken};

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

/// As well as can be, which takes Brotli tens of milliseconds.
const QUALITY: i32 = 11;

/// Each packed when it is first asked for, by each encoding of [`Encoding::ALL`]; in the order of [`ASSETS`].
static PACKED: [[OnceLock<Bytes>; Encoding::ALL.len()]; ASSETS.len()] =
    [const { [const { OnceLock::new() }; Encoding::ALL.len()] }; ASSETS.len()];

/// An asset by its place, packed; empty where that failed.
fn packed(at: usize, by: Encoding) -> Bytes {
    let (Some(asset), Some(kept)) = (ASSETS.get(at), PACKED.get(at).and_then(|kept| kept.get(by as usize))) else { return Bytes::new() };
    let pack = || match by {
        Encoding::Brotli => brotli(asset.text.as_bytes(), QUALITY),
        Encoding::Gzip => gzip(asset.text.as_bytes(), Compression::best()),
    };
    kept.get_or_init(pack).clone()
}

/// The same; what is not packed yet is packed where that holds nobody up.
async fn packed_for(at: usize, by: Encoding) -> Bytes {
    match PACKED.get(at).and_then(|kept| kept.get(by as usize)?.get()) {
        Some(packed) => packed.clone(),
        None => web::block(move || packed(at, by)).await.unwrap_or_default(),
    }
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
    let found = at.and_then(|at| Some((at, ASSETS.get(at)?)));
    let (at, asset) = found.ok_or_else(|| HttpError::of_status(StatusCode::NOT_FOUND))?;
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable")).insert_header((VARY, "Accept-Encoding"));
    answer.content_type(asset.media_type);
    if let Some(by) = taken(request.headers()).first() {
        let packed = packed_for(at, *by).await;
        if !packed.is_empty() && packed.len() < asset.text.len() {
            return Ok(answer.insert_header((CONTENT_ENCODING, by.as_str())).body(packed));
        }
    }
    Ok(answer.body(asset.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_less() {
        let (plain, by_gzip, by_brotli) = (ASSETS[0].text.len(), packed(0, Encoding::Gzip).len(), packed(0, Encoding::Brotli).len());
        assert!(by_brotli > 0 && by_brotli < by_gzip && by_gzip * 3 < plain, "{by_brotli}, {by_gzip} of {plain}");
        assert_eq!(packed(ASSETS.len(), Encoding::Gzip), Bytes::new());
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
