//! What the system allows this process, and what the edge may make of it.

use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use crate::config::Config;
use crate::http::limits::Limits;

/// Descriptors for everything but connections: the database, logs, workers, uploads.
const OTHER_DESCRIPTORS: u64 = 256;
/// A connection, and the file that is sent over it.
const DESCRIPTORS_PER_CONNECTION: u64 = 2;
/// Connections that wait to be accepted.
const QUEUED_CONNECTIONS: libc::c_int = 2_048;

/// The limits of the configuration, with no more connections than there are descriptors for: a server that runs out
/// of them can open neither a file nor the database.
pub fn of(config: &Config) -> Limits {
    let room = (raise_descriptors().saturating_sub(OTHER_DESCRIPTORS) / DESCRIPTORS_PER_CONNECTION).max(16);
    let max_connections = config.max_connections.min(usize::try_from(room).unwrap_or(usize::MAX));
    if max_connections < config.max_connections {
        tracing::warn!(max_connections, "the system allows few open files; raise its limit (ulimit -n) to serve more connections");
    }
    let patience = Duration::from_secs(config.patience_seconds);
    let (max_connections_per_peer, max_requests_per_minute) = (config.max_connections_per_peer, config.max_requests_per_minute);
    Limits { patience, max_connections, max_connections_per_peer, max_requests_per_minute }
}

/// Lets many who come at once wait to be accepted: the standard library asks for a queue of 128, and whoever finds it
/// full believes to be connected and waits for nothing.
pub fn widen_queue(listener: &TcpListener) {
    // SAFETY: a plain system call on a descriptor that the caller holds; the kernel cuts the length to what it allows.
    unsafe { libc::listen(listener.as_raw_fd(), QUEUED_CONNECTIONS) };
}

/// A write beyond the file size limit shall be an error, not the end of the server.
pub fn ignore_file_size_signal() {
    // SAFETY: setting a signal's disposition to "ignore" installs no handler and touches no memory of ours.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Whether memory comes in the kernel's huge pages. Training is some percent faster by them; a server, which keeps many small things all over, would
/// hold a third as much again. Whom this process starts inherits it. A kernel that has none of them has nothing to refuse.
pub fn huge_pages(are_wanted: bool) {
    // SAFETY: a plain system call that takes whole numbers alone.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, libc::c_ulong::from(!are_wanted), 0, 0, 0) };
}

/// Takes as many descriptors as the system gives for the asking; how many that is.
fn raise_descriptors() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that the call fills.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return 1_024;
    }
    let most = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
    // SAFETY: `most` is a valid rlimit, read during the call.
    let raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &most) } == 0;
    if raised { most.rlim_cur } else { limit.rlim_cur }
}
