//! Requests to a shard in little memory, against its oracle.
#![no_main]

#[path = "../../tests/common/store_model.rs"]
mod store_model;
#[path = "../store_ops.rs"]
mod store_ops;

libfuzzer_sys::fuzz_target!(|data: &[u8]| store_ops::store_ops(data));
