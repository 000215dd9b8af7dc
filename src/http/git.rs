//! Git at its door: `git clone` and `git push` ask `info/refs` first, and are told in git's own form what to use instead.

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, web};

use super::caller::Caller;
use super::error::{Answer, HttpError};
use super::extract::{Query, RepoAt};
use crate::domain::name::RepoKind;
use crate::domain::user::Actor;
use crate::service::Service;

pub async fn refs(service: web::Data<Service>, caller: Caller, at: RepoAt, query: Query) -> Answer {
    let found = service.get_repo(&caller.0, at.kind, &at.id).await.map_err(HttpError::from);
    // Git tries without a token first, and asks a person for one where it is told to.
    let id = match found {
        Err(error) if error.status == StatusCode::NOT_FOUND && caller.0 == Actor::Anonymous => {
            let hint = "give your name and, as the password, a token";
            let error = HttpError::new(StatusCode::UNAUTHORIZED, "login_required", "this needs a token", hint);
            return Err(error.with_header(WWW_AUTHENTICATE, "Basic realm=\"hub\""));
        }
        found => found?.repo.id,
    };
    let data = if at.kind == RepoKind::Dataset { " --dataset" } else { "" };
    let hugging = if at.kind == RepoKind::Dataset { " --repo-type dataset" } else { "" };
    let service = query.find("service").unwrap_or_default().to_owned();
    let sentence = match service.as_str() {
        "git-receive-pack" => {
            format!("this hub takes no git push: use 'hub publish FOLDER {id}{data}' or 'hf upload {id} FOLDER{hugging}'")
        }
        "git-upload-pack" => format!("this hub is not cloned with git: use 'hub pull {id}{data}' or 'hf download {id}{hugging}'"),
        _ => return Err(HttpError::bad_request("bad_query", "this is for git alone", "use the API or 'hub pull'")),
    };
    let body = format!("{}0000{}", packet(&format!("# service={service}\n")), packet(&format!("ERR {sentence}\n")));
    let mut answer = HttpResponse::Ok();
    answer.content_type(format!("application/x-{service}-advertisement")).insert_header((CACHE_CONTROL, "no-cache"));
    Ok(answer.body(body))
}

/// A line as git frames it: its length in four hexadecimal digits, themselves counted, comes first.
fn packet(line: &str) -> String {
    format!("{:04x}{line}", line.len() + 4)
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_are_framed_with_their_length() {
        assert_eq!(super::packet("# service=git-upload-pack\n"), "001e# service=git-upload-pack\n");
    }
}
