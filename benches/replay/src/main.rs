//! Replays workloads against cache policies and servers and compares what they miss.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "numbers of keys and requests fit 32 bits, ratios need no more than 52"
)]

mod options;
mod random;
mod report;
mod server;
mod sim;
mod sizes;
mod workload;

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use options::Options;
use report::{Row, Section};
use server::Server;
use sim::lru::Lru;
use sim::s3fifo::S3Fifo;
use sim::segments::Segments;
use sim::sieve::Sieve;
use sim::{OVERHEAD, optimum, play};
use workload::{Trace, WORKLOADS};

/// Later than this, times to live are no longer what the trace says.
const LATE_MAX: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("replay: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    let memory = usize::from(options.memory) << 20;
    let mut sections = Vec::new();
    if !options.json {
        println!("{}", report::head());
    }
    for workload in WORKLOADS {
        if !options.workload.is_empty() && !options.workload.iter().any(|name| name == workload.name) {
            continue;
        }
        let mut section = Section { workload: workload.name, about: workload.about, rows: Vec::new() };
        for seed in 1..=options.seeds {
            let trace = workload.trace(memory, seed);
            section.rows.push(row(&trace, memory, options)?);
        }
        if !options.json {
            println!("{}", report::line(&section));
        }
        sections.push(section);
    }
    if options.json {
        println!("{:#}", report::json(&sections, usize::from(options.memory), options.seeds));
    } else {
        println!("{}", report::foot(&sections));
    }
    Ok(())
}

fn row(trace: &Trace, memory: usize, options: &Options) -> io::Result<Row> {
    let mut segments = Segments::new(trace, memory);
    let policy = play(trace, &mut segments).miss_ratio();
    let effort = segments.effort();
    let mut row = Row {
        policy,
        copied: effort.copied as f64 / effort.inserted as f64,
        turnover: effort.inserted as f64 / memory as f64,
        policy_bytes: effort.policy_bytes as f64 / effort.held as f64,
        ..Row::default()
    };
    if options.policy_only {
        return Ok(row);
    }
    row.lru_ideal = Some(play(trace, &mut Lru::new(trace, memory, 0)).miss_ratio());
    row.lru = Some(play(trace, &mut Lru::new(trace, memory, OVERHEAD)).miss_ratio());
    row.s3_fifo = Some(play(trace, &mut S3Fifo::new(trace, memory)).miss_ratio());
    row.sieve = Some(play(trace, &mut Sieve::new(trace, memory)).miss_ratio());
    row.optimum = Some(optimum::play(trace, memory).miss_ratio());
    if !options.no_servers {
        row.memcached = Some(replay(&options.memcached, trace, options)?);
        if let Some(program) = &options.ringcached {
            row.ringcached = Some(replay(program, trace, options)?);
        }
    }
    Ok(row)
}

fn replay(program: &Path, trace: &Trace, options: &Options) -> io::Result<f64> {
    let name = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", program.display()));
    let server = Server::start(program, usize::from(options.memory)).map_err(name)?;
    let (outcome, late) = server.replay(trace).map_err(name)?;
    if late > LATE_MAX {
        eprintln!("replay: {} came {} ms late: what expires is not exact", program.display(), late.as_millis());
    }
    Ok(outcome.miss_ratio())
}
