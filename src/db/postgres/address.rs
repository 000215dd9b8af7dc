//! Addresses of database servers, as libpq's programs take them: `postgres://user:password@host:port/name?sslmode=verify-full`.

use std::path::PathBuf;
use std::time::Duration;

use postgres::Config;
use postgres::config::{Host, SslMode};

use super::super::{Error, Result};
use super::tls::Trust;
use crate::domain::database::shown;

/// Connections one process opens at most, where the address does not say.
const CONNECTIONS: usize = 16;
/// What one process needs: one that writes, one that reads, and one beside them.
const FEWEST: usize = 3;
const CONNECT: Duration = Duration::from_secs(5);
/// A server that says nothing so long is gone.
const SILENCE: Duration = Duration::from_secs(20);

/// Where a database is, and how to speak to it.
#[derive(Clone)]
pub(super) struct Address {
    pub config: Config,
    pub trust: Trust,
    /// Connections of this process at most.
    pub connections: usize,
}

impl Address {
    /// Takes out what the driver does not know: `sslmode` beyond `require`, `sslrootcert`, and our own `connections`.
    pub fn parse(text: &str) -> Result<Address> {
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut mode, mut root, mut connections, mut rest) = (String::new(), None, CONNECTIONS, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value_of = || percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
            match key {
                "sslmode" => mode = value_of(),
                "sslrootcert" => root = Some(PathBuf::from(value_of())),
                "connections" => {
                    let number = value.parse().ok().filter(|number| *number >= FEWEST);
                    connections = number.ok_or_else(|| wrong(text, &format!("connections must be a number, {FEWEST} or more")))?;
                }
                _ => rest.push(pair),
            }
        }
        let plain = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        let mut config: Config = plain.parse().map_err(|e: postgres::Error| wrong(text, &super::values::said(&e)))?;
        if config.get_dbname().is_none() {
            return Err(wrong(text, "it names no database; write postgres://user@host/name"));
        }
        let (ssl, trust) = match mode.as_str() {
            "disable" => (SslMode::Disable, Trust::Anybody),
            "" | "allow" | "prefer" => (SslMode::Prefer, Trust::Anybody),
            "require" if root.is_none() => (SslMode::Require, Trust::Anybody),
            // As libpq has it: whoever names a root wants it looked at.
            "require" | "verify-ca" | "verify-full" => (SslMode::Require, Trust::Certified(root)),
            _ => return Err(wrong(text, "sslmode is one of disable, prefer, require and verify-full")),
        };
        // Nobody is on the way of a socket of this machine.
        let is_here = !config.get_hosts().is_empty() && config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        config.ssl_mode(if is_here { SslMode::Disable } else { ssl });
        if config.get_application_name().is_none() {
            config.application_name("hub");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE);
        }
        config.keepalives_idle(SILENCE).keepalives_interval(SILENCE / 4).keepalives_retries(3);
        Ok(Address { config, trust, connections })
    }
}

fn wrong(address: &str, problem: &str) -> Error {
    Error::Engine(format!("the address {}: {problem}", shown(address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_libpq_reads_them() {
        let read = |text: &str| Address::parse(text).unwrap();
        let plain = read("postgres://hub@db.example/hub");
        assert_eq!((plain.config.get_dbname(), plain.connections), (Some("hub"), 16));
        assert!(plain.config.get_ssl_mode() == SslMode::Prefer && matches!(plain.trust, Trust::Anybody));
        let full = read("postgresql://hub:a%3Fb@db.example:5433/hub?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&connections=4");
        assert_eq!((full.config.get_password(), full.connections), (Some(&b"a?b"[..]), 4));
        assert!(full.config.get_ssl_mode() == SslMode::Require);
        assert!(matches!(&full.trust, Trust::Certified(Some(root)) if root.to_string_lossy() == "/etc/ca.pem"));
        let here = read("postgres:///hub?host=/run/postgresql&user=hub&sslmode=require");
        assert!(here.config.get_ssl_mode() == SslMode::Disable && here.config.get_dbname() == Some("hub"));
        for bad in ["postgres://db.example", "postgres://h/hub?sslmode=maybe", "postgres://h/hub?connections=1", "postgres://h/hub?what=1"]
        {
            let error = Address::parse(bad).err().unwrap().to_string();
            assert!(error.contains("the address postgres://"), "{error}");
        }
    }
}
