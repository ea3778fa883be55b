//! `loadgen compare`: two or more servers, in turn, under the same load.
//!
//! In reading order:
//! - `scenario`: what is compared: servers, rows, rounds; from the command line and a TOML file; pure
//! - `command`: a server's command line and the port in it; pure
//! - `outcome`: what came out: runs, metrics, ratios; pure
//! - `table`, `page`: the outcome as Markdown, as a page with charts; pure
//! - `launch`: a process that pins itself, dies with its parent, and becomes the server
//! - `process`: children that are killed and reaped in every case
//! - `server`: a server from its start to its end
//! - this file: the order of things

mod command;
pub(crate) mod launch;
mod outcome;
mod page;
mod process;
mod scenario;
mod server;
mod table;

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Args, Parser};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::options::Cli;
use crate::report::model::Report;
use outcome::{Comparison, RowOutcome, Run, ServerInfo};
use process::{Child, Ended};
use scenario::{Matrix, Row, ServerSpec};
use server::Server;

const EXAMPLES: &str = "\
Examples:
  loadgen compare --a 'target/release/ringcached -p {port} -t 1' --b 'memcached -u root -t 1' -- --pipeline 16
  loadgen compare --scenario benches/scenarios/memcached.toml --html compare.html
  loadgen compare --scenario benches/scenarios/memcached.toml --only 'depth 16' --rounds 9
  loadgen compare --scenario benches/scenarios/memcached.toml --only 64 --rounds 2 --add-to rounds.json
  loadgen compare --a './old -t 1' --b './new -t 1' --names old,new --server-cpus 2 --client-cpus 3

What follows `--` are options of a run (loadgen --help), for every row. In a server's command {port} stands for the
port; without it, the number after -p or --port is replaced, or -p PORT is appended. Every run starts its server anew.
A ratio is the first server's figure over another's in the same round. Rows say when a server was idle (less than 95 %
of its CPUs used, a closed loop then measures latency, not cost) or when the load generator was the limit.
Exit status: 0 all replies were right; 1 one was not; 2 the comparison could not take place; 130 interrupted.";

/// Starts servers in turn, pinned and on free ports, runs the same load on each, and reports the ratios.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompareOptions {
    /// The command of the first server; the others' figures are what its own are divided by
    #[arg(long, value_name = "COMMAND", requires = "b")]
    a: Option<String>,
    /// The command of the second server
    #[arg(long, value_name = "COMMAND", requires = "a")]
    b: Option<String>,
    /// The command of a third server
    #[arg(long, value_name = "COMMAND", requires = "b")]
    c: Option<String>,
    /// The command of a fourth server
    #[arg(long, value_name = "COMMAND", requires = "c")]
    d: Option<String>,
    /// What to call the servers, by default as their programs
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    names: Vec<String>,
    /// A TOML file with rows, servers or both; see docs/LOADGEN.md
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Only the scenario's rows whose names hold this text; may be given more than once
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// How many times each server has its turn; the scenario's number, or 5, by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: Option<u16>,
    /// The CPUs of the servers
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "0")]
    server_cpus: Vec<usize>,
    /// The CPUs of the load, one thread each; by default the last CPU that is not a server's
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    client_cpus: Vec<usize>,
    /// Print the outcome with all reports as one JSON object instead of tables, or write it to a file beside them
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    json: Option<PathBuf>,
    /// Add the rounds to those of an earlier comparison of the same servers in this JSON file, and write it anew; the
    /// tables and the page are of all of them. A file that is not there is begun
    #[arg(long, value_name = "FILE")]
    add_to: Option<PathBuf>,
    /// Write a page with charts
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Options of each run
    #[arg(last = true, value_name = "OPTION OF A RUN")]
    load: Vec<String>,
}

/// Why a comparison could not take place.
#[derive(Debug)]
pub(crate) struct CompareError(pub(crate) String);

impl fmt::Display for CompareError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How a comparison ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Flawless,
    /// A reply was wrong, lost or one too many.
    Flawed,
    /// By a signal; what was measured until then has been reported.
    Interrupted,
}

/// Runs the comparison, prints its tables and writes its files.
pub(crate) fn compare(options: &CompareOptions) -> Result<Verdict, CompareError> {
    let matrix = Matrix::new(options).map_err(CompareError)?;
    for (row, spec) in matrix.rows.iter().flat_map(|row| matrix.servers.iter().map(move |spec| (row, spec))) {
        // A mistake in the last row must not come to light after an hour.
        let words = run_words(&matrix, row, spec, 1, "127.0.0.1:1");
        let parsed = Cli::try_parse_from(words).map_err(|error| format!("row `{}`: {error}", row.name));
        let is_run = parsed.map_err(CompareError)?.command.is_none();
        if !is_run {
            return Err(CompareError(format!("row `{}`: only options of a run can be compared", row.name)));
        }
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // The second one ends this process; the launched ones die with it.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&interrupted))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&interrupted)))
            .map_err(|error| CompareError(format!("cannot wait for signals: {error}")))?;
    }
    let mut comparison = Comparison::new(&matrix);
    let earlier = options.add_to.as_deref().map_or(Ok(None), |path| read_earlier(path, &comparison))?;
    let outcome = measure(&matrix, &mut comparison, &interrupted);
    comparison.rows.retain(|row| !row.rounds.is_empty());
    if let Some(earlier) = earlier {
        comparison.put_before(earlier);
    }
    if !comparison.rows.is_empty() {
        publish(options, &comparison)?;
    }
    match outcome {
        Ok(()) if comparison.is_flawless() => Ok(Verdict::Flawless),
        Ok(()) => Ok(Verdict::Flawed),
        Err(Stop::Interrupted) => Ok(Verdict::Interrupted),
        Err(Stop::Failed(error)) => Err(CompareError(error)),
    }
}

