//! A Slurm of one machine for one story: its own munge, controller and node daemon, on ports and in a folder of their own.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::eventually;
use super::nginx::free_port;

/// Ended when dropped, with whatever it runs.
pub struct Slurm {
    daemons: Vec<Child>,
    folder: tempfile::TempDir,
}

fn daemon(program: &str, log: &Path) -> Command {
    let at = format!("/usr/sbin/{program}");
    let mut command = Command::new(if Path::new(&at).exists() { at.as_str() } else { program });
    let log = std::fs::File::create(log.join(format!("{program}.out"))).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command
}

impl Slurm {
    /// One that runs so many jobs of one processor at a time.
    pub fn start(slots: u32) -> Slurm {
        let folder = tempfile::Builder::new().prefix("slurm").tempdir_in("/tmp").unwrap();
        let at = |name: &str| folder.path().join(name);
        for made in ["state", "spool", "munge"] {
            std::fs::create_dir(at(made)).unwrap();
        }
        let key: Vec<u8> = (0..1024u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        std::fs::write(at("munge/key"), key).unwrap();
        for (made, mode) in [("munge", 0o700), ("munge/key", 0o400)] {
            std::fs::set_permissions(at(made), std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let said = |option: &str, name: &str| format!("--{option}={}", at("munge").join(name).display());
        let mut munged = daemon("munged", folder.path());
        munged.args(["--foreground", "--force"]).args([said("key-file", "key"), said("socket", "s"), said("pid-file", "pid")]);
        munged.args([said("log-file", "log"), said("seed-file", "seed")]);
        let munged = munged.spawn().expect("munge is installed (.ci/packages test)");
        eventually("munged listens", || at("munge/s").exists().then_some(()));

        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned();
        let host = host.split('.').next().unwrap().to_owned();
        let shown = |name: &str| at(name).display().to_string();
        let config = format!(
            "ClusterName=story\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={}\nSlurmdPort={}\nSlurmUser=root\n\
             AuthType=auth/munge\nAuthInfo=socket={}\nCryptoType=crypto/munge\nStateSaveLocation={}\nSlurmdSpoolDir={}\n\
             SlurmctldPidFile={}\nSlurmdPidFile={}\nSlurmctldLogFile={}\nSlurmdLogFile={}\nSlurmdParameters=config_overrides\n\
             ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nSelectType=select/cons_tres\nSelectTypeParameters=CR_CPU\n\
             SchedulerType=sched/backfill\nSchedulerParameters=batch_sched_delay=0,sched_interval=1\nReturnToService=2\nMpiDefault=none\n\
             KillWait=20\nMinJobAge=60\nNodeName={host} NodeAddr=127.0.0.1 CPUs={slots} RealMemory=100000 State=UNKNOWN\n\
             PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP\n",
            free_port(),
            free_port(),
            shown("munge/s"),
            shown("state"),
            shown("spool"),
            shown("ctld.pid"),
            shown("slurmd.pid"),
            shown("ctld.log"),
            shown("slurmd.log"),
        );
        std::fs::write(at("slurm.conf"), config).unwrap();
        let mut slurm = Slurm { daemons: vec![munged], folder };
        for program in ["slurmctld", "slurmd"] {
            let mut command = daemon(program, slurm.folder.path());
            command.arg("-D").env("SLURM_CONF", slurm.config());
            slurm.daemons.push(command.spawn().expect("Slurm is installed (.ci/packages test)"));
        }
        eventually("the node is idle", || slurm.ask("sinfo", &["--noheader", "--format=%T"]).trim().eq("idle").then_some(()));
        slurm
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("slurm.conf")
    }

    /// What tells a program where this Slurm is.
    pub fn environment(&self) -> (&'static str, PathBuf) {
        ("SLURM_CONF", self.config())
    }

    /// What one of Slurm's commands prints; nothing where it fails.
    pub fn ask(&self, program: &str, args: &[&str]) -> String {
        let output = Command::new(program).args(args).env("SLURM_CONF", self.config()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The numbers of what waits or runs.
    pub fn queue(&self) -> Vec<String> {
        self.ask("squeue", &["--noheader", "--array", "--format=%i"]).lines().map(|line| line.trim().to_owned()).collect()
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for log in ["ctld.log", "slurmd.log", "slurmctld.out", "slurmd.out"] {
                let text = std::fs::read_to_string(self.folder.path().join(log)).unwrap_or_default();
                let from = text.lines().count().saturating_sub(40);
                eprintln!("--- {log}\n{}", text.lines().skip(from).collect::<Vec<_>>().join("\n"));
            }
        }
        self.ask("scancel", &["--state=PENDING", "--name=hub-main"]);
        self.ask("scancel", &["--name=hub-main"]);
        let begun = std::time::Instant::now();
        while !self.queue().is_empty() && begun.elapsed().as_secs() < 10 {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        // The node first, then its controller, at last whom both trust.
        for daemon in self.daemons.iter_mut().rev() {
            super::signal(daemon.id(), libc::SIGTERM);
            for _ in 0..50 {
                if daemon.try_wait().is_ok_and(|ended| ended.is_some()) {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}
