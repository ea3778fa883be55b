//! Random requests of the whole classic protocol, as bytes through engines joined by letters, against an oracle of one
//! page. A cache with too little memory may forget, but never more than it counts as evicted, and what it still gives
//! is what the oracle has.
//!
//! `RINGCACHED_SEED=n` runs one seed alone.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "common/cluster.rs"]
mod cluster;
#[path = "common/oracle.rs"]
mod oracle;

use std::fmt::Write;
use std::sync::Arc;

use ringcached::memory::Budget;

use cluster::{Client, Cluster, Random, config, seeds};
use oracle::{Item, Oracle, Request};

/// What a run is made from.
#[derive(Clone, Copy)]
struct Plan {
    cores: u16,
    /// For each core.
    memory_limit: usize,
    value_len_max: usize,
    keys: usize,
    batches: usize,
    /// The most requests that are sent in one piece.
    pipeline: usize,
    /// Whether the memory may be too little.
    pressure: bool,
}

const ROOMY: Plan = Plan {
    cores: 1,
    memory_limit: 64 << 20,
    value_len_max: 40_000,
    keys: 12,
    batches: 120,
    pipeline: 12,
    pressure: false,
};

/// Far more keys than fit, and one request at a time, so that a loss is seen where it shows.
const TIGHT: Plan = Plan {
    cores: 1,
    memory_limit: 64 << 10,
    value_len_max: 4000,
    keys: 100,
    batches: 500,
    pipeline: 1,
    pressure: true,
};

/// A cluster and its oracle.
struct Pair {
    plan: Plan,
    seed: u64,
    random: Random,
    cluster: Cluster,
    clients: Vec<Client>,
    oracle: Oracle,
    /// Uniques that clients have learnt; items may have newer ones.
    learnt: Vec<u64>,
    /// Items of the oracle that the cluster did not have any more.
    lost: u64,
}

impl Pair {
    fn new(plan: Plan, seed: u64) -> Self {
        let mut config = config();
        config.shard.budget = Arc::new(Budget::new(plan.memory_limit * usize::from(plan.cores)));
        config.shard.item_size_max = plan.value_len_max;
        let mut cluster = Cluster::new(plan.cores, &config).napping(seed);
        let clients = (0..plan.cores * 2).map(|number| cluster.connect(usize::from(number % plan.cores))).collect();
        let oracle = Oracle::new(cluster.now.unix_ms, plan.value_len_max);
        Self { plan, seed, random: Random(seed), cluster, clients, oracle, learnt: Vec::new(), lost: 0 }
    }

    fn run(&mut self) {
        for _ in 0..self.plan.batches {
            if self.random.once(3) {
                // The server's clock for expiry has tenths of a second; whole ones leave nothing to rounding.
                let tenths = [1, 9, 10, 35, 600][self.random.below(5)];
                self.cluster.advance(tenths * 100);
                self.oracle.set_time(self.cluster.now.unix_ms);
            }
            let count = 1 + self.random.below(self.plan.pipeline);
            let requests: Vec<(Request, bool)> = (0..count).map(|_| self.request()).collect();
            let bytes: Vec<u8> = requests.iter().flat_map(|(request, noreply)| written(request, *noreply)).collect();
            let client = self.clients[self.random.below(self.clients.len())];
            if self.random.once(2) {
                // As the server does with what several connections sent; the other one is gone before its turn.
                let others = self.clients[self.random.below(self.clients.len())];
                let inputs = [(others.id, &b"get key1\r\n"[..]), (client.id, &bytes[..])];
                self.cluster.engines[client.core].foresee(inputs.into_iter());
            }
            let reply = self.cluster.exchange(client, &bytes);
            self.cluster.engines[client.core].end_foresight();
            let mut rest = reply.as_slice();
            for (request, noreply) in &requests {
                self.compare(request, *noreply, &mut rest);
            }
            assert!(rest.is_empty(), "seed {}: replies to nothing: {}", self.seed, rest.escape_ascii());
            self.check_memory();
        }
    }

    /// Takes the reply to one request off the front of `rest` and compares it with the oracle's.
    fn compare(&mut self, request: &Request, noreply: bool, rest: &mut &[u8]) {
        let seed = self.seed;
        if let Request::Get { keys, with_cas, exptime } = request {
            for key in keys {
                let expected = self.oracle.get(key, *exptime);
                let shown = take_value(rest, key, *with_cas);
                self.compare_item(key, expected, shown);
            }
            assert_eq!(take_line(rest), "END", "seed {seed}: {request:?}");
            return;
        }
        let before = key_of(request).and_then(|key| self.oracle.items.get_key_value(key));
        let before = before.map(|(key, item)| (key.clone(), item.clone()));
        let mut expected = self.oracle.change(request);
        if noreply {
            return;
        }
        let reply = take_line(rest);
        if let Some((key, item)) = before
            && reply != expected
        {
            // The only excuse: the item was gone. Then all else must be as if it had never been.
            self.lose(&key, &item);
            expected = self.oracle.change(request);
        }
        assert_eq!(reply, expected, "seed {seed}: {request:?}");
    }

