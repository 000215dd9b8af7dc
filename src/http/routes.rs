//! Every route of the server, on two pages (the web catalog's are in `page_routes.rs`): path, then a handler per method. `get` answers HEAD too, unless the
//! path has a `head` of its own; any other method is 405 with `Allow`. Behind them, what the frame must know of the route
//! (`route.rs`): the repo it is about, whether it gives nothing but bytes, whether its POST is a question.

use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::web;

use super::api::{
    audit, commits, compare, curves, doctor, evaluations, files, finetunes, health, jobs, library, mirrors, openapi, predict, previews,
    recommend, refs, repos, results, search, segments, tokens, uploads, users, versions, webhooks, words, worker, worker_bytes,
    worker_queue, worker_tokens, workers,
};
use super::entry::{Entry, at, delete, get, patch, post, put};
use super::error::HttpError;
use super::page_routes::{page_routes, repo_page_routes, upload_routes};
use super::route::{About, Table};
use super::{embeddings, git, hf, tfhub, torch_hub, turns, web as pages};

/// Fills the application with [`routes`]; whatever is not there is 404, or there without the slash at its end.
pub fn configure(config: &mut web::ServiceConfig) {
    config.app_data(web::Data::new(Table(routes().iter().map(|entry| (entry.path, entry.traits)).collect())));
    for entry in routes() {
        match entry.traits.about {
            About::NoRepo if !entry.traits.heavy && !entry.traits.cached => config.service(entry.into_resource()),
            _ => config.service(entry.into_resource().wrap(from_fn(turns::enter))),
        };
    }
    config.default_service(web::to(pages::addresses::without_slash));
}

/// What the listener for metrics answers.
pub fn configure_metrics(config: &mut web::ServiceConfig) {
    config.app_data(web::Data::new(Table(Default::default())));
    let routes = [at("/healthz", [get(health::alive)]), at("/readyz", [get(health::ready)]), at("/metrics", [get(health::open_metrics)])];
    for entry in routes {
        config.service(entry.into_resource());
    }
    config.default_service(web::to(|| async { Err::<&str, _>(HttpError::of_status(StatusCode::NOT_FOUND)) }));
}

/// The page itself. Order matters where patterns overlap: the first match wins.
pub fn routes() -> Vec<Entry> {
    let theirs = hugging_face_routes().into_iter().chain(short_name_routes()).chain(discussion_routes()).map(Entry::for_hugging_face);
    let unoffered = unoffered_routes().into_iter().map(Entry::for_hugging_face);
    theirs
        .chain(loader_routes())
        .chain(people_routes())
        .chain(job_routes())
        .chain(worker_routes().into_iter().map(Entry::for_workers))
        .chain(api_routes())
        .chain(unoffered)
        .chain(page_routes().into_iter().chain(upload_routes()).chain(repo_page_routes()).map(Entry::for_people))
        .collect()
}

