//! The hub's own signature under what it measured: Ed25519 (RFC 8032), in the compact form of JSON Web Signatures, which libraries
//! of every language check (`alg: EdDSA`, RFC 8037). The key is made once:
//!
//! ```text
//! DATA/signing.key     PKCS #8, for nobody but the hub
//! ```
//!
//! A hub on a file of its own keeps it out of the database and its copies: one that was restored without it makes another one, and what the
//! old key signed is still shown with the id of the key it was signed with. Hubs that share a database server sign with one key, which is
//! in the database (`signing_keys`): the first of them writes its own there.

use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{Error, Result, Service};
use crate::catalog::signing;
use crate::db::Kind;

pub const FILE: &str = "signing.key";

/// A key and its name; cheap to clone.
#[derive(Clone)]
pub struct Signer {
    pair: Arc<Ed25519KeyPair>,
    /// The key's thumbprint (RFC 7638).
    id: String,
    /// PKCS #8, in base64.
    text: Arc<str>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signer").field(&self.id).finish()
    }
}

impl Signer {
    /// Reads the key of this data directory, or makes it.
    ///
    /// # Errors
    /// The file cannot be read or written, or holds no key.
    pub fn open(data: &Path) -> io::Result<Signer> {
        let path = data.join(FILE);
        match std::fs::read(&path) {
            Ok(bytes) => Signer::read(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| io::Error::other("no randomness for a key"))?;
                let mut file = tempfile::NamedTempFile::new_in(data)?;
                file.write_all(made.as_ref())?;
                file.as_file().sync_all()?;
                match file.persist_noclobber(&path) {
                    Ok(_) => Signer::read(made.as_ref()),
                    // Another process of this hub was first: its key counts.
                    Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Signer::read(&std::fs::read(&path)?),
                    Err(error) => Err(error.error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Reads the key as the database has it.
    fn of_text(text: &str) -> Result<Signer> {
        let bytes = STANDARD.decode(text).map_err(io::Error::other);
        bytes.and_then(|bytes| Signer::read(&bytes)).map_err(|e| Error::Internal(format!("the key in the database: {e}")))
    }

    fn read(bytes: &[u8]) -> io::Result<Signer> {
        let wrong = |e: ring::error::KeyRejected| io::Error::new(io::ErrorKind::InvalidData, format!("{FILE} holds no Ed25519 key: {e}"));
        let pair = Ed25519KeyPair::from_pkcs8(bytes).map_err(wrong)?;
        let thumbprint = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()));
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(thumbprint));
        Ok(Signer { pair: Arc::new(pair), id, text: STANDARD.encode(bytes).into() })
    }

    /// The public key as a JSON Web Key.
    pub fn public(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.id, "x": x })
    }

    /// `header.payload.signature`, each in base64 for addresses.
    pub fn sign(&self, payload: &Map<String, Value>) -> String {
        let header = json!({ "alg": "EdDSA", "typ": "hub-measurement+jws", "kid": self.id });
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let said = format!("{}.{}", part(header.to_string().as_bytes()), part(Value::Object(payload.clone()).to_string().as_bytes()));
        let signature = part(self.pair.sign(said.as_bytes()).as_ref());
        format!("{said}.{signature}")
    }
}

impl Service {
    /// Signs with this key what is measured here.
    pub fn signing_with(mut self, signer: Signer) -> Service {
        self.signer = Some(signer);
        self
    }

    /// Signs as all hubs on this database do: with the key that is there, or, of the first on a server, with the one of its data directory.
    ///
    /// # Errors
    /// The database does not answer; the key there or in the directory cannot be read.
    pub async fn signing_from(self, data: &Path) -> Result<Service> {
        let known = self.db.read(|tx| Ok::<_, Error>(signing::find(tx)?)).await?;
        if let Some(text) = known {
            return Ok(self.signing_with(Signer::of_text(&text)?));
        }
        let signer = Signer::open(data).map_err(|e| Error::of_file(&format!("{}", data.join(FILE).display()), &e))?;
        if self.db.kind() == Kind::Embedded {
            return Ok(self.signing_with(signer));
        }
        let (own, now) = (signer, self.now());
        let agreed = self.db.write(move |tx| {
            signing::insert_first(tx, &own.id, &own.text, now)?;
            Ok::<_, Error>(signing::find(tx)?.unwrap_or_else(|| own.text.to_string()))
        });
        let agreed = agreed.await?;
        Ok(self.signing_with(Signer::of_text(&agreed)?))
    }

    /// The public keys that check this hub's signatures, as a JSON Web Key Set (RFC 7517).
    pub fn public_keys(&self) -> Value {
        json!({ "keys": self.signer.iter().map(Signer::public).collect::<Vec<_>>() })
    }

    pub(in crate::service) fn signer(&self) -> Result<&Signer> {
        self.signer.as_ref().ok_or_else(|| Error::Internal("this process has no key to sign with".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ED25519, UnparsedPublicKey};

    #[test]
    fn a_key_is_made_once_and_what_it_signs_is_checked_by_anybody() {
        let data = tempfile::tempdir().unwrap();
        let signer = Signer::open(data.path()).unwrap();
        let again = Signer::open(data.path()).unwrap();
        assert_eq!(signer.public(), again.public(), "the same key after a restart");
        let payload = Map::from_iter([("model".to_owned(), json!("ada/net"))]);
        let signed = signer.sign(&payload);
        let (said, signature) = signed.rsplit_once('.').unwrap();
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let key = decode(signer.public()["x"].as_str().unwrap());
        let check = |said: &str| UnparsedPublicKey::new(&ED25519, &key).verify(said.as_bytes(), &decode(signature));
        assert!(check(said).is_ok());
        assert!(check(&said.replace('.', "A.")).is_err(), "another statement is not signed");
        let (header, body) = said.split_once('.').unwrap();
        let header: Value = serde_json::from_slice(&decode(header)).unwrap();
        assert_eq!((&header["alg"], &header["kid"]), (&json!("EdDSA"), &signer.public()["kid"]));
        assert_eq!(serde_json::from_slice::<Value>(&decode(body)).unwrap(), json!({"model": "ada/net"}));
        std::fs::write(data.path().join(FILE), b"nonsense").unwrap();
        assert!(Signer::open(data.path()).unwrap_err().to_string().contains("no Ed25519 key"));
    }
}
