//! The forms of texts in the description: names, digests, and where only a few words are taken, which. Tools that make calls from the
//! description then make right ones. The server refuses a little more, such as reserved names.

use serde_json::Value;
use utoipa::Modify;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{ArrayItems, SchemaType};
use utoipa::openapi::{Object, RefOr, Schema, Type};

/// A name of an account or of a repo in its namespace: dots and dashes stand between other characters, and none beside its own kind.
pub(super) const NAME: &str = "^[A-Za-z0-9](\\.?(-\\.)*-?[A-Za-z0-9_])*$";
const REPO: &str = "^[A-Za-z0-9](\\.?(-\\.)*-?[A-Za-z0-9_])*(/[A-Za-z0-9](\\.?(-\\.)*-?[A-Za-z0-9_])*)?$";
const REPO_AT: &str =
    "^[A-Za-z0-9](\\.?(-\\.)*-?[A-Za-z0-9_])*(/[A-Za-z0-9](\\.?(-\\.)*-?[A-Za-z0-9_])*)?(@[A-Za-z0-9](/?(\\./)*\\.?[A-Za-z0-9_+-])*)?$";
pub(super) const DIGEST: &str = "^[0-9a-f]{64}$";
pub(super) const REF: &str = "^[A-Za-z0-9](/?(\\./)*\\.?[A-Za-z0-9_+-])*$";
pub(super) const REVISION: &str = "^(sha256:[0-9a-f]{64}|[A-Za-z0-9](/?(\\./)*\\.?[A-Za-z0-9_+-])*)$";
const REVISION_OR_NONE: &str = "^(sha256:[0-9a-f]{64}|[A-Za-z0-9](/?(\\./)*\\.?[A-Za-z0-9_+-])*)?$";
const NO_CONTROLS: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$";
const NAME_OR_NONE: &str = "^([A-Za-z0-9](\\.?(-\\.)*-?[A-Za-z0-9_])*)?$";
const SPAN_OR_NONE: &str = "^(0|[0-9]{1,6}[smhd])?$";

const KINDS: [&str; 4] = ["model", "dataset", "models", "datasets"];
const DTYPES: [&str; 3] = ["f32", "f16", "int8"];
const SCOPES: [&str; 3] = ["read", "write", "admin"];
const STATE_OR_NONE: &str = "^(queued|running|succeeded|failed|cancelled)?$";
const SORT_OR_NONE: &str = "^(relevance|downloads|newest|created|size|top1|name|license|dataset|measure:[a-z0-9][ -~]{0,63})?$";

enum Form {
    Like(&'static str, usize),
    OneOf(&'static [&'static str]),
}

pub(super) struct Forms;

impl Modify for Forms {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (name, schema) in document.components.iter_mut().flat_map(|all| &mut all.schemas) {
            let RefOr::T(Schema::Object(object)) = schema else { continue };
            for (property, schema) in &mut object.properties {
                write(schema, of_property(name, property));
            }
        }
        for (path, item) in &mut document.paths.paths {
            let calls = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
            for parameter in calls.into_iter().flatten().flat_map(|call| call.parameters.iter_mut().flatten()) {
                if let RefOr::T(Parameter { name, parameter_in: ParameterIn::Query, schema: Some(schema), .. }) = parameter {
                    write(schema, of_question(path, name));
                }
            }
        }
    }
}

