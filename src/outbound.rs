//! Where requests may go whose address somebody else chose: into the open internet, and never to this machine or its networks, which
//! an address from outside could otherwise reach through us (server-side request forgery, CWE-918). Mirrors and webhooks both ask here.
//!
//! A name is looked up once, and the connection goes to what was looked up: an answer that changes afterwards (DNS rebinding) changes
//! nothing. An address that is written as a number is looked up by nobody, so whoever connects asks [`Destinations::admit`] before.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::domain::network::Network;

/// Where requests may go; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Destinations {
    chosen: Arc<[String]>,
    networks: Arc<[Network]>,
}

impl Destinations {
    /// Hosts that whoever runs this named may be anywhere.
    pub fn with_hosts(hosts: impl IntoIterator<Item = String>) -> Destinations {
        Destinations { chosen: hosts.into_iter().collect(), ..Destinations::default() }
    }

    /// Further networks that whoever runs this allowed.
    pub fn with_networks(networks: &[Network]) -> Destinations {
        Destinations { networks: networks.into(), ..Destinations::default() }
    }

    /// May a connection go to this address?
    pub fn admits(&self, address: IpAddr) -> bool {
        is_public(address) || self.networks.iter().any(|network| network.contains(address))
    }

    /// False for an http or https address that names a forbidden place as a number, and for all other kinds of addresses. What names
    /// stand for is asked when they are looked up.
    pub fn admit(&self, url: &Url) -> bool {
        let web = matches!(url.scheme(), "http" | "https");
        web && match url.host() {
            Some(Host::Ipv4(address)) => self.admits(address.into()),
            Some(Host::Ipv6(address)) => self.admits(address.into()),
            Some(Host::Domain(name)) => !name.is_empty(),
            None => false,
        }
    }

    /// The addresses of a name that may be connected to.
    pub async fn look_up(&self, name: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        let chosen = self.chosen.iter().any(|own| name.eq_ignore_ascii_case(own));
        let found = tokio::net::lookup_host((name, port)).await?;
        Ok(found.filter(|address| chosen || self.admits(address.ip())).collect())
    }
}

impl Resolve for Destinations {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let allowed = this.look_up(name.as_str(), 0).await?;
            if allowed.is_empty() {
                return Err(format!("{} has no public address", name.as_str()).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Addresses anybody on the internet may have (RFC 6890 lists those nobody there has).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// Where machines of one cloud ask who they are, among addresses that look like everybody's.
const CLOUD_METADATA: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol = a == 192 && b == 0 && c == 0;
    let relays = a == 192 && b == 88 && c == 99;
    let benchmark = a == 198 && (b == 18 || b == 19);
    let special = address.is_private() || address.is_loopback() || address.is_link_local() || address.is_documentation();
    !(a == 0 || a >= 224 || shared || protocol || relays || benchmark || special || address == CLOUD_METADATA)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let first = address.segments();
    match (address.to_ipv4(), first) {
        // Written as the older kind, or translated to it (RFC 6052, 6to4, Teredo): judged by what it leads to, or not at all.
        (Some(v4), _) => is_public_v4(v4),
        (None, [0x64, 0xff9b, ..] | [0x2002, ..] | [0x2001, 0, ..] | [0x2001, 0xdb8, ..]) => false,
        // Documentation, too (RFC 9637).
        (None, [0x3fff, second, ..]) if second < 0x1000 => false,
        (None, [first, ..]) => (first & 0xe000) == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_lead_inside_are_not_public() {
        let public = ["1.1.1.1", "18.154.227.7", "168.63.129.17", "2606:4700::1111", "::ffff:8.8.8.8"];
        let inside = [
            "0.0.0.0",
            "10.1.2.3",
            "127.0.0.1",
            "169.254.169.254",
            "168.63.129.16",
            "172.16.0.1",
            "192.168.1.1",
            "192.88.99.1",
            "100.64.0.1",
            "100.100.100.200",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::a00:1",
            "2002:a00:1::",
            "2001::1",
            "3fff:0fff::1",
        ];
        public.iter().for_each(|text| assert!(is_public(text.parse().unwrap()), "{text}"));
        inside.iter().for_each(|text| assert!(!is_public(text.parse().unwrap()), "{text}"));
    }

    #[test]
    fn numbers_are_judged_however_they_are_written_and_networks_are_opened_one_by_one() {
        let admitted = |destinations: &Destinations, url: &str| destinations.admit(&Url::parse(url).unwrap());
        let open = Destinations::default();
        for bad in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "http://169.254.169.254/latest/meta-data",
            "ftp://example.org/",
            "file:///etc/passwd",
        ] {
            assert!(!admitted(&open, bad), "{bad}");
        }
        assert!(admitted(&open, "https://example.org/hook") && admitted(&open, "http://1.1.1.1/"));
        let lab = Destinations::with_networks(&[Network::parse("127.0.0.1").unwrap()]);
        assert!(admitted(&lab, "http://127.0.0.1:9/x") && !admitted(&lab, "http://127.0.0.2/x") && !admitted(&lab, "http://[::1]/x"));
    }

    #[tokio::test]
    async fn of_a_name_with_several_addresses_only_those_that_are_allowed_are_connected_to() {
        // A system may know this name by both kinds of addresses.
        let lab = Destinations::with_networks(&[Network::parse("127.0.0.0/8").unwrap()]);
        let found = lab.look_up("localhost", 80).await.unwrap();
        assert!(!found.is_empty() && found.iter().all(|address| address.is_ipv4()), "{found:?}");
        assert!(Destinations::default().look_up("localhost", 80).await.unwrap().is_empty());
        assert!(!Destinations::with_hosts(["LOCALHOST".to_owned()]).look_up("localhost", 80).await.unwrap().is_empty());
    }
}
