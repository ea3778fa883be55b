//! Load generator for ringcached and any server that speaks memcached's text protocol.
//!
//! Closed loop: every connection keeps a fixed number of requests in flight, and every reply is checked byte by byte.
//!
//! In reading order:
//! - `options`: the command line
//! - `workload`: which keys, which values, which request comes next; pure
//! - `connection`: one conversation: which replies are due, and whether they came; pure
//! - `worker`: one pinned thread with its ring and its connections
//! - `run`: the course of a run over all workers: load, warm up, measure, drain
//! - `report`: what was measured, as text or JSON

mod compare;
mod connection;
mod options;
mod report;
mod run;
mod worker;
mod workload;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use options::{Cli, Command};

/// 0: every reply was right. 1: some was wrong, lost or one too many. 2: the run could not take place.
fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(Command::Compare(options)) = &cli.command {
        return match compare::compare(options) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(1),
            Err(error) => fail(&error),
        };
    }
    let options = cli.run;
    match run::run(&options) {
        Ok(report) => {
            let text = if options.json { report.json() } else { report.text() };
            match io::stdout().write_all(text.as_bytes()) {
                Err(error) => fail(&error),
                Ok(()) if report.is_flawless() => ExitCode::SUCCESS,
                Ok(()) => ExitCode::from(1),
            }
        }
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn Display) -> ExitCode {
    // If nobody reads this either, the status still tells.
    let _ = writeln!(io::stderr(), "loadgen: {error}");
    ExitCode::from(2)
}
