//! The data plane: one executor per core.
//!
//! [`startup`] prepares the process and opens the [`listener`]s, [`Server::start`] starts the cores, each running the
//! loop of `core.rs`, and [`Server::stop`] ends them in good order.

mod clock;
mod core;
mod facts;
pub mod listener;
mod mesh;
pub mod startup;
pub mod tls;
mod udp;
mod unix;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};
use ringcached_ring::Options as RingOptions;

use self::clock::Clock;
use self::core::Core;
use self::facts::Facts;
use self::listener::Door;
use self::mesh::{Contact, MeshEnd, mesh};
use self::startup::StartError;
use self::tls::TlsContexts;
use crate::auth::UserSource;
use crate::config::{Config, Tuning};
use crate::engine::{Access, AdminConfig, EngineConfig};
use crate::memory::Budget;
use crate::protocol::ShutdownMode;
use crate::store::ShardConfig;
use crate::terms::ShardId;

/// What `version` answers: client libraries parse the number, which is that of the memcached we answer like.
pub const VERSION: &str = concat!("1.6.45-ringcached-", env!("CARGO_PKG_VERSION"));

/// A core has failed, and the process with it.
const EXIT_CORE_LOST: i32 = 1;

/// Memory that each executor registers for its own disk I/O, which we do not use: its default is 10 MiB.
const EXECUTOR_IO_MEMORY: usize = 64 << 10;
/// Entries of the executor's own rings, which carry its timers.
const EXECUTOR_RING_DEPTH: usize = 64;
/// How often the executor looks after its own rings while the core is busy. It may fall asleep with a ready task if it
/// is not given the CPU for this long at the wrong moment (ARCHITECTURE, waiting), so it is long; the core itself
/// waits in a ring of its own and does not depend on it.
const EXECUTOR_PREEMPT_PERIOD: Duration = Duration::from_secs(1);
/// A timer of the executor that is always under way, so that such a sleep ends.
const EXECUTOR_HEARTBEAT: Duration = Duration::from_millis(500);

/// The few words that all cores share. None is touched between parse and reply.
#[derive(Debug)]
struct Shared {
    /// Connections of all cores, changed when one is accepted or closed.
    connections: AtomicUsize,
    connection_limit: usize,
    /// Set once, when the server is to stop.
    stopping: AtomicBool,
    /// Cores that have stopped and have nothing under way.
    quiet_cores: AtomicUsize,
    /// How much is logged, as `stats settings` shows it.
    verbosity: AtomicU32,
    /// When the files of TLS were last read, in milliseconds since the start.
    tls_refreshed_ms: AtomicU64,
    /// Most bytes of a reply by UDP.
    udp_reply_max: usize,
    tuning: Tuning,
    hooks: Hooks,
}

impl Shared {
    fn ring_options(&self) -> RingOptions {
        let Tuning { ring_entries: entries, recv_buffers: buffers, .. } = self.tuning;
        let default = RingOptions::default();
        // What completes at once is more than what one turn queues: each receive goes on and on.
        let completion_entries = default.completion_entries.max(entries * 2);
        RingOptions { entries, buffers, completion_entries, ..default }
    }
}

/// What clients may ask of the process as a whole; the control plane does it.
#[derive(Clone, Copy, Debug)]
pub struct Hooks {
    /// Stop the server, as the signal of this mode would.
    pub stop: fn(ShutdownMode),
    /// Log this much from now on; returns how much that turned out to be.
    pub set_verbosity: fn(u32) -> u32,
    /// Read the files of TLS again, then tell the cores by [`Server::refreshed`].
    pub refresh: fn(),
}

/// What the control plane tells a core.
#[derive(Clone, Debug)]
enum Order {
    /// Make new connections from these.
    Renew(Arc<TlsContexts>),
    /// Answer whoever has asked for the files of TLS to be read again, or say why that failed.
    Answer(Result<(), Arc<str>>),
}

/// Running cores.
#[derive(Debug)]
pub struct Server {
    cores: Vec<ExecutorJoinHandle<io::Result<()>>>,
    contacts: Arc<[Contact]>,
    orders: Vec<mpsc::Sender<Order>>,
    clock: Clock,
    shared: Arc<Shared>,
}

impl Server {
    /// Starts a core for each in `config`, with its doors; returns when all of them serve. `users` are those who may
    /// talk to it, if not everybody. Doors that ask for TLS need `tls`.
    pub fn start(
        config: &Config,
        doors: Vec<Vec<Door>>,
        users: Option<Arc<dyn UserSource>>,
        tls: Option<TlsContexts>,
        hooks: Hooks,
    ) -> Result<Self, StartError> {
        let tls = tls.map(Arc::new);
        let clock = Clock::start(config.debug_time);
        let shared = Arc::new(Shared {
            connections: AtomicUsize::new(0),
            connection_limit: config.conn_limit,
            stopping: AtomicBool::new(false),
            quiet_cores: AtomicUsize::new(0),
            verbosity: AtomicU32::new(u32::from(config.verbosity)),
            tls_refreshed_ms: AtomicU64::new(0),
            udp_reply_max: config.udp_reply_max,
            tuning: config.tuning,
            hooks,
        });
        let ends =
            mesh(config.cores.len()).map_err(|error| StartError::new(format!("cannot make doorbells: {error}")))?;
        let Some(contacts) = ends.first().map(|end| Arc::clone(end.contacts())) else {
            return Err(StartError::new("no CPU to run on"));
        };
        let access = Access { dialect: config.dialect, users };
        let engine = engine_config(config, access, &shared)?;
        let (report, reports) = mpsc::channel();
        let (mut cores, mut orders) = (Vec::new(), Vec::new());
        for ((core, doors), end) in config.cores.iter().zip(doors).zip(ends) {
            let placement = core.cpu.map_or(Placement::Unbound, Placement::Fixed);
            let mut engine = engine.clone();
            engine.shard.id = core.id;
            let (order, core_orders) = mpsc::channel();
            orders.push(order);
            let (shared, tls) = (Arc::clone(&shared), tls.clone());
            let parts = CoreParts { engine, doors, end, clock: clock.clone(), shared, tls, orders: core_orders };
            let report = report.clone();
            let handle = LocalExecutorBuilder::new(placement)
                .name(&format!("core-{}", core.id.0))
                .io_memory(EXECUTOR_IO_MEMORY)
                .ring_depth(EXECUTOR_RING_DEPTH)
                .preempt_timer(EXECUTOR_PREEMPT_PERIOD)
                .spawn(move || run_core(parts, report))
                .map_err(|error| StartError::new(format!("cannot start core {}: {error}", core.id.0)))?;
            cores.push(handle);
        }
        let server = Self { cores, contacts, orders, clock, shared };
        for _ in &server.cores {
            if let Ok(Err(error)) = reports.recv() {
                return Err(startup::explain_core(&error));
            }
        }
        Ok(server)
    }