    fn compare_item(&mut self, key: &str, expected: Option<Item>, shown: Option<Shown>) {
        let seed = self.seed;
        match (expected, shown) {
            (None, None) => {}
            (Some(expected), None) => self.lose(key, &expected),
            (None, Some(shown)) => panic!("seed {seed}: {key} is dead but shown: {shown:?}"),
            (Some(expected), Some(shown)) => {
                assert_eq!(shown.flags, expected.flags, "seed {seed}: flags of {key}");
                assert!(shown.value == expected.value, "seed {seed}: the value of {key} is another");
                let Some(unique) = shown.unique else { return };
                match expected.unique {
                    Some(known) => assert_eq!(unique, known, "seed {seed}: {key} was not changed"),
                    None => assert!(!self.learnt.contains(&unique), "seed {seed}: {unique} of {key} is not new"),
                }
                self.learnt.push(unique);
                if let Some(item) = self.oracle.items.get_mut(key) {
                    item.unique = Some(unique);
                }
            }
        }
    }

    /// The cluster does not have an item that the oracle has.
    fn lose(&mut self, key: &str, item: &Item) {
        let len = item.value.len();
        self.lost += 1;
        assert!(self.lost <= self.evictions(), "seed {}: {key} of {len} bytes is lost, not evicted", self.seed);
        self.oracle.items.remove(key);
    }

    fn evictions(&self) -> u64 {
        self.cluster.engines.iter().map(|engine| engine.shard().stats().evictions).sum()
    }

    fn check_memory(&self) {
        for engine in &self.cluster.engines {
            engine.shard().verify();
            let stats = engine.shard().stats();
            assert!(stats.bytes <= stats.limit_maxbytes, "seed {}: {stats:?}", self.seed);
        }
        assert!(self.plan.pressure || self.evictions() == 0, "seed {}: there was room for all", self.seed);
    }

    fn request(&mut self) -> (Request, bool) {
        let key = self.key();
        let exptime = self.exptime();
        let request = match self.random.below(40) {
            0..12 => {
                let more = if self.random.once(4) { self.random.below(20) } else { 0 };
                let keys = (0..more).map(|_| self.key()).chain([key]).collect();
                Request::Get { keys, with_cas: self.random.once(2), exptime: self.random.once(5).then_some(exptime) }
            }
            12..30 => self.store(key, exptime),
            30..33 => Request::Delete { key },
            33..37 => {
                let verb = ["incr", "decr"][self.random.below(2)];
                let delta = [0, 1, 7, 1000, u64::MAX][self.random.below(5)];
                Request::Arithmetic { verb, key, delta }
            }
            37..39 => Request::Touch { key, exptime },
            _ if self.random.once(4) => Request::FlushAll { delay: exptime },
            _ => Request::Delete { key },
        };
        let may_be_silent = match &request {
            Request::Get { .. } => false,
            // Whether a silent add found the item or its loss cannot be seen afterwards.
            Request::Store { verb, .. } => !(self.plan.pressure && *verb == "add"),
            _ => true,
        };
        (request, may_be_silent && self.random.once(5))
    }

    fn store(&mut self, key: String, exptime: i64) -> Request {
        let verb = ["set", "set", "set", "set", "add", "replace", "append", "prepend", "cas", "cas"];
        let verb = verb[self.random.below(verb.len())];
        let unique = (verb == "cas").then(|| {
            let known = self.oracle.items.get(&key).and_then(|item| item.unique);
            match known {
                Some(unique) if !self.random.once(3) => unique,
                _ if self.learnt.is_empty() => 0,
                // Of an earlier version, or of another item.
                _ => self.learnt[self.random.below(self.learnt.len())],
            }
        });
        let flags = [0, 7, u32::MAX][self.random.below(3)];
        let value = self.value();
        Request::Store { verb, key, flags, exptime, value, unique }
    }

    fn key(&mut self) -> String {
        let number = self.random.below(self.plan.keys);
        // One of them as long as a key may be.
        if number == 0 { "k".repeat(250) } else { format!("key{number}") }
    }

    fn exptime(&mut self) -> i64 {
        // Where memory is to run out, most items live on.
        if !self.random.once(if self.plan.pressure { 10 } else { 2 }) {
            return 0;
        }
        let absolute = i64::try_from(self.cluster.now.unix_ms / 1000).unwrap();
        [1, 5, 60, 600, 2_592_000, -1, absolute - 1, absolute, absolute + 3, absolute + 900][self.random.below(10)]
    }

    fn value(&mut self) -> Vec<u8> {
        let most = self.plan.value_len_max;
        let len = match self.random.below(20) {
            0..8 => {
                return [&b"0"[..], b"99", b"18446744073709551615", b"1 ", b"-1", b""][self.random.below(6)].to_vec();
            }
            8..14 => self.random.below(300),
            14..18 => self.random.below(most),
            18 => most,
            _ => most + 1 + self.random.below(100),
        };
        let letter = u8::try_from(self.random.below(26)).unwrap() + b'a';
        let mut value = vec![letter; len];
        if let [.., first, last] = &mut value[..] {
            (*first, *last) = (b'\r', b'\n');
        }
        value
    }
}

