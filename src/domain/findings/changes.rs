//! The settings of a recipe that are not the defaults: what a person looks for first.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::recipe::Recipe;

/// A setting under its name in the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub setting: String,
    pub value: Value,
    pub default: Value,
}

/// What differs from the defaults for its items, in the order of the recipe.
pub fn changes(recipe: &Recipe) -> Vec<Change> {
    let json = |recipe: &Recipe| serde_json::to_value(recipe).unwrap_or_default();
    let mut found = Vec::new();
    compare("", &json(recipe), &json(&recipe.without_asked()), &mut found);
    found
}

fn compare(prefix: &str, value: &Value, default: &Value, found: &mut Vec<Change>) {
    match (value, default) {
        (Value::Object(value), Value::Object(default)) => {
            for (key, inner) in value {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                compare(&name, inner, default.get(key).unwrap_or(&Value::Null), found);
            }
        }
        _ if value != default => found.push(Change { setting: prefix.to_owned(), value: value.clone(), default: default.clone() }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_changed_is_told() {
        assert_eq!(changes(&Recipe::default()), []);
        let mut recipe = Recipe { epochs: 3, ..Recipe::default() };
        recipe.augment.views = 2;
        let told: Vec<_> = changes(&recipe).into_iter().map(|change| (change.setting, change.value, change.default)).collect();
        assert_eq!(told, [("epochs".into(), 3.into(), 10.into()), ("augment.views".into(), 2.into(), 0.into())]);
    }
}
