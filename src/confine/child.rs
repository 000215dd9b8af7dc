//! The parent's side of a confined process: starting it, speaking with it, and seeing how it ended. It may say anything, at any
//! length, or nothing; so every line is bounded, and so is the wait for it. All calls block and belong on a thread that may: the kernel
//! ends the child with the thread that started it.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::last_word::{self, OUT_OF_MEMORY};

/// How much of its last words on standard error is kept.
const LAST_WORDS: usize = 8 << 10;

/// What is started: this program, by its path, as one of its confined selves.
#[derive(Debug, Clone)]
pub struct Program {
    pub path: PathBuf,
}

/// A running confined process; killed when it is dropped.
pub struct Child {
    process: std::process::Child,
    input: ChildStdin,
    output: ChildStdout,
    heard: Vec<u8>,
    errors: Option<JoinHandle<Vec<u8>>>,
    kills_before: u64,
}

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    pub status: ExitStatus,
    pub out_of_memory: bool,
    /// What it wrote to standard error last.
    pub words: String,
}

/// Why a child is not listened to any more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is gone, or closed its end.
    #[error("it ended")]
    Ended,
    #[error("it said nothing for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("it said a line of more than {0} bytes")]
    TooMuch(usize),
    #[error("it cannot be heard: {0}")]
    Io(#[from] io::Error),
}

impl Child {
    /// Starts `hub confined PART` with nothing in its environment but where its temporary files go.
    pub fn start(program: &Program, part: &str, temporary: &Path) -> io::Result<Child> {
        let mut command = Command::new(&program.path);
        command.arg0("hub").args(["confined", part]).env_clear().env("TMPDIR", temporary).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A Ctrl-C is for the parent, which says what becomes of its children.
        command.process_group(0);
        let kills_before = last_word::kills_for_memory();
        let mut process = command.spawn()?;
        let (Some(input), Some(output), Some(errors)) = (process.stdin.take(), process.stdout.take(), process.stderr.take()) else {
            return Err(io::Error::other("a child without pipes"));
        };
        do_not_block(input.as_raw_fd())?;
        do_not_block(output.as_raw_fd())?;
        let errors = std::thread::spawn(move || tail(errors));
        Ok(Child { process, input, output, heard: Vec::new(), errors: Some(errors), kills_before })
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// A record as a line.
    pub fn tell(&mut self, record: &impl Serialize, patience: Duration) -> Result<(), Error> {
        let mut line = serde_json::to_vec(record).map_err(io::Error::from)?;
        line.push(b'\n');
        self.send(&line, patience)
    }

    /// Bytes as they are.
    pub fn send(&mut self, mut bytes: &[u8], patience: Duration) -> Result<(), Error> {
        let until = Instant::now() + patience;
        while !bytes.is_empty() {
            match self.input.write(bytes) {
                Ok(0) => return Err(Error::Ended),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !ready(self.input.as_raw_fd(), libc::POLLOUT, until)? {
                        return Err(Error::Silent(patience));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(Error::Ended),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Its next line, of at most `most` bytes.
    pub fn hear(&mut self, most: usize, patience: Duration) -> Result<Vec<u8>, Error> {
        let until = Instant::now() + patience;
        let mut searched = 0;
        loop {
            if let Some(at) = self.heard[searched..].iter().position(|byte| *byte == b'\n') {
                let rest = self.heard.split_off(searched + at + 1);
                let mut line = std::mem::replace(&mut self.heard, rest);
                line.pop();
                return Ok(line);
            }
            searched = self.heard.len();
            if searched > most {
                return Err(Error::TooMuch(most));
            }
            let mut block = [0; 16 << 10];
            match self.output.read(&mut block) {
                Ok(0) => return Err(Error::Ended),
                Ok(read) => self.heard.extend_from_slice(&block[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !ready(self.output.as_raw_fd(), libc::POLLIN, until)? {
                        return Err(Error::Silent(patience));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Lets it end, kills it if it does not within `patience`, and says how it ended.
    pub fn end(mut self, patience: Duration) -> io::Result<End> {
        let until = Instant::now() + patience;
        let status = loop {
            match self.process.try_wait()? {
                Some(status) => break status,
                None if Instant::now() >= until => {
                    self.process.kill()?;
                    break self.process.wait()?;
                }
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        // No descendant can hold its pipe open where calls are confined; elsewhere a drained pipe is not waited for.
        let words = match self.errors.take() {
            Some(errors) if errors.is_finished() || status.code().is_some() || status.signal().is_some() => {
                errors.join().unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let words = String::from_utf8_lossy(&words).trim().to_owned();
        let killed = status.signal() == Some(libc::SIGKILL) && last_word::kills_for_memory() > self.kills_before;
        let out_of_memory = killed || (words.lines().any(|line| line == OUT_OF_MEMORY) && status.signal() != Some(libc::SIGSEGV));
        Ok(End { status, out_of_memory: out_of_memory && !status.success(), words })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // One that has ended already is only waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The last of what comes; all of it is read, so that the child never waits for us.
fn tail(mut errors: impl Read) -> Vec<u8> {
    let (mut kept, mut block) = (Vec::new(), [0; 4 << 10]);
    loop {
        match errors.read(&mut block) {
            Ok(0) => return kept,
            Ok(read) => {
                kept.extend_from_slice(&block[..read]);
                let too_many = kept.len().saturating_sub(LAST_WORDS);
                kept.drain(..too_many);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return kept,
        }
    }
}

fn do_not_block(file: RawFd) -> io::Result<()> {
    // SAFETY: changes a flag of a pipe's end that only this process has.
    if unsafe { libc::fcntl(file, libc::F_SETFL, libc::O_NONBLOCK | libc::fcntl(file, libc::F_GETFL)) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Waits until the file can be read or written, or it is `until`; false then.
fn ready(file: RawFd, events: libc::c_short, until: Instant) -> io::Result<bool> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left_ms = libc::c_int::try_from(left.as_millis().saturating_add(1)).unwrap_or(libc::c_int::MAX);
        let mut asked = libc::pollfd { fd: file, events, revents: 0 };
        // SAFETY: one valid entry, filled during the call.
        match unsafe { libc::poll(&raw mut asked, 1, left_ms) } {
            0 => return Ok(false),
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            -1 => return Err(io::Error::last_os_error()),
            _ => return Ok(true),
        }
    }
}

#[cfg(test)]
#[path = "child_tests.rs"]
mod tests;
