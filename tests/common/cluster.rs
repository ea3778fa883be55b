//! Several engines joined by letters, without a runtime: time, the order of events and every delay are the test's.

#![allow(clippy::unwrap_used, dead_code, reason = "a test may panic; not every test uses all of it")]

use std::collections::VecDeque;
use std::sync::Arc;

use ringcached::engine::{Access, Address, AdminConfig, Engine, EngineConfig, FactSource, Outgoing, Peer};
use ringcached::lending::GaveBack;
use ringcached::memory::Budget;
use ringcached::metrics::ProcessFacts;
use ringcached::protocol::Chunk;
use ringcached::session::letter::{ConnectionId, Letter};
use ringcached::store::ShardConfig;
use ringcached::terms::{Now, ShardId};

/// A process that is not there.
#[derive(Debug)]
pub(crate) struct NoFacts;

impl FactSource for NoFacts {
    fn facts(&self, now: Now) -> ProcessFacts<'_> {
        ProcessFacts {
            pid: 1,
            uptime_s: now.monotonic_ms / 1000,
            unix_time_s: now.unix_ms / 1000,
            version: "1.6.45-ringcached-test",
            rusage_user_us: 0,
            rusage_system_us: 0,
            max_connections: 1024,
            threads: 1,
            ..ProcessFacts::default()
        }
    }

    fn verbosity(&self) -> u32 {
        0
    }
}

/// The configuration that tests start from.
pub(crate) fn config() -> EngineConfig {
    EngineConfig {
        shard: ShardConfig {
            id: ShardId(0),
            shards: 1,
            budget: Arc::new(Budget::new(64 << 20)),
            item_size_max: 1 << 20,
            evict: true,
            cas: true,
            huge_pages: false,
            hash_seed: [7, 11],
        },
        requests_per_turn: 512,
        strict_order: false,
        flush_enabled: true,
        shutdown_enabled: false,
        access: Access::default(),
        admin: AdminConfig::default(),
        idle_timeout_ms: None,
        has_tls: false,
        version: "1.6.45-ringcached-test",
        settings: vec![("maxbytes", "0".to_owned()), ("verbosity", "0".to_owned())],
        listeners: Vec::new(),
        facts: Arc::new(NoFacts),
    }
}

/// A connection of a cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Client {
    pub(crate) core: usize,
    pub(crate) id: ConnectionId,
}

/// Engines joined by letters.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) engines: Vec<Engine>,
    /// Letters under way: `[from][to]`, first in first out.
    pub(crate) letters: Vec<Vec<VecDeque<Box<Letter>>>>,
    pub(crate) now: Now,
    /// Now and then a core is asleep when there are letters for it, and who has them serves them there.
    pub(crate) naps: Option<Random>,
    next_index: Vec<u32>,
    /// Whether a client's conversation was ended by its engine.
    ended: Vec<Client>,
}

impl Cluster {
    /// A cluster of `cores` engines, each which share as much memory as `config` says.
    pub(crate) fn new(cores: u16, config: &EngineConfig) -> Self {
        let now = Now { monotonic_ms: 10_000, unix_ms: 1_800_000_000_000 };
        let budget = Arc::new(Budget::new(config.shard.budget.limit()));
        let engine = |id| {
            let mut config = config.clone();
            config.shard.id = ShardId(id);
            config.shard.shards = cores;
            config.shard.budget = Arc::clone(&budget);
            Engine::new(config, now).unwrap()
        };
        Self {
            engines: (0..cores).map(engine).collect(),
            letters: (0..cores).map(|_| (0..cores).map(|_| VecDeque::new()).collect()).collect(),
            now,
            naps: None,
            next_index: vec![0; usize::from(cores)],
            ended: Vec::new(),
        }
    }

    /// With cores that sleep now and then, for every other seed.
    pub(crate) fn napping(mut self, seed: u64) -> Self {
        self.naps = seed.is_multiple_of(2).then_some(Random(seed));
        self
    }

    /// Connects a client to one core.
    pub(crate) fn connect(&mut self, core: usize) -> Client {
        self.connect_from(core, Address::Tcp(([127, 0, 0, 1], 11211).into()))
    }

    /// Connects a client with this address to one core.
    pub(crate) fn connect_from(&mut self, core: usize, address: Address) -> Client {
        let id = ConnectionId { index: self.next_index[core], generation: 0 };
        self.next_index[core] += 1;
        self.engines[core].open(
            id,
            Peer { descriptor: 3, remote: address.clone(), local: address, dialect: None },
            self.now,
        );
        Client { core, id }
    }

    /// Moves time on.
    pub(crate) fn advance(&mut self, ms: u64) {
        self.now.monotonic_ms += ms;
        self.now.unix_ms += ms;
        for engine in &mut self.engines {
            engine.tick(self.now);
        }
    }

    /// A client sends.
    pub(crate) fn send(&mut self, client: Client, bytes: &[u8]) {
        self.engines[client.core].receive(client.id, bytes, self.now);
        self.collect(client.core);
    }

    /// A client says that it will send nothing more.
    pub(crate) fn finish(&mut self, client: Client) {
        self.engines[client.core].end_of_input(client.id, self.now);
        self.collect(client.core);
    }

