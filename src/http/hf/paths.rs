//! `POST /api/models/{id}/paths-info/{revision}`: what some paths are; those that are nothing are left out.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};

use super::tree::{add_history, of_node};
use super::{refuse, truth};
use crate::http::body::Body;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::VersionAt;
use crate::http::rates::share;
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
    let form = request.headers().get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    // Nobody who may not read it learns whether the question is well put.
    service.get_version(&caller.0, at.kind, &at.id, &at.revision).await.map_err(refuse)?;
    let whose = share(&request, &caller.0)?;
    let asked = service.work().run(&whose, move || read(&body, form)).await??;
    let _turn = service.work().turn(&whose).await.map_err(refuse)?;
    let (version, nodes) = service.find_nodes(&caller.0, (at.kind, &at.id), &at.revision, asked.paths).await.map_err(refuse)?;
    let mut found: Vec<TreeEntry> = nodes.iter().map(of_node).collect();
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
        crate::http::strict::from_slice(body).map_err(|e| HttpError::bad_request("bad_json", format!("the body: {e}"), hint))?
    };
    let most = if asked.expand { MOST_EXPANDED } else { MOST };
    if asked.paths.len() > most {
        let message = format!("{} paths are more than the {most} of one question", asked.paths.len());
        return Err(HttpError::bad_request("too_many_paths", message, "ask in several parts, or list the tree"));
    }
    Ok(asked)
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
