//! Meta requests: the parser, what is written anew, replies, and cuts of the stream.
#![no_main]

#[path = "../../tests/common/cluster.rs"]
mod cluster;
#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::meta(data));
