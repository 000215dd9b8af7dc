//! A form with an item or a few, `multipart/form-data` from one of our own pages, read into memory: what a person asks a model about.
//! Forms whose files are kept are `sent_form`'s.

use actix_web::HttpRequest;
use actix_web::http::header::CONTENT_TYPE;
use bytes::Bytes;
use futures_util::stream;

use super::form::{CSRF, foreign};
use crate::http::Site;
use crate::http::body::Body;
use crate::http::caller::Visitor;
use crate::http::error::HttpError;
use crate::http::guard::comes_from_elsewhere;
use crate::service::Service;

/// Room in the body beside its items.
const FIELDS: usize = 16 << 10;
/// Parts of one form.
const MOST_PARTS: usize = 100;

/// A part of a form: a field has no file's name.
struct Part {
    name: String,
    file: String,
    bytes: Bytes,
}

/// What a form brought.
#[derive(Default)]
pub struct SmallForm(Vec<Part>);

impl SmallForm {
    /// Reads a form of at most one largest item, that came from a page of ours.
    pub async fn receive(request: &HttpRequest, service: &Service, body: Body) -> Result<SmallForm, HttpError> {
        let site = Site::of(request)?;
        if comes_from_elsewhere(request.headers(), &site) {
            return Err(foreign());
        }
        let largest = usize::try_from(service.policy().data_limits.item_bytes).unwrap_or(usize::MAX).saturating_add(FIELDS);
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        read(&content_type, body.gather(largest).await?).await
    }

    /// 403 unless it was shown to this visitor.
    pub fn check(&self, visitor: &Visitor) -> Result<(), HttpError> {
        visitor.check_csrf(&self.text(CSRF))
    }

    /// A field's text; empty where there is none.
    pub fn text(&self, name: &str) -> String {
        self.find(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
    }

    /// The bytes of a part.
    pub fn find(&self, name: &str) -> Option<&Bytes> {
        self.0.iter().find(|part| part.name == name).map(|part| &part.bytes)
    }

    /// The files of a field, each by its name. A browser sends a part without bytes where nothing was chosen.
    pub fn files<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (String, Bytes)> + 'a {
        let chosen = self.0.iter().filter(move |part| part.name == name && !part.bytes.is_empty());
        chosen.map(|part| (part.file.clone(), part.bytes.clone()))
    }
}

async fn read(content_type: &str, body: Bytes) -> Result<SmallForm, HttpError> {
    let wrong = |e: multer::Error| HttpError::bad_request("bad_form", format!("the body is no form: {e}"), "send the form from its page");
    let boundary = multer::parse_boundary(content_type).map_err(wrong)?;
    let mut form = multer::Multipart::new(stream::iter([Ok::<_, std::io::Error>(body)]), boundary);
    let mut parts = Vec::new();
    while let Some(part) = form.next_field().await.map_err(wrong)? {
        let (name, file) = (part.name().unwrap_or_default().to_owned(), part.file_name().unwrap_or_default().to_owned());
        let bytes = part.bytes().await.map_err(wrong)?;
        if parts.len() < MOST_PARTS {
            parts.push(Part { name, file, bytes });
        }
    }
    Ok(SmallForm(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn fields_and_files_are_found_by_their_names() {
        let part = |name: &str, file: &str, text: &str| {
            let file = if file.is_empty() { String::new() } else { format!("; filename=\"{file}\"") };
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{text}\r\n")
        };
        let body = [part("csrf", "", "x"), part("image", "", ""), part("image", "a.png", "one"), part("image", "b.png", "two")].concat();
        let form = read("multipart/form-data; boundary=b", Bytes::from(body + "--b--\r\n")).await.unwrap();
        assert_eq!((form.text("csrf").as_str(), form.text("none").as_str(), form.find("none")), ("x", "", None));
        let files: Vec<_> = form.files("image").collect();
        assert_eq!(files, [("a.png".to_owned(), Bytes::from("one")), ("b.png".to_owned(), Bytes::from("two"))]);
        let empty = read("multipart/form-data; boundary=b", Bytes::from("--b--\r\n")).await.unwrap();
        assert_eq!(empty.files("image").count(), 0);
        assert_eq!(read("text/plain", Bytes::new()).await.err().unwrap().status, 400);
    }
}
