//! Command line options to a checked configuration. Every default of the program is here and nowhere else, and a
//! [`Config`] that exists can be run: whatever the command line alone can tell is refused by [`parse`], with one line
//! and before any socket exists.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use clap::error::ErrorKind;
use nix::unistd::{Gid, Uid, User};

use crate::limits::{ITEM_SIZE_MAX_RANGE, MEMORY_PER_CORE_MIN, REQUESTS_PER_TURN, SHARDS_MAX, UDP_REPLY_MAX};
use crate::protocol::Dialect;
use crate::terms::ShardId;

mod address;
mod network;
mod options;
mod settings;
mod suboptions;
mod tls;
mod tuning;
mod value;

pub use address::{ClientCertificate, Listen, Manner, Security};
pub use network::{Network, UnixSocket};
pub use tls::{KeyFormat, TlsOptions};
pub use tuning::Tuning;
pub use value::ConfigError;

use options::Options;
use suboptions::Extended;
use value::{cpu_list, number, size};

const CONN_LIMIT: usize = 1024;
const BACKLOG: i32 = 1024;
const MEMORY_MIB: usize = 64;
const ITEM_SIZE_MAX: usize = 1 << 20;

const LICENSE: &str = concat!(
    "ringcached ",
    env!("CARGO_PKG_VERSION"),
    " may be used under the Apache License 2.0 or, at your choice, under this one:\n\n",
    include_str!("../../LICENSE-MIT")
);

/// One executor to start: the shard it owns and the CPU it stays on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Core {
    /// Its number, which is its shard's.
    pub id: ShardId,
    /// The CPU it is pinned to; `None` lets the kernel choose.
    pub cpu: Option<usize>,
}

/// Whom to become once the sockets are open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// As given to `-u`.
    pub name: String,
    /// The user's number.
    pub uid: Uid,
    /// The number of the user's own group.
    pub gid: Gid,
}

/// What to run, checked. The letter in brackets is the option it comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Config {
    /// Where to listen.
    pub network: Network,
    /// What TLS is made from (`-Z`); there if an address asks for it.
    pub tls: Option<TlsOptions>,
    /// Most bytes of a reply by UDP (`-o udp_reply_max`).
    pub udp_reply_max: usize,
    /// Executors to start (`-t`, `--cpus`), numbered from 0, never empty.
    pub cores: Vec<Core>,
    /// How their rings are made and waited for.
    pub tuning: Tuning,
    /// Bytes for items, all cores together (`-m`).
    pub memory_limit: usize,
    /// Bytes of the largest item (`-I`).
    pub item_size_max: usize,
    /// Most client connections at a time (`-c`).
    pub conn_limit: usize,
    /// Connections that may wait to be accepted, per listener (`-b`).
    pub backlog: i32,
    /// Requests of one connection before others get their turn (`-R`).
    pub requests_per_turn: usize,
    /// Whether items lie on huge pages (`-L`).
    pub huge_pages: bool,
    /// Whether full memory evicts; else it refuses to store (`-M`).
    pub evict: bool,
    /// Whether items have CAS uniques (`-C`).
    pub cas: bool,
    /// Whether `flush_all` is allowed (`-F`).
    pub flush_enabled: bool,
    /// Whether `shutdown` is allowed (`-A`).
    pub shutdown_enabled: bool,
    /// The dialect of all connections (`-B`, `-Y`, `-S`); `None` lets the first byte of each decide.
    pub dialect: Option<Dialect>,
    /// The file of those who may talk to the server (`-Y`, or with `-S` the environment's `MEMCACHED_SASL_PWDB`),
    /// absolute; `None` lets everybody.
    pub password_file: Option<PathBuf>,
    /// Whether dumps of keys are allowed (`-X`).
    pub dump_enabled: bool,
    /// Whether `watch` is allowed (`-W`).
    pub watch_enabled: bool,
    /// What ends the prefix of a key for `stats detail` (`-D`).
    pub prefix_delimiter: u8,
    /// Whether requests are counted by prefix from the start (`-D`).
    pub detail_enabled: bool,
    /// Whether `stats sizes` looks at all items (`-o track_sizes`).
    pub track_sizes: bool,
    /// Whether clients may move the clock (`--debug-time`): for tests.
    pub debug_time: bool,
    /// Whether a connection waits for its outstanding requests before it sends one to another owner
    /// (`-o pipeline_order=strict`).
    pub strict_order: bool,
    /// How long a connection may be silent (`-o idle_timeout`).
    pub idle_timeout: Option<Duration>,
    /// How often `-v` was given, at most 3.
    pub verbosity: u8,
    /// Whether to go into the background (`-d`).
    pub daemon: bool,
    /// Whom to become (`-u`); `None` stays.
    pub user: Option<Account>,
    /// Where to write the process id (`-P`), absolute.
    pub pidfile: Option<PathBuf>,
    /// Where to write the ports (`MEMCACHED_PORT_FILENAME`), absolute.
    pub port_file: Option<PathBuf>,
    /// Whether to raise the limit for core dumps (`-r`).
    pub core_dumps: bool,
    /// Whether to keep memory in RAM (`-k`).
    pub lock_memory: bool,
    /// What was accepted but acts otherwise than memcached would: one line each, shown at `-v`.
    pub notices: Vec<String>,
}

