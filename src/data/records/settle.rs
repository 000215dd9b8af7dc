//! What kind of targets a column of texts has, once all of it was read: fractions are numbers, lists are labels, all else is classes.

use std::collections::{BTreeMap, BTreeSet};

use super::super::labelled::{Labelled, Layout, Split};
use super::super::listing::Listing;
use super::super::targets::Form;
use super::columns::Wanted;
use crate::domain::dataset_layout::Declared;

/// What tables write for a class that nobody told.
const UNTOLD: &str = "-1";

/// Gives the layout its form, and brings the texts of its targets into it.
pub fn settle(layout: &mut Layout, listing: &Listing, wanted: Wanted, declared: &Declared) {
    let form = match wanted {
        Wanted::Form(form) => form,
        Wanted::Either => of_content(layout, listing, false),
        Wanted::Perhaps => of_content(layout, listing, true),
    };
    layout.form = match form {
        Form::One(task) if Form::One(task) == Form::default() => match declared {
            Declared { multi_label: true, .. } => Form::Labels,
            Declared { ordered, .. } if !ordered.is_empty() => Form::Ranked(ordered.clone()),
            Declared { good: Some(good), .. } => Form::Anomalies(good.clone()),
            _ => Form::One(task),
        },
        form => form,
    };
}

fn of_content(layout: &mut Layout, listing: &Listing, perhaps_several: bool) -> Form {
    let samples = &mut layout.samples;
    if samples.iter().any(|sample| sample.text.starts_with('[')) {
        let numbers = |sample: &Labelled| serde_json::from_str::<Vec<f64>>(&sample.text).is_ok_and(|list| !list.is_empty());
        let fractions = samples.iter().any(|sample| sample.text.contains('.'));
        return if fractions && samples.iter().all(numbers) { Form::number() } else { Form::Labels };
    }
    let is_divided = |sample: &Labelled| sample.text.contains([';', '|', ',']);
    if perhaps_several && samples.iter().any(is_divided) {
        return Form::Labels;
    }
    let number = |sample: &Labelled| sample.text.parse::<f64>().ok().filter(|value| value.is_finite());
    let all: Option<Vec<f64>> = samples.iter().map(number).collect();
    match all {
        Some(values) if values.iter().any(|value| value.fract() != 0.0) => Form::number(),
        Some(values) => {
            // `1` and `1.0`, which a table with gaps makes of it, are one class.
            for (sample, value) in samples.iter_mut().zip(values) {
                if sample.text.contains(['.', 'e', 'E']) && value.abs() < 1e15 {
                    sample.text = format!("{}", value as i64);
                }
            }
            leave_untold(layout, listing);
            Form::default()
        }
        None => Form::default(),
    }
}

/// What -1 says where it is no class: a whole split of it is one whose labels are kept back, as the test sets of benchmarks are; a few
/// beside 0, 1 and 2 are those that nobody agreed on.
fn leave_untold(layout: &mut Layout, listing: &Listing) {
    let is_untold = |sample: &Labelled| sample.text == UNTOLD;
    let of = |split: Split| layout.samples.iter().filter(move |sample| sample.split == split);
    let kept_back: Vec<Split> = Split::ALL.into_iter().filter(|split| of(*split).next().is_some() && of(*split).all(is_untold)).collect();
    let told: BTreeSet<&str> = layout.samples.iter().filter(|sample| !is_untold(sample)).map(|sample| sample.text.as_str()).collect();
    let count = layout.samples.iter().filter(|sample| is_untold(sample)).count();
    let from_zero = ["0", "1", "2"].iter().all(|class| told.contains(class)) && !told.iter().any(|class| class.starts_with('-'));
    let rare = from_zero && 10 * count < layout.samples.len();
    if told.is_empty() || count == 0 {
        return;
    }
    let is_left = |sample: &Labelled| is_untold(sample) && (rare || kept_back.contains(&sample.split));
    let mut untold: BTreeMap<Split, Vec<&str>> = BTreeMap::new();
    for sample in layout.samples.iter().filter(|sample| is_left(sample)) {
        untold.entry(sample.split).or_default().push(&listing.entries[sample.entry].path);
    }
    layout.samples.retain(|sample| !is_left(sample));
    for (split, rows) in untold {
        let first = rows.iter().take(3).map(|row| format!("`{row}`")).collect::<Vec<_>>().join(", ");
        layout.warnings.push(match kept_back.contains(&split) {
            false => format!("rows of {split} with the label -1, which is none, are left out: {} ({first})", rows.len()),
            true => format!("none of the {} rows of {split} has a label (they have -1): the split is left out", rows.len()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::place::{Entry, Place};
    use super::*;

    fn settled(texts: &[&str], wanted: Wanted) -> (Form, Vec<String>, String) {
        let entry = |at: usize| Entry { path: format!("t:{at}"), size: 0, place: Place::Path("x".into()) };
        let mut listing = Listing::default();
        listing.entries = (0..texts.len()).map(entry).collect();
        let split = |at: usize| if at < 3 { Split::Train } else { Split::Test };
        let samples = texts.iter().enumerate().map(|(at, text)| Labelled { entry: at, split: split(at), text: (*text).into() });
        let mut layout = Layout { samples: samples.collect(), ..Layout::default() };
        settle(&mut layout, &listing, wanted, &Declared::default());
        (layout.form, layout.samples.into_iter().map(|sample| sample.text).collect(), layout.warnings.join("\n"))
    }

    #[test]
    fn content_tells_numbers_from_classes() {
        let form = |texts: &[&str]| settled(texts, Wanted::Either).0;
        assert_eq!(form(&["0.5", "1", "2"]), Form::number());
        assert_eq!(form(&["5.0", "1.0", "2"]), Form::default());
        assert_eq!(form(&["spam", "ham"]), Form::default());
        assert_eq!(form(&["[\"a\"]", "b"]), Form::Labels);
        assert_eq!(form(&["[0.5, 1]", "[2, 3]"]), Form::number());
        assert_eq!(settled(&["a,b", "a"], Wanted::Perhaps).0, Form::Labels);
        assert_eq!(form(&["a,b", "a"]), Form::default());
        assert_eq!(settled(&["1.0", "0"], Wanted::Either).1, ["1", "0"]);
    }

    #[test]
    fn classes_that_nobody_told_are_left_out() {
        let (_, texts, said) = settled(&["1", "0", "1", "-1", "-1"], Wanted::Either);
        assert_eq!(texts, ["1", "0", "1"]);
        assert!(said.contains("none of the 2 rows of test has a label"), "{said}");
        let mut many = ["0", "1", "2"].repeat(5);
        many[1] = "-1";
        let (_, texts, said) = settled(&many, Wanted::Either);
        assert!(texts.len() == 14 && said.contains("rows of train with the label -1, which is none, are left out: 1 ("), "{said}");
        for classes in [&["1", "-1", "1", "-1", "1"][..], &["0", "1", "-1", "0", "1"]] {
            assert_eq!(settled(classes, Wanted::Either).1.len(), 5, "a class like the others: {classes:?}");
        }
    }
}