    /// Whether a client's socket would be read.
    pub(crate) fn is_read(&mut self, client: Client) -> bool {
        self.engines[client.core].wants(client.id).read
    }

    /// A client takes what is ready for it.
    pub(crate) fn receive(&mut self, client: Client) -> Vec<u8> {
        let engine = &mut self.engines[client.core];
        if !engine.wants(client.id).send {
            return Vec::new();
        }
        let bytes = match engine.take_output(client.id) {
            Some(Outgoing::Single(bytes)) => bytes,
            Some(Outgoing::Chunks(chunks)) => chunks.iter().flat_map(Chunk::as_bytes).copied().collect(),
            None => return Vec::new(),
        };
        engine.sent(client.id, None, self.now);
        if engine.wants(client.id).close {
            engine.close(client.id);
            self.ended.push(client);
        }
        self.collect(client.core);
        bytes
    }

    /// Whether the server has closed the connection.
    pub(crate) fn is_closed(&mut self, client: Client) -> bool {
        if !self.ended.contains(&client) && self.engines[client.core].wants(client.id).close {
            self.engines[client.core].close(client.id);
            self.ended.push(client);
        }
        self.ended.contains(&client)
    }

    /// Delivers the letter that has been under way longest from one core to another. Whether there was one.
    pub(crate) fn deliver(&mut self, from: usize, to: usize) -> bool {
        let Some(letter) = self.letters[from][to].pop_front() else { return false };
        self.engines[to].deliver_all(&mut vec![letter], self.now);
        self.collect(to);
        true
    }

    /// Delivers all letters that are under way from one core to another, at once. Whether there was one.
    fn deliver_all(&mut self, from: usize, to: usize) -> bool {
        let mut letters: Vec<_> = self.letters[from][to].drain(..).collect();
        let any = !letters.is_empty();
        self.engines[to].deliver_all(&mut letters, self.now);
        self.collect(to);
        any
    }

    /// Runs a core's connections that were not finished. Whether some still are not.
    pub(crate) fn run(&mut self, core: usize) -> bool {
        let more = self.engines[core].run(self.now);
        self.collect(core);
        more
    }

    /// Delivers everything, and everything that follows from it.
    pub(crate) fn settle(&mut self) {
        let cores = self.engines.len();
        loop {
            let mut busy = false;
            for from in 0..cores {
                busy |= self.run(from);
                for to in 0..cores {
                    busy |= self.deliver_all(from, to);
                }
            }
            if !busy {
                return;
            }
        }
    }

    /// Sends, settles and receives, until nothing more comes.
    pub(crate) fn exchange(&mut self, client: Client, bytes: &[u8]) -> Vec<u8> {
        self.send(client, bytes);
        let mut received = Vec::new();
        loop {
            self.settle();
            let part = self.receive(client);
            if part.is_empty() {
                return received;
            }
            received.extend(part);
        }
    }

    /// Serves letters of `core` at the desks of cores that sleep, as the server does. Whether there were any.
    fn run_errands(&mut self, core: usize) -> bool {
        let mut home = Vec::new();
        for to in (0..self.engines.len()).filter(|&to| to != core) {
            let mut letters = std::mem::take(self.engines[core].outbox(ShardId(u16::try_from(to).unwrap())));
            let are_own = letters.iter().all(|letter| usize::from(letter.home.0) == core);
            if !letters.is_empty()
                && are_own
                && self.letters[core][to].is_empty()
                && self.naps.as_mut().is_some_and(|random| random.once(2))
            {
                home.extend(self.letters[to][core].drain(..));
                let desk = self.engines[to].desk();
                let serve = || {
                    let mut lent = desk.borrow().expect("it sleeps");
                    let served = lent.serve(&mut letters, self.now);
                    assert_eq!(lent.give_back(), GaveBack::Quietly);
                    served
                };
                let served = self.engines[to].lend_while(serve, || panic!("it has been given back"));
                home.extend(letters.drain(..served));
            }
            *self.engines[core].outbox(ShardId(u16::try_from(to).unwrap())) = letters;
        }
        let any = !home.is_empty();
        self.engines[core].deliver_all(&mut home, self.now);
        any
    }

    fn collect(&mut self, core: usize) {
        while self.engines[core].next_changed().is_some() {}
        while self.run_errands(core) {}
        for to in 0..self.engines.len() {
            let letters = self.engines[core].outbox(ShardId(u16::try_from(to).unwrap()));
            self.letters[core][to].extend(letters.drain(..));
        }
    }
}

/// Small numbers from a seed (`SplitMix64`).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub u64);

impl Random {
    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }

    /// True once in `in_a` times.
    pub(crate) fn once(&mut self, in_a: usize) -> bool {
        self.below(in_a) == 0
    }
}

/// The seeds to run: `RINGCACHED_SEED` alone if it is set, otherwise the first `count`.
pub(crate) fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("RINGCACHED_SEED") {
        Ok(seed) => vec![seed.parse().expect("RINGCACHED_SEED is a number")],
        Err(_) => (1..=count).collect(),
    }
}
