//! What `stats` shows of the process.

use std::process;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use super::startup::files_reserved;
use super::{Clock, Shared, VERSION};
use crate::config::Config;
use crate::engine::FactSource;
use crate::metrics::ProcessFacts;
use crate::terms::Now;

/// The process and its limits.
#[derive(Debug)]
pub(super) struct Facts {
    shared: Arc<Shared>,
    threads: u64,
    reserved_fds: u64,
}

impl Facts {
    pub(super) fn new(config: &Config, shared: Arc<Shared>) -> Self {
        Self { shared, threads: config.cores.len() as u64, reserved_fds: files_reserved(config) }
    }
}

impl FactSource for Facts {
    fn facts(&self, now: Now) -> ProcessFacts<'_> {
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
        ProcessFacts {
            pid: process::id(),
            uptime_s: Clock::uptime_ms(now) / 1000,
            unix_time_s: now.unix_ms / 1000,
            version: VERSION,
            event_engine: "io_uring",
            rusage_user_us: usage.map_or(0, |usage| micros(usage.user_time())),
            rusage_system_us: usage.map_or(0, |usage| micros(usage.system_time())),
            max_connections: self.shared.connection_limit as u64,
            reserved_fds: self.reserved_fds,
            threads: self.threads,
            accepting_conns: !self.shared.stopping.load(Ordering::Relaxed),
            time_in_listen_disabled_us: 0,
        }
    }

    fn verbosity(&self) -> u32 {
        self.shared.verbosity.load(Ordering::Relaxed)
    }
}

fn micros(time: TimeVal) -> u64 {
    let micros = time.tv_sec().saturating_mul(1_000_000).saturating_add(time.tv_usec());
    u64::try_from(micros).unwrap_or(0)
}
