//! Where blobs lie when it is not the data directory, and the variables that open that store.

use std::collections::BTreeMap;

/// A place in an S3 store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    pub name: String,
    /// Where in the bucket, without slashes at its ends; empty for its root.
    pub prefix: String,
}

impl Bucket {
    /// As people write it: `s3://bucket` or `s3://bucket/prefix`.
    pub fn parse(text: &str) -> Option<Bucket> {
        let (name, prefix) = text.strip_prefix("s3://").map(|rest| rest.split_once('/').unwrap_or((rest, "")))?;
        let prefix = prefix.trim_matches('/');
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) && !["", ".", ".."].contains(&text);
        let good = plain(name) && (prefix.is_empty() || prefix.split('/').all(plain));
        good.then(|| Bucket { name: name.into(), prefix: prefix.into() })
    }
}

impl std::fmt::Display for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.prefix.as_str() {
            "" => write!(f, "s3://{}", self.name),
            prefix => write!(f, "s3://{}/{prefix}", self.name),
        }
    }
}

/// The `AWS_*` variables of the environment. Some are secrets: printing shows the names only.
#[derive(Clone, Default)]
pub struct AwsVariables(pub Vec<(String, String)>);

impl AwsVariables {
    pub(super) fn of(environment: &BTreeMap<String, String>) -> AwsVariables {
        let ours = environment.iter().filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty());
        AwsVariables(ours.map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

impl std::fmt::Debug for AwsVariables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_read_as_people_write_it() {
        let read = |text| Bucket::parse(text).map(|bucket| (bucket.to_string(), bucket.prefix));
        assert_eq!(read("s3://models"), Some(("s3://models".into(), String::new())));
        assert_eq!(read("s3://models/"), Some(("s3://models".into(), String::new())));
        assert_eq!(read("s3://models/hub/one/"), Some(("s3://models/hub/one".into(), "hub/one".into())));
        for wrong in [
            "",
            "models",
            "s3://",
            "s3:///hub",
            "s3://key:secret@models",
            "http://models",
            "s3://models/../x",
            "s3://models/a//b",
            "s3://m/a b",
        ] {
            assert_eq!(Bucket::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let pairs = [("AWS_SECRET_ACCESS_KEY", "hidden"), ("AWS_REGION", ""), ("HOME", "/h")];
        let found = AwsVariables::of(&pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert_eq!(format!("{found:?}"), r#"["AWS_SECRET_ACCESS_KEY"]"#);
        assert_eq!(found.0.len(), 1);
    }
}
