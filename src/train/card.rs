//! The card of a fine-tuned model: where it comes from, what it scores, on what, and how far to believe it.

mod more;

use std::fmt::Write;

use super::report::{Lineage, Report};
use crate::domain::card::{Card, Metric};
use crate::domain::evaluation::{Evaluation, Held, Stopped};
use crate::domain::findings::{Used, changes, paragraphs, usage};
use crate::domain::recommendation::Chosen;
use crate::domain::task::{Measure, Unit, capitalised};

/// Larger tables are left to metrics.json.
const LISTED_CLASSES: usize = 60;
const MATRIX_CLASSES: usize = 12;

pub fn of(report: &Report, lineage: &Lineage) -> Card {
    let scratch = report.recipe.is_from_scratch();
    let tag = report.outcome.task().pipeline_tag(report.modality);
    // Without a head it is what its base was.
    let bare = report.config.num_classes == Some(0);
    let library = report.config.loads_with_head().or(bare.then(|| report.config.library()));
    let metric = |(measure, value): (&Measure, &f64)| Metric {
        model: lineage.name.clone(),
        task: tag.clone(),
        dataset: lineage.dataset.clone(),
        kind: measure.card.into(),
        value: *value,
    };
    // With a test split its numbers are the honest ones: nothing was chosen by them.
    let (_, measured) = report.outcome.measured();
    Card {
        license: lineage.license.clone(),
        license_name: lineage.license_name.clone(),
        license_link: lineage.license_link.clone(),
        tags: [Some(tag.as_str()), library, Some("fine-tuned")].into_iter().flatten().map(String::from).collect(),
        datasets: vec![lineage.dataset.clone()],
        // Random weights owe the base nothing but its architecture.
        base_model: if scratch { Vec::new() } else { vec![lineage.base.clone()] },
        base_model_relation: (!scratch).then(|| "finetune".into()),
        pipeline_tag: Some(tag.clone()),
        library_name: library.map(String::from),
        metrics: measured.task.measures().iter().zip(&measured.values).filter(|(_, value)| value.is_finite()).map(metric).collect(),
        body: body(report, lineage),
        ..Card::default()
    }
}

