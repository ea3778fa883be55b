//! The table, and the same as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

/// Miss ratios of one workload and one seed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Row {
    pub(crate) memcached: Option<f64>,
    pub(crate) ringcached: Option<f64>,
    pub(crate) policy: f64,
    pub(crate) lru_ideal: Option<f64>,
    pub(crate) lru: Option<f64>,
    pub(crate) s3_fifo: Option<f64>,
    pub(crate) sieve: Option<f64>,
    pub(crate) optimum: Option<f64>,
    /// Bytes copied per byte stored, by the simulated policy.
    pub(crate) copied: f64,
    /// How many times the simulated cache's memory was stored.
    pub(crate) turnover: f64,
    /// Bytes of the policy's tables per item held at the end.
    pub(crate) policy_bytes: f64,
}

impl Row {
    /// Ours: the server's where it was measured, else the simulated policy's.
    fn ours(&self) -> f64 {
        self.ringcached.unwrap_or(self.policy)
    }

    /// Our misses per miss of memcached.
    pub(crate) fn ratio(&self) -> Option<f64> {
        Some(self.ours() / self.memcached?)
    }

    /// The part of memcached's avoidable misses that we avoid.
    pub(crate) fn gap_closed(&self) -> Option<f64> {
        let memcached = self.memcached?;
        Some((memcached - self.ours()) / (memcached - self.optimum?))
    }
}

/// A workload and its rows, one per seed.
pub(crate) struct Section {
    pub(crate) workload: &'static str,
    pub(crate) about: &'static str,
    pub(crate) rows: Vec<Row>,
}

type Field = fn(&Row) -> Option<f64>;

/// The columns: heading, name in JSON, and the figure.
const COLUMNS: &[(&str, &str, Field)] = &[
    ("memcached", "memcached", |row| row.memcached),
    ("ringcached", "ringcached", |row| row.ringcached),
    ("policy", "policy", |row| Some(row.policy)),
    ("ideal LRU", "lru_ideal", |row| row.lru_ideal),
    ("LRU", "lru", |row| row.lru),
    ("S3-FIFO", "s3_fifo", |row| row.s3_fifo),
    ("SIEVE", "sieve", |row| row.sieve),
    ("optimum", "optimum", |row| row.optimum),
    ("ratio", "ratio", Row::ratio),
    ("gap", "gap_closed", Row::gap_closed),
    ("copied", "copied", |row| Some(row.copied)),
    ("turned", "turnover", |row| Some(row.turnover)),
    ("B/item", "policy_bytes_per_item", |row| Some(row.policy_bytes)),
];

impl Section {
    /// The median over the seeds, if the figure was measured.
    fn median(&self, field: Field) -> Option<f64> {
        let mut figures: Vec<f64> = self.rows.iter().filter_map(field).collect();
        figures.sort_by(f64::total_cmp);
        match figures.len() {
            0 => None,
            len if len % 2 == 1 => Some(figures[len / 2]),
            len => Some(f64::midpoint(figures[len / 2 - 1], figures[len / 2])),
        }
    }

    fn line(&self) -> String {
        let mut line = format!("| {:<12} |", self.workload);
        for (heading, name, field) in COLUMNS {
            let width = heading.len().max(6);
            let figure = match self.median(*field) {
                None => "-".to_owned(),
                Some(gap) if *name == "gap_closed" => format!("{:.0} %", gap * 100.0),
                Some(turned) if *name == "turnover" => format!("{turned:.1}"),
                Some(figure) if ["ratio", "copied", "policy_bytes_per_item"].contains(name) => format!("{figure:.2}"),
                Some(figure) => format!("{figure:.4}"),
            };
            let _ = write!(line, " {figure:>width$} |");
        }
        line
    }
}

/// Geometric mean of the medians of the ratios, the worst of them, and the mean of the gap closed.
struct Summary {
    ratio_mean: f64,
    ratio_worst: f64,
    gap_closed: f64,
}