/// What the command line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// To run.
    Run(Box<Config>),
    /// To print this to standard output and end with exit code 0.
    Print(String),
}

/// What [`parse`] needs to know about the machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Machine {
    /// CPUs this process may run on, ascending.
    pub cpus: Vec<usize>,
    /// Whether the process may become another user.
    pub is_root: bool,
    /// The environment's `MEMCACHED_PORT_FILENAME`.
    pub port_file: Option<PathBuf>,
    /// The environment's `MEMCACHED_SASL_PWDB`.
    pub sasl_file: Option<PathBuf>,
}

impl Machine {
    /// This machine, as this process sees it.
    pub fn here() -> Self {
        let cpus = core_affinity::get_core_ids().unwrap_or_default();
        let path = |name| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        Self {
            cpus: cpus.into_iter().map(|cpu| cpu.id).collect(),
            is_root: Uid::effective().is_root(),
            port_file: path("MEMCACHED_PORT_FILENAME"),
            sasl_file: path("MEMCACHED_SASL_PWDB"),
        }
    }
}

impl Config {
    /// One core's share of the memory.
    pub fn memory_per_core(&self) -> usize {
        self.memory_limit / self.cores.len()
    }
}

/// Reads a command line, the program's name first.
pub fn parse<I>(arguments: I, machine: &Machine) -> Result<Request, ConfigError>
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let options = match Options::try_parse_from(arguments) {
        Ok(options) => options,
        Err(error) => return on_one_line(&error),
    };
    if options.license {
        return Ok(Request::Print(LICENSE.to_owned()));
    }
    checked(&options, machine).map(|config| Request::Run(Box::new(config)))
}

/// clap's own answer: a page that was asked for, or the first line of its complaint.
fn on_one_line(error: &clap::Error) -> Result<Request, ConfigError> {
    let text = error.render().to_string();
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Ok(Request::Print(text));
    }
    let complaint = text.lines().next().unwrap_or_default();
    let complaint = complaint.strip_prefix("error: ").unwrap_or(complaint);
    Err(ConfigError::line(format!("{complaint}; ringcached -h lists all options")))
}

fn checked(options: &Options, machine: &Machine) -> Result<Config, ConfigError> {
    if let Some((option, what)) = options.not_built() {
        return Err(ConfigError::not_built(option, what));
    }
    let mut notices = Vec::new();
    let (dialect, password_file) = access(options, machine, &mut notices)?;
    check_accepted(options, &mut notices)?;
    let mut extended = Extended::default();
    for list in &options.extended {
        suboptions::parse(list, &mut extended, &mut notices)?;
    }
    let (tls, security) = tls::tls(options, std::mem::take(&mut extended.tls), &mut notices)?;
    let manner = Manner { security, dialect };
    let network = network::network(options, &extended, manner, &mut notices)?;
    let securities = network.listen.iter().map(|listen| (listen.name.as_str(), listen.manner.security));
    tls::check_prefixes(securities, tls.as_ref())?;
    if let (Some(_), Some(other)) =
        (&password_file, network.listen.iter().find(|listen| listen.manner.dialect != dialect))
    {
        let complaint = "authentication is of one dialect: no other can be spoken beside it";
        return Err(ConfigError::bad(format_args!("-l {}", other.name), complaint));
    }
    let mebibytes = given("-m", options.memory.as_ref(), 1..=usize::MAX >> 20, MEMORY_MIB)?;
    let memory_limit = mebibytes << 20;
    let cores = cores(options, machine, memory_limit, &mut notices)?;
    network::check_shard_ports(&network, cores.len())?;
    Ok(Config {
        network,
        tuning: tuning::tuning(options)?,
        tls,
        udp_reply_max: extended.udp_reply_max.unwrap_or(UDP_REPLY_MAX),
        item_size_max: item_size_max(options, memory_limit)?,
        cores,
        memory_limit,
        conn_limit: given("-c", options.conn_limit.as_ref(), 1..=CONN_LIMIT_MAX, CONN_LIMIT)?,
        backlog: given("-b", options.backlog.as_ref(), 0..=i32::MAX, BACKLOG)?,
        requests_per_turn: given("-R", options.requests_per_turn.as_ref(), 1..=REQUESTS_MAX, REQUESTS_PER_TURN)?,
        huge_pages: options.large_pages,
        evict: !options.no_evict,
        cas: !options.no_cas,
        flush_enabled: !options.no_flush,
        shutdown_enabled: options.shutdown,
        dialect,
        password_file,
        dump_enabled: !options.no_dump,
        watch_enabled: !options.no_watch,
        prefix_delimiter: prefix_delimiter(options.prefix_delimiter.as_deref())?,
        detail_enabled: options.prefix_delimiter.is_some(),
        track_sizes: extended.track_sizes,
        debug_time: options.debug_time,
        strict_order: extended.strict_order,
        idle_timeout: extended.idle_timeout,
        verbosity: options.verbosity.min(3),
        daemon: options.daemon,
        user: account(options, machine, &mut notices)?,
        pidfile: options.pidfile.as_ref().map(|path| absolute("-P", path)).transpose()?,
        port_file: machine.port_file.as_ref().map(|path| absolute("MEMCACHED_PORT_FILENAME", path)).transpose()?,
        core_dumps: options.core_dumps,
        lock_memory: options.lock_memory,
        notices,
    })
}

