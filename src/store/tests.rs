//! What the door promises, case by case. `tests/store_model.rs` has the general case.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    ArithmeticOutcome, ArithmeticRequest, Incoming, Item, Lookup, Shard, ShardConfig, StoreOutcome, StoreRequest, Value,
};
use crate::memory::Budget;
use crate::terms::{Arithmetic, CasUnique, Deadline, Exptime, Flags, FlushOrder, Key, Now, ShardId, StoreMode};

pub(super) const fn at(monotonic_ms: u64) -> Now {
    Now { monotonic_ms, unix_ms: 1_800_000_000_000 + monotonic_ms }
}

pub(super) const START: Now = at(1000);

pub(super) fn config(memory_limit: usize) -> ShardConfig {
    ShardConfig {
        id: ShardId(0),
        shards: 1,
        budget: Arc::new(Budget::new(memory_limit)),
        item_size_max: 1 << 20,
        evict: true,
        cas: true,
        huge_pages: false,
        hash_seed: [7, 11],
    }
}

/// The version of what was stored, if it was.
fn cas_of(outcome: StoreOutcome) -> Option<CasUnique> {
    if let StoreOutcome::Stored { cas, .. } = outcome { Some(cas) } else { None }
}

/// A shard with keys as text and defaults for what a case does not look at.
struct Bench {
    shard: Shard,
    now: Now,
}

impl Bench {
    fn new(config: ShardConfig) -> Self {
        Self { shard: Shard::new(config).unwrap(), now: START }
    }

    fn store_with(&mut self, mode: StoreMode, key: &str, value: &[u8], deadline: Deadline) -> StoreOutcome {
        let key = Key::new(key.as_bytes()).unwrap();
        let hash = self.shard.hash(key);
        let outcome =
            self.shard.store(StoreRequest::new(mode, key, hash, Flags(5), deadline, Incoming::Slice(value)), self.now);
        self.shard.verify();
        assert_eq!(self.shard.config.budget.excess(), 0);
        outcome
    }

    fn store(&mut self, mode: StoreMode, key: &str, value: &[u8]) -> StoreOutcome {
        self.store_with(mode, key, value, Deadline::NEVER)
    }

    fn set(&mut self, key: &str, value: &[u8]) -> CasUnique {
        match self.store(StoreMode::Set, key, value) {
            StoreOutcome::Stored { cas, .. } => cas,
            other => panic!("set {key}: {other:?}"),
        }
    }

    fn get(&mut self, key: &str) -> Lookup<'_> {
        let key = Key::new(key.as_bytes()).unwrap();
        let hash = self.shard.hash(key);
        self.shard.get(key, hash, self.now)
    }

    fn item(&mut self, key: &str) -> Item<'_> {
        match self.get(key) {
            Lookup::Hit(item) => item,
            other => panic!("{key}: {other:?}"),
        }
    }

    fn value(&mut self, key: &str) -> Vec<u8> {
        self.item(key).value.as_bytes().to_vec()
    }

    fn reader(&mut self, key: &str) -> Bytes {
        match self.item(key).value {
            Value::Inline(_) => panic!("{key} is small"),
            Value::Shared(bytes) => bytes.clone(),
        }
    }

    fn delete(&mut self, key: &str) -> bool {
        let key = Key::new(key.as_bytes()).unwrap();
        let hash = self.shard.hash(key);
        self.shard.delete(key, hash, self.now)
    }

    fn touch(&mut self, key: &str, exptime: i64) -> bool {
        let key = Key::new(key.as_bytes()).unwrap();
        let hash = self.shard.hash(key);
        self.shard.touch(key, hash, Deadline::from_exptime(Exptime(exptime), self.now), self.now)
    }

    fn arithmetic(&mut self, direction: Arithmetic, key: &str, delta: u64) -> ArithmeticOutcome {
        let key = Key::new(key.as_bytes()).unwrap();
        let hash = self.shard.hash(key);
        self.shard.arithmetic(ArithmeticRequest::new(key, hash, direction, delta), self.now)
    }
}

