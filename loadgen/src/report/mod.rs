//! What was measured, as text or JSON.

pub(crate) mod model;

use std::fmt::{self, Write};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::connection::Reply;
use crate::workload::Request;

/// Latencies are kept in nanoseconds, to three digits; longer ones than this count as this.
const LATENCY_MAX_NS: u64 = 3_600_000_000_000;
const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];
/// A thread that was idle for less than this part of the time may have been what limited the throughput.
const IDLE_MIN: f64 = 0.05;

/// What one worker, or all together, counted. Its size does not depend on how long it counts.
#[derive(Clone)]
pub(crate) struct Tally {
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    hits: u64,
    misses: u64,
    gets: Histogram<u64>,
    sets: Histogram<u64>,
    /// Counted from the first byte of the load phase on, unlike all else.
    errors: Errors,
    began: Duration,
    elapsed: Duration,
    cpu_ns: u64,
    /// The least idle of the threads.
    idle: f64,
}

#[derive(Clone, Default)]
struct Errors {
    wrong: u64,
    extra: u64,
    lost: u64,
    disconnects: u64,
    /// `SERVER_ERROR` replies: honest, but not what was asked for.
    refused: u64,
    first: Option<String>,
}

impl Tally {
    pub(crate) fn new() -> Tally {
        Tally {
            bytes_sent: 0,
            bytes_received: 0,
            hits: 0,
            misses: 0,
            gets: histogram(),
            sets: histogram(),
            errors: Errors::default(),
            began: Duration::ZERO,
            elapsed: Duration::ZERO,
            cpu_ns: 0,
            idle: 1.0,
        }
    }

    pub(crate) fn begin(&mut self, now: Duration) {
        self.began = now;
    }

    pub(crate) fn measured_until(&mut self, now: Duration, cpu_ns: u64) {
        self.elapsed = now.saturating_sub(self.began);
        self.cpu_ns = cpu_ns;
        let elapsed = self.elapsed.as_secs_f64();
        self.idle =
            if elapsed > 0.0 { (1.0 - Duration::from_nanos(cpu_ns).as_secs_f64() / elapsed).max(0.0) } else { 1.0 };
    }

    pub(crate) fn reply(&mut self, reply: Reply, latency: Duration) {
        self.hits += u64::from(reply.hits);
        self.misses += u64::from(reply.misses);
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        match reply.request {
            Request::Get => self.gets.saturating_record(nanos),
            Request::Set => self.sets.saturating_record(nanos),
        }
    }

    pub(crate) fn server_error(&mut self) {
        self.errors.refused += 1;
    }

    pub(crate) fn wrong(&mut self, example: String) {
        self.errors.wrong += 1;
        self.errors.first.get_or_insert(example);
    }

    pub(crate) fn extra(&mut self, example: String) {
        self.errors.extra += 1;
        self.errors.first.get_or_insert(example);
    }

    pub(crate) fn lost(&mut self, replies: usize, why: &str) {
        self.errors.disconnects += 1;
        self.errors.lost += replies as u64;
        self.errors.first.get_or_insert_with(|| format!("{why} ({replies} replies were due)"));
    }

    pub(crate) fn merge(&mut self, other: &Tally) {
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.hits += other.hits;
        self.misses += other.misses;
        self.gets += &other.gets;
        self.sets += &other.sets;
        self.errors.wrong += other.errors.wrong;
        self.errors.extra += other.errors.extra;
        self.errors.lost += other.errors.lost;
        self.errors.disconnects += other.errors.disconnects;
        self.errors.refused += other.errors.refused;
        if self.errors.first.is_none() {
            self.errors.first.clone_from(&other.errors.first);
        }
        self.elapsed = self.elapsed.max(other.elapsed);
        self.cpu_ns += other.cpu_ns;
        self.idle = self.idle.min(other.idle);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.gets.len() + self.sets.len()
    }

    fn bad_replies(&self) -> u64 {
        self.errors.wrong + self.errors.extra + self.errors.lost + self.errors.disconnects
    }

    /// One line about the run so far; `since` is the state at the line before, if there was one.
    pub(crate) fn progress_line(&self, since: Option<&Tally>) -> String {
        let (requests, elapsed) = since.map_or((0, Duration::ZERO), |since| (since.requests(), since.elapsed));
        let rate = per_second(self.requests() - requests, self.elapsed.saturating_sub(elapsed));
        let mut all = self.gets.clone();
        all += &self.sets;
        format!(
            "{:>8.1} s  {rate:>10.0} requests/s  p99.99 so far {:>9.1} us  misses {}  bad replies {}  server errors {}",
            self.elapsed.as_secs_f64(),
            micros(all.value_at_quantile(0.9999)),
            self.misses,
            self.bad_replies(),
            self.errors.refused
        )
    }
}

/// The outcome of a run.
pub(crate) struct Report {
    pub(crate) setting: String,
    pub(crate) tally: Tally,
    /// CPU time the server's process used while it was measured.
    pub(crate) server_cpu: Option<Duration>,
}

impl Report {
    /// Whether every reply was right. An honest `SERVER_ERROR` is right, but see the report.
    pub(crate) fn is_flawless(&self) -> bool {
        self.tally.bad_replies() == 0
    }

