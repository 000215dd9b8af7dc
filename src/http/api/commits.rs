//! `/{kind}/{ns}/{name}/commits`: making a version out of blobs that were sent.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::digest::Digest;
use crate::domain::manifest::ManifestEntry;
use crate::domain::path::RepoPath;
use crate::domain::revision::{Line, RefName};
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Json, RepoAt};
use crate::http::rates::share;
use crate::service::repos::publish::Commit;
use crate::service::{self, Service};
use crate::wire::error::ProblemBody;
use crate::wire::files::{Committed, CreateCommit, File};

/// Publishes a version. The files are the whole version; `parent` is the number the branch was seen at.
#[utoipa::path(post, path = "/api/v1/{kind}/{ns}/{name}/commits", tag = "versions", request_body = CreateCommit, responses(
    (status = 201, body = Committed),
    (status = 200, body = Committed, description = "the files are those of the branch already"),
    (status = 403, body = ProblemBody),
    (status = 409, body = ProblemBody, description = "the branch moved meanwhile, or a tag is taken"),
    (status = 413, body = ProblemBody, description = "a bomb, or more than one version may hold"),
    (status = 422, body = ProblemBody, description = "a file cannot be what it claims to be"),
))]
pub async fn create(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: RepoAt, body: Json<CreateCommit>) -> Answer {
    // Whoever may not publish here learns nothing from what else is wrong with the request.
    service.may_commit(&caller.0, at.kind, &at.id).await?;
    let whose = share(&request, &caller.0)?;
    let manifest = body.0.manifest.clone();
    let mut commit = service.work().run(&whose, move || read(&body.0)).await??;
    if let Some(digest) = &manifest {
        let digest = Digest::parse(digest);
        let digest =
            digest.map_err(|e| HttpError::bad_request("bad_digest", format!("'manifest': {e}"), "hash the list with sha256sum"))?;
        commit.files = service.uploaded_manifest(&caller.0, at.kind, &at.id, digest).await?;
    }
    let done = service.commit(&caller.0, at.kind, &at.id, commit).await?;
    let mut response = if done.created { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(response.json(Committed { version: done.version.into(), created: done.created, warnings: done.warnings }))
}

fn read(body: &CreateCommit) -> Result<Commit, HttpError> {
    let refused = |code, problem: String, hint: &str| HttpError::from(service::Error::invalid(code, problem, hint));
    if body.manifest.is_some() != body.files.is_empty() {
        return Err(refused(
            "bad_manifest",
            "a commit has either 'files' or 'manifest'".into(),
            "list the files, or upload a list of them",
        ));
    }
    let file = |file: &File| {
        let path = RepoPath::parse(&file.path).map_err(|e| refused("bad_path", e.to_string(), "rename the file and publish again"))?;
        let digest = Digest::parse(&file.sha256);
        let digest = digest.map_err(|e| HttpError::bad_request("bad_digest", format!("'{path}': {e}"), "hash the file with sha256sum"))?;
        Ok(ManifestEntry { path, size_bytes: file.size_bytes, digest })
    };
    let tag = |tag: &String| RefName::parse(tag).map_err(|e| refused("bad_tag", format!("'{tag}': {e}"), "choose another tag"));
    let line = match &body.branch {
        None => Line::main(),
        Some(name) => Line::parse(name).map_err(|e| refused("bad_branch", format!("'{name}': {e}"), "choose another branch"))?,
    };
    Ok(Commit {
        message: body.message.clone(),
        line,
        parent: body.parent,
        tags: body.tags.iter().map(tag).collect::<Result<_, _>>()?,
        files: body.files.iter().map(file).collect::<Result<_, HttpError>>()?,
        ..Commit::default()
    })
}
