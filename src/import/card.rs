//! The card of an imported model: what the source's own card says, what the person added, and where the
//! weights came from.

use super::Options;
use super::matching::Match;
use super::source::Source;
use super::{texts, tfjs, towers};
use crate::domain::card::Card;
use crate::domain::config::ModelConfig;
use crate::domain::modality::Modality;
use crate::domain::pixel_config::TASK;
use crate::domain::task::Task;
use crate::nn::architectures;

/// Builds the card. Options win over the source's card; lists are joined.
pub fn card(source: &Source, found: &Match, options: &Options) -> Card {
    let mut card = source.card.clone().unwrap_or_default();
    if options.license.is_some() {
        card.license = options.license.as_ref().map(|license| license.to_lowercase());
    }
    let sees_clips = architectures::find(&found.architecture).is_some_and(|known| known.frames().is_some());
    let places = source.config.as_ref().filter(|config| config.labels_places()).and_then(of_places);
    let (task, library) = match (texts::is_encoder(&found.architecture), found.num_classes > 0) {
        _ if places.is_some() => (places.as_deref().unwrap_or_default(), "hub"),
        (_, true) if sees_clips => ("video-classification", "hub"),
        (_, false) if sees_clips => ("feature-extraction", "hub"),
        _ if towers::are_in(source.config.as_ref()) => ("zero-shot-image-classification", "transformers"),
        (false, true) => ("image-classification", "timm"),
        (false, false) => ("image-feature-extraction", "timm"),
        (true, true) => ("text-classification", "transformers"),
        (true, false) => ("feature-extraction", "transformers"),
    };
    card.pipeline_tag.get_or_insert_with(|| task.into());
    card.library_name.get_or_insert_with(|| library.into());
    join(&mut card.tags, &[library.into(), task.into()]);
    let finds_shots = architectures::find(&found.architecture).is_some_and(|known| known.shots().is_some());
    if finds_shots {
        join(&mut card.tags, &["shot-boundary-detection".into()]);
    }
    join(&mut card.datasets, &options.datasets);
    join(&mut card.base_model, &options.base_model);
    if card.body.trim().is_empty() {
        card.body = introduction(source, found, options);
    } else if let Some(description) = &options.description {
        card.body = format!("{}\n\n{description}\n", card.body.trim_end());
    }
    card.body.push_str(&provenance(source, found));
    card
}

/// What a network says about the places of images, in Hugging Face's words.
fn of_places(config: &ModelConfig) -> Option<String> {
    let task = Task::parse(config.extra.get(TASK)?.as_str()?)?;
    Some(task.pipeline_tag(Modality::default()))
}

fn join(list: &mut Vec<String>, more: &[String]) {
    for word in more {
        if !list.contains(word) {
            list.push(word.clone());
        }
    }
}

fn introduction(source: &Source, found: &Match, options: &Options) -> String {
    let title = options.name.as_deref().unwrap_or(&found.architecture);
    let decoder = source.config.as_ref().and_then(ModelConfig::decoder);
    let head = match (found.num_classes, decoder) {
        (0, _) if architectures::find(&found.architecture).is_some_and(|known| known.shots().is_some()) => {
            "that finds the shots of films".to_owned()
        }
        (0, _) => "without a classifier".to_owned(),
        (classes, Some((name, _))) => format!("with a head over its maps, `{name}`, for {classes} classes"),
        (classes, None) => format!("with a classifier for {classes} classes"),
    };
    let mut text =
        format!("# {title}\n\nA `{}` backbone {head}; its pooled features have {} numbers.\n", found.architecture, found.num_features);
    if let Some(description) = &options.description {
        text.push_str(&format!("\n{}\n", description.trim()));
    }
    if !options.datasets.is_empty() {
        let names: Vec<String> = options.datasets.iter().map(|name| format!("`{}`", plain(name))).collect();
        text.push_str(&format!("\nTrained on {}.\n", names.join(", ")));
    }
    text
}

fn provenance(source: &Source, found: &Match) -> String {
    let dropped = match found.dropped {
        0 => String::new(),
        count => format!(" {count} batch counters (`num_batches_tracked`) were left out."),
    };
    let added = match found.add_to_variances {
        0.0 => String::new(),
        added => format!(" {added} was added to the running variances, since the project divides by another epsilon than timm."),
    };
    let folded = if source.form == tfjs::FORM { " Factors that the graph multiplies by are part of the weights." } else { "" };
    format!(
        "\n## Provenance\n\n| | |\n| --- | --- |\n| file | `{}` |\n| form | {} |\n| size | {} bytes |\n| sha256 | `{}` |\n\n\
         Converted by `hub import`: read as {}; {} tensors stored as 32-bit floats under {} names, values unchanged otherwise.{dropped}{added}{folded} \
         Nothing in the file was executed.\n",
        plain(&source.file_name),
        source.form,
        source.size_bytes,
        source.sha256,
        found.mapping,
        found.tensors.len(),
        if texts::is_encoder(&found.architecture) || towers::are_in(source.config.as_ref()) { "transformers'" } else { "timm's" },
    )
}

/// A name for use between back-ticks in a table.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_control() || matches!(c, '`' | '|') { '_' } else { c }).collect()
}
