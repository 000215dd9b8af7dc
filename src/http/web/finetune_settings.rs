//! The settings of a recipe as fields of a form: what each is called, what it may be and what it is for. A setting that has no line here
//! stands under the last heading, as it is written in JSON, so that the form has all that the API has.

use serde_json::Value;

use super::finetune_groups::{GROUPS, Kind};
use crate::domain::recipe::{Asked, Recipe};
use crate::domain::task::Task;
use crate::http::extract::Query;

/// What is chosen above all groups.
const ABOVE: &str = "strategy";

/// A group of fields as the page shows it.
pub struct Group {
    pub title: &'static str,
    pub open: bool,
    pub fields: Vec<Field>,
}

pub struct Field {
    /// As in JSON, and as the form sends it.
    pub name: String,
    pub id: String,
    pub label: String,
    pub help: &'static str,
    /// `text`, `choice` or `flag`.
    pub kind: &'static str,
    /// Of a text.
    pub value: String,
    pub mode: &'static str,
    /// Of a flag.
    pub checked: bool,
    pub options: Vec<Choice>,
    /// What it is where nothing is said, as people read it.
    pub default: String,
    pub error: Option<String>,
}

pub struct Choice {
    pub value: String,
    pub label: String,
    pub chosen: bool,
}

/// A field that will not do.
#[derive(Debug)]
pub struct Wrong {
    /// As in JSON; "" where it is none in particular.
    pub field: String,
    pub text: String,
}

impl Wrong {
    pub fn new(field: &str, problem: impl std::fmt::Display) -> Wrong {
        Wrong { field: field.to_owned(), text: problem.to_string() }
    }
}

/// What stands in the fields.
pub struct Settings {
    pub strategy: String,
    /// Name and text.
    values: Vec<(String, String)>,
}

impl Settings {
    /// As they are where nobody says anything.
    pub fn defaults() -> Settings {
        let recipe = defaults();
        let strategy = recipe[ABOVE].as_str().unwrap_or_default().to_owned();
        Settings { strategy, values: lines(&recipe).iter().map(|line| (line.0.clone(), written(at(&recipe, &line.0)))).collect() }
    }

    /// As those of a fine-tune that was asked for before.
    pub fn of(recipe: &Recipe) -> Settings {
        let (recipe, known) = (serde_json::to_value(recipe).unwrap_or_default(), defaults());
        let strategy = recipe[ABOVE].as_str().unwrap_or_default().to_owned();
        Settings { strategy, values: lines(&known).iter().map(|line| (line.0.clone(), written(at(&recipe, &line.0)))).collect() }
    }

    /// As they were sent. A box that is not ticked sends nothing.
    pub fn read(form: &Query) -> Settings {
        let recipe = defaults();
        let value = |(name, _, kind, _): &OwnLine| match kind {
            Kind::Flag => (name.clone(), form.find(name).is_some().to_string()),
            _ => (name.clone(), form.find(name).unwrap_or_default().trim().to_owned()),
        };
        Settings { strategy: form.text(ABOVE), values: lines(&recipe).iter().map(value).collect() }
    }

    /// The recipe they make; nothing in a field is its default.
    pub fn recipe(&self) -> Result<Recipe, Wrong> {
        let mut recipe = defaults();
        if !self.strategy.is_empty() {
            recipe[ABOVE] = self.strategy.clone().into();
        }
        for (name, _, kind, _) in lines(&recipe.clone()) {
            let text = self.text(&name);
            if !text.is_empty() {
                let value = parsed(kind, &name, text)?;
                *at_mut(&mut recipe, &name) = value;
            }
        }
        let recipe: Recipe = serde_json::from_value(recipe).map_err(|e| Wrong::new("", e))?;
        recipe.check().map_err(|e| Wrong { field: e.setting.to_owned(), text: e.to_string() })?;
        Ok(recipe)
    }

    /// What of it is not the default: the rest follows what the items of the data set are.
    pub fn asked(&self) -> Result<Asked, Wrong> {
        self.recipe().map(|recipe| Asked::differing(&recipe))
    }

    fn text(&self, name: &str) -> &str {
        self.values.iter().find(|(own, _)| own == name).map_or("", |(_, text)| text)
    }

