//! What a comparison found: every run's report, and what follows from them.

use serde::{Deserialize, Serialize};

use super::scenario::Matrix;
use crate::report::model::{Report, Server};

/// Raised when a field changes its meaning or goes.
const FORMAT: u32 = 1;
/// A server that neither ran nor waited for its CPUs so much of the time was waiting for the load; one that ran less was
/// not alone on them.
const BUSY_MIN: f64 = 0.95;

/// The whole comparison; what `--json` writes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Comparison {
    pub(crate) format: u32,
    pub(crate) title: String,
    /// `loadgen` and its version.
    pub(crate) tool: String,
    /// The first one's figures are divided by the others'.
    pub(crate) servers: Vec<ServerInfo>,
    pub(crate) server_cpus: Vec<usize>,
    pub(crate) client_cpus: Vec<usize>,
    pub(crate) rows: Vec<RowOutcome>,
    /// What the tables say, filled for `--json` only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) summary: Vec<RowSummary>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ServerInfo {
    pub(crate) name: String,
    /// As given, before the port was put in.
    pub(crate) command: String,
    /// As `stats` says.
    pub(crate) version: Option<String>,
}

/// One load on all servers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RowOutcome {
    pub(crate) name: String,
    /// The options of its runs.
    pub(crate) load: String,
    /// A thread of the load ran on each of the servers' CPUs as well.
    pub(crate) load_beside_server: bool,
    /// Complete rounds; in each, one run per server in the order of the servers.
    pub(crate) rounds: Vec<Vec<Run>>,
}

/// One server under one load, once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Run {
    pub(crate) report: Report,
    /// What the server held at the end, if it says so.
    pub(crate) items: Option<u64>,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    ServerCpu,
    Throughput,
    P50,
    P99,
    P999,
    Rss,
    Items,
    HitRatio,
}

/// A metric of a row: medians over the rounds, and the ratios of the first server to each other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MetricSummary {
    /// By server; none where no run knows the figure.
    pub(crate) medians: Vec<Option<f64>>,
    /// By server but the first.
    pub(crate) ratios: Vec<Ratio>,
}

/// The first server's figure over another's, round by round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Ratio {
    /// The other server's name.
    pub(crate) to: String,
    pub(crate) rounds: Vec<f64>,
    /// Of the rounds' ratios, not the ratio of the medians: a round's noise falls on both its runs.
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// A row of the tables as data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RowSummary {
    pub(crate) row: String,
    pub(crate) metric: String,
    pub(crate) unit: String,
    /// By server, in the order of `servers`.
    pub(crate) medians: Vec<Option<f64>>,
    pub(crate) ratios: Vec<Ratio>,
    pub(crate) notes: Vec<String>,
}

impl Metric {
    /// In the order of tables.
    pub(crate) const ALL: [Metric; 8] = [
        Metric::ServerCpu,
        Metric::Throughput,
        Metric::P50,
        Metric::P99,
        Metric::P999,
        Metric::Rss,
        Metric::Items,
        Metric::HitRatio,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Metric::ServerCpu => "server CPU per request",
            Metric::Throughput => "throughput",
            Metric::P50 => "latency p50",
            Metric::P99 => "latency p99",
            Metric::P999 => "latency p99.9",
            Metric::Rss => "server RSS at the end",
            Metric::Items => "items held",
            Metric::HitRatio => "hit ratio",
        }
    }

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Metric::ServerCpu | Metric::P50 | Metric::P99 | Metric::P999 => "µs",
            Metric::Throughput => "requests/s",
            Metric::Rss => "MiB",
            Metric::Items | Metric::HitRatio => "",
        }
    }

    /// Digits behind the point.
    pub(crate) fn decimals(self) -> usize {
        match self {
            Metric::ServerCpu => 2,
            Metric::P50 | Metric::P99 | Metric::P999 | Metric::Rss => 1,
            Metric::Throughput | Metric::Items => 0,
            Metric::HitRatio => 4,
        }
    }

    pub(crate) fn lower_is_better(self) -> bool {
        !matches!(self, Metric::Throughput | Metric::Items | Metric::HitRatio)
    }

    #[expect(clippy::cast_precision_loss, reason = "a table needs no more than 15 digits")]
    pub(crate) fn of(self, run: &Run) -> Option<f64> {
        let report = &run.report;
        let server = report.server.as_ref();
        let is_measured = report.latency.count > 0;
        match self {
            Metric::ServerCpu => server.map(|server| server.cpu_us_per_request),
            Metric::Throughput => Some(report.requests_per_second),
            Metric::P50 => is_measured.then_some(report.latency.p50_us),
            Metric::P99 => is_measured.then_some(report.latency.p99_us),
            Metric::P999 => is_measured.then_some(report.latency.p99_9_us),
            Metric::Rss => server.map(|server| server.rss_bytes_end as f64 / f64::from(1 << 20)),
            Metric::Items => run.items.map(|items| items as f64),
            Metric::HitRatio => report.hit_ratio,
        }
    }
}

