//! A comparison as a page with charts.

use std::fmt::Write;

use super::outcome::{Comparison, Metric, Ratio, RowOutcome, Run};
use crate::report::html::chart::{Axis, DotChart, DotRow, LineChart, Series, escaped};
use crate::report::html::scale::{Quantity, Spread};
use crate::report::html::{document, latency_chart, p99_chart, swatch, table, throughput_chart};
use crate::report::model::Report;

pub(super) fn page(comparison: &Comparison) -> String {
    let mut body = servers(comparison);
    body.push_str("<div class=\"charts\">\n");
    for (metric, axis) in [
        (Metric::ServerCpu, "ratio of server CPU per request: left of 1 is better"),
        (Metric::Throughput, "ratio of throughput: right of 1 is better"),
        (Metric::P99, "ratio of p99 latency: left of 1 is better"),
        (Metric::P999, "ratio of p99.9 latency: left of 1 is better"),
    ] {
        body.push_str(&ratios(comparison, metric, axis));
    }
    body.push_str("</div>\n");
    body.push_str("<div class=\"tables\">\n");
    for metric in Metric::ALL {
        body.push_str(&metric_table(comparison, metric));
    }
    body.push_str("</div>\n");
    for row in &comparison.rows {
        body.push_str(&row_section(comparison, row));
    }
    document(&comparison.title, &body)
}

fn servers(comparison: &Comparison) -> String {
    let list = |cpus: &[usize]| cpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut text = format!(
        "<p class=\"quiet\">{}; servers on CPU {}, load on CPU {}; every run started its server anew, in turns.</p>\n",
        escaped(&comparison.tool),
        list(&comparison.server_cpus),
        list(&comparison.client_cpus)
    );
    for (number, server) in comparison.servers.iter().enumerate() {
        let version = server.version.as_ref().map_or(String::new(), |version| format!(" {}", escaped(version)));
        let name = swatch(number, &server.name);
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(text, "<p>{name}{version} <code>{}</code></p>", escaped(&server.command));
    }
    text
}

/// All rows' ratios of one metric.
fn ratios(comparison: &Comparison, metric: Metric, axis: &'static str) -> String {
    let others = &comparison.servers[1..];
    let mut rows = Vec::new();
    for row in &comparison.rows {
        let Some(summary) = comparison.metric(row, metric) else { continue };
        for (number, ratio) in summary.ratios.iter().enumerate().filter(|(_, ratio)| !ratio.rounds.is_empty()) {
            let is_idle = metric == Metric::ServerCpu && comparison.notes(row).iter().any(|note| note.contains("idle"));
            rows.push(DotRow {
                name: row.name.clone(),
                subject: if others.len() > 1 { number + 1 } else { 0 },
                dots: ratio.rounds.clone(),
                median: ratio.median,
                remark: if is_idle { "(idle)".to_string() } else { String::new() },
            });
        }
    }
    let names: Vec<_> = others.iter().map(|server| server.name.as_str()).collect();
    let legend = others.iter().enumerate().map(|(number, server)| (number + 1, format!("to {}", server.name)));
    let title = format!("{}: {} to {}", capitalized(metric.name()), comparison.servers[0].name, names.join(", "));
    DotChart { title, axis, rows, legend: legend.collect() }.figure()
}

fn metric_table(comparison: &Comparison, metric: Metric) -> String {
    let mut rows = Vec::new();
    for row in &comparison.rows {
        let Some(summary) = comparison.metric(row, metric) else { continue };
        let median =
            |median: &Option<f64>| median.map_or("-".into(), |median| format!("{median:.0$}", metric.decimals()));
        let mut cells = vec![escaped(&row.name)];
        cells.extend(summary.medians.iter().map(median));
        cells.extend(summary.ratios.iter().flat_map(ratio_cells));
        rows.push(cells);
    }
    if rows.is_empty() {
        return String::new();
    }
    let mut head = vec!["row".to_string()];
    head.extend(comparison.servers.iter().enumerate().map(|(number, server)| swatch(number, &server.name)));
    let is_pair = comparison.servers.len() == 2;
    for server in &comparison.servers[1..] {
        let ratio = if is_pair { "ratio".to_string() } else { format!("ratio to {}", escaped(&server.name)) };
        head.extend([ratio, "spread".into(), "rounds".into()]);
    }
    let unit = if metric.unit().is_empty() { String::new() } else { format!(", {}", metric.unit()) };
    format!("<div><h2>{}{unit}</h2>\n{}</div>\n", capitalized(metric.name()), table(&head, &rows))
}

