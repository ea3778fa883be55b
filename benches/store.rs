//! Floor 1: one core's items, alone. One iteration is one request, except where 16 keys are looked up together.
//! `cargo bench --bench store`

#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use std::fmt::Write;
use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use ringcached::limits::LOOK_AHEAD_KEYS;
use ringcached::memory::Budget;
use ringcached::store::{Incoming, Lookup, Shard, ShardConfig, Sought, StoreOutcome, StoreRequest, Value};
use ringcached::terms::{Deadline, Flags, Key, KeyHash, Now, ShardId, StoreMode};

fn main() {
    // So many that caches and branch predictors are warm and the timer does not count.
    divan::Divan::default().sample_size(1000).config_with_args().main();
}

/// The second is far more than the caches of a CPU hold.
const SIZES: [usize; 2] = [100_000, 1_000_000];
const NOW: Now = Now { monotonic_ms: 10_000, unix_ms: 1_800_000_000_000 };
const VALUE: [u8; 100] = [b'v'; 100];

/// A shard with the keys `0..items`, and a way to name them in an order that no cache foresees.
struct Full {
    shard: Shard,
    items: usize,
    place: usize,
    name: String,
}

impl Full {
    fn new(items: usize) -> Self {
        let config = ShardConfig {
            id: ShardId(0),
            shards: 1,
            budget: Arc::new(Budget::new(1 << 30)),
            item_size_max: 1 << 20,
            evict: true,
            cas: true,
            huge_pages: false,
            hash_seed: [7, 11],
        };
        let mut full = Self { shard: Shard::new(config).unwrap(), items, place: 0, name: String::new() };
        for number in 0..items {
            full.set(number);
        }
        full
    }

    /// The next key's number: all of them, each once, far from the last.
    fn next(&mut self) -> usize {
        self.place = (self.place + 618_033) % self.items;
        self.place
    }

    fn key(&mut self, number: usize) -> (Key<'_>, KeyHash) {
        self.name.clear();
        write!(self.name, "user:{number:010}").unwrap();
        let key = Key::new(self.name.as_bytes()).unwrap();
        (key, self.shard.hash(key))
    }

    fn set(&mut self, number: usize) -> StoreOutcome {
        let hash = self.key(number).1;
        let key = Key::new(self.name.as_bytes()).unwrap();
        self.shard.store(
            StoreRequest::new(StoreMode::Set, key, hash, Flags(0), Deadline::NEVER, Incoming::Slice(&VALUE)),
            NOW,
        )
    }

    fn get(&mut self, number: usize) -> usize {
        let hash = self.key(number).1;
        let key = Key::new(self.name.as_bytes()).unwrap();
        len(self.shard.get(key, hash, NOW))
    }

    fn delete(&mut self, number: usize) -> bool {
        let hash = self.key(number).1;
        let key = Key::new(self.name.as_bytes()).unwrap();
        self.shard.delete(key, hash, NOW)
    }
}

/// Looks at the value, as a reply would.
fn len(lookup: Lookup<'_>) -> usize {
    match lookup {
        Lookup::Hit(item) => match item.value {
            Value::Inline(bytes) => bytes.iter().map(|&byte| usize::from(byte)).sum(),
            Value::Shared(bytes) => bytes.len(),
        },
        _ => 0,
    }
}

/// What naming and hashing a key costs in all that follow.
#[divan::bench]
fn key_and_hash(bencher: Bencher<'_, '_>) {
    let mut full = Full::new(100_000);
    bencher.bench_local(|| {
        let number = full.next();
        full.key(number).1
    });
}

#[divan::bench(args = SIZES)]
fn get_hit(bencher: Bencher<'_, '_>, items: usize) {
    let mut full = Full::new(items);
    bencher.bench_local(|| {
        let number = full.next();
        full.get(number)
    });
}

#[divan::bench(args = SIZES)]
fn get_miss(bencher: Bencher<'_, '_>, items: usize) {
    let mut full = Full::new(items);
    bencher.bench_local(|| {
        let number = full.next() + items;
        full.get(number)
    });
}

#[divan::bench(args = SIZES)]
fn set_over(bencher: Bencher<'_, '_>, items: usize) {
    let mut full = Full::new(items);
    bencher.bench_local(|| {
        let number = full.next();
        full.set(number)
    });
}

/// A new item and the deletion of another: the shard keeps its size.
#[divan::bench(args = SIZES)]
fn set_new_and_delete(bencher: Bencher<'_, '_>, items: usize) {
    let mut full = Full::new(items);
    let mut oldest = 0;
    bencher.bench_local(|| {
        full.set(oldest + items);
        oldest += 1;
        full.delete(oldest - 1)
    });
}

/// 16 keys, one after the other (`false`) or with their items brought near first (`true`).
#[divan::bench(args = SIZES, consts = [false, true])]
fn get_16<const AHEAD: bool>(bencher: Bencher<'_, '_>, items: usize) {
    let mut full = Full::new(items);
    let mut names = [[0; 15]; LOOK_AHEAD_KEYS];
    let mut sought = [Sought::new(KeyHash(0)); LOOK_AHEAD_KEYS];
    bencher.counter(ItemsCount::new(LOOK_AHEAD_KEYS)).bench_local(|| {
        for (name, sought) in names.iter_mut().zip(&mut sought) {
            let number = full.next();
            let (key, key_hash) = full.key(number);
            name.copy_from_slice(key.as_bytes());
            *sought = key_hash.into();
        }
        if AHEAD {
            full.shard.look_ahead(black_box(&mut sought));
        }
        let keys = names.iter().map(|name| Key::new(name).unwrap());
        keys.zip(sought).map(|(key, sought)| len(full.shard.get_sought(key, sought, NOW))).sum::<usize>()
    });
}
