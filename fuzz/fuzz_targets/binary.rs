//! Arbitrary packets, and bytes that are none, into the parser and cut arbitrarily into engines.
#![no_main]

#[path = "../../tests/common/cluster.rs"]
mod cluster;
#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::binary(data));
