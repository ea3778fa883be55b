//! The report for eyes.

use std::fmt::{self, Write};

use crate::report::model::{Latency, Report};

const QUANTILES: [&str; 6] = ["p50", "p90", "p99", "p99.9", "p99.99", "max"];

/// A summary of at most some twenty lines, and a line per step of a ramp.
pub(crate) fn text(report: &Report) -> String {
    let mut lines = Lines(String::new());
    lines.add("run", format_args!("{}", setting(report)));
    if let Some(load) = &report.load
        && report.seconds == 0.0
    {
        lines.add(
            "load",
            format_args!(
                "{} items in {:.1} s, {:.0} items/s, {} refused",
                load.items, load.seconds, load.items_per_second, load.refused
            ),
        );
    }
    if let Some(check) = &report.check {
        lines.add("check", format_args!("{} sampled: {} found, {} missing", check.sampled, check.found, check.missing));
    }
    if report.seconds > 0.0 {
        add_measured(report, &mut lines);
    }
    if let Some(server) = &report.server {
        lines.add(
            "server",
            format_args!(
                "{:.3} us CPU/request, {:.0} % of a CPU, RSS {:.1} MiB at the end ({:+.1})",
                server.cpu_us_per_request,
                server.cpus_used * 100.0,
                mebibytes(server.rss_bytes_end),
                mebibytes(server.rss_bytes_end) - mebibytes(server.rss_bytes_begin)
            ),
        );
    }
    let errors = &report.errors;
    lines.add(
        "errors",
        format_args!(
            "{} wrong, {} extra, {} lost replies, {} failed connections, {} refused",
            errors.wrong, errors.extra, errors.lost, errors.disconnects, errors.refused
        ),
    );
    for (index, example) in errors.examples.iter().enumerate() {
        lines.add(if index == 0 { "first error" } else { "" }, format_args!("{example}"));
    }
    lines.0
}

struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{name:<12}{value}");
    }
}

fn setting(report: &Report) -> String {
    let set = &report.configuration;
    let cpus: Vec<_> = set.cpus.iter().map(u64::to_string).collect();
    let pace = match (set.loop_model.as_str(), set.rate) {
        ("closed", _) => "closed loop".to_string(),
        (model, Some(rate)) => {
            format!("{model} loop of {rate:.0}/s, {} arrivals", set.arrivals.as_deref().unwrap_or("constant"))
        }
        (model, None) => model.to_string(),
    };
    let mix: Vec<_> = set.mix.iter().map(|(operation, share)| format!("{} {:.4}", operation.name(), share)).collect();
    format!(
        "{} ({} over {}), {pace}, {} connections x {} in flight, {}, {} keys of {} B ({}), values of {} B, CPU {}, {:.1} s",
        set.server,
        set.dialect,
        set.transport,
        set.connections,
        set.pipeline,
        mix.join(" "),
        set.keys,
        set.key_bytes,
        set.access,
        set.value_size,
        cpus.join(","),
        report.seconds
    )
}

fn add_measured(report: &Report, lines: &mut Lines) {
    let rates = report.operations.iter();
    let rates: Vec<_> = rates.map(|(name, one)| format!("{:.0} {}/s", one.requests_per_second, name.name())).collect();
    lines.add("throughput", format_args!("{:.0} requests/s ({})", report.requests_per_second, rates.join(", ")));
    let ratio = report.hit_ratio.map_or(String::new(), |ratio| format!(", hit ratio {:.3} %", ratio * 100.0));
    lines.add("keys", format_args!("{} hits, {} misses{ratio}", report.hits, report.misses));
    lines.add(
        "traffic",
        format_args!(
            "{:.1} MB/s received, {:.1} MB/s sent",
            report.received_bytes_per_second / 1e6,
            report.sent_bytes_per_second / 1e6
        ),
    );
    let header = QUANTILES.iter().fold(String::new(), |header, name| format!("{header}{name:>10}"));
    lines.add("latency us", format_args!("{header}"));
    for (name, one) in &report.operations {
        lines.add(&format!("  {}", name.name()), format_args!("{}", columns(&one.latency)));
    }
    if report.operations.len() > 1 {
        lines.add("  all", format_args!("{}", columns(&report.latency)));
    }
    for step in &report.steps {
        lines.add(
            "step",
            format_args!(
                "{:>9.0}/s due {:>9.0}/s answered, p50 {:.0} us, p99 {:.0} us, p99.9 {:.0} us, max {:.0} us{}",
                step.rate,
                step.requests_per_second,
                step.p50_us,
                step.p99_us,
                step.p99_9_us,
                step.max_us,
                if step.kept_up { "" } else { "  too much" }
            ),
        );
    }
    if let Some(knee) = report.knee_rate.filter(|_| !report.steps.is_empty()) {
        lines.add("knee", format_args!("{knee:.0} requests/s"));
    }
    if report.unsent > 0 {
        lines.add(
            "unsent",
            format_args!("{} requests were due but not sent: latencies are worse than they look", report.unsent),
        );
    }
    let client = &report.client;
    let lag = client.lag_p99_us.map_or(String::new(), |lag| format!(", sent {lag:.0} us late at p99"));
    let note = if client.limited { "; client-limited: the server may be faster than this" } else { "" };
    lines.add(
        "client",
        format_args!(
            "{:.3} us CPU/request, least idle thread {:.1} % idle{lag}{note}",
            client.cpu_us_per_request,
            client.idle_ratio * 100.0
        ),
    );
}

fn columns(latency: &Latency) -> String {
    let values = [latency.p50_us, latency.p90_us, latency.p99_us, latency.p99_9_us, latency.p99_99_us, latency.max_us];
    values.iter().fold(String::new(), |columns, value| format!("{columns}{value:>10.1}"))
}

#[expect(clippy::cast_precision_loss, reason = "for eyes")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}
