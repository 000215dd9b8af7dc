//! Runs of addresses, as administrators write them: `10.0.0.1`, `10.0.0.0/8`, `2001:db8::/32`.

use std::fmt;
use std::net::IpAddr;

/// All addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    bits: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no address and no network; write 10.0.0.1, 10.0.0.0/8 or 2001:db8::/32")]
pub struct NetworkError(String);

impl Network {
    pub fn parse(text: &str) -> Result<Network, NetworkError> {
        let wrong = || NetworkError(text.into());
        let (address, bits) = text.trim().split_once('/').map_or((text.trim(), None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = width(&address);
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
        let bits = bits.map_or(Some(longest), plain).filter(|bits| *bits <= longest).ok_or_else(wrong)?;
        // `::ffff:10.0.0.0/104` is 10.0.0.0/8: peers are compared in their plain form.
        Ok(match (address.to_canonical(), address) {
            (IpAddr::V4(plain), IpAddr::V6(_)) if bits >= 96 => Network { first: plain.into(), bits: bits - 96 },
            _ => Network { first: address, bits },
        })
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(other)) => same_start(first.to_bits().into(), other.to_bits().into(), 32 - self.bits),
            (IpAddr::V6(first), IpAddr::V6(other)) => same_start(first.to_bits(), other.to_bits(), 128 - self.bits),
            _ => false,
        }
    }
}

fn width(address: &IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Are these the same but for the last `free` bits?
fn same_start(a: u128, b: u128, free: u32) -> bool {
    (a ^ b).checked_shr(free).unwrap_or(0) == 0
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_what_begins_with_their_bits() {
        let holds = |network: &str, address: &str| Network::parse(network).unwrap().contains(address.parse().unwrap());
        for (network, inside, outside) in [
            ("10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.0"),
            ("10.1.2.3/8", "10.9.9.9", "9.0.0.1"),
            ("192.168.0.128/25", "::ffff:192.168.0.200", "192.168.0.127"),
            ("::ffff:10.0.0.0/104", "10.3.4.5", "11.0.0.1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::1", "::1", "127.0.0.1"),
            ("0.0.0.0/0", "8.8.8.8", "2001:db8::1"),
            ("::/0", "2001:db8::1", "8.8.8.8"),
        ] {
            assert!(holds(network, inside) && !holds(network, outside), "{network}");
        }
        assert_eq!(Network::parse(" 10.0.0.0/8 ").unwrap().to_string(), "10.0.0.0/8");
        for bad in ["", "10.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/-1", "proxy.lan", "10.0.0.0/8/8", "[::1]"]
        {
            assert!(Network::parse(bad).is_err(), "{bad}");
        }
    }
}
