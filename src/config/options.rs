//! The command line as clap reads it: letters, long forms and the help page. Values stay text here; what they mean
//! and whether they are legal is decided in the parent module, so that every complaint has one shape.

use clap::{ArgAction, Parser};

/// What was written on the command line. Options that are hidden are not built, or have nothing to act on here.
#[derive(Parser, Debug)]
#[command(
    name = "ringcached",
    version,
    about = "ringcached: a memcached-compatible cache server, one core, one ring, one shard",
    override_usage = "ringcached [options]",
    help_template = PAGE,
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true,
    infer_long_args = true,
    max_term_width = 100
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct Options {
    #[arg(short = 'p', long = "port", value_name = "N", allow_hyphen_values = true, help_heading = NETWORK)]
    #[arg(help = "TCP port; -1 picks a free one, 0 is off [default: 11211, or that of -U]")]
    pub(super) port: Option<String>,

    #[arg(short = 'U', long = "udp-port", value_name = "N", allow_hyphen_values = true, help_heading = NETWORK)]
    #[arg(help = "UDP port, on all hosts of -l; -1 picks a free one, 0 is off [default: 0]")]
    pub(super) udp_port: Option<String>,

    #[arg(short = 's', long = "unix-socket", value_name = "FILE", help_heading = NETWORK)]
    #[arg(help = "Socket in the file system to listen on; no TCP then, unless -p or -l asks for it")]
    pub(super) unix_socket: Option<std::path::PathBuf>,

    #[arg(short = 'a', long = "unix-mask", value_name = "MODE", allow_hyphen_values = true, help_heading = NETWORK)]
    #[arg(help = "Who may use that socket: its access mode in octal [default: 700]")]
    pub(super) unix_mask: Option<String>,

    #[arg(short = 'l', long = "listen", value_name = "ADDR,..", action = ArgAction::Append, help_heading = NETWORK)]
    #[arg(help = "Addresses to listen on: HOST, HOST:PORT, [V6]:PORT; may be repeated; 0.0.0.0 is every IPv4 \
                  interface; notls:, btls: or mtls: before it speaks without TLS, with it, or with client \
                  certificates [default: 127.0.0.1, this machine only]")]
    pub(super) listen: Vec<String>,

    #[arg(short = 'c', long = "conn-limit", value_name = "N", allow_hyphen_values = true, help_heading = NETWORK)]
    #[arg(help = "Most client connections at a time; one more is told so and closed [default: 1024]")]
    pub(super) conn_limit: Option<String>,

    #[arg(short = 'b', long = "listen-backlog", value_name = "N", allow_hyphen_values = true, help_heading = NETWORK)]
    #[arg(help = "Connections that may wait to be accepted, per address and core [default: 1024]")]
    pub(super) backlog: Option<String>,

    #[arg(long = "shard-ports", value_name = "BASE", allow_hyphen_values = true, help_heading = NETWORK)]
    #[arg(help = "Besides -p let core N alone listen on port BASE+N, for clients that know which core has a key")]
    pub(super) shard_ports: Option<String>,

    #[arg(long = "incoming-cpu", help_heading = NETWORK)]
    #[arg(help = "Let the core pinned to the CPU that handles a connection's packets accept it")]
    pub(super) incoming_cpu: bool,

    #[arg(long = "busy-poll", value_name = "USECS", allow_hyphen_values = true, help_heading = NETWORK)]
    #[arg(help = "Let the kernel ask the network card for so long before it waits for it")]
    pub(super) busy_poll: Option<String>,

    #[arg(short = 'm', long = "memory-limit", value_name = "MIB", allow_hyphen_values = true, help_heading = MEMORY)]
    #[arg(help = "Memory for items, all cores together, in MiB [default: 64]")]
    pub(super) memory: Option<String>,

    #[arg(short = 'I', long = "max-item-size", value_name = "SIZE", allow_hyphen_values = true, help_heading = MEMORY)]
    #[arg(help = "Largest item in bytes, or with k or m in KiB or MiB: 1k to 1024m, at most half of one core's \
                  share of -m [default: 1m]")]
    pub(super) item_size: Option<String>,

    #[arg(short = 'M', long = "disable-evictions", help_heading = MEMORY)]
    #[arg(help = "When memory is full refuse to store instead of evicting")]
    pub(super) no_evict: bool,

    #[arg(short = 'L', long = "enable-largepages", help_heading = MEMORY)]
    #[arg(help = "Keep items on huge pages, where the kernel has some to give")]
    pub(super) large_pages: bool,

    #[arg(short = 'k', long = "lock-memory", help_heading = MEMORY)]
    #[arg(help = "Lock memory into RAM as it is touched")]
    pub(super) lock_memory: bool,

    #[arg(short = 't', long = "threads", value_name = "N", allow_hyphen_values = true, help_heading = CORES)]
    #[arg(
        help = "Cores to run, each with a thread and a shard of its own; up to the number of allowed CPUs they are \
                  pinned to the first N, above it they float [default: one per allowed CPU]"
    )]
    pub(super) threads: Option<String>,

    #[arg(long = "cpus", value_name = "LIST", help_heading = CORES)]
    #[arg(help = "Run one core pinned to each of these CPUs, as in 0,2-5; for several servers on one machine")]
    pub(super) cpus: Option<String>,

    #[arg(short = 'R', long = "max-reqs-per-event", value_name = "N", allow_hyphen_values = true, help_heading = CORES)]
    #[arg(help = "Requests one connection may run before others get their turn [default: 512]")]
    pub(super) requests_per_turn: Option<String>,

    #[arg(long = "spin-us", value_name = "USECS", allow_hyphen_values = true, help_heading = CORES)]
    #[arg(help = "How long a core that has nothing to do looks again before it sleeps [default: 0]")]
    pub(super) spin_us: Option<String>,

    #[arg(long = "ring-entries", value_name = "N", allow_hyphen_values = true, help_heading = CORES)]
    #[arg(help = "Operations that one turn of a core may queue, a power of two [default: 1024]")]
    pub(super) ring_entries: Option<String>,

    #[arg(long = "recv-buffers", value_name = "N", allow_hyphen_values = true, help_heading = CORES)]
    #[arg(help = "Buffers of 8 KiB that input lands in, for all connections of a core, a power of two [default: 512]")]
    pub(super) recv_buffers: Option<String>,

    #[arg(short = 'Z', long = "enable-ssl", help_heading = PROTOCOL)]
    #[arg(help = "Speak TLS on TCP; needs -o ssl_chain_cert")]
    pub(super) tls: bool,

    #[arg(short = 'A', long = "enable-shutdown", help_heading = PROTOCOL)]
    #[arg(help = "Allow clients the command shutdown")]
    pub(super) shutdown: bool,

    #[arg(short = 'F', long = "disable-flush-all", help_heading = PROTOCOL)]
    #[arg(help = "Refuse the command flush_all")]
    pub(super) no_flush: bool,

    #[arg(short = 'X', long = "disable-dumping", help_heading = PROTOCOL)]
    #[arg(help = "Refuse dumps of keys and stats detail")]
    pub(super) no_dump: bool,

    #[arg(short = 'W', long = "disable-watch", help_heading = PROTOCOL)]
    #[arg(help = "Refuse the command watch")]
    pub(super) no_watch: bool,

    #[arg(short = 'D', value_name = "CHAR", allow_hyphen_values = true, help_heading = PROTOCOL)]
    #[arg(help = "Count requests by the part of the key before this character from the start, as stats detail on \
                  does with a colon")]
    pub(super) prefix_delimiter: Option<String>,

    #[arg(short = 'C', long = "disable-cas", help_heading = PROTOCOL)]
    #[arg(help = "Keep no CAS uniques")]
    pub(super) no_cas: bool,

    #[arg(short = 'B', long = "protocol", value_name = "NAME", help_heading = PROTOCOL)]
    #[arg(help = "Protocol to speak: ascii, binary, or auto: as the first byte says [default: auto]")]
    pub(super) protocol: Option<String>,

    #[arg(short = 'Y', long = "auth-file", value_name = "FILE", allow_hyphen_values = true, help_heading = PROTOCOL)]
    #[arg(help = "Serve only the users of this file, lines user:password; SIGHUP reads it again")]
    pub(super) auth_file: Option<String>,

    #[arg(short = 'S', long = "enable-sasl", help_heading = PROTOCOL)]
    #[arg(help = "Authenticate by SASL, on the binary protocol alone; users from -Y or MEMCACHED_SASL_PWDB")]
    pub(super) sasl: bool,

    #[arg(short = 'd', long = "daemon", help_heading = PROCESS)]
    #[arg(help = "Go into the background once the start has succeeded")]
    pub(super) daemon: bool,

    #[arg(short = 'u', long = "user", value_name = "USER", help_heading = PROCESS)]
    #[arg(help = "When started as root continue as this user")]
    pub(super) user: Option<String>,

    #[arg(short = 'P', long = "pidfile", value_name = "FILE", help_heading = PROCESS)]
    #[arg(help = "Write the process id to this file; it is removed at the end")]
    pub(super) pidfile: Option<std::path::PathBuf>,

    #[arg(short = 'r', long = "enable-coredumps", help_heading = PROCESS)]
    #[arg(help = "Raise the limit for core dumps as far as allowed")]
    pub(super) core_dumps: bool,

    #[arg(short = 'v', long = "verbose", action = ArgAction::Count, help_heading = PROCESS)]
    #[arg(help = "Say more on stderr: -v notices, -vv debugging, -vvv everything")]
    pub(super) verbosity: u8,

    #[arg(short = 'h', long = "help", action = ArgAction::HelpShort, help_heading = PROCESS)]
    #[arg(help = "Print this page and exit")]
    help: Option<bool>,

    #[arg(short = 'V', long = "version", action = ArgAction::Version, help_heading = PROCESS)]
    #[arg(help = "Print the version and exit")]
    version: Option<bool>,

    #[arg(short = 'i', long = "license", help_heading = PROCESS)]
    #[arg(help = "Print the licence and exit")]
    pub(super) license: bool,

    #[arg(short = 'o', long = "extended", value_name = "NAME[=VALUE],..", action = ArgAction::Append)]
    #[arg(allow_hyphen_values = true, help_heading = EXTENDED, help = "One or more of the following; may be repeated")]
    pub(super) extended: Vec<String>,

    #[arg(short = 'f', long = "slab-growth-factor", hide = true, allow_hyphen_values = true)]
    pub(super) slab_growth_factor: Option<String>,
    #[arg(short = 'n', long = "slab-min-size", hide = true, allow_hyphen_values = true)]
    pub(super) slab_min_size: Option<String>,

    /// Allows `debugtime`, by which a test moves the server's clock.
    #[arg(long = "debug-time", hide = true)]
    pub(super) debug_time: bool,
    #[arg(short = 'e', long = "memory-file", hide = true, allow_hyphen_values = true)]
    pub(super) memory_file: Option<String>,
    #[arg(short = 'N', long = "napi_ids", hide = true, allow_hyphen_values = true)]
    pub(super) napi_ids: Option<String>,
}

