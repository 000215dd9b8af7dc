//! What is wrong with the items of a data set, as its page lists it.

use crate::domain::annotation_facts::Fault;
use crate::domain::dataset_report::DatasetReport;
use crate::domain::human;

/// The items behind the warnings, which the head of the page has: of each kind of trouble how many, and the first of them.
pub(super) fn problems(report: &DatasetReport) -> Vec<(String, Vec<String>)> {
    const FIRST: usize = 50;
    let (item, items) = (report.modality.item(), report.modality.items());
    let unreadable = report.unreadable.iter().map(|p| format!("{}: {}", p.path, p.reason));
    let same = |(a, b): &(String, String)| format!("{a} and {b}");
    let faults = report.annotations.iter().flat_map(|facts| &facts.faults);
    let fault = |fault: &Fault| match fault.detail.as_str() {
        "" => format!("{}: {}", fault.path, fault.problem),
        detail => format!("{}: {} ({detail})", fault.path, fault.problem),
    };
    let groups = [
        (format!("{} cannot be read", human::plural(report.unreadable.len() as u64, item)), unreadable.take(FIRST).collect::<Vec<_>>()),
        (
            human::of_one_or_many(
                report.duplicates_across_splits.len(),
                &format!("{item} stands in two splits"),
                &format!("{items} stand in two splits"),
            ),
            report.duplicates_across_splits.iter().take(FIRST).map(same).collect(),
        ),
        (
            human::of_one_or_many(faults.clone().count(), "annotation is at fault", "annotations are at fault"),
            faults.take(FIRST).map(fault).collect(),
        ),
        (
            human::of_one_or_many(
                report.copies.pairs.len(),
                &format!("pair of {items} looks the same"),
                &format!("pairs of {items} look the same"),
            ),
            report.copies.pairs.iter().take(FIRST).map(|(a, b)| format!("{b} looks like {a}")).collect(),
        ),
    ];
    groups.into_iter().filter(|(_, list)| !list.is_empty()).collect()
}