#[test]
fn storage_modes_look_at_what_is_there() {
    let mut bench = Bench::new(config(1 << 20));
    for mode in [StoreMode::Replace, StoreMode::Append, StoreMode::Prepend] {
        assert_eq!(bench.store(mode, "k", b"v"), StoreOutcome::NotStored, "{mode:?}");
    }
    assert_eq!(bench.store(StoreMode::Cas(CasUnique(1)), "k", b"v"), StoreOutcome::NotFound);
    assert_eq!(cas_of(bench.store(StoreMode::Add, "k", b"b")), Some(CasUnique(1)));
    assert_eq!(bench.store(StoreMode::Add, "k", b"v"), StoreOutcome::NotStored);
    assert_eq!(cas_of(bench.store(StoreMode::Append, "k", b"c")), Some(CasUnique(2)));
    assert_eq!(cas_of(bench.store(StoreMode::Prepend, "k", b"a")), Some(CasUnique(3)));
    assert_eq!(bench.value("k"), b"abc");
    for stale in [0, 2, 4] {
        assert_eq!(bench.store(StoreMode::Cas(CasUnique(stale)), "k", b"v"), StoreOutcome::Exists);
    }
    assert_eq!(cas_of(bench.store(StoreMode::Cas(CasUnique(3)), "k", b"swapped")), Some(CasUnique(4)));
    assert_eq!(cas_of(bench.store(StoreMode::Replace, "k", b"replaced")), Some(CasUnique(5)));
    assert_eq!((bench.value("k"), bench.shard.stats().total_items), (b"replaced".to_vec(), 5));
}

#[test]
fn appending_keeps_flags_and_deadline() {
    let mut bench = Bench::new(config(1 << 20));
    let deadline = Deadline::from_exptime(Exptime(100), START);
    bench.store_with(StoreMode::Set, "k", b"v", deadline);
    let key = Key::new(b"k").unwrap();
    let hash = bench.shard.hash(key);
    let value = Incoming::Slice(b"w");
    bench.shard.store(StoreRequest::new(StoreMode::Append, key, hash, Flags(99), Deadline::PAST, value), START);
    assert_eq!((bench.item("k").flags, bench.item("k").deadline), (Flags(5), deadline));
}

#[test]
fn cas_uniques_of_shards_interleave_and_grow() {
    let mut bench = Bench::new(ShardConfig { id: ShardId(2), shards: 4, ..config(1 << 20) });
    let uniques: Vec<_> = ["a", "b", "a"].map(|key| bench.set(key, b"1").0).into();
    assert_eq!(uniques, [3, 7, 11]);
    assert_eq!(
        bench.arithmetic(Arithmetic::Increment, "a", 0),
        ArithmeticOutcome::Value { number: 1, cas: CasUnique(15), deadline: Deadline::NEVER }
    );
    assert!(bench.touch("a", 50));
    assert_eq!(bench.item("a").cas, CasUnique(15), "a touch is no new version");
}

#[test]
fn without_cas_all_versions_are_0_and_never_compare_equal() {
    let mut bench = Bench::new(ShardConfig { cas: false, ..config(1 << 20) });
    assert_eq!(bench.set("k", b"v"), CasUnique(0));
    for unique in [0, 1] {
        assert_eq!(bench.store(StoreMode::Cas(CasUnique(unique)), "k", b"w"), StoreOutcome::Exists);
    }
}

#[test]
fn numbers_wrap_stop_at_0_and_are_padded() {
    let mut bench = Bench::new(config(1 << 20));
    let value = |number, cas| ArithmeticOutcome::Value { number, cas: CasUnique(cas), deadline: Deadline::NEVER };
    bench.set("k", b"10");
    assert_eq!(bench.arithmetic(Arithmetic::Decrement, "k", 1), value(9, 2));
    assert_eq!(bench.value("k"), b"9 ");
    assert_eq!(bench.arithmetic(Arithmetic::Increment, "k", 991), value(1000, 3));
    assert_eq!((bench.value("k"), bench.item("k").flags), (b"1000".to_vec(), Flags(5)));
    assert_eq!(bench.arithmetic(Arithmetic::Decrement, "k", 2000), value(0, 4));
    assert_eq!(bench.value("k"), b"0   ");
    bench.set("k", b"18446744073709551615");
    assert_eq!(bench.arithmetic(Arithmetic::Increment, "k", 1), value(0, 6));
    assert_eq!(bench.value("k"), b"0                   ");
    bench.set("k", b"1 2");
    assert_eq!(bench.arithmetic(Arithmetic::Increment, "k", 1), ArithmeticOutcome::NonNumeric);
    assert_eq!(bench.arithmetic(Arithmetic::Increment, "none", 1), ArithmeticOutcome::NotFound);
    bench.shard.verify();
}