/// What clients of the Hugging Face Hub ask; a data set's address begins with its kind, a model's does not.
#[rustfmt::skip]
fn hugging_face_routes() -> Vec<Entry> {
    vec![
        at("/api/whoami-v2", [get(hf::whoami::show)]),
        at("/api/validate-yaml", [post(hf::card::check)]),
        at("/api/users/{name}/overview", [get(hf::people::user)]).heavy(),
        at("/api/users/{name}/{list:likes|followers|following}", [get(hf::people::none)]),
        at("/api/organizations/{name}/overview", [get(hf::people::organisation)]).heavy(),
        at("/api/organizations/{name}/members", [get(hf::people::members)]),
        at("/api/organizations/{name}/followers", [get(hf::people::none)]),
        at("/api/agent-harnesses", [get(hf::probes::harnesses)]),
        at("/api/telemetry/{rest:.*}", [get(hf::probes::telemetry), post(hf::probes::telemetry)]),
        at("/api/{kind:models|datasets}", [get(hf::list::list)]).cached(),
        at("/api/{kind:models|datasets}/{ns}/{name}", [get(hf::info::show)]).repo().cached(),
        at("/api/{kind:models|datasets}/{ns}/{name}/refs", [get(hf::refs::list)]).repo().heavy(),
        at("/api/{kind:models|datasets}/{ns}/{name}/commits/{rev}", [get(hf::commits::list)]).repo().heavy(),
        at("/api/{kind:datasets}/{ns}/{name}/leaderboard", [get(hf::leaderboard::list)]).repo().heavy(),
        at("/api/{kind:models|datasets}/{ns}/{name}/likers", [get(hf::people::likers)]).repo(),
        at("/api/{kind:models|datasets}/{ns}/{name}/auth-check", [get(hf::probes::may_read)]).repo(),
        at("/api/{kind:models|datasets}/{ns}/{name}/auth-check/write", [get(hf::probes::may_write)]).repo(),
        at("/api/{kind:models|datasets}/{ns}/{name}/paths-info/{rev}", [post(hf::paths::show)]).repo().question(),
        at("/api/{kind:models|datasets}/{ns}/{name}/revision/{rev}", [get(hf::info::show_at)]).repo(),
        at("/api/{kind:models|datasets}/{ns}/{name}/tree/{rev}", [get(hf::tree::top)]).repo(),
        at("/api/{kind:models|datasets}/{ns}/{name}/tree/{rev}/{path:.*}", [get(hf::tree::folder)]).repo(),
        // writing: repos, commits
        at("/api/repos/create", [post(hf::repos::create)]),
        at("/api/repos/delete", [delete(hf::repos::remove)]),
        at("/api/repos/move", [post(hf::repos::rename)]),
        at("/api/{kind:models|datasets}/{ns}/{name}/settings", [put(hf::repos::change)]).repo(),
        at("/api/{kind:models|datasets}/{ns}/{name}/tag/{rev}", [post(hf::tags::create_tag), delete(hf::tags::delete_tag)]).repo(),
        at("/api/{kind:models|datasets}/{ns}/{name}/branch/{ref:.*}", [post(hf::tags::create_branch), delete(hf::tags::delete_branch)]).repo(),
        at("/api/{kind:models|datasets}/{ns}/{name}/super-squash/{rev}", [post(hf::tags::squash)]).repo(),
        at("/api/{kind:models|datasets}/{ns}/{name}/preupload/{rev}", [post(hf::preupload::ask)]).repo(),
        at("/api/{kind:models|datasets}/{ns}/{name}/commit/{rev}", [post(hf::commit::create)]).repo(),
        // writing: large files
        at("/api/{kind:models|datasets}/{ns}/{name}/xet-write-token/{rev}", [get(hf::xet::token)]).repo(),
        at("/xet/{epoch}/v1/chunks/default/{hash}", [get(hf::xet::not_offered)]),
        at("/xet/{epoch}/v1/xorb-grants/default/{hash}", [post(hf::xet::not_offered)]),
        at("/xet/{epoch}/v1/xorbs/default/{hash}", [post(hf::xet::xorb)]),
        at("/xet/{epoch}/v1/shards", [post(hf::xet::shard_v1)]),
        at("/xet/{epoch}/v2/shards", [post(hf::xet::shard_v2)]),
        at("/v1/telemetry", [post(hf::xet::telemetry)]),
        at("/{kind:datasets}/{ns}/{name}.git/info/lfs/objects/batch", [post(hf::lfs::batch)]).repo().question(),
        at("/{kind:datasets}/{ns}/{name}.git/info/lfs/objects/{sha256}", [get(hf::lfs::fetch), put(hf::lfs::store), post(hf::lfs::verify)]).repo().bytes(),
        at("/{kind:datasets}/{ns}/{name}.git/info/lfs/objects/{sha256}/parts/{number}", [put(hf::lfs::store_part)]).repo().bytes(),
        at("/{ns}/{name}.git/info/lfs/objects/batch", [post(hf::lfs::batch)]).model().question(),
        at("/{ns}/{name}.git/info/lfs/objects/{sha256}", [get(hf::lfs::fetch), put(hf::lfs::store), post(hf::lfs::verify)]).model().bytes(),
        at("/{ns}/{name}.git/info/lfs/objects/{sha256}/parts/{number}", [put(hf::lfs::store_part)]).model().bytes(),

        at("/{kind:datasets}/{ns}/{name}/resolve/{rev}/{path:.*}", [get(hf::resolve::fetch)]).repo().bytes(),
        at("/{kind:datasets}/{ns}/{name}/raw/{rev}/{path:.*}", [get(hf::resolve::fetch)]).repo().bytes(),
        at("/{kind:datasets}/{name}/resolve/{rev}/{path:.*}", [get(hf::probes::to_library)]).bytes(),
        at("/{ns}/{name}/resolve/{rev}/{path:.*}", [get(hf::resolve::fetch)]).model().bytes(),
        at("/{ns}/{name}/raw/{rev}/{path:.*}", [get(hf::resolve::fetch)]).model().bytes(),
    ]
}

