//! Slurm, by its own commands: `sbatch`, `squeue`, `scancel`. A job of the hub is a batch job, trials of a sweep are an array, what follows
//! others depends on them.
//!
//! ```text
//! sbatch   script on standard input; prints `4711` or `4711;cluster`; elements of an array are 4711_1, 4711_2 ...
//!          --dependency=afterok:4711      the fine-tune after a race; its comment names the race, `after:<job>`, and is all that is known of it
//!                                         until it is there. If the race does not end well, Slurm takes it away (--kill-on-invalid-dep)
//!          --dependency=afterany:4711_1:4711_2    the run of a sweep that publishes the best
//! squeue   --array --format='%i %k': what waits or runs, a line each, with its comment
//! scancel  numbers; the worker is the batch script itself (`exec`), hears SIGTERM and gives its job back
//! ```
//!
//! Slurm requeues nothing by itself: what it lost, killed or gave up is seen by the next look and handed over again.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::engine::{After, Engine, Error, Launch, Result, Task, There, Usual};

/// A controller that is busy takes a while.
const PATIENCE: Duration = Duration::from_secs(60);
/// Numbers in one command.
const AT_ONCE: usize = 500;
/// A worker is told so long before its time is over, and has that to store what it has.
const SECONDS_TO_STOP: u32 = 60;
/// How the comment of one begins that runs what follows a job.
const FOLLOWS: &str = "after:";

/// How jobs are handed to Slurm.
#[derive(Debug, Clone)]
pub struct SlurmOptions {
    /// The dispatcher's name for the cluster; its jobs are called `hub-<place>`.
    pub place: String,
    pub partition: Option<String>,
    /// Handed to `sbatch` as they are: `--account=x`, `--gres=gpu:1`.
    pub more: Vec<String>,
    /// The folder where what workers log goes, a file a job; nowhere without one.
    pub logs: Option<PathBuf>,
    pub launch: Launch,
    pub usual: Usual,
}

pub struct Slurm {
    options: SlurmOptions,
}

impl Slurm {
    pub fn new(options: SlurmOptions) -> Slurm {
        Slurm { options }
    }

    fn job_name(&self) -> String {
        format!("hub-{}", self.options.place)
    }

    /// What `sbatch` is called with.
    fn arguments(&self, tasks: &[Task], after: Option<&After>) -> Vec<String> {
        let (usual, needs) = (&self.options.usual, tasks.first().map(|task| task.needs).unwrap_or_default());
        let name = if tasks.len() > 1 { "%A_%a.log" } else { "%j.log" };
        let log = self.options.logs.as_ref().map_or_else(|| PathBuf::from("/dev/null"), |folder| folder.join(name));
        let mut words = vec![
            "--parsable".to_owned(),
            "--no-requeue".into(),
            format!("--job-name={}", self.job_name()),
            "--nodes=1".into(),
            "--ntasks=1".into(),
            format!("--cpus-per-task={}", needs.cpus(usual)),
            format!("--mem={}M", needs.memory_bytes(usual).div_ceil(1 << 20)),
            format!("--time={}", needs.minutes(usual)),
            format!("--signal=B:TERM@{SECONDS_TO_STOP}"),
            format!("--output={}", log.display()),
        ];
        words.extend(self.options.partition.iter().map(|partition| format!("--partition={partition}")));
        if tasks.len() > 1 {
            words.push(format!("--array=1-{}", tasks.len()));
        }
        let gpus = needs.gpus(usual);
        if gpus > 0 {
            words.push(format!("--gres=gpu:{gpus}"));
        }
        match after {
            None => {}
            Some(After::Success(number)) => words.extend([format!("--dependency=afterok:{number}"), "--kill-on-invalid-dep=yes".into()]),
            Some(After::End(numbers)) => words.push(format!("--dependency=afterany:{}", numbers.join(":"))),
        }
        words.extend(tasks.iter().filter(|task| task.follows).map(|task| format!("--comment={FOLLOWS}{}", task.job)));
        words.extend(self.options.more.iter().cloned());
        words
    }

