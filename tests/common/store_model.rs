//! Requests to a shard against an oracle: a `BTreeMap` that knows no memory. A shard may forget only what it counts as
//! evicted; whatever it gives is what the oracle has.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use ringcached::memory::Budget;
use ringcached::store::{
    ArithmeticOutcome, ArithmeticRequest, Incoming, Lookup, Search, Shard, ShardConfig, StoreOutcome, StoreRequest,
    Value,
};
use ringcached::terms::{Arithmetic, CasUnique, Deadline, Exptime, Flags, FlushOrder, Key, Now, ShardId, StoreMode};

/// Keys are the numbers below this.
pub(crate) const KEYS: u8 = 24;

const fn at(monotonic_ms: u64) -> Now {
    Now { monotonic_ms, unix_ms: 1_800_000_000_000 + monotonic_ms }
}

#[derive(Clone, Debug)]
pub(crate) enum Request {
    Get(u8),
    GetAndTouch(u8, i64),
    Touch(u8, i64),
    Delete(u8),
    Store { mode: Mode, key: u8, len: usize, exptime: i64, shared: bool },
    Number(u8, u64),
    Arithmetic(u8, Arithmetic, u64),
    Flush(Option<u64>),
    Limit(usize),
    Tick,
    Wait(u64),
    LetGo,
}

/// `StoreMode`, with a version that is right or wrong instead of a number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    Plain(StoreMode),
    CasRight,
    CasWrong,
}

#[derive(Clone, Debug)]
struct Expected {
    value: Vec<u8>,
    flags: Flags,
    deadline: Deadline,
    cas: CasUnique,
}

/// A shard and its oracle.
pub(crate) struct Pair {
    shard: Shard,
    budget: Arc<Budget>,
    oracle: BTreeMap<u8, Expected>,
    now: Now,
    flush_at_ms: Option<u64>,
    epoch: u64,
    evictions_seen: u64,
    readers: Vec<(Bytes, Vec<u8>)>,
    /// The limit came down while readers held values: until they let go it may be exceeded.
    may_exceed_limit: bool,
    evicts: bool,
    serial: u32,
}

fn name(key: u8) -> [u8; 4] {
    [b'k', b'e', b'y', key]
}

impl Pair {
    /// A shard of its own with this much memory.
    pub(crate) fn new(memory_limit: usize, evict: bool) -> Self {
        let budget = Arc::new(Budget::new(memory_limit));
        let config = ShardConfig {
            id: ShardId(0),
            shards: 1,
            budget: Arc::clone(&budget),
            item_size_max: 60_000,
            evict,
            cas: true,
            huge_pages: false,
            hash_seed: [7, 11],
        };
        Self {
            evicts: evict,
            shard: Shard::new(config).unwrap(),
            budget,
            oracle: BTreeMap::new(),
            now: at(1000),
            flush_at_ms: None,
            epoch: 0,
            evictions_seen: 0,
            readers: Vec::new(),
            may_exceed_limit: false,
            serial: 0,
        }
    }

    /// Both do it, and must agree.
    pub(crate) fn run(&mut self, request: &Request) {
        if let Request::Wait(ms) = request {
            self.now = at(self.now.monotonic_ms + ms);
        }
        self.bury();
        match *request {
            Request::Get(key) => self.read(key, None),
            Request::GetAndTouch(key, exptime) => self.read(key, Some(exptime)),
            Request::Touch(key, exptime) => self.touch(key, exptime),
            Request::Delete(key) => self.delete(key),
            Request::Store { mode, key, len, exptime, shared } => self.store(mode, key, len, exptime, shared),
            Request::Number(key, number) => {
                self.store_value(StoreMode::Set, key, number.to_string().into_bytes(), 0, false);
            }
            Request::Arithmetic(key, direction, delta) => self.arithmetic(key, direction, delta),
            Request::Flush(delay_ms) => {
                self.epoch += 1;
                self.flush_at_ms = delay_ms.map(|ms| self.now.monotonic_ms + ms);
                self.shard.flush(FlushOrder { epoch: self.epoch, at_monotonic_ms: self.flush_at_ms }, self.now);
                if delay_ms.is_none() {
                    self.oracle.clear();
                }
            }
            Request::Limit(bytes) => {
                self.may_exceed_limit = !self.readers.is_empty();
                self.shard.set_memory_limit(bytes, self.now);
            }
            Request::Tick => {
                self.shard.tick(self.now);
            }
            Request::Wait(_) => {}
            Request::LetGo => {
                for (reader, value) in self.readers.drain(..) {
                    assert!(reader == value, "a reader's version does not change");
                }
                self.may_exceed_limit = false;
                self.shard.tick(self.now);
            }
        }
        self.settle();
    }

