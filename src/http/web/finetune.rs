//! The form that asks for a fine-tune. What was typed stays when something is wrong.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use askama::Template;

use super::form::{CSRF, Form};
use super::frame::{Frame, page_with, see_other};
use crate::domain::dataset_report::can_be_learned;
use crate::domain::name::{LIBRARY, RepoId, RepoKind};
use crate::domain::page::PageRequest;
use crate::domain::recipe::{Optimizer, Recipe, Strategy};
use crate::domain::repo_ref::RepoRef;
use crate::domain::search::{SearchQuery, Sort};
use crate::domain::user::Actor;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::Query;
use crate::service::Service;
use crate::service::jobs::finetune::NewFineTune;

#[derive(Template)]
#[template(path = "finetune.html")]
struct FineTunePage {
    frame: Frame,
    csrf: String,
    /// What is wrong with what was sent, or "".
    problem: String,
    /// Name of the field the problem is about, or "".
    wrong: String,
    fields: Fields,
    models: Vec<String>,
    datasets: Vec<String>,
}

/// What stands in the form, as text.
struct Fields {
    base: String,
    dataset: String,
    name: String,
    private: bool,
    strategy: String,
    epochs: String,
    lr: String,
    head_lr: String,
    batch_size: String,
    frozen_stages: String,
    image_size: String,
    optimizer: String,
    seed: String,
    flip: bool,
    from_scratch: bool,
}

impl Fields {
    /// The defaults, with what the address names.
    fn new(query: &Query, owner: &str) -> Fields {
        let recipe = Recipe::default();
        let (base, dataset) = (query.text("base"), query.text("dataset"));
        // The first administrator's own name is a reserved word: no namespace of that name can be.
        let owner = if RepoId::parse(&format!("{owner}/name")).is_ok() { owner } else { LIBRARY };
        let last = |id: &str| id.rsplit('/').next().unwrap_or_default().to_owned();
        let name = match (base.is_empty(), dataset.is_empty()) {
            (false, false) => format!("{owner}/{}-{}", last(&base), last(&dataset)),
            _ => format!("{owner}/"),
        };
        Fields {
            base,
            dataset,
            name,
            private: false,
            strategy: recipe.strategy.as_str().into(),
            epochs: recipe.epochs.to_string(),
            lr: recipe.lr.to_string(),
            head_lr: recipe.head_lr.to_string(),
            batch_size: recipe.batch_size.to_string(),
            frozen_stages: recipe.frozen_stages.to_string(),
            image_size: String::new(),
            optimizer: "sgd".into(),
            seed: recipe.seed.to_string(),
            flip: recipe.augment.horizontal_flip,
            from_scratch: false,
        }
    }

    fn read(form: &Query) -> Fields {
        let text = |name: &str| form.text(name).trim().to_owned();
        Fields {
            base: text("base"),
            dataset: text("dataset"),
            name: text("name"),
            private: form.find("private").is_some(),
            strategy: text("strategy"),
            epochs: text("epochs"),
            lr: text("lr"),
            head_lr: text("head_lr"),
            batch_size: text("batch_size"),
            frozen_stages: text("frozen_stages"),
            image_size: text("image_size"),
            optimizer: text("optimizer"),
            seed: text("seed"),
            flip: form.find("flip").is_some(),
            from_scratch: form.find("from_scratch").is_some(),
        }
    }

    fn asked(&self) -> Result<NewFineTune, Wrong> {
        let (base, dataset) = (repo("base", &self.base)?, repo("dataset", &self.dataset)?);
        Ok(NewFineTune {
            base: base.id,
            base_revision: base.revision,
            dataset: dataset.id,
            dataset_revision: dataset.revision,
            name: RepoId::parse(&self.name).map_err(|e| Wrong::new("name", e))?,
            private: self.private,
            recipe: self.recipe()?,
            sweep: None,
        })
    }

    /// The strategy whose word was chosen; nothing chosen is the default.
    fn strategy(&self) -> Result<Strategy, Wrong> {
        let unknown = || Wrong::new("strategy", format!("there is no strategy '{}'", self.strategy));
        if self.strategy.is_empty() { Ok(Recipe::default().strategy) } else { Strategy::parse(&self.strategy).ok_or_else(unknown) }
    }