    /// Tells all cores that the files of TLS were read again, or why that failed: then all stays as it was. New
    /// connections are made from them; those that are open do not notice.
    pub fn refreshed(&mut self, outcome: Result<TlsContexts, String>) {
        let answer = match outcome {
            Ok(contexts) => {
                let now_ms = Clock::uptime_ms(self.clock.now());
                self.shared.tls_refreshed_ms.store(now_ms, Ordering::Relaxed);
                // All cores first: once any of them has answered, none makes a connection from the former files.
                self.order(&Order::Renew(Arc::new(contexts)));
                Ok(())
            }
            Err(why) => Err(Arc::from(why)),
        };
        self.order(&Order::Answer(answer));
        self.contacts.iter().for_each(Contact::ring);
    }

    fn order(&self, order: &Order) {
        for core in &self.orders {
            // A core that has ended needs to know nothing any more.
            let _ = core.send(order.clone());
        }
    }

    /// Stops accepting, answers what is under way on all cores, and ends them: within about 0.8 s even if clients do
    /// not read.
    pub fn stop(self) -> io::Result<()> {
        self.shared.stopping.store(true, Ordering::Release);
        self.contacts.iter().for_each(Contact::ring);
        let mut outcome = Ok(());
        for core in self.cores {
            match core.join() {
                Ok(ended) => outcome = outcome.and(ended),
                Err(error) => outcome = Err(io::Error::other(error.to_string())),
            }
        }
        outcome
    }
}

/// What goes to the thread of one core.
struct CoreParts {
    engine: EngineConfig,
    doors: Vec<Door>,
    end: MeshEnd,
    clock: Clock,
    shared: Arc<Shared>,
    tls: Option<Arc<TlsContexts>>,
    orders: mpsc::Receiver<Order>,
}

async fn run_core(parts: CoreParts, report: mpsc::Sender<io::Result<()>>) -> io::Result<()> {
    match Core::new(parts) {
        Ok(core) => {
            // The main thread waits for the report, unless another core failed to start.
            let _ = report.send(Ok(()));
            drop(report);
            let heartbeat = glommio::spawn_local(async {
                loop {
                    glommio::timer::sleep(EXECUTOR_HEARTBEAT).await;
                }
            });
            let ended = core.run().await;
            heartbeat.cancel().await;
            if let Err(error) = &ended {
                // Its keys would never be answered again: better that whoever watches the process starts it anew.
                tracing::error!("a core can no longer serve: {error}");
                std::process::exit(EXIT_CORE_LOST);
            }
            ended
        }
        Err(error) => {
            let _ = report.send(Err(error));
            Ok(())
        }
    }
}

fn engine_config(config: &Config, access: Access, shared: &Arc<Shared>) -> Result<EngineConfig, StartError> {
    let shards = u16::try_from(config.cores.len()).map_err(|_| StartError::new("too many cores"))?;
    let mut seed = [0; 16];
    getrandom(&mut seed)?;
    let (low, high) = seed.split_at(8);
    let word = |bytes: &[u8]| bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
    Ok(EngineConfig {
        shard: ShardConfig {
            id: ShardId(0),
            shards,
            budget: Arc::new(Budget::new(config.memory_limit)),
            item_size_max: config.item_size_max,
            evict: config.evict,
            cas: config.cas,
            huge_pages: config.huge_pages,
            hash_seed: [word(low), word(high)],
        },
        requests_per_turn: config.requests_per_turn,
        strict_order: config.strict_order,
        flush_enabled: config.flush_enabled,
        shutdown_enabled: config.shutdown_enabled,
        access,
        admin: AdminConfig {
            dump_enabled: config.dump_enabled,
            watch_enabled: config.watch_enabled,
            prefix_delimiter: config.prefix_delimiter,
            detail_enabled: config.detail_enabled,
            track_sizes: config.track_sizes,
            debug_time: config.debug_time,
        },
        idle_timeout_ms: config.idle_timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
        has_tls: config.tls.is_some(),
        version: VERSION,
        settings: config.settings(),
        listeners: Vec::new(),
        facts: Arc::new(Facts::new(config, Arc::clone(shared))),
    })
}

/// Random bytes from the kernel, for the key of the index hash.
fn getrandom(bytes: &mut [u8]) -> Result<(), StartError> {
    use std::io::Read as _;
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(bytes))
        .map_err(|error| StartError::new(format!("cannot read /dev/urandom: {error}")))
}
