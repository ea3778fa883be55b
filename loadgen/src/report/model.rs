//! The report of one run as data: what `--json` writes, and all that `--html` and `loadgen compare` read.
//!
//! Units are in the names: `_us` microseconds, `_ns` nanoseconds, `_bytes`, `_seconds`; a `_ratio` or a share is from 0
//! to 1. docs/LOADGEN.md lists the fields; a test compares.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::workload::Operation;

/// Raised when a field changes its meaning or goes; new fields do not raise it.
pub(crate) const FORMAT: u32 = 1;

/// Latencies are kept in nanoseconds, to three digits, from here ...
const LATENCY_MIN_NS: u64 = 100;
/// ... to here; longer ones count as this.
const LATENCY_MAX_NS: u64 = 3_600_000_000_000;

/// A run, from its command line to its last reply.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Report {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// `loadgen` and its version.
    pub(crate) tool: String,
    /// What charts and tables call this run: `--label`, or the server's address.
    pub(crate) label: String,
    /// When measuring began, in milliseconds since 1970.
    pub(crate) started_unix_ms: u64,
    pub(crate) configuration: Configuration,
    /// How long was measured: warm-up, load phase and waiting for the last replies not included.
    pub(crate) seconds: f64,
    /// Requests answered in that time; in an open loop, requests that were due in that time and answered.
    pub(crate) requests: u64,
    /// Replies that came in that time.
    pub(crate) requests_per_second: f64,
    /// Keys found and not found by retrievals (get, gets, multi-get, gat).
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    /// hits / (hits + misses); none if no key was asked for.
    pub(crate) hit_ratio: Option<f64>,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes_per_second: f64,
    pub(crate) received_bytes_per_second: f64,
    /// All operations together.
    pub(crate) latency: Latency,
    /// By operation; those that were never asked for are left out.
    pub(crate) operations: BTreeMap<Operation, OperationReport>,
    /// One entry per second of measuring, in order; the last may cover less than a second.
    pub(crate) series: Vec<Interval>,
    /// The steps of a ramp (`--rate A..B`), in order; empty otherwise.
    pub(crate) steps: Vec<Step>,
    /// The highest rate of the ramp that the server kept up with, in requests per second.
    pub(crate) knee_rate: Option<f64>,
    /// Open loop: requests that were due but had not been sent when the run ended.
    pub(crate) unsent: u64,
    pub(crate) client: Client,
    /// With `--server-pid`.
    pub(crate) server: Option<Server>,
    /// What filled the server before the run, or `--load`.
    pub(crate) load: Option<Load>,
    /// With `--check`.
    pub(crate) check: Option<Check>,
    pub(crate) errors: Errors,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Configuration {
    /// The command line.
    pub(crate) command: Vec<String>,
    pub(crate) server: String,
    /// `text`, `meta` or `binary`.
    pub(crate) dialect: String,
    /// `tcp`, `unix` or `udp`.
    pub(crate) transport: String,
    pub(crate) connections: u64,
    /// Requests in flight on each connection, at most.
    pub(crate) pipeline: u64,
    /// `closed`, `open`, `ramp` or `trace`.
    pub(crate) loop_model: String,
    /// Requests per second of an open loop; the first step's of a ramp.
    pub(crate) rate: Option<f64>,
    /// `constant`, `poisson` or `trace`; none in a closed loop.
    pub(crate) arrivals: Option<String>,
    pub(crate) think_us: f64,
    /// The preset's name, if one was named.
    pub(crate) preset: Option<String>,
    /// Share of each operation among those drawn.
    pub(crate) mix: BTreeMap<Operation, f64>,
    pub(crate) keys: u64,
    pub(crate) key_bytes: u64,
    /// As in `--access`.
    pub(crate) access: String,
    /// As in `--value-size`.
    pub(crate) value_size: String,
    /// As in `--ttl`.
    pub(crate) ttl: String,
    /// Keys asked for by one multi-get.
    pub(crate) multiget: u64,
    /// `full` or `off`.
    pub(crate) verify: String,
    pub(crate) seed: u64,
    pub(crate) cpus: Vec<u64>,
    pub(crate) warmup_seconds: f64,
}

/// One operation's part of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OperationReport {
    /// Requests answered.
    pub(crate) requests: u64,
    pub(crate) requests_per_second: f64,
    /// Retrievals: keys found. Others: what they wanted was done.
    pub(crate) hits: u64,
    /// Retrievals: keys not found. Others: refused by the item's state, such as an `add` of a key that is there.
    pub(crate) misses: u64,
    pub(crate) latency: Latency,
}

/// A distribution of latencies. A closed loop counts from handing the request to the kernel, an open one from the moment
/// the request was due.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) mean_us: f64,
    pub(crate) min_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    #[serde(rename = "p99.9_us")]
    pub(crate) p99_9_us: f64,
    #[serde(rename = "p99.99_us")]
    pub(crate) p99_99_us: f64,
    pub(crate) max_us: f64,
    /// Points (percentile from 0 to 100, microseconds) that draw the whole curve, closer together towards 100.
    pub(crate) curve: Vec<(f64, f64)>,
}

/// One second of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Interval {
    /// Its begin, counted from the begin of measuring.
    pub(crate) at_seconds: f64,
    pub(crate) seconds: f64,
    /// Replies that came in it.
    pub(crate) requests: u64,
    pub(crate) requests_per_second: f64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) max_us: f64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    /// Replies that were wrong, extra or lost, and lost connections.
    pub(crate) errors: u64,
}

/// One rate of a ramp.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Step {
    /// Requests per second that were due.
    pub(crate) rate: f64,
    pub(crate) seconds: f64,
    /// Replies per second that came within the step.
    pub(crate) requests_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    #[serde(rename = "p99.9_us")]
    pub(crate) p99_9_us: f64,
    pub(crate) max_us: f64,
    /// Whether the server kept up: see docs/LOADGEN.md.
    pub(crate) kept_up: bool,
}

