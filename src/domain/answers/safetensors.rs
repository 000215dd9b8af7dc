//! Answers as one safetensors file: the matrix under the name of what it holds (`features`, `probabilities`, `values`), and in the
//! metadata, each as JSON, `names` of the rows, `columns` where they have names, `errors` by row.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::{Dtype, TensorView};

use super::Answers;

pub(super) fn write(answers: &Answers) -> Result<Vec<u8>, String> {
    let matrix = answers.matrix();
    let json = |value: serde_json::Value| value.to_string();
    let names: Vec<&str> = answers.items.iter().map(|item| item.name.as_str()).collect();
    let errors: BTreeMap<usize, &str> =
        answers.items.iter().enumerate().filter_map(|(at, item)| Some((at, item.reason()?.message.as_str()))).collect();
    let mut about = HashMap::from([
        ("model".to_owned(), answers.model.clone()),
        ("names".to_owned(), json(names.into())),
        ("errors".to_owned(), json(serde_json::json!(errors))),
    ]);
    if !matrix.columns.is_empty() {
        about.insert("columns".to_owned(), json(matrix.columns.into()));
    }
    let bytes: Vec<u8> = matrix.values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![answers.items.len(), matrix.width], &bytes).map_err(|e| e.to_string())?;
    safetensors::serialize([(matrix.name, view)], Some(about)).map_err(|e| e.to_string())
}
