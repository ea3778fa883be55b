//! Arbitrary lines into the parser.
#![no_main]

#[path = "../checks.rs"]
mod checks;
#[path = "../../tests/common/cluster.rs"]
mod cluster;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::text_request(data));