#[test]
fn a_dead_item_is_absent_to_every_request_and_its_memory_comes_back() {
    let fates: [fn(&mut Bench); 2] = [
        |bench| bench.now = at(3000),
        |bench| bench.shard.flush(FlushOrder { epoch: 1, at_monotonic_ms: None }, bench.now),
    ];
    for (fate, lookup) in fates.into_iter().zip([Lookup::Expired, Lookup::Flushed]) {
        let mut bench = Bench::new(config(1 << 20));
        let keys = ["get", "touch", "delete", "incr", "replace", "append", "cas", "add"];
        for key in keys {
            bench.store_with(StoreMode::Set, key, b"1", Deadline::from_exptime(Exptime(1), START));
        }
        fate(&mut bench);
        assert_eq!(bench.get("get"), lookup);
        assert_eq!(bench.get("get"), Lookup::Miss);
        assert!(!bench.touch("touch", 100) && !bench.delete("delete"));
        assert_eq!(bench.arithmetic(Arithmetic::Increment, "incr", 1), ArithmeticOutcome::NotFound);
        assert_eq!(bench.store(StoreMode::Replace, "replace", b"2"), StoreOutcome::NotStored);
        assert_eq!(bench.store(StoreMode::Append, "append", b"2"), StoreOutcome::NotStored);
        assert_eq!(bench.store(StoreMode::Cas(CasUnique(7)), "cas", b"2"), StoreOutcome::NotFound);
        assert_eq!(cas_of(bench.store(StoreMode::Add, "add", b"2")), Some(CasUnique(9)));
        let stats = bench.shard.stats();
        assert_eq!((stats.curr_items, stats.evictions), (1, 0));
        assert_eq!(stats.expired_unfetched, if lookup == Lookup::Expired { 8 } else { 0 });
    }
}

#[test]
fn a_delayed_flush_kills_what_was_last_written_before_its_moment() {
    let mut bench = Bench::new(config(1 << 20));
    bench.set("old", b"v");
    bench.set("rewritten", b"v");
    bench.shard.flush(FlushOrder { epoch: 1, at_monotonic_ms: Some(5000) }, START);
    bench.now = at(4999);
    bench.set("young", b"v");
    assert!(matches!(bench.get("old"), Lookup::Hit(_)));
    bench.now = at(5000);
    bench.set("rewritten", b"w");
    assert_eq!(bench.value("rewritten"), b"w");
    assert_eq!(bench.get("old"), Lookup::Flushed);
    assert_eq!(bench.get("young"), Lookup::Flushed);
}

#[test]
fn an_item_stored_already_expired_is_stored_and_never_read() {
    let mut bench = Bench::new(config(1 << 20));
    assert!(matches!(bench.store_with(StoreMode::Set, "k", b"v", Deadline::PAST), StoreOutcome::Stored { .. }));
    assert_eq!(bench.get("k"), Lookup::Expired);
}

#[test]
fn too_large_takes_the_old_item_away_but_not_under_append() {
    let mut bench = Bench::new(ShardConfig { item_size_max: 1000, ..config(1 << 20) });
    bench.set("k", &[b'v'; 1000]);
    assert_eq!(bench.store(StoreMode::Append, "k", b"x"), StoreOutcome::TooLarge);
    assert_eq!(bench.value("k").len(), 1000);
    assert_eq!(bench.store(StoreMode::Set, "k", &[b'v'; 1001]), StoreOutcome::TooLarge);
    assert_eq!(bench.get("k"), Lookup::Miss);
    bench.set("announced", b"v");
    let key = Key::new(b"announced").unwrap();
    bench.shard.refuse_value(key, bench.shard.hash(key), START);
    assert_eq!(bench.get("announced"), Lookup::Miss);
    let mut bench = Bench::new(config(1 << 20));
    bench.set("k", b"v");
    assert_eq!(bench.store(StoreMode::Set, "large", &vec![b'v'; 600 << 10]), StoreOutcome::TooLarge);
    assert!(matches!(bench.get("k"), Lookup::Hit(_)), "nothing is evicted for what can never fit");
}

#[test]
fn a_full_shard_keeps_what_is_in_use_and_stays_within_its_limit() {
    let mut bench = Bench::new(config(256 << 10));
    bench.set("hot", b"v");
    for number in 0..4000 {
        bench.item("hot");
        bench.set(&format!("passing {number}"), &[b'v'; 300]);
    }
    assert!(matches!(bench.get("hot"), Lookup::Hit(_)));
    assert!(matches!(bench.get("passing 3999"), Lookup::Hit(_)));
    let stats = bench.shard.stats();
    assert_eq!(stats.evictions + stats.curr_items, 4001);
    assert_eq!((stats.evicted_unfetched, stats.evicted_active, stats.reclaimed), (stats.evictions, 0, 0));
    assert!(stats.bytes > 210 << 10, "{} bytes used", stats.bytes);
}

