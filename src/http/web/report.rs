//! What was found out about a fine-tune, from the report that its job keeps: whether it was worth it, where it is most wrong, how far
//! to believe its probabilities, how it is used.

use futures_util::TryStreamExt as _;
use serde::Deserialize;

use super::format;
use super::outcome::{self, Outcome};
use crate::domain::findings::{Anomalies, Bin, Findings, REPORT, ScoreBin, Usage, Used, Verdict, Word, speed, usage};
use crate::domain::id::JobId;
use crate::domain::job_event::EpochNumbers;
use crate::domain::task::capitalised;
use crate::domain::user::Actor;
use crate::service::Service;

/// A larger report is not read into a page.
const MAX_BYTES: u64 = 16 << 20;
/// Mistakes shown.
const MOST: usize = 24;
/// Bytes of pictures that stand in the page itself; what is beyond is told without a picture.
const PICTURES: usize = 40 << 10;
/// The same where pictures are drawn on, which nothing else on the page shows.
const DRAWN: usize = 160 << 10;

/// What a page shows of it.
#[derive(Default)]
pub struct Report {
    pub verdicts: Vec<VerdictLine>,
    /// Title and sentence.
    pub found: Vec<(&'static str, String)>,
    pub bins: Vec<BinLine>,
    /// How scores of good items and of anomalies lie.
    pub scores: Vec<ScoreLine>,
    pub mistakes: Vec<MistakeLine>,
    /// Whether their pictures show the truth and the answer side by side.
    pub of_places: bool,
    pub usage: Vec<Usage>,
    /// The epochs of the run from random weights.
    pub scratch: Vec<EpochNumbers>,
    pub outcome: Option<Outcome>,
    /// The losses of a test of rates, drawn.
    pub rates: String,
}

pub struct VerdictLine {
    pub tone: &'static str,
    pub sentence: String,
}

pub struct BinLine {
    pub range: String,
    pub count: u64,
    pub confidence: String,
    pub accuracy: String,
    /// Of 100.
    pub share: u64,
}

pub struct ScoreLine {
    pub range: String,
    pub good: u64,
    pub anomalies: u64,
    /// Of the most that any line has.
    pub good_share: u64,
    pub anomalies_share: u64,
    /// Whether such a score is called an anomaly.
    pub above: bool,
}

pub struct MistakeLine {
    pub path: String,
    pub picture: Option<String>,
    pub said: String,
}

#[derive(Deserialize)]
struct Stored {
    #[serde(flatten)]
    findings: Findings,
    #[serde(default)]
    mistakes: Vec<StoredMistake>,
    /// Reports of before are of models of images, which timm loads.
    #[serde(default = "of_before")]
    used: Used,
}

fn of_before() -> Used {
    Used { elsewhere: true, ..Used::default() }
}

#[derive(Deserialize)]
struct StoredMistake {
    path: String,
    truth: String,
    answer: String,
    #[serde(default)]
    confidence: Option<f64>,
    #[serde(default)]
    thumbnail: Option<String>,
}

/// The report of a job that has left one.
pub async fn find(service: &Service, actor: &Actor, job: &JobId, name: &str, address: &str) -> Option<Report> {
    let (file, reader) = service.open_job_file(actor, job, REPORT).await.ok()?;
    if file.size_bytes > MAX_BYTES {
        return None;
    }
    let parts: Vec<_> = reader.stream(0..file.size_bytes).try_collect().await.ok()?;
    read(&parts.concat(), name, address)
}

fn read(json: &[u8], name: &str, address: &str) -> Option<Report> {
    let Stored { findings, mistakes, used } = serde_json::from_slice(json).ok()?;
    let mut found = Vec::new();
    found.extend(findings.comparison.as_ref().map(|comparison| ("From random weights", comparison.sentence.clone())));
    found.extend(findings.rate.as_ref().map(|rate| ("Learning rate", rate.sentence.clone())));
    found.extend(findings.calibration.as_ref().map(|calibration| ("Calibration", calibration.sentence())));
    found.extend(findings.anomalies.as_ref().map(|anomalies| ("Scores", anomalies.sentence())));
    found.extend(findings.reject.as_ref().map(|reject| ("Unknown items", reject.sentence())));
    found.extend(findings.throughput.as_ref().map(|throughput| ("Speed", speed(throughput))));
    // Cards read the same sentences as Markdown.
    for (_, sentence) in &mut found {
        *sentence = sentence.replace('`', "");
    }
    let outcome = outcome::read(json);
    let of_places = outcome.as_ref().is_some_and(|outcome| outcome.of_places);
    let room = if of_places { DRAWN } else { PICTURES };
    Some(Report {
        verdicts: findings.verdict.iter().map(VerdictLine::from).collect(),
        found,
        bins: findings.calibration.iter().flat_map(|calibration| calibration.bins.iter().map(BinLine::from)).collect(),
        scores: findings.anomalies.iter().flat_map(score_lines).collect(),
        mistakes: within_measure(mistakes.into_iter().take(MOST).map(MistakeLine::from).collect(), room),
        of_places,
        usage: usage(name, address, used),
        rates: findings.rate.as_ref().map(|rate| super::curve::rates(&rate.curve)).unwrap_or_default(),
        scratch: findings.comparison.map(|comparison| comparison.epochs).unwrap_or_default(),
        outcome,
    })
}

/// A line for each bin that holds something.
fn score_lines(anomalies: &Anomalies) -> Vec<ScoreLine> {
    let most = anomalies.bins.iter().map(|bin| bin.good.max(bin.anomalies)).max().unwrap_or(0).max(1);
    let line = |bin: &ScoreBin| ScoreLine {
        range: format!("{:.4} to {:.4}", bin.from, bin.to),
        good: bin.good,
        anomalies: bin.anomalies,
        good_share: (100 * bin.good).div_ceil(most),
        anomalies_share: (100 * bin.anomalies).div_ceil(most),
        above: bin.from >= anomalies.threshold,
    };
    anomalies.bins.iter().filter(|bin| bin.good + bin.anomalies > 0).map(line).collect()
}

impl From<&Verdict> for VerdictLine {
    fn from(verdict: &Verdict) -> VerdictLine {
        let tone = match verdict.word {
            Word::Better => "good",
            Word::NotBetter => "warn",
            Word::Worse => "bad",
        };
        VerdictLine { tone, sentence: capitalised(&verdict.sentence) }
    }
}

impl From<&Bin> for BinLine {
    fn from(bin: &Bin) -> BinLine {
        BinLine {
            range: format!("{:.0} to {:.0} %", 100.0 * bin.from, 100.0 * bin.to),
            count: bin.samples,
            confidence: format::percent(bin.confidence),
            accuracy: format::percent(bin.accuracy),
            share: (100.0 * bin.accuracy).round().clamp(0.0, 100.0) as u64,
        }
    }
}

impl From<StoredMistake> for MistakeLine {
    fn from(mistake: StoredMistake) -> MistakeLine {
        let sure = mistake.confidence.map(|confidence| format!(" ({})", format::percent(confidence))).unwrap_or_default();
        MistakeLine {
            said: format!("{} taken for {}{sure}", mistake.truth, mistake.answer),
            // What a training wrote: only pictures, and only as data.
            picture: mistake
                .thumbnail
                .filter(|address| ["data:image/png;base64,", "data:image/jpeg;base64,"].iter().any(|head| address.starts_with(head))),
            path: mistake.path,
        }
    }
}

/// Leaves out the pictures for which there is no room.
fn within_measure(mut lines: Vec<MistakeLine>, mut room: usize) -> Vec<MistakeLine> {
    for line in &mut lines {
        let bytes = line.picture.as_ref().map_or(0, String::len);
        if bytes > room {
            line.picture = None;
        } else {
            room -= bytes;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_told_in_sentences_and_pictures_are_data() {
        let json = serde_json::json!({
            "verdict": [{"against": "baseline", "word": "better", "own": 0.9, "other": 0.5, "images": 40, "sentence": "better than always"}],
            "calibration": {"expected_error": 0.05, "temperature": 1.5, "expected_error_at_temperature": 0.02,
                "bins": [{"from": 0.6, "to": 0.66, "images": 4, "confidence": 0.62, "accuracy": 0.75}]},
            "mistakes": [
                {"path": "a.png", "split": "val", "truth": "cat", "answer": "dog", "confidence": 0.9, "loss": 2.0, "thumbnail": "data:image/png;base64,AA=="},
                {"path": "b.png", "split": "val", "truth": "cat", "answer": "dog", "loss": 1.0, "thumbnail": "https://example.org/x"},
            ],
        });
        let report = read(json.to_string().as_bytes(), "ada/net", "http://hub").unwrap();
        assert_eq!((report.verdicts[0].tone, report.verdicts[0].sentence.as_str()), ("good", "Better than always"));
        assert!(report.found[0].1.starts_with("Its probabilities are off by 5.0 points"), "{}", report.found[0].1);
        assert_eq!((report.bins[0].count, report.bins[0].share), (4, 75));
        assert_eq!(report.mistakes[0].said, "cat taken for dog (90.0 %)");
        assert!(report.mistakes[0].picture.is_some() && report.mistakes[1].picture.is_none());
        assert!(report.usage[1].code.contains("http://hub/api/v1/models/ada/net/predict"));
        assert!(read(b"[]", "a", "b").is_none());
    }
}
