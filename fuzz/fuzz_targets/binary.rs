//! Arbitrary packets, and bytes that are none, into the parser and cut arbitrarily into engines.
#![no_main]

#[path = "../checks.rs"]
mod checks;
#[path = "../../tests/common/cluster.rs"]
mod cluster;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::binary(data));
