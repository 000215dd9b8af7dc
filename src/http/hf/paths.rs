//! `POST /api/models/{id}/paths-info/{revision}`: what some paths are; those that are nothing are left out.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};

use super::tree::{add_history, find_folder, of_file, of_folder};
use super::{refuse, truth};
use crate::domain::path::find_meant;
use crate::domain::repo::FileEntry;
use crate::http::body::Body;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::VersionAt;
use crate::service::Service;
use crate::wire::hf::{PathsWanted, TreeEntry};

/// A body: some thousand paths.
const MAX_BYTES: usize = 1 << 20;
/// Paths of one question.
const MOST: usize = 1_000;
/// The same where each file's history is asked for.
const MOST_EXPANDED: usize = 100;

pub async fn show(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: VersionAt, body: Body) -> Answer {
    // First of all, so that the line can be used again whatever the answer is.
    let body = body.gather(MAX_BYTES).await?;
    let (version, files) = service.list_files(&caller.0, at.kind, &at.id, &at.revision).await.map_err(refuse)?;
    let form = request.headers().get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    let asked = read(&body, form)?;
    let mut found: Vec<TreeEntry> = asked.paths.iter().filter_map(|path| find(&files, path)).collect();
    if asked.expand {
        add_history(&service, &caller, &at, version.number, &mut found).await?;
    }
    Ok(HttpResponse::Ok().json(found))
}

fn read(body: &[u8], form: bool) -> Result<PathsWanted, HttpError> {
    let asked = if form {
        let mut asked = PathsWanted::default();
        for (key, value) in url::form_urlencoded::parse(body) {
            match key.as_ref() {
                "paths" => asked.paths.push(value.into_owned()),
                "expand" => asked.expand = truth(&value),
                _ => {}
            }
        }
        asked
    } else {
        let hint = "send {\"paths\": [\"a\", \"b\"]}";
        serde_json::from_slice(body).map_err(|e| HttpError::bad_request("bad_json", format!("the body: {e}"), hint))?
    };
    let most = if asked.expand { MOST_EXPANDED } else { MOST };
    if asked.paths.len() > most {
        let message = format!("{} paths are more than the {most} of one question", asked.paths.len());
        return Err(HttpError::bad_request("too_many_paths", message, "ask in several parts, or list the tree"));
    }
    Ok(asked)
}

/// `files` are sorted by path.
fn find(files: &[FileEntry], path: &str) -> Option<TreeEntry> {
    let path = path.trim_end_matches('/');
    if let Some(file) = find_meant(files, |file| &file.path, path) {
        return Some(of_file(file));
    }
    find_folder(files, path).map(|folder| of_folder(folder.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_json_ask_the_same() {
        let form = read(b"paths=a%2Fb&paths=c&expand=True", true).unwrap();
        let json = read(br#"{"paths": ["a/b", "c"], "expand": true}"#, false).unwrap();
        assert_eq!((form.paths.clone(), form.expand), (json.paths, json.expand));
        assert_eq!(form.paths, ["a/b", "c"]);
        assert_eq!(read(b"{", false).unwrap_err().status, 400);
        assert_eq!(read(("paths=x&".repeat(101) + "expand=1").as_bytes(), true).unwrap_err().status, 400);
        assert!(read("paths=x&".repeat(1_000).as_bytes(), true).is_ok());
        assert_eq!(read("paths=x&".repeat(1_001).as_bytes(), true).unwrap_err().status, 400);
    }
}
