//! `/datasets/{ns}/{name}/previews`: a few items of a data set, to look at.

use actix_web::{HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::http::caller::Caller;
use crate::http::error::Answer;
use crate::http::extract::{Query, RepoAt};
use crate::service::Service;
use crate::service::repos::relations::Thumbnail;
use crate::wire::error::ProblemBody;
use crate::wire::previews::{Preview, Previews};

/// Items that are told of.
const MOST: usize = 60;

/// A few items of each class, as they were when the version was published: how texts begin, small pictures of images. None of a data
/// set that was not checked.
#[utoipa::path(get, path = "/api/v1/datasets/{ns}/{name}/previews", tag = "repos", params(
    ("revision" = Option<String>, Query, description = "another version than `main`"),
), responses(
    (status = 200, body = Previews),
    (status = 404, body = ProblemBody),
))]
pub async fn show(service: web::Data<Service>, caller: Caller, at: RepoAt, query: Query) -> Answer {
    let found = service.thumbnails(&caller.0, &at.id, &query.revision()?, MOST).await?;
    Ok(HttpResponse::Ok().json(Previews { previews: found.into_iter().map(preview).collect() }))
}

fn preview(found: Thumbnail) -> Preview {
    let text = found.text();
    let data = text.is_none().then(|| format!("data:{};base64,{}", found.media_type, STANDARD.encode(&found.bytes)));
    Preview { path: found.path, class: found.class, text, data }
}