/// An item as a reply shows it.
#[derive(Debug)]
struct Shown {
    flags: u32,
    value: Vec<u8>,
    unique: Option<u64>,
}

/// Takes the item under `key` off the front of `rest`, if it stands there.
fn take_value(rest: &mut &[u8], key: &str, with_cas: bool) -> Option<Shown> {
    if !rest.starts_with(format!("VALUE {key} ").as_bytes()) {
        return None;
    }
    let line = take_line(rest);
    let numbers: Vec<u64> = line.split(' ').skip(2).map(|number| number.parse().unwrap()).collect();
    assert_eq!(numbers.len(), if with_cas { 3 } else { 2 }, "{line}");
    let (value, behind) = rest.split_at(usize::try_from(numbers[1]).unwrap());
    *rest = behind.strip_prefix(b"\r\n").expect("a line end behind a value");
    Some(Shown { flags: u32::try_from(numbers[0]).unwrap(), value: value.to_vec(), unique: numbers.get(2).copied() })
}

fn take_line(rest: &mut &[u8]) -> String {
    let len = rest.windows(2).position(|two| two == b"\r\n").expect("a whole line");
    let (line, behind) = rest.split_at(len);
    *rest = &behind[2..];
    String::from_utf8(line.to_vec()).unwrap()
}

fn key_of(request: &Request) -> Option<&str> {
    match request {
        Request::Get { .. } | Request::FlushAll { .. } => None,
        Request::Store { key, .. }
        | Request::Delete { key }
        | Request::Arithmetic { key, .. }
        | Request::Touch { key, .. } => Some(key),
    }
}

/// The bytes of a request.
fn written(request: &Request, noreply: bool) -> Vec<u8> {
    let mut line = match request {
        Request::Get { keys, with_cas, exptime } => {
            let s = if *with_cas { "s" } else { "" };
            let keys = keys.join(" ");
            exptime.map_or_else(|| format!("get{s} {keys}"), |exptime| format!("gat{s} {exptime} {keys}"))
        }
        Request::Store { verb, key, flags, exptime, value, unique } => {
            let mut line = format!("{verb} {key} {flags} {exptime} {}", value.len());
            if let Some(unique) = unique {
                write!(line, " {unique}").unwrap();
            }
            line
        }
        Request::Delete { key } => format!("delete {key}"),
        Request::Arithmetic { verb, key, delta } => format!("{verb} {key} {delta}"),
        Request::Touch { key, exptime } => format!("touch {key} {exptime}"),
        Request::FlushAll { delay } => format!("flush_all {delay}"),
    };
    line.push_str(if noreply { " noreply\r\n" } else { "\r\n" });
    let mut bytes = line.into_bytes();
    if let Request::Store { value, .. } = request {
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn run(plan: Plan, count: u64) -> u64 {
    let mut lost = 0;
    for seed in seeds(count) {
        let mut pair = Pair::new(plan, seed);
        pair.run();
        lost += pair.lost;
    }
    lost
}

#[test]
fn one_engine_answers_as_the_oracle() {
    run(ROOMY, 6);
}

#[test]
fn four_engines_answer_as_the_oracle() {
    run(Plan { cores: 4, ..ROOMY }, 6);
}

#[test]
fn one_engine_without_memory_forgets_only_what_it_evicts() {
    assert!(run(TIGHT, 4) > 0, "nothing was evicted: the test tests nothing");
}

#[test]
fn four_engines_without_memory_forget_only_what_they_evict() {
    assert!(
        run(Plan { cores: 4, memory_limit: 64 << 10, keys: 600, batches: 4000, ..TIGHT }, 4) > 0,
        "nothing was evicted: the test tests nothing"
    );
}

/// Found by the tests above: every storage verb used to take the old item away, memcached does so for `set` only.
#[test]
fn only_a_set_that_is_too_large_takes_the_old_item_away() {
    for cores in [1, 4] {
        let mut config = config();
        config.shard.item_size_max = 10;
        let mut cluster = Cluster::new(cores, &config);
        let client = cluster.connect(0);
        for verb in ["add", "replace", "append", "prepend", "cas", "set"] {
            let unique = if verb == "cas" { " 1" } else { "" };
            let requests = format!("set k 0 0 1\r\nv\r\n{verb} k 0 0 11{unique}\r\nelevenbytes\r\nget k\r\n");
            let replies = String::from_utf8(cluster.exchange(client, requests.as_bytes())).unwrap();
            let left = if verb == "set" { "" } else { "VALUE k 0 1\r\nv\r\n" };
            let expected = format!("STORED\r\nSERVER_ERROR object too large for cache\r\n{left}END\r\n");
            assert_eq!(replies, expected, "{verb} on {cores} cores");
        }
    }
}
