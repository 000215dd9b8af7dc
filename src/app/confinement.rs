//! How far processes that read other people's files are held here: what was asked for, what the kernel can do, and the proof of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{ADMIN_TOKEN_FILE, DATABASE_FILE, Error, Result};
use crate::checks::{self, Checks, Confined};
use crate::config::{self, Config};
use crate::confine::child::{Child, Program};
use crate::confine::probe::{self, Answer, Attempts};
use crate::confine::speech::Speech;
use crate::confine::{self, Choice, Grant, Kernel, limits};
use crate::worker;

/// What a proof may take.
const PATIENCE: Duration = Duration::from_secs(20);
const LONGEST: usize = 64 << 10;
/// Memory of a process that only tries things.
const LITTLE: u64 = 4 << 30;
/// Memory of one that checks: pictures share 2 GiB of it, and the allocator reserves one at once.
const LEAST_FOR_A_CHECK: u64 = 4 << 30;
const MOST_FOR_A_CHECK: u64 = 16 << 30;

/// What is asked for; said where the kernel has less.
///
/// # Errors
/// All was required, and this kernel has not all of it.
pub(super) fn agree(config: &Config) -> Result<Choice> {
    let choice = chosen(config);
    let kernel = Kernel::ask();
    match choice {
        Choice::Off => tracing::warn!("confinement is off: processes that read other people's files may do what this server may"),
        Choice::Require if !kernel.is_whole() => {
            let hint = "run it on Linux 5.13 or newer with Landlock, or set confinement (HUB_CONFINEMENT) to auto";
            return Err(Error::Refused { message: kernel.lacks(), hint: hint.into() });
        }
        Choice::Auto if !kernel.is_whole() => tracing::warn!("{}", kernel.lacks()),
        Choice::Auto | Choice::Require => tracing::info!(held_by = %kernel, "processes that read other people's files are confined"),
    }
    Ok(choice)
}

fn chosen(config: &Config) -> Choice {
    config.confinement.parse().unwrap_or_default()
}

/// This program, to be started again.
pub(super) fn program() -> Result<Program> {
    let path = config::own_executable();
    let path = path.map_err(|e| Error::failed(format!("the own program was not found: {e}"), "reinstall hub"))?;
    // One that was replaced while it runs is still there by this name.
    let own = PathBuf::from("/proc/self/exe");
    Ok(Program { path: if own.exists() { own } else { path } })
}

/// Who looks into what is published here.
pub(super) fn checks(config: &Config) -> Result<Checks> {
    let memory_bytes = (limits::machine_memory_bytes() / 2).clamp(LEAST_FOR_A_CHECK, MOST_FOR_A_CHECK);
    Ok(Checks::confined(Confined { program: program()?, choice: chosen(config), data: real(&config.data), memory_bytes }))
}

/// A path without links, as rules on paths have them, absolute also where the configuration is not.
pub(super) fn real(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// One line for people: what holds such processes here. What could be done all the same in a try is named.
pub fn describe(config: &Config) -> String {
    if chosen(config) == Choice::Off {
        return "off: processes that read other people's files may do what this server may".into();
    }
    match prove(config) {
        Ok(answer) if answer.succeeded.is_empty() && answer.broken.is_empty() => {
            format!("{} ({} ways out tried, all closed)", answer.enforced, answer.refused.len())
        }
        Ok(answer) if answer.broken.is_empty() => format!("{}; open: {}", answer.enforced, answer.succeeded.join(", ")),
        Ok(answer) => format!("{}; a confined process cannot work here: {}", answer.enforced, answer.broken.join(", ")),
        Err(problem) => format!("{}; the try of it failed: {problem}", Kernel::ask()),
    }
}

/// Starts a confined process that tries what it must not do, on files of its own that stand for the hub's, and on the hub's where
/// there is one.
pub fn prove(config: &Config) -> std::io::Result<Answer> {
    let folder = tempfile::tempdir()?;
    let (granted, kept) = (folder.path().join("granted"), folder.path().join("kept"));
    for made in [&granted, &kept] {
        std::fs::create_dir(made)?;
    }
    let own = granted.join("own");
    std::fs::write(&own, "granted")?;
    let stand_ins = [ADMIN_TOKEN_FILE, DATABASE_FILE].map(|name| kept.join(name));
    for secret in &stand_ins {
        std::fs::write(secret, "secret")?;
    }
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let grant = Grant {
        read: vec![own.clone()],
        write: vec![real(&granted)],
        never: if config.data.is_dir() { real(&config.data) } else { kept.clone() },
        memory_bytes: LITTLE,
        parent: std::process::id(),
        choice: chosen(config),
        ..Grant::default()
    };
    let closed = [ADMIN_TOKEN_FILE, DATABASE_FILE].map(|name| config.data.join(name)).into_iter().filter(|path| path.exists());
    let (secrets, closed, port) = (stand_ins.to_vec(), closed.collect(), listener.local_addr()?.port());
    let attempts = Attempts { grant, own, secrets, closed, port };
    let program = program().map_err(std::io::Error::other)?;
    let mut child = Child::start(&program, "probe", &real(&granted))?;
    let answer = child.tell(&attempts, PATIENCE).and_then(|()| child.hear(LONGEST, PATIENCE));
    let end = child.end(PATIENCE)?;
    let answer = answer.map_err(|e| std::io::Error::other(format!("{e} ({}) {}", end.status, end.words)))?;
    Ok(serde_json::from_slice(&answer)?)
}

/// What this program is as a confined process; ends with it.
///
/// # Errors
/// It could not be confined as asked, or its parent is gone.
pub fn run(part: Part) -> std::io::Result<()> {
    match part {
        Part::Train => worker::train(),
        Part::Check | Part::Scan | Part::Import => checks::run(),
        Part::Probe => {
            let mut speech = Speech::default();
            let asked: Attempts = speech.hear()?;
            let enforced = confine::restrict(&asked.grant)?;
            speech.say(&probe::attempt(&asked, enforced))
        }
    }
}

/// What a confined process is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Train,
    /// Of a data set.
    Check,
    /// For pickles.
    Scan,
    /// Of weights that are pickles.
    Import,
    Probe,
}
