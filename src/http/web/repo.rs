//! A repo's own page: its card and facts, where it comes from, what became of it, how to use it.

use actix_web::HttpRequest;
use actix_web::web::Data;
use askama::Template;

use super::card::{RepoCard, href};
use super::dataset_page::{self, MODELS, Named};
use super::format;
use super::frame::{Frame, Html, page_told, render};
use super::library::LibraryView;
use super::model_parts::{self, Inherited, Pulls, ResultLine, Step, StripFact};
use super::repo_head::{Fact, Head, card_html, urlencode};
use super::try_image;
use super::try_page::TryForm;
use super::uses::{Use, uses};
use crate::domain::id::JobId;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::{RepoSummary, SourceDataset};
use crate::domain::results::{ModelResult, TOP1, best, of_facts};
use crate::domain::revision::Revision;
use crate::domain::saved_model::SavedModel;
use crate::domain::task::Task;
use crate::domain::user::Actor;
use crate::http::Site;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Query, RepoAt};
use crate::service::Service;
use crate::service::repos::ancestry::Ancestry;
use crate::service::repos::leaderboard::Signed;

#[derive(Template)]
#[template(path = "model.html")]
struct ModelPage {
    frame: Frame,
    head: Head,
    card_html: String,
    facts: Vec<Fact>,
    sources: Vec<Source>,
    bases: Vec<Source>,
    children: Vec<RepoCard>,
    /// Further ones by name.
    more_children: Vec<Named>,
    /// Where all of them are listed, if these are not all.
    all_children: Option<String>,
    strip: Vec<StripFact>,
    ribbon: Vec<Step>,
    results: Vec<ResultLine>,
    /// The list of models that say the same as its first result.
    better: Option<String>,
    /// Data sets that its bases have seen.
    inherited: Vec<Inherited>,
    pulls: Option<Pulls>,
    saved_model: Option<SavedModel>,
    labels: Vec<String>,
    uses: Vec<Use>,
    library: Option<LibraryView>,
    /// Where a text can be tried.
    form: Option<TryForm>,
    /// Where a picture can be tried.
    try_image: Option<try_image::Sending>,
}

/// A data set or base model by the name the card gives it, linked where it is here.
pub struct Source {
    pub written: String,
    pub href: Option<String>,
}

pub async fn show(visitor: Visitor, service: Data<Service>, at: RepoAt, query: Query, request: HttpRequest) -> Answer {
    let (actor, address) = (visitor.actor(), Site::of(&request)?.public_address(&request));
    // It may have to be fetched from another hub.
    let (summary, revision) = look(&service, &actor, at.kind, &at.id, &query).await?;
    let asked = service.get_ref().clone();
    page_told(&service, move || async move {
        match at.kind {
            RepoKind::Model => {
                let library = LibraryView::of(&asked, &visitor, &at).await?;
                model(&visitor, &asked, (summary, library), &revision, &query, &address).await
            }
            RepoKind::Dataset => dataset_page::show(&visitor, &asked, summary, &revision, &query, &address).await,
        }
    })
    .await
}

/// The repo at the revision the address asks for; a repo without versions shows itself empty.
pub async fn look(
    service: &Service,
    actor: &Actor,
    kind: RepoKind,
    id: &RepoId,
    query: &Query,
) -> Result<(RepoSummary, Revision), HttpError> {
    let Some(text) = query.find("rev") else { return Ok((service.get_repo(actor, kind, id).await?, Revision::main())) };
    let wrong = |e| HttpError::bad_request("bad_query", format!("{e}"), "leave 'rev' out for the newest version");
    let revision = Revision::parse(text).map_err(wrong)?;
    Ok((service.get_repo_at(actor, kind, id, &revision).await?, revision))
}

