//! Tables of results as timm's project publishes them (`results/results-imagenet.csv`, `results/benchmark-infer-*.csv`): a line a model, columns by
//! their headings. Whatever column is not known is passed over.

use super::{GMACS, SPEED, TOP1, TOP5};

/// Lines that are read, and the longest name of a model.
const MOST_LINES: usize = 100_000;
const LONGEST_NAME: usize = 200;

/// Headings that are known: the measure they mean, whether they are counted to a hundred, and whether they are about a data set.
const COLUMNS: [(&str, &str, bool, bool); 8] = [
    ("top1", TOP1, true, true),
    ("top5", TOP5, true, true),
    ("infer_gmacs", GMACS, false, false),
    ("gmacs", GMACS, false, false),
    ("infer_samples_per_sec", SPEED, false, false),
    ("items_per_second", SPEED, false, false),
    ("infer_macts", "mactivations", false, false),
    ("macts", "mactivations", false, false),
];

/// Names of timm's tables, and the data sets they are about.
const TABLES: [(&str, &str); 6] = [
    ("imagenet-real", "imagenet-real"),
    ("imagenetv2", "imagenet-v2"),
    ("imagenet-a", "imagenet-a"),
    ("imagenet-r", "imagenet-r"),
    ("sketch", "imagenet-sketch"),
    ("imagenet", "imagenet-1k"),
];

/// A number of a model in a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub model: String,
    pub measure: &'static str,
    /// About a data set; how large or quick it is, is about none.
    pub of_dataset: bool,
    /// Shares are 0 to 1.
    pub value: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    #[error("it is no table with commas: {0}")]
    Unreadable(String),
    #[error("it has no column 'model'")]
    NoModels,
    #[error("it has none of the columns top1, top5, infer_gmacs and infer_samples_per_sec")]
    NoNumbers,
    #[error("it has more than {MOST_LINES} lines")]
    TooLong,
}

/// The data set a table of timm's is about, by its file's name.
pub fn dataset_of(file: &str) -> Option<&'static str> {
    let name = file.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let rest = name.strip_prefix("results-")?;
    TABLES.iter().find(|(part, _)| rest.starts_with(part)).map(|(_, dataset)| *dataset)
}

/// Reads a table. A model that has several lines, for several sizes of images, keeps its first: these tables begin with the best.
pub fn read(text: &str) -> Result<Vec<Line>, TableError> {
    let unreadable = |error: csv::Error| TableError::Unreadable(error.to_string());
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let headings = reader.headers().map_err(unreadable)?.clone();
    let at = |name: &str| headings.iter().position(|heading| heading == name);
    let name = at("model").ok_or(TableError::NoModels)?;
    let columns: Vec<_> = COLUMNS.iter().filter_map(|column| Some((at(column.0)?, column))).collect();
    if columns.is_empty() {
        return Err(TableError::NoNumbers);
    }
    let mut seen = std::collections::HashSet::new();
    let mut lines = Vec::new();
    for (number, record) in reader.records().enumerate() {
        if number >= MOST_LINES {
            return Err(TableError::TooLong);
        }
        let record = record.map_err(unreadable)?;
        let model = record.get(name).unwrap_or_default();
        if model.is_empty() || model.len() > LONGEST_NAME || !seen.insert(model.to_owned()) {
            continue;
        }
        for (at, (_, measure, of_hundred, of_dataset)) in &columns {
            let value = record.get(*at).and_then(|cell| cell.parse::<f64>().ok()).filter(|value| value.is_finite() && *value >= 0.0);
            if let Some(value) = value {
                let value = if *of_hundred { value / 100.0 } else { value };
                lines.push(Line { model: model.to_owned(), measure, of_dataset: *of_dataset, value });
            }
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timm_s_tables_are_read() {
        let text = "model,img_size,top1,top1_err,top5,top5_err,param_count\nresnet50.a1_in1k,288,81.2,18.8,95.1,4.9,25.56\nresnet50.a1_in1k,224,80.2,19.8,94.6,5.4,25.56\n";
        let lines = read(text).unwrap();
        let seen: Vec<_> = lines.iter().map(|line| (line.model.as_str(), line.measure, (line.value * 1e4).round() / 1e4)).collect();
        assert_eq!(seen, [("resnet50.a1_in1k", "top1", 0.812), ("resnet50.a1_in1k", "top5", 0.951)]);
        let bench = read("model,infer_samples_per_sec,infer_gmacs\nresnet18,5000.5,1.82\n").unwrap();
        assert_eq!((bench[0].measure, bench[0].value, bench[1].of_dataset), (GMACS, 1.82, false));
    }

    #[test]
    fn what_is_no_such_table_is_refused() {
        assert_eq!(read("name,top1\nx,1\n"), Err(TableError::NoModels));
        assert_eq!(read("model,colour\nx,red\n"), Err(TableError::NoNumbers));
        assert_eq!(read("model,top1\nx,many\n,3\n"), Ok(vec![]));
    }

    #[test]
    fn file_names_say_the_data_set() {
        let of = |file| dataset_of(file);
        assert_eq!(of("results/results-imagenet.csv"), Some("imagenet-1k"));
        assert_eq!(of("results-imagenet-real.csv"), Some("imagenet-real"));
        assert_eq!(of("results-imagenetv2-matched-frequency.csv"), Some("imagenet-v2"));
        assert_eq!(of("results-imagenet-a-clean.csv"), Some("imagenet-a"));
        assert_eq!((of("results-sketch.csv"), of("benchmark-infer-amp.csv")), (Some("imagenet-sketch"), None));
    }
}
