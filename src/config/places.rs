//! Where things lie that no setting places: below the home, as the XDG base directory specification has it. Without a home they have no
//! place; nobody wants them in the folder that happens to be the current one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::hugging_face;

/// The places of one environment.
pub(super) struct Places<'a> {
    pub environment: &'a BTreeMap<String, String>,
}

impl Places<'_> {
    /// Settings that are folders, and where they lie by default.
    pub fn defaults(&self) -> [(&'static str, Option<PathBuf>); 3] {
        let caches = self.in_home("XDG_CACHE_HOME", ".cache");
        [
            ("data", self.of_ours("XDG_DATA_HOME", ".local/share")),
            ("hf_cache", hugging_face::cache(self.environment, caches)),
            ("cache", self.of_ours("XDG_CACHE_HOME", ".cache")),
        ]
    }

    /// Where `hub login` keeps its tokens: beside the file of one's own choice, if there is one. Empty without a home.
    pub fn config_dir(&self) -> PathBuf {
        let chosen = match self.chosen() {
            Some(chosen) if !chosen.is_dir() => chosen.parent().map(PathBuf::from),
            Some(folder) => Some(folder),
            None => self.of_ours("XDG_CONFIG_HOME", ".config"),
        };
        chosen.unwrap_or_default()
    }

    /// The configuration file, if one is there.
    pub fn file(&self, data: &Path, config_dir: &Path) -> Option<PathBuf> {
        let known = match self.chosen() {
            Some(chosen) => [chosen.clone(), chosen.join("hub.toml")],
            None => [data.join("hub.toml"), config_dir.join("hub.toml")],
        };
        known.into_iter().find(|path| path.is_file())
    }

    fn chosen(&self) -> Option<PathBuf> {
        self.environment.get("HUB_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    fn absolute(&self, key: &str) -> Option<PathBuf> {
        self.environment.get(key).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    fn in_home(&self, key: &str, default: &str) -> Option<PathBuf> {
        self.absolute(key).or_else(|| Some(self.absolute("HOME")?.join(default)))
    }

    fn of_ours(&self, key: &str, default: &str) -> Option<PathBuf> {
        self.in_home(key, default).map(|folder| folder.join("backbone-hub"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn without_a_home_nothing_lies_in_the_current_folder() {
        for pairs in [&[][..], &[("HOME", "")], &[("HOME", "here")], &[("XDG_CACHE_HOME", "cache")]] {
            let config = Config::resolve(&[], None, &environment(pairs)).unwrap();
            let places = [&config.data, &config.cache, &config.hf_cache, &config.config_dir];
            assert!(places.iter().all(|place| place.as_os_str().is_empty()), "{pairs:?}: {places:?}");
        }
        let config = Config::resolve(&[], None, &environment(&[("XDG_CACHE_HOME", "/c")])).unwrap();
        assert_eq!((config.cache, config.hf_cache), ("/c/backbone-hub".into(), "/c/huggingface/hub".into()));
    }

    #[test]
    fn a_configuration_of_one_s_own_choice() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("own.toml");
        let load =
            |path: &Path| Config::resolve(&[], None, &environment(&[("HOME", "/h"), ("HUB_CONFIG", path.to_str().unwrap())])).unwrap();
        let config = load(&file);
        assert_eq!((config.file, config.config_dir.as_path()), (None, dir.path()), "it need not be there");
        std::fs::write(&file, "workers = 3\n").unwrap();
        assert_eq!((load(&file).workers, load(&file).file), (3, Some(file.clone())));
        std::fs::rename(&file, dir.path().join("hub.toml")).unwrap();
        assert_eq!((load(dir.path()).workers, load(dir.path()).config_dir), (3, dir.path().to_path_buf()));
    }
}
