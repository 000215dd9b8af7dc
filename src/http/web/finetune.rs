//! The form that asks for a fine-tune. What was typed stays when something is wrong.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use askama::Template;

use super::finetune_bases::{self, Recommended};
use super::finetune_settings::{Group, Settings, Wrong};
use super::form::{CSRF, Form};
use super::format;
use super::frame::{Frame, page_with, see_other};
use crate::domain::dataset_report::can_be_learned;
use crate::domain::id::JobId;
use crate::domain::job::Job;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::page::PageRequest;
use crate::domain::recipe::Strategy;
use crate::domain::repo_ref::RepoRef;
use crate::domain::revision::Revision;
use crate::domain::search::{SearchQuery, Sort};
use crate::domain::user::Actor;
use crate::domain::work::{AUTO, Then};
use crate::http::assets;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::Query;
use crate::service::Service;
use crate::service::jobs::admit::Expected;
use crate::service::jobs::finetune::NewFineTune;
use crate::service::jobs::recommend::NewRecommendation;
use crate::service::repos::sent::Standing;

#[derive(Template)]
#[template(path = "finetune.html")]
struct FineTunePage {
    frame: Frame,
    csrf: String,
    /// What is wrong with what was sent, or "".
    problem: String,
    /// Id of the field the problem is about, or "".
    wrong: String,
    /// What it would cost, where that was asked.
    expected: Option<String>,
    fields: Fields,
    strategies: Vec<StrategyView>,
    groups: Vec<Group>,
    models: Vec<String>,
    datasets: Vec<String>,
    script: String,
    /// The best that are here, with what speaks for each.
    recommended: Vec<Recommended>,
    /// The base is none of those.
    another: bool,
    efforts: Vec<StrategyView>,
}

struct StrategyView {
    word: &'static str,
    title: &'static str,
    meaning: &'static str,
    chosen: bool,
}

/// What stands in the form, as text.
struct Fields {
    base: String,
    dataset: String,
    name: String,
    private: bool,
    /// Where the base is to be chosen: whether the best three race for it.
    race: bool,
    /// The result becomes the next version of a model that is there.
    again: bool,
    /// `quick`, `better` or `custom`: what the strategy below says.
    effort: &'static str,
    settings: Settings,
}

/// How much is to be learned, for those who do not want to choose a strategy: the word, what it is, what it means, the strategy.
const EFFORTS: &[(&str, &str, &str, Option<Strategy>)] = &[
    (
        "quick",
        "Quick",
        "Only the head: the backbone's features are computed once. Minutes, and often all that is needed.",
        Some(Strategy::Head),
    ),
    (
        "better",
        "Better",
        "The best head first; then, with enough data and something to gain, upper stages too. Never ends below that head.",
        Some(Strategy::Auto),
    ),
    ("custom", "Custom", "The strategy and every setting below are yours.", None),
];

fn effort(word: &str) -> &'static str {
    EFFORTS.iter().map(|(known, ..)| *known).find(|known| *known == word).unwrap_or("custom")
}

impl Fields {
    /// The defaults, with what the address names.
    fn new(query: &Query, owner: &str) -> Fields {
        let (base, dataset) = (query.text("base"), query.text("dataset"));
        let last = |id: &str| id.rsplit('/').next().unwrap_or_default().to_owned();
        let name = match (base.is_empty(), dataset.is_empty()) {
            (false, false) => format!("{owner}/{}-{}", last(&base), last(&dataset)),
            _ => format!("{owner}/"),
        };
        Fields { base, dataset, name, private: false, race: false, again: false, effort: "better", settings: Settings::defaults() }
    }

    /// What a job asked for, to be changed.
    fn of_job(job: &Job) -> Option<Fields> {
        let task = job.work.fine_tune()?;
        Some(Fields {
            base: format!("{}@{}", task.base, task.base_version),
            dataset: format!("{}@{}", task.dataset, task.dataset_version),
            name: task.name.to_string(),
            private: task.private,
            race: false,
            again: true,
            effort: "custom",
            settings: Settings::of(&task.recipe),
        })
    }

