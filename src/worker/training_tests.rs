//! What a worker takes from a training, and what it does not.

use std::os::unix::fs::symlink;

use serde_json::json;

use super::*;
use crate::domain::job_event::LONGEST_MESSAGE;

const RESULT: [&str; 4] = ["README.md", "config.json", "metrics.json", WEIGHTS];
const WEIGHTS: &str = "model.safetensors";

fn four() -> Vec<Leaves> {
    RESULT.map(|name| Leaves::always(name, 100)).into()
}

fn result_in(folder: &Path) -> PathBuf {
    let result = folder.join("result");
    std::fs::create_dir(&result).unwrap();
    RESULT.iter().for_each(|name| std::fs::write(result.join(name), "x").unwrap());
    result
}

fn refusal(change: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let result = result_in(folder.path());
    change(&result);
    match verify(&result, &four()) {
        Err(Error::Never(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_result_is_four_plain_files_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let result = result_in(folder.path());
    assert_eq!(verify(&result, &four()).unwrap().len(), 4);
    let more = [four(), vec![Leaves::maybe("curves.csv", 1)]].concat();
    assert_eq!(verify(&result, &more).unwrap().len(), 4, "what may be there need not");
    std::fs::write(result.join("curves.csv"), "xy").unwrap();
    assert!(verify(&result, &more).is_err(), "but then it is looked at too");
    let nested = [four(), vec![Leaves::maybe("curves.csv", 9), Leaves::maybe("1_Pooling/config.json", 9)]].concat();
    std::fs::create_dir(result.join("1_Pooling")).unwrap();
    assert!(verify(&result, &nested).is_err(), "an empty folder is no part of one");
    std::fs::write(result.join("1_Pooling/config.json"), "{}").unwrap();
    assert_eq!(verify(&result, &nested).unwrap().len(), 6);
    std::fs::write(result.join("1_Pooling/more"), "x").unwrap();
    assert!(verify(&result, &nested).is_err());
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "hub_...").unwrap();
    let linked = refusal(|result| {
        std::fs::remove_file(result.join("README.md")).unwrap();
        symlink(&secret, result.join("README.md")).unwrap();
    });
    assert!(linked.contains("'README.md' cannot be read"), "{linked}");
    let named_twice = refusal(|result| {
        std::fs::remove_file(result.join("config.json")).unwrap();
        std::fs::hard_link(&secret, result.join("config.json")).unwrap();
    });
    assert!(named_twice.contains("'config.json' is not a plain file"), "{named_twice}");
    let folder_instead = refusal(|result| {
        std::fs::remove_file(result.join("metrics.json")).unwrap();
        std::fs::create_dir(result.join("metrics.json")).unwrap();
    });
    assert!(folder_instead.contains("'metrics.json' is not a plain file"), "{folder_instead}");
    assert!(refusal(|result| std::fs::write(result.join("more.bin"), "x").unwrap()).contains("'more.bin' is no part of one"));
    assert!(refusal(|result| std::fs::write(result.join(WEIGHTS), [0; 101]).unwrap()).contains("has 101 bytes"));
    assert!(refusal(|result| std::fs::remove_file(result.join(WEIGHTS)).unwrap()).contains("cannot be read"));
    let whole = refusal(|result| {
        std::fs::rename(result, result.with_extension("away")).unwrap();
        symlink(result.with_extension("away"), result).unwrap();
    });
    assert!(whole.contains("it is no folder"), "{whole}");
}

#[test]
fn what_a_training_says_is_bounded_and_of_known_kinds() {
    for kind in ["state", "result", "sweep"] {
        assert!(Event::told(kind, json!({ "state": "succeeded", "name": "a/b", "version": 1, "metrics": {} })).is_none(), "{kind}");
    }
    assert!(Event::told("epoch", json!({ "epoch": 1 })).is_none());
    let Some(Event::Log { message, .. }) = Event::told("log", json!({ "level": "info", "message": "a\u{1b}[2J\n".repeat(5_000) })) else {
        panic!("no log")
    };
    assert_eq!(message.chars().count(), LONGEST_MESSAGE);
    assert!(!message.contains(char::is_control));
    assert!(sound(json!({ "top1": 0.5 })).is_ok());
    assert!(sound(json!(["top1"])).is_err() && sound(json!({ "top1": "x".repeat(LONGEST_HEADLINE) })).is_err());
}
