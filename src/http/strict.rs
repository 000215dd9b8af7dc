//! JSON as the API means it: where an object is wanted only an object will do. `serde` reads a list as an object whose
//! keys were left out, by their order; what is meant by `[null, null]` nobody can say. What is wrong is named by its keys.

use std::fmt;

use serde::Deserialize;
use serde::de::value::StringDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Unexpected, Visitor};

/// Reads a body.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = T::deserialize(Strict(&mut json))?;
    json.end()?;
    Ok(value)
}

/// Whatever it wraps, with what is inside it wrapped as well.
struct Strict<T>(T);

/// A visitor; `object`: of an object, which is no list.
struct Seen<V> {
    visitor: V,
    object: bool,
}

impl<V> Strict<V> {
    fn seen<W>(visitor: W) -> Seen<W> {
        Seen { visitor, object: false }
    }
}

macro_rules! passed_on {
    ($($method:ident($($name:ident: $type:ty),*))*) => {
        $(fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($name,)* Strict::<D>::seen(visitor))
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<D> {
    type Error = D::Error;

    passed_on! {
        deserialize_any() deserialize_bool() deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64() deserialize_i128()
        deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_u128() deserialize_f32() deserialize_f64()
        deserialize_char() deserialize_str() deserialize_string() deserialize_bytes() deserialize_byte_buf() deserialize_option()
        deserialize_unit() deserialize_unit_struct(name: &'static str) deserialize_newtype_struct(name: &'static str)
        deserialize_seq() deserialize_tuple(length: usize) deserialize_tuple_struct(name: &'static str, length: usize)
        deserialize_map() deserialize_enum(name: &'static str, variants: &'static [&'static str])
        deserialize_identifier() deserialize_ignored_any()
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, fields, Seen { visitor, object: true })
    }
}

macro_rules! shown {
    ($($method:ident: $type:ty,)*) => {
        $(fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.visitor.$method(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Seen<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    shown! {
        visit_bool: bool, visit_i64: i64, visit_i128: i128, visit_u64: u64, visit_u128: u128, visit_f64: f64, visit_char: char,
        visit_str: &str, visit_borrowed_str: &'de str, visit_string: String, visit_bytes: &[u8], visit_borrowed_bytes: &'de [u8],
        visit_byte_buf: Vec<u8>,
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(Strict(inner))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_newtype_struct(Strict(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        if self.object {
            return Err(Error::invalid_type(Unexpected::Seq, &"an object"));
        }
        self.visitor.visit_seq(Strict(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Entries { entries, key: String::new() })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(data)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Strict<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Strict(inner))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Strict(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

/// An object's entries; `key` is that of the last.
struct Entries<A> {
    entries: A,
    key: String,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let Some(key) = self.entries.next_key::<String>()? else { return Ok(None) };
        self.key.clone_from(&key);
        seed.deserialize(StringDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let key = &self.key;
        self.entries.next_value_seed(Strict(seed)).map_err(|error| {
            let text = error.to_string();
            let what = text.split(" at line ").next().unwrap_or(&text);
            // From the inside out: 'epochs': ... becomes 'recipe.epochs': ...
            A::Error::custom(match what.strip_prefix('\'') {
                Some(inner) => format!("'{key}.{inner}"),
                None => format!("'{key}': {what}"),
            })
        })
    }

    fn size_hint(&self) -> Option<usize> {
        self.entries.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        name: Option<String>,
        #[serde(default)]
        inner: Option<Inner>,
        #[serde(default)]
        list: Vec<Inner>,
        #[serde(default)]
        pair: Option<(u8, u8)>,
        #[serde(default)]
        more: BTreeMap<String, Inner>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Inner {
        count: Option<u32>,
    }

    fn read(text: &str) -> Result<Outer, String> {
        from_slice(text.as_bytes()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_list_is_no_object_wherever_one_is_wanted() {
        for text in ["[null,null]", "[]", r#"["x"]"#] {
            assert!(read(text).unwrap_err().contains("sequence, expected an object"), "{text}");
        }
        for (text, key) in [
            (r#"{"inner":[1]}"#, "'inner': "),
            (r#"{"list":[{"count":1},[2]]}"#, "'list': "),
            (r#"{"more":{"a":[1]}}"#, "'more.a': "),
            (r#"{"inner":{"count":"x"}}"#, "'inner.count': "),
            (r#"{"pair":{"a":1}}"#, "'pair': "),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(key), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_meant_is_read_as_before() {
        let outer =
            read(r#"{"name":"a\u00e9","inner":{"count":1},"list":[{"count":null}],"pair":[1,2],"more":{"k":{"count":3}}}"#).unwrap();
        let inner = |count| Inner { count };
        assert_eq!((outer.name.as_deref(), outer.inner, outer.pair), (Some("aé"), Some(inner(Some(1))), Some((1, 2))));
        assert_eq!((outer.list, outer.more), (vec![inner(None)], BTreeMap::from([("k".to_owned(), inner(Some(3)))])));
        assert!(read(r#"{"nmae":1}"#).unwrap_err().contains("unknown field `nmae`"));
        assert!(read(r#"{"name":1} x"#).is_err() && read("").is_err() && read(&"[".repeat(100_000)).is_err());
        assert_eq!(from_slice::<serde_json::Value>(b"[1,{\"a\":[]}]").unwrap(), serde_json::json!([1, {"a": []}]));
    }
}
