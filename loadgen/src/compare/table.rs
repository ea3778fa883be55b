//! A comparison as Markdown: one table per metric, a line per row.

use std::fmt::Write;

use super::outcome::{Comparison, Metric, Ratio, RowOutcome};

pub(super) fn markdown(comparison: &Comparison) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(text, "{}\n", head(comparison));
    for metric in Metric::ALL {
        table(comparison, metric, &mut text);
    }
    let noted: Vec<_> = comparison.rows.iter().map(|row| (row, comparison.notes(row))).collect();
    if noted.iter().any(|(_, notes)| !notes.is_empty()) {
        let _ = writeln!(text, "Notes:\n");
        for (row, notes) in noted.iter().filter(|(_, notes)| !notes.is_empty()) {
            let _ = writeln!(text, "* {}: {}.", row.name, notes.join("; "));
        }
        let _ = writeln!(text);
    }
    let _ = writeln!(text, "Loads:\n");
    for row in &comparison.rows {
        let beside = if row.load_beside_server { ", a thread of it on each of the servers' CPUs" } else { "" };
        let _ = writeln!(text, "* {}: `{}`{beside}", row.name, row.load);
    }
    text
}

fn head(comparison: &Comparison) -> String {
    let servers = comparison.servers.iter().map(|server| {
        let version = server.version.as_ref().map_or(String::new(), |version| format!(" {version}"));
        format!("{}{version} (`{}`)", server.name, server.command)
    });
    let list = |cpus: &[usize]| cpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    format!(
        "{}; servers on CPU {}, load on CPU {}.",
        servers.collect::<Vec<_>>().join(", "),
        list(&comparison.server_cpus),
        list(&comparison.client_cpus)
    )
}

fn table(comparison: &Comparison, metric: Metric, text: &mut String) {
    let rows: Vec<_> = comparison.rows.iter().filter_map(|row| Some((row, comparison.metric(row, metric)?))).collect();
    if rows.is_empty() {
        return;
    }
    let unit = if metric.unit().is_empty() { String::new() } else { format!(", {}", metric.unit()) };
    let better = if metric.lower_is_better() { "below" } else { "above" };
    let name = capitalized(metric.name());
    let _ = writeln!(text, "{name}{unit}; medians, and {} over the other (a ratio {better} 1 is better):\n", {
        &comparison.servers[0].name
    });
    let mut head = "| row |".to_string();
    for server in &comparison.servers {
        let _ = write!(head, " {} |", server.name);
    }
    let is_pair = comparison.servers.len() == 2;
    for server in &comparison.servers[1..] {
        let to = if is_pair { String::new() } else { format!(" to {}", server.name) };
        let _ = write!(head, " ratio{to} | spread | rounds |");
    }
    let _ = writeln!(text, "{head} |\n|{}", "---|".repeat(head.matches('|').count()));
    for (row, summary) in rows {
        let mut line = format!("| {} |", row.name);
        for median in &summary.medians {
            let cell = median.map_or("-".to_string(), |median| format!("{median:.0$}", metric.decimals()));
            let _ = write!(line, " {cell} |");
        }
        for ratio in &summary.ratios {
            let _ = write!(line, " {} |", cells(ratio));
        }
        let _ = writeln!(text, "{line} {} |", marks(comparison, row));
    }
    let _ = writeln!(text);
}

fn cells(ratio: &Ratio) -> String {
    if ratio.rounds.is_empty() {
        return "- | - | -".to_string();
    }
    let digits = if ratio.median < 0.2 { 3 } else { 2 };
    let rounds: Vec<_> = ratio.rounds.iter().map(|one| format!("{one:.digits$}")).collect();
    let (median, min, max) = (ratio.median, ratio.min, ratio.max);
    format!("**{median:.digits$}** | {min:.digits$} to {max:.digits$} | {}", rounds.join(" "))
}

/// The notes' gist; their words stand below the tables.
fn marks(comparison: &Comparison, row: &RowOutcome) -> String {
    let notes = comparison.notes(row);
    let has = |word: &&str| notes.iter().any(|note| note.contains(*word));
    if has(&"bad replies") {
        return "bad replies".to_string();
    }
    let marks: Vec<_> = ["idle", "shared", "client-limited"].into_iter().filter(has).collect();
    marks.join(", ")
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
    fn a_table_has_medians_ratios_and_every_round() {
        let mut comparison = example();
        for round in &mut comparison.rows[1].rounds {
            round[0].report.server.as_mut().unwrap().cpus_used = 0.5;
        }
        let text = markdown(&comparison);
        assert!(text.contains("| depth 1 | 10.50 | 15.75 | **0.64** | 0.63 to 0.73 | 0.63 0.64 0.73 |  |"), "{text}");
        assert!(text.contains("| depth 16 | 10.50 | 42.00 | **0.24** | 0.24 to 0.28 |"), "{text}");
        assert!(text.contains("| idle |") && text.contains("* depth 16: ours used 50 % of its CPU: idle"), "{text}");
        assert!(text.contains("Throughput, requests/s") && text.contains("Items held;"), "{text}");
        assert!(!text.contains("Hit ratio"), "{text}");
        for table in text.split("\n\n").filter(|part| part.starts_with('|')) {
            let columns: Vec<_> = table.lines().map(|line| line.matches('|').count()).collect();
            assert!(columns.iter().all(|count| *count == columns[0]), "{table}");
        }
    }

    #[test]
    fn three_servers_have_two_ratios() {
        let mut comparison = example();
        let mut third = comparison.servers[1].clone();
        third.name = "others".to_string();
        comparison.servers.push(third);
        for row in &mut comparison.rows {
            for round in &mut row.rounds {
                let run = round[1].clone();
                round.push(run);
            }
        }
        let text = markdown(&comparison);
        assert!(text.contains("ratio to theirs | spread | rounds | ratio to others | spread | rounds |"), "{text}");
    }
}
