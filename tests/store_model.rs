//! Random requests to a shard that has little memory, against the oracle of `common/store_model.rs`.

#[path = "common/store_model.rs"]
mod store_model;

use proptest::prelude::*;

use ringcached::terms::{Arithmetic, StoreMode};
use store_model::{KEYS, Mode, Pair, Request};

fn keys() -> impl Strategy<Value = u8> {
    0..KEYS
}

fn exptimes() -> impl Strategy<Value = i64> {
    prop_oneof![6 => Just(0_i64), 3 => 1..6_i64, 1 => Just(-1_i64)]
}

fn stores() -> impl Strategy<Value = Request> {
    let modes = prop_oneof![
        6 => Just(Mode::Plain(StoreMode::Set)),
        1 => Just(Mode::Plain(StoreMode::Add)),
        1 => Just(Mode::Plain(StoreMode::Replace)),
        2 => Just(Mode::Plain(StoreMode::Append)),
        1 => Just(Mode::Plain(StoreMode::Prepend)),
        1 => Just(Mode::CasRight),
        1 => Just(Mode::CasWrong),
    ];
    let lens = prop_oneof![6 => 0..300_usize, 2 => 300..3000_usize, 2 => 16_000..40_000_usize];
    (modes, keys(), lens, exptimes(), any::<bool>()).prop_map(|(mode, key, len, exptime, shared)| Request::Store {
        mode,
        key,
        len,
        exptime,
        shared,
    })
}

fn requests() -> impl Strategy<Value = Request> {
    let directions = prop_oneof![Just(Arithmetic::Increment), Just(Arithmetic::Decrement)];
    let deltas = prop_oneof![0..20_u64, any::<u64>()];
    prop_oneof![
        40 => stores(),
        25 => keys().prop_map(Request::Get),
        4 => (keys(), exptimes()).prop_map(|(key, exptime)| Request::GetAndTouch(key, exptime)),
        4 => (keys(), exptimes()).prop_map(|(key, exptime)| Request::Touch(key, exptime)),
        6 => keys().prop_map(Request::Delete),
        3 => (keys(), any::<u64>()).prop_map(|(key, number)| Request::Number(key, number)),
        6 => (keys(), directions, deltas).prop_map(|(key, way, delta)| Request::Arithmetic(key, way, delta)),
        1 => prop_oneof![Just(None), (1..5000_u64).prop_map(Some)].prop_map(Request::Flush),
        1 => (64 << 10..400_usize << 10).prop_map(Request::Limit),
        4 => Just(Request::Tick),
        5 => (1..1500_u64).prop_map(Request::Wait),
        5 => Just(Request::LetGo),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_shard_forgets_only_what_it_evicts(
        memory_limit in prop_oneof![64_usize << 10..128 << 10, 128_usize << 10..1 << 20],
        evict in any::<bool>(),
        requests in prop::collection::vec(requests(), 1..300),
    ) {
        let mut pair = Pair::new(memory_limit, evict);
        for request in &requests {
            pair.run(request);
        }
    }
}