    fn read(form: &Query) -> Fields {
        let text = |name: &str| form.text(name).trim().to_owned();
        let ticked = |name: &str| form.find(name).is_some();
        let effort = effort(&form.text("effort"));
        let mut settings = Settings::read(form);
        if let Some((.., Some(strategy))) = EFFORTS.iter().find(|(word, ..)| *word == effort) {
            settings.strategy = strategy.as_str().to_owned();
        }
        Fields {
            // One of those that are recommended, or another that is typed.
            base: form.find("choice").filter(|choice| !choice.is_empty()).map_or_else(|| text("base"), |choice| choice.trim().to_owned()),
            dataset: text("dataset"),
            name: text("name"),
            private: ticked("private"),
            race: ticked("race"),
            again: ticked("again"),
            effort,
            settings,
        }
    }

    fn asked(&self) -> Result<Asked, Wrong> {
        let dataset = repo("dataset", &self.dataset)?;
        let name = RepoId::parse(&self.name).map_err(|e| Wrong::new("name", e))?;
        let (private, recipe) = (self.private, self.settings.asked()?);
        if self.base == AUTO {
            let then = Then { name, private, recipe, sweep: None };
            return Ok(Asked::Choose((dataset.id, dataset.revision), Box::new(NewRecommendation::before(then, self.race))));
        }
        let base = repo("base", &self.base)?;
        Ok(Asked::Tune(Box::new(NewFineTune {
            base: base.id,
            base_revision: base.revision,
            dataset: dataset.id,
            dataset_revision: dataset.revision,
            name,
            private,
            recipe,
            sweep: None,
        })))
    }
}

/// What the form asks for.
enum Asked {
    Tune(Box<NewFineTune>),
    /// That a base be chosen first.
    Choose((RepoId, Revision), Box<NewRecommendation>),
}

impl Asked {
    /// Where the result is published.
    fn name(&self) -> Option<&RepoId> {
        match self {
            Asked::Tune(asked) => Some(&asked.name),
            Asked::Choose(_, asked) => asked.then.as_ref().map(|then| &then.name),
        }
    }
}

/// What is said of each strategy, the one to take when in doubt first.
const STRATEGIES: &[(Strategy, &str, &str)] = &[
    (
        Strategy::Auto,
        "Choose for me.",
        "The best head on the backbone's features first; then, with enough data and something to gain, the upper stages too. Never ends below that head.",
    ),
    (
        Strategy::Head,
        "Head only.",
        "The backbone stays as it is; its features are computed once, and the best head on them is found. Minutes.",
    ),
    (Strategy::LpFt, "From the best head on.", "Everything above the frozen stages learns, starting from that head."),
    (Strategy::Gradual, "Stage by stage.", "From that head, one stage after the other joins in, from the top."),
    (Strategy::Full, "Head and backbone.", "Everything above the frozen stages learns, from a new head."),
    (Strategy::Freeze, "Frozen below.", "The same with the frozen stages named below."),
    (
        Strategy::Lora,
        "Adapters.",
        "For transformers: from that head, small matrices beside every linear layer learn, all else stays, and the result is a plain model.",
    ),
    (
        Strategy::Contrast,
        "A few examples.",
        "Everything above the frozen stages learns to tell items of one class from others, pair by pair; then the best head is found. For a few items of each class.",
    ),
    (Strategy::Scratch, "From random weights.", "The honest comparison."),
];

fn repo(field: &str, text: &str) -> Result<RepoRef, Wrong> {
    RepoRef::parse(text).map_err(|e| Wrong::new(field, e))
}