const NETWORK: &str = "Network";
const MEMORY: &str = "Memory";
const CORES: &str = "Cores";
const PROTOCOL: &str = "Protocol";
const PROCESS: &str = "Process";
const EXTENDED: &str = "Extended options";

/// clap leaves the text of a template as it stands; keep its lines below 100 characters.
const PAGE: &str = "\
{about}

Usage: {usage}

{all-args}
        idle_timeout=SECONDS         Close connections that sent nothing for this long [default: 0, never]
        pipeline_order=owner|strict  What others may see of a pipeline before its replies: writes to
                                     different cores in any order, or in the order sent, which costs
                                     throughput [default: owner]
        udp_reply_max=BYTES          Largest reply to one datagram, 1392 to 1048576 [default: 65536]
        ssl_chain_cert=FILE          TLS: the server's certificate, then those above it, in PEM
        ssl_key=FILE                 TLS: the private key [default: the file of ssl_chain_cert]
        ssl_keyformat=PEM|DER        TLS: how the key is written [default: PEM]
        ssl_verify_mode=0|1|2|3      TLS: ask clients for a certificate: 0 no, 1 and 3 yes, 2 they must
                                     have one [default: 0]
        ssl_ca_cert=FILE             TLS: what clients' certificates are checked against, in PEM
        ssl_ciphers=NAME:..          TLS: cipher suites allowed with TLS 1.2, in OpenSSL's names
        ssl_min_version=tlsv1.2|tlsv1.3
                                     TLS: the oldest version spoken [default: tlsv1.2]
        ssl_session_cache            TLS: resume sessions also of clients that take no tickets
        maxconns_fast                Refuse connections above -c at once; this is always so
        track_sizes                  Let stats sizes count all items by size

