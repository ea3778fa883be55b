//! From counts to the report.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::report::model::{
    Check, Client, Configuration, FORMAT, Interval, Latency, Load, OperationReport, Report, Server, Step, micros,
};
use crate::tally::Tally;
use crate::workload::Operation;

/// A thread that was idle for less than this part of the time may have been what limited the throughput.
const IDLE_MIN: f64 = 0.05;
/// An open loop that hands over its requests later than this is not what it says.
const LAG_MAX_US: f64 = 1000.0;

/// All that is known when a run is over.
#[derive(Default)]
pub(crate) struct Measured {
    /// Load and check, those that there were.
    pub(crate) phases: Vec<Phase>,
    pub(crate) has_load: bool,
    pub(crate) is_phases_only: bool,
    pub(crate) started: Option<SystemTime>,
    pub(crate) seconds: f64,
    pub(crate) total: Tally,
    /// Replies that came within the measured time. An open loop has more in total: those that came after it.
    pub(crate) in_time: BTreeMap<Operation, u64>,
    pub(crate) series: Vec<Interval>,
    pub(crate) steps: Vec<Step>,
    pub(crate) knee_rate: Option<f64>,
    pub(crate) unsent: u64,
    pub(crate) cpu_ns: u64,
    pub(crate) idle_ratio: f64,
    pub(crate) server: Option<ServerUsage>,
}

/// What came of a phase before the run.
pub(crate) struct Phase {
    pub(crate) tally: Tally,
    pub(crate) elapsed: Duration,
}

/// What the server's process used while it was measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerUsage {
    pub(crate) pid: u32,
    pub(crate) cpu: Duration,
    pub(crate) waited: Duration,
    pub(crate) elapsed: Duration,
    pub(crate) rss_bytes_begin: u64,
    pub(crate) rss_bytes_end: u64,
}

pub(crate) fn build(configuration: Configuration, label: String, threads: usize, measured: Measured) -> Report {
    let Measured { total, seconds, in_time, .. } = measured;
    let requests = total.requests();
    let (hits, misses) = total.hits_and_misses();
    let lag_p99_us = total.lag_histogram().map(|lag| micros(lag.value_at_quantile(0.99)));
    let is_run = !measured.is_phases_only;
    let client = Client {
        threads: threads as u64,
        cpu_us_per_request: ratio(float(measured.cpu_ns) / 1e3, requests),
        idle_ratio: measured.idle_ratio,
        limited: is_run && (measured.idle_ratio < IDLE_MIN || lag_p99_us.is_some_and(|lag| lag > LAG_MAX_US)),
        lag_p99_us,
    };
    let operations: BTreeMap<Operation, OperationReport> = total
        .counts()
        .map(|(operation, count)| {
            let report = OperationReport {
                requests: count.histogram.len(),
                requests_per_second: per_second(in_time.get(&operation).copied().unwrap_or(0), seconds),
                hits: count.hits,
                misses: count.misses,
                latency: Latency::of(&count.histogram),
            };
            (operation, report)
        })
        .collect();
    let load = measured.phases.first().filter(|_| measured.has_load).map(load_of);
    let check = measured.phases.get(1).map(check_of);
    let served = if is_run { requests } else { measured.phases.iter().map(|phase| phase.tally.requests()).sum() };
    Report {
        format: FORMAT,
        tool: concat!("loadgen ", env!("CARGO_PKG_VERSION")).to_string(),
        label,
        started_unix_ms: unix_ms(measured.started),
        configuration,
        seconds,
        requests,
        requests_per_second: per_second(in_time.values().sum(), seconds),
        hits,
        misses,
        hit_ratio: (hits + misses > 0).then(|| float(hits) / float(hits + misses)),
        sent_bytes: total.sent_bytes,
        received_bytes: total.received_bytes,
        sent_bytes_per_second: per_second(total.sent_bytes, seconds),
        received_bytes_per_second: per_second(total.received_bytes, seconds),
        latency: Latency::of(&total.histogram()),
        operations,
        server: measured.server.map(|usage| server_of(usage, served)),
        series: measured.series,
        steps: measured.steps,
        knee_rate: measured.knee_rate,
        unsent: measured.unsent,
        client,
        load,
        check,
        errors: total.errors,
    }
}

impl Report {
    /// Whether every reply was right, and everything there that was loaded. An honest refusal is right, but see the
    /// report.
    pub(crate) fn is_flawless(&self) -> bool {
        self.errors.bad() == 0 && self.check.as_ref().is_none_or(|check| check.missing == 0)
    }
}

fn load_of(phase: &Phase) -> Load {
    let items = phase.tally.counts().map(|(_, count)| count.hits).sum();
    let seconds = phase.elapsed.as_secs_f64();
    Load { items, refused: phase.tally.errors.refused, seconds, items_per_second: per_second(items, seconds) }
}

fn check_of(phase: &Phase) -> Check {
    let (found, missing) = phase.tally.hits_and_misses();
    Check { sampled: found + missing, found, missing }
}

fn server_of(usage: ServerUsage, requests: u64) -> Server {
    let cpu_seconds = usage.cpu.as_secs_f64();
    Server {
        pid: usage.pid,
        cpu_seconds,
        cpu_us_per_request: ratio(cpu_seconds * 1e6, requests),
        cpus_used: cpu_seconds / usage.elapsed.as_secs_f64().max(1e-9),
        cpus_waited_for: usage.waited.as_secs_f64() / usage.elapsed.as_secs_f64().max(1e-9),
        rss_bytes_begin: usage.rss_bytes_begin,
        rss_bytes_end: usage.rss_bytes_end,
    }
}

fn unix_ms(time: Option<SystemTime>) -> u64 {
    let since = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { float(count) / seconds } else { 0.0 }
}

fn ratio(sum: f64, count: u64) -> f64 {
    if count > 0 { sum / float(count) } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "a report needs no more than 15 digits")]
fn float(number: u64) -> f64 {
    number as f64
}
