//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::compare::CompareOptions;
use crate::compare::launch::LaunchOptions;
use crate::dialect::Dialect;
use crate::echo::EchoOptions;
use crate::page::PageOptions;
use crate::units::{self, Rate};
use crate::workload::access::Pattern;
use crate::workload::arrivals::Gaps;
use crate::workload::distribution::{Sizes, Ttls};
use crate::workload::mix::Mix;
use crate::workload::presets;

const EXAMPLES: &str = "\
Examples:
  loadgen                                                  50 connections, 1 request each in flight, 10 s
  loadgen --pipeline 16 --get-ratio 0.5 --value-size 1024  half of the requests store 1 KiB
  loadgen --mix multiget:1 --multiget 50 --cpus 2,3        gets of 50 keys, from CPUs 2 and 3
  loadgen --rate 50k --arrivals poisson                    an open loop: what users of a service feel
  loadgen --rate 10k..500k --step 10k --duration 3s        a ramp: where is the knee?
  loadgen --fill-on-miss --access zipf:0.99 --keys 10m     cache-aside: with the hit ratio
  loadgen --load 500m --check 1m --key-size 9 --value-size 4   fill a server, then sample
  loadgen --dialect binary --server /run/memcached.sock    another dialect, a Unix socket
  loadgen --server-pid $(pgrep -o memcached) --json        with the server's CPU time, for a script
  loadgen --duration 12h --progress 1m                     a soak; Ctrl-C prints the report so far

Times take a unit: 300us, 500ms, 10s, 5m, 12h. Counts and rates may end in k, m (million) or g. Sizes are bytes.
Latencies are reported in microseconds. A closed loop counts them from handing a request to the kernel until the reply
is taken from it; an open loop from the moment the request was due.
Exit status: 0 all replies were right; 1 a reply was wrong, lost or one too many, or --check missed an item; 2 the run
could not take place. docs/LOADGEN.md says more.";

/// Drives a memcached server and checks every reply.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version, after_help = after_help(), args_override_self = true)]
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
    Compare(Box<CompareOptions>),
    /// Answer every line with the same reply: what the machine can do at most
    Echo(EchoOptions),
    /// Make one page with charts of the JSON reports of several runs
    Page(PageOptions),
    /// Become another program, pinned, that dies with its parent
    #[command(hide = true)]
    Launch(LaunchOptions),
}

/// How much of a reply is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Verify {
    /// Everything: keys, lengths, and every byte of every value
    Full,
    /// The form alone: for a server that holds other values than ours
    Off,
}

