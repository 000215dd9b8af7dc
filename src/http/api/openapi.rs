//! The OpenAPI document, assembled from the descriptions beside the handlers.

use actix_web::HttpResponse;
use actix_web::web::Data;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, Ref, ResponseBuilder, ServerBuilder};
use utoipa::{Modify, OpenApi};

use super::{commits, files, finetunes, mirrors, predict, refs, repos, search, segments, tokens, uploads, users, versions};
use crate::http::Site;

#[derive(OpenApi)]
#[openapi(
    info(title = "Backbone Hub", description = "Publish, find, fetch and fine-tune pretrained models. \
        Send a token as `Authorization: Bearer hub_...`; what is public needs none. \
        Every answer of 400 and above is a problem body: a stable code, a message, a hint. \
        A repo that was moved is found at its old name: reading there is answered with 307."),
    paths(
        // people
        users::whoami, users::list, users::create, users::show, users::change, users::usage, users::set_quota,
        users::members, users::set_member, users::remove_member,
        tokens::list, tokens::create, tokens::revoke, tokens::log_out_everywhere,
        // repos, versions, files
        search::search, search::list,
        repos::create, repos::show, repos::change, repos::remove, repos::datasets, repos::models,
        versions::list, versions::show, versions::change, versions::remove,
        versions::manifest, versions::tensors, versions::sums,
        files::list, files::fetch, segments::show,
        // uploads, commits, refs
        uploads::missing, uploads::store, uploads::create, uploads::show, uploads::part, uploads::append, uploads::cancel,
        commits::create, refs::list, refs::set, refs::remove,
        // the hub behind this one
        mirrors::list, mirrors::update,
        // fine-tunes, predictions
        finetunes::create, finetunes::list, finetunes::get, finetunes::cancel, finetunes::events, finetunes::logs,
        predict::embed, predict::predict,
    ),
    modifiers(&Bearer, &Everywhere),
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        document.components.get_or_insert_default().add_security_scheme("token", scheme);
        let none = SecurityRequirement::default();
        document.security = Some(vec![none, SecurityRequirement::new::<_, [&str; 0], &str>("token", [])]);
    }
}

/// What every call may be answered beside what its own description says.
struct Everywhere;

const TOO_MANY: &str = "too many requests; `Retry-After` says after how many seconds to ask again";
const MOVED: &str = "the repo was moved; `Location` is this address with its present name";

impl Modify for Everywhere {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut document.paths.paths {
            let is_of_repo = path.contains("{ns}/{name}");
            let methods = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
            for (at, operation) in methods.into_iter().enumerate() {
                let Some(operation) = operation else { continue };
                let problem = Content::new(Some(Ref::from_schema_name("ProblemBody")));
                let too_many = ResponseBuilder::new().description(TOO_MANY).content("application/json", problem).build();
                operation.responses.responses.entry("429".into()).or_insert(too_many.into());
                if is_of_repo && at == 0 {
                    let moved = ResponseBuilder::new().description(MOVED).build();
                    operation.responses.responses.entry("307".into()).or_insert(moved.into());
                }
            }
        }
    }
}

/// The description of every route below `/api/v1`.
pub fn description() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// Addresses in it are relative to where this server stands.
pub async fn document(site: Data<Site>) -> HttpResponse {
    let mut document = description();
    document.servers = Some(vec![ServerBuilder::new().url(site.outer_path("")).build()]);
    HttpResponse::Ok().json(document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes::routes;

    /// `{path:.*}` -> `{path}`
    fn plain(path: &str) -> String {
        let mut parts = path.split('{');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| {
            let (name, rest) = part.split_once('}').unwrap_or((part, ""));
            format!("{text}{{{}}}{rest}", name.split(':').next().unwrap_or(name))
        })
    }

    #[test]
    fn every_api_route_is_described_and_nothing_else() {
        let document = serde_json::to_value(description()).unwrap();
        let described: Vec<String> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| format!("{method} {path}")))
            .collect();
        let served: Vec<String> = routes()
            .iter()
            .filter(|entry| entry.path.starts_with("/api/v1/") && entry.path != "/api/v1/openapi.json")
            .flat_map(|entry| entry.methods.iter().map(|method| format!("{} {}", method.as_str().to_lowercase(), plain(entry.path))))
            .collect();
        let missing: Vec<_> = served.iter().filter(|route| !described.contains(route)).collect();
        assert!(missing.is_empty(), "describe these with #[utoipa::path] and list them in openapi.rs: {missing:?}");
        let stale: Vec<_> = described.iter().filter(|route| !served.contains(route)).collect();
        assert!(stale.is_empty(), "described but not in routes.rs: {stale:?}");
    }

    #[test]
    fn answers_that_come_everywhere_are_described_everywhere() {
        let document = serde_json::to_value(description()).unwrap();
        let answers = |path: &str, method: &str| document["paths"][path][method]["responses"].clone();
        let repo = answers("/api/v1/{kind}/{ns}/{name}", "get");
        assert!(repo["307"]["description"].as_str().unwrap().contains("Location"));
        assert_eq!(repo["429"]["content"]["application/json"]["schema"]["$ref"], "#/components/schemas/ProblemBody");
        assert!(answers("/api/v1/{kind}/{ns}/{name}", "patch")["307"].is_null(), "who writes is told by an error");
        assert!(!answers("/api/v1/search", "get")["429"].is_null() && answers("/api/v1/search", "get")["307"].is_null());
        // A file is fetched from the store itself, or under the present name.
        let file = answers("/api/v1/{kind}/{ns}/{name}/versions/{rev}/files/{path}", "get");
        assert!(file["307"]["description"].as_str().unwrap().contains("moved"));
    }

    #[test]
    fn path_patterns_read_plainly() {
        assert_eq!(plain("/a/{kind:models|datasets}/{rev}/files/{path:.*}"), "/a/{kind}/{rev}/files/{path}");
    }
}
