//! Values on their way to the server and back, and what its errors mean.

use std::error::Error as _;

use bytes::BytesMut;
use postgres::error::SqlState;
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::super::{Error, Value};

type Failed = Box<dyn std::error::Error + Sync + Send>;

/// As the server says that it wants them: it infers the type of each parameter.
impl ToSql for Value {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Failed> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(value) => match *kind {
                Type::INT4 => i32::try_from(*value)?.to_sql(kind, out),
                Type::INT2 => i16::try_from(*value)?.to_sql(kind, out),
                Type::BOOL => (*value != 0).to_sql(kind, out),
                Type::FLOAT8 => (*value as f64).to_sql(kind, out),
                Type::TEXT => value.to_string().to_sql(kind, out),
                _ => value.to_sql(kind, out),
            },
            Value::Real(value) => value.to_sql(kind, out),
            // The one character that the server keeps in no text.
            Value::Text(value) if value.contains('\0') => value.replace('\0', "\u{fffd}").to_sql(kind, out),
            Value::Text(value) => value.as_str().to_sql(kind, out),
            Value::Blob(value) => value.as_slice().to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Value, Failed> {
        Ok(match *kind {
            Type::INT8 => Value::Int(i64::from_sql(kind, raw)?),
            Type::INT4 => Value::Int(i32::from_sql(kind, raw)?.into()),
            Type::INT2 => Value::Int(i16::from_sql(kind, raw)?.into()),
            Type::BOOL => Value::Int(bool::from_sql(kind, raw)?.into()),
            Type::FLOAT8 => Value::Real(f64::from_sql(kind, raw)?),
            Type::FLOAT4 => Value::Real(f32::from_sql(kind, raw)?.into()),
            Type::BYTEA => Value::Blob(raw.to_vec()),
            Type::VOID => Value::Null,
            Type::TEXT | Type::VARCHAR | Type::NAME | Type::BPCHAR | Type::UNKNOWN => Value::Text(String::from_utf8(raw.to_vec())?),
            _ => return Err(format!("an answer of the type {kind}, which no engine of ours gives; cast it").into()),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Value, Failed> {
        Ok(Value::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// What an error says, with what stands behind it.
pub(super) fn said(error: &postgres::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_said = inner.to_string();
        if !said.contains(&inner_said) {
            said = format!("{said}: {inner_said}");
        }
        source = inner.source();
    }
    said
}

impl From<postgres::Error> for Error {
    fn from(error: postgres::Error) -> Error {
        let Some(code) = error.code() else {
            // Of what was wrong with a value or a row the driver says so; all else is the connection.
            let ours = error.source().is_some_and(|source| !source.is::<std::io::Error>()) && !error.is_closed();
            return if ours { Error::Engine(said(&error)) } else { Error::Unreachable(said(&error)) };
        };
        match code.code() {
            "40001" | "40P01" => Error::Overtaken("another change came between"),
            "55P03" | "57014" | "25P03" | "57P05" => Error::Busy,
            "53100" => Error::Full,
            // Shutting down, starting, too many connections; a standby that knows no writes yet or no more.
            "57P01" | "57P02" | "57P03" | "53300" | "53400" | "25006" => Error::Unreachable(said(&error)),
            "XX001" | "XX002" => Error::Corrupt(said(&error)),
            class if class.starts_with("23") => Error::Conflict(said(&error)),
            class if class.starts_with("08") => Error::Unreachable(said(&error)),
            _ if *code == SqlState::IO_ERROR => Error::Unreachable(said(&error)),
            _ => Error::Engine(said(&error)),
        }
    }
}