    /// As the page shows them. A group is open where something in it is not the default, or wrong.
    pub fn groups(&self, wrong: Option<&Wrong>) -> Vec<Group> {
        let recipe = defaults();
        let lines = lines(&recipe);
        let mut groups = Vec::new();
        for (title, open, _) in GROUPS {
            let fields: Vec<Field> =
                lines.iter().filter(|line| group_of(&line.0) == *title).map(|line| self.field(&recipe, line, wrong)).collect();
            let changed = |field: &Field| field.error.is_some() || self.is_changed(&recipe, &field.name);
            groups.push(Group { title, open: *open || fields.iter().any(changed), fields });
        }
        groups
    }

    fn is_changed(&self, recipe: &Value, name: &str) -> bool {
        let text = self.text(name);
        !text.is_empty() && text != written(at(recipe, name))
    }

    fn field(&self, recipe: &Value, (name, label, kind, help): &OwnLine, wrong: Option<&Wrong>) -> Field {
        let (text, default) = (self.text(name).to_owned(), written(at(recipe, name)));
        let chosen = if text.is_empty() { default.clone() } else { text.clone() };
        let words = |words: &[&str], none: Option<&str>| -> Vec<Choice> {
            let one = |word: &&str| Choice { value: (*word).to_owned(), label: (*word).to_owned(), chosen: *word == chosen };
            let none = none.map(|label| Choice { value: String::new(), label: label.to_owned(), chosen: chosen.is_empty() });
            none.into_iter().chain(words.iter().map(one)).collect()
        };
        let (shape, mode, options) = match kind {
            Kind::Flag => ("flag", "", Vec::new()),
            Kind::Words(known) => ("choice", "", words(known, None)),
            Kind::Task => ("choice", "", words(&tasks(), Some("as the data set's targets"))),
            Kind::Loss => ("choice", "", words(&losses(), Some("the task's first"))),
            Kind::Whole => ("text", "numeric", Vec::new()),
            Kind::Number => ("text", "decimal", Vec::new()),
            Kind::Json => ("text", "text", Vec::new()),
        };
        let shown = match default.as_str() {
            "" => String::new(),
            "true" => "on".into(),
            "false" => "off".into(),
            other => other.to_owned(),
        };
        let error = wrong.filter(|wrong| wrong.field == *name).map(|wrong| wrong.text.clone());
        Field {
            id: name.replace('.', "-"),
            name: name.clone(),
            label: label.clone(),
            help,
            kind: shape,
            checked: text == "true",
            value: text,
            mode,
            options,
            default: shown,
            error,
        }
    }
}

/// Name, label, what it takes, what it is for.
type OwnLine = (String, String, Kind, &'static str);

fn defaults() -> Value {
    serde_json::to_value(Recipe::default()).unwrap_or_default()
}

/// All settings but the one above: those with a line, in their order, and the rest as JSON has it.
fn lines(recipe: &Value) -> Vec<OwnLine> {
    let named = GROUPS.iter().flat_map(|(_, _, lines)| lines.iter());
    let mut all: Vec<OwnLine> = named.map(|(name, label, kind, help)| ((*name).to_owned(), (*label).to_owned(), *kind, *help)).collect();
    let rest = leaves(recipe).into_iter().filter(|(name, _)| name != ABOVE && !all.iter().any(|line| line.0 == *name));
    let rest: Vec<OwnLine> = rest.map(|(name, is_flag)| (name.clone(), name, if is_flag { Kind::Flag } else { Kind::Json }, "")).collect();
    all.extend(rest);
    all
}

/// The names of all settings, and whether each is a flag.
fn leaves(recipe: &Value) -> Vec<(String, bool)> {
    let Value::Object(settings) = recipe else { return Vec::new() };
    let mut all = Vec::new();
    for (name, value) in settings {
        match value {
            Value::Object(inner) => all.extend(inner.iter().map(|(key, value)| (format!("{name}.{key}"), value.is_boolean()))),
            value => all.push((name.clone(), value.is_boolean())),
        }
    }
    all
}

/// The heading it stands under: the last, where it has no line.
fn group_of(name: &str) -> &'static str {
    let of = GROUPS.iter().find(|(_, _, lines)| lines.iter().any(|line| line.0 == name)).or(GROUPS.last());
    of.map_or("", |(title, _, _)| title)
}

