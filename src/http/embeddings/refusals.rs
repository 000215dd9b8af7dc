//! Refusals in the words of these dialects, wherever they were made: also those of the frame and the extractors, which know nothing
//! of dialects.

use actix_web::http::StatusCode;

use crate::wire::embeddings::{OpenAiError, OpenAiProblem, TeiError};
use crate::wire::error::ProblemBody;

/// As OpenAI's API has it; its clients make an exception of the status, and show the message.
pub fn openai(status: StatusCode, problem: &ProblemBody) -> String {
    let kind = match status.as_u16() {
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    let code = match (status.as_u16(), problem.code.as_str()) {
        (401, _) => "invalid_api_key",
        (429, _) => "rate_limit_exceeded",
        (404, code) if param(code) == Some("model") => "model_not_found",
        (_, code) => code,
    };
    let error = OpenAiProblem {
        message: sentence(problem),
        kind: kind.into(),
        param: param(&problem.code).map(String::from),
        code: Some(code.into()),
    };
    serde_json::to_string(&OpenAiError { error }).unwrap_or_default()
}

/// The key of the question that a refusal is about.
fn param(code: &str) -> Option<&'static str> {
    match code {
        "bad_name" | "repo_not_found" | "repo_moved" | "no_text_encoder" | "revision_not_found" | "ambiguous_revision"
        | "version_deleted" | "nothing_published" => Some("model"),
        "token_ids" | "nothing_asked" | "too_many_items" | "text_unreadable" | "no_known_word" => Some("input"),
        "bad_dimensions" => Some("dimensions"),
        _ => None,
    }
}

/// As text-embeddings-inference has it: one of its six words says which part of it refuses.
pub fn tei(status: StatusCode, problem: &ProblemBody) -> String {
    let error_type = match (status.as_u16(), problem.code.as_str()) {
        (429, _) => "Overloaded",
        (503 | 504 | 507, _) => "Unhealthy",
        (500.., _) => "Backend",
        (_, "nothing_asked") => "Empty",
        (_, "text_unreadable" | "no_known_word") => "Tokenizer",
        _ => "Validation",
    };
    let body = TeiError { error: sentence(problem), error_type: error_type.into() };
    serde_json::to_string(&body).unwrap_or_default()
}

fn sentence(problem: &ProblemBody) -> String {
    format!("{}; {}", problem.message, problem.hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn problem(code: &str) -> ProblemBody {
        ProblemBody { code: code.into(), message: "no".into(), hint: "ask otherwise".into(), request_id: "1".into() }
    }

    #[test]
    fn both_dialects_have_words_for_every_status() {
        let openai = |status: u16, code: &str| {
            let said: Value = serde_json::from_str(&openai(StatusCode::from_u16(status).unwrap(), &problem(code))).unwrap();
            let of = |key: &str| said["error"][key].clone();
            assert_eq!(of("message"), "no; ask otherwise");
            [of("type"), of("code"), of("param")]
        };
        assert_eq!(openai(404, "repo_not_found"), [json!("invalid_request_error"), json!("model_not_found"), json!("model")]);
        assert_eq!(openai(404, "no_such_page"), [json!("invalid_request_error"), json!("no_such_page"), Value::Null]);
        assert_eq!(openai(401, "bad_token"), [json!("invalid_request_error"), json!("invalid_api_key"), Value::Null]);
        assert_eq!(openai(400, "token_ids"), [json!("invalid_request_error"), json!("token_ids"), json!("input")]);
        assert_eq!(openai(429, "too_many_requests"), [json!("rate_limit_error"), json!("rate_limit_exceeded"), Value::Null]);
        assert_eq!(openai(507, "disk_full"), [json!("server_error"), json!("disk_full"), Value::Null]);
        let tei = |status: u16, code: &str| {
            let said: Value = serde_json::from_str(&tei(StatusCode::from_u16(status).unwrap(), &problem(code))).unwrap();
            said["error_type"].as_str().unwrap().to_owned()
        };
        let told = [(400, "nothing_asked"), (413, "too_many_items"), (422, "text_unreadable"), (429, ""), (503, "busy"), (500, "internal")];
        let words = told.map(|(status, code)| tei(status, code));
        assert_eq!(words, ["Empty", "Validation", "Tokenizer", "Overloaded", "Unhealthy", "Backend"]);
    }
}