#[test]
fn evicted_after_a_fetch_is_active_for_a_minute() {
    for (wait_s, active) in [(60, 3), (61, 0)] {
        let mut bench = Bench::new(config(1 << 20));
        for key in ["a", "b", "c"] {
            bench.set(key, b"v");
            bench.item(key);
        }
        bench.shard.set_memory_limit(0, at(1000 + wait_s * 1000));
        let stats = bench.shard.stats();
        assert_eq!((stats.evictions, stats.evicted_unfetched, stats.evicted_active), (3, 0, active));
    }
}

#[test]
fn the_dead_go_before_the_living() {
    let mut bench = Bench::new(config(256 << 10));
    let soon = Deadline::from_exptime(Exptime(1), START);
    for number in 0..300 {
        bench.set(&format!("living {number}"), &[b'v'; 300]);
        bench.store_with(StoreMode::Set, &format!("dying {number}"), &[b'v'; 300], soon);
    }
    assert_eq!(bench.shard.stats().evictions, 0);
    bench.now = at(5000);
    for number in 0..300 {
        bench.set(&format!("new {number}"), &[b'v'; 300]);
    }
    let stats = bench.shard.stats();
    assert_eq!(stats.evictions, 0);
    assert!((150..=300).contains(&stats.reclaimed), "{stats:?}");
}

#[test]
fn waste_goes_before_the_living() {
    let mut bench = Bench::new(config(256 << 10));
    for number in 0..600 {
        bench.set(&format!("item {number}"), &[b'v'; 300]);
    }
    for number in (0..600).filter(|number| number % 4 != 0) {
        assert!(bench.delete(&format!("item {number}")));
    }
    for number in 0..380 {
        bench.set(&format!("new {number}"), &[b'v'; 300]);
    }
    let stats = bench.shard.stats();
    assert_eq!((stats.evictions, stats.curr_items), (0, 150 + 380));
}

#[test]
fn the_background_sweep_takes_all_dead_items_back() {
    let mut bench = Bench::new(config(1 << 20));
    for number in 0..600 {
        let exptime = i64::from(number % 2 == 0);
        bench.store_with(StoreMode::Set, &number.to_string(), b"v", Deadline::from_exptime(Exptime(exptime), START));
    }
    for _ in 0..4 {
        bench.shard.tick(at(5000));
    }
    bench.shard.verify();
    let stats = bench.shard.stats();
    assert_eq!((stats.curr_items, stats.crawler_reclaimed, stats.expired_unfetched), (300, 300, 300));
    assert!(stats.crawler_items_checked >= 300);
    bench.shard.reset_stats();
    let stats = bench.shard.stats();
    assert_eq!((stats.curr_items, stats.crawler_reclaimed, stats.total_items), (300, 0, 0));
}

#[test]
fn without_eviction_a_full_shard_refuses_and_forgets_the_old_value() {
    let mut bench = Bench::new(ShardConfig { evict: false, ..config(128 << 10) });
    let mut stored = 0;
    while let StoreOutcome::Stored { .. } = bench.store(StoreMode::Set, &stored.to_string(), &[b'v'; 300]) {
        stored += 1;
    }
    assert!(stored > 250, "{stored}");
    assert_eq!(bench.store(StoreMode::Append, "0", &[b'v'; 1000]), StoreOutcome::OutOfMemory);
    assert_eq!(bench.value("0").len(), 300);
    assert_eq!(bench.store(StoreMode::Set, "0", &[b'v'; 1000]), StoreOutcome::OutOfMemory);
    assert_eq!(bench.get("0"), Lookup::Miss);
    assert_eq!(bench.shard.stats().curr_items, stored - 1);
    for number in 1..100 {
        bench.delete(&number.to_string());
    }
    for number in 0..90 {
        bench.set(&format!("room again {number}"), &[b'v'; 290]);
    }
}

#[test]
fn values_in_the_hands_of_readers_stay_charged_until_let_go() {
    let mut bench = Bench::new(config(1 << 20));
    let budget = Arc::clone(&bench.shard.config.budget);
    let large = vec![b'v'; 300 << 10];
    bench.set("small", b"v");
    bench.set("k", &large);
    let first = bench.reader("k");
    bench.set("k", &large);
    let second = bench.reader("k");
    assert!(bench.delete("k"));
    assert!(budget.taken() > 600 << 10, "both are charged");
    assert_eq!(bench.store(StoreMode::Set, "k", &vec![b'v'; 450 << 10]), StoreOutcome::OutOfMemory);
    drop(first);
    bench.set("k", &large);
    assert!(second.iter().all(|&byte| byte == b'v'));
    drop(second);
    bench.shard.tick(START);
    assert!(budget.taken() < 500 << 10, "{}", budget.taken());
    bench.shard.verify();
}