/// What the load generator spent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Client {
    pub(crate) threads: u64,
    pub(crate) cpu_us_per_request: f64,
    /// Share of the time that the busiest thread did not use its CPU.
    pub(crate) idle_ratio: f64,
    /// Whether the load generator, not the server, may have been the limit: the figures say less about the server then.
    pub(crate) limited: bool,
    /// Open loop: how long after it was due a request was handed over although a connection was free.
    pub(crate) lag_p99_us: Option<f64>,
}

/// What the server's process spent while it was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Server {
    pub(crate) pid: u32,
    /// User and system time of all its threads.
    pub(crate) cpu_seconds: f64,
    pub(crate) cpu_us_per_request: f64,
    /// CPU time over time: 1 is one CPU fully used.
    pub(crate) cpus_used: f64,
    /// Time that threads which wanted to run stood in a queue for a CPU, over time. With `cpus_used`: how busy the server
    /// was, whoever else was on its CPUs. 0 where the kernel does not tell.
    pub(crate) cpus_waited_for: f64,
    /// Resident memory when measuring began and when it ended.
    pub(crate) rss_bytes_begin: u64,
    pub(crate) rss_bytes_end: u64,
}

/// Storing items, each once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Load {
    /// Items acknowledged by the server.
    pub(crate) items: u64,
    /// Items the server refused.
    pub(crate) refused: u64,
    pub(crate) seconds: f64,
    pub(crate) items_per_second: f64,
}

/// Reading a sample of what was loaded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Check {
    pub(crate) sampled: u64,
    pub(crate) found: u64,
    pub(crate) missing: u64,
}

/// What must not be, counted from the first byte of the load phase on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Errors {
    /// Replies that are not what the request asked for, wrong values included.
    pub(crate) wrong: u64,
    /// Replies nobody asked for.
    pub(crate) extra: u64,
    /// Replies that never came.
    pub(crate) lost: u64,
    /// Connections that ended during the run.
    pub(crate) disconnects: u64,
    /// `SERVER_ERROR` and the like: honest refusals. They do not make the run a failure.
    pub(crate) refused: u64,
    /// The first few of all these, each a line.
    pub(crate) examples: Vec<String>,
}

impl Errors {
    /// Those that make the run a failure.
    pub(crate) fn bad(&self) -> u64 {
        self.wrong + self.extra + self.lost + self.disconnects
    }
}

/// An empty histogram of latencies in nanoseconds; all of the crate have these bounds, so any two can be added.
pub(crate) fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(LATENCY_MIN_NS, LATENCY_MAX_NS, 3)
        .unwrap_or_else(|_| unreachable!("constant bounds are valid"))
}

impl Latency {
    /// Summary and curve of a histogram of nanoseconds.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Latency {
        if histogram.is_empty() {
            return Latency::default();
        }
        let at = |quantile| micros(histogram.value_at_quantile(quantile));
        let point = |value: hdrhistogram::iterators::IterationValue<u64>| {
            (value.quantile_iterated_to() * 100.0, micros(value.value_iterated_to()))
        };
        Latency {
            count: histogram.len(),
            mean_us: histogram.mean() / 1e3,
            min_us: micros(histogram.min()),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            p99_99_us: at(0.9999),
            max_us: micros(histogram.max()),
            curve: histogram.iter_quantiles(CURVE_TICKS).map(point).collect(),
        }
    }
}

/// Points of a curve per halving of the distance to 100 %.
const CURVE_TICKS: u32 = 5;

#[expect(clippy::cast_precision_loss, reason = "a report needs no more than 15 digits")]
pub(crate) fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn full() -> Report {
        let mut histogram = new_histogram();
        (1..=10_000).for_each(|micros| histogram.saturating_record(micros * 1000));
        let operation = OperationReport { latency: Latency::of(&histogram), ..OperationReport::default() };
        Report {
            operations: [(Operation::Get, operation)].into(),
            series: vec![Interval::default()],
            steps: vec![Step::default()],
            server: Some(Server::default()),
            load: Some(Load::default()),
            check: Some(Check::default()),
            ..Report::default()
        }
    }

    fn names(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    // The names of operations are not names of fields.
                    if Operation::named(name).is_none() {
                        found.push(name.clone());
                    }
                    names(value, found);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| names(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_field_is_documented() {
        let mut fields = Vec::new();
        names(&serde_json::to_value(full()).unwrap(), &mut fields);
        assert!(fields.len() > 80, "{fields:?}");
        let document = include_str!("../../../docs/LOADGEN.md");
        for field in fields {
            assert!(document.contains(&format!("`{field}`")), "docs/LOADGEN.md does not speak of `{field}`");
        }
    }

    #[test]
    fn a_report_reads_as_it_was_written() {
        let report = full();
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
        // A report of an older version lacks what came later.
        assert_eq!(serde_json::from_str::<Report>("{}").unwrap(), Report::default());
    }

    #[test]
    fn a_latency_says_what_the_histogram_holds() {
        let latency = full().operations[&Operation::Get].latency.clone();
        let near = |value: f64, expected: f64| (value / expected - 1.0).abs() < 0.002;
        assert!(near(latency.p50_us, 5000.0) && near(latency.p99_us, 9900.0) && near(latency.p99_9_us, 9990.0));
        assert!(near(latency.max_us, 10_000.0) && near(latency.mean_us, 5000.5));
        assert_eq!(latency.curve.last().map(|point| point.0), Some(100.0));
        assert!(latency.curve.is_sorted());
        assert_eq!(Latency::of(&new_histogram()), Latency::default());
    }
}