    fn recipe(&self) -> Result<Recipe, Wrong> {
        let mut recipe = Recipe {
            strategy: self.strategy()?,
            optimizer: if self.optimizer == "adamw" { Optimizer::Adamw } else { Optimizer::Sgd },
            epochs: number("epochs", &self.epochs)?,
            lr: number("lr", &self.lr)?,
            head_lr: number("head_lr", &self.head_lr)?,
            batch_size: number("batch_size", &self.batch_size)?,
            frozen_stages: number("frozen_stages", &self.frozen_stages)?,
            image_size: if self.image_size.is_empty() { 0 } else { number("image_size", &self.image_size)? },
            seed: number("seed", &self.seed)?,
            from_scratch: self.from_scratch,
            ..Recipe::default()
        };
        recipe.augment.horizontal_flip = self.flip;
        recipe.check().map_err(|e| Wrong { field: e.setting.to_owned(), text: e.to_string() })?;
        Ok(recipe)
    }
}

/// A field that will not do.
struct Wrong {
    field: String,
    text: String,
}

impl Wrong {
    fn new(field: &str, problem: impl std::fmt::Display) -> Wrong {
        Wrong { field: field.to_owned(), text: problem.to_string() }
    }
}

fn number<T: std::str::FromStr>(field: &str, text: &str) -> Result<T, Wrong> {
    text.parse().map_err(|_| Wrong::new(field, format!("'{text}' is not a number this field takes")))
}

fn repo(field: &str, text: &str) -> Result<RepoRef, Wrong> {
    RepoRef::parse(text).map_err(|e| Wrong::new(field, e))
}

pub async fn show(visitor: Visitor, service: Data<Service>, query: Query) -> Answer {
    let actor = visitor.actor();
    let Some(owner) = actor.name() else {
        let here = format!("/finetune?base={}&dataset={}", query.text("base"), query.text("dataset"));
        return Ok(see_other(&format!("/login?next={}", super::repo_head::urlencode(&here))));
    };
    let fields = Fields::new(&query, owner.as_str());
    form_page(&visitor, &service, StatusCode::OK, fields, None).await
}

pub async fn submit(visitor: Visitor, service: Data<Service>, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    let fields = Fields::read(&form.0);
    let asked = match fields.asked() {
        Ok(asked) => asked,
        Err(wrong) => return form_page(&visitor, &service, StatusCode::UNPROCESSABLE_ENTITY, fields, Some(wrong)).await,
    };
    match service.create_finetune(&visitor.actor(), asked).await {
        Ok(job) => Ok(see_other(&format!("/jobs/{}", job.id))),
        Err(error) => {
            let refused = HttpError::from(error);
            if refused.status.is_server_error() {
                return Err(refused);
            }
            let text = format!("{}; {}", refused.problem.message, refused.problem.hint);
            form_page(&visitor, &service, refused.status, fields, Some(Wrong::new("", text))).await
        }
    }
}

async fn form_page(visitor: &Visitor, service: &Service, status: StatusCode, fields: Fields, wrong: Option<Wrong>) -> Answer {
    let actor = visitor.actor();
    let (wrong, problem) = wrong.map_or_else(Default::default, |wrong| (wrong.field, wrong.text));
    let page = FineTunePage {
        frame: Frame::of(visitor, "jobs"),
        csrf: visitor.csrf().to_owned(),
        problem,
        wrong,
        fields,
        models: suggestions(service, &actor, RepoKind::Model).await?,
        datasets: suggestions(service, &actor, RepoKind::Dataset).await?,
    };
    page_with(status, &page)
}

/// Names for the pickers; any other name may be typed.
async fn suggestions(service: &Service, actor: &Actor, kind: RepoKind) -> Result<Vec<String>, HttpError> {
    let query = SearchQuery { kind: Some(kind), sort: Sort::Downloads, ..SearchQuery::default() };
    let hits = service.search(actor, query, PageRequest::new(Some(100), None)).await?;
    let fit = |summary: &crate::domain::repo::RepoSummary| match kind {
        RepoKind::Model => summary.facts.can_be_run(),
        RepoKind::Dataset => can_be_learned(&summary.facts),
    };
    Ok(hits.page.items.iter().filter(|summary| fit(summary)).map(|summary| summary.repo.id.to_string()).collect())
}