    /// Hands over a batch job, or an array of some; its number.
    async fn batch(&self, tasks: &[Task], after: Option<&After>) -> Result<String> {
        let told = call("sbatch", &self.arguments(tasks, after), Some(&self.script(tasks))).await?;
        number_in(&told).ok_or_else(|| Error::Engine(format!("sbatch answers with no number: '{}'", told.trim())))
    }

    /// The batch script: the worker in the place of the shell, so that signals reach it.
    fn script(&self, tasks: &[Task]) -> String {
        let (needs, follows) = tasks.first().map(|task| (task.needs, task.follows)).unwrap_or_default();
        let words = self.options.launch.words(needs.cpus(&self.options.usual), follows);
        let command: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        let jobs: Vec<String> = tasks.iter().map(|task| quoted(&task.job)).collect();
        // Without a card it works on the processors, as it is set there.
        let device = if needs.gpus(&self.options.usual) > 0 { "export HUB_DEVICE=auto\n" } else { "" };
        let choose = if tasks.len() > 1 { "shift $((SLURM_ARRAY_TASK_ID - 1))\n" } else { "" };
        format!(
            "#!/bin/sh\n# A worker of a hub, by `hub dispatch`.\nset -- {}\n{device}{choose}exec {} \"$1\"\n",
            jobs.join(" "),
            command.join(" ")
        )
    }
}

#[async_trait]
impl Engine for Slurm {
    fn name(&self) -> &'static str {
        "slurm"
    }

    async fn there(&self) -> Result<There> {
        let name = format!("--name={}", self.job_name());
        Ok(read(&call("squeue", &["--noheader".into(), "--array".into(), "--format=%i %k".into(), name], None).await?))
    }

    async fn submit(&self, tasks: &[Task]) -> Result<Vec<String>> {
        let number = self.batch(tasks, None).await?;
        Ok(match tasks.len() {
            1 => vec![number],
            several => (1..=several).map(|index| format!("{number}_{index}")).collect(),
        })
    }

    async fn submit_after(&self, task: &Task, after: &After) -> Result<Option<String>> {
        self.batch(std::slice::from_ref(task), Some(after)).await.map(Some)
    }

    async fn cancel(&self, numbers: &[String]) -> Result<()> {
        for some in numbers.chunks(AT_ONCE) {
            // One that has just ended is no error.
            let words: Vec<String> = std::iter::once("--quiet".to_owned()).chain(some.iter().cloned()).collect();
            call("scancel", &words, None).await?;
        }
        Ok(())
    }
}

/// What `squeue` lists.
fn read(told: &str) -> There {
    let mut there = There::default();
    for line in told.lines() {
        let (number, comment) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        if number.is_empty() {
            continue;
        }
        if let Some(job) = comment.trim().strip_prefix(FOLLOWS) {
            there.following.insert(job.to_owned(), number.to_owned());
        }
        there.numbers.insert(number.to_owned());
    }
    there
}

