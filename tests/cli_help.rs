//! The help of every command, as people read it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod support;

use support::hub;

/// Every command with commands below it, in the order of `hub --help`.
const COMMANDS: &[&[&str]] = &[
    &[],
    &["search"],
    &["show"],
    &["pull"],
    &["cache"],
    &["cache", "list"],
    &["cache", "verify"],
    &["cache", "prune"],
    &["cache", "path"],
    &["publish"],
    &["import"],
    &["recommend"],
    &["finetune"],
    &["doctor"],
    &["relabel"],
    &["jobs"],
    &["jobs", "list"],
    &["jobs", "show"],
    &["jobs", "watch"],
    &["jobs", "logs"],
    &["jobs", "cancel"],
    &["webhooks"],
    &["webhooks", "add"],
    &["webhooks", "test"],
    &["library"],
    &["library", "list"],
    &["library", "search"],
    &["library", "show"],
    &["library", "add"],
    &["library", "bundle"],
    &["library", "update"],
    &["embed"],
    &["predict"],
    &["rerank"],
    &["evaluate"],
    &["compare"],
    &["neighbors"],
    &["analogy"],
    &["similarity"],
    &["vectors"],
    &["train"],
    &["login"],
    &["logout"],
    &["whoami"],
    &["serve"],
    &["admin"],
    &["admin", "gc"],
    &["admin", "scrub"],
    &["admin", "fsck"],
    &["admin", "backup"],
    &["admin", "restore"],
    &["admin", "worker-token"],
    &["worker"],
    &["dispatch"],
    &["completions"],
];

#[test]
fn help_of_every_command() {
    let home = tempfile::tempdir().unwrap();
    for path in COMMANDS {
        let output = hub(home.path()).args(*path).arg("--help").output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        // The flags every command takes are shown once, with the whole program.
        let own = if path.is_empty() { text.as_str() } else { text.split("\nEverywhere:").next().unwrap() };
        let longest = own.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        assert!(longest <= 140, "{path:?}: a line of {longest} characters");
        insta::assert_snapshot!(format!("help {}", path.join(" ")).trim().replace(' ', "_"), own);
    }
}

#[test]
fn every_command_of_ours_is_listed_here() {
    let home = tempfile::tempdir().unwrap();
    let output = hub(home.path()).arg("--help").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let listed = text.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names =
        listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    // These act on this machine and have stories of their own.
    let local = ["config"];
    for name in names.filter(|name| !local.contains(name)) {
        assert!(COMMANDS.contains(&&[name][..]), "`hub {name}` has no snapshot of its help");
    }
}
