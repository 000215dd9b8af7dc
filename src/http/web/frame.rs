//! What every page has: the header, the footer, who is logged in; and how a page becomes an answer.

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, LOCATION, VARY};
use actix_web::{HttpResponse, HttpResponseBuilder};
use askama::Template;

use crate::domain::user::Actor;
use crate::http::address::IsPage;
use crate::http::assets;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::service::Service;
use crate::wire::error::ProblemBody;

/// The header and footer of a page.
pub struct Frame {
    pub style: String,
    pub script: String,
    pub icon: String,
    /// Which entry of the navigation is current.
    pub section: &'static str,
    /// What stands in the search box.
    pub query: String,
    pub user: Option<String>,
    /// Whether that is an administrator.
    pub is_admin: bool,
    pub version: &'static str,
    /// The page's own address, where several lead to it or it may be passed on; empty for pages that nobody passes on.
    pub canonical: String,
    /// One line of what it is about.
    pub description: String,
}

impl Frame {
    pub fn of(visitor: &Visitor, section: &'static str) -> Frame {
        let actor = visitor.actor();
        let is_admin = matches!(actor, Actor::User { is_admin: true, .. });
        Frame { is_admin, ..Frame::named(actor.name().map(|name| name.to_string()), section) }
    }

    fn named(user: Option<String>, section: &'static str) -> Frame {
        Frame {
            style: assets::url("style.css"),
            script: assets::url("hub.js"),
            icon: assets::url("icon.svg"),
            section,
            query: String::new(),
            user,
            is_admin: false,
            version: env!("CARGO_PKG_VERSION"),
            canonical: String::new(),
            description: String::new(),
        }
    }

    /// Says where the page is, for whoever passes it on.
    pub fn at(mut self, path: &str) -> Frame {
        path.clone_into(&mut self.canonical);
        self
    }

    /// Says what the page is about.
    pub fn about(mut self, text: &str) -> Frame {
        text.clone_into(&mut self.description);
        self
    }

    pub fn searching(mut self, query: &str) -> Frame {
        query.clone_into(&mut self.query);
        self
    }
}

/// A page of status 200.
pub fn page(template: &impl Template) -> Answer {
    page_with(StatusCode::OK, template)
}

pub fn page_with(status: StatusCode, template: &impl Template) -> Answer {
    Ok(html_answer(status, render(template)?))
}

/// The text of a page, or why there is none.
pub type Html = Result<String, HttpError>;

pub fn render(template: &impl Template) -> Html {
    template.render().map_err(|e| HttpError::internal(format!("a page was not rendered: {e}")))
}

/// A page of status 200 that asks the catalog many things, which it does on one thread.
pub async fn page_told<F>(service: &Service, story: impl FnOnce() -> F + Send + 'static) -> Answer
where
    F: Future<Output = Html>,
{
    Ok(html_answer(StatusCode::OK, service.together(story).await??))
}

/// Pages differ by who looks at them, and what one person saw is not kept for the next.
fn html_answer(status: StatusCode, html: String) -> HttpResponse {
    let mut page = HttpResponseBuilder::new(status);
    page.content_type("text/html; charset=utf-8").insert_header((CACHE_CONTROL, "private, no-store")).insert_header((VARY, "Cookie"));
    let mut page = page.body(html);
    page.extensions_mut().insert(IsPage);
    page
}

/// After a form was accepted: go and look, so that a reload does not send it again.
pub fn see_other(path: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, path)).insert_header((CACHE_CONTROL, "no-store")).finish()
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    status: u16,
    problem: ProblemBody,
}

/// A refusal as a page: what is wrong, and what to do next.
pub fn error_page(status: StatusCode, problem: &ProblemBody, user: Option<String>) -> Option<String> {
    let mut problem = problem.clone();
    if problem.code == "no_such_page" {
        problem.hint = "check the address, search for what you want, or start at the first page".into();
    }
    ErrorPage { frame: Frame::named(user, ""), status: status.as_u16(), problem }.render().ok()
}