#[test]
fn a_shared_value_comes_and_goes_without_a_copy() {
    let mut bench = Bench::new(config(1 << 20));
    let value = bench.shard.large_memory().copy(&vec![b'v'; 20_000]).unwrap();
    let place = value.bytes().as_ptr();
    let key = Key::new(b"k").unwrap();
    let hash = bench.shard.hash(key);
    bench
        .shard
        .store(StoreRequest::new(StoreMode::Set, key, hash, Flags(0), Deadline::NEVER, Incoming::Large(value)), START);
    assert_eq!(bench.reader("k").as_ptr(), place);
}

#[test]
fn ten_thousand_appends_keep_what_they_need() {
    let mut bench = Bench::new(config(4 << 20));
    bench.set("k", b"");
    let key = Key::new(b"k").unwrap();
    let hash = bench.shard.hash(key);
    for _ in 0..10_000 {
        let extra = Incoming::Slice(&[b'v'; 100]);
        let outcome =
            bench.shard.store(StoreRequest::new(StoreMode::Append, key, hash, Flags(0), Deadline::NEVER, extra), START);
        assert!(matches!(outcome, StoreOutcome::Stored { .. }));
    }
    bench.shard.verify();
    assert_eq!(bench.value("k").len(), 1_000_000);
    assert!(bench.shard.stats().bytes < 1_400_000);
}

#[test]
fn growth_and_a_falling_limit_stay_within_the_limit() {
    let mut shard = Shard::new(config(3 << 20)).unwrap();
    let budget = Arc::clone(&shard.config.budget);
    for number in 0..200_000_u32 {
        let name = number.to_be_bytes();
        let key = Key::new(&name).unwrap();
        let hash = shard.hash(key);
        let outcome = shard.store(
            StoreRequest::new(StoreMode::Set, key, hash, Flags(0), Deadline::NEVER, Incoming::Slice(&name)),
            START,
        );
        assert!(matches!(outcome, StoreOutcome::Stored { .. }));
        assert_eq!(budget.excess(), 0);
    }
    let full = shard.stats();
    assert!(full.bytes > 2_800_000 && full.curr_items > 80_000, "{full:?}");
    for limit in [1 << 20, 400_000, 200_000] {
        shard.set_memory_limit(limit, START);
        shard.verify();
        assert_eq!(budget.excess(), 0, "{:?}", shard.stats());
    }
    assert!(shard.stats().curr_items > 0);
    assert_eq!(shard.stats().evictions + shard.stats().curr_items, 200_000);
}

#[test]
fn large_values_find_memory_after_small_ones() {
    let mut bench = Bench::new(config(4 << 20));
    for number in 0..150_000_u32 {
        let name = number.to_be_bytes();
        let key = Key::new(&name).unwrap();
        let hash = bench.shard.hash(key);
        bench.shard.store(
            StoreRequest::new(StoreMode::Set, key, hash, Flags(0), Deadline::NEVER, Incoming::Slice(b"v")),
            START,
        );
    }
    for number in 0..5 {
        bench.set(&format!("large {number}"), &vec![b'v'; 900_000]);
        assert!(matches!(bench.get(&format!("large {number}")), Lookup::Hit(_)));
    }
}

#[test]
fn a_value_larger_than_what_the_tables_leave_gets_their_memory() {
    for key in ["large", "tiny 7"] {
        let mut bench = Bench::new(ShardConfig { item_size_max: 2 << 20, ..config(4 << 20) });
        for number in 0..150_000_u32 {
            let name = format!("tiny {number}");
            let name = Key::new(name.as_bytes()).unwrap();
            let hash = bench.shard.hash(name);
            bench.shard.store(
                StoreRequest::new(StoreMode::Set, name, hash, Flags(0), Deadline::NEVER, Incoming::Slice(b"")),
                START,
            );
        }
        bench.set("tiny 7", b"");
        let outcome = bench.store(StoreMode::Set, key, &vec![b'v'; (2 << 20) - 1]);
        assert!(matches!(outcome, StoreOutcome::Stored { .. }), "{key}: {outcome:?}");
        assert_eq!(bench.value(key).len(), (2 << 20) - 1);
        bench.shard.verify();
    }
}
