//! What the store holds, how long it stalls and how it forgets: figures for docs/BENCHMARKS.md that are no timings of one
//! request. `cargo bench --bench capacity -- NAME` runs one of them, without a name it lists them.
//!
//! Each figure is taken in a process of its own, so that nothing before it counts in its resident memory.

#![allow(clippy::unwrap_used, reason = "a bench may panic")]
#![allow(clippy::disallowed_methods, reason = "a bench reads the time")]
#![allow(clippy::cast_precision_loss, reason = "figures are rounded anyway")]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use hdrhistogram::Histogram;
use ringcached::limits::LOOK_AHEAD_KEYS;
use ringcached::memory::Budget;
use ringcached::store::{Incoming, Lookup, Shard, ShardConfig, Sought, StoreOutcome, StoreRequest};
use ringcached::terms::{Deadline, Exptime, Flags, Key, Now, ShardId, StoreMode};

const MIB: usize = 1 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let numbers: Vec<usize> = arguments.iter().skip(1).filter_map(|text| text.parse().ok()).collect();
    match arguments.first().map(String::as_str) {
        Some("bytes") => bytes_per_item(&numbers),
        Some("counts") => worst_count(&numbers),
        Some("zipf") => zipf_churn(&numbers),
        Some("churn") => sized_churn(&numbers),
        Some("stall") => stall(&numbers),
        Some("waves") => waves(),
        Some("mixed") => mixed(),
        Some("expiry") => expiry(&numbers),
        Some("appends") => appends(),
        Some("speed") => speed(&numbers),
        _ => println!(
            "bytes ITEMS VALUE_LEN TTL_S   resident bytes per item beyond key and value\n\
             counts VALUE_LEN TTL_S        the same, the worst between 1 and 20 million items\n\
             zipf VALUE_LEN                the same after 5 times -m 512 of Zipf 0.99 churn, set on miss\n\
             churn MIB                     peak resident memory over 10 times MIB of values of 8 B to 256 KiB\n\
             stall ITEMS                   the longest operations while growing to so many items, three times\n\
             waves                         live items among three waves of expiring ones, -m 64\n\
             mixed                         values of 100 KB after 64 MiB of small ones, and the other way round\n\
             expiry ITEMS                  time until so many items that expire at once are taken back, three times\n\
             appends                       10,000 and 20,000 appends of 100 bytes to one key\n\
             speed ITEMS                   nanoseconds per operation among so many items"
        ),
    }
}

/// A shard, and keys by number.
struct Bench {
    shard: Shard,
    now: Now,
    value: Vec<u8>,
}

impl Bench {
    fn new(memory: usize) -> Self {
        let config = ShardConfig {
            id: ShardId(0),
            shards: 1,
            budget: Arc::new(Budget::new(memory)),
            item_size_max: memory / 2,
            evict: true,
            cas: true,
            huge_pages: false,
            hash_seed: [7, 11],
        };
        let now = Now { monotonic_ms: 10_000, unix_ms: 1_800_000_000_000 };
        Self { shard: Shard::new(config).unwrap(), now, value: vec![b'v'; memory / 2] }
    }

    fn wait(&mut self, ms: u64) {
        self.now = Now { monotonic_ms: self.now.monotonic_ms + ms, unix_ms: self.now.unix_ms + ms };
    }

    fn set(&mut self, number: usize, len: usize, ttl_s: usize) -> bool {
        let name = name(number);
        let key = Key::new(&name).unwrap();
        let hash = self.shard.hash(key);
        let deadline = Deadline::from_exptime(Exptime(i64::try_from(ttl_s).unwrap()), self.now);
        let value = Incoming::Slice(&self.value[..len]);
        let request = StoreRequest::new(StoreMode::Set, key, hash, Flags(0), deadline, value);
        matches!(self.shard.store(request, self.now), StoreOutcome::Stored { .. })
    }

    fn get(&mut self, number: usize) -> bool {
        let name = name(number);
        let key = Key::new(&name).unwrap();
        let hash = self.shard.hash(key);
        is_whole(&self.shard.get(key, hash, self.now))
    }

    /// Where the bytes of so many items go.
    fn parts(&self, items: usize) -> String {
        let stats = self.shard.stats();
        let index = stats.hash_bytes as f64 / items as f64;
        let rest = (self.shard.memory_taken() as f64 - stats.bytes as f64) / items as f64;
        format!("index {index:.1}, policy, free memory and bookkeeping {rest:.1}")
    }

