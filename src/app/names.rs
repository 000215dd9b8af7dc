//! What a server is called, and whose names it keeps free: looked at before it serves.

use std::net::ToSocketAddrs as _;

use super::{Error, Result};
use crate::config::Config;
use crate::service::Service;
use crate::service::repos::mirror::Clashes;

/// So many names are in one line of the log.
const MOST_NAMED: usize = 20;

/// A server that others can reach must know its name: it would believe any that a caller makes up, and lead people there.
pub fn check(config: &Config) -> Result<()> {
    if config.public_url.is_some() || !config.trusted_hosts.is_empty() || !is_reachable(&config.listen) {
        return Ok(());
    }
    let message = format!("{} can be reached from other machines, and this server does not know under which name", config.listen);
    let hint = "tell it with --public-url https://hub.example.org (HUB_PUBLIC_URL), or with --trusted-host for each name it is \
                called by (HUB_TRUSTED_HOSTS); or listen on 127.0.0.1";
    Err(Error::failed(message, hint))
}

/// An address that cannot be read is refused where it is listened on.
fn is_reachable(listen: &str) -> bool {
    listen.to_socket_addrs().is_ok_and(|mut addresses| addresses.any(|address| !address.ip().is_loopback()))
}

/// Says which accounts stand where the hub behind this one has a namespace.
pub async fn tell_of_clashes(service: &Service, open_signup: bool) -> Result<()> {
    let Clashes { all, accounts } = service.list_clashes().await?;
    if all && open_signup {
        tracing::warn!("nobody can sign up by themselves: with upstream_namespaces = \"*\" every name may be somebody's there");
    }
    if accounts.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = accounts.iter().take(MOST_NAMED).map(|name| name.as_str()).collect();
    let (count, names) = (accounts.len(), names.join(", "));
    if all {
        tracing::info!(
            count,
            names,
            "nothing is mirrored into the namespaces of these accounts, whoever has them at the hub behind this one"
        );
    } else {
        tracing::warn!(count, names, "these accounts have names of upstream_namespaces: nothing is mirrored there ('hub admin doctor')");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_be_reached_must_know_its_name() {
        let check = |flags: &[(&'static str, &str)]| {
            let flags: Vec<_> = flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
            check(&Config::load(&flags, None).unwrap())
        };
        for public in ["0.0.0.0:8080", "[::]:8080", "192.0.2.1:80"] {
            let refused = check(&[("listen", public)]).unwrap_err();
            assert!(refused.to_string().contains("under which name") && refused.hint().contains("HUB_PUBLIC_URL"), "{refused}");
            assert!(check(&[("listen", public), ("public_url", "https://hub.example.org")]).is_ok());
            assert!(check(&[("listen", public), ("trusted_hosts", "hub.lan")]).is_ok());
        }
        for own in ["127.0.0.1:0", "127.0.0.2:8080", "[::1]:8080", "localhost:8080"] {
            assert!(check(&[("listen", own)]).is_ok(), "{own}");
        }
    }
}