fn prefix_delimiter(text: Option<&str>) -> Result<u8, ConfigError> {
    match text.map_or(&b":"[..], str::as_bytes) {
        [delimiter] => Ok(*delimiter),
        other => Err(ConfigError::bad("-D", format_args!("must be one character, not {:?}", other.escape_ascii()))),
    }
}

/// A descriptor is an `int`.
const CONN_LIMIT_MAX: usize = i32::MAX as usize;
/// memcached keeps `-R` in an `int` too.
const REQUESTS_MAX: usize = i32::MAX as usize;

fn given<T>(
    option: &str,
    text: Option<&String>,
    range: std::ops::RangeInclusive<T>,
    default: T,
) -> Result<T, ConfigError>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    text.map_or(Ok(default), |text| number(option, text, range))
}

/// Options that change nothing here, but whose values are still looked at.
fn check_accepted(options: &Options, notices: &mut Vec<String>) -> Result<(), ConfigError> {
    if let Some(text) = &options.slab_growth_factor {
        if !text.parse::<f64>().is_ok_and(|factor| factor > 1.0 && factor.is_finite()) {
            return Err(ConfigError::bad("-f", format_args!("must be a number above 1, not {text:?}")));
        }
        notices.push("-f: accepted without effect: there are no slabs".to_owned());
    }
    if let Some(text) = &options.slab_min_size {
        number("-n", text, 1..=i32::MAX)?;
        notices.push("-n: accepted without effect: there are no slabs".to_owned());
    }
    Ok(())
}

/// The dialect of all connections, and the file of those who may connect. Text has its own way to authenticate, SASL
/// that of the binary dialect: where one is asked for, the other dialect would be a way past it.
fn access(
    options: &Options,
    machine: &Machine,
    notices: &mut Vec<String>,
) -> Result<(Option<Dialect>, Option<PathBuf>), ConfigError> {
    let dialect = match options.protocol.as_deref() {
        None | Some("auto") => None,
        Some("ascii") => Some(Dialect::Text),
        Some("binary") => Some(Dialect::Binary),
        Some(other) => {
            return Err(ConfigError::bad("-B", format_args!("must be ascii, binary or auto, not {other:?}")));
        }
    };
    let file = options.auth_file.as_ref().map(PathBuf::from);
    let is_guarded = options.sasl || file.is_some();
    if is_guarded && options.udp_port.as_ref().is_some_and(|port| port != "0") {
        return Err(ConfigError::bad("-U", "UDP knows no authentication: it cannot be had together with -S or -Y"));
    }
    if options.sasl {
        if dialect == Some(Dialect::Text) || options.protocol.as_deref() == Some("auto") {
            return Err(ConfigError::bad(
                "-S",
                "only the binary protocol knows SASL: -B must be binary, or not be given",
            ));
        }
        let Some(file) = file.or_else(|| machine.sasl_file.clone()) else {
            return Err(ConfigError::bad("-S", "needs a password file: -Y FILE, or MEMCACHED_SASL_PWDB"));
        };
        return Ok((Some(Dialect::Binary), Some(absolute("-S", &file)?)));
    }
    let Some(file) = file else { return Ok((dialect, None)) };
    if dialect == Some(Dialect::Binary) {
        return Err(ConfigError::bad("-Y", "guards the text protocol: for -B binary add -S"));
    }
    if options.protocol.as_deref() == Some("auto") {
        notices.push("-B auto: taken as ascii: -Y guards the text protocol, and there is no other then".to_owned());
    }
    Ok((Some(Dialect::Text), Some(absolute("-Y", &file)?)))
}

