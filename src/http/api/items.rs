//! What a question about items brings with it: one file as the body itself, several as `multipart/form-data`, as base64 in JSON, or
//! in a zip. Whatever is wrong with one of several is said beside the answers to the others.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;

use crate::domain::answers::{MOST_BYTES, MOST_ITEMS, Reason};
use crate::domain::name::RepoId;
use crate::domain::revision::Revision;
use crate::domain::timeline::Every;
use crate::domain::user::Actor;
use crate::http::body::Body;
use crate::http::error::HttpError;
use crate::http::extract::{Query, read_json};
use crate::service::Service;
use crate::service::jobs::predict::Item;
use crate::wire::predict::{AskedAbout, ItemSent};

/// What comes with the question.
pub enum Asked {
    /// The body is the item: the answer is about nothing else.
    One(Bytes),
    Many(Vec<Item>),
    /// All items of a data set, `namespace/name[@revision]`, or those of a split.
    Dataset {
        name: String,
        split: Option<String>,
    },
}

/// How a zip and a tar of nothing begin, and so does no item.
const ZIPS: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// Reads a body of any of these forms.
pub async fn read(request: &HttpRequest, service: &Service, body: Body) -> Result<Asked, HttpError> {
    let said = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let kind = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "multipart/form-data" => of_form(&said, body.gather(MOST_BYTES + (MOST_ITEMS << 10)).await?).await.map(Asked::Many),
        // Base64 takes four bytes for three.
        "application/json" => of_json(request, body.gather(MOST_BYTES / 3 * 4 + (MOST_ITEMS << 10)).await?).await,
        "application/zip" => Ok(Asked::Many(service.items_of_archive(body.gather(MOST_BYTES).await?).await?)),
        _ => {
            let one = usize::try_from(service.policy().data_limits.item_bytes).unwrap_or(usize::MAX);
            let bytes = body.gather(one).await?;
            match ZIPS.iter().any(|zip| bytes.starts_with(zip)) {
                true => Ok(Asked::Many(service.items_of_archive(bytes).await?)),
                false => Ok(Asked::One(bytes)),
            }
        }
    }
}

/// `?every=`: pieces of so many seconds are asked about.
pub fn every(query: &Query) -> Result<Option<Every>, HttpError> {
    let wrong = |text: &str| {
        let message = format!("'every' in the query is no number of seconds that is taken: '{text}'");
        HttpError::bad_request("bad_query", message, format!("{}: write every=2", Every::bounds()))
    };
    query.find("every").map(|text| Every::parse(text).ok_or_else(|| wrong(text))).transpose()
}

/// The pieces of what is asked about, where it is asked about piece by piece; a data set's are found by its job. The only item must be readable.
pub async fn in_pieces(
    service: &Service,
    actor: &Actor,
    model: (&RepoId, &Revision),
    every: Option<Every>,
    asked: Asked,
) -> Result<Asked, HttpError> {
    let (items, alone) = match (asked, every) {
        (Asked::One(bytes), Some(_)) => (vec![Item::new(unnamed(0), bytes)], true),
        (Asked::Many(items), Some(_)) => (items, false),
        (asked, _) => return Ok(asked),
    };
    let Some(every) = every else { return Ok(Asked::Many(items)) };
    let pieces = service.in_pieces(actor, model, items, every).await?;
    match pieces.first() {
        Some(Item { bytes: Err(reason), .. }) if alone => {
            let hint = "open the video in a player and save it again as mp4, or ask without `every`";
            Err(HttpError::new(StatusCode::UNPROCESSABLE_ENTITY, &reason.code, reason.message.clone(), hint))
        }
        _ => Ok(Asked::Many(pieces)),
    }
}

/// Each part is an item, under its file's name or else that of its field.
async fn of_form(content_type: &str, body: Bytes) -> Result<Vec<Item>, HttpError> {
    let hint = "send `multipart/form-data` with a part for each file, as `curl -F file=@a.png -F file=@b.png` does";
    let wrong = |e: multer::Error| HttpError::bad_request("bad_form", format!("the body is no form: {e}"), hint);
    let boundary = multer::parse_boundary(content_type).map_err(wrong)?;
    let mut form = multer::Multipart::new(stream::iter([Ok::<_, std::io::Error>(body)]), boundary);
    let mut items = Vec::new();
    while let Some(part) = form.next_field().await.map_err(wrong)? {
        let name = part.file_name().or(part.name()).filter(|name| !name.is_empty()).map(String::from);
        let name = name.unwrap_or_else(|| unnamed(items.len()));
        let bytes = part.bytes().await.map_err(wrong)?;
        items.push(Item::new(name, bytes));
        if items.len() > MOST_ITEMS {
            return Err(too_many());
        }
    }
    some(items)
}

async fn of_json(request: &HttpRequest, body: Bytes) -> Result<Asked, HttpError> {
    let wrong = |e| HttpError::bad_request("bad_json", format!("the body: {e}"), "the API is described at /api/v1/openapi.json");
    let asked: AskedAbout = read_json(request, body).await?.map_err(wrong)?;
    if let Some(name) = asked.dataset {
        return match asked.items.is_empty() && asked.texts.is_empty() && asked.pairs.is_empty() {
            true => Ok(Asked::Dataset { name, split: asked.split }),
            false => Err(HttpError::bad_request("bad_question", "the body names items and a data set", "ask about one of them")),
        };
    }
    if asked.items.len() + asked.texts.len() + asked.pairs.len() > MOST_ITEMS {
        return Err(too_many());
    }
    let sent = asked.items;
    let decoded = tokio::task::spawn_blocking(move || sent.into_iter().enumerate().map(decoded).collect()).await;
    let mut items: Vec<Item> = decoded.map_err(|e| HttpError::internal(e.to_string()))?;
    let text = |(at, text): (usize, String)| Item::new(format!("text {}", at + 1), text);
    items.extend(asked.texts.into_iter().enumerate().map(text));
    for (at, texts) in asked.pairs.iter().enumerate() {
        let [first, second] = texts.as_slice() else {
            let message = format!("pair {} has {} texts, and a pair has two", at + 1, texts.len());
            return Err(HttpError::bad_request("bad_pair", message, "write `\"pairs\": [[\"one text\", \"another\"]]`"));
        };
        items.push(Item::of_pair(format!("pair {}", at + 1), first, second));
    }
    some(items).map(Asked::Many)
}

fn decoded((at, item): (usize, ItemSent)) -> Item {
    let name = item.name.filter(|name| !name.is_empty()).unwrap_or_else(|| unnamed(at));
    let data = item.data.as_bytes();
    // As a browser reads a file: `data:image/png;base64,...`.
    let data = if data.starts_with(b"data:") { data.splitn(2, |byte| *byte == b',').nth(1).unwrap_or_default() } else { data };
    let wrong = |e: base64::DecodeError| Reason { code: "bad_base64".into(), message: format!("`data` is no base64: {e}") };
    Item { name, bytes: STANDARD.decode(data).map(|bytes| Bytes::from(bytes).into()).map_err(wrong) }
}

fn some(items: Vec<Item>) -> Result<Vec<Item>, HttpError> {
    if items.is_empty() {
        return Err(HttpError::bad_request("nothing_asked", "there is no item in the body", "send one file or more"));
    }
    Ok(items)
}

fn unnamed(at: usize) -> String {
    format!("item {}", at + 1)
}

fn too_many() -> HttpError {
    let hint = "ask in several requests, or publish the items as a data set and ask about that";
    HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_items", format!("more than {MOST_ITEMS} items came at once"), hint)
}