    pub(crate) fn text(&self) -> String {
        let tally = &self.tally;
        let elapsed = tally.elapsed;
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<12}{value}");
        };
        line("run", format!("{}, {:.1} s measured", self.setting, elapsed.as_secs_f64()));
        line(
            "throughput",
            format!(
                "{:.0} requests/s ({:.0} get/s, {:.0} set/s)",
                per_second(tally.requests(), elapsed),
                per_second(tally.gets.len(), elapsed),
                per_second(tally.sets.len(), elapsed)
            ),
        );
        line("keys", format!("{} hits, {} misses", tally.hits, tally.misses));
        line(
            "traffic",
            format!(
                "{:.1} MB/s received, {:.1} MB/s sent",
                per_second(tally.bytes_received, elapsed) / 1e6,
                per_second(tally.bytes_sent, elapsed) / 1e6
            ),
        );
        line("latency us", columns(QUANTILES.iter().map(|(name, _)| *name).chain(["max"])));
        for (name, histogram) in [("  get", &tally.gets), ("  set", &tally.sets)] {
            if !histogram.is_empty() {
                line(name, columns(latencies(histogram).map(|(_, value)| format!("{value:.1}"))));
            }
        }
        let note = if tally.idle < IDLE_MIN { "; client-limited: the server may be faster than this" } else { "" };
        line(
            "client CPU",
            format!("{:.3} us/request, least idle thread {:.1} % idle{note}", self.client_cpu(), tally.idle * 100.0),
        );
        if let Some(cpu) = self.server_cpu() {
            line("server CPU", format!("{cpu:.3} us/request"));
        }
        let errors = &tally.errors;
        line(
            "errors",
            format!(
                "{} wrong, {} extra, {} lost replies, {} failed connections, {} SERVER_ERROR",
                errors.wrong, errors.extra, errors.lost, errors.disconnects, errors.refused
            ),
        );
        if let Some(first) = &errors.first {
            line("first error", first.clone());
        }
        text
    }

    pub(crate) fn json(&self) -> String {
        let tally = &self.tally;
        let errors = &tally.errors;
        let value = json!({
            "run": self.setting,
            "seconds": tally.elapsed.as_secs_f64(),
            "requests": tally.requests(),
            "requests_per_second": per_second(tally.requests(), tally.elapsed),
            "gets": tally.gets.len(),
            "sets": tally.sets.len(),
            "hits": tally.hits,
            "misses": tally.misses,
            "bytes_received": tally.bytes_received,
            "bytes_sent": tally.bytes_sent,
            "get_latency_us": latency_object(&tally.gets),
            "set_latency_us": latency_object(&tally.sets),
            "client_cpu_us_per_request": self.client_cpu(),
            "client_idle": tally.idle,
            "client_limited": tally.idle < IDLE_MIN,
            "server_cpu_us_per_request": self.server_cpu(),
            "wrong_replies": errors.wrong,
            "extra_replies": errors.extra,
            "lost_replies": errors.lost,
            "failed_connections": errors.disconnects,
            "server_errors": errors.refused,
            "first_error": errors.first,
        });
        format!("{value}\n")
    }

    fn client_cpu(&self) -> f64 {
        per_request(Duration::from_nanos(self.tally.cpu_ns), self.tally.requests())
    }

    fn server_cpu(&self) -> Option<f64> {
        self.server_cpu.map(|cpu| per_request(cpu, self.tally.requests()))
    }
}

fn histogram() -> Histogram<u64> {
    // The bounds are constants that the type accepts; without bounds it would count just the same.
    Histogram::new_with_bounds(100, LATENCY_MAX_NS, 3).unwrap_or_else(|_| unreachable!("constant bounds are valid"))
}

fn columns(cells: impl Iterator<Item = impl fmt::Display>) -> String {
    cells.fold(String::new(), |mut text, cell| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{cell:>10}");
        text
    })
}

fn latencies(histogram: &Histogram<u64>) -> impl Iterator<Item = (&'static str, f64)> + '_ {
    let quantiles = QUANTILES.iter().map(|(name, quantile)| (*name, micros(histogram.value_at_quantile(*quantile))));
    quantiles.chain([("max", micros(histogram.max()))])
}

fn latency_object(histogram: &Histogram<u64>) -> Value {
    if histogram.is_empty() {
        return Value::Null;
    }
    latencies(histogram).map(|(name, value)| (name.to_string(), Value::from(value))).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a report needs no more than 15 digits")]
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "a report needs no more than 15 digits")]
fn per_second(count: u64, elapsed: Duration) -> f64 {
    if elapsed.is_zero() { 0.0 } else { count as f64 / elapsed.as_secs_f64() }
}

/// Microseconds per request.
#[expect(clippy::cast_precision_loss, reason = "a report needs no more than 15 digits")]
fn per_request(time: Duration, requests: u64) -> f64 {
    if requests == 0 { 0.0 } else { time.as_secs_f64() * 1e6 / requests as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_was_counted() {
        let mut tally = Tally::new();
        tally.begin(Duration::from_secs(1));
        for micros in 1..=1000 {
            let reply = Reply { request: Request::Get, hits: 1, misses: 0, is_server_error: false };
            tally.reply(reply, Duration::from_micros(micros));
        }
        tally.measured_until(Duration::from_secs(3), 1_990_000_000);
        let mut total = Tally::new();
        total.merge(&tally);
        let mut report = Report { setting: "test".into(), tally: total, server_cpu: Some(Duration::from_millis(5)) };
        let json: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["requests_per_second"], 500.0);
        assert_eq!(json["server_cpu_us_per_request"], 5.0);
        assert_eq!(json["client_limited"], true);
        assert!((json["get_latency_us"]["p50"].as_f64().unwrap() - 500.0).abs() < 1.0);
        assert_eq!(json["set_latency_us"], Value::Null);
        assert!(report.text().contains("500 requests/s"), "{}", report.text());
        assert!(report.is_flawless());
        report.tally.wrong("an example".into());
        assert!(!report.is_flawless() && report.text().contains("an example"));
    }
}
