//! `.gitattributes`: which files go by LFS whatever their size. A client that is told otherwise about one of them may have no
//! bytes left to send: `datasets` writes each shard to a file that is gone before the commit.

use super::glob::{Glob, Parts, Steps, TooMuchWork};

/// More than this is no list a person wrote.
const MOST_RULES: usize = 500;
const LONGEST_RULE: usize = 512;
/// How git-lfs writes a space, which ends a pattern.
const SPACE: &str = "[[:space:]]";

/// What repos of the Hugging Face Hub name from their first commit on; here it counts without being written down.
const USUAL_EXTENSIONS: &[&str] = &[
    "7z",
    "arrow",
    "avro",
    "bin",
    "bz2",
    "ckpt",
    "ftz",
    "gz",
    "h5",
    "joblib",
    "lz4",
    "mds",
    "mlmodel",
    "model",
    "msgpack",
    "npy",
    "npz",
    "onnx",
    "ot",
    "parquet",
    "pb",
    "pickle",
    "pkl",
    "pt",
    "pth",
    "rar",
    "safetensors",
    "tar",
    "tflite",
    "tgz",
    "wasm",
    "xz",
    "zip",
    "zst",
    // of data sets
    "aac",
    "bmp",
    "flac",
    "gif",
    "jpeg",
    "jpg",
    "mp3",
    "mp4",
    "ogg",
    "pcm",
    "png",
    "raw",
    "sam",
    "tiff",
    "wav",
    "webm",
    "webp",
];
const USUAL_PARTS: &[&str] = &[".lfs.", ".tar.", "tfevents"];

/// The rules of a `.gitattributes`; the last that fits a path decides.
#[derive(Debug, Default)]
pub struct Attributes(Vec<(Glob, bool)>);

impl Attributes {
    /// Lines that cannot be read, or are about something else, say nothing.
    pub fn parse(text: &str) -> Attributes {
        Attributes(text.lines().filter_map(rule).take(MOST_RULES).collect())
    }

    pub fn says_lfs(&self, path: &str, steps: &mut Steps) -> Result<bool, TooMuchWork> {
        Ok(self.says_itself(path, steps)?.unwrap_or_else(|| is_usual(path)))
    }

    /// What the file says, and not what counts without being written down.
    pub fn says_itself(&self, path: &str, steps: &mut Steps) -> Result<Option<bool>, TooMuchWork> {
        let parts = Parts::of(path);
        for (glob, lfs) in self.0.iter().rev() {
            if glob.fits(&parts, parts.count(), steps)? {
                return Ok(Some(*lfs));
            }
        }
        Ok(None)
    }
}

/// What counts without being written down, as a `.gitattributes` says it.
pub fn usual_rules() -> String {
    let extensions = USUAL_EXTENSIONS.iter().map(|extension| format!("*.{extension}"));
    let parts = USUAL_PARTS.iter().map(|part| format!("*{part}*"));
    extensions.chain(parts).chain(["saved_model/**".to_owned()]).map(|pattern| lfs_rule(&pattern)).collect()
}

/// The rule for one path of a repo. What means something in a pattern loses its meaning.
pub fn rule_for(path: &str) -> String {
    let mut pattern = String::from("/");
    for c in path.chars() {
        match c {
            ' ' => pattern.push_str(SPACE),
            '*' | '?' | '[' | '\\' => pattern.extend(['\\', c]),
            c => pattern.push(c),
        }
    }
    lfs_rule(&pattern)
}

pub fn lfs_rule(pattern: &str) -> String {
    format!("{pattern} filter=lfs diff=lfs merge=lfs -text\n")
}

pub fn is_usual(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    USUAL_EXTENSIONS.contains(&extension) || USUAL_PARTS.iter().any(|part| name.contains(part)) || path.starts_with("saved_model/")
}

/// `*.parquet filter=lfs diff=lfs merge=lfs -text`.
fn rule(line: &str) -> Option<(Glob, bool)> {
    let mut words = line.split_ascii_whitespace();
    let pattern = words.next().filter(|pattern| !pattern.starts_with(['#', '[']) && pattern.len() <= LONGEST_RULE)?;
    let filter = words.rfind(|word| word.contains("filter"))?;
    Some((Glob::parse(&pattern.replace(SPACE, "[ ]"))?, filter == "filter=lfs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn itself(rules: &Attributes, path: &str) -> Option<bool> {
        rules.says_itself(path, &mut Steps::new(10_000)).unwrap()
    }

    #[test]
    fn what_is_named_goes_by_lfs() {
        let says_lfs = |rules: &Attributes, path| rules.says_lfs(path, &mut Steps::new(1_000)).unwrap();
        let none = Attributes::parse("");
        for path in
            ["data/train-00000-of-00001.parquet", "model.safetensors", "a/b.tar.gz", "saved_model/x/y", "events.out.tfevents.1", "x.lfs.y"]
        {
            assert!(says_lfs(&none, path), "{path}");
        }
        for path in ["README.md", "config.json", "a.parquet/b", "tokenizer.json", "x.PARQUET", "bin"] {
            assert!(!says_lfs(&none, path), "{path}");
        }
    }

    #[test]
    fn what_is_written_down_says_the_same() {
        let written = Attributes::parse(&usual_rules());
        for path in ["a/x.parquet", "x.pt", "b.tar.gz", "saved_model/x/y", "events.out.tfevents.1", "x.lfs.y"] {
            assert_eq!(itself(&written, path), Some(true), "{path}");
        }
        for path in ["README.md", "x/saved_model/y", "bin"] {
            assert_eq!((itself(&written, path), is_usual(path)), (None, false), "{path}");
        }
        for path in ["a/b c.dat", "a*b", "a[1]?", "back\\slash", "é.dat"] {
            let one = Attributes::parse(&rule_for(path));
            assert_eq!((itself(&one, path), itself(&one, "axb")), (Some(true), None), "{path}");
        }
    }

    #[test]
    fn the_repos_own_rules_come_first() {
        let own = Attributes::parse(
            "# own\n*.bin -filter\ntokenizer.json filter=lfs diff=lfs merge=lfs -text\n/top/*.txt filter=lfs\n*.md text\n*.[ filter=lfs\n",
        );
        for (path, lfs) in
            [("a.bin", false), ("b/tokenizer.json", true), ("top/a.txt", true), ("b/top/a.txt", false), ("x.md", false), ("x.pt", true)]
        {
            assert_eq!(own.says_lfs(path, &mut Steps::new(1_000)), Ok(lfs), "{path}");
        }
        let many: String = (0..2_000).map(|at| format!("**/*a*{at}* filter=lfs\n")).collect();
        let many = Attributes::parse(&many);
        assert!(many.0.len() <= MOST_RULES);
        assert_eq!(many.says_lfs(&"a".repeat(200), &mut Steps::new(1_000)), Err(TooMuchWork));
    }
}
