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
    has_tls: bool,
}

impl Facts {
    pub(super) fn new(config: &Config, shared: Arc<Shared>) -> Self {
        let (threads, reserved_fds) = (config.cores.len() as u64, files_reserved(config));
        Self { shared, threads, reserved_fds, has_tls: config.tls.is_some() }
    }
}

impl FactSource for Facts {
    fn facts(&self, now: Now) -> ProcessFacts<'_> {
        let refreshed_ms = self.shared.tls_refreshed_ms.load(Ordering::Relaxed);
        let since_refresh_s = Clock::uptime_ms(now).saturating_sub(refreshed_ms) / 1000;
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
            tls_refreshed_s: self.has_tls.then_some(since_refresh_s),
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
