//! Tables of results, for site administrators: which were taken over, another one, and one that is taken away again.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use askama::Template;

use super::form::{CSRF, Form};
use super::format;
use super::frame::{Frame, page_with, see_other};
use super::small_form::SmallForm;
use crate::http::body::Body;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::service::Service;
use crate::service::repos::results::{Imported, TakenOver};

const HERE: &str = "/system/results";

#[derive(Template)]
#[template(path = "system_results.html")]
struct ResultsPage {
    frame: Frame,
    tab: &'static str,
    csrf: String,
    tables: Vec<TableLine>,
    done: Option<Done>,
    problem: String,
}

struct TableLine {
    name: String,
    models: String,
    numbers: String,
    noted: String,
}

/// What became of a table that was sent.
struct Done {
    name: String,
    models: u64,
    numbers: u64,
    unknown: u64,
    such_as: String,
}

pub async fn show(visitor: Visitor, service: Data<Service>) -> Answer {
    if visitor.0.is_none() {
        return Ok(see_other("/login?next=/system/results"));
    }
    results_page(&visitor, &service, Ok(None)).await
}

/// A table, as a form with a file. To send it again changes nothing, so that a reload does no harm.
pub async fn import(request: HttpRequest, visitor: Visitor, service: Data<Service>, body: Body) -> Answer {
    let form = SmallForm::receive(&request, &service, body).await?;
    form.check(&visitor)?;
    let on = Some(form.text("on").trim().to_owned()).filter(|on| !on.is_empty());
    let imported = match form.files("table").next() {
        None => Err(HttpError::bad_request("nothing_sent", "no table was sent", "choose a file in CSV")),
        Some((name, bytes)) => {
            let text = String::from_utf8_lossy(&bytes);
            let done = service.import_results(&visitor.actor(), &name, on.as_deref(), &text).await;
            done.map(|done| Some((name, done))).map_err(HttpError::from)
        }
    };
    results_page(&visitor, &service, imported).await
}

/// Takes a table away again, by its name.
pub async fn remove(visitor: Visitor, service: Data<Service>, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    service.forget_results(&visitor.actor(), &form.0.text("name")).await?;
    Ok(see_other(HERE))
}

async fn results_page(visitor: &Visitor, service: &Service, imported: Result<Option<(String, Imported)>, HttpError>) -> Answer {
    let (status, done, problem) = match imported {
        Ok(done) => (StatusCode::OK, done, String::new()),
        // Who may not come in is told so, and not shown the page.
        Err(refused) if refused.status.is_server_error() || refused.status == StatusCode::FORBIDDEN => return Err(refused),
        Err(refused) => (refused.status, None, format!("{}; {}", refused.problem.message, refused.problem.hint)),
    };
    let tables = service.tables_of_results(&visitor.actor()).await?;
    let page = ResultsPage {
        frame: Frame::of(visitor, "settings"),
        tab: "results",
        csrf: visitor.csrf().to_owned(),
        tables: tables.into_iter().map(TableLine::from).collect(),
        done: done.map(Done::from),
        problem,
    };
    page_with(status, &page)
}

impl From<TakenOver> for TableLine {
    fn from(table: TakenOver) -> TableLine {
        TableLine {
            name: table.name,
            models: format::count(table.models),
            numbers: format::count(table.numbers),
            noted: format::minute(table.noted),
        }
    }
}

impl From<(String, Imported)> for Done {
    fn from((name, done): (String, Imported)) -> Done {
        Done { name, models: done.models, numbers: done.numbers, unknown: done.unknown, such_as: done.such_as.join(", ") }
    }
}