    /// What has died by now is no more in the oracle.
    fn bury(&mut self) {
        if self.flush_at_ms.is_some_and(|at_ms| at_ms <= self.now.monotonic_ms) {
            self.flush_at_ms = None;
            self.oracle.clear();
        }
        let now = self.now;
        self.oracle.retain(|_, item| !item.deadline.is_over(now));
    }

    /// What the shard evicted, the oracle forgets; they must be as many as the shard counts.
    fn settle(&mut self) {
        self.bury();
        let (shard, now) = (&mut self.shard, self.now);
        let len_before = self.oracle.len();
        self.oracle.retain(|&key, _| {
            let name = name(key);
            let key = Key::new(&name).unwrap();
            matches!(shard.find(key, shard.hash(key), now), Search::Hit(_))
        });
        let lost = (len_before - self.oracle.len()) as u64;
        let stats = shard.stats();
        assert_eq!(stats.evictions - self.evictions_seen, lost, "lost items are evicted ones, at {now:?}");
        self.evictions_seen = stats.evictions;
        assert!(stats.curr_items >= self.oracle.len() as u64);
        assert!(self.may_exceed_limit || self.budget.excess() == 0, "{stats:?}");
        shard.verify();
    }

    fn read(&mut self, key: u8, exptime: Option<i64>) {
        let name = name(key);
        let key_term = Key::new(&name).unwrap();
        let hash = self.shard.hash(key_term);
        let lookup = match exptime {
            None => self.shard.get(key_term, hash, self.now),
            Some(exptime) => {
                let deadline = Deadline::from_exptime(Exptime(exptime), self.now);
                let touched = matches!(self.shard.get_and_touch(key_term, hash, deadline, self.now), Lookup::Hit(_));
                let may_fail = !self.evicts || self.shard.stats().evictions > self.evictions_seen;
                match self.oracle.get_mut(&key) {
                    Some(expected) if touched => expected.deadline = deadline,
                    // There may be no memory for a deadline, or only that of the item itself.
                    Some(expected) if may_fail && expected.deadline == Deadline::NEVER => return,
                    _ => {}
                }
                self.bury();
                self.shard.get(key_term, hash, self.now)
            }
        };
        match (lookup, self.oracle.get(&key)) {
            (Lookup::Hit(item), Some(expected)) => {
                let value = match item.value {
                    Value::Inline(bytes) => bytes,
                    Value::Shared(bytes) => {
                        self.readers.push((bytes.clone(), expected.value.clone()));
                        bytes
                    }
                };
                assert!(value == expected.value, "the value of {key}");
                let found = (item.flags, item.deadline, item.cas);
                assert_eq!(found, (expected.flags, expected.deadline, expected.cas), "{key}");
            }
            (Lookup::Miss | Lookup::Expired | Lookup::Flushed, None) => {}
            (lookup, expected) => panic!("{key}: {lookup:?}, expected {expected:?}"),
        }
    }

    fn touch(&mut self, key: u8, exptime: i64) {
        let name = name(key);
        let key_term = Key::new(&name).unwrap();
        let deadline = Deadline::from_exptime(Exptime(exptime), self.now);
        let touched = self.shard.touch(key_term, self.shard.hash(key_term), deadline, self.now);
        let may_fail = !self.evicts || self.shard.stats().evictions > self.evictions_seen;
        let expected = self.oracle.get_mut(&key);
        match expected {
            Some(expected) if touched => expected.deadline = deadline,
            Some(expected) => assert!(may_fail && expected.deadline == Deadline::NEVER),
            None => assert!(!touched),
        }
    }

    fn delete(&mut self, key: u8) {
        let name = name(key);
        let key_term = Key::new(&name).unwrap();
        let deleted = self.shard.delete(key_term, self.shard.hash(key_term), self.now);
        assert_eq!(deleted, self.oracle.remove(&key).is_some());
    }

