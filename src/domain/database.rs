//! Where a hub's database is, as people write it: a path, or the address of a server.

const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// Is this the address of a database server?
pub fn is_address(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

/// An address as it may be shown: without its password, wherever that stands.
pub fn shown(address: &str) -> String {
    let Ok(mut url) = url::Url::parse(address) else { return "a database server".into() };
    if url.password().is_some() {
        // Of an address with a password it cannot fail.
        let _ = url.set_password(Some("..."));
    }
    let query: Vec<(String, String)> = url.query_pairs().filter(|(key, _)| key != "password").map(|(k, v)| (k.into(), v.into())).collect();
    url.set_query(None);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_never_shown() {
        for address in ["postgres://hub:secret@h/hub?sslmode=require", "postgres://hub@h/hub?sslmode=require&password=secret"] {
            assert!(!shown(address).contains("secret") && shown(address).contains("sslmode=require"), "{}", shown(address));
        }
        assert_eq!(shown("postgres://hub@h:5433/hub"), "postgres://hub@h:5433/hub");
        assert!(is_address("postgresql:///hub?host=/tmp") && !is_address("/var/lib/hub"));
    }
}