/// Names without a namespace.
#[rustfmt::skip]
fn short_name_routes() -> Vec<Entry> {
    vec![
        at("/api/{kind:models|datasets}/{name}", [get(hf::probes::to_library)]),
        at("/api/{kind:models|datasets}/{name}/revision/{rev}", [get(hf::probes::to_library)]),
        at("/api/{kind:models|datasets}/{name}/tree/{rev}", [get(hf::probes::to_library)]),
        at("/api/{kind:models|datasets}/{name}/tree/{rev}/{path:.*}", [get(hf::probes::to_library)]),
        at("/api/{kind:models|datasets}/{name}/commits/{rev}", [get(hf::probes::to_library)]),
        at("/api/{kind:models|datasets}/{name}/paths-info/{rev}", [post(hf::probes::to_library)]).question(),
        at("/{name}/resolve/{rev}/{path:.*}", [get(hf::probes::to_library)]).bytes(),
    ]
}

/// The same clients, about what is asked to be changed, and about jobs.
#[rustfmt::skip]
fn discussion_routes() -> Vec<Entry> {
    vec![
        at("/api/jobs/hardware", [get(hf::unoffered::refuse)]),
        at("/api/jobs/{account}", [get(hf::jobs::list), post(hf::jobs::run)]),
        at("/api/jobs/{account}/{job}", [get(hf::jobs::inspect)]),
        at("/api/jobs/{account}/{job}/logs", [get(hf::jobs::logs)]),
        at("/api/jobs/{account}/{job}/cancel", [post(hf::jobs::cancel)]),
        at("/api/{kind:models|datasets}/{ns}/{name}/discussions", [get(hf::discussions::list), post(hf::discussions::open)]).repo().heavy(),
        at("/api/{kind:models|datasets}/{ns}/{name}/discussions/{number}", [get(hf::discussions::show)]).repo().heavy(),
        at("/api/{kind:models|datasets}/{ns}/{name}/discussions/{number}/comment", [post(hf::discussions::comment)]).repo(),
        at("/api/{kind:models|datasets}/{ns}/{name}/discussions/{number}/comment/{comment}/edit", [post(hf::discussions::edit_comment)]).repo(),
        at("/api/{kind:models|datasets}/{ns}/{name}/discussions/{number}/comment/{comment}/hide", [post(hf::discussions::hide_comment)]).repo(),
        at("/api/{kind:models|datasets}/{ns}/{name}/discussions/{number}/title", [post(hf::discussions::rename)]).repo(),
        at("/api/{kind:models|datasets}/{ns}/{name}/discussions/{number}/status", [post(hf::discussions::set_state)]).repo(),
        at("/api/{kind:models|datasets}/{ns}/{name}/discussions/{number}/merge", [post(hf::discussions::merge)]).repo(),
    ]
}

/// What they can ask and is nowhere else on this page.
fn unoffered_routes() -> Vec<Entry> {
    let all = || {
        let refuse = hf::unoffered::refuse;
        [get(refuse), post(refuse), put(refuse), patch(refuse), delete(refuse)]
    };
    vec![at("/api/{rest:.*}", all()), at("/oauth/{rest:.*}", all()), at("/.well-known/openid-configuration", [get(hf::unoffered::refuse)])]
}

