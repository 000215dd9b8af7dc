//! A model folder of word vectors: built beside its place and renamed into it, with its config and its card.

use std::path::Path;

use super::error::{Error, Result};
use super::store::Stored;
use crate::domain::card::Card;

/// What a person says of a model, and where it came from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct About {
    pub title: Option<String>,
    pub license: Option<String>,
    pub datasets: Vec<String>,
    pub base_model: Vec<String>,
    pub description: Option<String>,
    /// Rows of the card's table of provenance.
    pub provenance: Vec<(String, String)>,
}

/// Builds the folder `out`, which must not exist or be empty: `fill` writes the matrix and the vocabulary.
pub fn build(out: &Path, about: &About, fill: impl FnOnce(&Path) -> Result<Stored>) -> Result<Stored> {
    let occupied = match std::fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => out.exists(),
    };
    if occupied {
        return Err(Error::invalid("out", format!("{} exists and is not an empty folder", out.display())));
    }
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
    let building = tempfile::Builder::new().prefix(".hub-vectors-").tempdir_in(parent).map_err(Error::io(parent))?;
    let folder = building.path();
    let stored = fill(folder)?;
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(Error::io(&path))
    };
    write("config.json", format!("{}\n", stored.config.to_json()))?;
    write("README.md", card(&stored, about).to_markdown())?;
    // Temporary folders are private to their maker; a model folder is as open as any other. A confined process may change no rights, and
    // what it leaves is published by another.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let _ = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755));
    }
    std::fs::rename(folder, out).map_err(Error::io(out))?;
    Ok(stored)
}

fn card(stored: &Stored, about: &About) -> Card {
    let title = about.title.as_deref().unwrap_or(&stored.architecture);
    let parts = match stored.subwords {
        0 => "words that it does not know have no vectors".to_owned(),
        rows => format!("words that it does not know are put together of n-grams ({rows} rows)"),
    };
    let mut body = format!(
        "# {title}\n\nWord vectors (`{}`): {} words of {} numbers, stored as {}; {parts}.\n",
        stored.architecture,
        stored.words,
        stored.width,
        stored.dtype.as_str()
    );
    if let Some(description) = &about.description {
        body.push_str(&format!("\n{}\n", description.trim()));
    }
    let rows = about.provenance.iter().map(|(key, value)| format!("| {} | {} |\n", plain(key), plain(value)));
    let rows: String = rows.collect();
    if !rows.is_empty() {
        body.push_str(&format!("\n## Provenance\n\n| | |\n| --- | --- |\n{rows}"));
    }
    for note in &stored.notes {
        body.push_str(&format!("\n- {}\n", plain(note)));
    }
    Card {
        license: about.license.as_ref().map(|license| license.to_lowercase()),
        datasets: about.datasets.clone(),
        base_model: about.base_model.clone(),
        tags: ["word-vectors".to_owned(), stored.architecture.clone()].to_vec(),
        pipeline_tag: Some("feature-extraction".into()),
        library_name: Some("backbone-hub".into()),
        body,
        ..Card::default()
    }
}

/// Text of a stranger's file for use in a table.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '|' | '<' | '>') { '_' } else { c }).collect()
}
