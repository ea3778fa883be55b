//! Each simulation against small traces whose outcome is plain, and against each other.

use super::lru::Lru;
use super::s3fifo::S3Fifo;
use super::segments::Segments;
use super::sieve::Sieve;
use super::{OVERHEAD, Outcome, optimum, play};
use crate::sizes::KeyInfo;
use crate::workload::{Trace, WORKLOADS};

const KEY: KeyInfo = KeyInfo { key_len: 16, value_len: 60, ttl_s: 0 };
const SIZE: usize = 76 + OVERHEAD;

fn trace(requests: Vec<u32>, key: KeyInfo) -> Trace {
    let keys = requests.iter().max().map_or(0, |key| *key as usize + 1);
    Trace { requests, keys: vec![key; keys], warm_up: 0, requests_per_s: 10, has_ttl: key.ttl_s > 0 }
}

fn all(trace: &Trace, capacity: usize) -> [u64; 4] {
    [
        play(trace, &mut Lru::new(trace, capacity, OVERHEAD)).misses,
        play(trace, &mut S3Fifo::new(trace, capacity)).misses,
        play(trace, &mut Sieve::new(trace, capacity)).misses,
        optimum::play(trace, capacity).misses,
    ]
}

#[test]
fn what_fits_is_missed_once() {
    let trace = trace((0..10).cycle().take(100).collect(), KEY);
    assert_eq!(all(&trace, 10 * SIZE), [10; 4]);
    assert_eq!(play(&trace, &mut Segments::new(&trace, 1 << 20)).misses, 10);
}

#[test]
fn lru_misses_a_whole_loop_and_the_optimum_keeps_a_part() {
    let trace = trace((0..11).cycle().take(1_100).collect(), KEY);
    let [lru, _, _, optimum] = all(&trace, 10 * SIZE);
    assert_eq!(lru, 1_100);
    // Ten of the eleven keys stay; one miss in each further round of at most 10 requests.
    assert!((100..=140).contains(&optimum), "{optimum}");
}

#[test]
fn a_used_key_outlives_a_scan_in_sieve_and_not_in_lru() {
    let requests: Vec<u32> = [0, 0].into_iter().chain(1..6).chain([0]).collect();
    let trace = trace(requests, KEY);
    assert_eq!(play(&trace, &mut Sieve::new(&trace, 3 * SIZE)).misses, 6);
    assert_eq!(play(&trace, &mut Lru::new(&trace, 3 * SIZE, OVERHEAD)).misses, 7);
}

#[test]
fn what_has_expired_is_missed() {
    // Ten requests a second, so the second one comes in time and the third too late.
    let mut requests = vec![1; 40];
    for position in [0, 15, 35] {
        requests[position] = 0;
    }
    let trace = trace(requests, KeyInfo { ttl_s: 2, ..KEY });
    let outcome = play(&trace, &mut Lru::new(&trace, 1 << 20, OVERHEAD));
    assert_eq!(outcome.misses, 4);
    assert_eq!(play(&trace, &mut Segments::new(&trace, 1 << 20)).misses, 4);
    assert_eq!(optimum::play(&trace, 1 << 20).misses, 4);
}

#[test]
fn the_optimum_is_better_than_every_policy_on_every_workload() {
    let memory = 1 << 20;
    for workload in WORKLOADS {
        let trace = workload.trace(memory, 5);
        let optimum = optimum::play(&trace, memory);
        let ratio = |outcome: Outcome| outcome.miss_ratio() + 1e-9;
        assert!(
            ratio(play(&trace, &mut Lru::new(&trace, memory, OVERHEAD))) > optimum.miss_ratio(),
            "{}",
            workload.name
        );
        assert!(ratio(play(&trace, &mut S3Fifo::new(&trace, memory))) > optimum.miss_ratio(), "{}", workload.name);
        assert!(ratio(play(&trace, &mut Sieve::new(&trace, memory))) > optimum.miss_ratio(), "{}", workload.name);
    }
}

#[test]
fn segments_beat_lru_without_overhead_on_mixed_sizes_and_stay_within_their_memory() {
    let memory = 8 << 20;
    let workload = WORKLOADS.iter().find(|workload| workload.name == "twitter-0.8").unwrap();
    let trace = workload.trace(memory, 1);
    let mut segments = Segments::new(&trace, memory);
    let ours = play(&trace, &mut segments).miss_ratio();
    assert!(segments.used() <= memory);
    let lru = play(&trace, &mut Lru::new(&trace, memory, 0)).miss_ratio();
    assert!(ours < lru * 0.85, "{ours} to {lru}");
}

#[test]
fn a_trace_is_the_same_for_the_same_seed() {
    for workload in WORKLOADS {
        let [one, same, other] = [1, 1, 2].map(|seed| workload.trace(1 << 20, seed));
        assert_eq!(one.requests, same.requests, "{}", workload.name);
        assert_eq!(one.keys, same.keys, "{}", workload.name);
        assert!(one.requests != other.requests || one.keys != other.keys || workload.name == "loop-fixed");
    }
}