/// What a body's key takes.
fn of_property(schema: &str, property: &str) -> Option<Form> {
    Some(match (schema, property) {
        ("CheckBlobs" | "CreateUpload" | "OfferedTensor" | "File", "sha256") | ("CreateCommit", "manifest") => Form::Like(DIGEST, 64),
        ("CreateRepo" | "UpdateMirror", "kind") => Form::OneOf(&KINDS),
        ("CreateRepo" | "UpdateMirror", "id") | ("CreateFineTune" | "ReplayFineTune" | "CloneJob", "name") => Form::Like(REPO, 193),
        ("CreateFineTune", "base" | "dataset")
        | ("CreateEmbedding", "model" | "dataset")
        | ("ReplayFineTune", "model")
        | ("CreateRecommendation", "dataset")
        | ("CreateWord2vec", "dataset" | "from")
        | ("ExamineDataset", "base") => Form::Like(REPO_AT, 258),
        ("CreateWord2vec", "name") => Form::Like(REPO, 193),
        ("CreateWord2vec", "dtype") => Form::OneOf(&DTYPES),
        ("ExamineDataset", "revision") => Form::Like(REVISION, 128),
        ("CreateAccount", "name") | ("CreateToken" | "Member", "user") => Form::Like(NAME, 96),
        ("CreateAccount", "kind") => Form::OneOf(&["user", "organisation"]),
        ("CreateToken" | "CreateWorkerToken", "name") => Form::Like(NO_CONTROLS, 96),
        ("CreateToken", "scope") | ("Member", "role") => Form::OneOf(&SCOPES),
        ("PatchVersion", "state") => Form::OneOf(&["live", "yanked"]),
        ("SetRef", "revision") => Form::Like(REVISION, 71),
        _ => return None,
    })
}

/// What a key of an address's question takes; one without a value is as none.
fn of_question(path: &str, name: &str) -> Option<Form> {
    Some(match (path, name) {
        ("/api/v1/search", "sort") => Form::Like(SORT_OR_NONE, 72),
        ("/api/v1/finetunes" | "/api/v1/jobs", "state") => Form::Like(STATE_OR_NONE, 9),
        ("/api/v1/admin/audit", "since") => Form::Like(SPAN_OR_NONE, 7),
        ("/api/v1/tokens", "user") => Form::Like(NAME_OR_NONE, 96),
        (_, "revision") => Form::Like(REVISION_OR_NONE, 71),
        _ => return None,
    })
}

fn write(schema: &mut RefOr<Schema>, form: Option<Form>) {
    match (schema, form) {
        (RefOr::T(Schema::Object(object)), Some(form)) => form.write(object),
        (RefOr::T(Schema::Array(list)), Some(form)) => {
            if let ArrayItems::RefOrSchema(items) = &mut list.items {
                write(items, Some(form));
            }
        }
        _ => {}
    }
}

impl Form {
    fn write(self, object: &mut Object) {
        match self {
            Form::Like(pattern, most) => (object.pattern, object.max_length) = (Some(pattern.into()), Some(most)),
            Form::OneOf(words) => {
                let none = matches!(&object.schema_type, SchemaType::Array(types) if types.contains(&Type::Null));
                let words = words.iter().map(|word| Value::from(*word));
                object.enum_values = Some(words.chain(none.then_some(Value::Null)).collect());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::JobState;
    use crate::domain::name::RepoKind;
    use crate::domain::search::Sort;
    use crate::domain::user::{Role, Scope};

    #[test]
    fn the_words_are_those_the_server_takes() {
        assert!(KINDS.iter().all(|word| RepoKind::parse(word).is_ok()));
        assert!(SCOPES.iter().all(|word| Scope::parse(word).is_some() && Role::parse(word).is_some()));
        let words = |form: &'static str| form.trim_start_matches("^(").trim_end_matches(")?$").split('|');
        assert!(words(STATE_OR_NONE).all(|word| JobState::parse(word).is_some()));
        assert!(words(SORT_OR_NONE).all(|word| Sort::parse(word).is_some() || word.starts_with("measure:")));
    }

    #[test]
    fn forms_stand_where_they_belong() {
        let document = serde_json::to_value(super::super::openapi::description()).unwrap();
        let schema = |name: &str, property: &str| document["components"]["schemas"][name]["properties"][property].clone();
        assert_eq!(schema("CheckBlobs", "sha256")["items"]["pattern"], DIGEST);
        assert_eq!(schema("CreateToken", "scope")["enum"], serde_json::json!(["read", "write", "admin", null]));
        assert_eq!(schema("CreateRepo", "kind")["enum"], serde_json::json!(KINDS));
        let search = document["paths"]["/api/v1/search"]["get"]["parameters"].as_array().unwrap();
        let sort = search.iter().find(|parameter| parameter["name"] == "sort").unwrap();
        assert_eq!(sort["schema"]["pattern"], SORT_OR_NONE);
    }
}