    fn delete(&mut self, number: usize) -> bool {
        let name = name(number);
        let key = Key::new(&name).unwrap();
        let hash = self.shard.hash(key);
        self.shard.delete(key, hash, self.now)
    }

    /// Looks keys up as the server does with a pipeline of gets. How many were there.
    fn get_batch(&mut self, numbers: [usize; LOOK_AHEAD_KEYS], ahead: bool) -> usize {
        let names = numbers.map(name);
        let mut keys = names.each_ref().map(|name| Sought::new(self.shard.hash(Key::new(name).unwrap())));
        if ahead {
            self.shard.look_ahead(&mut keys);
        }
        let mut found = 0;
        for (name, sought) in names.iter().zip(keys) {
            let lookup = self.shard.get_sought(Key::new(name).unwrap(), sought, self.now);
            found += usize::from(is_whole(&lookup));
        }
        found
    }

    fn items(&self) -> usize {
        usize::try_from(self.shard.stats().curr_items).unwrap()
    }
}

/// Whether there is an item; looks at its value, as a reply would.
fn is_whole(lookup: &Lookup<'_>) -> bool {
    matches!(lookup, Lookup::Hit(item) if black_box(item.value.as_bytes().iter().fold(0, |sum, byte| sum ^ byte)) < u8::MAX)
}

/// A key of 10 bytes.
fn name(number: usize) -> [u8; 10] {
    let mut name = *b"k000000000";
    let mut rest = number;
    for digit in name[1..].iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap();
        rest /= 10;
    }
    name
}

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

fn overhead(before: usize, items: usize, value_len: usize) -> f64 {
    (resident() - before) as f64 / items as f64 - (10 + value_len) as f64
}

fn bytes_per_item(numbers: &[usize]) {
    let [items, len, ttl_s] = numbers else { panic!("bytes ITEMS VALUE_LEN TTL_S") };
    let before = resident();
    let mut bench = Bench::new((items * (len + 64)).next_multiple_of(64 * MIB));
    bench.value = vec![b'v'; *len];
    (0..*items).for_each(|number| assert!(bench.set(number, *len, *ttl_s)));
    assert_eq!(bench.items(), *items);
    println!(
        "{items} items, {len}-byte values, TTL {ttl_s} s: {:.1} bytes per item beyond key and value: {}",
        overhead(before, *items, *len),
        bench.parts(*items)
    );
}

fn worst_count(numbers: &[usize]) {
    let [len, ttl_s] = numbers else { panic!("counts VALUE_LEN TTL_S") };
    let mut bench = Bench::new((20_000_000 * (len + 40)).next_multiple_of(64 * MIB));
    bench.value = vec![b'v'; *len];
    // The process and an empty shard are there before the first item.
    let before = resident();
    let mut worst = (0.0, 0, String::new());
    for number in 0..20_000_000 {
        assert!(bench.set(number, *len, *ttl_s));
        if number >= 1_000_000 && number % 50_000 == 0 {
            let cost = overhead(before, number + 1, *len);
            if cost > worst.0 {
                worst = (cost, number + 1, bench.parts(number + 1));
            }
        }
    }
    println!(
        "{len}-byte values, TTL {ttl_s} s: at worst {:.1} bytes per item, with {} items: {}",
        worst.0, worst.1, worst.2
    );
}