/// One run.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub(crate) struct Options {
    /// The server: HOST:PORT, \[IPV6\]:PORT, or the path of a Unix socket
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:11211", help_heading = "Server")]
    pub(crate) server: String,
    /// What to speak
    #[arg(long, value_enum, default_value_t = Dialect::Text, help_heading = "Server")]
    pub(crate) dialect: Dialect,
    /// Datagrams instead of streams (text dialect)
    #[arg(long, help_heading = "Server")]
    pub(crate) udp: bool,
    /// Ask for no reply where none is needed (meta and binary dialect); a no-op ends each batch
    #[arg(long, help_heading = "Server")]
    pub(crate) quiet: bool,
    /// The server's process, to report its CPU time per request and its memory
    #[arg(long, value_name = "PID", help_heading = "Server")]
    pub(crate) server_pid: Option<u32>,
    /// Give up a connection whose reply takes longer; for UDP, the reply
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::duration, help_heading = "Server")]
    pub(crate) timeout: Duration,

    /// Connections, shared out among the threads
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    #[arg(help_heading = "Load")]
    pub(crate) connections: u32,
    /// Requests in flight on each connection, at most; in a closed loop more are sent when half of them are answered
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    #[arg(help_heading = "Load")]
    pub(crate) pipeline: u32,
    /// Open loop: this many requests per second are due, whatever the server does. FIRST..LAST is a ramp, each step
    /// --duration long, that ends when the server no longer keeps up
    #[arg(long, value_name = "RATE", value_parser = units::rate, help_heading = "Load")]
    pub(crate) rate: Option<Rate>,
    /// Requests per second from one step of a ramp to the next; by default a twentieth of the way
    #[arg(long, value_name = "RATE", value_parser = units::some, requires = "rate", help_heading = "Load")]
    pub(crate) step: Option<u64>,
    /// A ramp's server keeps up if its p99 is no more than this and 98 % of the requests are answered in time
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = units::duration, help_heading = "Load")]
    pub(crate) knee_p99: Duration,
    /// The gaps between requests of an open loop
    #[arg(long, value_enum, default_value_t = Gaps::Constant, help_heading = "Load")]
    pub(crate) arrivals: Gaps,
    /// Closed loop: the pause of a connection between the replies to a batch and the next batch
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = units::duration, conflicts_with = "rate")]
    #[arg(help_heading = "Load")]
    pub(crate) think: Duration,
    /// How long to measure; each step of a ramp. 10 s by default, with --requests as long as they take
    #[arg(long, value_name = "TIME", value_parser = units::duration, help_heading = "Load")]
    pub(crate) duration: Option<Duration>,
    /// End after this many requests, warm-up included
    #[arg(long, value_name = "N", value_parser = units::some, help_heading = "Load")]
    pub(crate) requests: Option<u64>,
    /// How long to run before measuring
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = units::duration, help_heading = "Load")]
    pub(crate) warmup: Duration,
    /// Threads, each pinned to a CPU of its own, from the last allowed CPU downwards
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    #[arg(help_heading = "Load")]
    pub(crate) threads: u16,
    /// The CPUs to use, one thread each, for instance 1,3; instead of --threads
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "threads", help_heading = "Load")]
    pub(crate) cpus: Vec<usize>,

    /// A published workload: mix, access, key size, value sizes and TTLs, unless these are given too
    #[arg(long, value_name = "NAME", help_heading = "Workload")]
    pub(crate) preset: Option<String>,
    /// Operations and their weights: get gets multiget gat set add cas append incr touch delete, for instance
    /// get:90%,set:10%
    #[arg(long, value_name = "LIST", help_heading = "Workload")]
    pub(crate) mix: Option<Mix>,
    /// Short for a mix: which part of the requests are gets, from 0 to 1; the others are sets
    #[arg(long, value_name = "RATIO", value_parser = ratio, conflicts_with = "mix", help_heading = "Workload")]
    pub(crate) get_ratio: Option<f64>,
    /// Keys asked for by one multi-get; without --mix, every get is one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000), help_heading = "Workload")]
    pub(crate) multiget: Option<u16>,
    /// Cache-aside: what a get does not find is stored; nothing is stored before the run
    #[arg(long, help_heading = "Workload")]
    pub(crate) fill_on_miss: bool,
    /// Keys in use
    #[arg(long, value_name = "N", default_value = "10k", value_parser = units::some, help_heading = "Workload")]
    pub(crate) keys: u64,
    /// Length of a key in bytes, 16 by default; at least the digits of the highest key number
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(1..=250))]
    #[arg(help_heading = "Workload")]
    pub(crate) key_size: Option<u16>,
    /// Which keys: uniform, zipf:SKEW, hotset:KEYS%:REQUESTS%, sequential, drift:SKEW:EVERY (a Zipf distribution that
    /// moves one key further with every so many requests)
    #[arg(long, value_name = "PATTERN", help_heading = "Workload")]
    pub(crate) access: Option<Pattern>,
    /// Lengths of values in bytes, 100 by default: 100, 10-1000, or a table 8:30%,100:50%,4096:20%
    #[arg(long, value_name = "BYTES", help_heading = "Workload")]
    pub(crate) value_size: Option<Sizes>,
    /// Times to live in seconds, 0 (for ever) by default; the same forms as --value-size
    #[arg(long, value_name = "SECONDS", help_heading = "Workload")]
    pub(crate) ttl: Option<Ttls>,
    /// Replay a recorded trace: CSV with time, key, operation, size and TTL; see docs/LOADGEN.md
    #[arg(long, value_name = "FILE", conflicts_with_all = ["mix", "preset", "get_ratio", "rate", "load"])]
    #[arg(help_heading = "Workload")]
    pub(crate) trace: Option<PathBuf>,
    /// How many times as fast as recorded; 0 is as fast as the server answers
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = speed, help_heading = "Workload")]
    pub(crate) trace_speed: f64,
    /// Which random sequence of requests to send
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Workload")]
    pub(crate) seed: u64,
    /// Do not store all keys before the run; gets of what is not there are misses
    #[arg(long, help_heading = "Workload")]
    pub(crate) no_load: bool,
    /// How much of each reply to check; a value follows from its key and the version in its first four bytes
    #[arg(long, value_enum, num_args = 0..=1, default_value_t = Verify::Full, default_missing_value = "full")]
    #[arg(help_heading = "Workload")]
    pub(crate) verify: Verify,

    /// Instead of a run: store this many items as fast as the server takes them
    #[arg(long, value_name = "N", value_parser = units::some, help_heading = "Fill")]
    #[arg(conflicts_with_all = ["rate", "requests", "no_load", "fill_on_miss"])]
    pub(crate) load: Option<u64>,
    /// After --load, read this many of them, at random
    #[arg(long, value_name = "N", value_parser = units::some, requires = "load", help_heading = "Fill")]
    pub(crate) check: Option<u64>,

    /// Print a line of progress this often; on a terminal it is one line that changes. 0 is never
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = units::duration, help_heading = "Report")]
    pub(crate) progress: Duration,
    /// What to call this run in tables and charts; the server's address by default
    #[arg(long, value_name = "TEXT", help_heading = "Report")]
    pub(crate) label: Option<String>,
    /// Print the report as one JSON object instead of text, or write it to a file beside the text
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    #[arg(help_heading = "Report")]
    pub(crate) json: Option<PathBuf>,
    /// Write latencies for HdrHistogram's tools: an interval log if the name ends in .hlog, else a percentile
    /// distribution for plotFiles
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) hdr: Option<PathBuf>,
    /// Write a page with charts of this run; `loadgen page` makes one of several
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) html: Option<PathBuf>,
}

/// Examples, and the presets with their sources.
fn after_help() -> String {
    format!("{EXAMPLES}\n\n{}", presets::help())
}

fn ratio(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("not a number from 0 to 1".to_string()),
    }
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speed) if speed == 0.0 || (1e-6..=1e6).contains(&speed) => Ok(speed),
        _ => Err("not 0 or a factor from 0.000001 to 1000000".to_string()),
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
        assert_eq!(options.duration, Some(Duration::from_secs(90)));
        assert_eq!(Cli::parse_from(["loadgen", "--json"]).run.json, Some("-".into()));
        assert_eq!(Cli::parse_from(["loadgen", "--json=x"]).run.json, Some("x".into()));
        assert_eq!(Cli::parse_from(["loadgen", "--verify", "--keys", "1m"]).run.keys, 1_000_000);
        for wrong in [
            ["--duration", "10"],
            ["--duration", "-1s"],
            ["--get-ratio", "1.5"],
            ["--connections", "0"],
            ["--rate", "0"],
            ["--mix", "get"],
            ["--check", "5"],
            ["--access", "zipf:x"],
        ] {
            assert!(Cli::try_parse_from(["loadgen"].iter().chain(&wrong)).is_err(), "{wrong:?}");
        }
    }
}
