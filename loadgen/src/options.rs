//! The command line.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::compare::CompareOptions;

const EXAMPLES: &str = "\
Examples:
  loadgen                                                  50 connections, 1 request each in flight, 10 s
  loadgen --pipeline 16 --get-ratio 0.5 --value-size 1024  half of the requests store 1 KiB
  loadgen --multiget 50 --keys 100000 --cpus 2,3           gets of 50 keys, from CPUs 2 and 3
  loadgen --server-pid $(pgrep -o memcached) --json        with the server's CPU time, for a script
  loadgen --duration 12h --progress 1m                     a soak; Ctrl-C prints the report so far

Durations take a unit: 500ms, 10s, 5m, 12h. Sizes are bytes. Latencies are reported in microseconds, from handing
a request to the kernel until the reply is taken from it.
Exit status: 0 all replies were right; 1 a reply was wrong, lost or one too many; 2 the run could not take place.";

/// Drives a memcached server and checks every reply.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version, after_help = EXAMPLES, args_override_self = true)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: Options,
}

/// What else than a run.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Compare servers: start each in turn, run the same load, report the ratios
    Compare(CompareOptions),
}

/// One run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The server: HOST:PORT, or the path of a Unix socket
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:11211")]
    pub(crate) server: String,
    /// Connections, shared out among the threads
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) connections: u32,
    /// Requests in flight on each connection
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) pipeline: u32,
    /// Keys in use
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keys: u32,
    /// Length of a key; at least the digits of the highest key number
    #[arg(long, value_name = "BYTES", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=250))]
    pub(crate) key_size: u16,
    /// Length of a value
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1 << 30))]
    pub(crate) value_size: u32,
    /// Which part of the requests are gets, from 0 to 1; the others are sets
    #[arg(long, value_name = "RATIO", default_value_t = 0.9, value_parser = ratio)]
    pub(crate) get_ratio: f64,
    /// Keys asked for by one get
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) multiget: u16,
    /// How long to measure
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// How long to run before measuring
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub(crate) warmup: Duration,
    /// Threads, each pinned to a CPU of its own, from the last allowed CPU downwards
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: u16,
    /// The CPUs to use, one thread each, for instance 1,3; instead of --threads
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "threads")]
    pub(crate) cpus: Vec<usize>,
    /// Which random sequence of requests to send
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Do not store all keys before the run; gets of what is not there are misses
    #[arg(long)]
    pub(crate) no_load: bool,
    /// The server's process, to report its CPU time per request
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Option<u32>,
    /// Print a line of progress this often
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) progress: Option<Duration>,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

fn ratio(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("not a number from 0 to 1".to_string()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 4] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let parsed = UNITS.iter().find_map(|(unit, seconds)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        Duration::try_from_secs_f64(number * seconds).ok()
    });
    match parsed {
        Some(duration) if duration.as_secs() <= 365 * 24 * 3600 => Ok(duration),
        _ => Err("not a time like 500ms, 10s, 5m or 12h".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        let options = Cli::parse_from(["loadgen", "--cpus", "0,2", "--duration", "1.5m", "--get-ratio", "1"]).run;
        assert_eq!(options.cpus, [0, 2]);
        assert_eq!(options.duration, Duration::from_secs(90));
        for wrong in [["--duration", "10"], ["--duration", "-1s"], ["--get-ratio", "1.5"], ["--connections", "0"]] {
            assert!(Cli::try_parse_from(["loadgen"].iter().chain(&wrong)).is_err(), "{wrong:?}");
        }
    }
}