fn zipf_churn(numbers: &[usize]) {
    let [len] = numbers else { panic!("zipf VALUE_LEN") };
    let before = resident();
    let memory = 512 * MIB;
    let mut bench = Bench::new(memory);
    bench.value = vec![b'v'; *len];
    let keys = memory / (len + 32) * 4;
    let (mut written, mut seed) = (0, 1_u64);
    while written < 5 * memory {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniform = ((seed >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
        // The inverse of Zipf's distribution for an exponent near 1.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the number of keys")]
        let rank = (keys as f64).powf(uniform) as usize;
        let number = rank.min(keys - 1);
        if !bench.get(number) {
            assert!(bench.set(number, *len, 0));
            written += len + 32;
        }
    }
    let items = bench.items();
    println!(
        "{len}-byte values after 5 x 512 MiB of churn: {items} items, {:.1} bytes per item beyond key and value",
        overhead(before, items, *len)
    );
}

fn sized_churn(numbers: &[usize]) {
    let [mebibytes] = numbers else { panic!("churn MIB") };
    let memory = mebibytes * MIB;
    let mut bench = Bench::new(memory);
    bench.value = vec![b'v'; 256 << 10];
    let (mut written, mut seed, mut peak) = (0, 1_u64, 0);
    for round in 0_usize.. {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Every power of two from 8 bytes to 256 KiB is as likely as another.
        let len = (8 << ((seed >> 40) % 15)) + usize::try_from(seed >> 50).unwrap() % 8;
        let number = usize::try_from(seed >> 33).unwrap() % 1_000_000;
        bench.set(number, len, 0);
        written += len;
        if round % 1000 == 0 {
            peak = peak.max(resident());
            bench.shard.tick(bench.now);
        }
        if written > 10 * memory {
            break;
        }
    }
    let allowed = memory as f64 * 1.03 / MIB as f64 + 18.0;
    println!("-m {mebibytes}: peak {:.1} MiB, allowed {allowed:.1}", peak as f64 / MIB as f64);
}

/// Times of single operations hold what the machine does besides; what an operation itself takes comes again at the same
/// number.
fn stall(numbers: &[usize]) {
    let [items] = numbers else { panic!("stall ITEMS") };
    let mut again: Option<BTreeSet<usize>> = None;
    for _ in 0..3 {
        let mut bench = Bench::new((items * 48).next_multiple_of(64 * MIB));
        bench.value = vec![b'v'; 8];
        let mut times = Histogram::<u64>::new(3).unwrap();
        let mut long = BTreeSet::new();
        for number in 0..*items {
            let start = Instant::now();
            bench.set(number, 8, 0);
            let ns = u64::try_from(start.elapsed().as_nanos()).unwrap();
            times.record(ns).unwrap();
            if ns > 1_000_000 {
                long.insert(number);
            }
        }
        println!(
            "{items} sets: p50 {} ns, p99 {} ns, p99.9 {} ns, p99.99 {} us, p99.9999 {} us, max {} us, {} above 1 ms",
            times.value_at_quantile(0.5),
            times.value_at_quantile(0.99),
            times.value_at_quantile(0.999),
            times.value_at_quantile(0.9999) / 1000,
            times.value_at_quantile(0.999_999) / 1000,
            times.max() / 1000,
            long.len()
        );
        again = Some(again.map_or(long.clone(), |again| again.intersection(&long).copied().collect()));
    }
    println!("operations above 1 ms in all three: {:?}", again.unwrap_or_default());
}

fn waves() {
    let mut bench = Bench::new(64 * MIB);
    (0..2000).for_each(|number| assert!(bench.set(900_000_000 + number, 450, 0)));
    for wave in 0..3 {
        (0..90_000).for_each(|number| assert!(bench.set(wave * 90_000 + number, 450, 5)));
        for _ in 0..600 {
            bench.wait(10);
            bench.shard.tick(bench.now);
        }
    }
    let live = (0..2000).filter(|number| bench.get(900_000_000 + number)).count();
    println!("{live} of 2000 live items are left after three waves; evictions {}", bench.shard.stats().evictions);
}

fn mixed() {
    let mut bench = Bench::new(64 * MIB);
    (0..500_000).for_each(|number| assert!(bench.set(number, 100, 0)));
    (0..600).for_each(|number| assert!(bench.set(900_000_000 + number, 100_000, 0)));
    let held = (0..600).filter(|number| bench.get(900_000_000 + number)).count();
    println!("after 64 MiB of 100-byte values {held} of 600 values of 100 KB are held");
    let mut bench = Bench::new(64 * MIB);
    (0..600).for_each(|number| assert!(bench.set(900_000_000 + number, 100_000, 0)));
    (0..400_000).for_each(|number| assert!(bench.set(number, 100, 0)));
    let held = (0..400_000).filter(|&number| bench.get(number)).count();
    println!("after 600 values of 100 KB {held} of 400000 values of 100 bytes are held");
}

/// As with `stall`, what a turn itself takes comes again.
fn expiry(numbers: &[usize]) {
    let [items] = numbers else { panic!("expiry ITEMS") };
    let mut again: Option<BTreeSet<usize>> = None;
    for _ in 0..3 {
        let mut bench = Bench::new((items * 64).next_multiple_of(64 * MIB));
        bench.value = vec![b'v'; 8];
        (0..*items).for_each(|number| assert!(bench.set(number, 8, 10)));
        bench.wait(10_100);
        let start = Instant::now();
        let mut times = Histogram::<u64>::new(3).unwrap();
        let mut long = BTreeSet::new();
        for turn in 0.. {
            let turn_start = Instant::now();
            let more = bench.shard.tick(bench.now);
            let us = u64::try_from(turn_start.elapsed().as_micros()).unwrap();
            times.record(us).unwrap();
            if us > 500 {
                long.insert(turn);
            }
            if !more {
                break;
            }
        }
        println!(
            "{items} items are back in {:.2} s, {} turns: p50 {} us, p99.9 {} us, max {} us, {} above 0.5 ms",
            start.elapsed().as_secs_f64(),
            times.len(),
            times.value_at_quantile(0.5),
            times.value_at_quantile(0.999),
            times.max(),
            long.len()
        );
        assert_eq!(bench.items(), 0);
        again = Some(again.map_or(long.clone(), |again| again.intersection(&long).copied().collect()));
    }
    println!("turns above 0.5 ms in all three: {:?}", again.unwrap_or_default());
}

/// Time per operation in nanoseconds: the median of 9 rounds of 100,000. `next` is what each round begins with.
fn time_each(mut operation: impl FnMut(usize)) -> f64 {
    const ROUND: usize = 100_000;
    let mut rounds: Vec<f64> = (0..9)
        .map(|round| {
            let start = Instant::now();
            (round * ROUND..(round + 1) * ROUND).for_each(&mut operation);
            start.elapsed().as_nanos() as f64 / ROUND as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[4]
}

/// Naming and hashing the key are part of each; so is looking at the value's bytes of a hit.
fn speed(numbers: &[usize]) {
    let [items] = numbers else { panic!("speed ITEMS") };
    let mut bench = Bench::new((items * 96).next_multiple_of(64 * MIB));
    bench.value = vec![b'v'; 32];
    (0..*items).for_each(|number| assert!(bench.set(number, 32, 0)));
    // All keys, each far from the last.
    let at = |number: usize| (number * 618_033_989) % items;
    let hit = time_each(|number| assert!(bench.get(at(number))));
    let miss = time_each(|number| assert!(!bench.get(items + at(number))));
    let over = time_each(|number| assert!(bench.set(at(number), 32, 0)));
    let new = time_each(|number| assert!(bench.set(items + number, 32, 0)));
    let delete = time_each(|number| assert!(bench.delete(items + number)));
    let mut batch = |ahead: bool| {
        time_each(|number| {
            if number % LOOK_AHEAD_KEYS == 0 {
                assert_eq!(bench.get_batch(std::array::from_fn(|place| at(number + place)), ahead), LOOK_AHEAD_KEYS);
            }
        })
    };
    let (single, ahead) = (batch(false), batch(true));
    println!(
        "{items} items of 10 + 32 bytes, ns: get hit {hit:.0}, get miss {miss:.0}, set over {over:.0}, set new {new:.0}, \
         delete {delete:.0}; 16 keys one at a time {single:.0} each, looked ahead {ahead:.0} each ({:.2})",
        ahead / single
    );
}

fn appends() {
    let mut once = [0.0; 2];
    for (appends, time) in [10_000, 20_000].into_iter().zip(&mut once) {
        let mut times = Vec::new();
        for _ in 0..5 {
            let mut bench = Bench::new(64 * MIB);
            bench.set(0, 0, 0);
            let name = name(0);
            let key = Key::new(&name).unwrap();
            let hash = bench.shard.hash(key);
            let start = Instant::now();
            for _ in 0..appends {
                let value = Incoming::Slice(&bench.value[..100]);
                let request = StoreRequest::new(StoreMode::Append, key, hash, Flags(0), Deadline::NEVER, value);
                assert!(matches!(bench.shard.store(request, bench.now), StoreOutcome::Stored { .. }));
            }
            times.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        *time = times[2];
    }
    println!("10000 appends {:.1} ms, 20000 appends {:.1} ms, ratio {:.2}", once[0], once[1], once[1] / once[0]);
}
