//! Calls: a list of those that reading, computing and threads need (seccomp). All others are answered as a kernel would that does not
//! know them, so that libraries fall back to what they do there. No socket, no program, no process, no rights of files, no view into
//! others; of the calls that can do much, only the harmless forms.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Compare, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

/// Files and folders, by open files and by names; what names may be opened is Landlock's to say.
const FILES: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_openat,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_flock,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_ppoll,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
];

/// The same by their older names.
#[cfg(target_arch = "x86_64")]
const OLDER: &[libc::c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_dup2,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_poll,
    libc::SYS_pipe,
    libc::SYS_arch_prctl,
    libc::SYS_time,
    libc::SYS_getrlimit,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[libc::c_long] = &[];

/// Memory, threads, clocks, and what a process may know of itself.
const COMPUTING: &[libc::c_long] = &[
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_mincore,
    libc::SYS_msync,
    libc::SYS_brk,
    libc::SYS_membarrier,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_rseq,
    libc::SYS_set_tid_address,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getrusage,
    libc::SYS_times,
];

/// What the driver of NVIDIA's cards asks beside.
const OF_CARDS: &[libc::c_long] = &[
    libc::SYS_ioctl,
    libc::SYS_mlock,
    libc::SYS_munlock,
    libc::SYS_mbind,
    libc::SYS_get_mempolicy,
    libc::SYS_memfd_create,
    libc::SYS_sched_setaffinity,
];

/// Starting a program and waiting for it, where some may be started: Landlock says which, and this list holds for them, too.
/// What becomes the program tells by a pair of sockets whether it could.
const OF_STARTING: &[libc::c_long] = &[libc::SYS_clone, libc::SYS_execve, libc::SYS_wait4, libc::SYS_waitid, libc::SYS_recvfrom];

/// Settings of one's own threads that concern nobody else.
const OWN_SETTINGS: &[libc::c_int] =
    &[libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_THP_DISABLE, libc::PR_GET_THP_DISABLE, PR_SET_VMA];
/// Naming memory, as allocators do.
const PR_SET_VMA: libc::c_int = 0x5356_4d41;
/// Questions and settings of open files without effect on others.
const OF_OPEN_FILES: &[libc::Ioctl] = &[libc::FIOCLEX, libc::FIONBIO, libc::FIONREAD, libc::TCGETS];

/// Holds this process to the list from now on.
pub fn restrict(card: bool, starts: bool) -> io::Result<()> {
    seccompiler::apply_filter_all_threads(&program(card, starts).map_err(io::Error::other)?).map_err(io::Error::other)
}

#[cfg(target_arch = "x86_64")]
const HERE: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const HERE: TargetArch = TargetArch::aarch64;

type Made<T> = std::result::Result<T, seccompiler::BackendError>;

fn program(card: bool, starts: bool) -> Made<BpfProgram> {
    let mut allowed: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in FILES.iter().chain(OLDER).chain(COMPUTING) {
        allowed.insert(*call, Vec::new());
    }
    allowed.insert(libc::SYS_clone, vec![only_threads()?]);
    allowed.insert(libc::SYS_tgkill, vec![in_this_process()?]);
    // Reading a limit, but setting none; a file's own times, but none by name.
    allowed.insert(libc::SYS_prlimit64, vec![null(2)?]);
    allowed.insert(libc::SYS_utimensat, vec![null(1)?]);
    allowed.insert(libc::SYS_prctl, first_of(0, OWN_SETTINGS.iter().map(|option| i64::from(*option)))?);
    allowed.insert(libc::SYS_ioctl, first_of(1, OF_OPEN_FILES.iter().map(|request| *request as i64))?);
    if starts {
        allowed.extend(OF_STARTING.iter().map(|call| (*call, Vec::new())));
        allowed.insert(libc::SYS_socketpair, first_of(0, std::iter::once(i64::from(libc::AF_UNIX)))?);
        // What is started bounds itself before it begins; nobody else's limits are touched.
        allowed.insert(libc::SYS_prlimit64, vec![null(2)?, null(0)?]);
    }
    if card {
        allowed.extend(OF_CARDS.iter().map(|call| (*call, Vec::new())));
    }
    let unknown = SeccompAction::Errno(libc::ENOSYS as u32);
    SeccompFilter::new(allowed, unknown, SeccompAction::Allow, HERE)?.try_into()
}

/// A clone that is no thread of this process would be a process; the newer call keeps its flags out of sight and is not known.
fn only_threads() -> Made<SeccompRule> {
    let thread = libc::CLONE_THREAD as u64;
    SeccompRule::new(vec![SeccompCondition::new(0, Length::Qword, Compare::MaskedEq(thread), thread)?])
}

fn in_this_process() -> Made<SeccompRule> {
    SeccompRule::new(vec![SeccompCondition::new(0, Length::Dword, Compare::Eq, u64::from(std::process::id()))?])
}

fn null(argument: u8) -> Made<SeccompRule> {
    SeccompRule::new(vec![SeccompCondition::new(argument, Length::Qword, Compare::Eq, 0)?])
}

/// One rule for each value that an argument may have.
fn first_of(argument: u8, values: impl Iterator<Item = i64>) -> Made<Vec<SeccompRule>> {
    let rule = |value: i64| SeccompRule::new(vec![SeccompCondition::new(argument, Length::Dword, Compare::Eq, value as u64)?]);
    values.map(rule).collect()
}
