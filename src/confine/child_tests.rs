//! Children that speak, are silent, flood and die.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

const SOON: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(60);

/// A child that runs these lines of shell in place of this program.
fn speaking(script: &str) -> (Child, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("child");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    // Another test's child may just be between its fork and its program, and hold the script open for writing.
    let started = || Child::start(&Program { path: path.clone() }, "part", folder.path());
    let busy = |started: &io::Result<Child>| started.as_ref().is_err_and(|e| e.raw_os_error() == Some(libc::ETXTBSY));
    let mut child = started();
    while busy(&child) {
        std::thread::sleep(Duration::from_millis(5));
        child = started();
    }
    (child.unwrap(), folder)
}

#[test]
fn lines_are_bounded_in_length_and_time() {
    let (mut child, _folder) = speaking("echo one; echo two; read line; echo \"$line\"");
    assert_eq!((child.hear(10, LONG).unwrap(), child.hear(10, LONG).unwrap()), (b"one".to_vec(), b"two".to_vec()));
    child.tell(&"three", LONG).unwrap();
    assert_eq!(child.hear(10, LONG).unwrap(), b"\"three\"");
    assert!(matches!(child.hear(10, LONG), Err(Error::Ended)));
    assert!(child.end(LONG).unwrap().status.success());

    let (mut silent, _folder) = speaking("exec sleep 1000");
    assert!(matches!(silent.hear(10, SOON), Err(Error::Silent(_))));
    assert_eq!(silent.end(Duration::ZERO).unwrap().status.signal(), Some(libc::SIGKILL));

    let (mut loud, _folder) = speaking("yes abcdefgh | tr -d '\\n'");
    assert!(matches!(loud.hear(1_000, LONG), Err(Error::TooMuch(1_000))));

    let (mut deaf, _folder) = speaking("exec sleep 1000");
    assert!(matches!(deaf.send(&vec![0; 1 << 20], SOON), Err(Error::Silent(_))), "who does not listen is not waited for");
}

#[test]
fn how_a_child_ended_is_known_and_its_last_words_are_kept() {
    let end = |script: &str| speaking(script).0.end(LONG).unwrap();
    let crashed = end("echo it broke >&2; kill -ABRT $$");
    assert_eq!((crashed.status.signal(), crashed.words.as_str(), crashed.out_of_memory), (Some(libc::SIGABRT), "it broke", false));
    assert!(end("echo out of memory >&2; kill -ABRT $$").out_of_memory);
    assert!(!end("echo out of memory >&2").out_of_memory, "one that ended well did without");
    let flood = end("yes noise | head -c 1000000 >&2; echo last >&2; exit 3");
    assert_eq!((flood.status.code(), flood.words.len() <= LAST_WORDS), (Some(3), true));
    assert!(flood.words.ends_with("last"));
}

#[test]
fn a_child_has_nothing_of_its_parents_environment() {
    let (mut child, folder) = speaking("echo $(env | cut -d= -f1 | sort | tr '\\n' ' ')$TMPDIR");
    let line = String::from_utf8(child.hear(1_000, LONG).unwrap()).unwrap();
    assert!(line.ends_with(folder.path().to_str().unwrap()) && line.contains("TMPDIR"), "{line}");
    assert!(!line.contains("HOME") && !line.contains("CARGO") && !line.contains("USER"), "{line}");
}