fn cores(
    options: &Options,
    machine: &Machine,
    memory_limit: usize,
    notices: &mut Vec<String>,
) -> Result<Vec<Core>, ConfigError> {
    let threads = options.threads.as_ref().map(|text| number("-t", text, 1..=SHARDS_MAX)).transpose()?;
    let chosen = options.cpus.as_ref().map(|text| chosen_cpus(text, machine)).transpose()?;
    if let (Some(threads), Some(chosen)) = (threads, &chosen)
        && threads != chosen.len()
    {
        let count = chosen.len();
        return Err(ConfigError::bad("--cpus", format_args!("names {count} CPUs, but -t asks for {threads} cores")));
    }
    let cpus = chosen.unwrap_or_else(|| machine.cpus.clone());
    let wanted = threads.unwrap_or_else(|| cpus.len().clamp(1, SHARDS_MAX));
    if wanted < cpus.len() && threads.is_none() {
        notices.push(format!("{wanted} cores start on {} CPUs: there can be no more", cpus.len()));
    }
    let count = wanted.min((memory_limit / MEMORY_PER_CORE_MIN).max(1));
    if count < wanted {
        let (mebibytes, minimum) = (memory_limit >> 20, MEMORY_PER_CORE_MIN >> 20);
        notices.push(format!(
            "{count} instead of {wanted} cores start: each needs {minimum} MiB of the {mebibytes} MiB of -m"
        ));
    }
    let is_pinned = count <= cpus.len();
    let ids = (0..=u16::MAX).map(ShardId).take(count);
    Ok(ids.map(|id| Core { id, cpu: if is_pinned { cpus.get(id.index()).copied() } else { None } }).collect())
}

fn chosen_cpus(text: &str, machine: &Machine) -> Result<Vec<usize>, ConfigError> {
    let Some(cpus) = cpu_list(text) else {
        return Err(ConfigError::bad("--cpus", format_args!("must be a list such as 0,2-5, not {text:?}")));
    };
    if cpus.len() > SHARDS_MAX {
        return Err(ConfigError::bad("--cpus", format_args!("names more than {SHARDS_MAX} CPUs")));
    }
    for (at, cpu) in cpus.iter().enumerate() {
        if cpus[..at].contains(cpu) {
            return Err(ConfigError::bad("--cpus", format_args!("names CPU {cpu} twice")));
        }
        if !machine.cpus.contains(cpu) {
            return Err(ConfigError::bad("--cpus", format_args!("this process may not run on CPU {cpu}")));
        }
    }
    Ok(cpus)
}

fn item_size_max(options: &Options, memory_limit: usize) -> Result<usize, ConfigError> {
    let item = match &options.item_size {
        None => ITEM_SIZE_MAX,
        Some(text) => size(text)
            .filter(|size| ITEM_SIZE_MAX_RANGE.contains(size))
            .ok_or_else(|| ConfigError::bad("-I", format_args!("must be a size from 1k to 1024m, not {text:?}")))?,
    };
    let mebibytes = memory_limit >> 20;
    if item > memory_limit / 2 {
        let complaint = format_args!("an item of {item} bytes is more than half of the {mebibytes} MiB of -m");
        return Err(ConfigError::bad("-I", complaint));
    }
    Ok(item)
}

fn account(options: &Options, machine: &Machine, notices: &mut Vec<String>) -> Result<Option<Account>, ConfigError> {
    let Some(name) = &options.user else {
        if machine.is_root {
            notices.push("running as root; -u USER changes to another user".to_owned());
        }
        return Ok(None);
    };
    if !machine.is_root {
        notices.push(format!("-u {name}: without effect: only root can become another user"));
        return Ok(None);
    }
    match User::from_name(name) {
        Ok(Some(user)) => Ok(Some(Account { name: name.clone(), uid: user.uid, gid: user.gid })),
        Ok(None) => Err(ConfigError::bad("-u", format_args!("there is no user {name:?}"))),
        Err(error) => Err(ConfigError::bad("-u", format_args!("cannot look up user {name:?}: {}", error.desc()))),
    }
}

/// `-d` changes the directory, so a path is fixed before.
fn absolute(option: &str, path: &std::path::Path) -> Result<PathBuf, ConfigError> {
    std::path::absolute(path).map_err(|error| ConfigError::bad(option, format_args!("{}: {error}", path.display())))
}
