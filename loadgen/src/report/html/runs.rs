//! The page of one or more runs.

use std::fmt::Write;

use super::chart::{Axis, LineChart, Series, escaped};
use super::scale::{Quantity, Spread};
use super::{document, swatch, table};
use crate::report::model::{Latency, Report};

/// A page that shows runs side by side, in the order given.
pub(crate) fn page(title: &str, runs: &[Report]) -> String {
    let mut body = String::new();
    body.push_str(&summary(runs));
    let subjects: Vec<(usize, &Report)> = runs.iter().enumerate().collect();
    body.push_str("<div class=\"charts\">\n");
    body.push_str(&latency_chart("Latency by percentile", &subjects, &[]));
    body.push_str(&operations_chart(runs));
    body.push_str(&throughput_chart("Throughput over time", &subjects, &[]));
    body.push_str(&p99_chart("p99 over time", &subjects, &[]));
    body.push_str(&ramp_chart(&subjects));
    body.push_str("</div>\n");
    body.push_str(&operations(runs));
    body.push_str(&settings(runs));
    document(title, &body)
}

fn summary(runs: &[Report]) -> String {
    let head = [
        "run",
        "requests/s",
        "hit ratio",
        "p50 µs",
        "p90 µs",
        "p99 µs",
        "p99.9 µs",
        "p99.99 µs",
        "max µs",
        "server CPU µs/request",
        "server RSS MiB",
        "client idle",
        "bad replies",
    ];
    let rows: Vec<Vec<String>> = runs.iter().enumerate().map(|(number, run)| summary_row(number, run)).collect();
    table(&head.map(String::from), &rows)
}

#[expect(clippy::cast_precision_loss, reason = "a table needs no more than 15 digits")]
fn summary_row(number: usize, run: &Report) -> Vec<String> {
    let unknown = || "-".to_string();
    let server = run.server.as_ref();
    let limited = if run.client.limited { " <span class=\"bad\">client-limited</span>" } else { "" };
    let bad = run.errors.bad();
    let mut row = vec![
        swatch(number, &run.label),
        format!("{:.0}", run.requests_per_second),
        run.hit_ratio.map_or_else(unknown, |ratio| format!("{ratio:.4}")),
    ];
    row.extend(latency_cells(&run.latency));
    row.extend([
        server.map_or_else(unknown, |server| format!("{:.2}", server.cpu_us_per_request)),
        server.map_or_else(unknown, |server| format!("{:.1}", server.rss_bytes_end as f64 / f64::from(1 << 20))),
        format!("{:.0} %{limited}", run.client.idle_ratio * 100.0),
        if bad == 0 { "0".to_string() } else { format!("<span class=\"bad\">{bad}</span>") },
    ]);
    row
}

fn latency_cells(latency: &Latency) -> Vec<String> {
    let Latency { p50_us, p90_us, p99_us, p99_9_us, p99_99_us, max_us, .. } = latency;
    [p50_us, p90_us, p99_us, p99_9_us, p99_99_us, max_us].map(|micros| format!("{micros:.1}")).to_vec()
}

/// The latency of all operations of each operation of each run, where runs have several.
fn operations(runs: &[Report]) -> String {
    if runs.iter().all(|run| run.operations.len() < 2) {
        return String::new();
    }
    let head =
        ["operation", "requests/s", "hits", "misses", "p50 µs", "p90 µs", "p99 µs", "p99.9 µs", "p99.99 µs", "max µs"];
    let mut rows = Vec::new();
    for (number, run) in runs.iter().enumerate() {
        for (operation, report) in &run.operations {
            let mut row = vec![
                swatch(number, &format!("{} {}", run.label, operation.name())),
                format!("{:.0}", report.requests_per_second),
                report.hits.to_string(),
                report.misses.to_string(),
            ];
            row.extend(latency_cells(&report.latency));
            rows.push(row);
        }
    }
    format!("<h2>Operations</h2>\n{}", table(&head.map(String::from), &rows))
}

fn settings(runs: &[Report]) -> String {
    let mut text = String::from("<h2>Settings</h2>\n");
    for (number, run) in runs.iter().enumerate() {
        let setting = &run.configuration;
        let rate = setting.rate.map_or(String::new(), |rate| format!(" at {rate:.0} requests/s"));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "<p>{}: {} loop{rate}, {} connections with at most {} in flight each, {} keys of {} bytes ({}), values of {} \
             bytes, {:.1} s measured with {}.<br><code>{}</code></p>",
            swatch(number, &run.label),
            escaped(&setting.loop_model),
            setting.connections,
            setting.pipeline,
            setting.keys,
            setting.key_bytes,
            escaped(&setting.access),
            escaped(&setting.value_size),
            run.seconds,
            escaped(&run.tool),
            escaped(&setting.command.join(" "))
        );
        for example in &run.errors.examples {
            let _ = writeln!(text, "<p class=\"bad\">{}</p>", escaped(example));
        }
    }
    text
}

/// Latency over percentiles. Runs come with the number of their subject; those of `faint` are drawn thin.
pub(crate) fn latency_chart(title: &str, runs: &[(usize, &Report)], faint: &[(usize, &Report)]) -> String {
    LineChart {
        title: title.to_string(),
        x: Axis { title: "percentile of requests", spread: Spread::Nines, quantity: Quantity::Percentile },
        y: Axis { title: "latency", spread: Spread::Log, quantity: Quantity::Time },
        series: series(runs, faint, |run| curve(&run.latency)),
    }
    .figure()
}

