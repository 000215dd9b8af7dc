//! The OpenAPI document, assembled from the descriptions beside the handlers.

use actix_web::HttpResponse;
use actix_web::web::Data;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, ObjectBuilder, Ref, RefOr, Required, ResponseBuilder, ServerBuilder, Type};
use utoipa::{Modify, OpenApi};

use super::forms::{DIGEST, Forms, NAME, REF, REVISION};
use super::{
    audit, commits, compare, curves, doctor, evaluations, files, finetunes, jobs, library, mirrors, predict, previews, recommend, refs,
    repos, results, search, segments, tokens, uploads, users, versions, webhooks, words, worker, worker_bytes, worker_queue, worker_tokens,
    workers,
};
use crate::http::{Site, embeddings};

#[derive(OpenApi)]
#[openapi(
    info(title = "Backbone Hub", description = "Publish, find, fetch and fine-tune pretrained models. \
        Send a token as `Authorization: Bearer hub_...`; what is public needs none. \
        Every answer of 400 and above is a problem body (of the embeddings that other servers' clients ask for, theirs): a stable code, a message, a hint. \
        A repo that was moved is found at its old name: reading there is answered with 307."),
    paths(
        // people
        users::whoami, users::list, users::create, users::show, users::change, users::usage, users::set_quota,
        users::members, users::set_member, users::remove_member,
        tokens::list, tokens::create, tokens::revoke, tokens::log_out_everywhere,
        audit::list,
        webhooks::list, webhooks::create, webhooks::remove, webhooks::test, webhooks::rotate, webhooks::enable, webhooks::deliveries,
        // repos, versions, files
        search::search, search::list, search::suggest,
        repos::create, repos::show, repos::change, repos::remove, repos::datasets, repos::models, doctor::show, doctor::relabel, doctor::examine, previews::show,
        versions::list, versions::show, versions::change, versions::remove,
        versions::manifest, versions::tensors, versions::sums,
        files::list, files::fetch, segments::show,
        // uploads, commits, refs
        uploads::missing, uploads::store, uploads::create, uploads::show, uploads::part, uploads::append, uploads::cancel,
        commits::create, refs::list, refs::set, refs::remove,
        // what is known before it is here
        library::list, library::show, library::fetch, library::adopt,
        // the hub behind this one
        mirrors::list, mirrors::update,
        // fine-tunes, predictions
        finetunes::create, finetunes::replay, finetunes::list, finetunes::get, finetunes::cancel, finetunes::events, finetunes::logs,
        recommend::create,
        // jobs of every kind
        jobs::embed, jobs::list, jobs::get, jobs::cancel, jobs::pause, jobs::resume, jobs::retry, jobs::clone, jobs::place,
        jobs::events, jobs::logs, jobs::files, jobs::file, curves::get,
        predict::embed, predict::predict, predict::neighbors,
        embeddings::openai::embeddings, embeddings::tei::embed, embeddings::tei::similarity, embeddings::tei::rerank,
        words::neighbors, words::analogy, words::similarity, words::train,
        evaluations::create, evaluations::list, evaluations::leaderboard, evaluations::keys, results::list, results::import,
        compare::show,
        // workers elsewhere
        worker::claim, worker::bury, worker::materials, worker::beat, worker::result, worker::end, worker_queue::list, worker_queue::note,
        worker_bytes::input, worker_bytes::given, worker_bytes::checkpoint, worker_bytes::keep, worker_bytes::missing, worker_bytes::store,
        worker_bytes::announce, worker_bytes::received, worker_bytes::part,
        worker_tokens::list, worker_tokens::create, worker_tokens::revoke, workers::list,
    ),
    modifiers(&Bearer, &Everywhere, &Parameters, &Forms),
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
const REFUSED: &str = "refused; the code says why";
const PROBLEM: &str = "application/problem+json";
const MOVED: &str = "the repo was moved; `Location` is this address with its present name";

impl Modify for Everywhere {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut document.paths.paths {
            let is_of_repo = path.contains("{ns}/{name}");
            let methods = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
            for (at, operation) in methods.into_iter().enumerate() {
                let Some(operation) = operation else { continue };
                let (schema, media_type) = refusal_of(path);
                let problem = Content::new(Some(Ref::from_schema_name(schema)));
                let refusal = |why: &str| ResponseBuilder::new().description(why).content(media_type, problem.clone()).build();
                operation.responses.responses.entry("429".into()).or_insert(refusal(TOO_MANY).into());
                operation.responses.responses.entry("default".into()).or_insert(refusal(REFUSED).into());
                operation.responses.responses.values_mut().for_each(call_problems_problems);
                if is_of_repo && at == 0 {
                    let moved = ResponseBuilder::new().description(MOVED).build();
                    operation.responses.responses.entry("307".into()).or_insert(moved.into());
                }
            }
        }
    }
}

