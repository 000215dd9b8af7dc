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
