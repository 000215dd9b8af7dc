//! What an examination of a data set's labels found, on the features of a base: labels that are probably wrong and items that are
//! unlike all others. Stored as JSON beside the version and shown on the data set's page.

use serde::{Deserialize, Serialize};

/// Suspects and outliers that are kept with the version; the job's files have more.
pub const KEPT: usize = 200;
/// What the job leaves.
pub const SUSPECTS: &str = "suspects.csv";
pub const OUTLIERS: &str = "outliers.csv";
pub const EXAMINATION: &str = "examination.json";

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Examination {
    /// The base whose features were looked at, `namespace/name@version`.
    pub base: String,
    /// The job that did it.
    pub job: String,
    /// Items with a class that could be read.
    pub items: usize,
    /// Labels that are wrong, as confident learning counts them.
    pub wrong: usize,
    /// The share of items that a head which has not seen them gives the class they have.
    pub agreement: f64,
    /// The most suspect first.
    pub suspects: Vec<Suspect>,
    /// The farthest first.
    pub outliers: Vec<Outlier>,
    pub outlier_count: usize,
    /// Spent on the examination, without what the features took.
    pub seconds: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Suspect {
    pub path: String,
    pub split: String,
    /// The class it has, and the likeliest other one.
    pub given: String,
    pub suggested: String,
    /// From 0, surely right, to 1, surely wrong.
    pub score: f64,
    /// Whether confident learning counts its label as wrong.
    pub confident: bool,
    /// A small picture as an address with its bytes in it; of the first few.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub preview: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outlier {
    pub path: String,
    pub class: String,
    /// How many times as far from its nearest neighbours as is usual.
    pub times: f64,
}

impl Examination {
    /// Reads what is stored; nothing before the first examination.
    pub fn read(json: &str) -> Option<Examination> {
        if json.is_empty() { None } else { serde_json::from_str(json).ok() }
    }

    /// Leaves out what a page must not show: of what a process that may have lied has written.
    pub fn make_sound(&mut self) {
        self.suspects.truncate(KEPT);
        self.outliers.truncate(KEPT);
        let letters = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
        let is_picture = |address: &str| {
            let bytes = ["data:image/png;base64,", "data:image/jpeg;base64,"].iter().find_map(|start| address.strip_prefix(start));
            bytes.is_some_and(letters)
        };
        self.suspects.iter_mut().filter(|suspect| !is_picture(&suspect.preview)).for_each(|suspect| suspect.preview.clear());
    }

    /// A few sentences for people.
    pub fn sentences(&self, items: &str) -> Vec<String> {
        let share = if self.items == 0 { 0.0 } else { 100.0 * self.wrong as f64 / self.items as f64 };
        let mut said = vec![match self.wrong {
            0 => format!("no label of {} {items} is probably wrong, by the features of {}", self.items, self.base),
            wrong => format!(
                "about {wrong} of {} labels are probably wrong ({share:.1} %), by the features of {}: look at the first suspects, put the \
                 column `label` of suspects.csv right, and `hub relabel` makes the next version",
                self.items, self.base
            ),
        }];
        if self.outlier_count > 0 {
            said.push(format!("{} {items} are unlike all others: do they belong here?", self.outlier_count));
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_picture_is_not_shown() {
        let suspect = |preview: &str| Suspect { preview: preview.into(), ..Suspect::default() };
        let shown = ["data:image/png;base64,iVBORw0K", "data:text/html;base64,AAAA", "data:image/png;base64,A\"onload", "https://x/1.png"];
        let mut found = Examination {
            suspects: shown.map(suspect).into_iter().chain((0..300).map(|_| suspect(""))).collect(),
            ..Examination::default()
        };
        found.make_sound();
        assert_eq!(found.suspects.len(), KEPT);
        assert_eq!(found.suspects.iter().filter(|suspect| !suspect.preview.is_empty()).count(), 1);
        assert_eq!(Examination::read(""), None);
    }

    #[test]
    fn what_was_found_is_said_in_a_sentence() {
        let found = Examination { base: "library/net@1".into(), items: 200, wrong: 10, outlier_count: 2, ..Examination::default() };
        let said = found.sentences("images");
        assert!(said[0].starts_with("about 10 of 200 labels are probably wrong (5.0 %), by the features of library/net@1"), "{said:?}");
        assert_eq!(said[1], "2 images are unlike all others: do they belong here?");
        assert!(Examination { wrong: 0, ..found }.sentences("images")[0].starts_with("no label of 200 images is probably wrong"));
    }
}
