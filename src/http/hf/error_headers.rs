//! Refusals in this dialect's words, wherever they were made: also those of the frame and the extractors, which
//! know nothing of dialects.

use actix_web::http::header::{HeaderName, HeaderValue};

use crate::wire;
use crate::wire::error::ProblemBody;

/// Clients take only this very text for "the token is wrong"; anything else reads as "no such repo".
const BAD_TOKEN: &str = "Invalid credentials in Authorization header";

/// `X-Error-Code` for one of our codes, where the dialect has a word for it.
pub fn code_of(code: &str) -> Option<&'static str> {
    match code {
        "repo_not_found" | "repo_moved" => Some("RepoNotFound"),
        "revision_not_found" | "version_deleted" | "nothing_published" | "ambiguous_revision" => Some("RevisionNotFound"),
        "file_not_found" => Some("EntryNotFound"),
        "too_many_requests" => Some("TooManyRequests"),
        // The one refusal of a whole repo whose words clients show; they take others for a broken line.
        "not_mirrored" => Some("GatedRepo"),
        _ => None,
    }
}

/// What the dialect's clients read beside the body.
pub fn headers(problem: &ProblemBody) -> Vec<(HeaderName, HeaderValue)> {
    let message = match problem.code.as_str() {
        "bad_token" | "bad_authorization" => BAD_TOKEN,
        _ => &problem.message,
    };
    let line: String = message.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
    let code = code_of(&problem.code).map(|code| ("x-error-code", code.to_owned()));
    let all = [Some(("x-error-message", line)), code].into_iter().flatten();
    all.filter_map(|(name, text)| Some((HeaderName::from_static(name), HeaderValue::from_str(&text).ok()?))).collect()
}

/// The body beside them.
pub fn problem_body(problem: ProblemBody, url: Option<String>) -> String {
    let problem = wire::hf::Problem { error: format!("{}; {}", problem.message, problem.hint), url };
    serde_json::to_string(&problem).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_fit_a_header() {
        let problem = |code: &str, message: &str| ProblemBody {
            code: code.into(),
            message: message.into(),
            hint: String::new(),
            request_id: String::new(),
        };
        let told = headers(&problem("repo_not_found", "no 'ö\n'"));
        assert_eq!(told.iter().map(|(_, v)| v.to_str().unwrap()).collect::<Vec<_>>(), ["no '??'", "RepoNotFound"]);
        assert_eq!(headers(&problem("bad_token", "expired"))[0].1, BAD_TOKEN);
    }
}