/// What knows a repo by its address alone: `tensorflow_hub`, `torch.hub`, git.
#[rustfmt::skip]
fn loader_routes() -> Vec<Entry> {
    vec![
        at("/{ns}/{name}/{rev}", [get(tfhub::fetch)]).asking("tf-hub-format").model(),
        at("/files/{ns}/{name}/{path:.*}", [get(torch_hub::fetch)]).model().bytes(),
        at("/{kind:datasets}/{ns}/{name}.git/info/refs", [get(git::refs)]).repo(),
        at("/{kind:datasets}/{ns}/{name}/info/refs", [get(git::refs)]).repo(),
        at("/{ns}/{name}.git/info/refs", [get(git::refs)]).model(),
        at("/{ns}/{name}/info/refs", [get(git::refs)]).model(),
        at("/{kind:datasets}/{ns}/{name}.git/git-upload-pack", [post(git::upload_pack)]).repo().question(),
        at("/{kind:datasets}/{ns}/{name}/git-upload-pack", [post(git::upload_pack)]).repo().question(),
        at("/{ns}/{name}.git/git-upload-pack", [post(git::upload_pack)]).model().question(),
        at("/{ns}/{name}/git-upload-pack", [post(git::upload_pack)]).model().question(),
    ]
}

/// Users, organisations, tokens.
#[rustfmt::skip]
fn people_routes() -> Vec<Entry> {
    vec![
        at("/api/v1/whoami", [get(users::whoami)]),
        at("/api/v1/users", [get(users::list), post(users::create)]),
        at("/api/v1/users/{name}", [get(users::show), patch(users::change)]),
        at("/api/v1/users/{name}/usage", [get(users::usage)]),
        at("/api/v1/users/{name}/quota", [put(users::set_quota)]),
        at("/api/v1/orgs/{name}/members", [get(users::members)]),
        at("/api/v1/orgs/{name}/members/{user}", [put(users::set_member), delete(users::remove_member)]),
        at("/api/v1/tokens", [get(tokens::list), post(tokens::create)]),
        at("/api/v1/tokens/{id}", [delete(tokens::revoke)]),
        at("/api/v1/sessions", [delete(tokens::log_out_everywhere)]),
        at("/api/v1/webhooks", [get(webhooks::list), post(webhooks::create)]),
        at("/api/v1/webhooks/{id}", [delete(webhooks::remove)]),
        at("/api/v1/webhooks/{id}/test", [post(webhooks::test)]),
        at("/api/v1/webhooks/{id}/rotate", [post(webhooks::rotate)]),
        at("/api/v1/webhooks/{id}/enable", [post(webhooks::enable)]),
        at("/api/v1/webhooks/{id}/deliveries", [get(webhooks::deliveries)]),
        at("/api/v1/admin/audit", [get(audit::list)]),
        at("/api/v1/admin/results", [post(results::import)]),
        at("/api/v1/admin/workers", [get(workers::list)]),
        at("/api/v1/admin/worker-tokens", [get(worker_tokens::list), post(worker_tokens::create)]),
        at("/api/v1/admin/worker-tokens/{token}", [delete(worker_tokens::revoke)]),
    ]
}

