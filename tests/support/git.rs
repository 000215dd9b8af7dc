//! The real git and git-lfs, with nothing of this machine's settings.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Api, Server};

/// A home, and the folders of one story's clones in it.
pub struct Git {
    home: tempfile::TempDir,
    /// Before each command: `-c` and so on.
    settings: Vec<String>,
}

/// How a command ended, and what it wrote.
#[derive(Debug)]
pub struct Ended {
    pub ok: bool,
    pub said: String,
}

impl Git {
    pub fn new() -> Git {
        Git { home: tempfile::tempdir().unwrap(), settings: Vec::new() }
    }

    /// The same with the version of the protocol that older gits speak.
    pub fn speaking(version: u8) -> Git {
        Git { settings: vec!["-c".into(), format!("protocol.version={version}")], ..Git::new() }
    }

    /// Files that git-lfs manages arrive as it finds them, as on a machine where `git lfs install` was run.
    pub fn with_lfs() -> Git {
        let git = Git::new();
        git.run(".", &["lfs", "install"]);
        git
    }

    pub fn at(&self, folder: &str) -> PathBuf {
        self.home.path().join(folder)
    }

    pub fn try_run(&self, folder: &str, args: &[&str]) -> Ended {
        let mut command = Command::new("git");
        command.args(&self.settings).args(args).current_dir(self.at(folder));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.home.path());
        command.env("LANG", "C.UTF-8").env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_NOSYSTEM", "1").env("NO_PROXY", "*");
        let done = command.output().unwrap();
        let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Ended { ok: done.status.success(), said }
    }

    /// What a command wrote, which must end well.
    #[track_caller]
    pub fn run(&self, folder: &str, args: &[&str]) -> String {
        let ended = self.try_run(folder, args);
        assert!(ended.ok, "git {args:?} in {folder}: {}", ended.said);
        ended.said
    }

    /// A clone that git itself finds whole.
    #[track_caller]
    pub fn clone(&self, address: &str, folder: &str, args: &[&str]) -> String {
        let said = self.run(".", &[&["clone", address, folder], args].concat());
        self.check(folder);
        said
    }

    #[track_caller]
    pub fn check(&self, folder: &str) {
        let said = self.run(folder, &["fsck", "--full", "--strict"]);
        assert!(!said.contains("error") && !said.contains("missing") && !said.contains("warning"), "{said}");
    }

    /// Every file of a clone with its bytes, by path.
    pub fn files(&self, folder: &str) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        let top = self.at(folder);
        let walk = walkdir::WalkDir::new(&top).sort_by_file_name().into_iter();
        for entry in walk.filter_entry(|entry| entry.file_name() != ".git").map(Result::unwrap).filter(|entry| entry.file_type().is_file())
        {
            let path = entry.path().strip_prefix(&top).unwrap().to_str().unwrap().to_owned();
            files.push((path, std::fs::read(entry.path()).unwrap()));
        }
        files.sort();
        files
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }
}

/// The server's address with a name and a token in it.
pub fn with_token(server: &Server, api: &Api) -> String {
    server.url.replace("http://", &format!("http://someone:{}@", api.token))
}