/// What ends a comparison early.
#[derive(Debug)]
enum Stop {
    Interrupted,
    Failed(String),
}

fn measure(matrix: &Matrix, comparison: &mut Comparison, interrupted: &AtomicBool) -> Result<(), Stop> {
    for (number, row) in matrix.rows.iter().enumerate() {
        let (name, load, load_beside_server) = (row.name.clone(), row.load.join(" "), row.load_beside_server);
        comparison.rows.push(RowOutcome { name, load, load_beside_server, rounds: Vec::new() });
        for round in 0..matrix.rounds {
            let mut runs = Vec::new();
            for index in 0..matrix.servers.len() {
                say(&format!(
                    "row {}/{} `{}`, round {}/{}, {}: ",
                    number + 1,
                    matrix.rows.len(),
                    row.name,
                    round + 1,
                    matrix.rounds,
                    matrix.servers[index].name
                ));
                let (run, version) = run_once(matrix, row, index, interrupted).inspect_err(|_| say("stopped\n"))?;
                say(&format!("{}\n", run.line()));
                note_version(&mut comparison.servers[index], version);
                runs.push(run);
            }
            comparison.rows[number].rounds.push(runs);
        }
    }
    Ok(())
}

fn run_once(matrix: &Matrix, row: &Row, index: usize, interrupted: &AtomicBool) -> Result<(Run, Option<String>), Stop> {
    let spec = &matrix.servers[index];
    let mut server = Server::start(spec, &matrix.server_cpus, interrupted)?;
    let words = run_words(matrix, row, spec, server.pid(), &server.address());
    let mut load = Child::start(&words).map_err(|error| Stop::Failed(format!("cannot start the load: {error}")))?;
    let ended = load.wait(interrupted).ok_or(Stop::Interrupted)?;
    let statistics = server.statistics();
    if let Some(how) = server.ended() {
        let why = format!("{} ended during `{}`: {how}\n{}", spec.name, row.name, server.said());
        return Err(Stop::Failed(why));
    }
    server.stop();
    let Ended { code, output, errors } = ended;
    if code != Some(0) && code != Some(1) {
        return Err(Stop::Failed(format!(
            "the load on {} failed in `{}`:\n{}",
            spec.name,
            row.name,
            errors.trim_end()
        )));
    }
    let mut report: Report = serde_json::from_str(&output)
        .map_err(|error| Stop::Failed(format!("the load's report is not what was expected: {error}")))?;
    report.label.clone_from(&spec.name);
    Ok((Run { report, items: statistics.items }, statistics.version))
}

/// The command line of one run, by this program itself.
fn run_words(matrix: &Matrix, row: &Row, spec: &ServerSpec, pid: u32, address: &str) -> Vec<String> {
    let beside = matrix.server_cpus.iter().filter(|cpu| row.load_beside_server && !matrix.client_cpus.contains(cpu));
    let cpus: Vec<_> = matrix.client_cpus.iter().chain(beside).map(ToString::to_string).collect();
    let (pid, cpus) = (pid.to_string(), cpus.join(","));
    let ours = ["--server", address, "--server-pid", &pid, "--cpus", &cpus, "--json", "--progress", "0"];
    let program = std::env::current_exe().map_or_else(|_| "loadgen".into(), |path| path.display().to_string());
    let theirs = row.load.iter().chain(&spec.load).cloned();
    std::iter::once(program).chain(theirs).chain(ours.map(String::from)).collect()
}

fn note_version(server: &mut ServerInfo, version: Option<String>) {
    if let (None, Some(version)) = (&server.version, version) {
        server.version = Some(version);
    }
}

/// The comparison in a file, if it is there; it must be of the same servers.
fn read_earlier(path: &Path, comparison: &Comparison) -> Result<Option<Comparison>, CompareError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CompareError(format!("cannot read {}: {error}", path.display()))),
    };
    let earlier: Comparison =
        serde_json::from_str(&text).map_err(|error| CompareError(format!("{}: {error}", path.display())))?;
    if !earlier.is_of_the_same(comparison) {
        return Err(CompareError(format!("{} is of other servers, CPUs or another format", path.display())));
    }
    Ok(Some(earlier))
}

fn publish(options: &CompareOptions, comparison: &Comparison) -> Result<(), CompareError> {
    let json = || {
        let text = serde_json::to_string(&comparison.with_summary());
        text.map(|text| text + "\n").map_err(|error| CompareError(format!("cannot write JSON: {error}")))
    };
    let on_stdout = options.json.as_deref() == Some(Path::new("-"));
    let text = if on_stdout { json()? } else { table::markdown(comparison) };
    io::stdout().write_all(text.as_bytes()).map_err(|error| CompareError(format!("cannot print: {error}")))?;
    let beside = options.json.as_deref().filter(|_| !on_stdout);
    for path in beside.into_iter().chain(options.add_to.as_deref()) {
        write_file(path, &json()?)?;
    }
    match &options.html {
        Some(path) => write_file(path, &page::page(comparison)),
        None => Ok(()),
    }
}

fn write_file(path: &Path, text: &str) -> Result<(), CompareError> {
    fs::write(path, text).map_err(|error| CompareError(format!("cannot write {}: {error}", path.display())))
}

/// Progress; if nobody reads it, the tables still tell.
fn say(text: &str) {
    let _ = write!(io::stderr(), "{text}");
}