pub async fn show(visitor: Visitor, service: Data<Service>, query: Query) -> Answer {
    let actor = visitor.actor();
    let Some(owner) = actor.name() else {
        let here = format!("/finetune?base={}&dataset={}", query.text("base"), query.text("dataset"));
        return Ok(see_other(&format!("/login?next={}", super::repo_head::urlencode(&here))));
    };
    let before = match query.find("from").and_then(|id| JobId::parse(id).ok()) {
        Some(id) => Fields::of_job(&service.get_job(&actor, &id).await?),
        None => None,
    };
    let fields = before.unwrap_or_else(|| Fields::new(&query, owner.as_str()));
    form_page(&visitor, &service, StatusCode::OK, fields, Said::Nothing).await
}

pub async fn submit(visitor: Visitor, service: Data<Service>, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    let fields = Fields::read(&form.0);
    let asked = match fields.asked() {
        Ok(asked) => asked,
        Err(wrong) => return form_page(&visitor, &service, StatusCode::UNPROCESSABLE_ENTITY, fields, Said::Wrong(wrong)).await,
    };
    let estimate = form.0.find("estimate").is_some();
    if estimate && matches!(asked, Asked::Choose(..)) {
        let wrong =
            Wrong::new("base", "what it costs depends on the base: name one to have it estimated, or start, and the job will choose");
        return form_page(&visitor, &service, StatusCode::UNPROCESSABLE_ENTITY, fields, Said::Wrong(wrong)).await;
    }
    let actor = visitor.actor();
    if let (true, Some(wrong)) = (!estimate, taken(&service, &actor, &form.0, &fields, asked.name()).await) {
        return form_page(&visitor, &service, StatusCode::UNPROCESSABLE_ENTITY, fields, Said::Wrong(wrong)).await;
    }
    let done = match asked {
        Asked::Choose(dataset, asked) => {
            service.create_recommendation(&actor, dataset, *asked).await.map(|job| Done::Queued(Box::new(job)))
        }
        Asked::Tune(asked) if estimate => service.estimate_finetune(&actor, *asked).await.map(Done::Expected),
        Asked::Tune(asked) => service.create_finetune(&actor, *asked).await.map(|job| Done::Queued(Box::new(job))),
    };
    match done {
        Ok(Done::Queued(job)) => Ok(see_other(&format!("/jobs/{}", job.id))),
        Ok(Done::Expected(cost)) => form_page(&visitor, &service, StatusCode::OK, fields, Said::Expected(expected(&cost))).await,
        Err(error) => {
            let refused = HttpError::from(error);
            if refused.status.is_server_error() {
                return Err(refused);
            }
            let text = format!("{}; {}", refused.problem.message, refused.problem.hint);
            let field = setting_of(&refused.problem.message);
            form_page(&visitor, &service, refused.status, fields, Said::Wrong(Wrong { field, text })).await
        }
    }
}

/// A result becomes a version of what is there only where that was asked for; whoever sends more than our form has knows what it does.
async fn taken(service: &Service, actor: &Actor, form: &Query, fields: &Fields, name: Option<&RepoId>) -> Option<Wrong> {
    let name = name.filter(|_| form.find("effort").is_some() && !fields.again)?;
    match service.look_at_name(actor, RepoKind::Model, name).await {
        Ok(Standing::Taken) => {
            let problem = format!("'{name}' is there already: tick that the result becomes its next version, or choose another name");
            Some(Wrong::new("name", problem))
        }
        // What else is wrong with it is said by whoever admits it.
        _ => None,
    }
}

enum Done {
    Queued(Box<Job>),
    Expected(Expected),
}

/// What a page says beside the form.
enum Said {
    Nothing,
    Wrong(Wrong),
    Expected(String),
}

/// The setting that admission refuses, which its message begins with.
fn setting_of(message: &str) -> String {
    let named = message.split_once("cannot be used: ").and_then(|(_, rest)| rest.split_once(':'));
    named.map(|(setting, _)| setting.to_owned()).unwrap_or_default()
}