async fn model(
    visitor: &Visitor,
    service: &Service,
    (summary, library): (RepoSummary, Option<LibraryView>),
    revision: &Revision,
    query: &Query,
    address: &str,
) -> Html {
    let (actor, id) = (visitor.actor(), summary.repo.id.clone());
    let published = summary.head.is_some();
    let sources = if published { service.datasets_of(&actor, &id, revision).await? } else { vec![] };
    let children = service.children_of(&actor, &id, MODELS).await?;
    let numbers = Numbers::read(service, &actor, &summary, revision).await?;
    let files = if published {
        service.list_files_from(&actor, (RepoKind::Model, &id), revision, String::new(), LOOKED_AT).await?.1
    } else {
        vec![]
    };
    let all_children = children.more.then(|| format!("/models?base_model={}", urlencode(&id.to_string())));
    let more_children: Vec<Named> = children.others.iter().map(Named::of).collect();
    let children: Vec<RepoCard> = children.models.into_iter().map(RepoCard::from).collect();
    let facts = &summary.facts;
    let is_newest = summary.is_newest;
    let rev_query = query.find("rev").map(|rev| format!("?rev={}", urlencode(rev))).unwrap_or_default();
    let try_image = try_image::action(&summary, &rev_query);
    render(&ModelPage {
        frame: Frame::of(visitor, "models").at(&href(RepoKind::Model, &id)).about(&summary.repo.summary),
        head: Head::of(&summary, "card", query)
            .with_versions(service, &actor, &summary)
            .await?
            .managed(service.role_on(&actor, RepoKind::Model, &id).await?, "card"),
        card_html: card_html(&summary).await?,
        facts: model_facts(&summary, numbers.made_by.as_ref()),
        strip: model_parts::strip(&summary, &numbers.known),
        ribbon: model_parts::ribbon(&summary, &numbers.ancestry, &children, all_children.is_some() || !more_children.is_empty()),
        results: model_parts::results(&numbers.known, &numbers.measured),
        better: best(&numbers.known, TOP1).map(|result| match result.dataset.as_str() {
            "" => "/models?sort=top1".to_owned(),
            on => format!("/models?sort=measure%3A{TOP1}%40{0}&on={0}", urlencode(on)),
        }),
        inherited: model_parts::inherited(&numbers.ancestry),
        pulls: if is_newest { model_parts::pulls(&service.downloads_of(&actor, RepoKind::Model, &id).await?, service.now()) } else { None },
        sources: sources.into_iter().map(Source::from).collect(),
        bases: facts.base_models.iter().map(|written| base(written)).collect(),
        all_children,
        more_children,
        children,
        saved_model: facts.saved_model.clone(),
        labels: if Task::has_classes(&facts.task) { facts.labels.iter().take(1_000).cloned().collect() } else { vec![] },
        uses: uses(&summary, address, query.find("rev"), &files),
        library,
        form: TryForm::of(&summary, query, visitor.csrf()),
        try_image,
    })
}

/// Files that are looked at for what tools want of a repo.
const LOOKED_AT: usize = 200;

/// What is known of a version in numbers, and where it comes from.
struct Numbers {
    known: Vec<ModelResult>,
    measured: Vec<Signed>,
    ancestry: Ancestry,
    /// The job that published it, for whoever may look at that.
    made_by: Option<JobId>,
}

impl Numbers {
    /// Of an older version its own card's numbers alone: tables and speeds are about the newest.
    async fn read(service: &Service, actor: &Actor, summary: &RepoSummary, revision: &Revision) -> Result<Numbers, HttpError> {
        let id = &summary.repo.id;
        let known = match *revision == Revision::main() {
            true => service.list_results(actor, id).await?,
            false => of_facts(&summary.facts),
        };
        let ancestry = match summary.head {
            Some(_) => service.ancestry_of(actor, id, revision).await?,
            None => service.ancestry_of_listed(actor, id).await?,
        };
        let made_by = match &summary.head {
            Some(head) => service.job_that_made(actor, id, head.number).await?,
            None => None,
        };
        Ok(Numbers { known, measured: service.measurements_of(actor, id).await?, ancestry, made_by })
    }
}

impl From<SourceDataset> for Source {
    fn from(source: SourceDataset) -> Source {
        Source { href: source.repo.as_ref().map(|id| href(RepoKind::Dataset, id)), written: source.written }
    }
}

/// A base is written `ns/name` or `ns/name@version`; the link leads to the version.
fn base(written: &str) -> Source {
    let (name, version) = written.split_once('@').unwrap_or((written, ""));
    let here = RepoId::parse(name).ok().map(|id| href(RepoKind::Model, &id));
    let rev = if version.is_empty() { String::new() } else { format!("?rev={version}") };
    Source { written: written.to_owned(), href: here.map(|path| path + &rev) }
}

fn model_facts(summary: &RepoSummary, made_by: Option<&JobId>) -> Vec<Fact> {
    let facts = &summary.facts;
    let filter = |name: &str, value: &str| Some(format!("/models?{name}={}", urlencode(value)));
    let some = |number: u64, text: String| if number > 0 { text } else { String::new() };
    let side = facts.image_size;
    let lines = [
        ("Architecture", facts.architecture.clone(), filter("architecture", &facts.architecture)),
        ("Owner", summary.repo.id.namespace().to_string(), filter("author", summary.repo.id.namespace().as_str())),
        ("Task", facts.task.clone(), filter("task", &facts.task)),
        ("Parameters", some(facts.parameters, format::count(facts.parameters)), None),
        ("Features", some(facts.num_features, facts.num_features.to_string()), None),
        ("Classes", some(if Task::has_classes(&facts.task) { facts.num_classes } else { 0 }, facts.num_classes.to_string()), None),
        ("Input", some(side, format!("{side} × {side} px")), None),
        ("Licence", facts.license.clone(), filter("license", &facts.license)),
        ("Library", facts.library.clone(), filter("library", &facts.library)),
        ("Downloads", format::count(summary.repo.downloads), None),
        ("Made by", made_by.map(|_| "a job: its report".to_owned()).unwrap_or_default(), made_by.map(|job| format!("/jobs/{job}"))),
    ];
    let lines = lines.into_iter().filter(|(_, value, _)| !value.is_empty());
    lines.map(|(label, value, href)| Fact { label, value, href }).collect()
}