fn at<'a>(recipe: &'a Value, name: &str) -> &'a Value {
    name.split('.').fold(recipe, |value, key| &value[key])
}

fn at_mut<'a>(recipe: &'a mut Value, name: &str) -> &'a mut Value {
    name.split('.').fold(recipe, |value, key| &mut value[key])
}

fn written(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn parsed(kind: Kind, name: &str, text: &str) -> Result<Value, Wrong> {
    let number = || Wrong::new(name, format!("'{text}' is not a number this field takes"));
    let unknown = || Wrong::new(name, format!("there is no '{text}' to choose"));
    match kind {
        Kind::Flag => Ok((text == "true").into()),
        Kind::Whole => text.parse::<u64>().map(Value::from).map_err(|_| number()),
        Kind::Number => text.parse::<f64>().ok().filter(|value| value.is_finite()).map(Value::from).ok_or_else(number),
        Kind::Words(known) => known.contains(&text).then(|| text.into()).ok_or_else(unknown),
        Kind::Task => tasks().contains(&text).then(|| text.into()).ok_or_else(unknown),
        Kind::Loss => losses().contains(&text).then(|| text.into()).ok_or_else(unknown),
        // A word need not stand in quotation marks.
        Kind::Json => Ok(serde_json::from_str(text).unwrap_or_else(|_| text.into())),
    }
}

fn tasks() -> Vec<&'static str> {
    Task::ALL.iter().map(|task| task.as_str()).collect()
}

fn losses() -> Vec<&'static str> {
    let mut all: Vec<&str> = Task::ALL.iter().flat_map(|task| task.about().losses).map(|loss| loss.as_str()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_a_recipe_is_a_field_and_the_defaults_make_the_default_recipe() {
        let settings = Settings::defaults();
        assert_eq!(settings.recipe().unwrap(), Recipe::default());
        let fields: Vec<String> = settings.groups(None).into_iter().flat_map(|group| group.fields).map(|field| field.name).collect();
        for (name, _) in leaves(&defaults()) {
            assert!(name == ABOVE || fields.iter().filter(|field| **field == name).count() == 1, "{name}");
        }
        assert_eq!(fields.len() + 1, leaves(&defaults()).len(), "a line names no setting: {fields:?}");
        // What is sent with nothing in it is the default, too, but for boxes that were not ticked.
        let sent = Settings::read(&Query::new("strategy=auto&augment.horizontal_flip=1&compare_probe=1")).recipe().unwrap();
        assert_eq!(sent, Recipe::default());
    }

    #[test]
    fn the_settings_of_a_job_make_the_same_recipe() {
        let recipe = Recipe { epochs: 7, lr: 0.002, publish_anyway: true, ..Recipe::default() };
        assert_eq!(Settings::of(&recipe).recipe().unwrap(), recipe);
    }

    #[test]
    fn choices_are_those_that_a_recipe_takes() {
        for (_, _, lines) in GROUPS {
            for (name, _, kind, _) in *lines {
                let Kind::Words(words) = kind else { continue };
                for word in *words {
                    let mut recipe = defaults();
                    *at_mut(&mut recipe, name) = (*word).into();
                    assert!(serde_json::from_value::<Recipe>(recipe).is_ok(), "{name} {word}");
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_stands_beside_its_field_in_an_open_group() {
        let wrong = |form: &str| {
            let settings = Settings::read(&Query::new(form));
            let wrong = settings.recipe().unwrap_err();
            let groups = settings.groups(Some(&wrong));
            let at = groups.iter().find(|group| group.fields.iter().any(|field| field.error.is_some())).unwrap();
            assert!(at.open, "{form}");
            wrong.field
        };
        for (form, field) in [
            ("epochs=many", "epochs"),
            ("epochs=1000000000", "epochs"),
            ("lr=nan", "lr"),
            ("augment.hue=0.7", "augment.hue"),
            ("schedule=sinus", "schedule"),
            ("task=sing", "task"),
            ("augment.policy=all", "augment.policy"),
            ("draws=3", "draws"),
        ] {
            assert_eq!(wrong(form), field, "{form}");
        }
    }
}