impl Comparison {
    pub(super) fn new(matrix: &Matrix) -> Comparison {
        let server = |spec: &super::scenario::ServerSpec| ServerInfo {
            name: spec.name.clone(),
            command: spec.words.join(" "),
            version: None,
        };
        Comparison {
            format: FORMAT,
            title: matrix.title.clone(),
            tool: concat!("loadgen ", env!("CARGO_PKG_VERSION")).to_string(),
            servers: matrix.servers.iter().map(server).collect(),
            server_cpus: matrix.server_cpus.clone(),
            client_cpus: matrix.client_cpus.clone(),
            rows: Vec::new(),
            summary: Vec::new(),
        }
    }

    /// Whether the rounds of both can stand in one table.
    pub(super) fn is_of_the_same(&self, other: &Comparison) -> bool {
        let servers = |of: &Comparison| -> Vec<(String, String)> {
            of.servers.iter().map(|server| (server.name.clone(), server.command.clone())).collect()
        };
        let cpus = |of: &Comparison| (of.server_cpus.clone(), of.client_cpus.clone());
        self.format == other.format && servers(self) == servers(other) && cpus(self) == cpus(other)
    }

    /// Puts the rounds of an earlier comparison before these. Rows of one name may differ in their loads.
    pub(super) fn put_before(&mut self, earlier: Comparison) {
        let later = std::mem::replace(&mut self.rows, earlier.rows);
        for row in later {
            match self.rows.iter_mut().find(|one| one.is_like(&row)) {
                Some(same) => same.rounds.extend(row.rounds),
                None => self.rows.push(row),
            }
        }
        for (server, before) in self.servers.iter_mut().zip(earlier.servers) {
            server.version = server.version.take().or(before.version);
        }
    }

    /// Whether every reply of every run was right.
    pub(crate) fn is_flawless(&self) -> bool {
        self.rows.iter().flat_map(|row| row.rounds.iter().flatten()).all(|run| run.report.errors.bad() == 0)
    }

    /// What a metric says of a row; `None` if no run knows it.
    pub(crate) fn metric(&self, row: &RowOutcome, metric: Metric) -> Option<MetricSummary> {
        let of = |round: &Vec<Run>, server: usize| round.get(server).and_then(|run| metric.of(run));
        let medians: Vec<Option<f64>> = (0..self.servers.len())
            .map(|server| median(row.rounds.iter().filter_map(|round| of(round, server)).collect()))
            .collect();
        medians.iter().any(Option::is_some).then(|| MetricSummary {
            medians,
            ratios: (1..self.servers.len())
                .map(|server| {
                    let pairs = row.rounds.iter().filter_map(|round| Some((of(round, 0)?, of(round, server)?)));
                    let rounds =
                        pairs.filter(|(_, theirs)| *theirs > 0.0).map(|(ours, theirs)| ours / theirs).collect();
                    Ratio::new(&self.servers[server].name, rounds)
                })
                .collect(),
        })
    }

    /// What a reader must know before believing a row.
    pub(crate) fn notes(&self, row: &RowOutcome) -> Vec<String> {
        let mut notes = Vec::new();
        for (number, server) in self.servers.iter().enumerate() {
            let runs: Vec<&Run> = row.rounds.iter().filter_map(|round| round.get(number)).collect();
            notes.extend(self.busyness(&server.name, &runs));
            let limited = runs.iter().filter(|run| run.report.client.limited).count();
            if limited > 0 {
                notes.push(format!("client-limited on {} in {limited} of {} rounds", server.name, runs.len()));
            }
            let bad: u64 = runs.iter().map(|run| run.report.errors.bad()).sum();
            if bad > 0 {
                let example = runs.iter().flat_map(|run| &run.report.errors.examples).next();
                let example = example.map_or(String::new(), |example| format!(", such as: {example}"));
                notes.push(format!("{} gave {bad} bad replies{example}", server.name));
            }
            let refused: u64 = runs.iter().map(|run| run.report.errors.refused).sum();
            if refused > 0 {
                notes.push(format!("{} refused {refused} requests", server.name));
            }
        }
        notes
    }

