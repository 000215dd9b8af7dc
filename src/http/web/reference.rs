//! The API as a page: the OpenAPI document, read by people.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use serde_json::Value;

use super::frame::{Frame, page};
use crate::http::api::openapi;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::Query;

#[derive(Template)]
#[template(path = "reference.html")]
struct Reference {
    frame: Frame,
    groups: Vec<Group>,
    schemas: Vec<Schema>,
    /// The group that is shown with all its details; empty where all are shown in a line a call.
    part: String,
}

struct Group {
    name: String,
    calls: Vec<Call>,
}

struct Call {
    method: String,
    path: String,
    summary: Text,
    description: Text,
    /// Name, place and meaning.
    parameters: Vec<(String, String, Text)>,
    body: Option<String>,
    /// Status, meaning and body.
    answers: Vec<(String, Text, Option<String>)>,
}

struct Schema {
    name: String,
    description: Text,
    /// Name, type and meaning.
    fields: Vec<(String, String, Text)>,
}

/// Prose whose parts between back quotes are code.
struct Text(Vec<(bool, String)>);

impl Text {
    fn of(value: &Value, key: &str) -> Text {
        let whole = text(value, key);
        let parts = whole.split('`').enumerate().map(|(at, part)| (at % 2 == 1, part.to_owned()));
        Text(parts.filter(|(_, part)| !part.is_empty()).collect())
    }
}

/// The calls of all groups in a line each; `part` names a group that is shown whole, with the bodies it takes and gives.
pub async fn show(visitor: Visitor, query: Query) -> Answer {
    let document = serde_json::to_value(openapi::description()).map_err(|e| HttpError::internal(format!("the API's description: {e}")))?;
    let part = query.text("part");
    let mut groups = groups(&document);
    let known = groups.iter().any(|group| group.name == part);
    let part = if known { part } else { String::new() };
    let schemas = if known { schemas(&document, &reached(&document, &part)) } else { Vec::new() };
    if known {
        groups.retain(|group| group.name == part);
    }
    let frame = Frame::of(&visitor, "api").at("/api").about("The API of this hub: every call, its parameters and answers");
    page(&Reference { frame, groups, schemas, part })
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn entries<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(key).and_then(Value::as_object).into_iter().flatten()
}

fn groups(document: &Value) -> Vec<Group> {
    let mut by_tag: BTreeMap<String, Vec<Call>> = BTreeMap::new();
    for (path, methods) in entries(document, "paths") {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let tag = operation.pointer("/tags/0").and_then(Value::as_str).unwrap_or("other");
            by_tag.entry(tag.to_owned()).or_default().push(call(method, path, operation));
        }
    }
    by_tag.into_iter().map(|(name, calls)| Group { name, calls }).collect()
}

fn call(method: &str, path: &str, operation: &Value) -> Call {
    let parameters = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
    let parameter = |p: &Value| (text(p, "name"), text(p, "in"), Text::of(p, "description"));
    let answer = |(status, answer): (&String, &Value)| (status.clone(), Text::of(answer, "description"), content(answer));
    Call {
        method: method.to_uppercase(),
        path: path.to_owned(),
        summary: Text::of(operation, "summary"),
        description: Text::of(operation, "description"),
        parameters: parameters.map(parameter).collect(),
        body: operation.get("requestBody").and_then(content),
        answers: entries(operation, "responses").map(answer).collect(),
    }
}

/// The schema a body has, by name.
fn content(body: &Value) -> Option<String> {
    let (media, content) = entries(body, "content").next()?;
    let schema = content.get("schema").map(type_name).unwrap_or_default();
    Some(if schema.is_empty() || media != "application/json" { media.clone() } else { schema })
}

fn type_name(schema: &Value) -> String {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    let kind = match schema.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => return schema.pointer("/oneOf/1").or(schema.pointer("/allOf/0")).map(type_name).unwrap_or_default(),
    };
    match schema.get("items") {
        Some(items) => format!("list of {}", type_name(items)),
        None => kind,
    }
}

/// Names of the bodies that the calls of a group take and give, and of those in them.
fn reached(document: &Value, group: &str) -> BTreeSet<String> {
    let mut queue: Vec<&Value> = entries(document, "paths")
        .flat_map(|(_, methods)| methods.as_object().into_iter().flatten())
        .map(|(_, operation)| operation)
        .filter(|operation| operation.pointer("/tags/0").and_then(Value::as_str) == Some(group))
        .collect();
    let mut found = BTreeSet::new();
    while let Some(value) = queue.pop() {
        match value {
            Value::Object(object) => {
                if let Some(name) = object.get("$ref").and_then(Value::as_str).and_then(|reference| reference.rsplit('/').next())
                    && found.insert(name.to_owned())
                {
                    queue.extend(document.get("components").and_then(|parts| parts.get("schemas")?.get(name)));
                }
                queue.extend(object.values());
            }
            Value::Array(list) => queue.extend(list),
            _ => {}
        }
    }
    found
}

fn schemas(document: &Value, wanted: &BTreeSet<String>) -> Vec<Schema> {
    let all = document.pointer("/components/schemas").and_then(Value::as_object).into_iter().flatten();
    let all = all.filter(|(name, _)| wanted.contains(*name));
    all.map(|(name, schema)| Schema { name: name.clone(), description: Text::of(schema, "description"), fields: fields(schema) }).collect()
}

/// The fields of an object, also of the parts it is put together from.
fn fields(schema: &Value) -> Vec<(String, String, Text)> {
    let parts = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
    let field = |(name, field): (&String, &Value)| (name.clone(), type_name(field), Text::of(field, "description"));
    std::iter::once(schema).chain(parts).flat_map(|part| entries(part, "properties")).map(field).collect()
}
