//! Paths: Landlock's rules. What is not granted cannot be opened, made, renamed or removed, and nothing can be executed but programs that are granted, with the loader among the libraries. From version
//! 4 on the kernel also holds TCP ports by it, from 6 on signals and abstract sockets of others.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::Grant;

/// The newest version whose rights are asked for; an older kernel enforces those it knows.
const NEWEST: ABI = ABI::V6;

/// Libraries, what they read of themselves, and the numbers of this machine.
const SYSTEM: &[&str] = &[
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/nix/store",
    "/gnu/store",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/dev/urandom",
    "/dev/random",
    "/dev/zero",
    "/proc/self/maps",
    "/proc/self/stat",
    "/proc/self/status",
    "/proc/self/cgroup",
    "/proc/self/mountinfo",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/fs/cgroup",
    "/sys/kernel/mm/transparent_hugepage",
];
/// What the driver of NVIDIA's cards reads.
const OF_CARDS: &[&str] = &[
    "/proc/self",
    "/proc/driver/nvidia",
    "/proc/devices",
    "/proc/modules",
    "/sys/bus/pci",
    "/sys/devices",
    "/sys/module",
    "/usr/share/nvidia",
];

/// Holds this thread, and those it will start, to the grant.
pub fn restrict(grant: &Grant) -> io::Result<()> {
    match rules(grant).map_err(io::Error::other)? {
        RulesetStatus::NotEnforced => Err(io::ErrorKind::Unsupported.into()),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}

/// What is not there needs no rule, and of a file only what can be done with files is granted.
fn rules(grant: &Grant) -> Result<RulesetStatus, RulesetError> {
    let read: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    let make = AccessFs::MakeReg | AccessFs::MakeDir | AccessFs::RemoveFile | AccessFs::RemoveDir;
    let write = read | AccessFs::WriteFile | AccessFs::Truncate | make;
    let device = read | AccessFs::WriteFile | AccessFs::IoctlDev;
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(path_beneath_rules(system(grant), if grant.programs.is_empty() { read } else { read | AccessFs::Execute }))?
        .add_rules(path_beneath_rules(&grant.programs, AccessFs::ReadFile | AccessFs::Execute))?
        .add_rules(path_beneath_rules(["/dev/null"], AccessFs::ReadFile | AccessFs::WriteFile))?
        .add_rules(path_beneath_rules(cards(grant), device))?
        .add_rules(path_beneath_rules(&grant.read, read))?
        .add_rules(path_beneath_rules(&grant.write, write))?;
    Ok(rules.restrict_self()?.ruleset)
}

/// The system's folders, without those that hold the data directory or lie in it.
fn system(grant: &Grant) -> Vec<PathBuf> {
    let more = if grant.card { OF_CARDS } else { &[] };
    let listed = SYSTEM.iter().chain(more).map(PathBuf::from).chain(configured_libraries());
    listed.filter(|path| is_apart(path, &grant.never)).collect()
}

/// Whether neither of the two holds the other, by whatever names they go.
fn is_apart(path: &Path, never: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let (path, never) = (real(path), real(never));
    never.as_os_str().is_empty() || !(never.starts_with(&path) || path.starts_with(&never))
}

/// Where the machine's owner has told the loader to look: CUDA's libraries often lie there.
fn configured_libraries() -> Vec<PathBuf> {
    let files = fs::read_dir("/etc/ld.so.conf.d").into_iter().flatten().flatten();
    let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
    let lines = texts.flat_map(|text| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>());
    // A whole machine is no folder of libraries.
    lines.map(PathBuf::from).filter(|path| path.is_absolute() && path.components().count() > 2).collect()
}

fn cards(grant: &Grant) -> Vec<PathBuf> {
    if !grant.card {
        return Vec::new();
    }
    let devices = fs::read_dir("/dev").into_iter().flatten().flatten();
    devices.filter(|device| device.file_name().to_string_lossy().starts_with("nvidia")).map(|device| device.path()).collect()
}