fn ratio_cells(ratio: &Ratio) -> Vec<String> {
    if ratio.rounds.is_empty() {
        return vec!["-".to_string(); 3];
    }
    let digits = if ratio.median < 0.2 { 3 } else { 2 };
    let rounds: Vec<_> = ratio.rounds.iter().map(|one| format!("{one:.digits$}")).collect();
    let spread = format!("{:.digits$} to {:.digits$}", ratio.min, ratio.max);
    vec![format!("<b>{:.digits$}</b>", ratio.median), spread, rounds.join(" ")]
}

/// One row: every round a thin line, the middle one of each server a thick one.
fn row_section(comparison: &Comparison, row: &RowOutcome) -> String {
    let mut middle: Vec<(usize, &Report)> = Vec::new();
    let mut others: Vec<(usize, &Report)> = Vec::new();
    for subject in 0..comparison.servers.len() {
        let mut runs: Vec<&Run> = row.rounds.iter().filter_map(|round| round.get(subject)).collect();
        runs.sort_by(|one, other| one.report.requests_per_second.total_cmp(&other.report.requests_per_second));
        for (number, run) in runs.iter().enumerate() {
            let list = if number == runs.len() / 2 { &mut middle } else { &mut others };
            list.push((subject, &run.report));
        }
    }
    let mut text = format!("<h2>{}</h2>\n<p><code>{}</code></p>\n", escaped(&row.name), escaped(&row.load));
    for note in comparison.notes(row) {
        let _ = writeln!(text, "<p class=\"bad\">{}</p>", escaped(&note));
    }
    text.push_str("<p class=\"quiet\">Thick: the round with the middle throughput; thin: the others.</p>\n");
    text.push_str("<div class=\"charts\">\n");
    text.push_str(&latency_chart("Latency by percentile", &middle, &others));
    text.push_str(&throughput_chart("Throughput over time", &middle, &others));
    text.push_str(&p99_chart("p99 over time", &middle, &others));
    text.push_str(&rounds_chart(comparison, row));
    text + "</div>\n"
}

/// How the cost drifts from round to round: with the neighbours both rise, and the ratio stays.
fn rounds_chart(comparison: &Comparison, row: &RowOutcome) -> String {
    let points = |server: usize| {
        let rounds = (1_u32..).zip(&row.rounds);
        let costs = rounds.filter_map(|(number, round)| Some((number, Metric::ServerCpu.of(round.get(server)?)?)));
        costs.map(|(number, cost)| (f64::from(number), cost)).collect()
    };
    let series = comparison.servers.iter().enumerate().map(|(subject, server)| Series {
        label: server.name.clone(),
        subject,
        is_faint: false,
        points: points(subject),
    });
    LineChart {
        title: "Server CPU per request by round".to_string(),
        x: Axis { title: "round", spread: Spread::Linear, quantity: Quantity::Seconds },
        y: Axis { title: "server CPU per request", spread: Spread::Linear, quantity: Quantity::Time },
        series: series.collect(),
    }
    .figure()
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::super::outcome::example;
    use super::*;

    #[test]
    fn a_page_shows_ratios_and_every_row() {
        let page = page(&example());
        // Four charts of ratios, four for each of two rows.
        assert_eq!(page.matches("<figure>").count(), 12);
        assert!(page.contains("<b>0.64</b>") && page.contains("Server CPU per request: ours to theirs"), "{page}");
        assert!(!page.contains("http:") && !page.contains("https:"), "nothing from elsewhere");
    }
}