fn summary(sections: &[Section]) -> Option<Summary> {
    let ratios: Option<Vec<f64>> = sections.iter().map(|section| section.median(Row::ratio)).collect();
    let gaps: Option<Vec<f64>> = sections.iter().map(|section| section.median(Row::gap_closed)).collect();
    let (ratios, gaps) = (ratios?, gaps?);
    let count = sections.len() as f64;
    Some(Summary {
        ratio_mean: (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / count).exp(),
        ratio_worst: ratios.iter().copied().fold(0.0, f64::max),
        gap_closed: gaps.iter().sum::<f64>() / count,
    })
}

/// The head of the table.
pub(crate) fn head() -> String {
    let mut head = format!("| {:<12} |", "workload");
    let mut rule = format!("|{}|", "-".repeat(14));
    for (heading, ..) in COLUMNS {
        let width = heading.len().max(6);
        let _ = write!(head, " {heading:>width$} |");
        let _ = write!(rule, "{}:|", "-".repeat(width + 1));
    }
    format!("{head}\n{rule}")
}

/// One workload's line of the table.
pub(crate) fn line(section: &Section) -> String {
    section.line()
}

/// What stands below the table.
pub(crate) fn foot(sections: &[Section]) -> String {
    let Some(summary) = summary(sections) else { return String::new() };
    format!(
        "\nratio to memcached: geometric mean {:.3}, worst {:.3}; gap to the optimum closed: mean {:.0} %",
        summary.ratio_mean,
        summary.ratio_worst,
        summary.gap_closed * 100.0
    )
}

/// Everything as JSON: medians, and the figures of each seed.
pub(crate) fn json(sections: &[Section], memory_mib: usize, seeds: u64) -> Value {
    let object = |figure: &dyn Fn(Field) -> Option<f64>| -> Value {
        COLUMNS.iter().map(|(_, name, field)| ((*name).to_owned(), json!(figure(*field)))).collect()
    };
    let workloads: Vec<Value> = sections
        .iter()
        .map(|section| {
            json!({
                "workload": section.workload,
                "about": section.about,
                "median": object(&|field| section.median(field)),
                "seeds": section.rows.iter().map(|row| object(&|field| field(row))).collect::<Vec<Value>>(),
            })
        })
        .collect();
    let summary = summary(sections).map(|summary| {
        json!({
            "ratio_geometric_mean": summary.ratio_mean,
            "ratio_worst": summary.ratio_worst,
            "gap_closed_mean": summary.gap_closed,
        })
    });
    json!({ "memory_mib": memory_mib, "seeds": seeds, "workloads": workloads, "summary": summary })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(memcached: f64, policy: f64, optimum: f64) -> Row {
        Row { memcached: Some(memcached), policy, optimum: Some(optimum), ..Row::default() }
    }

    fn sections() -> Vec<Section> {
        let one = vec![row(0.4, 0.2, 0.1), row(0.4, 0.3, 0.1), row(0.4, 0.1, 0.1)];
        let other = vec![row(0.5, 0.4, 0.1)];
        vec![Section { workload: "one", about: "", rows: one }, Section { workload: "other", about: "", rows: other }]
    }

    #[test]
    fn the_summary_is_made_of_medians() {
        let summary = summary(&sections()).unwrap();
        assert!((summary.ratio_mean - (0.5_f64 * 0.8).sqrt()).abs() < 1e-9);
        assert!((summary.ratio_worst - 0.8).abs() < 1e-9);
        assert!((summary.gap_closed - f64::midpoint(2.0 / 3.0, 0.25)).abs() < 1e-9);
    }

    #[test]
    fn the_server_counts_before_the_simulation() {
        let row = Row { ringcached: Some(0.3), ..row(0.4, 0.2, 0.1) };
        assert!((row.ratio().unwrap() - 0.75).abs() < 1e-9);
    }

    #[test]
    fn what_was_not_measured_is_a_dash_or_null() {
        let section = Section { workload: "w", about: "", rows: vec![Row { policy: 0.25, ..Row::default() }] };
        assert!(section.line().contains(" - |") && section.line().contains("0.2500"));
        let json = json(&[section], 64, 1);
        assert!(json["workloads"][0]["median"]["memcached"].is_null() && json["summary"].is_null());
        assert_eq!(json["workloads"][0]["seeds"][0]["policy"], 0.25);
    }
}
