//! What a confined process cannot do, tried: each line of the answer is an attempt and whether it succeeded. The proof that
//! `hub config` shows, of this machine and this build.

use std::fs;
use std::io;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::Kernel;

/// What to try, and beside what.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Attempts {
    pub grant: super::Grant,
    /// A file it was granted.
    pub own: PathBuf,
    /// Files that stand for the hub's, which it must not touch.
    pub secrets: Vec<PathBuf>,
    /// The hub's own, which it must not open.
    pub closed: Vec<PathBuf>,
    /// A port of this machine on which somebody listens.
    pub port: u16,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What holds the process.
    pub enforced: Kernel,
    /// Attempts that should fail and succeeded.
    pub succeeded: Vec<String>,
    /// Attempts that failed, as they should.
    pub refused: Vec<String>,
    /// What it is there for and could not do.
    pub broken: Vec<String>,
}

impl Answer {
    fn tried<T>(&mut self, what: impl Into<String>, result: io::Result<T>) {
        match result {
            Ok(_) => self.succeeded.push(what.into()),
            Err(_) => self.refused.push(what.into()),
        }
    }

    fn needed<T>(&mut self, what: &str, result: io::Result<T>) {
        if let Err(error) = result {
            self.broken.push(format!("{what}: {error}"));
        }
    }
}

/// Tries everything, in a process that is confined as `enforced` says.
pub fn attempt(asked: &Attempts, enforced: Kernel) -> Answer {
    let mut answer = Answer { enforced, ..Answer::default() };
    for secret in &asked.secrets {
        let name = secret.file_name().unwrap_or_default().to_string_lossy().into_owned();
        answer.tried(format!("read {name}"), fs::File::open(secret));
        answer.tried(format!("write {name}"), fs::OpenOptions::new().append(true).open(secret));
        let renamed = secret.with_extension("taken");
        // What could be renamed is given its name back.
        answer.tried(format!("rename {name}"), fs::rename(secret, &renamed).and_then(|()| fs::rename(&renamed, secret)));
    }
    for closed in &asked.closed {
        answer.tried(format!("read {}", closed.display()), fs::File::open(closed));
        answer.tried(format!("write {}", closed.display()), fs::OpenOptions::new().append(true).open(closed));
    }
    answer.tried("list the data directory", fs::read_dir(&asked.grant.never));
    answer.tried("list the root directory", fs::read_dir("/"));
    answer.tried("read /etc/passwd", fs::File::open("/etc/passwd"));
    answer.tried("connect by TCP", TcpStream::connect(("127.0.0.1", asked.port)));
    answer.tried("open a UDP socket", UdpSocket::bind(("127.0.0.1", 0)));
    answer.tried("open a UNIX socket", UnixStream::pair());
    answer.tried("start a program", Command::new("/bin/sh").args(["-c", "true"]).status());
    answer.tried("start this program again", Command::new("/proc/self/exe").arg("--version").output());
    if let Some(folder) = asked.grant.write.first() {
        answer.tried("make a link", std::os::unix::fs::symlink("/etc/passwd", folder.join("link")));
        answer.tried("link a file of the hub", fs::hard_link(asked.secrets.first().unwrap_or(&asked.own), folder.join("hard")));
        answer.tried("change a file's mode", mode(&asked.own));
    }
    calls(&mut answer, asked.grant.parent);
    needs(&mut answer, asked);
    answer
}

fn mode(file: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(0o644))
}

/// Calls that reach beyond the process.
#[cfg(target_os = "linux")]
fn calls(answer: &mut Answer, parent: u32) {
    let parent = parent as libc::pid_t;
    let done = |result: libc::c_long| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    let mut word = 0_u64;
    let into = libc::iovec { iov_base: (&raw mut word).cast(), iov_len: 8 };
    // SAFETY: what each of these asks for is an open file, a look at another process or a signal that does nothing; pointers are null,
    // empty or to a word of this function.
    unsafe {
        let none = std::ptr::null::<libc::c_void>();
        answer.tried("send its parent a signal", done(libc::syscall(libc::SYS_kill, parent, 0)));
        answer.tried("trace its parent", done(libc::syscall(libc::SYS_ptrace, libc::PTRACE_SEIZE, parent, 0, 0)));
        answer.tried(
            "read its parent's memory",
            done(libc::syscall(libc::SYS_process_vm_readv, parent, &raw const into, 1, &raw const into, 1, 0)),
        );
        answer.tried("make namespaces", done(libc::syscall(libc::SYS_unshare, libc::CLONE_NEWUSER)));
        answer.tried("mount", done(libc::syscall(libc::SYS_mount, none, c"/tmp".as_ptr(), c"tmpfs".as_ptr(), 0, none)));
        answer.tried("load programs into the kernel", done(libc::syscall(libc::SYS_bpf, 0, none, 0)));
        answer.tried("use the kernel's keys", done(libc::syscall(libc::SYS_keyctl, 0, -3, 0)));
        answer.tried("watch the processor", done(libc::syscall(libc::SYS_perf_event_open, none, 0, -1, -1, 0)));
        answer.tried("handle faults", done(libc::syscall(libc::SYS_userfaultfd, 1)));
        answer.tried("queue calls past the filter", done(libc::syscall(libc::SYS_io_uring_setup, 1, [0_u8; 120].as_ptr())));
        answer.tried("open files by handle", done(libc::syscall(libc::SYS_open_by_handle_at, libc::AT_FDCWD, none, 0)));
        answer.tried("raise a limit", done(libc::syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_CORE, &raw const NO_CORE, none)));
    }
}

/// Asking again for what is set already, which only a filter refuses.
#[cfg(target_os = "linux")]
static NO_CORE: libc::rlimit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };

#[cfg(not(target_os = "linux"))]
fn calls(_: &mut Answer, _: u32) {}

/// What it is there for.
fn needs(answer: &mut Answer, asked: &Attempts) {
    answer.needed("read what was granted", fs::read(&asked.own));
    if let Some(folder) = asked.grant.write.first() {
        let (file, named) = (folder.join("made"), folder.join("named"));
        let made = fs::write(&file, "x").and_then(|()| fs::rename(&file, &named)).and_then(|()| fs::remove_file(&named));
        answer.needed("write into its folder", made);
        answer.needed("make a folder in it", fs::create_dir(folder.join("inner")).and_then(|()| fs::remove_dir(folder.join("inner"))));
    }
    answer.needed("use a temporary file", tempfile::tempfile().and_then(|file| file.set_len(16)));
    answer.needed("start a thread", std::thread::Builder::new().spawn(|| ()).map(|thread| drop(thread.join())));
    answer.needed("draw a random number", getrandom::fill(&mut [0; 8]).map_err(io::Error::other));
}
