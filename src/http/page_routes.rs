//! The routes of the web catalog's pages; those that programs ask are in `routes.rs`.

use super::entry::{Entry, at, delete, get, post, put};
use super::{assets, web as pages};

pub(super) fn page_routes() -> Vec<Entry> {
    vec![
        at("/", [get(pages::home::show)]).heavy(),
        at("/static/{file}", [get(assets::show)]),
        at("/search", [get(pages::catalog::everything)]).heavy(),
        at("/models", [get(pages::catalog::models)]).heavy(),
        at("/models.atom", [get(pages::feeds::atom)]).heavy(),
        at("/sitemap.xml", [get(pages::feeds::sitemap)]).heavy(),
        at("/robots.txt", [get(pages::feeds::robots)]),
        at("/datasets", [get(pages::catalog::datasets)]).heavy(),
        at("/finetune", [get(pages::finetune::show), post(pages::finetune::submit)]).heavy(),
        at("/compare", [get(pages::compare::show)]).heavy(),
        at("/jobs", [get(pages::jobs::list)]),
        at("/jobs/compare", [get(pages::compare_runs::show)]).heavy(),
        at("/jobs/{id}", [get(pages::jobs::show)]),
        at("/jobs/{id}/items", [get(pages::job_items::show)]).heavy(),
        at("/jobs/{id}/events", [get(pages::jobs::events)]),
        at("/jobs/{id}/files/{path:.*}", [get(pages::jobs::file)]).bytes(),
        at("/jobs/{id}/curves", [get(pages::jobs::curves)]),
        at("/jobs/{id}/cancel", [post(pages::job_acts::cancel)]),
        at("/jobs/{id}/pause", [post(pages::job_acts::pause)]),
        at("/jobs/{id}/resume", [post(pages::job_acts::resume)]),
        at("/jobs/{id}/retry", [post(pages::job_acts::retry)]),
        at("/jobs/{id}/clone", [post(pages::job_acts::clone)]),
        at("/login", [get(pages::login::show), post(pages::login::submit)]),
        at("/logout", [post(pages::login::leave)]),
        at("/logout/everywhere", [post(pages::login::leave_everywhere)]),
        at("/system", [get(pages::system::show)]),
        at("/system/storage", [get(pages::system::storage)]).heavy(),
        at("/system/queue", [get(pages::system::queue)]),
        at("/system/settings", [get(pages::system::settings)]),
        at("/system/people", [get(pages::system_people::show)]),
        at("/system/people/{act}", [post(pages::system_people::act)]),
        at("/system/workers", [get(pages::system_workers::show), post(pages::system_workers::create)]),
        at("/system/workers/tokens/{token}/revoke", [post(pages::system_workers::revoke)]),
        at("/system/audit", [get(pages::audit::show)]),
        at("/system/audit.csv", [get(pages::audit::export)]),
        at("/settings/profile", [get(pages::organisations::show), post(pages::organisations::rename)]),
        at("/settings/organisations", [post(pages::organisations::create)]),
        at("/settings/organisations/{name}", [post(pages::organisations::set_member)]),
        at("/settings/tokens", [get(pages::tokens::show), post(pages::tokens::create)]),
        at("/settings/tokens/{id}/revoke", [post(pages::tokens::revoke)]),
        at("/settings/webhooks", [get(pages::webhooks::list), post(pages::webhooks::create)]),
        at("/settings/webhooks/{id}", [get(pages::webhooks::show)]),
        at("/settings/webhooks/{id}/test", [post(pages::webhooks::test)]),
        at("/settings/webhooks/{id}/enable", [post(pages::webhooks::enable)]),
        at("/settings/webhooks/{id}/rotate", [post(pages::webhooks::rotate)]),
        at("/settings/webhooks/{id}/remove", [post(pages::webhooks::remove)]),
    ]
}

/// What the pages of uploads ask.
#[rustfmt::skip]
pub(super) fn upload_routes() -> Vec<Entry> {
    vec![
        at("/new/dataset", [get(pages::upload::show_new), post(pages::upload::send_new)]),
        at("/new/check", [get(pages::upload_wire::check)]),
        at("/new/blobs/missing", [post(pages::upload_wire::missing)]),
        at("/new/blobs/{sha256}", [put(pages::upload_wire::store)]).bytes(),
        at("/new/uploads", [post(pages::upload_wire::announce)]),
        at("/new/uploads/{id}", [get(pages::upload_wire::show), put(pages::upload_wire::part), delete(pages::upload_wire::cancel)]).bytes(),
        at("/new/publish/{kind:models|datasets}/{ns}/{name}", [post(pages::upload_wire::publish)]).repo(),
        at("/{kind:datasets}/{ns}/{name}/upload", [get(pages::upload::show_more), post(pages::upload::send_more)]).repo(),
    ]
}

