//! Keeps worker processes alive beside the server: training that crashes or runs out of memory takes a worker
//! down, never the server. A worker gets its settings and no token in its environment.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Error, Result};
use crate::config::{self, Config};
use crate::confine::last_word;
use crate::worker::death;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A worker that lived so long did not fail at its start.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);
/// What a worker has to write its last checkpoint when the server stops.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The workers of a server.
pub struct Supervisor {
    stop: watch::Sender<bool>,
    keepers: Vec<JoinHandle<()>>,
}

impl Supervisor {
    /// Starts as many workers as the configuration asks; those of a store that is elsewhere get its keys.
    pub fn start(config: &Config, remote_store: bool) -> Result<Supervisor> {
        let program =
            config::own_executable().map_err(|e| Error::failed(format!("the own program was not found: {e}"), "reinstall hub"))?;
        let (stop, stopped) = watch::channel(false);
        let folder = config.data.join("workers");
        let keeper = |_| {
            let (program, data, environment) = (program.clone(), config.data.clone(), config.worker_environment(remote_store));
            let command = move || {
                let mut command = Command::new(&program);
                command.arg("worker").arg("--data").arg(&data).arg("--parent").arg(std::process::id().to_string());
                command.env_clear().envs(environment.iter().cloned());
                command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
                command
            };
            tokio::spawn(keep(command, folder.clone(), stopped.clone()))
        };
        Ok(Supervisor { keepers: (0..config.workers).map(keeper).collect(), stop })
    }

    /// Asks the workers to end, waits a little, and ends them.
    pub async fn stop(self) {
        // Nobody listening means that there are no workers.
        let _ = self.stop.send(true);
        for keeper in self.keepers {
            let _ = keeper.await;
        }
    }
}

/// Starts a worker again whenever it ends, after a pause that doubles while it keeps failing early.
async fn keep(command: impl Fn() -> Command, folder: PathBuf, mut stopped: watch::Receiver<bool>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let (started, kills) = (Instant::now(), last_word::kills_for_memory());
        let ended = match command().spawn() {
            Err(error) => Some(error.to_string()),
            Ok(mut child) => {
                let pid = child.id();
                let ended = tokio::select! {
                    status = child.wait() => {
                        if let (Some(pid), Ok(status)) = (pid, &status) {
                            death::write_down(&folder, pid, *status, kills);
                        }
                        Some(describe(status))
                    }
                    () = told(&mut stopped) => None,
                };
                if ended.is_none() {
                    end(child).await;
                }
                ended
            }
        };
        let Some(end) = ended else { return };
        if started.elapsed() > HEALTHY_AFTER {
            pause = FIRST_PAUSE;
        }
        tracing::warn!(end, pause_seconds = pause.as_secs(), "a worker ended; another starts after a pause");
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            () = told(&mut stopped) => return,
        }
    }
}

/// Returns once the server stops, or is gone.
async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

fn describe(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|e| e.to_string(), |status| status.to_string())
}

async fn end(mut child: Child) {
    if let Some(pid) = child.id().and_then(|id| libc::pid_t::try_from(id).ok()) {
        // SAFETY: a plain system call on a child that was not waited for yet, so the id is still its own.
        unsafe { libc::kill(pid, libc::SIGTERM) };
    }
    if tokio::time::timeout(STOP_PATIENCE, child.wait()).await.is_err() {
        tracing::warn!("a worker did not end in time and is killed");
        // Dropping the child would kill it, too; this also waits for it.
        let _ = child.kill().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_that_dies_is_started_again_and_all_end_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let script = format!("echo started >> {}; [ $(wc -l < {0}) -lt 2 ] && exit 1; exec sleep 1000", log.display());
        let command = move || {
            let mut command = Command::new("sh");
            command.arg("-c").arg(&script).kill_on_drop(true);
            command
        };
        let (stop, stopped) = watch::channel(false);
        let keeper = tokio::spawn(keep(command, dir.path().into(), stopped));
        while std::fs::read_to_string(&log).unwrap_or_default().lines().count() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.send(true).unwrap();
        keeper.await.unwrap();
        assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), 2);
    }
}
