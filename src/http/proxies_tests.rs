//! Who asks, by what proxies and hostile callers write.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use super::*;

fn client(peer: &str, headers: &[(&str, &str)]) -> (String, bool) {
    let trusted = ["127.0.0.1", "::1", "10.0.0.0/8", "2001:db8:aaaa::/48"].map(|text| Network::parse(text).unwrap());
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let client = TrustedProxies(trusted.into()).client(Some(peer.parse().unwrap()), &map);
    (client.address.to_string(), client.through_proxy)
}

/// Behind 10.0.0.1.
fn behind(headers: &[(&str, &str)]) -> String {
    client("10.0.0.1", headers).0
}

#[test]
fn nobody_is_believed_who_is_not_trusted() {
    let claims = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")];
    assert_eq!(client("198.51.100.9", &claims), ("198.51.100.9".into(), false));
    assert_eq!(client("10.0.0.1", &claims), ("192.0.2.1".into(), true));
    assert_eq!(client("::ffff:10.0.0.1", &claims), ("192.0.2.1".into(), true));
    assert_eq!(client("10.0.0.1", &[]), ("10.0.0.1".into(), false), "the proxy asks for itself");
    let none = TrustedProxies::default().client(None, &HeaderMap::new());
    assert_eq!((none.address, none.through_proxy), (IpAddr::V4(Ipv4Addr::UNSPECIFIED), false));
}

#[test]
fn what_counts_is_the_last_that_is_not_trusted() {
    let list = |text: &str| behind(&[("x-forwarded-for", text)]);
    assert_eq!(list("192.0.2.1"), "192.0.2.1");
    assert_eq!(list("1.1.1.1, 192.0.2.1"), "192.0.2.1", "what stands before was the caller's to write");
    assert_eq!(list("192.0.2.1, 10.7.7.7,127.0.0.1"), "192.0.2.1");
    assert_eq!(list("10.0.0.5, 10.0.0.6"), "10.0.0.5", "all are ours: the first of them asked");
    assert_eq!(list("192.0.2.1, unknown, 10.0.0.6"), "10.0.0.6", "a proxy that does not tell stands for its callers");
    for nothing in ["", "unknown", "_hidden", "1.2.3.4, ,", "1.2.3", "192.0.2.1 192.0.2.2", "evil\u{e9}"] {
        assert_eq!(list(nothing), "10.0.0.1", "{nothing:?}");
    }
    let lines = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "192.0.2.1, 10.0.0.6")];
    assert_eq!(behind(&lines), "192.0.2.1", "several lines are one list");
}

#[test]
fn addresses_are_read_in_all_their_forms() {
    let list = |text: &str| behind(&[("x-forwarded-for", text)]);
    for text in ["192.0.2.1", "192.0.2.1:4711", "::ffff:192.0.2.1", "[::ffff:192.0.2.1]:80", "\"192.0.2.1:4711\""] {
        assert_eq!(list(text), "192.0.2.1", "{text}");
    }
    for text in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:4711", "\"[2001:db8::1]:4711\"", "2001:DB8:0::1"] {
        assert_eq!(list(text), "2001:db8::1", "{text}");
    }
}

#[test]
fn forwarded_is_read_as_it_is_defined() {
    let forwarded = |text: &str| behind(&[("forwarded", text)]);
    for text in [
        "for=192.0.2.60;proto=http;by=203.0.113.43",
        "proto=https; For=\"192.0.2.60:47011\"",
        "for=198.51.100.17, for=192.0.2.60",
        "for=\"_gazonk\", For=192.0.2.60, for=10.3.3.3",
        "for=\"192.0.2.\\60\"",
        "for=192.0.2.60:47011",
    ] {
        assert_eq!(forwarded(text), "192.0.2.60", "{text}");
    }
    assert_eq!(forwarded("for=\"[2001:db8:cafe::17]:4711\""), "2001:db8:cafe::17");
    assert_eq!(forwarded("for=2001:db8:cafe::17"), "2001:db8:cafe::17");
}

#[test]
fn hostile_headers_name_nobody_else() {
    let forwarded = |text: &str| behind(&[("forwarded", text)]);
    // Each as a proxy makes it: what the caller sent, and then the address it came from.
    for text in [
        "for=\"a, for=192.0.2.1",
        "for=victim;x=\", for=192.0.2.1",
        "for=1.1.1.1;x=\", for=\"[2001:db8::1]\"",
        "for=1.1.1.1;for=2.2.2.2",
        "for, for",
        "=, for=",
        "for=1.1.1.1 for=2.2.2.2",
        "for=\"1.1.1.1\"2.2.2.2",
        "for=\"1.1.1.1\\",
        "\u{a0}for=1.1.1.1",
    ] {
        assert_eq!(forwarded(text), "10.0.0.1", "{text}");
    }
    assert_eq!(forwarded("for=1.1.1.1;;, for=192.0.2.1"), "10.0.0.1");
    // A proxy that knows one of the headers passes the other on as it came.
    let both = |one: &str, other: &str| client("10.0.0.1", &[("forwarded", one), ("x-forwarded-for", other)]);
    assert_eq!(both("for=1.1.1.1", "192.0.2.1"), ("10.0.0.1".into(), true), "one of them lies");
    assert_eq!(both("for=192.0.2.1", "1.1.1.1, 192.0.2.1"), ("192.0.2.1".into(), true));
    let long = format!("{}, 192.0.2.1", vec!["1.1.1.1"; 20_000].join(","));
    assert_eq!(behind(&[("x-forwarded-for", &long)]), "192.0.2.1");
}