    /// Whether a server did not have all of its CPUs, and why: it had nothing to do, or others were on them.
    fn busyness(&self, name: &str, runs: &[&Run]) -> Option<String> {
        #[expect(clippy::cast_precision_loss, reason = "a number of CPUs")]
        let cpus = self.server_cpus.len().max(1) as f64;
        let servers = || runs.iter().filter_map(|run| run.report.server.as_ref());
        let used = median(servers().map(|server| server.cpus_used / cpus).collect())?;
        // Several threads can wait for one CPU at a time.
        let busy = |server: &Server| ((server.cpus_used + server.cpus_waited_for) / cpus).min(1.0);
        let busy = median(servers().map(busy).collect())?;
        let (used_percent, waited_percent) = (used * 100.0, (busy - used) * 100.0);
        if busy < BUSY_MIN {
            let waited =
                if waited_percent < 1.0 { String::new() } else { format!(" and waited for it {waited_percent:.0} %") };
            Some(format!("{name} used {used_percent:.0} % of its CPU{waited}: idle the rest"))
        } else if used < BUSY_MIN {
            Some(format!("{name} had {used_percent:.0} % of its CPU and waited for it the rest: shared with others"))
        } else {
            None
        }
    }

    /// With [`summary`](Self::summary), for those who read the JSON.
    pub(super) fn with_summary(&self) -> Comparison {
        let mut whole = self.clone();
        for row in &self.rows {
            for metric in Metric::ALL {
                let Some(MetricSummary { medians, ratios }) = self.metric(row, metric) else { continue };
                let notes = self.notes(row);
                let (row, name, unit) = (row.name.clone(), metric.name().to_string(), metric.unit().to_string());
                whole.summary.push(RowSummary { row, metric: name, unit, medians, ratios, notes });
            }
        }
        whole
    }
}

impl RowOutcome {
    /// Whether the rounds of both can stand in one line.
    fn is_like(&self, other: &RowOutcome) -> bool {
        (&self.name, &self.load, self.load_beside_server) == (&other.name, &other.load, other.load_beside_server)
    }
}

impl Ratio {
    fn new(to: &str, rounds: Vec<f64>) -> Ratio {
        let min = rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let max = rounds.iter().copied().fold(0.0, f64::max);
        match median(rounds.clone()) {
            Some(median) => Ratio { to: to.to_string(), rounds, median, min, max },
            None => Ratio { to: to.to_string(), ..Ratio::default() },
        }
    }
}

impl Run {
    /// For the progress on a terminal.
    pub(super) fn line(&self) -> String {
        let cpu = Metric::ServerCpu.of(self).map_or(String::new(), |cpu| format!(", {cpu:.2} µs of server CPU each"));
        format!("{:.0} requests/s{cpu}", self.report.requests_per_second)
    }
}

/// The middle value, or the mean of the two in the middle.
fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(numbers[middle]),
        _ => Some(f64::midpoint(numbers[middle - 1], numbers[middle])),
    }
}

