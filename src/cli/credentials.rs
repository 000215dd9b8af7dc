//! Tokens that `hub login` keeps, one for each server, in a file only its owner may read.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::output::{CliError, Result};
use crate::client::Address;

/// The file of one person.
pub struct Credentials {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Login {
    user: String,
    token: String,
}

impl Credentials {
    pub fn at(config_dir: &Path) -> Credentials {
        Credentials { path: config_dir.join("credentials.toml") }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// None: never logged in there.
    pub fn token(&self, server: &Address) -> Result<Option<String>> {
        Ok(self.read()?.remove(&server.to_string()).map(|login| login.token))
    }

    pub fn keep(&self, server: &Address, user: &str, token: &str) -> Result<()> {
        let mut logins = self.read()?;
        logins.insert(server.to_string(), Login { user: user.into(), token: token.into() });
        self.write(&logins)
    }

    /// False: there was none.
    pub fn forget(&self, server: &Address) -> Result<bool> {
        let mut logins = self.read()?;
        let found = logins.remove(&server.to_string()).is_some();
        if found {
            self.write(&logins)?;
        }
        Ok(found)
    }

    fn read(&self) -> Result<BTreeMap<String, Login>> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(self.failed("read", &error)),
        };
        let broken = |e: toml::de::Error| {
            CliError::new(1, "credentials", format!("{} is broken: {}", self.path.display(), e.message()), "remove it and log in again")
        };
        toml::from_str(&text).map_err(broken)
    }

    /// Written beside and renamed, and never readable for others, not even for a moment.
    fn write(&self, logins: &BTreeMap<String, Login>) -> Result<()> {
        let text = toml::to_string(logins).map_err(|e| CliError::new(1, "credentials", e.to_string(), "report this as a bug"))?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|e| self.failed("make the folder of", &e))?;
        // Such files are their owner's alone from the moment they are there.
        let written = tempfile::Builder::new().prefix("credentials.").suffix(".tmp").tempfile_in(folder).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            Ok(file.persist(&self.path)?)
        });
        written.map(drop).map_err(|e| self.failed("write", &e))
    }

    fn failed(&self, action: &str, error: &std::io::Error) -> CliError {
        CliError::new(1, "credentials", format!("cannot {action} {}: {error}", self.path.display()), "check who owns it, or pass --token")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_is_kept_for_its_server_and_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = Credentials::at(&folder.path().join("config"));
        let (here, there) = (Address::parse("localhost:8080").unwrap(), Address::parse("hub.example.com").unwrap());
        assert_eq!(credentials.token(&here).unwrap(), None);
        credentials.keep(&here, "ann", "hub_1").unwrap();
        credentials.keep(&there, "ann", "hub_2").unwrap();
        assert_eq!(credentials.token(&here).unwrap().as_deref(), Some("hub_1"));
        assert_eq!(std::fs::metadata(credentials.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(credentials.forget(&here).unwrap() && !credentials.forget(&here).unwrap());
        assert_eq!(credentials.token(&there).unwrap().as_deref(), Some("hub_2"));
        std::fs::write(credentials.path(), "nonsense").unwrap();
        assert!(credentials.token(&here).unwrap_err().hint.contains("log in again"));
    }
}
