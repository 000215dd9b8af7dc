//! Processes that read other people's files: what the kernel lets them touch, and how the process that started them speaks with them.
//!
//! Such a process holds no secret, no connection and no database. It is this program once more, started with an empty environment and
//! three pipes; before it reads a byte of anybody's file it gives up, for good:
//!
//! - paths (Landlock, `paths`): all but the files it is to read, its own folder, and the libraries it runs on; no TCP port either;
//! - calls (seccomp, `calls`): all but those that reading, computing and threads need: no socket, no program, no other process;
//! - rights ([`limits`]): capabilities, core dumps, memory beyond a bound, a life longer than its parent's.
//!
//! Its words are as little to be trusted as the files it read: [`child`] takes lines of bounded length from it, waits for a bounded
//! time, and ends it. [`probe`] tries what must not work.

#[cfg(target_os = "linux")]
mod calls;
pub mod child;
mod kernel;
pub mod last_word;
pub mod limits;
#[cfg(target_os = "linux")]
mod paths;
pub mod probe;
pub mod speech;

use std::io;
use std::path::PathBuf;
use std::str::FromStr;

pub use kernel::Kernel;
use serde::{Deserialize, Serialize};

/// How much an administrator asks of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// What it has.
    #[default]
    Auto,
    /// All of it, or nothing is started.
    Require,
    /// Processes of their own all the same, which the kernel does not hold.
    Off,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        match text {
            "auto" => Ok(Choice::Auto),
            "require" => Ok(Choice::Require),
            "off" => Ok(Choice::Off),
            other => Err(format!("'{other}' is none of auto, require and off")),
        }
    }
}

/// What a confined process may touch.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Grant {
    /// Files, and folders with all in them, that it may read.
    pub read: Vec<PathBuf>,
    /// Folders in which it may also write.
    pub write: Vec<PathBuf>,
    /// The folder that no folder of the system's may bring with it: the data directory.
    pub never: PathBuf,
    /// Programs that it may start, which are held to all that it is held to itself; none for most.
    #[serde(default)]
    pub programs: Vec<PathBuf>,
    /// NVIDIA cards.
    pub card: bool,
    /// What it may allocate.
    pub memory_bytes: u64,
    /// The process it ends with.
    pub parent: u32,
    pub choice: Choice,
}

/// Gives up everything but what is granted; what of it the kernel enforces. To be called before there is a second thread.
///
/// # Errors
/// A limit was refused, the parent is gone, or all is required and not to be had.
pub fn restrict(grant: &Grant) -> io::Result<Kernel> {
    limits::close_inherited()?;
    limits::die_with(grant.parent)?;
    limits::restrain(grant.memory_bytes)?;
    let enforced = match grant.choice {
        Choice::Off => Kernel::default(),
        Choice::Auto | Choice::Require => enforce(grant),
    };
    if grant.choice == Choice::Require && !enforced.is_whole() {
        return Err(io::Error::other(enforced.lacks()));
    }
    Ok(enforced)
}

#[cfg(target_os = "linux")]
fn enforce(grant: &Grant) -> Kernel {
    let landlock = Kernel::ask().landlock.filter(|_| paths::restrict(grant).is_ok());
    // A root without it may not read what others own; where paths are held by rules it may keep that one right.
    let dropped = limits::drop_capabilities(landlock.is_some());
    Kernel { landlock, seccomp: dropped.is_ok() && calls::restrict(grant.card, !grant.programs.is_empty()).is_ok() }
}

#[cfg(not(target_os = "linux"))]
fn enforce(_: &Grant) -> Kernel {
    Kernel::default()
}
