//! Children that are killed and reaped in every case.

use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{self, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How often a child is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long a child may take to end when asked to.
const STOP_MAX: Duration = Duration::from_secs(5);
/// The end of what a child writes to its standard error is kept; more is of no use.
const ERRORS_MAX: usize = 16 << 10;
/// How long to wait for the rest of a dead child's output, which a child of its own may hold open.
const REST_MAX: Duration = Duration::from_secs(1);

/// A running child, in a process group of its own so that a terminal's Ctrl-C reaches this process only. Dropping it
/// kills it and waits for its end.
pub(super) struct Child {
    inner: process::Child,
    output: Option<Receiver<Vec<u8>>>,
    errors: Option<Receiver<Vec<u8>>>,
}

/// What a child left behind.
pub(super) struct Ended {
    /// None if a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) output: String,
    pub(super) errors: String,
}

impl Child {
    /// The first word is the program. To be called by the main thread: a launched program dies with the thread that
    /// started it.
    pub(super) fn start(words: &[String]) -> io::Result<Child> {
        let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut inner = command.spawn()?;
        let output = inner.stdout.take().map(|pipe| read(pipe, usize::MAX));
        let errors = inner.stderr.take().map(|pipe| read(pipe, ERRORS_MAX));
        Ok(Child { inner, output, errors })
    }

    pub(super) fn pid(&self) -> u32 {
        self.inner.id()
    }

    /// How it ended, if it has.
    pub(super) fn status(&mut self) -> Option<ExitStatus> {
        self.inner.try_wait().ok().flatten()
    }

    /// Waits for its end; `None` if interrupted.
    pub(super) fn wait(&mut self, interrupted: &AtomicBool) -> Option<Ended> {
        loop {
            if let Some(status) = self.status() {
                let output = self.output.take().as_ref().map(rest).unwrap_or_default();
                return Some(Ended { code: status.code(), output, errors: self.errors() });
            }
            if interrupted.load(Ordering::Relaxed) {
                return None;
            }
            thread::sleep(LOOK);
        }
    }

    /// What it wrote to its standard error; to be asked once, after its end.
    pub(super) fn errors(&mut self) -> String {
        self.errors.take().as_ref().map(rest).unwrap_or_default()
    }

    /// Asks it to end, and sees to it.
    pub(super) fn stop(&mut self) {
        if self.status().is_none() && self.signal(Signal::SIGTERM) {
            let deadline = Instant::now() + STOP_MAX;
            while self.status().is_none() && Instant::now() < deadline {
                thread::sleep(LOOK);
            }
        }
        // Of no effect on what has ended; the wait reaps it.
        let _ = self.inner.kill();
        let _ = self.inner.wait();
    }

    fn signal(&self, signal: Signal) -> bool {
        i32::try_from(self.inner.id()).is_ok_and(|pid| kill(Pid::from_raw(pid), signal).is_ok())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.inner.kill();
        let _ = self.inner.wait();
    }
}

/// How a child ended, in words.
pub(super) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => {
            let name = Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |name| name.to_string());
            format!("killed by {name}")
        }
        (None, None) => "ended".to_string(),
    }
}

/// Reads all in a thread of its own, so that the child never waits for a reader; keeps the last `max` bytes.
fn read(mut pipe: impl Read + Send + 'static, max: usize) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        let mut buffer = [0; 8192];
        // An error ends what there is to read.
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            kept.extend_from_slice(&buffer[..count]);
            if kept.len() > max.saturating_mul(2) {
                kept.drain(..kept.len() - max);
            }
        }
        kept.drain(..kept.len().saturating_sub(max));
        // Nobody may want it any more.
        let _ = sender.send(kept);
    });
    receiver
}

fn rest(receiver: &Receiver<Vec<u8>>) -> String {
    let bytes = receiver.recv_timeout(REST_MAX).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Child {
        Child::start(&["sh".into(), "-c".into(), script.into()]).unwrap()
    }

    fn is_there(pid: u32) -> bool {
        std::path::Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn a_child_leaves_its_output_and_its_status() {
        let ended = shell("echo out; echo err >&2; exit 3").wait(&AtomicBool::new(false)).unwrap();
        assert_eq!((ended.code, ended.output.as_str(), ended.errors.as_str()), (Some(3), "out\n", "err\n"));
        // More than a pipe holds.
        let ended = shell("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2").wait(&AtomicBool::new(false));
        let ended = ended.unwrap();
        assert_eq!((ended.output.len(), ended.errors.len()), (1_000_000, ERRORS_MAX));
    }

    #[test]
    fn a_dropped_or_stopped_child_is_gone() {
        let child = shell("exec sleep 1000");
        let pid = child.pid();
        assert!(is_there(pid));
        drop(child);
        assert!(!is_there(pid));
        let mut child = shell("trap 'exit 0' TERM; echo; while :; do sleep 0.01; done");
        let pid = child.pid();
        child.stop();
        assert!(!is_there(pid));
    }

    #[test]
    fn an_interrupt_ends_the_wait() {
        let mut child = shell("exec sleep 1000");
        assert!(child.wait(&AtomicBool::new(true)).is_none());
        child.stop();
        assert_eq!(describe(child.status().unwrap()), "killed by SIGTERM");
    }
}