/// Jobs, and what models answer: before repos, since these are no kind of them.
#[rustfmt::skip]
fn job_routes() -> Vec<Entry> {
    vec![
        at("/api/v1/finetunes", [get(finetunes::list), post(finetunes::create)]),
        at("/api/v1/finetunes/replay", [post(finetunes::replay)]),
        at("/api/v1/finetunes/{id}", [get(finetunes::get)]),
        at("/api/v1/finetunes/{id}/cancel", [post(finetunes::cancel)]),
        at("/api/v1/finetunes/{id}/events", [get(finetunes::events)]),
        at("/api/v1/finetunes/{id}/logs", [get(finetunes::logs)]),
        at("/api/v1/recommend", [post(recommend::create)]),
        at("/api/v1/embeddings", [post(jobs::embed)]),
        at("/api/v1/word2vec", [post(words::train)]),
        at("/api/v1/jobs", [get(jobs::list)]),
        at("/api/v1/jobs/{id}", [get(jobs::get)]),
        at("/api/v1/jobs/{id}/cancel", [post(jobs::cancel)]),
        at("/api/v1/jobs/{id}/pause", [post(jobs::pause)]),
        at("/api/v1/jobs/{id}/resume", [post(jobs::resume)]),
        at("/api/v1/jobs/{id}/retry", [post(jobs::retry)]),
        at("/api/v1/jobs/{id}/clone", [post(jobs::clone)]),
        at("/api/v1/jobs/{id}/priority", [post(jobs::place)]),
        at("/api/v1/jobs/{id}/events", [get(jobs::events)]),
        at("/api/v1/jobs/{id}/logs", [get(jobs::logs)]),
        at("/api/v1/jobs/{id}/files", [get(jobs::files)]),
        at("/api/v1/jobs/{id}/files/{path:.*}", [get(jobs::file)]).bytes(),
        at("/api/v1/evaluations", [post(evaluations::create)]),
        at("/api/v1/compare", [get(compare::show)]).heavy(),
        at("/api/v1/signing-keys", [get(evaluations::keys)]),
        at("/api/v1/models/{ns}/{name}/evaluations", [get(evaluations::list)]).model().heavy(),
        at("/api/v1/models/{ns}/{name}/results", [get(results::list)]).model().heavy(),
        at("/api/v1/datasets/{ns}/{name}/leaderboard", [get(evaluations::leaderboard)]).dataset().heavy(),
        at("/api/v1/jobs/{id}/curves", [get(curves::get)]),
        at("/api/v1/models/{ns}/{name}/embed", [post(predict::embed)]).model(),
        at("/api/v1/models/{ns}/{name}/neighbors", [post(predict::neighbors)]).model(),
        at("/api/v1/models/{ns}/{name}/predict", [post(predict::predict)]).model(),
        at("/api/v1/models/{ns}/{name}/words/neighbors", [get(words::neighbors)]).model(),
        at("/api/v1/models/{ns}/{name}/words/analogy", [get(words::analogy)]).model(),
        at("/api/v1/models/{ns}/{name}/words/similarity", [get(words::similarity)]).model(),
        at("/api/v1/models/{ns}/{name}/tei/embed", [post(embeddings::tei::embed)]).model().for_tei(),
        at("/api/v1/models/{ns}/{name}/tei/rerank", [post(embeddings::tei::rerank)]).model().for_tei(),
        at("/api/v1/models/{ns}/{name}/tei/similarity", [post(embeddings::tei::similarity)]).model().for_tei(),
        at("/v1/embeddings", [post(embeddings::openai::embeddings)]).for_openai(),
    ]
}

/// The queue for workers elsewhere. Nothing else takes their tokens, and these routes take no others.
#[rustfmt::skip]
fn worker_routes() -> Vec<Entry> {
    vec![
        at("/api/v1/worker/claims", [post(worker::claim)]),
        at("/api/v1/worker/deaths", [post(worker::bury)]),
        at("/api/v1/worker/queue", [get(worker_queue::list)]),
        at("/api/v1/worker/queue/{job}", [put(worker_queue::note)]),
        at("/api/v1/worker/jobs/{job}/materials", [get(worker::materials)]),
        at("/api/v1/worker/jobs/{job}/beat", [post(worker::beat)]),
        at("/api/v1/worker/jobs/{job}/result", [post(worker::result)]),
        at("/api/v1/worker/jobs/{job}/end", [post(worker::end)]),
        at("/api/v1/worker/jobs/{job}/inputs/{role}/files/{path:.*}", [get(worker_bytes::input)]).bytes(),
        at("/api/v1/worker/jobs/{job}/given/{path:.*}", [get(worker_bytes::given)]).bytes(),
        at("/api/v1/worker/jobs/{job}/checkpoint", [get(worker_bytes::checkpoint), put(worker_bytes::keep)]),
        at("/api/v1/worker/jobs/{job}/blobs/missing", [post(worker_bytes::missing)]),
        at("/api/v1/worker/jobs/{job}/blobs/{sha256}", [put(worker_bytes::store)]).bytes(),
        at("/api/v1/worker/jobs/{job}/uploads", [post(worker_bytes::announce)]),
        at("/api/v1/worker/jobs/{job}/uploads/{id}", [get(worker_bytes::received), put(worker_bytes::part)]).bytes(),
    ]
}

