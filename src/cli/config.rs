//! `hub config`: every setting, its value, and where that came from.

use serde_json::{Value, json};

use super::output::table;
use super::{Context, Output, Result};
use crate::app::confinement;
use crate::data::video;
use crate::train::{backend, device, has_bf16};

pub fn run(context: &Context) -> Result<Output> {
    let entries = context.config.entries();
    let shown = |value: &str| if value.is_empty() { "-".to_owned() } else { value.to_owned() };
    let row = |(key, value, from, meaning): &(&'static str, String, crate::config::Source, &'static str)| {
        vec![key.to_string(), shown(value), from.as_str().to_owned(), meaning.to_string()]
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    let file = context.config.file.as_ref().map(|path| path.display().to_string());
    let settings: serde_json::Map<String, Value> =
        entries.iter().map(|(key, value, from, _)| (key.to_string(), json!({ "value": value, "from": from.as_str() }))).collect();
    let (table, backend) = (table(&["SETTING", "VALUE", "FROM", "MEANING"], &rows), backend::backend().to_string());
    // What is wrong with it is no reason not to show the settings that may mend it.
    let (device, bf16) = match context.config.device.parse().and_then(device::open) {
        Ok(found) => (device::describe(&found), has_bf16(&found)),
        Err(error) => (error.to_string(), Err("there is no device".to_owned())),
    };
    let bf16 = said_of_bf16(bf16);
    let confinement = confinement::describe(&context.config);
    let films = video::programs().map_or_else(|| format!("none; {}", video::INSTALL), |programs| programs.ffmpeg.display().to_string());
    let file_name = file.as_deref().unwrap_or("none");
    let human = format!(
        "{table}\n\nfile: {file_name}\nconvolutions by: {backend}\nproducts of bf16: {bf16}\nnetworks on: {device}\nfilms by: {films}\nconfinement: {confinement}"
    );
    let quiet: Vec<String> = entries.iter().map(|(key, value, ..)| format!("{key}={value}")).collect();
    Ok(Output::new(
        human,
        json!({ "file": file, "backend": backend, "bf16": bf16, "device": device, "films": films, "confinement": confinement, "settings": settings }),
        quiet.join("\n"),
    ))
}

fn said_of_bf16(ready: std::result::Result<(), String>) -> String {
    match ready {
        Ok(()) => "yes".into(),
        Err(reason) => format!("no, f32 instead ({reason})"),
    }
}

#[cfg(test)]
mod tests {
    use super::said_of_bf16;

    #[test]
    fn a_library_that_failed_its_proof_is_named() {
        let wrong = "oneDNN 2.6.3 failed its proof on this processor: input gradient of 8 -> 9 channels, 1x1/1";
        assert_eq!(said_of_bf16(Err(wrong.into())), format!("no, f32 instead ({wrong})"));
        assert_eq!(said_of_bf16(Ok(())), "yes");
    }
}
