//! Meta requests: the parser, what is written anew, replies, and cuts of the stream.
#![no_main]

#[path = "../checks.rs"]
mod checks;
#[path = "../../tests/common/cluster.rs"]
mod cluster;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::meta(data));