    fn store(&mut self, mode: Mode, key: u8, len: usize, exptime: i64, shared: bool) {
        let present = self.oracle.get(&key).map_or(77, |expected| expected.cas.0);
        let mode = match mode {
            Mode::Plain(mode) => mode,
            Mode::CasRight => StoreMode::Cas(CasUnique(present)),
            Mode::CasWrong => StoreMode::Cas(CasUnique(present + 1)),
        };
        self.serial += 1;
        let value = vec![b'a' + (self.serial % 26) as u8; len];
        self.store_value(mode, key, value, exptime, shared);
    }

    fn store_value(&mut self, mode: StoreMode, key: u8, value: Vec<u8>, exptime: i64, shared: bool) {
        let name = name(key);
        let key_term = Key::new(&name).unwrap();
        let hash = self.shard.hash(key_term);
        let deadline = Deadline::from_exptime(Exptime(exptime), self.now);
        let flags = Flags(self.serial);
        let room = self.budget.limit().saturating_sub(self.budget.taken());
        let shared = shared && room > 64 << 10;
        let incoming = if shared {
            Incoming::Large(self.shard.large_memory().copy(&value).unwrap())
        } else {
            Incoming::Slice(&value)
        };
        let outcome = self.shard.store(StoreRequest::new(mode, key_term, hash, flags, deadline, incoming), self.now);
        let present = self.oracle.get_mut(&key);
        match outcome {
            StoreOutcome::Stored { cas, .. } => match (mode, present) {
                (StoreMode::Append, Some(expected)) => {
                    expected.value.extend_from_slice(&value);
                    expected.cas = cas;
                }
                (StoreMode::Prepend, Some(expected)) => {
                    expected.value.splice(..0, value);
                    expected.cas = cas;
                }
                (StoreMode::Set, _) | (StoreMode::Add, None) | (StoreMode::Replace | StoreMode::Cas(_), Some(_)) => {
                    self.oracle.insert(key, Expected { value, flags, deadline, cas });
                }
                (mode, present) => panic!("{mode:?} stored over {present:?}"),
            },
            StoreOutcome::NotStored => match mode {
                StoreMode::Add => assert!(present.is_some()),
                StoreMode::Replace | StoreMode::Append | StoreMode::Prepend => assert!(present.is_none()),
                mode => panic!("{mode:?} is not stored"),
            },
            StoreOutcome::Exists => {
                assert!(matches!((mode, present), (StoreMode::Cas(cas), Some(expected)) if cas != expected.cas));
            }
            StoreOutcome::NotFound => assert!(matches!((mode, present), (StoreMode::Cas(_), None))),
            StoreOutcome::TooLarge | StoreOutcome::OutOfMemory => {
                if mode == StoreMode::Set {
                    self.oracle.remove(&key);
                }
            }
        }
    }

    fn arithmetic(&mut self, key: u8, direction: Arithmetic, delta: u64) {
        let name = name(key);
        let key_term = Key::new(&name).unwrap();
        let outcome = self
            .shard
            .arithmetic(ArithmeticRequest::new(key_term, self.shard.hash(key_term), direction, delta), self.now);
        let present = self.oracle.get_mut(&key);
        let number = present.as_ref().and_then(|expected| {
            let text = std::str::from_utf8(&expected.value).ok()?;
            text.trim_end_matches(' ').parse::<u64>().ok()
        });
        match (outcome, present, number) {
            (ArithmeticOutcome::Value { number: result, cas, .. }, Some(expected), Some(number)) => {
                let wanted = match direction {
                    Arithmetic::Increment => number.wrapping_add(delta),
                    Arithmetic::Decrement => number.saturating_sub(delta),
                };
                assert_eq!(result, wanted);
                let width = expected.value.len();
                expected.value = format!("{result:<width$}").into_bytes();
                expected.cas = cas;
            }
            (ArithmeticOutcome::NotFound, None, _)
            | (ArithmeticOutcome::NonNumeric, Some(_), None)
            | (ArithmeticOutcome::OutOfMemory, Some(_), Some(_)) => {}
            (outcome, present, number) => panic!("{outcome:?} on {present:?}, {number:?}"),
        }
    }
}
