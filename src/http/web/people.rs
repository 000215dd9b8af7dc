//! The page of a person or an organisation: what they published, and for those who belong there, its members, jobs and room.

use actix_web::web::Data;
use askama::Template;

use super::addresses;
use super::card::RepoCard;
use super::format;
use super::frame::{Frame, page};
use super::jobs::JobLine;
use super::model_parts::{Pulls, pulls};
use super::repo_head::urlencode;
use crate::domain::name::{Name, RepoKind};
use crate::domain::page::PageRequest;
use crate::domain::search::{SearchQuery, Sort};
use crate::domain::user::{AccountKind, Actor, Role};
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::AccountAt;
use crate::service::Service;

/// Repos of each kind, and jobs, on the page; lists have all.
const SHOWN: u64 = 12;
/// Pulls of more repos are not added up for a page.
const MOST_ADDED: u64 = 300;

#[derive(Template)]
#[template(path = "profile.html")]
struct Profile {
    frame: Frame,
    csrf: String,
    name: String,
    full_name: String,
    /// `organisation`, `person`, or nothing of a namespace nobody owns.
    kind: &'static str,
    is_site_admin: bool,
    since: String,
    /// The visitor's role here, as a word; empty for strangers.
    role: &'static str,
    is_own: bool,
    may_manage: bool,
    models: Shelf,
    datasets: Shelf,
    members: Vec<MemberLine>,
    /// Organisations of a person who looks at their own page.
    organisations: Vec<(String, &'static str)>,
    jobs: Vec<JobLine>,
    held: Vec<(&'static str, String)>,
    /// Of all that everybody may see.
    pulls: Option<Pulls>,
}

/// Some repos, and how many there are.
struct Shelf {
    repos: Vec<RepoCard>,
    total: u64,
    all: String,
}

pub struct MemberLine {
    pub name: String,
    pub role: &'static str,
}

/// `/{name}`: its owner's page; or, where there is no such owner, the model of the library that has this name.
pub async fn show(visitor: Visitor, service: Data<Service>, at: AccountAt) -> Answer {
    let (actor, name) = (visitor.actor(), &at.0);
    let account = service.get_account(&actor, name).await.ok();
    let name = account.as_ref().map_or(name, |account| &account.name);
    let (models, datasets) =
        (shelf(&service, &actor, name, RepoKind::Model).await?, shelf(&service, &actor, name, RepoKind::Dataset).await?);
    if account.is_none() && models.total + datasets.total == 0 {
        return addresses::namespace(visitor, service, at).await;
    }
    let role = service.role_in_namespace(&actor, name).await?;
    let is_own = actor.name().is_some_and(|own| own.folded() == name.folded());
    let is_organisation = account.as_ref().is_some_and(|account| account.kind == AccountKind::Organisation);
    let members = if is_organisation && role.is_some() { service.list_members(&actor, name).await? } else { vec![] };
    let jobs = match role {
        Some(_) => service.list_jobs_in(&actor, name, PageRequest::new(Some(SHOWN), None)).await?.items,
        None => vec![],
    };
    let held = match (&account, role) {
        (Some(_), Some(_)) => lines(&service, &actor, name).await?,
        _ => vec![],
    };
    let pulls = match models.total + datasets.total {
        1..=MOST_ADDED => pulls(&service.downloads_in(&actor, name).await?, service.now()),
        _ => None,
    };
    let organisations = if is_own { service.whoami(&actor).await?.namespaces } else { vec![] };
    let kind = account.as_ref().map_or("", |account| match account.kind {
        AccountKind::User => "person",
        AccountKind::Organisation => "organisation",
    });
    page(&Profile {
        frame: Frame::of(&visitor, if is_own { "settings" } else { "" }),
        csrf: visitor.csrf().to_owned(),
        name: name.to_string(),
        full_name: account.as_ref().map(|account| account.full_name.clone()).unwrap_or_default(),
        kind,
        is_site_admin: account.as_ref().is_some_and(|account| account.is_admin),
        since: account.as_ref().map(|account| format::day(account.created)).unwrap_or_default(),
        role: role.map_or("", Role::as_str),
        is_own,
        may_manage: is_organisation && role >= Some(Role::Admin),
        models,
        datasets,
        members: members.into_iter().map(|member| MemberLine { name: member.user.to_string(), role: member.role.as_str() }).collect(),
        organisations: organisations
            .into_iter()
            .filter(|(space, _)| space.folded() != name.folded())
            .map(|(space, role)| (space.to_string(), role.as_str()))
            .collect(),
        jobs: jobs.iter().map(JobLine::from).collect(),
        held,
        pulls,
    })
}

async fn shelf(service: &Service, actor: &Actor, name: &Name, kind: RepoKind) -> Result<Shelf, HttpError> {
    let query = SearchQuery { kind: Some(kind), author: name.to_string(), sort: Sort::Newest, plain: true, ..SearchQuery::default() };
    let hits = service.search(actor, query, PageRequest::new(Some(SHOWN), None)).await?;
    let list = if kind == RepoKind::Model { "models" } else { "datasets" };
    Ok(Shelf {
        total: hits.total,
        repos: hits.page.items.into_iter().map(RepoCard::from).collect(),
        all: format!("/{list}?author={}", urlencode(name.as_str())),
    })
}

async fn lines(service: &Service, actor: &Actor, name: &Name) -> Result<Vec<(&'static str, String)>, HttpError> {
    let usage = service.usage(actor, name).await?;
    let quota = if usage.quota_bytes == 0 { String::new() } else { format!(" of {}", format::bytes(usage.quota_bytes)) };
    Ok(vec![
        ("Stored", format!("{}{quota}", format::bytes(usage.stored_bytes))),
        ("Repos", format::count(usage.repos)),
        ("Jobs under way", format::count(usage.jobs)),
    ])
}
