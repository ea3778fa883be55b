//! `loadgen page`: runs side by side.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::report::html;
use crate::report::model::{FORMAT, Report};

/// Puts the reports of several runs on one page.
#[derive(Debug, Args)]
pub(crate) struct PageOptions {
    /// Reports as `loadgen --json=FILE` writes them, in the order of the page
    #[arg(required = true, value_name = "FILE")]
    reports: Vec<PathBuf>,
    /// The page
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// What stands at its top
    #[arg(long, value_name = "TEXT", default_value = "Runs side by side")]
    title: String,
}

/// Reads, and writes the page; the error is one line.
pub(crate) fn page(options: &PageOptions) -> Result<(), String> {
    let runs = options.reports.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let out = &options.out;
    fs::write(out, html::page(&options.title, &runs))
        .map_err(|error| format!("cannot write {}: {error}", out.display()))
}

fn read(path: &Path) -> Result<Report, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let report: Report = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    if report.format != FORMAT {
        return Err(format!("{} is of format {}, this is a reader of {FORMAT}", path.display(), report.format));
    }
    Ok(report)
}
