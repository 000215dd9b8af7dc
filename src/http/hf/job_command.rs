//! The commands that `hf jobs run` may ask for: this program's own, `hub finetune ...` and `hub evaluate ...`, read as their flags are on the
//! command line. Nothing else is run here, and no image is: whatever container is named, the work is done by this hub's workers.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::domain::recipe::Asked;
use crate::wire::evaluations::CreateEvaluation;
use crate::wire::jobs::CreateFineTune;

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    FineTune(Box<CreateFineTune>),
    Evaluate(CreateEvaluation),
}

/// Settings of a recipe that are flags of their own.
const SETTINGS: [&str; 7] = ["strategy", "epochs", "lr", "head-lr", "batch-size", "frozen-stages", "image-size"];
const WORDS: usize = 200;

/// # Errors
/// In a sentence: what is wrong with it.
pub(super) fn read(words: &[String]) -> Result<Wanted, String> {
    if words.len() > WORDS {
        return Err(format!("the command has {} words, more than {WORDS}", words.len()));
    }
    let mut words = words.iter().map(String::as_str).skip_while(|word| *word == "hub");
    match words.next() {
        Some("finetune") => fine_tune(&mut Flags::read(words, &["private", "watch", "race", "find-lr", "from-scratch"])?),
        Some("evaluate") => evaluate(&mut Flags::read(words, &["detach"])?),
        _ => Err("only `hub finetune ...` and `hub evaluate ...` are run here".into()),
    }
}

/// Words of a command by their flags.
#[derive(Default)]
struct Flags<'a> {
    given: BTreeMap<&'a str, Vec<&'a str>>,
    /// Those without one.
    plain: Vec<&'a str>,
}

impl<'a> Flags<'a> {
    /// `switches` take no value.
    fn read(mut words: impl Iterator<Item = &'a str>, switches: &[&str]) -> Result<Flags<'a>, String> {
        let (mut given, mut plain) = (BTreeMap::<&str, Vec<&str>>::new(), Vec::new());
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--") else {
                plain.push(word);
                continue;
            };
            let (flag, value) = match flag.split_once('=') {
                Some((flag, value)) => (flag, value),
                None if switches.contains(&flag) => (flag, "true"),
                None => (flag, words.next().ok_or_else(|| format!("--{flag} has no value"))?),
            };
            given.entry(flag).or_default().push(value);
        }
        Ok(Flags { given, plain })
    }

    fn take(&mut self, flag: &str) -> Option<&'a str> {
        self.given.remove(flag).and_then(|values| values.last().copied())
    }

    fn need(&mut self, flag: &str) -> Result<String, String> {
        self.take(flag).map(str::to_owned).ok_or_else(|| format!("--{flag} is missing"))
    }

    fn switch(&mut self, flag: &str) -> bool {
        self.take(flag).is_some()
    }

    /// Nothing may be left over.
    fn done(self) -> Result<(), String> {
        match (self.given.keys().next(), self.plain.first()) {
            (Some(flag), _) => Err(format!("--{flag} is not taken here; the API at /api/v1 takes all that `hub` does")),
            (None, Some(word)) => Err(format!("'{word}' is one word too many")),
            (None, None) => Ok(()),
        }
    }
}

fn fine_tune(flags: &mut Flags<'_>) -> Result<Wanted, String> {
    let (base, dataset, name) = (flags.need("base")?, flags.need("dataset")?, flags.need("name")?);
    let (private, race) = (flags.switch("private"), flags.switch("race"));
    flags.switch("watch");
    let mut settings = Map::new();
    for setting in SETTINGS.into_iter().chain(["seed"]) {
        if let Some(text) = flags.take(setting) {
            settings.insert(setting.replace('-', "_"), value(text));
        }
    }
    for setting in ["find-lr", "from-scratch"] {
        if flags.switch(setting) {
            settings.insert(setting.replace('-', "_"), Value::Bool(true));
        }
    }
    for pair in flags.given.remove("set").unwrap_or_default() {
        let (key, text) = pair.split_once('=').ok_or_else(|| format!("--set {pair}: no '='"))?;
        match key.split_once('.') {
            None => drop(settings.insert(key.to_owned(), value(text))),
            Some((group, name)) => {
                let group = settings.entry(group).or_insert_with(|| Map::new().into());
                let group = group.as_object_mut().ok_or_else(|| format!("--set {pair}: that is no group of settings"))?;
                group.insert(name.to_owned(), value(text));
            }
        }
    }
    let recipe = Asked::new(settings).map_err(|problem| format!("the recipe is refused: {problem}"))?;
    std::mem::take(flags).done()?;
    Ok(Wanted::FineTune(Box::new(CreateFineTune { base, race, dataset, name, private, recipe, sweep: None })))
}

fn evaluate(flags: &mut Flags<'_>) -> Result<Wanted, String> {
    if flags.plain.is_empty() {
        return Err("name the model: hub evaluate MODEL --dataset NAME".into());
    }
    let model = flags.plain.remove(0).to_owned();
    let (dataset, split) = (flags.need("dataset")?, flags.take("split").map(str::to_owned));
    let support = flags.take("support").map(str::to_owned);
    let (by_names, prompt) = (flags.switch("by-names"), flags.take("prompt").map(str::to_owned));
    flags.switch("detach");
    std::mem::take(flags).done()?;
    Ok(Wanted::Evaluate(CreateEvaluation { model, dataset, split, support, by_names, prompt }))
}

/// What does not read as JSON is a word, such as adamw.
fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asked(line: &str) -> Result<Wanted, String> {
        read(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn our_own_commands_are_read_as_the_command_line_reads_them() {
        let line = "hub finetune --base resnet18@2 --dataset ada/cats --name=ada/net --private --epochs 3 --set optimizer=adamw --set augment.views=2";
        let Ok(Wanted::FineTune(made)) = asked(line) else { panic!("{:?}", asked(line)) };
        assert_eq!(
            (made.base.as_str(), made.dataset.as_str(), made.name.as_str(), made.private),
            ("resnet18@2", "ada/cats", "ada/net", true)
        );
        assert_eq!(json!(made.recipe), json!({ "epochs": 3, "optimizer": "adamw", "augment": { "views": 2 } }));
        let Ok(Wanted::Evaluate(made)) = asked("evaluate ada/net@1 --dataset ada/cats --split test") else { panic!() };
        assert_eq!((made.model.as_str(), made.split.as_deref()), ("ada/net@1", Some("test")));
    }

    #[test]
    fn nothing_else_is() {
        for line in [
            "",
            "hub",
            "python -c print(1)",
            "sh -c hub",
            "hub serve",
            "hub admin token create ada",
            "hub finetune",
            "hub finetune --base a --dataset b",
            "hub finetune --base a --dataset b --name c --token x",
            "hub finetune --base a --dataset b --name c more",
            "hub finetune --base a --dataset b --name c --epochs",
            "hub finetune --base a --dataset b --name c --epochs many",
            "hub finetune --base a --dataset b --name c --set seed.x=1",
            "hub evaluate --dataset b",
        ] {
            assert!(asked(line).is_err(), "{line}");
        }
    }
}
