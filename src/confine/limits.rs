//! What a process that works for others may not do: outlive its parent, crowd out others, eat all memory, gain rights, leave
//! core dumps full of other people's data.

use std::io;

/// Dies with the process `parent`, the server that started it.
///
/// # Errors
/// If the kernel refuses, or the parent is gone already.
pub fn die_with(parent: u32) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    // SAFETY: prctl with these arguments only sets a flag of this process.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
    // The parent may have ended before the flag was set; then nobody would ever send the signal.
    if std::os::unix::process::parent_id() != parent {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the process that started this one is gone"));
    }
    Ok(())
}

/// Sets every limit that stands for the whole life of the process. `memory_bytes` bounds what it may allocate:
/// beyond it an allocation fails and the process ends, rather than the machine.
///
/// # Errors
/// If the kernel refuses one of them.
pub fn restrain(memory_bytes: u64) -> io::Result<()> {
    limit(libc::RLIMIT_CORE, 0)?;
    limit(libc::RLIMIT_DATA, memory_bytes)?;
    // A write beyond a limit on the size of files is a disk without room, and not the end of the process.
    // SAFETY: setting a signal's disposition to "ignore" installs no handler and touches no memory of ours.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    // SAFETY: only changes scheduling of this process.
    let now = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    // SAFETY: the same; the child of one that stands back already need not, and could not, come forward.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, now.max(10)) })?;
    gain_nothing()
}

#[cfg(target_os = "linux")]
fn gain_nothing() -> io::Result<()> {
    // SAFETY: only sets a flag of this process.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    // When memory runs out all the same, the kernel should choose this process and not the server.
    std::fs::write("/proc/self/oom_score_adj", "600")
}

#[cfg(not(target_os = "linux"))]
fn gain_nothing() -> io::Result<()> {
    Ok(())
}

/// Closes what came from the parent beside the three usual files. To be called before anything else is opened.
///
/// # Errors
/// If the kernel refuses.
#[cfg(target_os = "linux")]
pub fn close_inherited() -> io::Result<()> {
    const FIRST: libc::c_uint = 3;
    // SAFETY: closes numbers that nothing in this process has opened yet.
    if unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, 0) } == 0 {
        return Ok(());
    }
    // Before Linux 5.9.
    let open = std::fs::read_dir("/proc/self/fd")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for number in open.filter(|number| *number >= FIRST as libc::c_int).collect::<Vec<libc::c_int>>() {
        // SAFETY: as above; that of the folder just read is closed already, which the kernel answers with an error.
        unsafe { libc::close(number) };
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub fn close_inherited() -> io::Result<()> {
    Ok(())
}

/// Gives up the rights of root. With `reading` it keeps that of opening what other accounts own.
///
/// # Errors
/// If the kernel refuses.
#[cfg(target_os = "linux")]
pub fn drop_capabilities(reading: bool) -> io::Result<()> {
    /// A header of version 3 and two words for each of its three sets: `<linux/capability.h>`.
    #[repr(C)]
    struct Header {
        version: u32,
        pid: libc::c_int,
    }
    const VERSION_3: u32 = 0x2008_0522;
    const DAC_OVERRIDE: u32 = 1 << 1;
    let (header, mut sets) = (Header { version: VERSION_3, pid: 0 }, [[0_u32; 3]; 2]);
    // SAFETY: the kernel fills two triples of words, as this version has them.
    if unsafe { libc::syscall(libc::SYS_capget, &raw const header, sets.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let kept = if reading { sets[0][1] & DAC_OVERRIDE } else { 0 };
    let sets: [[u32; 3]; 2] = [[kept, kept, 0], [0; 3]];
    // SAFETY: reads the same; only ever takes rights from this process.
    if unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn limit(resource: libc::__rlimit_resource_t, most: u64) -> io::Result<()> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `now` is a valid rlimit that the call fills.
    check(unsafe { libc::getrlimit(resource, &mut now) })?;
    let most = most.min(now.rlim_max);
    let new = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: `new` is a valid rlimit, read during the call.
    check(unsafe { libc::setrlimit(resource, &new) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The memory this process may count on: the machine's, or less if a container says so.
pub fn machine_memory_bytes() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let total = read("/proc/meminfo").lines().find_map(kib_of_total).unwrap_or(u64::MAX);
    let bounds = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    bounds.into_iter().filter_map(|path| read(path).trim().parse().ok()).fold(total, u64::min)
}

fn kib_of_total(line: &str) -> Option<u64> {
    let kib: u64 = line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernels_words() {
        assert_eq!(kib_of_total("MemTotal:       24689764 kB"), Some(24_689_764 << 10));
        assert_eq!(kib_of_total("MemFree:        1 kB"), None);
        let bytes = machine_memory_bytes();
        assert!((64 << 20..u64::MAX).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_parent_that_is_gone_is_noticed() {
        assert!(die_with(u32::MAX).is_err());
        // SAFETY: takes back the flag that the call above may have set on this test process.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0) }).unwrap();
    }
}
