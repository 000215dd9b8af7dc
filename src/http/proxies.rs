//! Where a request comes from when it came through proxies. Anybody can write `Forwarded` and `X-Forwarded-For`, and each
//! proxy adds the address that called it at the end: so they are read from the end, only where the connection itself comes
//! from a proxy that is trusted, and only as far as what stands there is trusted, too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use actix_web::http::header::HeaderMap;

use crate::domain::network::Network;

/// Whose word is taken on who called them.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(pub Vec<Network>);

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    pub address: IpAddr,
    /// Not straight from there, but through a proxy that is trusted.
    pub through_proxy: bool,
}

impl TrustedProxies {
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Who asks on a connection from `peer`. Where the two headers name different callers one of them was brought along
    /// by the caller, and nobody can tell which: such a request counts as the proxy's own.
    pub fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Client {
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.to_canonical());
        if !self.trusts(peer) {
            return Client { address: peer, through_proxy: false };
        }
        let lines = |name: &str| headers.get_all(name).rev().map(|line| line.to_str().ok()).collect::<Vec<_>>();
        let (forwarded, plain) = (lines("forwarded"), lines("x-forwarded-for"));
        let told: Vec<IpAddr> = [(forwarded, hops_of_forwarded as Hops), (plain, hops_of_list)]
            .into_iter()
            .filter(|(lines, _)| !lines.is_empty())
            .map(|(lines, hops)| self.caller(peer, lines.into_iter().flat_map(|line| line.map_or_else(|| vec![None], hops))))
            .collect();
        match told.as_slice() {
            [] => Client { address: peer, through_proxy: false },
            [one] => Client { address: *one, through_proxy: true },
            [one, other] if one == other => Client { address: *one, through_proxy: true },
            _ => Client { address: peer, through_proxy: true },
        }
    }

    /// The first from the end that is not trusted; what is no address ends the search, and so does the beginning.
    fn caller(&self, peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut known = peer;
        for hop in hops {
            let Some(address) = hop else { break };
            known = address;
            if !self.trusts(address) {
                break;
            }
        }
        known
    }
}

/// From a line to its hops, the last first; `None` where there is no address.
type Hops = fn(&str) -> Vec<Option<IpAddr>>;

fn hops_of_list(line: &str) -> Vec<Option<IpAddr>> {
    line.rsplit(',').map(|hop| address(hop.trim())).collect()
}

/// RFC 7239. A line that is not well-formed says nothing: an open quotation mark would hide what a proxy has added.
fn hops_of_forwarded(line: &str) -> Vec<Option<IpAddr>> {
    let Some(elements) = elements(line) else { return vec![None] };
    let hop = |pairs: Vec<(String, String)>| {
        let mut named = pairs.iter().filter(|(name, _)| name.eq_ignore_ascii_case("for"));
        match (named.next(), named.next()) {
            (Some((_, value)), None) => address(value),
            _ => None,
        }
    };
    elements.into_iter().rev().map(hop).collect()
}

/// The elements of a line, each with its pairs; `None` where it is malformed.
fn elements(line: &str) -> Option<Vec<Vec<(String, String)>>> {
    let (mut all, mut pairs, mut rest) = (Vec::new(), Vec::new(), line.trim_start());
    loop {
        let (name, behind) = rest.split_once('=')?;
        if name.is_empty() || !name.bytes().all(is_token) {
            return None;
        }
        let (value, behind) = value(behind)?;
        pairs.push((name.to_owned(), value));
        let behind = behind.trim_start();
        let Some(separator) = behind.chars().next() else {
            all.push(pairs);
            return Some(all);
        };
        rest = behind[1..].trim_start();
        match separator {
            ';' => {}
            ',' => all.push(std::mem::take(&mut pairs)),
            _ => return None,
        }
    }
}

/// A quoted text or a plain one, and what stands behind it. Plain addresses with colons are against the letter, and common.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',', ' ', '\t', '"']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(c),
        }
    }
    None
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`, each perhaps between quotation marks.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(text);
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let address = text.parse::<IpAddr>().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip())).or_else(bare);
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
#[path = "proxies_tests.rs"]
mod tests;