/// Figures without a server, for the tests of tables and pages.
#[cfg(test)]
pub(crate) fn example() -> Comparison {
    use crate::report::model::{Client, Interval, Latency};
    let run = |factor: f64, round: u32| {
        let noise = 1.0 + f64::from(round % 3) * 0.05;
        let curve =
            [(0.0, 20.0), (50.0, 50.0), (90.0, 80.0), (99.0, 200.0), (99.9, 900.0), (99.99, 2000.0), (100.0, 2100.0)];
        let second = |at: u32| Interval {
            at_seconds: f64::from(at),
            seconds: 1.0,
            requests_per_second: 100_000.0 / factor + f64::from(at * 997 % 4000),
            p50_us: 50.0 * factor,
            p99_us: 200.0 * factor * (1.0 + f64::from(at % 3) * 0.2),
            max_us: 2100.0 * factor,
            ..Interval::default()
        };
        let report = Report {
            requests_per_second: 100_000.0 / factor / noise,
            seconds: 5.0,
            latency: Latency {
                count: 500_000,
                p50_us: 50.0 * factor,
                p99_us: 200.0 * factor * noise,
                p99_9_us: 900.0 * factor,
                max_us: 2100.0 * factor,
                curve: curve.iter().map(|(percentile, micros)| (*percentile, micros * factor)).collect(),
                ..Latency::default()
            },
            series: (0..5).map(second).collect(),
            client: Client { idle_ratio: 0.4, ..Client::default() },
            server: Some(Server {
                cpu_us_per_request: 10.0 * factor * noise,
                cpus_used: 0.99,
                rss_bytes_end: 64 << 20,
                ..Server::default()
            }),
            ..Report::default()
        };
        Run { report, items: Some(10_000) }
    };
    let row = |name: &str, factor: f64| RowOutcome {
        name: name.to_string(),
        load: "--pipeline 1".to_string(),
        load_beside_server: false,
        rounds: (0..3).map(|round| vec![run(1.0, round), run(factor, round + 1)]).collect(),
    };
    let server = |name: &str| ServerInfo {
        name: name.to_string(),
        command: format!("{name} -t 1"),
        version: Some("1.0".to_string()),
    };
    Comparison {
        format: FORMAT,
        title: "two servers".to_string(),
        servers: vec![server("ours"), server("theirs")],
        server_cpus: vec![0],
        client_cpus: vec![1],
        rows: vec![row("depth 1", 1.5), row("depth 16", 4.0)],
        ..Comparison::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_round_by_round() {
        let comparison = example();
        let cpu = comparison.metric(&comparison.rows[0], Metric::ServerCpu).unwrap();
        // Ours: 10, 10.5, 11; theirs: 15.75, 16.5, 15.
        assert_eq!(cpu.medians, [Some(10.5), Some(15.75)]);
        let ratio = &cpu.ratios[0];
        assert_eq!(ratio.to, "theirs");
        let expected = [10.0 / 15.75, 10.5 / 16.5, 11.0 / 15.0];
        assert!(ratio.rounds.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-9), "{ratio:?}");
        assert!((ratio.median - 10.5 / 16.5).abs() < 1e-9, "{ratio:?}");
        assert_eq!((ratio.min, ratio.max), (ratio.rounds[0], ratio.rounds[2]));
        assert!(comparison.metric(&comparison.rows[0], Metric::HitRatio).is_none());
        let whole = comparison.with_summary();
        assert_eq!(whole.summary.len(), 2 * 7);
        let back: Comparison = serde_json::from_str(&serde_json::to_string(&whole).unwrap()).unwrap();
        assert!(back.summary.len() == 14 && back.rows.len() == 2, "what is written is read");
        assert!((back.summary[0].ratios[0].median - ratio.median).abs() < 1e-9);
    }

    #[test]
    fn later_rounds_stand_behind_earlier_ones() {
        let (earlier, mut later) = (example(), example());
        later.rows[1].name = "another".to_string();
        assert!(earlier.is_of_the_same(&later));
        later.put_before(earlier.clone());
        let rows: Vec<_> = later.rows.iter().map(|row| (row.name.as_str(), row.rounds.len())).collect();
        assert_eq!(rows, [("depth 1", 6), ("depth 16", 3), ("another", 3)]);
        later.servers[1].command.push('x');
        assert!(!earlier.is_of_the_same(&later));
    }

    #[test]
    fn a_row_says_what_spoils_it() {
        let mut comparison = example();
        assert_eq!(comparison.notes(&comparison.rows[0]), Vec::<String>::new());
        assert!(comparison.is_flawless());
        for round in &mut comparison.rows[1].rounds {
            round[1].report.server.as_mut().unwrap().cpus_used = 0.4;
        }
        let run = &mut comparison.rows[1].rounds[2][0].report;
        run.client.limited = true;
        run.errors.wrong = 2;
        run.errors.examples = vec!["asked a, got b".into()];
        let notes = comparison.notes(&comparison.rows[1]);
        assert_eq!(notes[0], "client-limited on ours in 1 of 3 rounds");
        assert!(notes[1].contains("2 bad replies") && notes[1].contains("got b"), "{notes:?}");
        assert_eq!(notes[2], "theirs used 40 % of its CPU: idle the rest");
        assert!(!comparison.is_flawless());
        // With two CPUs for the servers, one busy is half.
        comparison.server_cpus = vec![0, 1];
        assert!(comparison.notes(&comparison.rows[0])[0].contains("50 %"));
    }

    #[test]
    fn a_server_that_waits_for_its_cpu_is_not_idle() {
        let mut comparison = example();
        let mut note = |used: f64, waited: f64| {
            for server in comparison.rows[0].rounds.iter_mut().filter_map(|round| round[0].report.server.as_mut()) {
                (server.cpus_used, server.cpus_waited_for) = (used, waited);
            }
            comparison.notes(&comparison.rows[0]).join("; ")
        };
        assert_eq!(note(0.5, 0.49), "ours had 50 % of its CPU and waited for it the rest: shared with others");
        assert_eq!(note(0.5, 0.3), "ours used 50 % of its CPU and waited for it 30 %: idle the rest");
        assert_eq!(note(0.96, 0.3), "");
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    }
}
