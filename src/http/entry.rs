//! A line of the page of all routes (`routes.rs`): a path, its handlers, and what the frame must know of it.

use actix_web::guard::{Any, Get, Head, fn_guard};
use actix_web::http::header::ALLOW;
use actix_web::http::{Method, StatusCode};
use actix_web::{FromRequest, Handler, Resource, Responder, Route, web};

use super::error::{Dialect, HttpError};
use super::route::{About, Traits};
use crate::domain::name::RepoKind;

/// One line of the page.
pub struct Entry {
    pub path: &'static str,
    pub methods: Vec<Method>,
    /// A key the query must have; without it the path is another entry's.
    pub asking: Option<&'static str>,
    pub traits: Traits,
    handlers: Vec<(Method, Route)>,
}

/// A path and its handlers.
pub fn at<const N: usize>(path: &'static str, handlers: [(Method, Route); N]) -> Entry {
    let methods = handlers.iter().map(|(method, _)| method.clone()).collect();
    Entry { path, methods, asking: None, traits: Traits::PLAIN, handlers: handlers.into() }
}

macro_rules! verbs {
    ($($verb:ident => $method:ident),+) => {
        $(pub fn $verb<F, Args>(handler: F) -> (Method, Route)
        where
            F: Handler<Args>,
            Args: FromRequest + 'static,
            F::Output: Responder + 'static,
        {
            (Method::$method, web::to(handler))
        })+
    };
}

verbs! { get => GET, post => POST, put => PUT, patch => PATCH, delete => DELETE }

impl Entry {
    pub fn asking(self, key: &'static str) -> Entry {
        Entry { asking: Some(key), ..self }
    }

    fn about(mut self, about: About) -> Entry {
        self.traits.about = about;
        self
    }

    /// About a repo of the kind its address names.
    pub fn repo(self) -> Entry {
        self.about(About::RepoOfKind)
    }

    pub fn model(self) -> Entry {
        self.about(About::Repo(RepoKind::Model))
    }

    pub fn dataset(self) -> Entry {
        self.about(About::Repo(RepoKind::Dataset))
    }

    pub fn bytes(mut self) -> Entry {
        self.traits.bytes = true;
        self
    }

    pub fn question(mut self) -> Entry {
        self.traits.question = true;
        self
    }

    pub fn for_people(mut self) -> Entry {
        self.traits.page = true;
        self
    }

    pub fn heavy(mut self) -> Entry {
        self.traits.heavy = true;
        self
    }

    /// Strangers may be given the answer that another had a moment ago.
    pub fn cached(mut self) -> Entry {
        self.traits.cached = true;
        self
    }

    pub fn for_workers(mut self) -> Entry {
        self.traits.worker = true;
        self
    }

    pub fn for_hugging_face(mut self) -> Entry {
        self.traits.dialect = Dialect::HuggingFace;
        self
    }

    pub fn for_openai(mut self) -> Entry {
        self.traits.dialect = Dialect::OpenAi;
        self
    }

    pub fn for_tei(mut self) -> Entry {
        self.traits.dialect = Dialect::Tei;
        self
    }

    pub fn into_resource(self) -> Resource {
        let own_head = self.methods.contains(&Method::HEAD);
        let mut allowed: Vec<String> = self.methods.iter().map(Method::to_string).collect();
        if self.methods.contains(&Method::GET) && !own_head {
            allowed.push("HEAD".into());
        }
        let mut resource = web::resource(self.path);
        if let Some(key) = self.asking {
            resource = resource.guard(fn_guard(move |context| asks(context.head().uri.query(), key)));
        }
        for (method, route) in self.handlers {
            let route = if method == Method::GET && !own_head { route.guard(Any(Get()).or(Head())) } else { route.method(method) };
            resource = resource.route(route);
        }
        let allow = allowed.join(", ");
        resource.default_service(web::to(move || {
            let status = if allow.is_empty() { StatusCode::NOT_FOUND } else { StatusCode::METHOD_NOT_ALLOWED };
            let error = HttpError::of_status(status).with_header(ALLOW, allow.clone());
            async move { Err::<&str, _>(error) }
        }))
    }
}

fn asks(query: Option<&str>, key: &str) -> bool {
    query.is_some_and(|query| query.split('&').any(|pair| pair.split('=').next() == Some(key)))
}