/// Those about a repo; `/{ns}/{name}` and `/{name}` come last.
#[rustfmt::skip]
pub(super) fn repo_page_routes() -> Vec<Entry> {
    vec![
        at("/{kind:datasets}/{ns}/{name}", [get(pages::repo::show)]).repo().heavy(),
        at("/{kind:datasets}/{ns}/{name}/thumbnails/{number}", [get(pages::repo_tabs::thumbnail)]).repo().bytes(),
        at("/{kind:datasets}/{ns}/{name}/download/{rev}/{path:.*}", [get(pages::repo_tabs::download)]).repo().bytes(),
        at("/{kind:datasets}/{ns}/{name}/neighbors", [get(pages::neighbors_page::show), post(pages::neighbors_page::ask)]).repo(),
        at("/{kind:datasets}/{ns}/{name}/neighbors/start", [post(pages::neighbors_page::start)]).repo(),
        at("/{kind:datasets}/{ns}/{name}/discussions", [get(pages::discussions::list)]).repo().heavy(),
        at("/{kind:datasets}/{ns}/{name}/discussions/{number}", [get(pages::discussions::show)]).repo().heavy(),
        at("/{kind:datasets}/{ns}/{name}/discussions/{number}/{act}", [post(pages::discussions::act)]).repo(),
        at("/{kind:datasets}/{ns}/{name}/commit/{rev}", [get(pages::addresses::commit)]).repo(),
        at("/{kind:datasets}/{ns}/{name}/commits/{rev}", [get(pages::addresses::commits)]).repo(),
        at("/{kind:datasets}/{ns}/{name}/tree/{rev}", [get(pages::addresses::tree)]).repo(),
        at("/{kind:datasets}/{ns}/{name}/tree/{rev}/{path:.+}", [get(pages::addresses::folder)]).repo(),
        at("/{kind:datasets}/{ns}/{name}/blob/{rev}/{path:.+}", [get(pages::addresses::file)]).repo(),
        at("/{kind:datasets}/{ns}/{name}/view/{rev}/{path:.+}", [get(pages::file_page::show)]).repo().heavy(),
        at("/{kind:datasets}/{ns}/{name}/recommend", [post(pages::dataset_page::recommend)]).repo(),
        at("/{kind:datasets}/{ns}/{name}/settings", [get(pages::repo_settings::show)]).repo(),
        at("/{kind:datasets}/{ns}/{name}/settings/{act}", [post(pages::repo_settings::act)]).repo(),
        at("/{kind:datasets}/{ns}/{name}/edit", [get(pages::card_edit::show), post(pages::card_edit::save)]).repo(),
        at("/{kind:datasets}/{ns}/{name}/{tab}", [get(pages::repo_tabs::show)]).repo().heavy(),
        at("/datasets/{name}", [get(pages::addresses::namespace_of_datasets)]).heavy(),
        at("/{ns}/{name}", [get(pages::repo::show)]).model().heavy(),
        at("/{ns}/{name}/download/{rev}/{path:.*}", [get(pages::repo_tabs::download)]).model().bytes(),
        at("/{ns}/{name}/neighbors", [get(pages::neighbors_page::show), post(pages::neighbors_page::ask)]).model(),
        at("/{ns}/{name}/neighbors/start", [post(pages::neighbors_page::start)]).model(),
        at("/{ns}/{name}/discussions", [get(pages::discussions::list)]).model().heavy(),
        at("/{ns}/{name}/discussions/{number}", [get(pages::discussions::show)]).model().heavy(),
        at("/{ns}/{name}/discussions/{number}/{act}", [post(pages::discussions::act)]).model(),
        at("/{ns}/{name}/try", [get(pages::try_page::show), post(pages::try_page::send)]).model().heavy(),
        at("/{ns}/{name}/fetch", [post(pages::library::fetch)]).model(),
        at("/{ns}/{name}/commit/{rev}", [get(pages::addresses::commit)]).model(),
        at("/{ns}/{name}/commits/{rev}", [get(pages::addresses::commits)]).model(),
        at("/{ns}/{name}/tree/{rev}", [get(pages::addresses::tree)]).model(),
        at("/{ns}/{name}/tree/{rev}/{path:.+}", [get(pages::addresses::folder)]).model(),
        at("/{ns}/{name}/blob/{rev}/{path:.+}", [get(pages::addresses::file)]).model(),
        at("/{ns}/{name}/view/{rev}/{path:.+}", [get(pages::file_page::show)]).model().heavy(),
        at("/{ns}/{name}/settings", [get(pages::repo_settings::show)]).model(),
        at("/{ns}/{name}/settings/{act}", [post(pages::repo_settings::act)]).model(),
        at("/{ns}/{name}/edit", [get(pages::card_edit::show), post(pages::card_edit::save)]).model(),
        at("/{ns}/{name}/{tab}", [get(pages::repo_tabs::show)]).model().heavy(),
        at("/{name}", [get(pages::people::show)]).heavy(),
    ]
}