/// The same for the operations of a single run, if it has several.
fn operations_chart(runs: &[Report]) -> String {
    let [run] = runs else { return String::new() };
    if run.operations.len() < 2 {
        return String::new();
    }
    let series = run.operations.iter().enumerate().map(|(subject, (operation, report))| Series {
        label: operation.name().to_string(),
        subject,
        is_faint: false,
        points: curve(&report.latency),
    });
    LineChart {
        title: "Latency by percentile and operation".to_string(),
        x: Axis { title: "percentile of requests", spread: Spread::Nines, quantity: Quantity::Percentile },
        y: Axis { title: "latency", spread: Spread::Log, quantity: Quantity::Time },
        series: series.collect(),
    }
    .figure()
}

pub(crate) fn throughput_chart(title: &str, runs: &[(usize, &Report)], faint: &[(usize, &Report)]) -> String {
    LineChart {
        title: title.to_string(),
        x: time(),
        y: Axis { title: "requests/s", spread: Spread::Linear, quantity: Quantity::Rate },
        series: series(runs, faint, |run| over_time(run, |interval| interval.requests_per_second)),
    }
    .figure()
}

pub(crate) fn p99_chart(title: &str, runs: &[(usize, &Report)], faint: &[(usize, &Report)]) -> String {
    LineChart {
        title: title.to_string(),
        x: time(),
        y: Axis { title: "p99 latency of the second", spread: Spread::Log, quantity: Quantity::Time },
        series: series(runs, faint, |run| over_time(run, |interval| interval.p99_us)),
    }
    .figure()
}

fn ramp_chart(runs: &[(usize, &Report)]) -> String {
    LineChart {
        title: "p99 by rate".to_string(),
        x: Axis { title: "requests due per second", spread: Spread::Linear, quantity: Quantity::Rate },
        y: Axis { title: "p99 latency of the step", spread: Spread::Log, quantity: Quantity::Time },
        series: series(runs, &[], |run| run.steps.iter().map(|step| (step.rate, step.p99_us)).collect()),
    }
    .figure()
}

/// The curve as far as there are requests to draw it: of a thousand, the last is the 99.9th percentile.
fn curve(latency: &Latency) -> Vec<(f64, f64)> {
    #[expect(clippy::cast_precision_loss, reason = "a place on an axis")]
    let end = 100.0 - 100.0 / latency.count.max(1) as f64;
    let before = latency.curve.iter().copied().filter(|(percentile, _)| *percentile < end);
    let last = (!latency.curve.is_empty()).then_some((end, latency.max_us));
    before.chain(last).collect()
}

fn time() -> Axis {
    Axis { title: "time, s", spread: Spread::Linear, quantity: Quantity::Seconds }
}

/// Seconds that end the run may be short ones: a figure of a few milliseconds says nothing.
fn over_time(run: &Report, figure: impl Fn(&crate::report::model::Interval) -> f64) -> Vec<(f64, f64)> {
    let whole = run.series.iter().filter(|interval| interval.seconds > 0.5);
    whole.map(|interval| (interval.at_seconds + interval.seconds, figure(interval))).collect()
}

fn series(
    runs: &[(usize, &Report)],
    faint: &[(usize, &Report)],
    points: impl Fn(&Report) -> Vec<(f64, f64)>,
) -> Vec<Series> {
    let one = |(subject, run): &(usize, &Report), is_faint| Series {
        label: run.label.clone(),
        subject: *subject,
        is_faint,
        points: points(run),
    };
    runs.iter().map(|run| one(run, false)).chain(faint.iter().map(|run| one(run, true))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::{Interval, new_histogram};

    fn run(label: &str, factor: u64) -> Report {
        let mut histogram = new_histogram();
        for number in 1..=100_000_u64 {
            histogram.record(number * factor).unwrap();
        }
        let interval = |at: u32| Interval {
            at_seconds: f64::from(at),
            seconds: if at == 3 { 0.01 } else { 1.0 },
            requests_per_second: 100_000.0,
            p99_us: 99.0,
            ..Interval::default()
        };
        Report {
            label: label.to_string(),
            requests_per_second: 100_000.0,
            latency: Latency::of(&histogram),
            series: (0..4).map(interval).collect(),
            ..Report::default()
        }
    }

    #[test]
    fn a_page_asks_nobody_for_anything() {
        let page = page("two <runs>", &[run("a & b", 10), run("c", 50)]);
        for foreign in ["http://", "https://", "<script", "<link", "<img", "@import", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains("two &lt;runs&gt;") && page.contains("a &amp; b"));
        assert_eq!(page.matches("<figure>").count(), 3);
        assert!(page.contains("prefers-color-scheme: dark"));
        for axis in ["percentile of requests", "99.99 %", "time, s", "requests/s", " µs<", "p99 latency"] {
            assert!(page.contains(axis), "{axis}");
        }
    }

    #[test]
    fn a_short_last_second_is_not_drawn() {
        assert_eq!(over_time(&run("a", 1), |interval| interval.p99_us).len(), 3);
    }
}
