//! Load generator for ringcached and any server that speaks memcached.
//!
//! Closed loop: every connection keeps a fixed number of requests in flight. Open loop: requests are due by the clock,
//! and latency counts from then. Every reply is checked.
//!
//! In reading order:
//! - `options`, `units`, `config`: the command line, and the plan it becomes
//! - `workload`: which keys, which values, which request comes next, and when; pure
//! - `dialect`: how a request is written and the head of a reply is read; pure
//! - `conversation`: one conversation: which replies are due, and whether they came; pure
//! - `tally`: what is counted
//! - `worker`: one pinned thread with its ring and its connections
//! - `run`: the course of a run over all workers: load, check, warm up, measure, drain
//! - `report`: what was measured, as data and as text
//! - `page`: a page with charts of several reports
//! - `compare`: several servers under the same load
//! - `echo`: a server that does nothing, as fast as can be

mod compare;
mod config;
mod conversation;
mod dialect;
mod echo;
mod options;
mod page;
mod report;
mod run;
mod tally;
mod units;
mod worker;
mod workload;

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use compare::Verdict;
use options::{Cli, Command, Options};
use report::html;
use report::model::Report;
use report::text::text;

/// 0: every reply was right. 1: some was wrong, lost or one too many. 2: the run could not take place.
fn main() -> ExitCode {
    let cli = Cli::parse();
    match &cli.command {
        Some(Command::Compare(options)) => match compare::compare(options) {
            Ok(Verdict::Interrupted) => ExitCode::from(130),
            Ok(verdict) => exit_code(verdict == Verdict::Flawless),
            Err(error) => fail(&error),
        },
        Some(Command::Page(options)) => match page::page(options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
        Some(Command::Launch(options)) => fail(&compare::launch::launch(options)),
        Some(Command::Echo(options)) => match echo::echo(options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
        None => match run::run(&cli.run) {
            Ok(report) => match show(&cli.run, &report) {
                Ok(()) => exit_code(report.is_flawless()),
                Err(error) => fail(&error),
            },
            Err(error) => fail(&error),
        },
    }
}

fn show(options: &Options, report: &Report) -> Result<(), String> {
    let mut out = text(report);
    if let Some(path) = &options.json {
        let json = serde_json::to_string(report).map_err(|error| error.to_string())? + "\n";
        if path == Path::new("-") {
            out = json;
        } else {
            fs::write(path, json).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
    }
    if let Some(path) = &options.html {
        let page = html::page(&format!("Load on {}", report.label), std::slice::from_ref(report));
        fs::write(path, page).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    io::stdout().write_all(out.as_bytes()).map_err(|error| error.to_string())
}

fn exit_code(is_flawless: bool) -> ExitCode {
    if is_flawless { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn fail(error: &dyn Display) -> ExitCode {
    // If nobody reads this either, the status still tells.
    let _ = writeln!(io::stderr(), "loadgen: {error}");
    ExitCode::from(2)
}
