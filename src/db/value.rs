//! Values that go into statements and rows that come out, the same for every engine.

use std::sync::Arc;

use super::{Error, Result};

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

macro_rules! from {
    ($($type:ty => $variant:ident ($convert:expr)),+ $(,)?) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Value {
                Value::$variant($convert(value))
            }
        })+
    };
}

from! {
    i64 => Int(|v| v),
    u32 => Int(i64::from),
    u64 => Int(|v| i64::try_from(v).unwrap_or(i64::MAX)),
    usize => Int(|v| i64::try_from(v).unwrap_or(i64::MAX)),
    bool => Int(i64::from),
    f64 => Real(|v| v),
    String => Text(|v| v),
    &str => Text(String::from),
    &String => Text(String::clone),
    Vec<u8> => Blob(|v| v),
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

/// One row of an answer; columns are read by name.
#[derive(Debug, Clone)]
pub struct Row {
    names: Arc<[String]>,
    values: Vec<Value>,
}

impl Row {
    pub fn new(names: Arc<[String]>, values: Vec<Value>) -> Row {
        Row { names, values }
    }

    fn value(&self, column: &str) -> Result<&Value> {
        let at = self.names.iter().position(|name| name == column);
        at.and_then(|at| self.values.get(at)).ok_or_else(|| wrong(column, "is not in the answer"))
    }

    pub fn int(&self, column: &str) -> Result<i64> {
        self.find_int(column)?.ok_or_else(|| wrong(column, "is null"))
    }

    pub fn find_int(&self, column: &str) -> Result<Option<i64>> {
        match self.value(column)? {
            Value::Int(value) => Ok(Some(*value)),
            Value::Null => Ok(None),
            other => Err(wrong(column, &format!("is no whole number: {other:?}"))),
        }
    }

    pub fn count(&self, column: &str) -> Result<u64> {
        u64::try_from(self.int(column)?).map_err(|_| wrong(column, "is negative"))
    }

    pub fn flag(&self, column: &str) -> Result<bool> {
        Ok(self.int(column)? != 0)
    }

    pub fn real(&self, column: &str) -> Result<f64> {
        self.find_real(column)?.ok_or_else(|| wrong(column, "is null"))
    }

    pub fn find_real(&self, column: &str) -> Result<Option<f64>> {
        match self.value(column)? {
            Value::Real(value) => Ok(Some(*value)),
            Value::Int(value) => Ok(Some(*value as f64)),
            Value::Null => Ok(None),
            other => Err(wrong(column, &format!("is no number: {other:?}"))),
        }
    }

    pub fn text(&self, column: &str) -> Result<String> {
        self.find_text(column)?.ok_or_else(|| wrong(column, "is null"))
    }

    pub fn find_text(&self, column: &str) -> Result<Option<String>> {
        match self.value(column)? {
            Value::Text(value) => Ok(Some(value.clone())),
            Value::Null => Ok(None),
            other => Err(wrong(column, &format!("is no text: {other:?}"))),
        }
    }

    /// A text column read into a domain type.
    pub fn parse<T, E: std::fmt::Display>(&self, column: &str, parse: impl FnOnce(&str) -> std::result::Result<T, E>) -> Result<T> {
        parse(&self.text(column)?).map_err(|e| wrong(column, &e.to_string()))
    }
}

fn wrong(column: &str, problem: &str) -> Error {
    Error::Column { column: column.into(), problem: problem.into() }
}