#[rustfmt::skip]
fn api_routes() -> Vec<Entry> {
    vec![
        // the house
        at("/healthz", [get(health::alive)]),
        at("/readyz", [get(health::ready)]),
        at("/metrics", [get(health::metrics)]),
        at("/api/v1/openapi.json", [get(openapi::document)]),

        // bytes
        at("/api/v1/blobs/missing", [post(uploads::missing)]),
        at("/api/v1/blobs/{sha256}", [put(uploads::store)]).bytes(),
        at("/api/v1/uploads", [post(uploads::create)]),
        at("/api/v1/uploads/{id}", [get(uploads::show), put(uploads::part), patch(uploads::append), delete(uploads::cancel)]).bytes(),
        at("/api/v1/library", [get(library::list)]).heavy(),
        at("/api/v1/library/{kind:models|datasets}/{ns}/{name}", [get(library::show)]).repo(),
        at("/api/v1/library/{kind:models|datasets}/{ns}/{name}/fetch", [post(library::fetch)]).repo(),
        at("/api/v1/library/{kind:models|datasets}/{ns}/{name}/files", [post(library::adopt)]).repo(),
        at("/api/v1/mirrors", [get(mirrors::list)]),
        at("/api/v1/mirrors/update", [post(mirrors::update)]),

        // repos, versions, files
        at("/api/v1/search", [get(search::search)]).heavy(),
        at("/api/v1/suggest", [get(search::suggest)]).heavy().cached(),
        at("/api/v1/repos", [post(repos::create)]),
        at("/api/v1/models/{ns}/{name}/datasets", [get(repos::datasets)]).model().heavy(),
        at("/api/v1/datasets/{ns}/{name}/models", [get(repos::models)]).dataset().heavy(),
        at("/api/v1/datasets/{ns}/{name}/doctor", [get(doctor::show), post(doctor::examine)]).dataset().heavy(),
        at("/api/v1/datasets/{ns}/{name}/relabel", [post(doctor::relabel)]).dataset(),
        at("/api/v1/datasets/{ns}/{name}/previews", [get(previews::show)]).dataset(),
        at("/api/v1/{kind:models|datasets}", [get(search::list)]).heavy().cached(),
        at("/api/v1/{kind:models|datasets}/{ns}/{name}", [get(repos::show), patch(repos::change), delete(repos::remove)]).repo(),
        at("/api/v1/{kind:models|datasets}/{ns}/{name}/commits", [post(commits::create)]).repo(),
        at("/api/v1/{kind:models|datasets}/{ns}/{name}/refs", [get(refs::list)]).repo().heavy(),
        at("/api/v1/{kind:models|datasets}/{ns}/{name}/refs/{ref:.*}", [put(refs::set), delete(refs::remove)]).repo(),
        at("/api/v1/{kind:models|datasets}/{ns}/{name}/versions", [get(versions::list)]).repo(),
        at("/api/v1/{kind:models|datasets}/{ns}/{name}/versions/{rev}", [get(versions::show), patch(versions::change), delete(versions::remove)]).repo(),
        at("/api/v1/{kind:models|datasets}/{ns}/{name}/versions/{rev}/manifest", [get(versions::manifest)]).repo(),
        at("/api/v1/{kind:models|datasets}/{ns}/{name}/versions/{rev}/tensors", [get(versions::tensors)]).repo(),
        at("/api/v1/{kind:models|datasets}/{ns}/{name}/versions/{rev}/SHA256SUMS", [get(versions::sums)]).repo(),
        at("/api/v1/{kind:models|datasets}/{ns}/{name}/versions/{rev}/files", [get(files::list)]).repo(),
        at("/api/v1/{kind:models|datasets}/{ns}/{name}/versions/{rev}/files/{path:.*}", [get(files::fetch)]).repo().bytes(),
        at("/api/v1/{kind:models|datasets}/{ns}/{name}/versions/{rev}/segments/{path:.*}", [get(segments::show)]).repo().heavy(),

        // nothing below /api is a page, but for the one that describes it
        at("/api", [get(pages::reference::show)]),
        at("/api/v1/{rest:.*}", []),
    ]
}

/// Pages, but those of repos.
#[rustfmt::skip]
#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