fn body(report: &Report, lineage: &Lineage) -> String {
    let mut text = format!("\n# {}\n\n{}\n\n", lineage.name, origin(report, lineage));
    if let Some(chosen) = &lineage.chosen {
        text += &choice(chosen);
    }
    for verdict in &report.found.verdict {
        let _ = write!(text, "**{}.**\n\n", capitalised(&verdict.sentence));
    }
    text += &numbers(report);
    text += &how_to_read(report);
    text += &about_probe(report);
    let (_, measured) = report.outcome.measured();
    text += &more::of(measured, report.modality.items());
    if !measured.per_class.is_empty() {
        text += &classes(measured, measured.task.counted().unwrap_or(report.modality.items()));
    }
    text += &paragraphs(&report.found);
    text += &changed(report);
    let recipe = serde_json::to_string_pretty(&report.recipe).unwrap_or_default();
    let _ = write!(text, "## Recipe\n\n```json\n{recipe}\n```\n\n");
    let _ =
        writeln!(text, "The same recipe, base, data set and thread count give these weights again (digest `{}`).", report.digest.to_hex());
    let _ = writeln!(text, "All numbers of all epochs are in `metrics.json`.\n\n## How to use it\n");
    for usage in usage(&lineage.name, "$HUB_URL", Used::of(&report.config, report.modality)) {
        let _ = write!(text, "{}:\n\n```\n{}\n```\n\n", usage.title, usage.code);
    }
    if report.config.loads_with_head().is_none() && report.config.num_classes != Some(0) {
        text += match report.config.is_encoder() {
            _ if report.config.temporal().is_some() => {
                "The head stands on the frames of a clip, which timm knows nothing of: ask the model here, or with `hub predict --local`.\n"
            }
            true => {
                "The head stands on the pooled features of the encoder. That is no sequence classifier of transformers', which would leave it out: ask the model here, or with `hub predict --local`.\n"
            }
            false if report.config.labels_places() => {
                "The head says something about each place of an image, where timm puts none: ask the model here, or with `hub predict --local`.\n"
            }
            false => {
                "The head stands on features in the space that the base shares with texts, where neither timm nor transformers puts one: ask the model here, or with `hub predict --local`.\n"
            }
        };
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Of a base that was chosen by the hub.
fn choice(chosen: &Chosen) -> String {
    let considered: Vec<String> = chosen.considered.iter().map(|line| format!("- {line}\n")).collect();
    format!("The base was chosen by job `{}`: {}.\n\nConsidered, the best first:\n\n{}\n", chosen.job, chosen.why, considered.concat())
}

fn origin(report: &Report, lineage: &Lineage) -> String {
    let architecture = &report.config.architecture;
    let on = format!("{} from `{}`", report.trained_on, lineage.dataset);
    // What was published may be the probe, whose backbone nobody touched.
    if report.distances.is_some() {
        return format!(
            "Distances between the features of `{}` (`{architecture}`), which are unchanged, measured from {on}.",
            lineage.base
        );
    }
    let head_only = report.kept_stages == report.stages || report.published_probe();
    match (report.recipe.is_from_scratch(), head_only) {
        (true, true) => format!(
            "A new head on a `{architecture}` with **random weights** that were not trained, fitted on {on}. It exists to show what the features of `{}` are worth.",
            lineage.base
        ),
        (true, false) => {
            format!("A `{architecture}` trained from **random weights** on {on}, to compare with fine-tuning `{}`.", lineage.base)
        }
        (false, true) => {
            format!("A new head on the features of `{}` (`{architecture}`), which are unchanged, fitted on {on}.", lineage.base)
        }
        (false, false) => format!(
            "A new head on `{}` (`{architecture}`), both fine-tuned on {on}{}.",
            lineage.base,
            match report.kept_stages {
                0 => String::new(),
                frozen => format!(" with its first {frozen} stages unchanged"),
            }
        ),
    }
}

fn numbers(report: &Report) -> String {
    let outcome = &report.outcome;
    let titles: Vec<&str> = outcome.task().measures().iter().map(|measure| measure.title).collect();
    let items = report.modality.items();
    let mut text = format!("## Results\n\n| measured on | {items} | {} | loss |\n", titles.join(" | "));
    let _ = writeln!(text, "| --- | --- |{} --- |", " --- |".repeat(titles.len()));
    let mut row = |name: &str, e: &Evaluation| {
        let shown: Vec<String> = e.task.measures().iter().zip(&e.values).map(|(measure, value)| measure.show(*value, 4)).collect();
        let _ = writeln!(text, "| {name} | {} | {} | {:.4} |", e.samples, shown.join(" | "), e.loss);
    };
    let on = match outcome.validated_on {
        Held::ValSplit => "the data set's `val` split".to_owned(),
        Held::HeldOut => format!("{items} held out of `train`"),
        Held::Training => format!("the training {items} themselves"),
    };
    row(&on, &outcome.validation);
    if let Some(test) = &outcome.test {
        row("the data set's `test` split", test);
    }
    text.push('\n');
    text
}

/// Where the weights are those of the best head on features as they are.
fn probe_published(report: &Report) -> String {
    match report.kept_stages == report.stages {
        true => "The head is the best one there is on the base's features, so no epoch had to be chosen.".into(),
        false => format!(
            "None of {} epochs did better than the best head on the base's features{}, so that head is what is published.",
            report.epochs.len(),
            if report.probe.as_ref().is_some_and(|probed| probed.choice.is_some()) { " by more than noise" } else { "" }
        ),
    }
}

/// What the best head on the base's features reaches, and what was made of it.
fn about_probe(report: &Report) -> String {
    let Some(probed) = &report.probe else { return String::new() };
    let primary = report.outcome.task().primary();
    let mut text = format!(
        "The best head on the base's features as they are (the probe) reaches {} {} on the validation items.",
        primary.title,
        primary.show(probed.evaluation.primary(), 4)
    );
    if let Some(choice) = &probed.choice {
        let _ = write!(text, " The strategy `auto` chose `{}`: {}.", choice.strategy, choice.why);
    }
    text + "\n\n"
}

fn how_to_read(report: &Report) -> String {
    let (outcome, primary, items) = (&report.outcome, report.outcome.task().primary(), report.modality.items());
    let sentence = outcome.task().about().baseline.2;
    let mut text = sentence.replace("{}", &primary.show(outcome.baseline, 4)) + " ";
    let last = report.epochs.len();
    match outcome.validated_on {
        Held::Training => {
            let _ = write!(
                text,
                "There were too few {items} to hold any out, so these numbers say how well the training {items} were learned, not how well new ones will be recognised. "
            );
        }
        _ if report.distances.is_some() => {
            let _ = write!(text, "Nothing was chosen by anomalies: the threshold was set by good {items} that were held out. ");
        }
        _ if report.rounds.soup.is_some() => text += &about_soup(report),
        _ if report.published_probe() => text += &format!("{} ", probe_published(report)),
        _ => {
            let _ = write!(
                text,
                "The weights are those of epoch {} of {last}, chosen by validation {}, so the validation numbers flatter a little. ",
                outcome.best_epoch, primary.title
            );
        }
    }
    let (split, measured) = outcome.measured();
    if let (Some((low, high)), false) = (measured.interval(), outcome.validated_on == Held::Training && outcome.test.is_none()) {
        let (count, title) = (measured.samples, primary.title);
        let (low, high) = (primary.show(low, 4), primary.show(high, 4));
        let way = if primary.unit == Unit::Share { "Wilson's interval" } else { "items drawn anew" };
        let _ = write!(text, "With {count} {split} {items}, {title} is known to lie between {low} and {high} ({way}, 95 %). ");
    }
    if report.copies > 0 && outcome.validated_on == Held::HeldOut {
        let count = report.copies;
        let _ = write!(text, "Copies of others among the {items} trained on: {count}; copies were kept on one side of the hold-out. ");
    }
    for finding in &report.findings {
        let _ = write!(text, "Of the data: {}. ", cell(finding));
    }
    for leak in &outcome.leaks {
        let _ = write!(text, "**{}**, so numbers measured on them flatter. ", leak.sentence(report.modality.items()));
    }
    if outcome.stopped == Stopped::Early {
        let _ = write!(text, "Training stopped early: {} epochs had brought nothing better. ", report.recipe.patience);
    }
    if !report.skipped.is_empty() {
        let _ = write!(text, "{} {items} could not be read and took no part; metrics.json names them. ", report.skipped.len());
    }
    text += &rounds(report);
    text.truncate(text.trim_end().len());
    text + "\n\n"
}

/// The average of several trials.
fn about_soup(report: &Report) -> String {
    let Some(soup) = &report.rounds.soup else { return String::new() };
    let primary = report.outcome.task().primary();
    let (reached, alone) = (primary.show(soup.reached, 4), primary.show(soup.alone, 4));
    let (members, tried, title) = (soup.members.join("; "), soup.tried.len(), primary.title);
    format!(
        "The weights are the average of {} of {tried} trials of a sweep, chosen greedily by validation {title} ({members}): {reached}, and the best alone {alone}; so the validation numbers flatter a little. ",
        soup.members.len()
    )
}

/// What draws of a few items, or items without a class, have told.
fn rounds(report: &Report) -> String {
    let (mut text, primary, what) = (String::new(), report.outcome.task().primary(), report.modality.items());
    if let Some(draws) = &report.rounds.draws {
        let (mean, deviation) = (primary.show(draws.mean, 4), primary.show(draws.deviation, 4));
        let (count, shots, title) = (draws.values.len(), draws.shots, primary.title);
        let _ = write!(
            text,
            "Over {count} draws of {shots} {what} a class, {title} is {mean} on average and scatters by {deviation} (standard deviation); these weights are of the first draw. "
        );
    }
    if let Some(contrast) = &report.rounds.contrast {
        let (without, with) = (primary.show(contrast.without, 4), primary.show(contrast.with, 4));
        let (epochs, title) = (contrast.epochs, primary.title);
        let kept = if contrast.published { "these weights are the taught ones" } else { "these weights are the base's" };
        let _ = write!(
            text,
            "In {epochs} epochs the backbone learned to bring {what} of one class together and others apart: the best head on its features reaches {title} {with}, on the base's own {without}; {kept}. "
        );
    }
    if let Some(taught) = &report.rounds.taught {
        let (without, with) = (primary.show(taught.without, 4), primary.show(taught.with, 4));
        let (items, learned, title) = (taught.items, taught.learned, primary.title);
        let kept = if taught.published { "these weights learned from them" } else { "these weights are those without them" };
        let _ = write!(
            text,
            "Of {items} {what} without a class {learned} were answered surely enough to be learned from: {title} {without} without and {with} with them; {kept}. "
        );
    }
    text
}

fn classes(evaluation: &Evaluation, items: &str) -> String {
    let mut text = String::from("## Classes\n\n");
    if evaluation.per_class.len() > LISTED_CLASSES {
        let _ = writeln!(text, "The {} weakest by F1; metrics.json has all {}.\n", LISTED_CLASSES, evaluation.per_class.len());
    }
    // Of pixels F1 is Dice's coefficient, which tells the intersection over the union.
    let of_pixels = evaluation.task.is_of_pixels();
    let (more, line) = if of_pixels { (" IoU |", " --- |") } else { ("", "") };
    let _ = writeln!(text, "| class | {items} | precision | recall | F1 |{more}\n| --- | --- | --- | --- | --- |{line}");
    let mut scores: Vec<_> = evaluation.per_class.iter().collect();
    if scores.len() > LISTED_CLASSES {
        scores.sort_by(|a, b| a.f1.total_cmp(&b.f1));
        scores.truncate(LISTED_CLASSES);
    }
    for score in scores {
        let name = cell(&score.class);
        let iou = if of_pixels { format!(" {:.3} |", score.f1 / (2.0 - score.f1)) } else { String::new() };
        let _ = writeln!(text, "| {name} | {} | {:.3} | {:.3} | {:.3} |{iou}", score.support, score.precision, score.recall, score.f1);
    }
    text.push('\n');
    if evaluation.per_class.len() <= MATRIX_CLASSES && !evaluation.confusion.is_empty() {
        text += &matrix(evaluation);
    }
    text
}

/// Settings that are not the defaults, before all of them.
fn changed(report: &Report) -> String {
    let changes = changes(&report.recipe);
    if changes.is_empty() {
        return "All settings are the defaults.\n\n".into();
    }
    let mut text = String::from("## Changed settings\n\n| setting | value | default |\n| --- | --- | --- |\n");
    for change in changes {
        let _ = writeln!(text, "| `{}` | `{}` | `{}` |", change.setting, change.value, change.default);
    }
    text.push('\n');
    text
}

fn matrix(evaluation: &Evaluation) -> String {
    let names: Vec<String> = evaluation.confused().into_iter().map(cell).collect();
    let mut text =
        format!("Rows are the true classes, columns the answers.\n\n| | {} |\n|{}\n", names.join(" | "), " --- |".repeat(names.len() + 1));
    for (name, row) in names.iter().zip(evaluation.confusion_matrix()) {
        let row: Vec<String> = row.iter().map(u64::to_string).collect();
        let _ = writeln!(text, "| **{name}** | {} |", row.join(" | "));
    }
    text.push('\n');
    text
}

/// Class names come from folder names of strangers; in a table they are text and nothing else.
fn cell(name: &str) -> String {
    name.chars().flat_map(|c| if c.is_ascii_punctuation() && c != '-' && c != '.' { vec!['\\', c] } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_name_cannot_leave_its_cell() {
        assert_eq!(cell("a|b<script>`*"), "a\\|b\\<script\\>\\`\\*");
        assert_eq!(cell("T-shirt 2.0"), "T-shirt 2.0");
    }
}
