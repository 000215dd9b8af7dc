//! Reads typed values, with an error that says where a wrong one came from.

use std::collections::BTreeMap;
use std::net::ToSocketAddrs as _;
use std::path::PathBuf;

use super::{Bucket, Error, Source};
use crate::domain::data_limits::DataLimits;
use crate::domain::database;
use crate::domain::network::Network;
use crate::domain::quotas::Quotas;
use crate::domain::time::parse_span_ms;

/// The settings, as texts.
pub(super) struct Reader<'a> {
    pub values: &'a BTreeMap<&'static str, (String, Source)>,
}

impl Reader<'_> {
    pub fn text(&self, key: &str) -> &str {
        &self.values[key].0
    }

    /// What stands between commas.
    pub fn list(&self, key: &str) -> Vec<String> {
        self.text(key).split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    pub fn path(&self, key: &str) -> PathBuf {
        PathBuf::from(self.text(key))
    }

    fn wrong(&self, key: &str, expected: &'static str) -> Error {
        let (value, from) = &self.values[key];
        Error::Value { key: key.into(), value: value.clone(), from: from.as_str(), expected }
    }

    pub fn checked(&self, key: &str, expected: &'static str, good: impl Fn(&str) -> bool) -> Result<String, Error> {
        if good(self.text(key)) { Ok(self.text(key).into()) } else { Err(self.wrong(key, expected)) }
    }

    pub fn number(&self, key: &str) -> Result<u64, Error> {
        self.text(key).replace('_', "").parse().map_err(|_| self.wrong(key, "a whole number, 0 or more"))
    }

    pub fn span(&self, key: &str) -> Result<i64, Error> {
        parse_span_ms(self.text(key)).map_err(|_| self.wrong(key, "a length of time such as 90s, 15m, 24h or 30d, or 0"))
    }

    pub fn size(&self, key: &str) -> Result<usize, Error> {
        Ok(usize::try_from(self.number(key)?).unwrap_or(usize::MAX))
    }

    /// An address and a port, or nothing.
    pub fn address(&self, key: &str) -> Result<Option<String>, Error> {
        match self.text(key) {
            "" => Ok(None),
            _ => self.checked(key, "an address and a port, such as 127.0.0.1:9090", |v| v.to_socket_addrs().is_ok()).map(Some),
        }
    }

    pub fn data_limits(&self) -> Result<DataLimits, Error> {
        Ok(DataLimits {
            image_pixels: self.number(DataLimits::IMAGE_PIXELS)?,
            item_bytes: self.number(DataLimits::ITEM_BYTES)?,
            dataset_files: self.size(DataLimits::DATASET_FILES)?,
            dataset_bytes: self.number(DataLimits::DATASET_BYTES)?,
        })
    }

    pub fn quotas(&self) -> Result<Quotas, Error> {
        Ok(Quotas {
            bytes: self.number(Quotas::BYTES)?,
            repos_per_namespace: self.number(Quotas::REPOS)?,
            organisations_per_user: self.number(Quotas::ORGANISATIONS)?,
            tokens_per_user: self.number(Quotas::TOKENS)?,
            uploads: self.number(Quotas::UPLOADS)?,
        })
    }

    /// The address of another hub, or `off`.
    pub fn upstream(&self, key: &str) -> Result<String, Error> {
        let good = |text: &str| text == "off" || ["https://", "http://"].iter().any(|start| text.starts_with(start));
        self.checked(key, "the address of a hub, such as https://huggingface.co, or off", good)
    }

    pub fn flag(&self, key: &str) -> Result<bool, Error> {
        match self.text(key).to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(true),
            "0" | "false" | "no" | "off" => Ok(false),
            _ => Err(self.wrong(key, "true or false")),
        }
    }

    /// `pickle`, or what the older `allow_pickle` says where only that is set.
    pub fn pickle(&self) -> Result<String, Error> {
        if self.values["pickle"].1 == Source::Default && !self.text("allow_pickle").is_empty() {
            return Ok(if self.flag("allow_pickle")? { "allow" } else { "refuse" }.into());
        }
        self.checked("pickle", "refuse, scan or allow", |level| ["refuse", "scan", "allow"].contains(&level))
    }

    /// The address of a database server, or nothing.
    pub fn database(&self, key: &str) -> Result<Option<String>, Error> {
        match self.text(key).trim() {
            "" => Ok(None),
            text if database::is_address(text) => Ok(Some(text.to_owned())),
            // What stands there may hold a password, and is not shown.
            _ => Err(Error::Value {
                key: key.into(),
                value: "...".into(),
                from: self.values[key].1.as_str(),
                expected: "empty, or the address of a PostgreSQL database such as postgres://user@host/name",
            }),
        }
    }

    /// `s3://bucket` or `s3://bucket/prefix`; keys belong in the environment, where no list of settings shows them.
    pub fn bucket(&self, key: &str) -> Result<Option<Bucket>, Error> {
        let text = self.text(key).trim();
        if text.is_empty() {
            return Ok(None);
        }
        Bucket::parse(text).map(Some).ok_or_else(|| self.wrong(key, "empty, or an S3 bucket such as s3://models/hub"))
    }

    /// Addresses and networks between commas.
    pub fn networks(&self, key: &str) -> Result<Vec<Network>, Error> {
        let wrong = |_| self.wrong(key, "addresses or networks with commas, such as 10.0.0.1, 192.168.0.0/16, 2001:db8::/32");
        self.list(key).iter().map(|text| Network::parse(text).map_err(wrong)).collect()
    }

    /// Origins between commas, as browsers write them: scheme, host and port where it is not the usual one.
    pub fn origins(&self, key: &str) -> Result<Vec<String>, Error> {
        let origin = |text: &String| {
            let url = url::Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.path() == "/");
            url.filter(|url| url.query().is_none() && url.username().is_empty()).map(|url| url.origin().ascii_serialization())
        };
        let read = |text: &String| if text == "*" { Some(text.clone()) } else { origin(text) };
        let wrong = || self.wrong(key, "origins with commas, such as https://app.example, or *");
        self.list(key).iter().map(|text| read(text).ok_or_else(wrong)).collect()
    }

    /// An http or https address without its last slash; `None` where empty.
    pub fn url(&self, key: &str) -> Result<Option<String>, Error> {
        let text = self.text(key).trim().trim_end_matches('/');
        if text.is_empty() {
            return Ok(None);
        }
        let good = url::Url::parse(text).is_ok_and(|u| ["http", "https"].contains(&u.scheme()) && u.has_host());
        if good { Ok(Some(text.into())) } else { Err(self.wrong(key, "an address such as https://hub.example.org")) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn proxies_and_origins_are_read_or_refused() {
        let config = |key: &'static str, value: &str| Config::load(&[(key, value.to_owned())], None);
        let networks = |text: &str| config("trusted_proxies", text).map(|config| config.trusted_proxies.len());
        assert_eq!((networks(""), networks("10.0.0.1, ::1,192.168.0.0/16")), (Ok(0), Ok(3)));
        assert!(networks("10.0.0.1, proxy.lan").unwrap_err().to_string().contains("'trusted_proxies' (flag)"));
        let origins = |text: &str| config("cors_origins", text).map(|config| config.cors_origins);
        assert_eq!(origins("https://APP.example:443/, http://localhost:3000").unwrap(), ["https://app.example", "http://localhost:3000"]);
        assert_eq!(origins("*").unwrap(), ["*"]);
        for bad in ["app.example", "https://app.example/path", "null", "ftp://x", "https://a@b", "https://app.example?x"] {
            assert!(origins(bad).is_err(), "{bad}");
        }
    }
}