/// `4711` of `4711` or `4711;cluster`.
fn number_in(told: &str) -> Option<String> {
    let number = told.lines().last()?.trim().split(';').next()?;
    (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then(|| number.to_owned())
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Runs one of Slurm's commands; what it printed.
async fn call(program: &str, words: &[String], input: Option<&str>) -> Result<String> {
    let failed = |what: String| Error::Engine(format!("{program}: {what}"));
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|e| failed(e.to_string()))?;
    let talk = async {
        if let Some(mut pipe) = child.stdin.take() {
            pipe.write_all(input.unwrap_or_default().as_bytes()).await.map_err(|e| failed(e.to_string()))?;
        }
        child.wait_with_output().await.map_err(|e| failed(e.to_string()))
    };
    let slow = |_| failed(format!("no answer for {} s", PATIENCE.as_secs()));
    let output = tokio::time::timeout(PATIENCE, talk).await.map_err(slow)??;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(format!("{} ({})", said.trim().chars().take(500).collect::<String>(), output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::engine::Needs;
    use super::*;

    fn slurm() -> Slurm {
        let launch = Launch {
            program: "/opt/the hub/hub".into(),
            hub: "http://10.0.0.5:8080".into(),
            token_file: "/etc/hub/it's".into(),
            folder: None,
            insecure: true,
        };
        let usual = Usual { cpus: 2, memory_bytes: 1 << 30, minutes: 60, gpus: 2, gpus_from_minutes: 30 };
        let (place, partition, more, logs) =
            ("main".to_owned(), Some("gpu".to_owned()), vec!["--gres=gpu:1".to_owned()], Some("/var/log/hub".into()));
        Slurm::new(SlurmOptions { place, partition, more, logs, launch, usual })
    }

    fn task(job: &str) -> Task {
        Task { job: job.into(), needs: Needs { cpus: 1, ..Needs::default() }, parent: None, times: 0, follows: false }
    }

    #[test]
    fn a_job_is_a_batch_job_and_a_sweep_an_array() {
        let one = slurm().arguments(&[task("a")], None);
        assert!(
            one.contains(&"--cpus-per-task=1".to_owned())
                && one.contains(&"--mem=1024M".to_owned())
                && one.contains(&"--time=60".to_owned())
        );
        assert!(one.contains(&"--partition=gpu".to_owned()) && one.last().is_some_and(|last| last == "--gres=gpu:1"));
        assert!(!one.iter().any(|word| word.starts_with("--array")));
        assert!(slurm().arguments(&[task("a"), task("b")], None).contains(&"--array=1-2".to_owned()));
        let script = slurm().script(&[task("a"), task("b")]);
        assert!(script.contains("set -- 'a' 'b'\nshift $((SLURM_ARRAY_TASK_ID - 1))\nexec '/opt/the hub/hub' 'worker'"), "{script}");
        assert!(script.contains(r"'/etc/hub/it'\''s'") && script.ends_with("'--insecure' '--job' \"$1\"\n"), "{script}");
    }

    #[test]
    fn what_takes_long_is_given_cards_and_told_to_use_them() {
        let long = Task { needs: Needs { slowest_seconds: Some(7_200.0), ..task("a").needs }, ..task("a") };
        assert!(slurm().arguments(std::slice::from_ref(&long), None).contains(&"--gres=gpu:2".to_owned()));
        assert!(slurm().script(std::slice::from_ref(&long)).contains("\nexport HUB_DEVICE=auto\nexec "));
        let brief = [task("b")];
        assert!(!slurm().arguments(&brief, None).contains(&"--gres=gpu:2".to_owned()) && !slurm().script(&brief).contains("HUB_DEVICE"));
    }

    #[test]
    fn what_follows_others_depends_on_them() {
        let tune = [Task { follows: true, ..task("race") }];
        let words = slurm().arguments(&tune, Some(&After::Success("4711".into()))).join(" ");
        assert!(words.contains("--dependency=afterok:4711 --kill-on-invalid-dep=yes --comment=after:race"), "{words}");
        assert!(slurm().script(&tune).ends_with("'--insecure' '--after' \"$1\"\n"));
        let words = slurm().arguments(&[task("sweep")], Some(&After::End(vec!["4_1".into(), "4_2".into(), "5".into()]))).join(" ");
        assert!(words.contains("--dependency=afterany:4_1:4_2:5 ") && !words.contains("--comment"), "{words}");
        let found = read("4711 (null)\n 4712 after:race \n4713_2 somebody's words\n\n4714\n");
        assert_eq!(found.numbers.len(), 4);
        assert!(["4711", "4712", "4713_2", "4714"].iter().all(|number| found.numbers.contains(*number)));
        assert_eq!(found.following.into_iter().collect::<Vec<_>>(), [("race".to_owned(), "4712".to_owned())]);
    }

    #[test]
    fn sbatch_says_a_number() {
        assert_eq!(number_in("4711\n").as_deref(), Some("4711"));
        assert_eq!(number_in("4711;cluster").as_deref(), Some("4711"));
        for odd in ["", "Submitted batch job 3", ";x", "12a"] {
            assert_eq!(number_in(odd), None, "{odd:?}");
        }
    }
}
