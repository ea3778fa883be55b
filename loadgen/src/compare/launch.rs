//! `loadgen launch`: becomes another program, pinned, in such a way that it dies with its parent.
//!
//! A server under comparison must not outlive the comparison, even one that is killed without a chance to clean up. The
//! kernel sees to that if the child asks before it becomes the server.

use std::fmt;
use std::os::unix::process::{CommandExt, parent_id};
use std::process::Command;

use clap::Args;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;

/// Runs a command on some CPUs; it is killed when the caller ends.
#[derive(Debug, Args)]
pub(crate) struct LaunchOptions {
    /// The CPUs to run on
    #[arg(long, value_name = "LIST", value_delimiter = ',', required = true)]
    cpus: Vec<usize>,
    /// The process that must still be the parent
    #[arg(long, value_name = "PID")]
    parent: u32,
    /// The command
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// The command line that launches `command`.
pub(super) fn words(cpus: &[usize], parent: u32, command: &[String]) -> Vec<String> {
    let cpus: Vec<_> = cpus.iter().map(ToString::to_string).collect();
    let program = std::env::current_exe().map_or_else(|_| "loadgen".into(), |path| path.display().to_string());
    let ours = [program, "launch".into(), "--cpus".into(), cpus.join(","), "--parent".into(), parent.to_string()];
    ours.into_iter().chain(["--".into()]).chain(command.iter().cloned()).collect()
}

/// Becomes the command; returns only if that fails, with the reason.
pub(crate) fn launch(options: &LaunchOptions) -> LaunchError {
    let mut cpus = CpuSet::new();
    for cpu in &options.cpus {
        if let Err(error) = cpus.set(*cpu) {
            return LaunchError(format!("CPU {cpu}: {error}"));
        }
    }
    let pinned = sched_setaffinity(Pid::from_raw(0), &cpus);
    let bound = set_pdeathsig(Signal::SIGKILL);
    let unblocked = SigSet::all().thread_unblock();
    if let Err(error) = pinned {
        return LaunchError(format!("cannot run on CPUs {:?}: {error}", options.cpus));
    }
    if let Err(error) = bound.and(unblocked) {
        return LaunchError(format!("cannot prepare: {error}"));
    }
    if parent_id() != options.parent {
        return LaunchError("the parent is gone".to_string());
    }
    let Some((program, arguments)) = options.command.split_first() else {
        return LaunchError("no command".to_string());
    };
    let error = Command::new(program).args(arguments).exec();
    LaunchError(format!("cannot run {program}: {error}"))
}

/// Why the command did not run; one line.
#[derive(Debug)]
pub(crate) struct LaunchError(String);

impl fmt::Display for LaunchError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
