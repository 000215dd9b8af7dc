//! What people have set for the tools of the Hugging Face Hub, in the variables of those.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Which hub they use, and as whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HuggingFace {
    pub endpoint: Option<String>,
    pub token: Option<String>,
}

impl HuggingFace {
    pub(super) fn of(environment: &BTreeMap<String, String>) -> HuggingFace {
        let set = |key: &str| environment.get(key).filter(|value| !value.is_empty()).cloned();
        HuggingFace { endpoint: set("HF_ENDPOINT"), token: set("HF_TOKEN") }
    }
}

/// The hosts of the proxies that requests to other hubs go through, as everybody's tools read them.
pub(super) fn proxies(environment: &BTreeMap<String, String>) -> Vec<String> {
    let names = ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
    let host = |text: &String| {
        let written = if text.contains("://") { text.clone() } else { format!("http://{text}") };
        url::Url::parse(&written).ok()?.host_str().map(str::to_owned)
    };
    names.iter().filter_map(|name| environment.get(*name)).filter_map(host).collect()
}

/// Where `huggingface_hub` keeps its cache. `caches` is where this user's caches lie; without it and without a setting there is none.
pub(super) fn cache(environment: &BTreeMap<String, String>, caches: Option<PathBuf>) -> Option<PathBuf> {
    let set = |key: &str| environment.get(key).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || Some(set("HF_HOME").or_else(|| Some(caches?.join("huggingface")))?.join("hub"));
    set("HF_HUB_CACHE").or_else(|| set("HUGGINGFACE_HUB_CACHE")).or_else(home)
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn proxies_are_known_by_their_hosts() {
        let pairs =
            [("https_proxy", "http://user:word@Proxy.corp:3128"), ("all_proxy", "localhost:3128"), ("HTTP_PROXY", ""), ("no_proxy", "x")];
        let set = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(super::proxies(&set), ["proxy.corp", "localhost"]);
    }

    #[test]
    fn it_is_where_its_own_variables_say() {
        let path = |pairs: &[(&str, &str)]| {
            let home = [("HOME", "/h")].iter().chain(pairs).map(|(k, v)| (k.to_string(), v.to_string())).collect();
            Config::resolve(&[], None, &home).unwrap().hf_cache.display().to_string()
        };
        assert_eq!(path(&[]), "/h/.cache/huggingface/hub");
        assert_eq!(path(&[("HF_HOME", "/hf")]), "/hf/hub");
        assert_eq!(path(&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/c")]), "/c");
        assert_eq!(path(&[("HF_HUB_CACHE", "/c"), ("HUB_HF_CACHE", "/own")]), "/own");
    }
}