/// `at most 4 min 10 s, 900 MB of memory, 1.2 GB of disk; 1250 steps`
fn expected(cost: &Expected) -> String {
    let disk = if cost.scratch_bytes > 0 { format!(", {} of disk meanwhile", format::bytes(cost.scratch_bytes)) } else { String::new() };
    let time = format::duration(cost.seconds_at_most());
    // A head that is solved for takes no steps.
    let steps = if cost.steps > 0 { format!("; {} steps", cost.steps) } else { String::new() };
    format!("{time} at most, were this an old machine; {} of memory{disk}{steps}", format::bytes(cost.memory_bytes))
}

async fn form_page(visitor: &Visitor, service: &Service, status: StatusCode, fields: Fields, said: Said) -> Answer {
    let actor = visitor.actor();
    let (wrong, expected) = match said {
        Said::Nothing => (None, None),
        Said::Wrong(wrong) => (Some(wrong), None),
        Said::Expected(text) => (None, Some(text)),
    };
    let groups = fields.settings.groups(wrong.as_ref());
    let has_field = |wrong: &Wrong| {
        let of_group = |group: &Group| group.fields.iter().any(|field| field.name == wrong.field);
        ["base", "dataset", "name"].contains(&wrong.field.as_str()) || groups.iter().any(of_group)
    };
    let there = wrong.as_ref().is_some_and(has_field);
    let (wrong, problem) = wrong.map_or_else(Default::default, |wrong| (wrong.field.replace('.', "-"), wrong.text));
    let wrong = if there { wrong } else { String::new() };
    let chosen = |strategy: Strategy| strategy.as_str() == fields.settings.strategy;
    let strategies = STRATEGIES
        .iter()
        .map(|&(strategy, title, meaning)| StrategyView { word: strategy.as_str(), title, meaning, chosen: chosen(strategy) })
        .collect();
    let efforts =
        EFFORTS.iter().map(|&(word, title, meaning, _)| StrategyView { word, title, meaning, chosen: word == fields.effort }).collect();
    let recommended = finetune_bases::recommended(service, &actor, &fields.dataset, &fields.base).await?;
    let page = FineTunePage {
        script: assets::url("wizard.js"),
        another: fields.base != AUTO && !recommended.iter().any(|one| one.chosen),
        recommended,
        efforts,
        frame: Frame::of(visitor, "jobs"),
        csrf: visitor.csrf().to_owned(),
        problem,
        wrong,
        expected,
        strategies,
        groups,
        fields,
        models: suggestions(service, &actor, RepoKind::Model).await?,
        datasets: suggestions(service, &actor, RepoKind::Dataset).await?,
    };
    page_with(status, &page)
}

/// Names for the pickers; any other name may be typed.
async fn suggestions(service: &Service, actor: &Actor, kind: RepoKind) -> Result<Vec<String>, HttpError> {
    let query = SearchQuery { kind: Some(kind), sort: Sort::Downloads, here: true, plain: true, ..SearchQuery::default() };
    let hits = service.search(actor, query, PageRequest::new(Some(100), None)).await?;
    let fit = |summary: &crate::domain::repo::RepoSummary| match kind {
        RepoKind::Model => summary.facts.can_be_run(),
        RepoKind::Dataset => can_be_learned(&summary.facts),
    };
    Ok(hits.page.items.iter().filter(|summary| fit(summary)).map(|summary| summary.repo.id.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_strategy_is_offered_and_a_refused_setting_is_found() {
        assert!(Strategy::ALL.iter().all(|strategy| STRATEGIES.iter().filter(|(offered, ..)| offered == strategy).count() == 1));
        assert_eq!(STRATEGIES[0].0, Strategy::Auto);
        assert_eq!(setting_of("the recipe cannot be used: task: the data set's targets are for another"), "task");
        assert_eq!(setting_of("there is no model 'a/b' here"), "");
    }
}
