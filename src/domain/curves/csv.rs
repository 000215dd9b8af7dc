//! One line an epoch, one column a number, under the keys of the API.

use serde_json::Value;

use super::{Point, keyed};

/// Of columns that the first epoch has; an empty text where there is none.
pub fn to_csv(points: &[Point]) -> String {
    let Some(first) = points.first() else { return String::new() };
    let columns: Vec<String> = keyed(&first.numbers).into_iter().map(|(key, _)| key).filter(|key| key != "eta_seconds").collect();
    let mut text = format!("time,{}\n", columns.join(","));
    for point in points {
        let numbers = keyed(&point.numbers);
        let cells = columns.iter().map(|column| numbers.get(column).map(cell).unwrap_or_default());
        text += &std::iter::once(point.time.to_string()).chain(cells).collect::<Vec<_>>().join(",");
        text.push('\n');
    }
    text
}

/// Numbers and words of ours: nothing in them needs quotes. What is no number is left empty.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(word) => word.clone(),
        other => other.to_string(),
    }
}