/// In whose words a path refuses.
fn refusal_of(path: &str) -> (&'static str, &'static str) {
    match path {
        "/v1/embeddings" => ("OpenAiError", "application/json"),
        path if path.contains("/tei/") => ("TeiError", "application/json"),
        _ => ("ProblemBody", PROBLEM),
    }
}

/// A problem's body has a media type of its own.
fn call_problems_problems(response: &mut RefOr<utoipa::openapi::Response>) {
    let RefOr::T(response) = response else { return };
    let is_problem = |content: &RefOr<Content>| match content {
        RefOr::T(Content { schema: Some(RefOr::Ref(schema)), .. }) => schema.ref_location.ends_with("/ProblemBody"),
        _ => false,
    };
    if response.content.get("application/json").is_some_and(is_problem)
        && let Some(problem) = response.content.shift_remove("application/json")
    {
        response.content.insert(PROBLEM.to_owned(), problem);
    }
}

/// What stands in an address.
struct Parameters;

impl Modify for Parameters {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut document.paths.paths {
            let names: Vec<&str> = path.split('{').skip(1).filter_map(|part| part.split('}').next()).collect();
            for operation in [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten() {
                let said = operation.parameters.get_or_insert_default();
                for name in &names {
                    let is_it = |said: &RefOr<Parameter>| match said {
                        RefOr::T(said) => said.name == *name && said.parameter_in == ParameterIn::Path,
                        RefOr::Ref(_) => false,
                    };
                    match said.iter_mut().find(|said| is_it(said)) {
                        Some(known) => *known = RefOr::T(parameter(path, name)),
                        None => said.push(RefOr::T(parameter(path, name))),
                    }
                }
            }
        }
    }
}

/// A part of an address: its form, and what it names.
fn parameter(path: &str, name: &str) -> Parameter {
    let (form, most, meaning) = match name {
        "kind" => (None, 8, "`models` or `datasets`"),
        "ns" => (Some(NAME), 96, "the account whose repo it is"),
        "name" if path.contains("{ns}") => (Some(NAME), 96, "the repo's name"),
        "name" | "user" => (Some(NAME), 96, "the name of a user or an organisation"),
        "rev" => (Some(REVISION), 71, "a version's number, a branch, a tag, a commit id or a unique prefix of one"),
        "ref" => (Some(REF), 64, "a branch or a tag"),
        "path" => (None, 512, "a file's path"),
        "sha256" => (Some(DIGEST), 64, "64 hex digits"),
        "id" | "job" => (Some("^[0-9a-v]{26}$"), 26, "as it was given when it was made"),
        "role" => (None, 512, "as the job's materials call an input"),
        "token" => (None, 512, "an id or a name"),
        _ => (None, 512, ""),
    };
    let mut schema = ObjectBuilder::new().schema_type(Type::String).pattern(form).min_length(Some(1)).max_length(Some(most));
    if name == "kind" {
        schema = schema.enum_values(Some(["models", "datasets"]));
    }
    let required = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
    required.description(Some(meaning)).schema(Some(schema)).build()
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
            .filter(|entry| {
                ["/api/v1/", "/v1/embeddings"].iter().any(|start| entry.path.starts_with(start)) && entry.path != "/api/v1/openapi.json"
            })
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
        assert_eq!(repo["429"]["content"]["application/problem+json"]["schema"]["$ref"], "#/components/schemas/ProblemBody");
        assert!(answers("/api/v1/{kind}/{ns}/{name}", "patch")["307"].is_null(), "who writes is told by an error");
        assert!(!answers("/api/v1/search", "get")["429"].is_null() && answers("/api/v1/search", "get")["307"].is_null());
        // A file is fetched from the store itself, or under the present name.
        let file = answers("/api/v1/{kind}/{ns}/{name}/versions/{rev}/files/{path}", "get");
        assert!(file["307"]["description"].as_str().unwrap().contains("moved"));
    }

    #[test]
    fn what_stands_in_an_address_is_described_and_problems_are_called_so() {
        let document = serde_json::to_value(description()).unwrap();
        for (path, item) in document["paths"].as_object().unwrap() {
            let names: Vec<&str> = path.split('{').skip(1).map(|part| part.split('}').next().unwrap()).collect();
            for (method, operation) in item.as_object().unwrap() {
                let declared: Vec<&str> = operation["parameters"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|parameter| parameter["in"] == "path" && parameter["required"] == true)
                    .map(|parameter| parameter["name"].as_str().unwrap())
                    .collect();
                assert!(names.iter().all(|name| declared.contains(name)) && names.len() == declared.len(), "{method} {path}: {declared:?}");
                for (status, response) in operation["responses"].as_object().unwrap() {
                    let body = &response["content"]["application/json"]["schema"]["$ref"];
                    assert_ne!(body, "#/components/schemas/ProblemBody", "{method} {path} {status}");
                }
            }
        }
    }

    #[test]
    fn path_patterns_read_plainly() {
        assert_eq!(plain("/a/{kind:models|datasets}/{rev}/files/{path:.*}"), "/a/{kind}/{rev}/files/{path}");
    }
}
