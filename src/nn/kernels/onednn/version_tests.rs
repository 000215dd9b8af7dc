//! Whoever has both versions installed has both tested: the one that is not in use gets a process of its own.

use std::os::unix::fs::symlink;
use std::process::Command;

use super::library::{NAMES, library};

#[test]
fn another_version_that_is_installed_passes_the_same_tests() {
    let Ok(used) = library() else { return };
    let known = Command::new("/sbin/ldconfig").arg("-p").output();
    let known = known.map(|output| String::from_utf8(output.stdout).unwrap()).unwrap_or_default();
    for (name, path) in known.lines().filter_map(|line| line.trim().split_once(" (libc6,x86-64) => ")) {
        let version = name.trim_start_matches("libdnnl.so.").chars().next().unwrap();
        if !NAMES.contains(&name) || used.version.0.to_string() == version.to_string() {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        symlink(path, folder.path().join(NAMES[0])).unwrap();
        let mut tests = Command::new(std::env::current_exe().unwrap());
        tests.args(["kernels::", "--skip", "another_version", "--nocapture"]).env("LD_LIBRARY_PATH", folder.path());
        let output = tests.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{path}: {said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains(&format!("convolutions by oneDNN {version}.")), "{path} was not tested: {said}");
    }
}
