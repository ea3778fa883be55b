//! Datagrams, as the server takes and answers them.
#![no_main]

#[path = "../checks.rs"]
mod checks;
#[path = "../../tests/common/cluster.rs"]
mod cluster;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::udp(data));
