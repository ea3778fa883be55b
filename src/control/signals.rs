//! Signals, without handlers: they are blocked before there is a second thread and then fetched one at a time.
//!
//! `SIGPIPE` needs nothing: the Rust runtime ignores it, and the ring's sends ask for none.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

/// Why the server ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// `SIGINT`, or the command `shutdown`.
    Interrupt,
    /// `SIGTERM`.
    Terminate,
    /// `SIGUSR1`, or the command `shutdown graceful`.
    Graceful,
}

/// The signals of the process, blocked in this thread and in every one it starts. The main thread's.
#[derive(Debug)]
pub struct Signals(SigSet);

impl Signals {
    /// Blocks them. To be called before any other thread exists, since threads started earlier would still die of them.
    pub fn block() -> nix::Result<Self> {
        let set: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGHUP].into_iter().collect();
        set.thread_block()?;
        Ok(Self(set))
    }

    /// Waits until the server shall end. At each `SIGHUP` it calls `read_again`.
    pub fn wait(&self, mut read_again: impl FnMut()) -> nix::Result<Stop> {
        loop {
            match self.next()? {
                Signal::SIGTERM => return Ok(Stop::Terminate),
                Signal::SIGUSR1 => return Ok(Stop::Graceful),
                Signal::SIGHUP => read_again(),
                _ => return Ok(Stop::Interrupt),
            }
        }
    }

    /// From now on `SIGINT` or `SIGTERM` ends the process at once, with exit code 130 or 143: for a user who does not
    /// want to wait while the cores stop. Takes a thread of its own, as the main thread waits for the cores.
    pub fn end_at_once(self) -> std::io::Result<()> {
        let watch = move || {
            loop {
                match self.next() {
                    Ok(Signal::SIGINT) => process::exit(EXIT_SIGNALLED + Signal::SIGINT as i32),
                    Ok(Signal::SIGTERM) => process::exit(EXIT_SIGNALLED + Signal::SIGTERM as i32),
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(watch).map(drop)
    }

    fn next(&self) -> nix::Result<Signal> {
        loop {
            match self.0.wait() {
                Err(Errno::EINTR) => {}
                other => return other,
            }
        }
    }
}

/// Asks the main thread to read all files again, from any thread: what the command `refresh_certs` does.
pub fn request_read_again() {
    if let Err(error) = kill(Pid::this(), Signal::SIGHUP) {
        tracing::error!("cannot signal the main thread: {error}");
    }
}

/// What a shell adds to a signal's number.
const EXIT_SIGNALLED: i32 = 128;

/// Asks the main thread to stop, from any thread: what the command `shutdown` does. Further calls do nothing, so that a
/// client that asks twice does not cut the stop short.
pub fn request_stop(stop: Stop) {
    static IS_REQUESTED: AtomicBool = AtomicBool::new(false);
    if IS_REQUESTED.swap(true, Ordering::Relaxed) {
        return;
    }
    let signal = match stop {
        Stop::Interrupt => Signal::SIGINT,
        Stop::Terminate => Signal::SIGTERM,
        Stop::Graceful => Signal::SIGUSR1,
    };
    if let Err(error) = kill(Pid::this(), signal) {
        tracing::error!("cannot signal the main thread: {error}");
    }
}

#[cfg(test)]
mod tests {

    use nix::sys::signal::raise;

    use super::*;

    #[test]
    fn each_signal_has_its_meaning() {
        let signals = Signals::block().unwrap();
        // To this thread alone: the test runner's others do not block them.
        for (signal, stop) in
            [(Signal::SIGTERM, Stop::Terminate), (Signal::SIGUSR1, Stop::Graceful), (Signal::SIGINT, Stop::Interrupt)]
        {
            raise(signal).unwrap();
            assert_eq!(signals.wait(|| panic!("nobody asked")), Ok(stop));
        }
        raise(Signal::SIGHUP).unwrap();
        raise(Signal::SIGTERM).unwrap();
        let mut calls = 0;
        assert_eq!(signals.wait(|| calls += 1), Ok(Stop::Terminate), "SIGHUP stops nothing");
        assert_eq!(calls, 1);
    }
}
