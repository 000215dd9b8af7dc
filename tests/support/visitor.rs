//! A person with a browser that runs no scripts.

use std::collections::BTreeMap;

use reqwest::Method;

use super::{Reply, Server, http};

/// A browser without scripts: it keeps cookies, sends forms and says that it wants pages.
pub struct Browser {
    url: String,
    http: reqwest::Client,
    pub cookies: BTreeMap<String, String>,
}

impl Browser {
    pub fn new(server: &Server) -> Browser {
        Browser::at(&server.url)
    }

    /// A browser that asks this address.
    pub fn at(url: &str) -> Browser {
        Browser { url: url.to_owned(), http: http(), cookies: BTreeMap::new() }
    }

    /// A browser that is logged in with this token.
    pub async fn logged_in(server: &Server, token: &str) -> Browser {
        let mut browser = Browser::new(server);
        let form = browser.page("/login").await;
        let answer = browser.send("/login", &[("csrf", &csrf(&form)), ("token", token), ("next", "/jobs")]).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/jobs"), "{}", answer.text());
        browser
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.http.request(method, format!("{}{path}", self.url)).header("accept", "text/html,*/*");
        if cookies.is_empty() { request } else { request.header("cookie", cookies.join("; ")) }
    }

    pub async fn answer(&mut self, request: reqwest::RequestBuilder) -> Reply {
        let reply = Reply::of(request).await;
        for cookie in reply.headers.get_all("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.into(), value.into());
        }
        reply
    }

    pub async fn get(&mut self, path: &str) -> Reply {
        let request = self.request(Method::GET, path);
        self.answer(request).await
    }

    /// The text of a page of status 200.
    pub async fn page(&mut self, path: &str) -> String {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.text()
    }

    pub async fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let request = self.form(path, fields);
        self.answer(request).await
    }

    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.request(Method::POST, path).header("content-type", "application/x-www-form-urlencoded").body(body)
    }
}

/// The token of the forms on a page.
#[track_caller]
pub fn csrf(page: &str) -> String {
    let rest = page.split("name=\"csrf\" value=\"").nth(1).expect("a form with a token");
    rest.split('"').next().unwrap().to_owned()
}
