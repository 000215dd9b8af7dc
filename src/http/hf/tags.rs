//! Tags and branches as clients of the Hugging Face Hub set them. A repo here has tags and one branch, `main`.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::refusal::{bad, refused};
use crate::domain::revision::{RefName, Revision};
use crate::http::caller::Caller;
use crate::http::error::Answer;
use crate::http::extract::{Json, RefAt, VersionAt};
use crate::service::{Error, Service};
use crate::wire::hf_write::TagWanted;

pub async fn create_tag(service: web::Data<Service>, caller: Caller, at: VersionAt, body: Json<TagWanted>) -> Answer {
    service.may_commit(&caller.0, at.kind, &at.id).await.map_err(refused)?;
    let tag = RefName::parse(&body.0.tag).map_err(|e| bad("bad_tag", e.to_string(), "choose another tag"))?;
    service.set_ref(&caller.0, at.kind, &at.id, tag, &at.revision, None).await.map_err(refused)?;
    Ok(HttpResponse::Ok().json(json!({})))
}

pub async fn delete_tag(service: web::Data<Service>, caller: Caller, at: VersionAt) -> Answer {
    service.may_commit(&caller.0, at.kind, &at.id).await.map_err(refused)?;
    let Revision::Ref(tag) = &at.revision else {
        let message = format!("'{}' has no tag '{}'", at.id, at.revision);
        return Err(refused(Error::not_found("revision_not_found", message, "list its refs to see what there is")));
    };
    match service.delete_ref(&caller.0, at.kind, &at.id, tag).await {
        Err(Error::NotFound(problem)) if problem.code == "ref_not_found" => {
            Err(refused(Error::not_found("revision_not_found", problem.message, problem.hint)))
        }
        other => other.map(|()| HttpResponse::Ok().json(json!({}))).map_err(refused),
    }
}

pub async fn create_branch(service: web::Data<Service>, caller: Caller, at: RefAt) -> Answer {
    service.may_commit(&caller.0, at.kind, &at.id).await.map_err(refused)?;
    if at.name.is_main() {
        return Err(refused(Error::conflict("ref_exists", "the branch 'main' exists already", "commit to it")));
    }
    Err(bad("only_main", format!("repos here have no branch but 'main', so '{}' is not made", at.name), "commit to 'main', then set a tag"))
}

pub async fn delete_branch(service: web::Data<Service>, caller: Caller, at: RefAt) -> Answer {
    service.may_commit(&caller.0, at.kind, &at.id).await.map_err(refused)?;
    if at.name.is_main() {
        return Err(bad("main_stays", "'main' cannot be deleted", "delete the repo, or yank its versions"));
    }
    let message = format!("'{}' has no branch '{}'", at.id, at.name);
    Err(refused(Error::not_found("revision_not_found", message, "its only branch is 'main'; tags are deleted as tags")))
}
