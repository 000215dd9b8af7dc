//! What the kernel of this machine can hold a process by.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is to be had here, or was enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Kernel {
    /// The version of Landlock's interface.
    pub landlock: Option<u32>,
    pub seccomp: bool,
}

impl Kernel {
    /// Asks the kernel; changes nothing.
    pub fn ask() -> Kernel {
        Kernel { landlock: landlock(), seccomp: seccomp() }
    }

    pub fn is_whole(&self) -> bool {
        self.landlock.is_some() && self.seccomp
    }

    /// What is missing, in a sentence that says what to do.
    pub fn lacks(&self) -> String {
        let what = match (self.landlock, self.seccomp) {
            (Some(_), true) => return "nothing is missing".into(),
            (None, true) => "this kernel has no Landlock (Linux 5.13, with `landlock` among its `lsm=`)",
            (Some(_), false) => "this kernel has no seccomp filters",
            (None, false) => "this kernel has neither Landlock nor seccomp filters, or a container forbids them",
        };
        format!(
            "{what}: processes that read other people's files cannot be confined; set confinement (HUB_CONFINEMENT) to auto to do without"
        )
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.landlock, self.seccomp) {
            (Some(version), true) => write!(f, "landlock ABI {version}, seccomp"),
            (Some(version), false) => write!(f, "landlock ABI {version}; this kernel has no seccomp filters"),
            (None, true) => f.write_str("seccomp; this kernel has no Landlock"),
            (None, false) => f.write_str("none: this kernel has neither Landlock nor seccomp filters"),
        }
    }
}

#[cfg(target_os = "linux")]
fn landlock() -> Option<u32> {
    const ASK_FOR_VERSION: libc::c_uint = 1;
    // SAFETY: with this flag and no attributes the call answers a number and makes nothing.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, ASK_FOR_VERSION) };
    u32::try_from(version).ok().filter(|version| *version > 0)
}

#[cfg(target_os = "linux")]
fn seccomp() -> bool {
    let action: u32 = libc::SECCOMP_RET_ERRNO;
    // SAFETY: asks whether filters may answer so; `action` is read during the call.
    unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0_u32, &raw const action) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn landlock() -> Option<u32> {
    None
}

#[cfg(not(target_os = "linux"))]
fn seccomp() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said() {
        let kernel = |landlock, seccomp| Kernel { landlock, seccomp };
        assert_eq!(kernel(Some(7), true).to_string(), "landlock ABI 7, seccomp");
        for lacking in [kernel(None, true), kernel(Some(1), false), kernel(None, false)] {
            assert!(!lacking.is_whole() && lacking.lacks().contains("HUB_CONFINEMENT"));
            assert!(lacking.to_string().contains("this kernel has n"), "{lacking}");
        }
    }
}
