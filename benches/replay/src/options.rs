//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::workload::WORKLOADS;

const EXAMPLES: &str = "\
Examples:
  replay                                         simulations and memcached, 3 seeds
  replay --ringcached target/release/ringcached  the server as well
  replay --policy-only --seeds 1                 only our own policy, simulated: the loop for trying another one
  replay --workload loop,mixed-0.9 --json        two workloads, for a script

Each request is a get, and on a miss a set. All figures are misses per request of the second half of the trace; the
first half fills the cache. They are counts, so the speed of the machine does not matter, except to ttl-0.9, which
keeps a pace of 150,000 requests a second against the servers.
Columns: memcached and ringcached are the servers, over loopback. The others are simulated: policy is ringcached's own
with all of its store's overhead; ideal LRU has no overhead; LRU, S3-FIFO, SIEVE and the offline optimum (next use
times size) have 24 bytes per item. ratio is ringcached (without --ringcached: policy) to memcached; gap is the part of
memcached's misses above the optimum that is avoided; copied is bytes copied per byte stored; turned is how often the
memory was stored; B/item is the policy's memory per item held.";

/// Replays workloads against cache policies and servers and compares what they miss.
#[derive(Debug, Parser)]
#[command(name = "replay", version, after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct Options {
    /// Workloads, separated by commas; all if not given
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = workload_names())]
    pub(crate) workload: Vec<String>,
    /// How many seeds, from 1 upwards; the table has medians
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(crate) seeds: u64,
    /// Memory of every cache, in MiB; traces grow with it
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) memory: u16,
    /// Simulate our own policy and nothing else
    #[arg(long)]
    pub(crate) policy_only: bool,
    /// Simulate, start no server
    #[arg(long)]
    pub(crate) no_servers: bool,
    /// The memcached to compare with
    #[arg(long, value_name = "PROGRAM", default_value = "memcached")]
    pub(crate) memcached: PathBuf,
    /// The ringcached to measure
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) ringcached: Option<PathBuf>,
    /// Print JSON instead of the table
    #[arg(long)]
    pub(crate) json: bool,
}

fn workload_names() -> clap::builder::PossibleValuesParser {
    let values = WORKLOADS.iter().map(|workload| clap::builder::PossibleValue::new(workload.name).help(workload.about));
    clap::builder::PossibleValuesParser::new(values)
}
