//! ffmpeg and ffprobe as processes: what they may use, and what of their words is heard.

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::data::error::Refusal;

/// Of a processor, and on the clock.
const PROCESSOR_SECONDS: u64 = 120;
const PATIENCE: Duration = Duration::from_secs(180);
/// Memory it may map: a few frames of the largest pictures that codecs know.
const MEMORY_BYTES: u64 = 3 << 30;
/// Files it may have open.
const OPEN_FILES: u64 = 64;
/// What is kept of its last words, and shown.
const LAST_WORDS: usize = 4 << 10;
const SHOWN: usize = 200;

/// What it wrote, and its last words.
pub struct Ended {
    pub said: Vec<u8>,
    pub words: String,
}

/// Runs it to its end and takes what it writes. That it failed is for whoever finds nothing in that.
///
/// # Errors
/// In words: it cannot be started, takes too long, or writes more than `most` bytes.
pub fn run(program: &Path, arguments: &[String], most: u64) -> Result<Ended, Refusal> {
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let failed = |e: io::Error| Refusal(format!("{name} cannot be run on this machine ({e})"));
    let mut command = Command::new(program);
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: what runs between fork and exec only makes system calls on numbers; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(give_up) };
    let mut child = command.spawn().map_err(failed)?;
    let errors = child.stderr.take().map(|errors| std::thread::spawn(move || tail(errors)));
    let heard = child.stdout.take().map_or(Ok(Vec::new()), |output| hear(output, most));
    if heard.is_err() {
        // Where it may not be ended from here, its pipe is closed and its time on the processor is bounded.
        let _ = child.kill();
    }
    let ended = child.wait();
    let words = errors.and_then(|errors| errors.join().ok()).unwrap_or_default();
    let said = match heard {
        Ok(said) => said,
        Err(Deaf::Late) => return Err(Refusal(format!("{name} was not done with it after {} seconds", PATIENCE.as_secs()))),
        Err(Deaf::TooMuch) => return Err(Refusal("it decodes to more than fits into memory".into())),
        Err(Deaf::Io(error)) => return Err(failed(error)),
    };
    ended.map_err(failed)?;
    Ok(Ended { said, words })
}

/// The last line of what it said, as far as it is fit to be shown.
pub fn shown(words: &str) -> String {
    let line = words.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("ffmpeg says nothing");
    // Names of its memory and of our file are nobody's business.
    let line = line.rsplit_once("] ").map_or(line, |(_, rest)| rest);
    let line = line
        .rsplit_once("file:")
        .map_or(line, |(before, rest)| if before.is_empty() { rest.split_once(": ").map_or("", |(_, rest)| rest) } else { before });
    line.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

/// Takes from the process that is to become ffmpeg what it needs not. What the kernel does not give is done without.
fn give_up() -> io::Result<()> {
    for (resource, most) in [
        (libc::RLIMIT_CPU, PROCESSOR_SECONDS),
        (libc::RLIMIT_AS, MEMORY_BYTES),
        (libc::RLIMIT_NOFILE, OPEN_FILES),
        (libc::RLIMIT_FSIZE, 0),
        (libc::RLIMIT_CORE, 0),
    ] {
        let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
        // SAFETY: `limit` is a valid rlimit, read during the call.
        unsafe { libc::setrlimit(resource, &raw const limit) };
    }
    be_alone();
    Ok(())
}

/// It ends with its parent, gains no rights, and has a network of its own without a way out.
#[cfg(target_os = "linux")]
fn be_alone() {
    // SAFETY: calls on numbers that concern this process alone.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET);
    }
}

#[cfg(not(target_os = "linux"))]
fn be_alone() {}

/// Why it is not listened to any more.
enum Deaf {
    Late,
    TooMuch,
    Io(io::Error),
}

fn hear(mut output: impl Read + AsRawFd, most: u64) -> Result<Vec<u8>, Deaf> {
    let (until, mut said, mut block) = (Instant::now() + PATIENCE, Vec::new(), vec![0; 64 << 10]);
    loop {
        let left = until.saturating_duration_since(Instant::now()).as_millis();
        let mut asked = libc::pollfd { fd: output.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid entry, filled during the call.
        match unsafe { libc::poll(&raw mut asked, 1, libc::c_int::try_from(left).unwrap_or(libc::c_int::MAX)) } {
            0 => return Err(Deaf::Late),
            -1 => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => continue,
                error => return Err(Deaf::Io(error)),
            },
            _ => {}
        }
        match output.read(&mut block) {
            Ok(0) => return Ok(said),
            Ok(read) => said.extend_from_slice(&block[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Deaf::Io(error)),
        }
        if said.len() as u64 > most {
            return Err(Deaf::TooMuch);
        }
    }
}

/// The last of what comes; all of it is read, so that it never waits for us.
fn tail(mut errors: impl Read) -> String {
    let (mut kept, mut block) = (Vec::new(), [0; 4 << 10]);
    while let Ok(read @ 1..) = errors.read(&mut block) {
        kept.extend_from_slice(&block[..read]);
        let too_many = kept.len().saturating_sub(LAST_WORDS);
        kept.drain(..too_many);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_is_heard_to_a_bound_and_a_missing_program_is_told() {
        let say = |most| run(Path::new("/bin/sh"), &["-c".into(), "echo hello; echo [mov @ 0x1] odd atom >&2".into()], most);
        let ended = say(100).unwrap();
        assert_eq!((ended.said.as_slice(), shown(&ended.words).as_str()), (&b"hello\n"[..], "odd atom"));
        assert!(say(3).is_err_and(|refusal| refusal.0.contains("memory")));
        assert!(run(Path::new("/nowhere/ffmpeg"), &[], 1).is_err_and(|refusal| refusal.0.contains("ffmpeg cannot be run")));
        let crashed = run(Path::new("/bin/sh"), &["-c".into(), "kill -9 $$".into()], 100).unwrap();
        assert!(crashed.said.is_empty() && shown(&crashed.words) == "ffmpeg says nothing");
    }
}