memcached's options for its slabs, its LRU and its hash table are accepted and change nothing: -v
says which. Options for what is not built yet are refused. Nothing is ignored silently.

Examples:
  ringcached                               64 MiB in all, every allowed CPU, for this machine only
  ringcached -m 4096 -c 20000 -l 0.0.0.0   4 GiB for all who reach this machine, without a password
  ringcached -l 0.0.0.0 -Y /etc/rc.users   For those who know a password of the file
  ringcached -m 1024 --cpus 2-5            1 GiB, a quarter of it on each of four CPUs
  ringcached -s /run/ringcached/socket -a 770
  ringcached -Z -o ssl_chain_cert=server.pem,ssl_key=server.key -l 0.0.0.0 -l notls:127.0.0.1:11210
  ringcached -d -u cache -P /run/ringcached/ringcached.pid

Environment:
  MEMCACHED_PORT_FILENAME  File to write the ports to, of use with -p -1
  MEMCACHED_SASL_PWDB      Password file for -S without -Y
";

impl Options {
    /// The first option given for something that is not built yet, and what that is.
    pub(super) fn not_built(&self) -> Option<(&'static str, &'static str)> {
        [
            (self.memory_file.is_some(), "-e", "restarting with the items of a memory file"),
            (self.napi_ids.is_some(), "-N", "choosing cores by NAPI id"),
        ]
        .into_iter()
        .find_map(|(given, option, what)| given.then_some((option, what)))
    }
}
